//! Tells the linker's run path where libtorch is.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // torch-sys says where it found libtorch.
    if let Ok(lib) = std::env::var("DEP_TCH_LIBTORCH_LIB") {
        // The checkout's link first, which set-up may point elsewhere; then where it points now, so that an
        // installed binary outlives the checkout.
        println!("cargo::rustc-link-arg=-Wl,-rpath,{lib}");
        if let Ok(real) = std::fs::canonicalize(&lib) {
            println!("cargo::rustc-link-arg=-Wl,-rpath,{}", real.display());
        }
    }
}
