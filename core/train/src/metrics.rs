//! Records of a run: JSON Lines for programs, TensorBoard for people.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::{Map, Value, json};

use crate::atomic_file::sync_folder_of;
use crate::error::FileError;
use crate::task::LossPhase;
use crate::tensorboard::EventWriter;

/// One line of `metrics.jsonl`, and one point of each TensorBoard curve `kind/name`.
#[derive(Clone, Debug)]
pub struct Record {
    /// "train" (since the last such record), "epoch" (the whole epoch) or "valid".
    pub kind: &'static str,
    /// Epoch, from 1.
    pub epoch: usize,
    /// Steps taken.
    pub step: u64,
    /// The loss that trained.
    pub phase: LossPhase,
    /// Values by name; reproducible ones only.
    pub values: Vec<(String, f64)>,
    /// Values that depend on the machine's speed; they go into the field `seconds`.
    pub timings: Vec<(String, f64)>,
}

/// Where records go.
#[derive(Debug)]
pub struct Metrics {
    path: PathBuf,
    file: File,
    events: EventWriter,
    records: u64,
    start: Instant,
    /// Seconds of training before this process took the run up.
    earlier: f64,
}

impl Metrics {
    /// Starts `metrics.jsonl` and an event file in `folder`.
    ///
    /// # Errors
    /// [`FileError`] when they cannot be created.
    pub fn create(folder: &Path) -> Result<Metrics, FileError> {
        let path = folder.join("metrics.jsonl");
        let file = File::create(&path).map_err(FileError::on("create", &path))?;
        // A checkpoint that is on disk after a power failure counts on the file being there too.
        sync_folder_of(&path).map_err(FileError::on("write", folder))?;
        let events = EventWriter::create(folder, None).map_err(FileError::on("write events in", folder))?;
        Ok(Metrics { path, file, events, records: 0, start: Instant::now(), earlier: 0.0 })
    }

    /// Goes on with the first `records` lines of `metrics.jsonl`; later ones belong to steps that will be taken
    /// again. `step` is the number of steps that stay.
    ///
    /// # Errors
    /// [`FileError`] when the files cannot be read or written.
    pub fn resume(folder: &Path, records: u64, step: u64) -> Result<Metrics, FileError> {
        let path = folder.join("metrics.jsonl");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(FileError::on("open", &path))?;
        let bytes = std::fs::read(&path).map_err(FileError::on("read", &path))?;
        let wanted = usize::try_from(records).unwrap_or(usize::MAX);
        let kept: Vec<&[u8]> =
            bytes.split_inclusive(|&byte| byte == b'\n').take(wanted).filter(|l| l.ends_with(b"\n")).collect();
        if kept.len() < wanted {
            eprintln!(
                "warning: {} has {} of the {records} records that the checkpoint knows of",
                path.display(),
                kept.len()
            );
        }
        let length = kept.iter().map(|line| line.len() as u64).sum();
        file.set_len(length).and_then(|()| file.seek(SeekFrom::End(0))).map_err(FileError::on("truncate", &path))?;
        let last: Option<Value> = kept.last().and_then(|line| serde_json::from_slice(line).ok());
        let earlier = last.and_then(|line| line["seconds"]["elapsed"].as_f64()).unwrap_or(0.0);
        let events = EventWriter::create(folder, Some(step + 1)).map_err(FileError::on("write events in", folder))?;
        // What is missing stays missing: the next checkpoint counts the lines that are there.
        let records = kept.len() as u64;
        Ok(Metrics { path, file, events, records, start: Instant::now(), earlier })
    }

    /// Seconds of training so far, earlier parts of a resumed run included.
    pub fn elapsed(&self) -> f64 {
        self.earlier + self.start.elapsed().as_secs_f64()
    }

    /// Lines written.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Writes a record to both sinks. Values that JSON has no number for become null.
    ///
    /// # Errors
    /// [`FileError`] when the disk refuses.
    pub fn write(&mut self, record: &Record) -> Result<(), FileError> {
        let mut line = Map::new();
        line.insert("kind".into(), json!(record.kind));
        line.insert("epoch".into(), json!(record.epoch));
        line.insert("step".into(), json!(record.step));
        line.insert("phase".into(), json!(record.phase));
        line.extend(record.values.iter().map(|(name, value)| (name.clone(), json!(value))));
        let mut seconds = Map::from_iter([("elapsed".to_string(), json!(self.elapsed()))]);
        seconds.extend(record.timings.iter().map(|(name, value)| (name.clone(), json!(value))));
        line.insert("seconds".into(), Value::Object(seconds));
        let mut text = Value::Object(line).to_string();
        text.push('\n');
        // One write a record, so that a reader (and a crash) sees whole lines.
        self.file.write_all(text.as_bytes()).map_err(FileError::on("write", &self.path))?;
        self.records += 1;
        let named = |(name, value): &(String, f64)| (format!("{}/{name}", record.kind), *value);
        let points: Vec<_> = record.values.iter().chain(&record.timings).map(named).collect();
        self.events.scalars(record.step, &points).map_err(FileError::on("write events for", &self.path))
    }

    /// The file of the records, to be synced before a checkpoint counts on them.
    ///
    /// # Errors
    /// [`FileError`] when the system has no second handle for it.
    pub fn file(&self) -> Result<(PathBuf, File), FileError> {
        Ok((self.path.clone(), self.file.try_clone().map_err(FileError::on("write", &self.path))?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(step: u64, loss: f64) -> Record {
        Record {
            kind: "train",
            epoch: 1,
            step,
            phase: LossPhase::Base,
            values: vec![("loss".into(), loss)],
            timings: vec![("tokens_per_second".into(), 10.0)],
        }
    }

    fn lines(folder: &Path) -> Vec<Value> {
        let text = std::fs::read_to_string(folder.join("metrics.jsonl")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_record_is_one_line_with_its_times_apart() {
        let folder = tempfile::tempdir().unwrap();
        let mut metrics = Metrics::create(folder.path()).unwrap();
        metrics.write(&record(1, 0.5)).unwrap();
        metrics.write(&record(2, f64::NAN)).unwrap();
        let lines = lines(folder.path());
        assert_eq!(lines[0]["loss"], 0.5);
        assert_eq!(lines[0]["phase"], "base");
        assert_eq!(lines[0]["seconds"]["tokens_per_second"], 10.0);
        assert!(lines[0]["seconds"]["elapsed"].as_f64().unwrap() >= 0.0);
        assert!(lines[1]["loss"].is_null());
    }

    #[test]
    fn resuming_drops_later_and_half_written_lines_and_keeps_the_clock() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let kept = "{\"step\":1}\n{\"step\":2,\"seconds\":{\"elapsed\":100.0}}\n";
        std::fs::write(&path, format!("{kept}{{\"step\":3}}\n{{\"st")).unwrap();
        let mut metrics = Metrics::resume(folder.path(), 2, 2).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), kept);
        assert!(metrics.elapsed() >= 100.0);
        metrics.write(&record(3, 1.0)).unwrap();
        assert_eq!(metrics.records(), 3);
        assert_eq!(lines(folder.path())[2]["step"], 3);
    }

    #[test]
    fn lines_that_are_missing_are_not_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        std::fs::write(&path, "{\"step\":1}\n{\"st").unwrap();
        let mut metrics = Metrics::resume(folder.path(), 3, 3).unwrap();
        assert_eq!(metrics.records(), 1);
        metrics.write(&record(4, 1.0)).unwrap();
        // A checkpoint here counts two; what is written after it goes when that is gone on from.
        let counted = metrics.records();
        metrics.write(&record(5, 1.0)).unwrap();
        drop(metrics);
        Metrics::resume(folder.path(), counted, 4).unwrap();
        let steps: Vec<Value> = lines(folder.path()).iter().map(|line| line["step"].clone()).collect();
        assert_eq!(steps, [1, 4]);
    }
}
