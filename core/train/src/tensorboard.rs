//! TensorBoard event files with scalars: TFRecord framing around hand-encoded `Event` messages.
//!
//! ```text
//! record = length (u64 LE) · masked crc32c of those 8 bytes · data · masked crc32c of the data
//! Event { double wall_time = 1; int64 step = 2; string file_version = 3; Summary summary = 5; SessionLog session_log = 7 }
//! Summary { repeated Value value = 1 }    Value { string tag = 1; float simple_value = 2 }
//! SessionLog { SessionStatus status = 1 }   (START = 1)
//! ```
//!
//! Field numbers are those of `tensorflow/core/util/event.proto` and `framework/summary.proto`.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Writes one event file.
#[derive(Debug)]
pub struct EventWriter {
    file: File,
}

impl EventWriter {
    /// Creates a new event file in `folder`. With `resume_at`, readers forget what earlier files say
    /// of that step and later ones.
    pub fn create(folder: &Path, resume_at: Option<u64>) -> io::Result<EventWriter> {
        let now = wall_time();
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let host = match host.trim() {
            "" => "localhost",
            name => name,
        };
        let mut attempt = 0;
        let file = loop {
            // Readers take the files in the order of their names, so time comes first.
            let name = format!("events.out.tfevents.{:010}.{host}.{}.{attempt}", now as u64, std::process::id());
            match File::create_new(folder.join(name)) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => attempt += 1,
                other => break other?,
            }
        };
        let mut writer = EventWriter { file };
        writer.write(&version_event(now))?;
        if let Some(step) = resume_at {
            writer.write(&start_event(now, step))?;
        }
        Ok(writer)
    }

    /// Writes scalars, as (tag, value), at a step.
    pub fn scalars(&mut self, step: u64, values: &[(String, f64)]) -> io::Result<()> {
        self.write(&scalar_event(wall_time(), step, values))
    }

    fn write(&mut self, event: &[u8]) -> io::Result<()> {
        self.file.write_all(&frame(event))
    }
}

fn wall_time() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

fn frame(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let mut record = length.to_vec();
    record.extend(masked_crc(&length).to_le_bytes());
    record.extend(data);
    record.extend(masked_crc(data).to_le_bytes());
    record
}

/// TFRecord stores CRCs rotated and offset, so that the CRC of data that contain CRCs is still good.
fn masked_crc(data: &[u8]) -> u32 {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

fn version_event(time: f64) -> Vec<u8> {
    let mut event = event(time, None);
    bytes_field(&mut event, 3, b"brain.Event:2");
    event
}

fn start_event(time: f64, step: u64) -> Vec<u8> {
    let mut event = event(time, Some(step));
    let mut log = Vec::new();
    tag(&mut log, 1, VARINT);
    varint(&mut log, 1);
    bytes_field(&mut event, 7, &log);
    event
}

fn scalar_event(time: f64, step: u64, values: &[(String, f64)]) -> Vec<u8> {
    let mut summary = Vec::new();
    for (name, number) in values {
        let mut value = Vec::new();
        bytes_field(&mut value, 1, name.as_bytes());
        tag(&mut value, 2, FIXED_32);
        value.extend((*number as f32).to_le_bytes());
        bytes_field(&mut summary, 1, &value);
    }
    let mut event = event(time, Some(step));
    bytes_field(&mut event, 5, &summary);
    event
}

fn event(time: f64, step: Option<u64>) -> Vec<u8> {
    let mut out = Vec::new();
    tag(&mut out, 1, FIXED_64);
    out.extend(time.to_le_bytes());
    if let Some(step) = step {
        tag(&mut out, 2, VARINT);
        varint(&mut out, step);
    }
    out
}

const VARINT: u64 = 0;
const FIXED_64: u64 = 1;
const LENGTH: u64 = 2;
const FIXED_32: u64 = 5;

fn tag(out: &mut Vec<u8>, field: u64, wire_type: u64) {
    varint(out, field << 3 | wire_type);
}

fn bytes_field(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    tag(out, field, LENGTH);
    varint(out, bytes.len() as u64);
    out.extend(bytes);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_byte_by_byte() {
        let version = [&[0x09][..], &1.5f64.to_le_bytes(), &[0x1a, 13], b"brain.Event:2"].concat();
        assert_eq!(version_event(1.5), version);

        // Step 300 is 0b10_0101100: ac 02. The value message: tag "a/b" (3 bytes) and 0.25 = 0x3e800000.
        let value = [&[0x0a, 3][..], b"a/b", &[0x15, 0, 0, 0x80, 0x3e]].concat();
        let summary = [&[0x0a, 10][..], &value].concat();
        let scalar = [&[0x09][..], &2.0f64.to_le_bytes(), &[0x10, 0xac, 0x02, 0x2a, 12], &summary].concat();
        assert_eq!(scalar_event(2.0, 300, &[("a/b".into(), 0.25)]), scalar);

        let start = [&[0x09][..], &0f64.to_le_bytes(), &[0x10, 7, 0x3a, 2, 0x08, 1]].concat();
        assert_eq!(start_event(0.0, 7), start);
    }

    #[test]
    fn framing_by_an_independent_crc() {
        // Bitwise CRC-32C (reflected polynomial 0x82f63b78), and its check value for "123456789".
        let crc = |data: &[u8]| {
            !data.iter().fold(!0u32, |crc, &byte| {
                (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ ((crc & 1) * 0x82f6_3b78))
            })
        };
        assert_eq!(crc(b"123456789"), 0xe306_9283);
        let mask = |crc: u32| crc.rotate_right(15).wrapping_add(0xa282_ead8);
        let record = frame(b"xyz");
        assert_eq!(record[..8], [3, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(record[8..12], mask(crc(&record[..8])).to_le_bytes());
        assert_eq!(&record[12..15], b"xyz");
        assert_eq!(record[15..], mask(crc(b"xyz")).to_le_bytes());
    }

    #[test]
    fn a_second_file_in_the_same_second_gets_its_own_name() {
        let folder = tempfile::tempdir().unwrap();
        for _ in 0..3 {
            EventWriter::create(folder.path(), None).unwrap();
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3);
    }
}
