//! Finds which libtorch this is built for, and tells the linker's run path where it is, for this crate's own tests.

use std::env;
use std::fs;
use std::path::PathBuf;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=LIBTORCH_INCLUDE");
    let mut version = None;
    if let Ok(lib) = env::var("DEP_TCH_LIBTORCH_LIB") {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{lib}");
        let lib = PathBuf::from(lib);
        let include = match env::var_os("LIBTORCH_INCLUDE") {
            Some(folder) => PathBuf::from(folder).join("include"),
            None => lib.with_file_name("include"),
        };
        // Where the header is depends on libtorch's age.
        let headers = ["torch/headeronly/version.h", "torch/csrc/api/include/torch/version.h"];
        version = headers.iter().find_map(|header| {
            let header = include.join(header);
            println!("cargo::rerun-if-changed={}", header.display());
            stated_version(&fs::read_to_string(header).ok()?)
        });
    }
    println!("cargo::rustc-env=TOOLKIT_LIBTORCH={}", version.unwrap_or_else(|| "unknown".into()));
}

/// The text of `#define TORCH_VERSION "2.11.0"`, which may stand on the next line.
fn stated_version(header: &str) -> Option<String> {
    header.split_once("#define TORCH_VERSION ")?.1.split('"').nth(1).map(str::to_owned)
}
