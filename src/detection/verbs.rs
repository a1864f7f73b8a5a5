//! `toolkit detection evaluate | predict`: using what was trained.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Arg, ArgAction, ArgMatches, Command};
use imbalance_detection::data::OnBadBox;
use imbalance_detection::{EvaluateRequest, Evaluated, SavedDetector};
use imbalance_evaluation::coco::class_table;
use imbalance_train::flags::numbers::zero_to_one;
use imbalance_vision::augment::OnBadImage;

use crate::failure::UsageError;

pub(super) fn path_arg(name: &'static str) -> Arg {
    Arg::new(name).long(name).value_parser(clap::value_parser!(PathBuf))
}

pub(super) fn run_arg() -> Arg {
    Arg::new("RUN").required(true).value_parser(clap::value_parser!(PathBuf)).help("The run folder")
}

fn checkpoint_arg() -> Arg {
    path_arg("checkpoint").value_name("FILE").help("Weights to use [default: the run's best]")
}

/// What `evaluate` takes.
pub fn evaluate_command() -> Command {
    Command::new("evaluate")
        .about("Score a run's detector on the images of its data or of others")
        .args_override_self(true)
        .arg(run_arg())
        .arg(checkpoint_arg())
        .arg(
            path_arg("images")
                .value_name("FOLDER")
                .requires("annotations")
                .help("Images to score on [default: the run's]"),
        )
        .arg(path_arg("annotations").value_name("FILE").requires("images").help("Their annotations"))
        .arg(
            path_arg("output").short('o').value_name("FILE.json").help("Write the detections in COCO's results format"),
        )
        .arg(
            Arg::new("on-bad-box")
                .long("on-bad-box")
                .value_parser(clap::builder::EnumValueParser::<OnBadBox>::new())
                .help("What to do with boxes that cannot be used [default: as the run]"),
        )
        .arg(
            Arg::new("on-bad-image")
                .long("on-bad-image")
                .value_parser(clap::builder::EnumValueParser::<OnBadImage>::new())
                .help("What to do with images that are missing or cannot be decoded [default: as the run]"),
        )
        .arg(Arg::new("per-class").long("per-class").action(ArgAction::SetTrue).help("Print a line for each class"))
        .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print JSON"))
}

/// What `predict` takes.
pub fn predict_command() -> Command {
    Command::new("predict")
        .about("Draw boxes, labels and scores over image files")
        .args_override_self(true)
        .arg(run_arg())
        .arg(
            Arg::new("IMAGE")
                .required(true)
                .num_args(1..)
                .value_parser(clap::value_parser!(PathBuf))
                .help("JPEG or PNG files"),
        )
        .arg(checkpoint_arg())
        .arg(
            Arg::new("score-above")
                .long("score-above")
                .value_name("P")
                .value_parser(zero_to_one)
                .default_value("0.3")
                .help("Least score of what is drawn and printed"),
        )
        .arg(
            path_arg("output")
                .short('o')
                .value_name("FOLDER")
                .default_value("predictions")
                .help("Where the pictures go, each as NAME.png"),
        )
        .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print JSON"))
}

pub(super) fn path(matches: &ArgMatches, name: &str) -> PathBuf {
    matches.get_one::<PathBuf>(name).cloned().unwrap_or_default()
}

fn detector(matches: &ArgMatches) -> anyhow::Result<SavedDetector> {
    let checkpoint = matches.get_one::<PathBuf>("checkpoint").map(PathBuf::as_path);
    Ok(SavedDetector::load(&path(matches, "RUN"), checkpoint)?)
}

/// Runs `evaluate`.
pub fn evaluate(matches: &ArgMatches) -> anyhow::Result<()> {
    let detector = detector(matches)?;
    let request = EvaluateRequest {
        run: path(matches, "RUN"),
        others: matches.get_one::<PathBuf>("images").cloned().zip(matches.get_one::<PathBuf>("annotations").cloned()),
        output: matches.get_one::<PathBuf>("output").cloned(),
        on_bad_box: matches.get_one::<OnBadBox>("on-bad-box").copied(),
        on_bad_image: matches.get_one::<OnBadImage>("on-bad-image").copied(),
    };
    // Said before the work, which may take hours.
    if let Some(output) = &request.output
        && let Some(folder) = output.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.is_dir())
    {
        return Err(
            UsageError(format!("--output {}: there is no folder {}", output.display(), folder.display())).into()
        );
    }
    let Evaluated { scores, skipped } = detector.evaluate(&request)?;
    for image in &skipped {
        eprintln!("warning: {}: {}; none of its objects counts as found", image.file, image.fault);
    }
    let mut out = std::io::stdout().lock();
    if matches.get_flag("json") {
        writeln!(out, "{}", serde_json::to_string_pretty(&scores)?)?;
        return Ok(());
    }
    for warning in &scores.warnings {
        let of = if warning.of_detections() { "the detector" } else { "the annotation file" };
        eprintln!("warning: {of} {warning}");
    }
    write!(out, "{}", scores.stats)?;
    if matches.get_flag("per-class") {
        write!(out, "\n{}", class_table(&scores.per_class))?;
    }
    writeln!(out, "\nweights: {}", detector.weights.display())?;
    Ok(())
}

/// Where the picture of each image goes, no two to the same file.
fn pictures(folder: &Path, images: &[&PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut taken: HashMap<PathBuf, &PathBuf> = HashMap::new();
    let picture = |image: &&'_ PathBuf| {
        let mut name = image.file_stem().unwrap_or_default().to_owned();
        name.push(".png");
        folder.join(name)
    };
    let mut all = Vec::new();
    for image in images {
        let picture = picture(image);
        // Through links too: what is drawn over is gone.
        if let (Ok(there), Ok(image)) = (picture.canonicalize(), image.canonicalize())
            && there == image
        {
            return Err(UsageError(format!(
                "{} would be drawn over; give another --output than the folder of the images",
                image.display()
            ))
            .into());
        }
        if let Some(other) = taken.insert(picture.clone(), image) {
            return Err(UsageError(format!(
                "{} and {} would both be drawn to {}; predict them in two calls, each with its own --output",
                other.display(),
                image.display(),
                picture.display()
            ))
            .into());
        }
        all.push(picture);
    }
    Ok(all)
}

/// Runs `predict`.
pub fn predict(matches: &ArgMatches) -> anyhow::Result<()> {
    let detector = detector(matches)?;
    let folder = path(matches, "output");
    let images: Vec<&PathBuf> = matches.get_many::<PathBuf>("IMAGE").into_iter().flatten().collect();
    let pictures = pictures(&folder, &images)?;
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let least = matches.get_one::<f64>("score-above").copied().unwrap_or_default() as f32;
    let mut all = Vec::new();
    let mut out = std::io::stdout().lock();
    for (image, picture) in images.into_iter().zip(pictures) {
        let predicted = detector.predict(image, least)?;
        imbalance_evaluation::figure::write_whole(&picture, &predicted.png)
            .with_context(|| format!("cannot write {}", picture.display()))?;
        if matches.get_flag("json") {
            all.push(serde_json::json!({"image": image, "picture": picture, "objects": predicted.objects}));
            continue;
        }
        writeln!(out, "{} → {}", image.display(), picture.display())?;
        for object in &predicted.objects {
            let [x, y, width, height] = object.bbox;
            let (x1, y1, x2, y2) = (x, y, x + width, y + height);
            writeln!(out, "  {:6.2} %  {:<16} {x1:.0} {y1:.0} {x2:.0} {y2:.0}", 100.0 * object.score, object.category)?;
        }
    }
    if matches.get_flag("json") {
        writeln!(out, "{}", serde_json::to_string_pretty(&all)?)?;
    }
    Ok(())
}
