//! `toolkit dialogue`: trains, and evaluates, answers and talks with what was trained.

use std::ffi::OsString;
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Arg, ArgAction, ArgMatches, Args as _, Command, FromArgMatches as _};
use imbalance_core::Head;
use imbalance_dialogue::data::{Split, read_dialogues};
use imbalance_dialogue::decode::DecodeOptions;
use imbalance_dialogue::{DialogueFlags, Ended, Losses, RECIPES, SavedRun, TrainedRun};
use imbalance_evaluation::dialogue::table;
use imbalance_train::RunFolder;

use crate::failure::{Interrupted, UsageError};
use crate::loss_flags::{LossFlags, peek, plugin_dir_arg, search_path};
use crate::recipe::Recipe;

/// The subcommand without the flags of any particular loss.
pub fn command() -> Command {
    let command = Command::new("dialogue")
        // Clap would list what the recipe sets as if the user had typed it.
        .override_usage("toolkit dialogue [OPTIONS]\n       toolkit dialogue <COMMAND>")
        .args_conflicts_with_subcommands(true)
        .args_override_self(true)
        .arg(
            Arg::new("loss")
                .long("loss")
                .value_name("ID")
                .default_value("cross-entropy")
                .help_heading("Loss")
                .help("The loss, one of `toolkit losses list`"),
        )
        .arg(
            Arg::new("base-loss")
                .long("base-loss")
                .value_name("ID")
                .default_value("cross-entropy")
                .help_heading("Loss")
                .help("The loss of the first --defer-epochs epochs; its flags are named --base-…"),
        )
        .arg(plugin_dir_arg().help_heading("Loss"))
        .arg(
            Arg::new("recipe")
                .long("recipe")
                .value_name("NAME")
                .value_parser(RECIPES.map(|(name, _)| name))
                .help("Settings that come with the toolkit [default: small with data, quick without]"),
        )
        .arg(
            Arg::new("config")
                .long("config")
                .value_name("FILE")
                .help("Settings from a TOML file, such as a run's config.toml"),
        )
        .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print the results as JSON"));
    // What `augment_args` takes from its struct's comment is not for users.
    DialogueFlags::augment_args(command)
        .about("Train a dialogue model, evaluate it, and talk to it")
        .long_about(
            "Train a dialogue model with a loss, evaluate it and print the results.\n\n\
             Settings come, each beating the ones before, from the defaults, the recipe, --config and the flags. \
             The chosen loss adds its own flags: see `toolkit dialogue --loss eureka --help`.",
        )
        .subcommand(evaluate_command())
        .subcommand(generate_command())
        .subcommand(chat_command())
}

fn run_arg() -> Arg {
    Arg::new("RUN").required(true).value_parser(clap::value_parser!(PathBuf)).help("The run folder")
}

fn verb(name: &'static str, about: &'static str) -> Command {
    DecodeOptions::augment_args(
        Command::new(name).args_override_self(true).arg(run_arg()).arg(
            Arg::new("checkpoint")
                .long("checkpoint")
                .value_name("FILE")
                .value_parser(clap::value_parser!(PathBuf))
                .help("Weights to use [default: the run's checkpoints/best.safetensors]"),
        ),
    )
    .about(about)
    .long_about(None)
    .after_help("Decoding flags default to those of the run.")
}

fn evaluate_command() -> Command {
    verb("evaluate", "Score a run's replies again, perhaps decoded another way")
        .arg(
            Arg::new("split")
                .long("split")
                .value_parser(["train", "valid", "test"])
                .help("The split to score [default: test, or valid where there is no test]"),
        )
        .arg(
            Arg::new("data")
                .long("data")
                .value_name("FOLDER")
                .value_parser(clap::value_parser!(PathBuf))
                .help("Data to score on in place of the run's own"),
        )
        .arg(
            Arg::new("output")
                .long("output")
                .value_name("FILE")
                .value_parser(clap::value_parser!(PathBuf))
                .help("Write the replies there, one a line"),
        )
        .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print JSON"))
}

fn generate_command() -> Command {
    verb("generate", "Write replies to the conversations of a file, one a line")
        .arg(
            Arg::new("input")
                .long("input")
                .value_name("FILE")
                .required(true)
                .value_parser(clap::value_parser!(PathBuf))
                .help("Conversations in ConvAI2's numbered lines or JSON Lines; every exchange gets a reply"),
        )
        .arg(
            Arg::new("messages")
                .long("messages")
                .action(ArgAction::SetTrue)
                .help("The file holds plain messages, one a line, each a conversation of its own"),
        )
        .arg(
            Arg::new("output")
                .long("output")
                .value_name("FILE")
                .value_parser(clap::value_parser!(PathBuf))
                .help("Write there [default: standard output]"),
        )
}

fn chat_command() -> Command {
    verb("chat", "Talk to a run's model; an empty line or end of input ends it").arg(
        Arg::new("persona")
            .long("persona")
            .value_name("SENTENCE")
            .action(ArgAction::Append)
            .help("Something true of the one who answers; may be given more than once"),
    )
}

/// Runs `toolkit dialogue`; `args` follow that.
pub fn run(args: &[OsString]) -> anyhow::Result<()> {
    let first = args.first().and_then(|arg| arg.to_str()).unwrap_or_default();
    let all = |args: Vec<OsString>| [vec!["toolkit".into(), "dialogue".into()], args].concat();
    let whole = |dialogue: Command| crate::cli::command().mut_subcommand("dialogue", |_| dialogue);
    match first {
        "evaluate" | "generate" | "chat" => {
            // The run's own decoding first, so that a flag beats it.
            let matches = whole(command()).try_get_matches_from(all(args.to_vec()))?;
            let folder =
                inner(&matches).and_then(|(_, verb)| verb.get_one::<PathBuf>("RUN").cloned()).unwrap_or_default();
            let stored = RunFolder::stored_config(&folder).map_err(imbalance_train::TrainError::from);
            let stored =
                stored.with_context(|| format!("{} is no run folder of `toolkit dialogue`", folder.display()))?;
            let recipe = Recipe::parse(&folder.join("config.toml").display().to_string(), &stored)?;
            let own = recipe.known_args(&DecodeOptions::augment_args(Command::new("decoding")));
            let matches = whole(command()).try_get_matches_from(all([&args[..1], &own, &args[1..]].concat()))?;
            wait_passively();
            match inner(&matches) {
                Some(("evaluate", matches)) => evaluate(&folder, matches),
                Some(("generate", matches)) => generate(&folder, matches),
                Some(("chat", matches)) => chat(&folder, matches),
                _ => Ok(()),
            }
        }
        "help" => {
            whole(command()).try_get_matches_from(all(args.to_vec()))?;
            Ok(())
        }
        _ => train(args, |command, args| {
            let matches = whole(command).try_get_matches_from(all(args))?;
            Ok(matches.subcommand().map(|(_, matches)| matches.clone()).unwrap_or_default())
        }),
    }
}

/// Starts this program anew with threads that sleep while they wait for each other, unless the environment says how they
/// wait. They spin by default, which makes every step several times slower as soon as another process wants a core; the
/// OpenMP runtime reads the variable when it is loaded, before `main`.
fn wait_passively() {
    const POLICY: &str = "OMP_WAIT_POLICY";
    if std::env::var_os(POLICY).is_some() || std::env::var_os("GOMP_SPINCOUNT").is_some() {
        return;
    }
    if let Ok(program) = std::env::current_exe() {
        // Comes back only if it fails, and then spinning threads are what there is.
        let _ = std::process::Command::new(program).args(std::env::args_os().skip(1)).env(POLICY, "passive").exec();
    }
}

/// The verb below `toolkit dialogue`.
fn inner(matches: &ArgMatches) -> Option<(&str, &ArgMatches)> {
    matches.subcommand().and_then(|(_, dialogue)| dialogue.subcommand())
}

/// The settings that `args` name, each beating the ones before: those of a run to resume, the recipe, `--config`.
fn recipes(args: &[OsString]) -> anyhow::Result<Vec<Recipe>> {
    let resumed = peek(args, "run").pop().filter(|_| args.iter().any(|arg| arg == "--resume"));
    // Without one, opening the run says what is missing.
    let stored = resumed.and_then(|run| Some((run, RunFolder::stored_config(Path::new(run)).ok()?)));
    let stored = stored.map(|(run, text)| Recipe::parse(&format!("{run}/config.toml"), &text)).transpose()?;
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

fn train(
    args: &[OsString],
    parse: impl Fn(Command, Vec<OsString>) -> anyhow::Result<ArgMatches>,
) -> anyhow::Result<()> {
    let recipes = recipes(args)?;
    let chosen = |flag: &str| {
        let from_recipe = || recipes.iter().rev().find_map(|recipe| recipe.value(flag));
        peek(args, flag).pop().map(str::to_owned).or_else(from_recipe).unwrap_or_else(|| "cross-entropy".into())
    };
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

fn load(folder: &Path, matches: &ArgMatches) -> anyhow::Result<(SavedRun, DecodeOptions)> {
    let options = DecodeOptions::from_arg_matches(matches)?;
    options.validate().map_err(|error| UsageError(error.to_string()))?;
    let checkpoint = matches.get_one::<PathBuf>("checkpoint");
    Ok((SavedRun::load(folder, checkpoint.map(PathBuf::as_path))?, options))
}

fn evaluate(folder: &Path, matches: &ArgMatches) -> anyhow::Result<()> {
    let (run, options) = load(folder, matches)?;
    let data = matches.get_one::<PathBuf>("data").map(|data| imbalance_dialogue::DataSource::Folder(data.clone()));
    let split = matches.get_one::<String>("split").map(|split| match split.as_str() {
        "train" => Split::Train,
        "valid" => Split::Valid,
        _ => Split::Test,
    });
    let evaluation = run.evaluate(data.as_ref(), split, &options)?;
    if let Some(path) = matches.get_one::<PathBuf>("output") {
        write_replies(path, &evaluation.replies)?;
    }
    let mut out = std::io::stdout().lock();
    if matches.get_flag("json") {
        writeln!(out, "{}", serde_json::to_string_pretty(&evaluation)?)?;
    } else {
        write!(out, "{}", table(&[(folder.display().to_string(), &evaluation.scores)]))?;
        writeln!(out, "\n{} replies, {:.0} replies/s", evaluation.scores.replies, evaluation.replies_per_second)?;
    }
    Ok(())
}

fn generate(folder: &Path, matches: &ArgMatches) -> anyhow::Result<()> {
    let (run, options) = load(folder, matches)?;
    let input = matches.get_one::<PathBuf>("input").cloned().unwrap_or_default();
    let replies = if matches.get_flag("messages") {
        let text = std::fs::read_to_string(&input).with_context(|| format!("--input {}", input.display()))?;
        let messages: Vec<String> = text.lines().map(str::to_owned).collect();
        imbalance_dialogue::answer(&run, &messages, &options)?
    } else {
        imbalance_dialogue::generate(&run, &read_dialogues(&input)?, &options)?
    };
    match matches.get_one::<PathBuf>("output") {
        Some(path) => write_replies(path, &replies),
        None => {
            let mut out = std::io::stdout().lock();
            for reply in replies {
                writeln!(out, "{reply}")?;
            }
            Ok(())
        }
    }
}

fn write_replies(path: &Path, replies: &[String]) -> anyhow::Result<()> {
    imbalance_train::write_atomically(path, |file| {
        let mut file = std::io::BufWriter::new(file);
        for reply in replies {
            writeln!(file, "{reply}")?;
        }
        file.flush()
    })
    .with_context(|| format!("--output {}", path.display()))
}

fn chat(folder: &Path, matches: &ArgMatches) -> anyhow::Result<()> {
    let (run, options) = load(folder, matches)?;
    let mut history: Vec<String> = matches.get_many::<String>("persona").into_iter().flatten().cloned().collect();
    let prompt = std::io::stdin().is_terminal();
    let mut out = std::io::stdout().lock();
    let mut lines = std::io::stdin().lock().lines();
    loop {
        if prompt {
            write!(out, "> ")?;
            out.flush()?;
        }
        let Some(line) = lines.next().transpose().context("standard input")? else { break };
        if line.trim().is_empty() {
            break;
        }
        history.push(line);
        let reply = imbalance_dialogue::reply(&run, &history, &options)?;
        writeln!(out, "{reply}")?;
        out.flush()?;
        history.push(reply);
    }
    Ok(())
}
