//! Set-up and chores of the checkout: `cargo xtask help` lists them.

mod cargo;
mod cli;
mod doctor;
mod fetch;
mod install;
mod interrupt;
mod libtorch;
mod link;
mod loader;
mod places;
mod probe;
mod python;
mod resolve;
mod setup;
mod suite;
mod system;
mod version;

use std::process::ExitCode;

use cli::Command;

fn main() -> ExitCode {
    let command = match cli::parse(std::env::args_os().skip(1)) {
        Ok(command) => command,
        Err(error) => {
            eprintln!("error: {error}\n\n{}", cli::HELP);
            return ExitCode::from(2);
        }
    };
    match run(command) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(if error.is::<interrupt::Interrupted>() { 130 } else { 1 })
        }
    }
}

fn run(command: Command) -> anyhow::Result<u8> {
    match command {
        Command::Help => {
            println!("{}", cli::HELP);
            Ok(0)
        }
        Command::Setup(options) => setup::run(&options).map(|()| 0),
        Command::Doctor => Ok(doctor::run()),
        Command::Test(args) => {
            setup::ensure()?;
            suite::run(&args)
        }
        Command::Soak(args) => {
            setup::ensure()?;
            suite::soak(&args)
        }
        Command::Install(args) => {
            setup::ensure()?;
            install::run(&args)
        }
        Command::Toolkit(args) => {
            setup::ensure()?;
            cargo::run_toolkit(&args)
        }
    }
}
