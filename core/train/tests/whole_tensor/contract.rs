//! What the host does with losses of whole tensors: versions, refusals, panics, state, and the options of a head.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use imbalance_core::host::{HeadError, Loss, Plugin, Reduction, SearchPath, file_name};
use imbalance_core::{ClassCounts, Head};
use imbalance_tensor::{Inputs, LossError, Params, TensorError, TensorLoss, export_tensor_loss};
use imbalance_train::heads::{
    HeadOptions, LossHeadError, LossPath, check_libtorch, sigmoid_loss, softmax_loss, softmax_loss_with,
};
use tch::{Kind, Tensor};

use crate::plugins::{COUNTS, IDS, IGNORED, make, matrix, numbers, plugin, softmax, step};

/// Does what its parameter says.
struct Misbehaving(usize);

impl TensorLoss for Misbehaving {
    fn new(params: &Params, _: &ClassCounts) -> Result<Self, LossError> {
        Ok(Self(params.choice("how")?))
    }

    fn forward(&mut self, inputs: &Inputs) -> Result<Tensor, TensorError> {
        match self.0 {
            0 => panic!("lost its way"),
            1 => Ok(inputs.logits.matmul(&inputs.logits)),
            2 => Ok(inputs.logits.f_sum(None::<Kind>)?),
            _ => Ok(inputs.logits.f_select(1, 0)?.f_log()?),
        }
    }
}

export_tensor_loss!(Misbehaving {
    id: "misbehaving",
    formula: "none",
    citation: "none",
    params: ["how": "panic" of "panic|throw|shape|nan", "what goes wrong"],
});

fn misbehaving(how: f64) -> Loss {
    let plugin = Arc::new(Plugin::embedded(&toolkit_loss_plugin).unwrap());
    let counts = ClassCounts::new(COUNTS.to_vec()).unwrap();
    Loss::new(plugin, Head::Softmax, &[("how".into(), how)], &counts).unwrap()
}

#[test]
fn what_goes_wrong_inside_is_an_error() {
    for (how, expected) in [
        (0.0, "loss `misbehaving`: panicked: lost its way"),
        // tch's unfailing operations panic with libtorch's words.
        (1.0, "mat1 and mat2 shapes cannot be multiplied"),
        (2.0, "loss `misbehaving` gave a tensor Double [] on Cpu; expected one number an example, Double [2] on Cpu"),
        (3.0, "loss `misbehaving`: the loss of row 0 is NaN, from finite logits"),
    ] {
        let logits = matrix(&[-1.0; 10], 5);
        let said = softmax_loss(&misbehaving(how), logits, &Tensor::from_slice(&[0_i64, 1])).unwrap_err().to_string();
        assert!(said.contains(expected), "{said}");
    }
}

fn build_c(folder: &Path, defines: &[&str]) -> SearchPath {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let status = Command::new(compiler)
        .args(["-std=c11", "-O1", "-shared", "-fPIC"])
        .args(defines)
        .arg("-I")
        .arg(root.join("../include"))
        .arg(root.join("tests/whole_tensor/other_libtorch.c"))
        .arg("-o")
        .arg(folder.join(file_name("other-libtorch")))
        .status()
        .unwrap();
    assert!(status.success());
    SearchPath::of(vec![folder.to_owned()])
}

#[test]
fn another_libtorch_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let plugin = Arc::new(build_c(folder.path(), &[]).open("other-libtorch").unwrap());
    assert_eq!(plugin.libtorch(), Some("0.0.1"));
    let loss = Loss::new(plugin, Head::Softmax, &[], &ClassCounts::new(vec![2, 1]).unwrap()).unwrap();
    let said = softmax_loss(&loss, matrix(&[0.0; 4], 2), &Tensor::from_slice(&[0_i64, 1])).unwrap_err().to_string();
    assert!(said.starts_with("loss `other-libtorch` was built for libtorch 0.0.1, this toolkit runs 2."), "{said}");
    assert!(said.ends_with(": build it again for that libtorch"), "{said}");
}

#[test]
fn a_plugin_that_cannot_be_loaded_still_names_its_libtorch() {
    let folder = tempfile::tempdir().unwrap();
    let said = build_c(folder.path(), &["-DMISSING"]).open("other-libtorch").unwrap_err().to_string();
    assert!(said.contains("gone_since; it says that it was built for libtorch 0.0.1"), "{said}");
}

#[test]
fn they_say_what_they_are() {
    for id in IDS {
        let plugin = plugin(id);
        assert!(plugin.is_whole_tensor());
        check_libtorch(&plugin).unwrap();
        let capability = format!("whole tensors (libtorch {})", imbalance_tensor::LIBTORCH);
        assert!(plugin.capabilities().unwrap().contains(&capability.as_str()));
    }
    let said = softmax("lade", &[]).eval(&[1.0], &[0], &mut [0.0], &mut [0.0]).unwrap_err().to_string();
    assert!(said.starts_with("loss `lade` takes whole tensors: it has no formula of the log-odds"), "{said}");
}

#[test]
fn the_head_that_a_paper_does_not_define_is_refused() {
    for id in IDS {
        let other = if id == "equalization-v2" { Head::Softmax } else { Head::Sigmoid };
        match make(id, other, &[], &COUNTS) {
            Ok(_) => assert_eq!(id, "equalization"),
            Err(said) => assert!(said.to_string().contains("so it needs a s"), "{said}"),
        }
    }
    let options = HeadOptions::default();
    let said = sigmoid_loss(&softmax("seesaw", &[]), matrix(&[0.0; 5], 5), &Tensor::from_slice(&[0_i64]), &options);
    assert!(said.unwrap_err().to_string().contains("was made for a softmax head"));
    let sigmoid = make("equalization-v2", Head::Sigmoid, &[], &[3, 2, 1, 9]).unwrap();
    let said = softmax_loss(&sigmoid, matrix(&[0.0; 4], 4), &Tensor::from_slice(&[0_i64])).unwrap_err().to_string();
    assert_eq!(said, "loss `equalization-v2` was made for a sigmoid head, this is a softmax head");
    // Foreground and background are enough for many losses, but not for these.
    let binary = make("equalization-v2", Head::Sigmoid, &[], &[3, 9]).unwrap();
    let said = sigmoid_loss(&binary, matrix(&[0.0; 4], 4), &Tensor::from_slice(&[0_i64]), &options).unwrap_err();
    assert!(said.to_string().contains("needs a count for every class, and has 1 for 4 columns"), "{said}");
}

/// Both accumulating losses with one batch each.
fn accumulating() -> [(Loss, Loss, Vec<f64>, Vec<i64>); 2] {
    let make_v2 = || make("equalization-v2", Head::Sigmoid, &[], &[90, 9, 1, 1000]).unwrap();
    [
        (softmax("seesaw", &[]), softmax("seesaw", &[]), numbers(4, 5, 2.0, 1.0), vec![0, 0, 4, 2]),
        (make_v2(), make_v2(), numbers(4, 3, 2.0, 1.0), vec![0, -1, 2, 1]),
    ]
}

#[test]
fn a_restored_loss_goes_on_with_the_same_bits() {
    let options = HeadOptions::default();
    for (loss, again, z, targets) in accumulating() {
        again.restore(&loss.state().unwrap()).unwrap();
        let first = step(&loss, &z, &targets, &options);
        assert_eq!(step(&again, &z, &targets, &options), first, "from the state of one that has seen nothing");
        for _ in 0..3 {
            step(&loss, &z, &targets, &options);
        }
        let saved = loss.state().unwrap();
        let next = step(&loss, &z, &targets, &options);
        assert_ne!(next, first, "{}: what was seen makes a difference", loss.id());
        assert_ne!(step(&again, &z, &targets, &options), next);
        again.restore(&saved).unwrap();
        assert_eq!(again.state().unwrap(), saved);
        assert_eq!(step(&again, &z, &targets, &options), next);
        assert_eq!(again.state().unwrap(), loss.state().unwrap());

        let said = again.restore(&saved[1..]).unwrap_err().to_string();
        assert!(said.contains(&format!("loss `{}`, restoring its state", loss.id())), "{said}");
        assert!(said.contains(&format!("{} bytes are given, a state for", saved.len() - 1)), "{said}");
    }
    let none = softmax("lade", &[]);
    assert!(none.state().unwrap().is_empty() && none.restore(&[]).is_ok());
    assert!(none.restore(&[1]).unwrap_err().to_string().contains("accumulates nothing"));
}

#[test]
fn a_measurement_accumulates_nothing() {
    for (loss, _, z, targets) in accumulating() {
        step(&loss, &z, &targets, &HeadOptions::default());
        let before = loss.state().unwrap();
        let (logits, targets) = (matrix(&z, z.len() / targets.len()), Tensor::from_slice(&targets));
        match loss.head() {
            Head::Softmax => softmax_loss(&loss, logits, &targets),
            Head::Sigmoid => sigmoid_loss(&loss, logits, &targets, &HeadOptions::default()),
        }
        .unwrap();
        assert_eq!(loss.state().unwrap(), before);
    }
}

#[test]
fn the_options_of_a_head_apply() {
    let loss = softmax("seesaw", &[("p", 0.0), ("q", 0.0)]);
    let z = numbers(3, 5, 2.0, 4.0);
    let (weights, targets) = (Tensor::from_slice(&[2.0_f32, 0.5, 7.0]), Tensor::from_slice(&[1_i64, 3, IGNORED]));
    let options = HeadOptions {
        ignore_index: Some(IGNORED),
        weights: Some(&weights),
        reduction: Reduction::Mean,
        ..HeadOptions::default()
    };
    let leaf = matrix(&z, 5).to_kind(Kind::BFloat16).set_requires_grad(true);
    let head = softmax_loss_with(&loss, leaf.shallow_clone(), &targets, &options).unwrap();
    head.sum.backward();
    let rounded = Vec::<f64>::try_from(leaf.detach().to_kind(Kind::Double).flatten(0, -1)).unwrap();
    let p = |row: usize, j: usize| {
        let z = &rounded[row * 5..(row + 1) * 5];
        z[j].exp() / z.iter().map(|z| z.exp()).sum::<f64>()
    };
    assert!((head.total + 2.0 * p(0, 1).ln() + 0.5 * p(1, 3).ln()).abs() < 1e-5);
    assert!((head.negative_log_likelihood + p(0, 1).ln() + p(1, 3).ln()).abs() < 1e-5);
    assert_eq!(head.denominator, 2.0);
    let gradient = leaf.grad();
    assert_eq!(gradient.kind(), Kind::BFloat16);
    assert!((gradient.double_value(&[0, 1]) - 2.0 * (p(0, 1) - 1.0)).abs() < 0.01);
    assert_eq!(gradient.get(2).abs().sum(Kind::Double).double_value(&[]), 0.0);

    let fused = HeadOptions { path: LossPath::Fused, ..options };
    let said = softmax_loss_with(&loss, matrix(&z, 5), &targets, &fused).unwrap_err().to_string();
    assert!(said.contains("loss `seesaw` takes whole tensors and has no fused kernel"), "{said}");
    let nothing = Tensor::from_slice(&[IGNORED; 3]);
    let leaf = matrix(&z, 5).set_requires_grad(true);
    let empty = HeadOptions { reduction: Reduction::Sum, ..options };
    let head = softmax_loss_with(&loss, leaf.shallow_clone(), &nothing, &empty).unwrap();
    head.sum.backward();
    assert!(head.total == 0.0 && leaf.grad().abs().sum(Kind::Double).double_value(&[]) == 0.0);
}

#[test]
fn bad_rows_are_named() {
    let loss = softmax("lade", &[]);
    let options = HeadOptions { ignore_index: Some(IGNORED), ..HeadOptions::default() };
    let said = |logits: &[f64], targets: &[i64]| {
        softmax_loss_with(&loss, matrix(logits, 5), &Tensor::from_slice(targets), &options).unwrap_err()
    };
    let mut z = numbers(3, 5, 1.0, 1.0);
    assert_eq!(said(&z, &[IGNORED, 1, 5]).to_string(), "row 2: target 5 is out of range, there are 5 classes (0 to 4)");
    z[11] = f64::INFINITY;
    let error = said(&z, &[IGNORED, 1, 0]);
    assert!(matches!(error, LossHeadError::Head(HeadError::NotFinite { row: 2, .. })), "{error}");
    let few = softmax_loss(&loss, matrix(&z[..3], 3), &Tensor::from_slice(&[0_i64])).unwrap_err().to_string();
    assert!(few.contains("3 logits a row, but the loss has 5 class counts"), "{few}");
    let features = matrix(&[1.0; 4], 2);
    let options = HeadOptions { features: Some(&features), ..options };
    let wrong = softmax_loss_with(&loss, matrix(&z, 5), &Tensor::from_slice(&[0_i64, 1, 2]), &options).unwrap_err();
    assert!(wrong.to_string().contains("features are Double [2, 2] on Cpu; expected one row for each of [3, 5]"));
}
