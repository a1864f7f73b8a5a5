//! Scores as plain text, aligned for a terminal.

use super::{
    Bootstrap, ClassScores, Frequency, FrequencyGroups, LvisClass, Resampled, Stats, Tide, TideError, TideErrorType,
};
use crate::align::align;

/// The scores of each category, one a line; `-` without boxes.
pub fn class_table(classes: &[ClassScores]) -> String {
    let mut lines = vec![cells(["category", "boxes", "images", "AP", "AP50", "AR100"])];
    lines.extend(classes.iter().map(|class| {
        cells([
            format!("{} {}", class.category_id, class.name),
            class.boxes.to_string(),
            class.images.to_string(),
            score(class.ap),
            score(class.ap50),
            score(class.ar100),
        ])
    }));
    align(&lines)
}

/// LVIS's scores of each category, one a line; `-` without boxes.
pub fn lvis_class_table(classes: &[LvisClass]) -> String {
    let mut lines = vec![cells(["category", "frequency", "AP", "AP50"])];
    lines.extend(classes.iter().map(|class| {
        cells([
            format!("{} {}", class.category_id, class.name),
            class.frequency.clone().unwrap_or_else(|| "-".to_owned()),
            score(class.ap),
            score(class.ap50),
        ])
    }));
    align(&lines)
}

/// The scores of rare, common and frequent categories, and below what makes the groups.
pub fn group_table(groups: &FrequencyGroups) -> String {
    let mut lines = vec![cells(["group", "categories", "with boxes", "boxes", "AP", "AP50", "AR100"])];
    lines.extend(Frequency::ALL.map(|frequency| {
        let group = groups.of(frequency);
        cells([
            frequency.name().to_owned(),
            group.categories.to_string(),
            group.categories_with_boxes.to_string(),
            group.boxes.to_string(),
            score(group.ap),
            score(group.ap50),
            score(group.ar100),
        ])
    }));
    format!("{}groups by {}\n", align(&lines), groups.source.text())
}

/// Kinds of error, how many there are and how much AP50 would rise without them.
pub fn tide_table(tide: &Tide) -> String {
    let mut lines = vec![cells(["error", "count", "ΔAP50"])];
    lines.extend(tide.errors.iter().map(|TideError { error, count, delta_ap50 }| {
        cells([describe(*error).to_owned(), count.to_string(), format!("{delta_ap50:+.3}")])
    }));
    for (name, delta) in [
        ("all false positives", tide.delta_ap50_false_positives),
        ("all false negatives", tide.delta_ap50_false_negatives),
    ] {
        lines.push(cells([name.to_owned(), String::new(), format!("{delta:+.3}")]));
    }
    align(&lines)
}

fn describe(error: TideErrorType) -> &'static str {
    match error {
        TideErrorType::Classification => "classification: right box, wrong category",
        TideErrorType::Localisation => "localisation: right category, IoU .1 to .5",
        TideErrorType::Both => "both: wrong category, IoU .1 to .5",
        TideErrorType::Duplicate => "duplicate: found already",
        TideErrorType::Background => "background: IoU below .1",
        TideErrorType::Missed => "missed: not found at all",
    }
}

/// The 12 numbers of two systems and the difference, of the first less the second; for AP, AP50 and AP75 with its 95 %
/// interval and the share of resamples in which it is above 0.
pub fn comparison_table(first: (&str, &Stats), second: (&str, &Stats), bootstrap: Option<&Bootstrap>) -> String {
    let mut heading = cells(["", first.0, second.0, "difference"]);
    if bootstrap.is_some() {
        heading.extend(cells(["95 % interval", "above 0"]));
    }
    let mut lines = vec![heading];
    for (at, name) in Stats::NAMES.iter().enumerate() {
        let (a, b) = (first.1.values()[at], second.1.values()[at]);
        let computed = |value: f64| (value >= 0.0).then_some(value);
        let difference = computed(a).zip(computed(b)).map(|(a, b)| a - b);
        let signed = |value: f64| format!("{value:+.3}");
        let mut line =
            cells([(*name).to_owned(), score(computed(a)), score(computed(b)), difference.map_or("-".into(), signed)]);
        if let Some(resampled) = bootstrap.and_then(|bootstrap| resampled_of(bootstrap, name)) {
            let Resampled { lower, upper, share_above_zero } = resampled;
            line.push(format!("{lower:+.3} to {upper:+.3}"));
            line.push(format!("{:.1} %", 100.0 * share_above_zero));
        }
        lines.push(line);
    }
    let mut text = align(&lines);
    if let Some(Bootstrap { resamples, resamples_without_boxes, seed, images, .. }) = bootstrap {
        text += &format!("{resamples} resamples of {images} images, seed {seed}");
        if *resamples_without_boxes > 0 {
            text += &format!("; {resamples_without_boxes} without a box to be found are left out");
        }
        text.push('\n');
    }
    text
}

fn resampled_of(bootstrap: &Bootstrap, name: &str) -> Option<Resampled> {
    match name {
        "AP" => bootstrap.ap,
        "AP50" => bootstrap.ap50,
        "AP75" => bootstrap.ap75,
        _ => None,
    }
}

fn score(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"))
}

fn cells<const N: usize>(cells: [impl Into<String>; N]) -> Vec<String> {
    cells.map(Into::into).to_vec()
}
