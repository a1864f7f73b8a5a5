//! Building the C plugins of these tests.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Compiles `source`, relative to this crate's folder, with `defines` into `folder` as the plugin of `id`.
pub fn build_c_plugin(folder: &Path, source: &str, id: &str, defines: &[String]) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let to = folder.join(imbalance_core::host::file_name(id));
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let status = Command::new(&compiler)
        .args(["-std=c11", "-O2", "-shared", "-fPIC"])
        .args(defines)
        .arg("-I")
        .arg(root.join("include"))
        .arg(root.join(source))
        .args(["-lm", "-o"])
        .arg(&to)
        .status()
        .unwrap_or_else(|error| panic!("{}: {error}; the tests need a C compiler", compiler.display()));
    assert!(status.success(), "{source} does not compile");
    to
}
