//! The command line of xtask.

use std::ffi::OsString;
use std::fmt;

/// What `cargo xtask help` prints.
pub const HELP: &str = "\
Set-up and chores of the imbalance toolkit's checkout.

Usage: cargo xtask COMMAND

  setup [--cuda] [--force]  find or fetch libtorch 2.11 and link .libtorch to it
                              --cuda   with everything that an NVIDIA GPU needs
                              --force  choose anew, even if .libtorch is usable
  doctor                    what the toolkit needs, what was found, what to do
  test [ARGS]               set up if needed, build everything, run the whole test
                            suite; ARGS go to `cargo test`
  soak [ARGS]               the long tests: every task's training killed at 20 moments, a
                            disk that is full; ARGS go to the test program
  install [ARGS]            `cargo install` of the toolkit with every loss plugin beside
                            it (bin/toolkit, lib/toolkit/); ARGS go to cargo install:
                            --root FOLDER, say
  toolkit [ARGS]            set up if needed, build the toolkit and every loss
                            plugin in release mode, run the toolkit with ARGS
                            (`cargo toolkit ARGS` is the same)
  help                      this text

LIBTORCH in the environment names a libtorch 2.11 to use instead of .libtorch.
docs/setup.md says more.";

/// How `setup` was asked to choose a libtorch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SetupOptions {
    /// The libtorch must be able to run on an NVIDIA GPU.
    pub cuda: bool,
    /// Choose again though `.libtorch` is usable.
    pub force: bool,
}

/// One parsed command line.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// Find or fetch libtorch.
    Setup(SetupOptions),
    /// Say what is there and what is missing.
    Doctor,
    /// Run the test suite; the arguments go to `cargo test`.
    Test(Vec<OsString>),
    /// Run the long tests; the arguments go to the test program.
    Soak(Vec<OsString>),
    /// Install the toolkit and its plugins; the arguments go to `cargo install`.
    Install(Vec<OsString>),
    /// Build and run the toolkit with these arguments.
    Toolkit(Vec<OsString>),
    /// Print [`HELP`].
    Help,
}

/// A command line that xtask does not understand.
#[derive(Debug, PartialEq, Eq)]
pub struct UsageError(String);

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

/// Parses the arguments that follow the program's name.
///
/// # Errors
/// No command, an unknown command, or an option that the command does not have.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Command, UsageError> {
    let mut args = args.into_iter();
    let Some(name) = args.next() else {
        return Err(UsageError("a command is missing".to_owned()));
    };
    let rest: Vec<OsString> = args.collect();
    let asks_for_help = rest.first().is_some_and(|first| first == "--help" || first == "-h");
    match name.to_str() {
        Some("help" | "--help" | "-h") => Ok(Command::Help),
        Some("setup" | "doctor" | "test" | "soak" | "install") if asks_for_help => Ok(Command::Help),
        Some("setup") => setup_options(&rest).map(Command::Setup),
        Some("doctor") => match rest.first() {
            None => Ok(Command::Doctor),
            Some(arg) => Err(unexpected("doctor", arg, "takes no arguments")),
        },
        Some("test") => Ok(Command::Test(rest)),
        Some("soak") => Ok(Command::Soak(rest)),
        Some("install") => Ok(Command::Install(rest)),
        Some("toolkit") => Ok(Command::Toolkit(rest)),
        _ => Err(UsageError(format!(
            "unknown command `{}`; the commands are setup, doctor, test, soak, install, toolkit and help",
            name.display()
        ))),
    }
}

fn setup_options(args: &[OsString]) -> Result<SetupOptions, UsageError> {
    let mut options = SetupOptions::default();
    for arg in args {
        match arg.to_str() {
            Some("--cuda") => options.cuda = true,
            Some("--force") => options.force = true,
            _ => return Err(unexpected("setup", arg, "takes --cuda and --force")),
        }
    }
    Ok(options)
}

fn unexpected(command: &str, arg: &OsString, takes: &str) -> UsageError {
    UsageError(format!("`{command}` does not know `{}`; it {takes}", arg.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Result<Command, UsageError> {
        parse(args.iter().map(OsString::from))
    }

    #[test]
    fn options_of_setup_in_any_order() {
        let both = SetupOptions { cuda: true, force: true };
        assert_eq!(parsed(&["setup", "--force", "--cuda"]), Ok(Command::Setup(both)));
        assert_eq!(parsed(&["setup"]), Ok(Command::Setup(SetupOptions::default())));
    }

    #[test]
    fn the_toolkit_gets_its_arguments_untouched() {
        let args = ["toolkit", "--help", "dialogue", "--", "-h"];
        let expected = args[1..].iter().map(OsString::from).collect();
        assert_eq!(parsed(&args), Ok(Command::Toolkit(expected)));
    }

    #[test]
    fn mistakes_are_named_with_what_would_be_right() {
        for (args, expected) in [
            (&[][..], "a command is missing"),
            (&["set-up"], "`set-up`; the commands are setup"),
            (&["setup", "--gpu"], "`--gpu`; it takes --cuda and --force"),
            (&["doctor", "-v"], "`-v`; it takes no arguments"),
        ] {
            let error = parsed(args).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
