//! `toolkit vision evaluate | predict | plot | export`: using what was trained.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, ArgMatches, Command};
use imbalance_evaluation::longtail::{
    LongTailScores, Predictions, class_table, group_table, score, summarise, table, write_predictions,
};
use imbalance_evaluation::report::run_names;
use imbalance_vision::augment::{LoaderOptions, OnBadImage};
use imbalance_vision::{Logits, RunResults, SavedModel, TestRequest, pictures};
use serde::Serialize;

use crate::failure::UsageError;

fn path_arg(name: &'static str) -> Arg {
    Arg::new(name).long(name).value_parser(clap::value_parser!(PathBuf))
}

fn run_arg(help: &'static str) -> Arg {
    Arg::new("RUN").required(true).value_parser(clap::value_parser!(PathBuf)).help(help)
}

fn checkpoint_arg() -> Arg {
    path_arg("checkpoint").value_name("FILE").help("Weights to use [default: those of the run's results]")
}

fn verb(name: &'static str, about: &'static str) -> Command {
    Command::new(name).about(about).args_override_self(true)
}

/// What `evaluate` takes.
pub fn evaluate_command() -> Command {
    verb("evaluate", "Score a run's model, or an exported one, on the test images of its data or of others")
        .arg(run_arg("The run folder, or a model that was exported"))
        .arg(checkpoint_arg())
        .arg(
            path_arg("data")
                .value_name("PATH")
                .help("Data to score on, in the layout of --dataset [default: the run's own]"),
        )
        .arg(
            Arg::new("dataset")
                .long("dataset")
                .value_name("KIND")
                .value_parser(clap::value_parser!(imbalance_vision::data::DatasetKind))
                .help("The layout of --data [default: the run's]"),
        )
        .arg(
            path_arg("test-list")
                .value_name("FILE")
                .conflicts_with_all(["data", "dataset"])
                .help("Images to score on in the place of a data set, `path label` a line"),
        )
        .arg(
            path_arg("images").value_name("FOLDER").help(
                "Folder that the paths in lists start from [default: that of the list; of the run's own, the run's]",
            ),
        )
        .arg(
            Arg::new("adjust-logits")
                .long("adjust-logits")
                .value_name("TAU")
                .allow_negative_numbers(true)
                .value_parser(clap::value_parser!(f64))
                .help("Adds −τ log π_c to the logits [default: the run's]"),
        )
        .arg(
            Arg::new("on-bad-image")
                .long("on-bad-image")
                .value_parser(clap::value_parser!(OnBadImage))
                .default_value("fail")
                .help(
                    "What to do with image files that cannot be decoded, or that a list names and that are not there",
                ),
        )
        .arg(
            path_arg("output")
                .value_name("FILE.safetensors")
                .help("Write logits and labels there, for `toolkit eval longtail`"),
        )
        .arg(Arg::new("per-class").long("per-class").action(ArgAction::SetTrue).help("Print a line for each class"))
        .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print JSON"))
}

/// What `predict` takes.
pub fn predict_command() -> Command {
    verb("predict", "Name the likeliest classes of image files")
        .arg(run_arg("The run folder, or a model that was exported"))
        .arg(
            Arg::new("IMAGE")
                .required(true)
                .num_args(1..)
                .value_parser(clap::value_parser!(PathBuf))
                .help("JPEG or PNG files"),
        )
        .arg(checkpoint_arg())
        .arg(
            Arg::new("top")
                .long("top")
                .value_name("N")
                .value_parser(clap::value_parser!(u64).range(1..))
                .default_value("5")
                .help("How many classes of each"),
        )
        .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print JSON"))
}

/// What `plot` takes.
pub fn plot_command() -> Command {
    verb("plot", "Draw runs side by side: likelihoods, train-test gap, accuracy by class, confusion, curves")
        .arg(run_arg("Run folders").num_args(1..))
        .arg(
            path_arg("output")
                .short('o')
                .value_name("FOLDER")
                .help("Where the pictures go [default: the run's folder, or `pictures` for several]"),
        )
        .arg(
            Arg::new("format")
                .long("format")
                .value_parser(["svg", "png"])
                .default_value("svg")
                .help("The kind of picture"),
        )
}

/// What `export` takes.
pub fn export_command() -> Command {
    verb("export", "Write a run's model with its description into one file")
        .arg(run_arg("The run folder"))
        .arg(checkpoint_arg())
        .arg(
            path_arg("output")
                .short('o')
                .value_name("FILE.safetensors")
                .required(true)
                .help("The file; `evaluate` and `predict` take it in place of a run"),
        )
}

fn model(matches: &ArgMatches) -> anyhow::Result<SavedModel> {
    let checkpoint = matches.get_one::<PathBuf>("checkpoint").map(PathBuf::as_path);
    Ok(SavedModel::load(&run(matches), checkpoint)?)
}

fn run(matches: &ArgMatches) -> PathBuf {
    matches.get_one::<PathBuf>("RUN").cloned().unwrap_or_default()
}

/// What `evaluate --json` prints.
#[derive(Serialize)]
struct Scored<'a> {
    #[serde(flatten)]
    scores: &'a LongTailScores,
    /// Image files that were left out.
    skipped: Vec<SkippedFile>,
}

#[derive(Serialize)]
struct SkippedFile {
    file: PathBuf,
    fault: String,
}

/// A file that is written must say what it is.
fn check_extension(output: &Path) -> anyhow::Result<()> {
    match output.extension() {
        Some(extension) if extension == "safetensors" => Ok(()),
        _ => Err(UsageError(format!("--output {}: the file's name must end in .safetensors", output.display())).into()),
    }
}

/// Runs `evaluate`.
pub fn evaluate(matches: &ArgMatches) -> anyhow::Result<()> {
    if let Some(output) = matches.get_one::<PathBuf>("output") {
        check_extension(output)?;
    }
    let mut model = model(matches)?;
    if let Some(&tau) = matches.get_one::<f64>("adjust-logits") {
        model.adjust_logits(tau)?;
    }
    let on_bad_image = matches.get_one("on-bad-image").copied().unwrap_or_default();
    let path = |name: &str| matches.get_one::<PathBuf>(name).cloned();
    let request = TestRequest {
        dataset: matches.get_one("dataset").copied(),
        data: path("data"),
        test_list: path("test-list"),
        images: path("images"),
        on_bad_image,
    };
    let images = imbalance_vision::test_images(&run(matches), &model.file.classes, &request)?;
    if let Some(warning) = &images.warning {
        eprintln!("warning: {warning}");
    }
    let options = LoaderOptions { on_bad_image, ..LoaderOptions::default() };
    let Logits { logits, labels, skipped } = model.logits(images.split, options)?;
    let missing =
        images.missing.into_iter().map(|image| SkippedFile { file: image.path, fault: "is not there".into() });
    let unusable = skipped.into_iter().map(|image| SkippedFile { file: image.path, fault: image.reason.to_string() });
    let skipped: Vec<SkippedFile> = missing.chain(unusable).collect();
    for SkippedFile { file, fault } in &skipped {
        eprintln!("warning: {}: {fault}; it is left out", file.display());
    }
    let classes = model.file.classes.len();
    if let Some(path) = matches.get_one::<PathBuf>("output") {
        write_predictions(path, classes, &logits, &labels)?;
    }
    let predictions = Predictions::from_logits(classes, logits, labels)?;
    let scores = score(&predictions, &model.file.train_counts, &model.file.groups)?;
    let mut out = std::io::stdout().lock();
    if matches.get_flag("json") {
        writeln!(out, "{}", serde_json::to_string_pretty(&Scored { scores: &scores, skipped })?)?;
        return Ok(());
    }
    let rows: Vec<_> =
        summarise(std::slice::from_ref(&scores)).into_iter().map(|row| ("model".to_owned(), row)).collect();
    write!(out, "{}\n{}", table(&rows), group_table(&scores))?;
    if matches.get_flag("per-class") {
        write!(out, "\n{}", class_table(&scores.per_class, &model.file.classes))?;
    }
    writeln!(out, "\nweights: {}", model.weights.display())?;
    Ok(())
}

/// Runs `predict`.
pub fn predict(matches: &ArgMatches) -> anyhow::Result<()> {
    let model = model(matches)?;
    let images: Vec<PathBuf> = matches.get_many("IMAGE").into_iter().flatten().cloned().collect();
    let top = matches.get_one::<u64>("top").copied().unwrap_or(5) as usize;
    let predicted = model.predict(&images, top)?;
    let mut out = std::io::stdout().lock();
    if matches.get_flag("json") {
        let all: Vec<_> = images
            .iter()
            .zip(predicted)
            .map(|(image, classes)| {
                let classes: Vec<_> = classes
                    .into_iter()
                    .map(|(class, likelihood)| {
                        serde_json::json!({"class": class, "name": model.file.classes[class], "likelihood": likelihood})
                    })
                    .collect();
                serde_json::json!({"image": image, "classes": classes})
            })
            .collect();
        writeln!(out, "{}", serde_json::to_string_pretty(&all)?)?;
        return Ok(());
    }
    for (image, classes) in images.iter().zip(predicted) {
        writeln!(out, "{}", image.display())?;
        for (class, likelihood) in classes {
            writeln!(out, "  {:6.2} %  {}", 100.0 * likelihood, model.file.classes[class])?;
        }
    }
    Ok(())
}

/// Runs `plot`.
pub fn plot(matches: &ArgMatches) -> anyhow::Result<()> {
    let runs: Vec<PathBuf> = matches.get_many("RUN").into_iter().flatten().cloned().collect();
    let default = || if runs.len() == 1 { runs[0].clone() } else { PathBuf::from("pictures") };
    let to = matches.get_one::<PathBuf>("output").cloned().unwrap_or_else(default);
    let format = matches.get_one::<String>("format").map_or("svg", String::as_str);
    for path in pictures::compare(&runs, &to, format)? {
        println!("{}", path.display());
    }
    let rows = runs.iter().zip(run_names(&runs)).map(|(run, name)| {
        let scores = RunResults::read(run)?.scores;
        Ok(summarise(&[scores]).map(|row| (name, row)))
    });
    let rows: Vec<_> = rows.collect::<anyhow::Result<Vec<_>>>()?.into_iter().flatten().collect();
    print!("\n{}", table(&rows));
    Ok(())
}

/// Runs `export`.
pub fn export(matches: &ArgMatches) -> anyhow::Result<()> {
    let output = matches.get_one::<PathBuf>("output").cloned().unwrap_or_default();
    check_extension(&output)?;
    model(matches)?.export(&output)?;
    println!("{}", output.display());
    Ok(())
}
