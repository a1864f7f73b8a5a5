//! `toolkit losses plot` and the gallery: values by hand, files that are what they should be, wrong usage.

mod support;

use std::path::Path;

use serde_json::Value;
use support::{contains, every_plugin, fails, folder_beside_build, json, process, succeeds, toolkit, toolkit_alone};
use tempfile::TempDir;

/// Loss and gradient of a curve at a likelihood.
#[track_caller]
fn at(curve: &Value, p: f64) -> (f64, f64) {
    let all = curve["p"].as_array().unwrap();
    let place = all.iter().position(|known| known.as_f64() == Some(p)).unwrap();
    let of = |name: &str| curve[name][place].as_f64().unwrap();
    (of("loss"), of("gradient"))
}

#[track_caller]
fn close(got: (f64, f64), want: (f64, f64)) {
    let near = |got: f64, want: f64| (got - want).abs() <= 1e-12 * (1.0 + want.abs());
    assert!(near(got.0, want.0) && near(got.1, want.1), "{got:?} is not {want:?}");
}

fn plot(folder: &TempDir, words: &[&str]) -> support::Command {
    let mut command = toolkit();
    command.current_dir(folder.path()).args(["losses", "plot"]).args(words);
    command
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn curves_by_hand() {
    let folder = folder_beside_build();
    // β = ½: weights 8/11 and 14/11 of 3 and 1 examples, as in losses.rs.
    let words = ["eureka:beta=0.5", "focal", "cross-entropy", "--gamma=2", "--class-counts", "3,1", "--json"];
    let curves = json(&mut plot(&folder, &words));
    let curves = curves.as_array().unwrap();
    let named: Vec<(&str, u64)> =
        curves.iter().map(|curve| (curve["id"].as_str().unwrap(), curve["class"].as_u64().unwrap())).collect();
    let both = |id| [(id, 0), (id, 1)];
    assert_eq!(named, [both("eureka"), both("focal"), both("cross-entropy")].concat());
    assert_eq!(curves[0]["params"], serde_json::json!({ "beta": "0.5" }));
    assert_eq!(curves[2]["params"], serde_json::json!({ "gamma": "2" }));
    for p in [0.25, 0.5, 0.75, 0.998] {
        let q: f64 = 1.0 - p;
        for (curve, w) in curves.iter().zip([8.0 / 11.0, 14.0 / 11.0]) {
            close(at(curve, p), (-p.ln() + w * q.ln(), -1.0 / p - w / q));
        }
        close(at(&curves[3], p), (-q * q * p.ln(), 2.0 * q * p.ln() - q * q / p));
        close(at(&curves[5], p), (-p.ln(), -1.0 / p));
    }
    assert!(names(folder.path()).is_empty(), "nothing is drawn unless -o asks for it");
}

#[test]
fn the_most_frequent_and_the_rarest_class_are_drawn_unless_others_are_named() {
    let folder = folder_beside_build();
    let classes = |words: &[&str]| -> Vec<u64> {
        let curves = json(plot(&folder, &["cross-entropy", "--json"]).args(words));
        curves.as_array().unwrap().iter().map(|curve| curve["class"].as_u64().unwrap()).collect()
    };
    assert_eq!(classes(&[]), [0, 9]);
    assert_eq!(classes(&["--class-counts", "7,3,90,3"]), [2, 3]);
    assert_eq!(classes(&["--class-counts", "5,5"]), [0, 1]);
    assert_eq!(classes(&["--class-counts", "5"]), [0]);
    assert_eq!(classes(&["--class", "4,0,9"]), [4, 0, 9]);
}

#[test]
fn several_losses_stand_on_one_picture_in_both_formats() {
    let folder = folder_beside_build();
    let words = ["cross-entropy", "focal:gamma=2", "eureka:beta=0.999", "eureka", "-o", "a.svg", "-oa.png"];
    let said = succeeds(plot(&folder, &words).args(["--title", "<all> & \"more\""]));
    assert_eq!(said, "a.svg\na.png\n");
    assert_eq!(names(folder.path()), ["a.png", "a.svg"]);
    let svg = std::fs::read_to_string(folder.path().join("a.svg")).unwrap();
    assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"));
    contains(&svg, &["&lt;all&gt; &amp; &quot;more&quot;", "Likelihood gradient", "likelihood p of the true class"]);
    contains(&svg, &["cross-entropy (all classes alike)", "focal (gamma=2)", "eureka (beta=0.999)", "axis clipped"]);
    contains(&svg, &["class 0 (5,000 examples)", "class 9 (50 examples)"]);
    contains(&svg, &["stroke=\"#0072B2\"", "stroke=\"#D55E00\"", "stroke=\"#009E73\"", "stroke=\"#CC79A7\""]);
    // Width and height stand, big-endian, in the header's first chunk.
    let png = std::fs::read(folder.path().join("a.png")).unwrap();
    assert_eq!((&png[..8], &png[12..16]), (&b"\x89PNG\r\n\x1a\n"[..], &b"IHDR"[..]));
    let number = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
    let root = svg.lines().next().unwrap();
    contains(root, &[&format!("width=\"{}\" height=\"{}\"", number(16) / 2, number(20) / 2)]);
}

#[test]
fn one_quantity_and_its_range_can_be_asked_for() {
    let folder = folder_beside_build();
    let words = ["-o", "x.svg", "eureka", "--beta", "0.5", "--quantity", "gradient", "--gradient-range=-7,1"];
    succeeds(&mut plot(&folder, &words));
    let svg = std::fs::read_to_string(folder.path().join("x.svg")).unwrap();
    contains(&svg, &["∂ℓ/∂p", "eureka (beta=0.5)", "\u{2212}7", "eureka: -log p + w_c log(1-p)"]);
    assert!(!svg.contains("loss ℓ"));
    succeeds(&mut plot(&folder, &["focal"]));
    assert_eq!(names(folder.path()), ["losses.svg", "x.svg"]);
}

#[test]
fn flags_belong_to_the_losses_that_have_them() {
    let folder = folder_beside_build();
    let help = succeeds(&mut plot(&folder, &["focal", "eureka", "--help"]));
    contains(&help, &["--gamma", "--beta", "--class-balanced", "(a number ≥ 0 and < 1; eureka)", "--quantity"]);
    assert!(!succeeds(&mut plot(&folder, &["focal", "--help"])).contains("--beta"));
    let wrong = |words: &[&str]| fails(&mut plot(&folder, words), 2);
    contains(&wrong(&["focal", "--beta", "0.5"]), &["unexpected argument '--beta'"]);
    contains(
        &wrong(&["focal", "eureka", "--beta", "2"]),
        &["--beta", "loss `eureka`: `2` is not a number ≥ 0 and < 1"],
    );
    let curves = json(&mut plot(&folder, &["eureka:beta=0", "eureka", "--beta=0.5", "--class-balanced", "--json"]));
    assert_eq!(curves[0]["params"], serde_json::json!({ "beta": "0", "class-balanced": "true" }));
    assert_eq!(curves[2]["params"], serde_json::json!({ "beta": "0.5", "class-balanced": "true" }));
}

#[test]
fn wrong_usage_is_named_with_what_would_be_right() {
    let folder = folder_beside_build();
    let wrong = |words: &[&str]| fails(&mut plot(&folder, words), 2);
    contains(&wrong(&[]), &["required", "ID"]);
    contains(&wrong(&["eurka"]), &["no loss `eurka`", "did you mean `eureka`?"]);
    contains(&wrong(&["focal:gamma"]), &["focal:gamma", "`true` is not a number ≥ 0"]);
    contains(&wrong(&["focal:gamma="]), &["`focal:gamma=`", "the value of `gamma` is missing", "ID:name=value"]);
    contains(&wrong(&["focal:gama=1"]), &["loss `focal` has no parameter `gama`", "did you mean `gamma`?", "alpha"]);
    contains(&wrong(&["focal:gamma=-1"]), &["`focal:gamma`", "`-1` is not a number ≥ 0"]);
    contains(&wrong(&["focal", "-o", "x.pdf"]), &["x.pdf", ".svg or .png"]);
    contains(&wrong(&["focal", "-o", "picture"]), &["picture", ".svg or .png"]);
    contains(&wrong(&["focal", "--class", "0,10"]), &["--class", "10", "10 classes, 0 to 9"]);
    contains(&wrong(&["focal", "--class", "1,1"]), &["--class", "1 is given twice"]);
    contains(&wrong(&["focal", "--class", "1,2,3,4"]), &["--class", "at most 3"]);
    contains(&wrong(&["focal", "--class-counts", "5,x"]), &["--class-counts", "`x`"]);
    contains(&wrong(&["focal", "--loss-range", "3,1"]), &["--loss-range", "the lower one first"]);
    contains(&wrong(&["focal"; 8]), &["8 losses", "at most 7"]);
    assert!(names(folder.path()).is_empty());
}

#[test]
fn a_file_that_cannot_be_written_is_named_and_nothing_is_left() {
    let folder = folder_beside_build();
    contains(&fails(&mut plot(&folder, &["focal", "-o", "no/such/x.png"]), 1), &["cannot write no/such/x.png"]);
    std::fs::create_dir(folder.path().join("x.svg")).unwrap();
    contains(&fails(&mut plot(&folder, &["focal", "-o", "x.svg"]), 1), &["cannot write x.svg"]);
    assert_eq!(names(folder.path()), ["x.svg"]);
}

#[test]
#[cfg_attr(not(feature = "training"), ignore = "plugins of whole-tensor losses need libtorch beside the command")]
fn the_gallery_is_what_the_plugins_declare() {
    let docs = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/docs"));
    let (folder, plugins) = (folder_beside_build(), every_plugin());
    let pictures = folder.path().join("docs/losses");
    std::fs::create_dir_all(&pictures).unwrap();
    std::fs::copy(docs.join("losses/groups.txt"), pictures.join("groups.txt")).unwrap();
    // A copy outside the build folder sees no plugins but those it is given.
    let mut command = process(&toolkit_alone(folder.path()));
    command.current_dir(folder.path()).args(["losses", "gallery", "--plugin-dir"]).arg(plugins.path());
    assert_eq!(succeeds(&mut support::Command::from_std(command)), "docs/losses.md\n");
    let refresh = "is out of date; `cargo build && cargo run -- losses gallery` writes it anew";
    let read = |folder: &Path| std::fs::read_to_string(folder.join("losses.md")).unwrap();
    assert!(read(docs) == read(&folder.path().join("docs")), "docs/losses.md {refresh}");
    assert_eq!(names(&docs.join("losses")), names(&pictures), "docs/losses {refresh}");
}

#[test]
#[cfg_attr(not(feature = "training"), ignore = "plugins of whole-tensor losses need libtorch beside the command")]
fn the_gallery_keeps_to_its_order() {
    let folder = folder_beside_build();
    let gallery = || {
        let mut command = toolkit();
        command.current_dir(folder.path()).args(["losses", "gallery", "-o", "out"]);
        command
    };
    let order = folder.path().join("out/losses/groups.txt");
    std::fs::create_dir_all(order.parent().unwrap()).unwrap();
    std::fs::write(&order, "# Bonuses\n> They reward.\neureka\n# Plain\ncross-entropy\n").unwrap();
    succeeds(&mut gallery());
    let page = std::fs::read_to_string(folder.path().join("out/losses.md")).unwrap();
    let place = |text: &str| page.find(text).unwrap_or_else(|| panic!("{text:?} is not in:\n{page}"));
    let expected =
        ["## Bonuses\n\nThey reward.", "### eureka\n", "## Plain", "### cross-entropy\n", "## Others", "### focal"];
    assert!(expected.map(place).is_sorted());
    contains(&page, &["-log p + w_c log(1-p)", "(losses/eureka.svg)", "| `--beta` | 0.9999 | a number ≥ 0 and < 1 |"]);
    contains(&page, &["| `--gamma` | 1; sigmoid head 2 |", "--loss eureka --beta 0.9999", "(2021), Eqs. 7-9."]);
    assert!(folder.path().join("out/losses/eureka.svg").is_file());
    std::fs::write(&order, "# Bonuses\neurka\n").unwrap();
    contains(&fails(&mut gallery(), 2), &["groups.txt", "without a plugin: eurka"]);
    std::fs::write(&order, "eureka\n").unwrap();
    contains(&fails(&mut gallery(), 2), &["groups.txt, line 1", "# heading"]);
}
