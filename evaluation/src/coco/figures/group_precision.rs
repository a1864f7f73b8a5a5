//! Average precision of rare, common and frequent classes.

use crate::coco::{Frequency, FrequencyGroups, GroupSource};
use crate::figure::Figure;
use crate::plot::{Bars, PlotError, bars_figure, check_runs};

/// Draws AP of rare, common and frequent classes as bars, with the number of classes below each group; groups in which no class
/// has boxes to be found are left out.
///
/// # Errors
/// No runs; a run without classes that have boxes to be found.
pub fn group_precision_figure(runs: &[(String, FrequencyGroups)]) -> Result<Figure, PlotError> {
    let figure = "AP by frequency";
    check_runs(figure, runs)?;
    let shown: Vec<Frequency> = Frequency::ALL
        .into_iter()
        .filter(|&group| runs.iter().any(|(_, groups)| groups.of(group).categories_with_boxes > 0))
        .collect();
    let name = |&group: &Frequency| match runs[0].1.of(group).categories_with_boxes {
        1 => format!("{} (1 class)", group.name()),
        classes => format!("{} ({classes} classes)", group.name()),
    };
    let values = |groups: &FrequencyGroups| -> Vec<Option<f64>> {
        shown.iter().map(|&group| groups.of(group).ap.map(|ap| 100.0 * ap)).collect()
    };
    let note = match runs[0].1.source {
        GroupSource::GroundTruth => "groups: as the annotations say",
        GroupSource::TrainImages => "training images of a class: rare at most 10, common at most 100",
        GroupSource::Thirds => "groups: thirds of the classes by the images evaluated",
    };
    bars_figure(Bars {
        figure,
        lacks: "class with boxes to be found",
        label: "mean AP of the classes (%)",
        note: note.to_owned(),
        groups: shown.iter().map(name).collect(),
        runs: runs.iter().map(|(name, groups)| (name.clone(), values(groups))).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coco::GroupScores;

    #[test]
    fn groups_with_boxes_are_bars() {
        let group = |categories_with_boxes, ap| GroupScores { categories_with_boxes, ap, ..GroupScores::default() };
        let groups = |source| FrequencyGroups {
            source,
            rare: group(1, Some(0.0625)),
            common: group(0, None),
            frequent: group(7, Some(0.5)),
        };
        let figure = group_precision_figure(&[("CE".to_owned(), groups(GroupSource::TrainImages))]).unwrap();
        let panel = &figure.panels[0];
        let names: Vec<&str> = panel.x.ticks.iter().map(|(_, name)| name.as_str()).collect();
        assert_eq!(names, ["rare (1 class)", "frequent (7 classes)"]);
        assert_eq!(panel.blocks.iter().map(|block| block.y.1).collect::<Vec<_>>(), [6.25, 50.0]);
        assert!(panel.note.contains("at most 10"));
        let empty = FrequencyGroups { rare: group(0, None), frequent: group(0, None), ..groups(GroupSource::Thirds) };
        assert!(group_precision_figure(&[("CE".to_owned(), empty)]).is_err());
    }
}
