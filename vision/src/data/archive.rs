//! Files out of a tar archive, which may be compressed by gzip or xz.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use lzma_rust2::XzReader;

use super::DataError;

/// A file of an archive.
pub(super) struct Member {
    /// Its path, with the archive's as if that were a folder.
    pub path: PathBuf,
    /// Its name, without folders.
    pub name: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// The files of an archive whose names are wanted, in the archive's order, and the names of the others. The compression
/// is told by the first bytes, not by the name.
///
/// The archive is read to its end, so that the checksums of its compression are verified.
pub(super) fn read(path: &Path, wanted: impl Fn(&str) -> bool) -> Result<(Vec<Member>, Vec<String>), DataError> {
    let open = |reason| DataError::from_io(path, reason, "an archive");
    let mut file = BufReader::with_capacity(1 << 18, File::open(path).map_err(open)?);
    let mut start = Vec::new();
    (&mut file).take(512).read_to_end(&mut start).map_err(open)?;
    file.rewind().map_err(open)?;
    let stream: Box<dyn Read> = if start.starts_with(b"\x1f\x8b") {
        Box::new(MultiGzDecoder::new(file))
    } else if start.starts_with(b"\xfd7zXZ\0") {
        Box::new(XzReader::new(file, true))
    } else if start.get(257..262) == Some(b"ustar") {
        Box::new(file)
    } else {
        return Err(DataError::NotAnArchive { path: path.into() });
    };
    unpack(path, stream, wanted).map_err(|reason| DataError::DamagedArchive { path: path.into(), reason })
}

fn unpack(path: &Path, stream: Box<dyn Read>, wanted: impl Fn(&str) -> bool) -> io::Result<(Vec<Member>, Vec<String>)> {
    let mut archive = tar::Archive::new(stream);
    let (mut members, mut others) = (Vec::new(), Vec::new());
    for entry in archive.entries()? {
        let mut entry = entry?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let within = entry.path()?.into_owned();
        let name = within.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !wanted(&name) {
            others.push(name);
            continue;
        }
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes)?;
        // At the end of the archive the reader gives what there is and no error.
        if (bytes.len() as u64) < entry.size() {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("{} of {} bytes of {}", bytes.len(), entry.size(), within.display()),
            ));
        }
        members.push(Member { path: path.join(&within), name, bytes });
    }
    io::copy(&mut archive.into_inner(), &mut io::sink())?;
    Ok((members, others))
}
