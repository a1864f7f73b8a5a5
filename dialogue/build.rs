//! Tells the linker's run path where libtorch is.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // torch-sys says where it found libtorch.
    if let Ok(lib) = std::env::var("DEP_TCH_LIBTORCH_LIB") {
        // The real folder, not the checkout's link, so that an installed binary outlives the checkout.
        let lib = std::fs::canonicalize(&lib).map_or(lib, |path| path.display().to_string());
        println!("cargo::rustc-link-arg=-Wl,-rpath,{lib}");
    }
}
