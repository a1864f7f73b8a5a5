//! The records of a run over time.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;

/// Records of one kind in a run's `metrics.jsonl`, by columns.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(super) struct Track {
    /// "train", "epoch" or "valid".
    pub kind: String,
    /// 1, or 2 for the second stage.
    pub stage: u8,
    pub step: Vec<u64>,
    /// Epochs done at each record, with a fraction within an epoch.
    pub epoch: Vec<f64>,
    /// Seconds of training.
    pub time: Vec<f64>,
    /// By name, in the order of the file; `None` where a record has no such value.
    pub values: Vec<(String, Vec<Option<f64>>)>,
}

/// The tracks of a `metrics.jsonl`, none where there is no such file. Lines that are no JSON, as a run that was stopped may
/// leave, are passed over.
///
/// # Errors
/// A file that is there and cannot be read.
pub(super) fn tracks(path: &Path, stage: u8) -> io::Result<Vec<Track>> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let text = String::from_utf8_lossy(&bytes);
    let records: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let ends = epoch_ends(&records);
    let mut tracks: Vec<Track> = Vec::new();
    for record in &records {
        let (Some(kind), Some(step)) = (record["kind"].as_str(), record["step"].as_u64()) else { continue };
        let place = tracks.iter().position(|track| track.kind == kind).unwrap_or_else(|| {
            tracks.push(Track { kind: kind.to_owned(), stage, ..Track::default() });
            tracks.len() - 1
        });
        tracks[place].add(record, step, &ends);
    }
    Ok(tracks)
}

impl Track {
    fn add(&mut self, record: &Value, step: u64, ends: &BTreeMap<u64, u64>) {
        let before = self.step.len();
        self.step.push(step);
        self.epoch.push(short(epochs_done(record["epoch"].as_u64().unwrap_or(0), step, ends)));
        self.time.push((10.0 * record["seconds"]["elapsed"].as_f64().unwrap_or(0.0)).round() / 10.0);
        let own = record.as_object().into_iter().flatten();
        let own = own.filter(|(name, _)| !["kind", "epoch", "step", "phase", "seconds"].contains(&name.as_str()));
        let seconds = record["seconds"].as_object().into_iter().flatten().filter(|(name, _)| *name != "elapsed");
        for (name, value) in own.chain(seconds) {
            let place = self.values.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
                self.values.push((name.clone(), vec![None; before]));
                self.values.len() - 1
            });
            self.values[place].1.push(value.as_f64().map(short));
        }
        for (_, values) in &mut self.values {
            values.resize(before + 1, None);
        }
    }
}

/// The last step of each epoch that is done.
fn epoch_ends(records: &[Value]) -> BTreeMap<u64, u64> {
    let done = records.iter().filter(|record| record["kind"] == "epoch" || record["kind"] == "valid");
    done.filter_map(|record| Some((record["epoch"].as_u64()?, record["step"].as_u64()?))).collect()
}

/// Epochs done at a step of `epoch`: whole at its end, between as the share of its steps. An epoch that is not done yet is
/// taken to be as long as the one before; without one, its start is all that is known.
fn epochs_done(epoch: u64, step: u64, ends: &BTreeMap<u64, u64>) -> f64 {
    let end = |epoch: u64| if epoch == 0 { Some(0) } else { ends.get(&epoch).copied() };
    let before = epoch.saturating_sub(1);
    let Some(start) = end(before) else { return epoch as f64 };
    let length = match end(epoch) {
        Some(end) => end.saturating_sub(start),
        None => before.checked_sub(1).and_then(end).map_or(0, |earlier| start.saturating_sub(earlier)),
    };
    let share = if length == 0 { 0.0 } else { step.saturating_sub(start) as f64 / length as f64 };
    before as f64 + share.min(1.0)
}

/// Six significant digits: finer than a screen shows, and short to write.
pub(super) fn short(value: f64) -> f64 {
    format!("{value:.5e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Vec<Track> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), lines.join("\n")).unwrap();
        tracks(file.path(), 1).unwrap()
    }

    #[test]
    fn records_become_columns() {
        let found = read(&[
            r#"{"kind":"train","epoch":1,"step":5,"phase":"base","loss":2.1234567,"seconds":{"elapsed":1.26,"images_per_second":9.0}}"#,
            r#"{"kind":"valid","epoch":1,"step":10,"accuracy":50.0,"seconds":{"elapsed":3.0,"validation":0.5}}"#,
            r#"{"kind":"train","epoch":2,"step":15,"loss":null,"lr":0.1,"seconds":{"elapsed":4.0,"images_per_second":8.0}}"#,
            "not JSON",
            r#"{"kind":"tr"#,
        ]);
        let [train, valid] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((train.kind.as_str(), train.step.as_slice()), ("train", &[5, 15][..]));
        assert_eq!(train.time, [1.3, 4.0]);
        assert_eq!(train.epoch, [0.5, 1.5], "the second epoch is taken to be as long as the first");
        let values = [
            ("loss".to_owned(), vec![Some(2.12346), None]),
            ("images_per_second".to_owned(), vec![Some(9.0), Some(8.0)]),
            ("lr".to_owned(), vec![None, Some(0.1)]),
        ];
        assert_eq!(train.values, values);
        assert_eq!((valid.epoch.as_slice(), valid.values.len()), (&[1.0][..], 2));
        assert_eq!(tracks(Path::new("/nowhere/metrics.jsonl"), 1).unwrap(), []);
    }

    #[test]
    fn epochs_by_hand() {
        let ends = BTreeMap::from([(1, 100), (2, 180)]);
        let of = |epoch, step| epochs_done(epoch, step, &ends);
        assert_eq!([of(1, 50), of(1, 100), of(2, 140), of(3, 200)], [0.5, 1.0, 1.5, 2.25]);
        assert_eq!(epochs_done(1, 50, &BTreeMap::new()), 0.0);
        assert_eq!(epochs_done(5, 50, &BTreeMap::new()), 5.0, "records before it are missing");
    }
}
