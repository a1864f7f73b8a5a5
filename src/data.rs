//! `toolkit data`: published data sets fetched, any described, annotations converted.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;

use clap::builder::EnumValueParser;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use imbalance_detection::data::{Source, convert};
use imbalance_vision::data::fetch::{Checksum, Download, PUBLISHED};
use imbalance_vision::data::list::ListFiles;
use imbalance_vision::data::{DataError, DatasetKind, Description, ImageSet, LoadOptions, Sizes};

use crate::failure::UsageError;

/// The classes of larger sets are only listed when asked for.
const FEW_CLASSES: usize = 20;

/// The subcommand.
pub fn command() -> Command {
    let fetch = Command::new("fetch")
        .about("Fetch a published data set; continue what was cut off, and check what came")
        .arg(
            Arg::new("set")
                .value_name("SET")
                .help("The data set")
                .required(true)
                .value_parser(PUBLISHED.map(|published| published.name)),
        )
        .arg(
            Arg::new("to")
                .long("to")
                .value_name("FOLDER")
                .help("Where the archive goes; it need not be unpacked")
                .default_value(".")
                .value_parser(value_parser!(PathBuf)),
        )
        .arg(
            Arg::new("mirror")
                .long("mirror")
                .value_name("URL")
                .help("Fetch from here instead: the address of a folder with the file, or of the file (.tar.gz)"),
        )
        .arg(
            Arg::new("checksum")
                .long("checksum")
                .value_name("HEX")
                .help("MD5 or SHA-256 of the file [default: the MD5 that its authors publish]")
                .value_parser(|text: &str| text.parse::<Checksum>()),
        )
        .arg(flag("quiet", "Show no progress"))
        .arg(json());
    let describe = Command::new("describe")
        .about("Describe a data set: classes, images of each, imbalance ratio, image sizes")
        .arg(
            Arg::new("kind")
                .value_name("DATASET")
                .help("The data set, or the layout of one's own")
                .required(true)
                .value_parser(EnumValueParser::<DatasetKind>::new()),
        )
        .arg(path("data", "PATH", "Folder or archive of the data set"))
        .arg(path("images", "FOLDER", "Folder that the paths in list files start from [default: that of the lists]"))
        .arg(
            path("train-list", "FILE", "Training images, `path label` a line, for the layout `list`")
                .requires("test-list"),
        )
        .arg(path("val-list", "FILE", "Validation images likewise").requires("train-list"))
        .arg(path("test-list", "FILE", "Test images likewise").requires("train-list").conflicts_with("data"))
        .arg(flag("allow-empty-classes", "Take classes without training images"))
        .arg(flag("per-class", "List the classes however many there are"))
        .arg(json());
    let convert = Command::new("convert")
        .about("Make COCO annotations of a VOC or YOLO folder, for `toolkit detection`")
        .arg(
            Arg::new("FOLDER")
                .required(true)
                .value_parser(value_parser!(PathBuf))
                .help("The folder; its images stay where they are"),
        )
        .arg(
            Arg::new("from")
                .long("from")
                .value_name("FORMAT")
                .required(true)
                .value_parser(EnumValueParser::<Source>::new())
                .help("What is there"),
        )
        .arg(path("to", "FOLDER", "Where annotations go [default: annotations in FOLDER, where --data finds them]"));
    Command::new("data")
        .about("Fetch published data sets, describe any, convert annotations")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(fetch)
        .subcommand(describe)
        .subcommand(convert)
}

fn flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).help(help).action(ArgAction::SetTrue)
}

fn json() -> Arg {
    flag("json", "Print JSON")
}

fn path(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).help(help).value_parser(value_parser!(PathBuf))
}

/// Runs `toolkit data …`.
///
/// # Errors
/// The data set cannot be fetched or read.
pub fn run(matches: &ArgMatches) -> anyhow::Result<()> {
    match matches.subcommand() {
        Some(("fetch", matches)) => fetch(matches),
        Some(("describe", matches)) => describe(matches),
        Some(("convert", matches)) => convert_annotations(matches),
        _ => Ok(()),
    }
}

fn convert_annotations(matches: &ArgMatches) -> anyhow::Result<()> {
    let folder = matches.get_one::<PathBuf>("FOLDER").cloned().unwrap_or_default();
    let to = matches.get_one::<PathBuf>("to").cloned().unwrap_or_else(|| folder.join("annotations"));
    let Some(&source) = matches.get_one::<Source>("from") else { return Ok(()) };
    let converted = convert(source, &folder, &to)?;
    for note in &converted.notes {
        eprintln!("{note}");
    }
    let mut out = std::io::stdout().lock();
    for written in &converted.written {
        let (path, images) = (written.annotations.display(), written.image_count);
        writeln!(out, "{path}: {images} images, {} boxes; images in {}", written.box_count, written.images.display())?;
    }
    Ok(())
}

fn fetch(matches: &ArgMatches) -> anyhow::Result<()> {
    let name = matches.get_one::<String>("set");
    let (Some(published), Some(folder)) = (
        PUBLISHED.iter().find(|published| name.is_some_and(|name| name == published.name)),
        matches.get_one::<PathBuf>("to"),
    ) else {
        return Ok(());
    };
    let url = published.url(matches.get_one::<String>("mirror").map(String::as_str));
    let checksum = matches.get_one::<Checksum>("checksum").cloned();
    let checksum = checksum.unwrap_or_else(|| Checksum::Md5(published.md5.into()));
    let download = Download { url: url.clone(), path: folder.join(published.file), checksum };

    let mut progress = Progress::new(matches.get_flag("quiet"));
    let fetched = download.run(&mut |received, total| progress.show(received, total));
    progress.end();
    let fetched = fetched?;

    let path = fetched.path.display().to_string();
    let mut out = std::io::stdout().lock();
    if matches.get_flag("json") {
        let report = serde_json::json!({
            "path": path,
            "url": url,
            "bytes": fetched.bytes,
            "sha256": fetched.sha256,
            "had": fetched.had,
        });
        writeln!(out, "{report:#}")?;
        return Ok(());
    }
    let how = match fetched.had {
        had if had == fetched.bytes => ", was there already".to_owned(),
        0 => String::new(),
        had => format!(", continued after {had}"),
    };
    writeln!(out, "{path}  {} bytes{how}", fetched.bytes)?;
    writeln!(out, "SHA-256 {}", fetched.sha256)?;
    Ok(())
}

/// How far a download is, on stderr: one changing line on a terminal, a line every tenth elsewhere.
struct Progress {
    quiet: bool,
    terminal: bool,
    shown: Option<u64>,
}

impl Progress {
    fn new(quiet: bool) -> Self {
        Self { quiet, terminal: std::io::stderr().is_terminal(), shown: None }
    }

    fn show(&mut self, received: u64, total: Option<u64>) {
        const MEGABYTE: u64 = 1_000_000;
        let (steps, of_total) = match total {
            Some(total) => (if self.terminal { 1000 } else { 10 }, format!(" of {:.1}", megabytes(total))),
            None => (0, String::new()),
        };
        // Without a total, so many megabytes.
        let step = match total {
            Some(total) => received * steps / total.max(1),
            None => received / (10 * MEGABYTE),
        };
        if self.quiet || self.shown == Some(step) {
            return;
        }
        self.shown = Some(step);
        let (before, after) = if self.terminal { ("\r", "") } else { ("", "\n") };
        // That nobody can read the progress is no reason to stop.
        let _ = write!(std::io::stderr(), "{before}{:.1}{of_total} MB{after}", megabytes(received));
    }

    fn end(&self) {
        if self.terminal && self.shown.is_some() {
            eprintln!();
        }
    }
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

fn describe(matches: &ArgMatches) -> anyhow::Result<()> {
    let Some(&kind) = matches.get_one::<DatasetKind>("kind") else { return Ok(()) };
    let options = LoadOptions {
        images: matches.get_one::<PathBuf>("images").cloned(),
        allow_empty_classes: matches.get_flag("allow-empty-classes"),
        ..LoadOptions::default()
    };
    let given = |name: &str| matches.get_one::<PathBuf>(name).cloned();
    let lists = given("train-list").zip(given("test-list"));
    let set = match lists {
        Some((train, _)) if kind != DatasetKind::List => {
            let message = format!("--train-list {} is for the layout list, not {kind}", train.display());
            return Err(UsageError(message).into());
        }
        Some((train, test)) => {
            ImageSet::from_lists(&kind.name(), &ListFiles { train, validation: given("val-list"), test }, &options)
        }
        None => ImageSet::load_with(kind, given("data").as_deref(), &options),
    };
    let set = set.map_err(|error| match error {
        DataError::NoPath { .. } | DataError::NeedlessPath { .. } => UsageError(error.to_string()).into(),
        error => anyhow::Error::from(error),
    })?;
    let description = set.describe();
    let mut out = std::io::stdout().lock();
    if matches.get_flag("json") {
        writeln!(out, "{}", serde_json::to_string_pretty(&description)?)?;
        return Ok(());
    }
    write!(out, "{}", text(&description, matches.get_flag("per-class")))?;
    Ok(())
}

fn text(set: &Description, per_class: bool) -> String {
    let mut lines = vec![format!("{}: {} classes", set.name, set.classes.len())];
    for split in &set.splits {
        lines.push(format!("  {:10}  {:8} images  {}", split.name, split.images, sizes(&split.sizes)));
    }
    let by_train = || set.classes.iter().map(|class| (class.train, class.name.as_str()));
    // The first of several that are equal.
    if let (Some(most), Some(fewest)) =
        (by_train().rev().max_by_key(|(count, _)| *count), by_train().min_by_key(|(count, _)| *count))
    {
        lines.push(format!(
            "  training images a class: {} ({}) to {} ({}), imbalance ratio {:.4}",
            most.0, most.1, fewest.0, fewest.1, set.imbalance_ratio
        ));
    }
    if per_class || set.classes.len() <= FEW_CLASSES {
        let width = set.classes.iter().map(|class| class.name.chars().count()).max().unwrap_or_default().max(5);
        let validation = set.classes.iter().any(|class| class.validation.is_some());
        let columns = |train: &str, held: &str, test: &str| {
            let held = if validation { format!("  {held:>10}") } else { String::new() };
            format!("  {train:>8}{held}  {test:>8}")
        };
        lines.push(String::new());
        lines.push(format!("{:>6}  {:width$}{}", "label", "class", columns("train", "validation", "test")));
        for (label, class) in set.classes.iter().enumerate() {
            let held = class.validation.unwrap_or_default().to_string();
            let numbers = columns(&class.train.to_string(), &held, &class.test.to_string());
            lines.push(format!("{label:>6}  {:width$}{numbers}", class.name));
        }
    }
    lines.extend(set.notes.iter().map(|note| format!("note: {note}")));
    lines.join("\n") + "\n"
}

/// "32×32", or the range of widths and heights.
fn sizes(sizes: &Sizes) -> String {
    let range = |[low, high]: [usize; 2]| if low == high { low.to_string() } else { format!("{low}–{high}") };
    let mut text = match (sizes.width, sizes.height) {
        (Some(width), Some(height)) => format!("{}×{} pixels", range(width), range(height)),
        _ => "no image that can be read".to_owned(),
    };
    if let Some(first) = sizes.unreadable.first() {
        let count = sizes.unreadable.len();
        text += &format!("; {count} of {} looked at are no JPEG or PNG: {}", sizes.looked_at, first.display());
        text += if count > 1 { ", …" } else { "" };
    }
    text
}
