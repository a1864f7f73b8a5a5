//! `toolkit completions` and `toolkit man`.

mod support;

use support::{contains, entries, fails, succeeds, toolkit};

#[test]
fn every_shell_gets_a_script_that_knows_the_subcommands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        contains(&succeeds(toolkit().args(["completions", shell])), &["toolkit", "losses", "eval"]);
    }
    contains(&fails(toolkit().args(["completions", "tcsh"]), 2), &["tcsh", "bash"]);
}

#[test]
fn bash_takes_the_script() {
    let script = succeeds(toolkit().args(["completions", "bash"]));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("toolkit.bash");
    std::fs::write(&file, script).unwrap();
    let asked = "COMP_WORDS=(toolkit los); COMP_CWORD=1; _toolkit toolkit los toolkit; echo ${COMPREPLY[0]}";
    let completed = format!(". {}; {asked}", file.display());
    let output = std::process::Command::new("bash").args(["-c", &completed]).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "losses\n");
}

#[test]
fn a_manual_page_of_each_subcommand() {
    contains(&succeeds(toolkit().arg("man")), &[".TH toolkit 1", "losses"]);
    let folder = tempfile::tempdir().unwrap();
    succeeds(toolkit().args(["man", "-o"]).arg(folder.path()));
    let names: Vec<String> = entries(folder.path()).into_iter().map(|name| name.into_string().unwrap()).collect();
    for page in ["toolkit.1", "toolkit-losses.1", "toolkit-losses-show.1", "toolkit-eval-coco.1"] {
        assert!(names.iter().any(|name| name == page), "{page} is not among {names:?}");
    }
    let page = std::fs::read_to_string(folder.path().join("toolkit-losses-show.1")).unwrap();
    contains(&page, &[".TH toolkit-losses-show 1", "SYNOPSIS"]);
}
