//! The `toolkit` command: arguments in, exit code out.

mod bench;
mod cli;
mod eval;
mod failure;
mod loss_flags;
mod losses;
mod manual;
mod output;
mod report;
mod runs;

#[cfg(feature = "training")]
mod child;
#[cfg(feature = "training")]
mod data;
#[cfg(feature = "training")]
mod detection;
#[cfg(feature = "training")]
mod dialogue;
#[cfg(feature = "training")]
mod front_end;
#[cfg(feature = "training")]
mod idle;
#[cfg(feature = "training")]
mod processes;
#[cfg(feature = "training")]
mod recipe;
#[cfg(feature = "training")]
mod reproduce;
#[cfg(feature = "training")]
mod settings;
#[cfg(feature = "training")]
mod sweep;
#[cfg(feature = "training")]
mod vision;

use std::process::ExitCode;

fn main() -> ExitCode {
    #[cfg(feature = "training")]
    repeatable_products();
    match cli::run(std::env::args_os().collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure::report(&error),
    }
}

/// Lets `--deterministic` hold for cuBLAS, which reads this when it is first used.
#[cfg(feature = "training")]
fn repeatable_products() {
    let (name, value) = imbalance_train::compute::CUBLAS_WORKSPACE;
    if std::env::var_os(name).is_none() {
        // SAFETY: the first thing that the program does; no other thread runs yet.
        unsafe { std::env::set_var(name, value) };
    }
}
