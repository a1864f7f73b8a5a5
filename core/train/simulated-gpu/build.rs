//! Builds the C++ part, and names the library as libtorch's own is named.

use std::env;
use std::path::PathBuf;

fn main() {
    println!("cargo::rerun-if-changed=src");
    println!("cargo::rerun-if-env-changed=LIBTORCH_INCLUDE");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("linux") {
        return;
    }
    let Ok(lib) = env::var("DEP_TCH_LIBTORCH_LIB") else { return };
    let lib = PathBuf::from(lib);
    let include = match env::var_os("LIBTORCH_INCLUDE") {
        Some(folder) => PathBuf::from(folder).join("include"),
        None => lib.with_file_name("include"),
    };
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .warnings(false)
        // Without debug information, which for libtorch's headers is large.
        .debug(false)
        .include(&include)
        .include(include.join("torch/csrc/api/include"))
        .file("src/device.cpp")
        // All of it, also what nothing calls: it registers itself.
        .link_lib_modifier("+whole-archive")
        .compile("simulated_gpu_device");
    println!("cargo::rustc-link-search=native={}", lib.display());
    println!("cargo::rustc-link-lib=dylib=torch_cpu");
    println!("cargo::rustc-link-lib=dylib=c10");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-rpath,{}", lib.display());
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libtorch_cuda.so");
}
