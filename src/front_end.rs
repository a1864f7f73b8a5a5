//! What the front-ends of all tasks share: recipe, file and flags become one command line, and losses add their flags.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::Path;

use anyhow::Context as _;
use clap::{Arg, ArgAction, ArgMatches, Command};
use imbalance_core::{Head, ParamKind};
use imbalance_train::group::{LAUNCHED, Launch};
use imbalance_train::{Losses, RunError, RunFolder, TrainError};
use serde::Serialize;

use crate::loss_flags::{LossFlags, peek, plugin_dir_arg, search_path};
use crate::output::shell_word;
use crate::recipe::{NO_SETTINGS, Recipe};

/// The settings of a key that are known before clap runs.
pub type Given<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A task's front-end, as data.
pub struct FrontEnd {
    /// The subcommand.
    pub verb: &'static str,
    /// Names and texts of the recipes that come with it.
    pub recipes: &'static [(&'static str, &'static str)],
    /// The recipe where none is named.
    pub default_recipe: fn(Given<'_>) -> &'static str,
    /// The head that its losses are made for.
    pub head: Head,
    /// The flags that name files and folders.
    pub paths: &'static [&'static str],
    /// Pairs of flags of which the first, given later, undoes an earlier second: two ways to say one thing, of which the
    /// second would win where both are there.
    pub undoes: &'static [(&'static str, &'static str)],
    /// The subcommand without the flags of any particular loss.
    pub command: fn() -> Command,
}

/// What the command line asks for.
pub struct Asked {
    /// All flags.
    pub matches: ArgMatches,
    main: LossFlags,
    base: LossFlags,
}

/// Adds the flags that choose losses and settings. `recipe_default` says which recipe is taken where none is named.
pub fn with_choices(command: Command, recipes: &[(&'static str, &'static str)], recipe_default: &str) -> Command {
    let loss = |name: &'static str, help: &'static str| {
        let arg = Arg::new(name).long(name).value_name("ID").default_value("cross-entropy");
        arg.help_heading("Loss").help(help)
    };
    let names: Vec<&'static str> = recipes.iter().map(|(name, _)| *name).collect();
    command
        .args_conflicts_with_subcommands(true)
        .args_override_self(true)
        .arg(loss("loss", "The loss, one of `toolkit losses list`"))
        .arg(loss("base-loss", "The loss of the first --defer-epochs epochs; its flags are named --base-…"))
        .arg(plugin_dir_arg().help_heading("Loss"))
        .arg(
            Arg::new("recipe")
                .long("recipe")
                .value_name("NAME")
                .value_parser(names)
                .help(format!("Settings that come with the toolkit [default: {recipe_default}]")),
        )
        .arg(
            Arg::new("config")
                .long("config")
                .value_name("FILE")
                .help("Settings from a TOML file, such as a run's config.toml"),
        )
        .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print the results as JSON"))
}

impl FrontEnd {
    /// Reads `args`, which follow the subcommand's name, behind the settings that they name.
    ///
    /// # Errors
    /// Recipes, losses or flags that are wrong.
    pub fn ask(&self, args: &[OsString]) -> anyhow::Result<Asked> {
        let recipes = self.settings(args)?;
        let chosen = |flag: &str| {
            let from_recipe = || recipes.iter().rev().find_map(|recipe| recipe.value(flag));
            peek(args, flag).pop().map(str::to_owned).or_else(from_recipe).unwrap_or_else(|| "cross-entropy".into())
        };
        refuse_another_loss(args)?;
        let search = search_path(args)?;
        let main = LossFlags::open(&search, &chosen("loss"), "", self.head)?;
        let base = LossFlags::open(&search, &chosen("base-loss"), "base-", self.head)?;
        let command = base.add_to(main.add_to((self.command)())?)?;
        let mut all: Vec<OsString> = Vec::new();
        for recipe in &recipes {
            let off = recipe.switched_off();
            all.retain(|arg| !off.contains(arg));
            self.undo(&mut all, |key| recipe.value(key).is_some());
            // Parameters of the loss that a recipe names are no flags of another one that was asked for.
            let of_loss = recipe.value("loss").is_none_or(|own| own == chosen("loss"));
            all.extend(if of_loss { recipe.args(&command)? } else { recipe.known_args(&command) });
        }
        self.undo(&mut all, |key| !peek(args, key).is_empty());
        all.extend_from_slice(args);
        let matches = self.parse(command, all)?;
        let matches = matches.subcommand().map(|(_, matches)| matches.clone()).unwrap_or_default();
        Ok(Asked { matches, main, base })
    }

    /// Takes from the arguments of recipes what the next settings say in another way.
    fn undo(&self, earlier: &mut Vec<OsString>, given: impl Fn(&str) -> bool) {
        for (flag, undone) in self.undoes {
            if given(flag) && !given(undone) {
                let start = format!("--{undone}=");
                earlier.retain(|arg| !arg.to_str().is_some_and(|arg| arg.starts_with(&start)));
            }
        }
    }

    /// Runs the whole program's command line with `command` in place of this front-end's.
    ///
    /// # Errors
    /// What clap says, which may be help that was asked for.
    pub fn parse(&self, command: Command, args: Vec<OsString>) -> anyhow::Result<ArgMatches> {
        let args = settled_switches(joined_switches(args), &command);
        let whole = crate::cli::command().mut_subcommand(self.verb, |_| command);
        let all = [vec!["toolkit".into(), self.verb.into()], args].concat();
        Ok(whole.try_get_matches_from(all)?)
    }

    /// The settings of the run in `folder`.
    ///
    /// # Errors
    /// It is no run folder.
    pub fn stored(&self, folder: &Path) -> anyhow::Result<Recipe> {
        let stored = RunFolder::stored_config(folder).map_err(TrainError::from);
        let stored =
            stored.with_context(|| format!("{} is no run folder of `toolkit {}`", folder.display(), self.verb))?;
        Recipe::parse(&folder.join("config.toml").display().to_string(), &stored)
    }

    /// The settings that `args` name, each beating the ones before: those of a run to resume, the recipe, `--config`.
    fn settings(&self, args: &[OsString]) -> anyhow::Result<Vec<Recipe>> {
        let stored = stored(args)?.map(|(_, stored)| stored);
        let config = peek(args, "config").pop().map(|path| Recipe::read(Path::new(path))).transpose()?;
        let given = |key: &str| {
            let of_config = || config.as_ref().and_then(|config| config.value(key));
            peek(args, key).pop().map(str::to_owned).or_else(of_config)
        };
        let default = || stored.is_none().then(|| (self.default_recipe)(&given).to_owned());
        let name = given("recipe").or_else(default);
        let built_in = self.recipes.iter().find(|(recipe, _)| Some(*recipe) == name.as_deref());
        let built_in = built_in.map(|(name, text)| Recipe::parse(&format!("recipe {name}"), text)).transpose()?;
        Ok([stored, built_in, config].into_iter().flatten().collect())
    }

    /// Takes as many threads as the run in `folder` was trained with, so that using it is no more than that. What is no run's
    /// folder, such as an exported model, leaves them.
    pub fn use_threads_of(&self, folder: &Path) {
        let threads = self.stored(folder).ok().and_then(|stored| stored.value("threads")?.parse().ok());
        if let Some(threads) = threads {
            imbalance_core::host::set_threads(imbalance_train::set_threads(Some(threads)));
        }
    }

    /// Every setting, as a recipe.
    ///
    /// # Errors
    /// A path that cannot be made absolute.
    pub fn resolved(&self, flags: &impl Serialize, losses: &Losses) -> anyhow::Result<String> {
        let mut table = toml::Table::try_from(flags).context("the settings cannot be written as TOML")?;
        // The run may be taken up from another folder.
        for key in self.paths {
            if let Some(toml::Value::String(path)) = table.get_mut(*key) {
                *path = std::path::absolute(&path)?.to_str().unwrap_or(path).to_owned();
            }
        }
        let base = losses.base.iter().map(|base| ("base-loss", "base-", base));
        for (key, prefix, choice) in std::iter::once(("loss", "", &losses.main)).chain(base) {
            table.insert(key.into(), choice.plugin.id().into());
            for (name, value) in &choice.params {
                let Some(spec) = choice.plugin.params().iter().find(|spec| spec.name == *name) else { continue };
                let value = match spec.kind {
                    ParamKind::Number { .. } => toml::Value::Float(*value),
                    ParamKind::Flag => toml::Value::Boolean(*value != 0.0),
                    ParamKind::Choice(_) => toml::Value::String(spec.text(*value)),
                };
                table.insert(format!("{prefix}{name}"), value);
            }
        }
        Ok(toml::to_string(&table)?)
    }

    /// What an interrupted user types to go on.
    pub fn resume_hint(&self, folder: &Path, args: &[OsString]) -> String {
        // Where the plugins are is no setting of the run.
        let dirs: String =
            peek(args, "plugin-dir").iter().map(|dir| format!(" --plugin-dir {}", shell_word(dir.as_ref()))).collect();
        // Neither is the number of processes, which `--processes` has taken off their arguments.
        let ours = std::env::var_os(LAUNCHED).and_then(|_| Launch::from_env().ok().flatten());
        let processes = ours.map(|launch| format!(" --processes {}", launch.size)).unwrap_or_default();
        let folder = shell_word(folder.as_os_str());
        format!("go on with: toolkit {} --run {folder} --resume{processes}{dirs}", self.verb)
    }
}

impl Asked {
    /// The losses with their parameters; the base loss if epochs are deferred.
    ///
    /// # Errors
    /// A parameter's value that the loss does not take.
    pub fn losses(&self, defer_epochs: usize) -> anyhow::Result<Losses> {
        Ok(Losses {
            main: self.main.choice(&self.matches)?,
            base: (defer_epochs > 0).then(|| self.base.choice(&self.matches)).transpose()?,
        })
    }
}

/// `--switch true` as `--switch=true`: alone, clap would take `true` for a subcommand.
fn joined_switches(args: Vec<OsString>) -> Vec<OsString> {
    let mut all: Vec<OsString> = Vec::with_capacity(args.len());
    for arg in args {
        let switch = all
            .last_mut()
            .filter(|last| last.to_str().is_some_and(|last| last.starts_with("--") && !last.contains('=')));
        match switch {
            Some(switch) if arg == "true" || arg == "false" => {
                switch.push("=");
                switch.push(arg);
            }
            _ => all.push(arg),
        }
    }
    all
}

/// `--switch=true` as `--switch`, and `--switch=false` as its absence, of flags that take no value: what a file switches on can be
/// switched off behind it, and either swept. Flags that no file has are looked for as they are typed, and stay so.
fn settled_switches(args: Vec<OsString>, command: &Command) -> Vec<OsString> {
    let is_switch = |name: &str| {
        let known = command.get_arguments().find(|arg| arg.get_long() == Some(name));
        !NO_SETTINGS.contains(&name) && known.is_some_and(|arg| matches!(arg.get_action(), ArgAction::SetTrue))
    };
    let mut all: Vec<OsString> = Vec::with_capacity(args.len());
    for arg in args {
        let said = arg.to_str().and_then(|text| text.strip_prefix("--")?.split_once('='));
        match said.filter(|(name, _)| is_switch(name)) {
            Some((name, "true")) => all.push(format!("--{name}").into()),
            Some((name, "false")) => {
                let on = OsString::from(format!("--{name}"));
                all.retain(|earlier| *earlier != on);
            }
            _ => all.push(arg),
        }
    }
    all
}

/// A run goes on with the losses that it began with. Said here, since the stored parameters of one loss are unknown flags
/// to another.
fn refuse_another_loss(args: &[OsString]) -> anyhow::Result<()> {
    let Some((run, stored)) = stored(args)? else { return Ok(()) };
    for key in ["loss", "base-loss"] {
        let Some(now) = peek(args, key).pop() else { continue };
        let Some(before) = stored.value(key).filter(|before| before != now) else { continue };
        let difference = format!("`{key}` was {before} and is now {now}");
        return Err(TrainError::from(RunError::OtherSettings { folder: run.into(), difference }).into());
    }
    Ok(())
}

/// The run that is resumed, if any, with its settings.
fn stored(args: &[OsString]) -> anyhow::Result<Option<(&str, Recipe)>> {
    let resumed = peek(args, "run").pop().filter(|_| args.iter().any(|arg| arg == "--resume"));
    // Without one, opening the run says what is missing.
    let stored = resumed.and_then(|run| Some((run, RunFolder::stored_config(Path::new(run)).ok()?)));
    stored.map(|(run, text)| Ok((run, Recipe::parse(&format!("{run}/config.toml"), &text)?))).transpose()
}

/// Starts this program anew with threads that sleep while they wait for each other, unless the environment says how they
/// wait. They spin by default, which makes every step several times slower as soon as another process wants a core; the
/// OpenMP runtime reads the variable when it is loaded, before `main`.
pub fn wait_passively() {
    const POLICY: &str = "OMP_WAIT_POLICY";
    if std::env::var_os(POLICY).is_some() || std::env::var_os("GOMP_SPINCOUNT").is_some() {
        return;
    }
    if let Ok(program) = std::env::current_exe() {
        // Comes back only if it fails, and then spinning threads are what there is.
        let _ = std::process::Command::new(program).args(std::env::args_os().skip(1)).env(POLICY, "passive").exec();
    }
}

/// The verb below a front-end's name.
pub fn inner(matches: &ArgMatches) -> Option<(&str, &ArgMatches)> {
    matches.subcommand().and_then(|(_, task)| task.subcommand())
}
