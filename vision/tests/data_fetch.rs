//! Downloads, from a server on this machine that does what real ones do.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use imbalance_vision::data::fetch::{Checksum, Download, FetchError, Fetched, PUBLISHED};
use md5::{Digest, Md5};
use sha2::Sha256;
use tempfile::TempDir;

/// What the server does with one request.
#[derive(Clone, Copy)]
enum Answer {
    /// Sends what is asked for, a range or the whole.
    Serve,
    /// Announces what is asked for, and closes after so many bytes.
    Cut(usize),
    /// Sends the whole, whatever is asked for.
    Whole,
    /// Sends the whole without saying how long it is.
    Unannounced,
    /// This status.
    Status(&'static str),
    /// Closes without a word.
    Hang,
}

/// A server that gives these answers in turn, and then closes. Each request's range is sent to the receiver.
fn serve(content: Vec<u8>, answers: &[Answer]) -> (String, Receiver<Option<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/data.tar.gz", listener.local_addr().unwrap());
    let (sender, requests) = channel();
    let answers = answers.to_vec();
    thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let range = range_of_request(&stream);
            // A test that has seen enough does not listen any more.
            let _ = sender.send(range.clone());
            // The client may close early, after an error status for instance.
            let _ = respond(&mut stream, &content, answer, range);
        }
    });
    (url, requests)
}

fn range_of_request(stream: &TcpStream) -> Option<String> {
    let lines = BufReader::new(stream).lines().map(Result::unwrap).take_while(|line| !line.is_empty());
    let lines: Vec<String> = lines.collect();
    let range = lines.iter().find(|line| line.to_ascii_lowercase().starts_with("range:"))?;
    Some(range.split_once(':')?.1.trim().to_owned())
}

fn respond(stream: &mut TcpStream, content: &[u8], answer: Answer, range: Option<String>) -> std::io::Result<()> {
    let from: Option<usize> = range.map(|range| range["bytes=".len()..range.len() - 1].parse().unwrap());
    let all = content.len();
    let whole = format!("200 OK\r\nContent-Length: {all}");
    let (head, from) = match (answer, from) {
        (Answer::Hang, _) => return Ok(()),
        (Answer::Status(status), _) => (format!("{status}\r\nContent-Length: 0"), all),
        (Answer::Unannounced, _) => ("200 OK".to_owned(), 0),
        (Answer::Whole, _) | (_, None) => (whole, 0),
        (_, Some(from)) if from >= all => {
            (format!("416 Range Not Satisfiable\r\nContent-Range: bytes */{all}\r\nContent-Length: 0"), all)
        }
        (_, Some(from)) => {
            let (left, last) = (all - from, all - 1);
            let head =
                format!("206 Partial Content\r\nContent-Length: {left}\r\nContent-Range: bytes {from}-{last}/{all}");
            (head, from)
        }
    };
    write!(stream, "HTTP/1.1 {head}\r\nConnection: close\r\n\r\n")?;
    let mut body = &content[from..];
    if let Answer::Cut(count) = answer {
        body = &body[..count];
    }
    stream.write_all(body)
}

/// Half a megabyte that is nowhere the same.
fn content() -> Vec<u8> {
    (0..1u32 << 17).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

struct Lab {
    folder: TempDir,
    /// What the server sent ranges for.
    requests: Receiver<Option<String>>,
    download: Download,
}

impl Lab {
    /// Wants `content()` from a server that has `sent`.
    fn with(sent: Vec<u8>, answers: &[Answer]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (url, requests) = serve(sent, answers);
        let checksum = Checksum::Md5(hex(&Md5::digest(content())));
        let download = Download { url, path: folder.path().join("data.tar.gz"), checksum };
        Self { folder, requests, download }
    }

    fn new(answers: &[Answer]) -> Self {
        Self::with(content(), answers)
    }

    fn run(&self) -> Result<Fetched, FetchError> {
        self.download.run(&mut |_, _| {})
    }

    fn ranges(&self) -> Vec<Option<String>> {
        self.requests.try_iter().collect()
    }

    fn part(&self) -> PathBuf {
        self.folder.path().join("data.tar.gz.part")
    }

    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// The file and its record are there, and nothing else.
    fn is_fetched(&self, fetched: &Fetched) {
        let sha256 = hex(&Sha256::digest(content()));
        assert_eq!(fs::read(&self.download.path).unwrap(), content());
        assert_eq!((fetched.bytes, &fetched.sha256), (1 << 19, &sha256));
        assert_eq!(self.files(), ["data.tar.gz", "data.tar.gz.sha256"]);
        let record = fs::read_to_string(self.folder.path().join("data.tar.gz.sha256")).unwrap();
        assert_eq!(record, format!("{sha256}  data.tar.gz\n"));
    }
}

fn bytes_from(from: usize) -> Option<String> {
    Some(format!("bytes={from}-"))
}

#[test]
fn a_whole_file_with_progress_to_its_end() {
    let lab = Lab::new(&[Answer::Serve]);
    let mut seen = Vec::new();
    let fetched = lab.download.run(&mut |received, total| seen.push((received, total))).unwrap();
    lab.is_fetched(&fetched);
    assert_eq!(fetched.had, 0);
    assert_eq!((seen[0], *seen.last().unwrap()), ((0, Some(1 << 19)), (1 << 19, Some(1 << 19))));
    assert!(seen.is_sorted());
    // A second call asks nobody: the server is gone.
    let again = lab.run().unwrap();
    lab.is_fetched(&again);
    assert_eq!((again.had, lab.ranges()), (1 << 19, vec![None]));
}

#[test]
fn a_length_that_is_not_announced_and_the_other_checksum() {
    let mut lab = Lab::new(&[Answer::Unannounced]);
    lab.download.checksum = hex(&Sha256::digest(content())).to_uppercase().parse().unwrap();
    let fetched = lab.run().unwrap();
    lab.is_fetched(&fetched);
}

#[test]
fn what_was_cut_off_is_continued() {
    // Within a call, while there is progress…
    let lab = Lab::new(&[Answer::Cut(1000), Answer::Cut(2000), Answer::Serve]);
    let fetched = lab.run().unwrap();
    lab.is_fetched(&fetched);
    assert_eq!(lab.ranges(), [None, bytes_from(1000), bytes_from(3000)]);

    // …and by a later one.
    let lab = Lab::new(&[Answer::Cut(300_000), Answer::Hang, Answer::Serve]);
    let error = lab.run().unwrap_err();
    let message = error.to_string();
    assert!(matches!(error, FetchError::Interrupted { received: 300_000, .. }), "{message}");
    assert!(message.contains("data.tar.gz.part is kept, and the same command continues it"), "{message}");
    assert_eq!(fs::read(lab.part()).unwrap(), content()[..300_000]);
    let fetched = lab.run().unwrap();
    lab.is_fetched(&fetched);
    assert_eq!(fetched.had, 300_000);
    assert_eq!(lab.ranges(), [None, bytes_from(300_000), bytes_from(300_000)]);
}

#[test]
fn a_server_without_ranges_sends_the_whole_again() {
    let lab = Lab::new(&[Answer::Whole]);
    fs::write(lab.part(), &content()[..1234]).unwrap();
    let fetched = lab.run().unwrap();
    lab.is_fetched(&fetched);
    assert_eq!(lab.ranges(), [bytes_from(1234)]);
}

#[test]
fn a_part_that_is_whole_only_takes_its_name() {
    let lab = Lab::new(&[Answer::Serve]);
    fs::write(lab.part(), content()).unwrap();
    lab.is_fetched(&lab.run().unwrap());
}

#[test]
fn a_part_of_another_file_is_given_up() {
    for (part, ranges) in [
        // Shorter: seen by the checksum.
        (vec![7; 5000], vec![bytes_from(5000), None]),
        // Longer than the file: the server has no such range.
        (vec![7; 600_000], vec![bytes_from(600_000), None]),
    ] {
        let lab = Lab::new(&[Answer::Serve, Answer::Serve]);
        fs::write(lab.part(), part).unwrap();
        let fetched = lab.run().unwrap();
        lab.is_fetched(&fetched);
        assert_eq!(lab.ranges(), ranges);
    }
}

#[test]
fn another_file_is_not_kept() {
    let lab = Lab::with(vec![9; 5000], &[Answer::Serve]);
    let error = lab.run().unwrap_err();
    let FetchError::WrongChecksum { expected, found, .. } = &error else { panic!("{error}") };
    assert_eq!((expected, found), (&lab.download.checksum, &Checksum::Md5(hex(&Md5::digest([9; 5000])))));
    assert!(lab.files().is_empty());
}

#[test]
fn a_file_that_is_there_is_not_overwritten() {
    let lab = Lab::new(&[]);
    fs::write(&lab.download.path, "mine").unwrap();
    let error = lab.run().unwrap_err().to_string();
    assert!(error.contains("is there already, with the MD5 ") && error.contains("move it away"), "{error}");
    assert_eq!(fs::read(&lab.download.path).unwrap(), b"mine");
}

#[test]
fn refusals_are_told_and_leave_nothing() {
    for status in ["404 Not Found", "503 Service Unavailable"] {
        let lab = Lab::new(&[Answer::Status(status)]);
        let error = lab.run().unwrap_err().to_string();
        let expected = format!("the server answered {status}; a copy elsewhere can be named with --mirror");
        assert!(error.ends_with(&expected), "{error}");
        assert!(lab.files().is_empty());
    }
    let mut lab = Lab::new(&[]);
    // A port that was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for url in [format!("http://127.0.0.1:{port}/x.tar.gz"), "http://nowhere.invalid/x".into(), "no address".into()] {
        lab.download.url = url.clone();
        let error = lab.run().unwrap_err();
        assert!(matches!(error, FetchError::Network { .. }), "{error}");
        assert!(error.to_string().starts_with(&format!("{url}: cannot be reached: ")), "{error}");
        assert!(lab.files().is_empty());
    }
}

#[test]
fn a_part_that_was_there_outlives_a_refusal() {
    let lab = Lab::new(&[Answer::Status("503 Service Unavailable")]);
    fs::write(lab.part(), &content()[..1234]).unwrap();
    assert!(matches!(lab.run(), Err(FetchError::Status { .. })));
    assert_eq!(fs::read(lab.part()).unwrap(), content()[..1234]);
}

#[test]
fn folders_that_cannot_be_written_to_and_parts_in_use() {
    let mut lab = Lab::new(&[]);
    let part = fs::File::create(lab.part()).unwrap();
    part.lock().unwrap();
    assert!(matches!(lab.run(), Err(FetchError::Busy { .. })));
    drop(part);

    let file = lab.folder.path().join("file");
    fs::write(&file, "").unwrap();
    lab.download.path = file.join("data.tar.gz");
    let error = lab.run().unwrap_err();
    assert!(matches!(error, FetchError::Disk { .. }), "{error}");
    assert!(error.to_string().contains("file: cannot be written: "), "{error}");
}

#[test]
fn checksums_are_told_apart_by_their_length() {
    let md5 = "C32A1D4AB5D03F1284B67883E8D87530";
    assert_eq!(md5.parse(), Ok(Checksum::Md5(md5.to_lowercase())));
    assert_eq!("0".repeat(64).parse(), Ok(Checksum::Sha256("0".repeat(64))));
    for text in ["", "c32a", &"g".repeat(32), &"0".repeat(40)] {
        assert!(text.parse::<Checksum>().is_err(), "{text:?}");
    }
}

#[test]
fn mirrors_are_folders_or_files() {
    let [ten, hundred] = PUBLISHED;
    assert_eq!(ten.url(None), "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz");
    assert_eq!(hundred.url(Some("http://here/data/")), "http://here/data/cifar-100-binary.tar.gz");
    assert_eq!(hundred.url(Some("http://here/c100.tar.gz")), "http://here/c100.tar.gz");
}
