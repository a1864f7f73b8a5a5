//! Builds the C++ shim, tells the linker's run path where libtorch is, and the manifest which compiler this was.

use std::env;
use std::path::PathBuf;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=shim");
    let compiler = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    if let Ok(said) = Command::new(compiler).arg("--version").output() {
        println!("cargo::rustc-env=TOOLKIT_RUSTC_VERSION={}", String::from_utf8_lossy(&said.stdout).trim());
    }
    println!("cargo::rerun-if-env-changed=LIBTORCH_INCLUDE");
    let Ok(lib) = env::var("DEP_TCH_LIBTORCH_LIB") else { return };
    let lib = PathBuf::from(lib);
    println!("cargo::rustc-link-arg=-Wl,-rpath,{}", lib.display());
    if let Ok(real) = std::fs::canonicalize(&lib) {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{}", real.display());
    }
    let include = match env::var_os("LIBTORCH_INCLUDE") {
        Some(folder) => PathBuf::from(folder).join("include"),
        None => lib.with_file_name("include"),
    };
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .warnings(false)
        .include("shim")
        .include(&include)
        .include(include.join("torch/csrc/api/include"))
        .file("shim/fused_loss.cpp")
        .file("shim/autocast.cpp")
        .file("shim/batch_norm.cpp")
        .file("shim/switches.cpp")
        .file("shim/group.cpp")
        .file("shim/multi_tensor.cpp")
        .file("shim/parallel.cpp")
        .file("shim/transfer.cpp")
        .compile("imbalance_shim");
}
