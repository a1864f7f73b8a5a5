//! Pages in a real browser, a Chromium that `TOOLKIT_BROWSER` names.

use std::path::Path;
use std::process::Command;

/// What `page` has become once its script has run, as HTML; none, with a word on why, where no browser was named. A script that
/// fails is a failure.
pub fn shown(page: &Path) -> Option<String> {
    let Some(browser) = std::env::var_os("TOOLKIT_BROWSER") else {
        eprintln!("skipped: TOOLKIT_BROWSER names no Chromium");
        return None;
    };
    let profile = tempfile::tempdir().unwrap();
    let mut command = Command::new(browser);
    // In a sandbox of its own it does not start for root, as in containers; the page is ours.
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]);
    command.args(["--disable-component-update", "--disable-sync", "--enable-logging=stderr"]);
    command.arg(format!("--user-data-dir={}", profile.path().display()));
    command.args(["--virtual-time-budget=4000", "--dump-dom"]);
    let output = command.arg(format!("file://{}", page.canonicalize().unwrap().display())).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let fault = said.lines().find(|line| line.contains("CONSOLE") && line.contains("Uncaught"));
    assert_eq!(fault, None);
    Some(String::from_utf8(output.stdout).unwrap())
}
