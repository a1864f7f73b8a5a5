//! `toolkit dialogue` itself: from recipe, file and flags to a training and its results.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use clap::{ArgMatches, Command, FromArgMatches as _};
use imbalance_core::Head;
use imbalance_dialogue::{DialogueFlags, Ended, Losses, RECIPES, TrainedRun};
use imbalance_evaluation::dialogue::table;
use imbalance_train::{RunError, RunFolder, TrainError};

use super::{command, wait_passively};
use crate::failure::Interrupted;
use crate::loss_flags::{LossFlags, peek, search_path};
use crate::recipe::Recipe;

/// The settings that `args` name, each beating the ones before: those of a run to resume, the recipe, `--config`.
fn recipes(args: &[OsString]) -> anyhow::Result<Vec<Recipe>> {
    let stored = stored(args)?.map(|(_, stored)| stored);
    let config = peek(args, "config").pop().map(|path| Recipe::read(Path::new(path))).transpose()?;
    let given = |key: &str| {
        let of_config = || config.as_ref().and_then(|config| config.value(key));
        peek(args, key).pop().map(str::to_owned).or_else(of_config)
    };
    let has_data = given("data").is_some() || given("train-data").is_some();
    let default = || stored.is_none().then(|| if has_data { "small" } else { "quick" }.to_owned());
    let name = given("recipe").or_else(default);
    let built_in = RECIPES.iter().find(|(recipe, _)| Some(*recipe) == name.as_deref());
    let built_in = built_in.map(|(name, text)| Recipe::parse(&format!("recipe {name}"), text)).transpose()?;
    Ok([stored, built_in, config].into_iter().flatten().collect())
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

/// Trains as `args` ask; `parse` runs a command over arguments.
pub fn train(
    args: &[OsString],
    parse: impl Fn(Command, Vec<OsString>) -> anyhow::Result<ArgMatches>,
) -> anyhow::Result<()> {
    let recipes = recipes(args)?;
    let chosen = |flag: &str| {
        let from_recipe = || recipes.iter().rev().find_map(|recipe| recipe.value(flag));
        peek(args, flag).pop().map(str::to_owned).or_else(from_recipe).unwrap_or_else(|| "cross-entropy".into())
    };
    refuse_another_loss(args)?;
    let search = search_path(args)?;
    let main = LossFlags::open(&search, &chosen("loss"), "", Head::Softmax)?;
    let base = LossFlags::open(&search, &chosen("base-loss"), "base-", Head::Softmax)?;
    let command = base.add_to(main.add_to(command())?)?;
    let mut all = Vec::new();
    for recipe in &recipes {
        let off = recipe.switched_off();
        all.retain(|arg| !off.contains(arg));
        all.extend(recipe.args(&command)?);
    }
    all.extend_from_slice(args);
    let matches = parse(command, all)?;
    let flags = DialogueFlags::from_arg_matches(&matches)?;
    let losses = Losses {
        main: main.choice(&matches)?,
        base: (flags.train.defer_epochs > 0).then(|| base.choice(&matches)).transpose()?,
    };
    let config = resolved(&flags, &losses)?;
    if flags.train.threads != Some(1) {
        wait_passively();
    }
    match imbalance_dialogue::train(&flags, &losses, config)? {
        Ended::Finished(trained) => print(&trained, matches.get_flag("json")),
        Ended::Interrupted(folder) => {
            // Where the plugins are is no setting of the run.
            let dirs: String = peek(args, "plugin-dir").iter().map(|dir| format!(" --plugin-dir {dir}")).collect();
            let hint = format!("go on with: toolkit dialogue --run {} --resume{dirs}", folder.display());
            Err(Interrupted(hint).into())
        }
    }
}

/// Every setting, as a recipe.
fn resolved(flags: &DialogueFlags, losses: &Losses) -> anyhow::Result<String> {
    let mut table = toml::Table::try_from(flags).context("the settings cannot be written as TOML")?;
    // The run may be taken up from another folder.
    for key in ["data", "train-data", "valid-data", "test-data", "glove", "gpt2-config", "gpt2-weights"] {
        if let Some(toml::Value::String(path)) = table.get_mut(key) {
            *path = std::path::absolute(&path)?.to_str().unwrap_or(path).to_owned();
        }
    }
    let choices =
        std::iter::once(("loss", "", &losses.main)).chain(losses.base.iter().map(|base| ("base-loss", "base-", base)));
    for (key, prefix, choice) in choices {
        table.insert(key.into(), choice.plugin.id().into());
        for (name, value) in &choice.params {
            let Some(spec) = choice.plugin.params().iter().find(|spec| spec.name == *name) else { continue };
            let value = match spec.kind {
                imbalance_core::ParamKind::Number { .. } => toml::Value::Float(*value),
                imbalance_core::ParamKind::Flag => toml::Value::Boolean(*value != 0.0),
                imbalance_core::ParamKind::Choice(_) => toml::Value::String(spec.text(*value)),
            };
            table.insert(format!("{prefix}{name}"), value);
        }
    }
    Ok(toml::to_string(&table)?)
}

fn print(trained: &TrainedRun, json: bool) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::to_string_pretty(trained)?)?;
        return Ok(());
    }
    for [message, reply, reference] in &trained.samples {
        writeln!(out, "message    {message}\nreply      {reply}\nreference  {reference}\n")?;
    }
    write!(out, "{}", table(&[(trained.loss.clone(), &trained.scores)]))?;
    writeln!(
        out,
        "\n{} replies of the {} split; loss {:.4}",
        trained.scores.replies, trained.split, trained.split_loss
    )?;
    let memory =
        trained.training.peak_memory_bytes.map(|bytes| format!(", {} MiB at most", bytes >> 20)).unwrap_or_default();
    writeln!(
        out,
        "{} parameters, {} epochs, {} steps in {:.0} s{memory}; {:.0} replies/s",
        trained.parameters,
        trained.training.epochs,
        trained.training.steps,
        trained.training.seconds,
        trained.replies_per_second
    )?;
    writeln!(out, "run folder: {}", trained.run.display())?;
    Ok(())
}
