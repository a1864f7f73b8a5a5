//! Downloads of published data sets: continued where they were cut off, checked, and never half there.

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use md5::Md5;
use sha2::{Digest, Sha256};
use ureq::Agent;
use ureq::http::{Response, StatusCode, header};

use super::source::hex;

/// A data set that can be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// Its name on the command line.
    pub name: &'static str,
    /// The file.
    pub file: &'static str,
    /// The folder of the file on its authors' server.
    pub origin: &'static str,
    /// MD5 of the file, as its authors publish it.
    pub md5: &'static str,
}

/// CIFAR-10 and CIFAR-100, binary versions (<https://www.cs.toronto.edu/~kriz/cifar.html>).
pub const PUBLISHED: [Published; 2] = [
    Published {
        name: "cifar-10",
        file: "cifar-10-binary.tar.gz",
        origin: "https://www.cs.toronto.edu/~kriz",
        md5: "c32a1d4ab5d03f1284b67883e8d87530",
    },
    Published {
        name: "cifar-100",
        file: "cifar-100-binary.tar.gz",
        origin: "https://www.cs.toronto.edu/~kriz",
        md5: "03b5dce01913d631647c71ecec9e9cb8",
    },
];

impl Published {
    /// Its address on the authors' server, or on a mirror: the address of a folder with the file, or of the file.
    pub fn url(&self, mirror: Option<&str>) -> String {
        let base = mirror.unwrap_or(self.origin);
        if base.ends_with(".tar.gz") {
            base.to_owned()
        } else {
            format!("{}/{}", base.trim_end_matches('/'), self.file)
        }
    }
}

/// What the bytes of a file must hash to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checksum {
    /// MD5, 32 hexadecimal digits: against accidents, not against forgery.
    Md5(String),
    /// SHA-256, 64 hexadecimal digits.
    Sha256(String),
}

impl FromStr for Checksum {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.to_ascii_lowercase();
        let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        match digits.len() {
            32 if is_hex => Ok(Self::Md5(digits)),
            64 if is_hex => Ok(Self::Sha256(digits)),
            _ => Err("a checksum is 32 (MD5) or 64 (SHA-256) hexadecimal digits".into()),
        }
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Md5(digits) => write!(f, "MD5 {digits}"),
            Self::Sha256(digits) => write!(f, "SHA-256 {digits}"),
        }
    }
}

/// Why a file could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The server cannot be reached, or does not speak HTTP.
    #[error("{url}: cannot be reached: {reason}; is there a network? A copy elsewhere can be named with --mirror")]
    Network {
        /// The address.
        url: String,
        /// What the connection said.
        reason: Box<ureq::Error>,
    },
    /// The server will not give the file.
    #[error("{url}: the server answered {status}; a copy elsewhere can be named with --mirror")]
    Status {
        /// The address.
        url: String,
        /// The answer.
        status: StatusCode,
    },
    /// The connection ended early.
    #[error("{url}: cut off after {received} bytes{}: {reason}; {} is kept, and the same command continues it", of_total(*.total), .part.display())]
    Interrupted {
        /// The address.
        url: String,
        /// What there is of the file.
        part: PathBuf,
        /// Its bytes.
        received: u64,
        /// The bytes of the whole, if the server said.
        total: Option<u64>,
        /// What the connection said.
        reason: Box<ureq::Error>,
    },
    /// What was sent is not the file.
    #[error("{url}: what was sent has the {found}, where {expected} is right; nothing was kept")]
    WrongChecksum {
        /// The address.
        url: String,
        /// The right one.
        expected: Checksum,
        /// The one found.
        found: Checksum,
    },
    /// A file of that name that is another.
    #[error("{}: is there already, with the {found} where {expected} is right; move it away to fetch it again", .path.display())]
    Different {
        /// The file.
        path: PathBuf,
        /// The right one.
        expected: Checksum,
        /// The one found.
        found: Checksum,
    },
    /// Another process is at it.
    #[error("{}: another process is fetching this file", .part.display())]
    Busy {
        /// What there is of the file.
        part: PathBuf,
    },
    /// The file cannot be written.
    #[error("{}: cannot be written: {reason}", .path.display())]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        reason: io::Error,
    },
}

fn of_total(total: Option<u64>) -> String {
    total.map(|total| format!(" of {total}")).unwrap_or_default()
}

/// A file that has been fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The file.
    pub path: PathBuf,
    /// Its bytes.
    pub bytes: u64,
    /// SHA-256 of its bytes in lower-case hexadecimal, also written beside it as `FILE.sha256`.
    pub sha256: String,
    /// How many of its bytes were there from a download that was cut off; all of them, if it was there already.
    pub had: u64,
}

/// A file to fetch.
#[derive(Debug, Clone)]
pub struct Download {
    /// Its address.
    pub url: String,
    /// Where it goes.
    pub path: PathBuf,
    /// What it must be.
    pub checksum: Checksum,
}

/// How far a download is: the bytes that are there, and all of them, if the server said.
pub type OnProgress<'a> = &'a mut dyn FnMut(u64, Option<u64>);

/// A part of a file, with its hashes so far.
struct Part {
    path: PathBuf,
    file: File,
    received: u64,
    md5: Md5,
    sha256: Sha256,
}

impl Download {
    /// Fetches the file, unless it is there.
    ///
    /// What arrives goes to `PATH.part`, which is continued by later calls (an HTTP range request; a server that has
    /// none is asked for the whole again) and takes its name once the checksum is right.
    ///
    /// # Errors
    /// See [`FetchError`]. Only the part is left, and nothing where nothing has arrived or what has is wrong.
    pub fn run(&self, progress: OnProgress<'_>) -> Result<Fetched, FetchError> {
        if let Some(there) = self.already_there()? {
            return Ok(there);
        }
        let mut part = Part::open(self.beside(".part"))?;
        let mut had = part.received;
        loop {
            self.receive(&mut part, progress).inspect_err(|_| {
                // An empty part is of no use; that it cannot be removed is no matter.
                if part.received == 0 {
                    let _ = fs::remove_file(&part.path);
                }
            })?;
            let found = part.checksum_like(&self.checksum);
            if found == self.checksum {
                break;
            }
            let resumed = had > 0;
            part.clear()?;
            had = 0;
            // The old part may have been of another file; the whole, fetched anew, may not.
            if !resumed {
                fs::remove_file(&part.path).map_err(disk(&part.path))?;
                return Err(FetchError::WrongChecksum {
                    url: self.url.clone(),
                    expected: self.checksum.clone(),
                    found,
                });
            }
        }
        let sha256 = hex(&part.sha256.clone().finalize());
        let fetched = Fetched { path: self.path.clone(), bytes: part.received, sha256, had: had.min(part.received) };
        part.file.sync_all().map_err(disk(&part.path))?;
        fs::rename(&part.path, &self.path).map_err(disk(&self.path))?;
        self.record(&fetched)?;
        Ok(fetched)
    }

    fn beside(&self, ending: &str) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(ending);
        path.into()
    }

    fn already_there(&self) -> Result<Option<Fetched>, FetchError> {
        if !self.path.exists() {
            return Ok(None);
        }
        let part = Part::read(self.path.clone(), File::open(&self.path).map_err(disk(&self.path))?)?;
        let found = part.checksum_like(&self.checksum);
        if found != self.checksum {
            let (path, expected) = (self.path.clone(), self.checksum.clone());
            return Err(FetchError::Different { path, expected, found });
        }
        let (path, bytes, sha256) = (self.path.clone(), part.received, hex(&part.sha256.finalize()));
        let fetched = Fetched { path, bytes, sha256, had: bytes };
        self.record(&fetched)?;
        Ok(Some(fetched))
    }

    /// Writes the SHA-256 in the format of `sha256sum`.
    fn record(&self, fetched: &Fetched) -> Result<(), FetchError> {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let record = self.beside(".sha256");
        fs::write(&record, format!("{}  {name}\n", fetched.sha256)).map_err(disk(&record))
    }

    /// Receives what is missing.
    fn receive(&self, part: &mut Part, progress: OnProgress<'_>) -> Result<(), FetchError> {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(Duration::from_secs(30)))
            .timeout_recv_response(Some(Duration::from_secs(60)))
            .user_agent(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")))
            .build();
        let agent: Agent = config.into();
        loop {
            let before = part.received;
            match self.receive_once(&agent, part, progress) {
                // Something arrived, so that going on may get the rest.
                Err(FetchError::Interrupted { .. }) if part.received > before => {}
                // The server has less than the part, which is thus of another file.
                Err(FetchError::Status { status: StatusCode::RANGE_NOT_SATISFIABLE, .. }) if before > 0 => {
                    part.clear()?
                }
                ended => return ended,
            }
        }
    }

    fn receive_once(&self, agent: &Agent, part: &mut Part, progress: OnProgress<'_>) -> Result<(), FetchError> {
        let mut request = agent.get(&self.url);
        if part.received > 0 {
            request = request.header(header::RANGE, format!("bytes={}-", part.received));
        }
        let failed = |part: &Part, total, reason| match part.received {
            0 => FetchError::Network { url: self.url.clone(), reason: Box::new(reason) },
            received => FetchError::Interrupted {
                url: self.url.clone(),
                part: part.path.clone(),
                received,
                total,
                reason: Box::new(reason),
            },
        };
        let mut response = request.call().map_err(|reason| failed(part, None, reason))?;
        let total = match response.status() {
            StatusCode::OK => {
                part.clear()?;
                number(&response, header::CONTENT_LENGTH)
            }
            StatusCode::PARTIAL_CONTENT if starts_at(&response) == Some(part.received) => total_of_range(&response),
            StatusCode::RANGE_NOT_SATISFIABLE if total_of_range(&response) == Some(part.received) => return Ok(()),
            status => return Err(FetchError::Status { url: self.url.clone(), status }),
        };
        progress(part.received, total);
        let mut body = response.body_mut().as_reader();
        let mut block = vec![0; 1 << 17];
        loop {
            match body.read(&mut block) {
                Ok(0) => break,
                Ok(read) => part.append(&block[..read])?,
                Err(reason) if reason.kind() == io::ErrorKind::Interrupted => continue,
                Err(reason) => return Err(failed(part, total, reason.into())),
            }
            progress(part.received, total);
        }
        match total {
            Some(total) if part.received < total => {
                let reason = io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection");
                Err(failed(part, Some(total), reason.into()))
            }
            _ => Ok(()),
        }
    }
}

impl Part {
    /// Opens a part, or begins one, and keeps other processes out of it.
    fn open(path: PathBuf) -> Result<Self, FetchError> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(disk(folder))?;
        }
        let open = OpenOptions::new().read(true).append(true).create(true).open(&path);
        let file = open.map_err(disk(&path))?;
        match file.try_lock() {
            Ok(()) => Self::read(path, file),
            Err(TryLockError::WouldBlock) => Err(FetchError::Busy { part: path }),
            // Some network file systems have no locks.
            Err(TryLockError::Error(reason)) if reason.kind() == io::ErrorKind::Unsupported => Self::read(path, file),
            Err(TryLockError::Error(reason)) => Err(FetchError::Disk { path, reason }),
        }
    }

    /// Hashes what there is.
    fn read(path: PathBuf, mut file: File) -> Result<Self, FetchError> {
        let (mut md5, mut sha256, mut received) = (Md5::new(), Sha256::new(), 0);
        let mut block = vec![0; 1 << 18];
        loop {
            match file.read(&mut block).map_err(disk(&path))? {
                0 => return Ok(Self { path, file, received, md5, sha256 }),
                read => {
                    md5.update(&block[..read]);
                    sha256.update(&block[..read]);
                    received += read as u64;
                }
            }
        }
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), FetchError> {
        self.file.write_all(bytes).map_err(disk(&self.path))?;
        self.md5.update(bytes);
        self.sha256.update(bytes);
        self.received += bytes.len() as u64;
        Ok(())
    }

    fn clear(&mut self) -> Result<(), FetchError> {
        self.file.set_len(0).map_err(disk(&self.path))?;
        (self.received, self.md5, self.sha256) = (0, Md5::new(), Sha256::new());
        Ok(())
    }

    /// The checksum of the bytes so far, of the same kind as another.
    fn checksum_like(&self, other: &Checksum) -> Checksum {
        match other {
            Checksum::Md5(_) => Checksum::Md5(hex(&self.md5.clone().finalize())),
            Checksum::Sha256(_) => Checksum::Sha256(hex(&self.sha256.clone().finalize())),
        }
    }
}

fn disk(path: &Path) -> impl FnOnce(io::Error) -> FetchError + use<> {
    let path = path.to_owned();
    |reason| FetchError::Disk { path, reason }
}

fn number<B>(response: &Response<B>, name: header::HeaderName) -> Option<u64> {
    response.headers().get(name)?.to_str().ok()?.trim().parse().ok()
}

/// The `a` of `Content-Range: bytes a-b/n`.
fn starts_at<B>(response: &Response<B>) -> Option<u64> {
    let range = response.headers().get(header::CONTENT_RANGE)?.to_str().ok()?;
    range.trim().strip_prefix("bytes ")?.split_once('-')?.0.trim().parse().ok()
}

/// The `n` of `Content-Range: bytes a-b/n`, or of `bytes */n`.
fn total_of_range<B>(response: &Response<B>) -> Option<u64> {
    let range = response.headers().get(header::CONTENT_RANGE)?.to_str().ok()?;
    range.rsplit_once('/')?.1.trim().parse().ok()
}
