//! `toolkit losses install` and `remove`: the user's own plugin folder.

mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use support::{
    Command, c_plugin, contains, entries, example_plugin, fails, folder_beside_build, plugin, plugin_folder, process,
    program, succeeds, toolkit_alone,
};
use tempfile::TempDir;

/// A user without plugins, whose toolkit brings none either.
struct User {
    home: TempDir,
    program: PathBuf,
}

impl User {
    fn new() -> Self {
        program();
        let home = folder_beside_build();
        let program = toolkit_alone(home.path());
        Self { home, program }
    }

    fn losses(&self, words: &[&str]) -> Command {
        let mut command = Command::from_std(process(&self.program));
        command.env("XDG_DATA_HOME", self.home.path().join("data")).arg("losses").args(words);
        command
    }

    fn install(&self, path: &Path, more: &[&str]) -> Command {
        let mut command = self.losses(&["install"]);
        command.arg(path).args(more);
        command
    }

    fn folder(&self) -> PathBuf {
        self.home.path().join("data/imbalance-toolkit/plugins")
    }

    fn installed(&self) -> PathBuf {
        self.folder().join("libtoolkit_loss_c_margin.so")
    }
}

#[test]
fn a_plugin_is_installed_used_and_removed() {
    let (user, folder) = (User::new(), example_plugin("c-margin", "c/margin.c"));
    // Under whatever name.
    let file = folder.path().join("margin.so");
    std::fs::rename(folder.path().join("libtoolkit_loss_c_margin.so"), &file).unwrap();
    let said = succeeds(&mut user.install(&file, &[]));
    assert_eq!(said, format!("installed `c-margin` as {}\n", user.installed().display()));
    assert_eq!(std::fs::read(user.installed()).unwrap(), std::fs::read(&file).unwrap());
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(&user.installed()), mode(&user.folder())), (0o644, 0o755));
    assert_eq!(entries(&user.folder()), ["libtoolkit_loss_c_margin.so"]);

    contains(&succeeds(&mut user.losses(&["show", "c-margin"])), &["largest-margin", "Offers   float64 evaluation\n"]);
    // The same file again is no error.
    contains(&succeeds(&mut user.install(&file, &[])), &["is there already, the same file"]);

    let said = succeeds(&mut user.losses(&["remove", "c-margin"]));
    assert_eq!(said, format!("removed {}\n", user.installed().display()));
    assert!(entries(&user.folder()).is_empty());
}

#[test]
fn another_build_replaces_only_by_force() {
    let (user, folder) = (User::new(), example_plugin("c-margin", "c/margin.c"));
    let file = folder.path().join("libtoolkit_loss_c_margin.so");
    succeeds(&mut user.install(&file, &[]));
    let before = std::fs::read(user.installed()).unwrap();
    // A library with other bytes at its end is another file of the same plugin.
    let mut other = before.clone();
    other.extend(*b"another build");
    std::fs::write(&file, &other).unwrap();
    let said = fails(&mut user.install(&file, &[]), 2);
    contains(&said, &[user.installed().to_str().unwrap(), "differs; `--force` replaces it"]);
    assert_eq!(std::fs::read(user.installed()).unwrap(), before);
    contains(&succeeds(&mut user.install(&file, &["--force"])), &["replaced `c-margin` as"]);
    assert_eq!(std::fs::read(user.installed()).unwrap(), other);
}

#[test]
fn what_the_handshake_refuses_is_not_installed() {
    let user = User::new();
    for (fault, said) in [(1, "is not a loss plugin's"), (2, "was built for ABI 9.0"), (9, "its default 2")] {
        let folder = c_plugin("faulty", "faulty.c", &format!("FAULT={fault}"));
        let message = fails(&mut user.install(&folder.path().join("libtoolkit_loss_faulty.so"), &[]), 1);
        contains(&message, &[said, "libtoolkit_loss_faulty.so"]);
    }
    let text = user.home.path().join("text.so");
    std::fs::write(&text, "a text").unwrap();
    contains(&fails(&mut user.install(&text, &[]), 1), &["text.so", "is not a library that can be loaded"]);
    contains(&fails(&mut user.install(Path::new("no/such.so"), &[]), 2), &["no/such.so: no such file"]);
    let open = plugin_folder("focal", &plugin("focal"));
    let file = open.path().join("libtoolkit_loss_focal.so");
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o666)).unwrap();
    contains(&fails(&mut user.install(&file, &[]), 1), &["anybody may write to"]);
    assert!(!user.folder().exists());
}

#[test]
fn an_id_that_another_folder_has_is_refused() {
    let (user, other) = (User::new(), plugin_folder("c-margin", &plugin("focal")));
    let folder = example_plugin("c-margin", "c/margin.c");
    let file = folder.path().join("libtoolkit_loss_c_margin.so");
    let message = fails(user.install(&file, &["--force"]).env("TOOLKIT_PLUGIN_PATH", other.path()), 1);
    contains(&message, &[other.path().to_str().unwrap(), "give yours another id"]);
}

#[test]
fn only_what_is_in_the_own_folder_can_be_removed() {
    let (user, other) = (User::new(), plugin_folder("focal", &plugin("focal")));
    contains(&fails(&mut user.losses(&["remove", "focal"]), 2), &["no loss `focal` in ", "; there: none"]);
    let folder = example_plugin("c-margin", "c/margin.c");
    succeeds(&mut user.install(&folder.path().join("libtoolkit_loss_c_margin.so"), &[]));
    let said = fails(&mut user.losses(&["remove", "c-margn"]), 2);
    contains(&said, &["did you mean `c-margin`?", "; there: c-margin", user.folder().to_str().unwrap()]);
    let said = fails(user.losses(&["remove", "focal"]).env("TOOLKIT_PLUGIN_PATH", other.path()), 2);
    contains(&said, &[other.path().to_str().unwrap(), "delete the file itself"]);
    contains(&fails(&mut user.losses(&["remove", "../plugins/c-margin"]), 2), &["no loss `../plugins/c-margin`"]);
    assert!(user.installed().exists());
    // A file that is no plugin can be removed, too.
    std::fs::write(user.folder().join("libtoolkit_loss_broken.so"), "text").unwrap();
    succeeds(&mut user.losses(&["remove", "broken"]));
    assert_eq!(entries(&user.folder()), ["libtoolkit_loss_c_margin.so"]);
}

#[test]
fn without_a_home_there_is_no_folder() {
    let user = User::new();
    let mut command = user.losses(&["remove", "x"]);
    contains(&fails(command.env_remove("XDG_DATA_HOME").env_remove("HOME"), 2), &["XDG_DATA_HOME", "HOME"]);
}
