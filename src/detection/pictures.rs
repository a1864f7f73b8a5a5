//! `toolkit detection plot | browse`: looking at what was trained.

use std::io::Write as _;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command};
use imbalance_detection::{BrowseRequest, Browsed, DetectionSource, pictures};
use imbalance_evaluation::coco::{StatsSummary, stats_table};
use imbalance_train::flags::numbers::zero_to_one;

use super::verbs::{path, path_arg, run_arg};

/// What `plot` takes.
pub fn plot_command() -> Command {
    Command::new("plot")
        .about("Draw runs side by side: precision-recall, AP by class and by frequency, scores of anchors, training curves")
        .args_override_self(true)
        .arg(run_arg().num_args(1..).help("Run folders"))
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
        .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print JSON"))
}

/// Runs `plot`.
pub fn plot(matches: &ArgMatches) -> anyhow::Result<()> {
    let runs: Vec<PathBuf> = matches.get_many("RUN").into_iter().flatten().cloned().collect();
    let default = || if runs.len() == 1 { runs[0].clone() } else { PathBuf::from("pictures") };
    let to = matches.get_one::<PathBuf>("output").cloned().unwrap_or_else(default);
    let format = matches.get_one::<String>("format").map_or("svg", String::as_str);
    let pictures = pictures::compare(&runs, &to, format)?;
    let mut out = std::io::stdout().lock();
    if matches.get_flag("json") {
        writeln!(out, "{}", serde_json::to_string_pretty(&pictures)?)?;
        return Ok(());
    }
    for reason in &pictures.left_out {
        eprintln!("left out: {reason}");
    }
    for path in &pictures.written {
        writeln!(out, "{}", path.display())?;
    }
    let rows = pictures.runs.iter().filter_map(|run| Some((run.name.clone(), StatsSummary::of(&[run.stats])?)));
    write!(out, "\n{}", stats_table(&rows.collect::<Vec<_>>()))?;
    Ok(())
}

/// What `browse` takes.
pub fn browse_command() -> Command {
    Command::new("browse")
        .about("Write an HTML page with the evaluated images, their objects and what was detected")
        .args_override_self(true)
        .arg(run_arg())
        .arg(
            path_arg("output")
                .short('o')
                .value_name("FILE.html")
                .help("The page [default: browse.html in the run's folder]"),
        )
        .arg(
            Arg::new("images")
                .long("images")
                .value_name("N")
                .value_parser(clap::value_parser!(u64).range(1..))
                .default_value("200")
                .help("At most so many images, spread evenly over those that were evaluated"),
        )
        .arg(
            Arg::new("score-above")
                .long("score-above")
                .value_name("P")
                .value_parser(zero_to_one)
                .default_value("0.05")
                .help("Least score of detections on the page"),
        )
        .arg(
            path_arg("detections")
                .value_name("FILE")
                .conflicts_with("checkpoint")
                .help("Detections in COCO's results format [default: the run's detections.json]"),
        )
        .arg(path_arg("checkpoint").value_name("FILE").help("Detect anew, with these weights"))
        .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print JSON"))
}

/// Runs `browse`.
pub fn browse(matches: &ArgMatches) -> anyhow::Result<()> {
    let run = path(matches, "RUN");
    let given = |name: &str| matches.get_one::<PathBuf>(name).cloned();
    let detections = match (given("detections"), given("checkpoint")) {
        (Some(path), _) => DetectionSource::File(path),
        (_, Some(path)) => DetectionSource::Weights(path),
        _ => DetectionSource::Run,
    };
    let browsed = imbalance_detection::browse(&BrowseRequest {
        output: given("output").unwrap_or_else(|| run.join("browse.html")),
        run,
        detections,
        images: matches.get_one::<u64>("images").map_or(200, |&images| images as usize),
        score_above: matches.get_one::<f64>("score-above").copied().unwrap_or_default(),
    })?;
    let mut out = std::io::stdout().lock();
    if matches.get_flag("json") {
        writeln!(out, "{}", serde_json::to_string_pretty(&browsed)?)?;
        return Ok(());
    }
    for reason in &browsed.skipped {
        eprintln!("left out: {reason}");
    }
    let Browsed { page, images, evaluated, bytes, .. } = &browsed;
    write!(out, "{}: {images} images, {:.1} MB", page.display(), *bytes as f64 / 1e6)?;
    if images < evaluated {
        write!(out, "; {} of the {evaluated} evaluated are left out (see --images)", evaluated - images)?;
    }
    writeln!(out)?;
    Ok(())
}
