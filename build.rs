//! Tells the linker's run path where libtorch is, and the program where it was built.

use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // <target>/<profile>/build/<package>/out: an installed program finds the plugins that were built beside it.
    let out = std::env::var_os("OUT_DIR").unwrap_or_default();
    if let Some(folder) = Path::new(&out).ancestors().nth(3) {
        println!("cargo::rustc-env=TOOLKIT_BUILD_FOLDER={}", folder.display());
    }
    // torch-sys says where it found libtorch; without the feature `training` there is none.
    if let Ok(lib) = std::env::var("DEP_TCH_LIBTORCH_LIB") {
        // The checkout's link first, which set-up may point elsewhere; then where it points now, so that an
        // installed binary outlives the checkout.
        println!("cargo::rustc-link-arg=-Wl,-rpath,{lib}");
        if let Ok(real) = std::fs::canonicalize(&lib) {
            println!("cargo::rustc-link-arg=-Wl,-rpath,{}", real.display());
        }
    }
}
