//! `toolkit data`, through the real binary and a server on this machine.
#![cfg(feature = "training")]

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::thread;

use support::toolkit;

/// MD5 and SHA-256 of "a stand-in\n", by `md5sum` and `sha256sum`.
const CONTENT: &[u8] = b"a stand-in\n";
const MD5: &str = "ff0b9e227eff81d76272a197ef33a776";
const SHA256: &str = "5fd7bdc9e87f4ffe0504bfbe2364f439d07df7576e448d93d50782915400940c";

/// Answers one request with each of these statuses, and a request for the file with its content.
fn serve(statuses: &'static [&'static str]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/mirror", listener.local_addr().unwrap());
    thread::spawn(move || {
        for status in statuses {
            let (mut stream, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(&stream).lines().map(Result::unwrap);
            let first = lines.next().unwrap();
            lines.find(|line| line.is_empty()).unwrap();
            let (status, body) = match first.as_str() {
                "GET /mirror/cifar-10-binary.tar.gz HTTP/1.1" => (*status, CONTENT),
                _ => ("404 Not Found", &b""[..]),
            };
            write!(stream, "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len()).unwrap();
            stream.write_all(body).unwrap();
        }
    });
    url
}

fn stdout(output: &std::process::Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &std::process::Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn fetches_once_and_says_what_it_got() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("new/data");
    let url = serve(&["200 OK"]);
    let fetch = || {
        let mut command = toolkit();
        command.args(["data", "fetch", "cifar-10", "--mirror", &url, "--checksum", MD5, "--to"]).arg(&to);
        command
    };
    let output = fetch().output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let file = to.join("cifar-10-binary.tar.gz");
    assert_eq!(stdout(&output), format!("{}  11 bytes\nSHA-256 {SHA256}\n", file.display()));
    assert!(stderr(&output).contains("of 0.0 MB"), "{}", stderr(&output));
    assert_eq!(fs::read(&file).unwrap(), CONTENT);
    let record = fs::read_to_string(to.join("cifar-10-binary.tar.gz.sha256")).unwrap();
    assert_eq!(record, format!("{SHA256}  cifar-10-binary.tar.gz\n"));

    // The server has closed.
    let output = fetch().arg("--json").output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", stderr(&output));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["sha256"], &report["bytes"], &report["had"]), (&SHA256.into(), &11.into(), &11.into()));
}

#[test]
fn failures_are_told_with_their_exit_codes() {
    let folder = tempfile::tempdir().unwrap();
    let fetch = |set: &str, url: &str, more: &[&str]| {
        let mut command = toolkit();
        command.args(["data", "fetch", set, "--quiet", "--mirror", url]).args(more).arg("--to").arg(folder.path());
        let output = command.output().unwrap();
        assert!(output.stdout.is_empty());
        (output.status.code(), stderr(&output))
    };
    // The stand-in is not what the authors published.
    let (code, message) = fetch("cifar-10", &serve(&["200 OK"]), &[]);
    assert_eq!(code, Some(1));
    assert!(message.contains(&format!("MD5 {MD5}, where MD5 c32a1d4ab5d03f1284b67883e8d87530 is right")), "{message}");
    let (code, message) = fetch("cifar-100", &serve(&["200 OK"]), &[]);
    assert_eq!(code, Some(1));
    assert!(message.contains("the server answered 404 Not Found"), "{message}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);

    let (code, message) = fetch("cifar-10", "http://localhost", &["--checksum", "12"]);
    assert_eq!(code, Some(2));
    assert!(message.contains("32 (MD5) or 64 (SHA-256) hexadecimal digits"), "{message}");
    let (code, message) = fetch("imagenet", "http://localhost", &[]);
    assert!(code == Some(2) && message.contains("[possible values: cifar-10, cifar-100]"), "{message}");
}

#[test]
fn describes_what_there_is() {
    let output = toolkit().args(["data", "describe", "synthetic"]).output().unwrap();
    let text = stdout(&output);
    assert!(text.starts_with("synthetic: 10 classes\n  train          10000 images  32×32 pixels\n"), "{text}");
    assert!(text.contains("1000 (striped disc) to 1000 (striped disc), imbalance ratio 1.0000"), "{text}");
    assert!(text.ends_with("\n     9  checked cross         1000       100\n"), "{text}");

    let folder = tempfile::tempdir().unwrap();
    for name in ["train/a/1.png", "train/a/2.png", "train/b/1.png", "val/a/1.png", "val/b/1.png"] {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "no image").unwrap();
    }
    let mut command = toolkit();
    let output = command.args(["data", "describe", "folder", "--json", "--data"]).arg(folder.path()).output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["imbalance_ratio"], 2.0);
    assert_eq!(report["classes"][1]["name"], "b");
    assert_eq!(report["splits"][0]["sizes"]["unreadable"].as_array().unwrap().len(), 3);

    for (list, text) in [("mine.txt", "train/a/1.png 0\ntrain/b/1.png 1\n"), ("other.txt", "val/a/1.png 0\n")] {
        fs::write(folder.path().join(list), text).unwrap();
    }
    let lists = ["--train-list", "mine.txt", "--test-list", "other.txt"];
    let of = |kind: &str| {
        let mut command = toolkit();
        command.current_dir(folder.path()).args(["data", "describe", kind, "--json"]).args(lists).output().unwrap()
    };
    let report: serde_json::Value = serde_json::from_slice(&of("list").stdout).unwrap();
    assert_eq!((&report["splits"][0]["images"], &report["splits"][1]["images"]), (&2.into(), &1.into()));
    let message = stderr(&of("folder"));
    assert!(message.contains("--train-list mine.txt is for the layout list, not folder"), "{message}");
}

#[test]
fn wrong_paths_are_told() {
    let output = toolkit().args(["data", "describe", "cifar-10"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("cifar-10 is read from files: name the folder of"), "{}", stderr(&output));
    let output = toolkit().args(["data", "describe", "cifar-10", "--data", "nowhere"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("nowhere: no such file or folder"), "{}", stderr(&output));
}
