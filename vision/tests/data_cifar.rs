//! CIFAR's binary versions: folders, archives, and files that are not as they should be.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use imbalance_vision::data::{DataError, DatasetKind, ImageSet, Images};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// A record: label bytes, then planes in which byte `p` of channel `c` is `p/4 + 50·c + seed`, all modulo 256.
fn record(labels: &[u8], seed: usize) -> Vec<u8> {
    let planes = (0..3 * 1024).map(|at| ((at % 1024) / 4 + 50 * (at / 1024) + seed) as u8);
    labels.iter().copied().chain(planes).collect()
}

fn records(of: &[(&[u8], usize)]) -> Vec<u8> {
    of.iter().flat_map(|(labels, seed)| record(labels, *seed)).collect()
}

const TEN: &str = "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n";

/// Small but whole: batch `b` has classes 2b−2 and 2b−1.
fn cifar_10() -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = (1..=5u8)
        .map(|b| {
            (format!("data_batch_{b}.bin"), records(&[(&[2 * b - 2], b.into()), (&[2 * b - 1], 100 + b as usize)]))
        })
        .collect();
    files.push(("test_batch.bin".into(), records(&[(&[9], 7)])));
    files.push(("batches.meta.txt".into(), TEN.into()));
    files
}

fn cifar_100() -> Vec<(String, Vec<u8>)> {
    let train: Vec<u8> = (0..100u8).flat_map(|fine| record(&[fine / 5, fine], fine.into())).collect();
    let names: String = (0..100).map(|fine| format!("name_{fine}\r\n")).collect();
    vec![
        ("train.bin".into(), train),
        ("test.bin".into(), records(&[(&[19, 99], 3), (&[0, 1], 4)])),
        ("fine_label_names.txt".into(), names.into()),
        ("coarse_label_names.txt".into(), "unused\n".into()),
    ]
}

fn write(folder: &Path, files: &[(String, Vec<u8>)]) {
    fs::create_dir_all(folder).unwrap();
    files.iter().for_each(|(name, bytes)| fs::write(folder.join(name), bytes).unwrap());
}

fn tar(within: &str, files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    // Not in the order of their names, as in the published archives.
    for (name, bytes) in files.iter().rev() {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, format!("{within}/{name}"), &bytes[..]).unwrap();
    }
    tar.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

fn load(kind: DatasetKind, path: &Path) -> Result<ImageSet, DataError> {
    ImageSet::load(kind, Some(path))
}

fn ten(path: &Path) -> ImageSet {
    load(DatasetKind::Cifar10, path).unwrap_or_else(|error| panic!("{error}"))
}

fn is_cifar_10(set: &ImageSet) {
    assert_eq!(set.train.labels, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(set.test.labels, [9]);
    assert_eq!((set.classes[0].as_str(), set.classes[9].as_str()), ("airplane", "truck"));
    let Images::Memory(pixels) = &set.train.images else { panic!("not in memory") };
    assert_eq!((pixels.height, pixels.width, pixels.len()), (32, 32, 10));
    // Image 2 is the first of batch 2: row 5, column 9 is byte 169 of each plane, 169/4 + 2 = 44.
    assert_eq!(pixels.image(2)[(5 * 32 + 9) * 3..][..3], [44, 94, 144]);
    // Its last pixel: 1023/4 + 2 = 257 is 1.
    assert_eq!(pixels.image(2)[3069..], [1, 51, 101]);
    // Image 9 is the second of batch 5: 0 + 105.
    assert_eq!(pixels.image(9)[..3], [105, 155, 205]);
}

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }
}

#[test]
fn folders_and_archives_give_the_same() {
    let folder = Folder::new();
    write(&folder.path().join("cifar-10-batches-bin"), &cifar_10());
    let nested = ten(folder.path());
    is_cifar_10(&nested);
    is_cifar_10(&ten(&folder.path().join("cifar-10-batches-bin")));
    assert_eq!(nested.sources.len(), 7);
    assert!(nested.sources[0].path.as_ref().unwrap().ends_with("cifar-10-batches-bin/data_batch_1.bin"));
    assert_eq!(
        nested.notes,
        [
            "CIFAR-10: 10 training images, where the official files have 50000",
            "CIFAR-10: 1 test images, where the official files have 10000"
        ]
    );

    let tar = tar("cifar-10-batches-bin", &cifar_10());
    let gz = gzip(&tar);
    let mut xz = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(0)).unwrap();
    xz.write_all(&tar).unwrap();
    let xz = xz.finish().unwrap();
    for (name, bytes) in [("cifar-10-binary.tar.gz", gz), ("cifar-10.tar.xz", xz), ("cifar-10.tar", tar)] {
        let folder = Folder::new();
        let path = folder.file(name, &bytes);
        // The other data set's archive begins alike, and so does the version for Python.
        folder.file("cifar-100-binary.tar.gz", b"");
        folder.file("cifar-10-python.tar.gz", b"");
        let set = ten(folder.path());
        is_cifar_10(&set);
        is_cifar_10(&ten(&path));
        let hash: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!((&set.sources[0].path, &set.sources[0].sha256), (&Some(path), &hash));
        // Told by its content, not by its name.
        is_cifar_10(&ten(&folder.file("download", &bytes)));
    }
}

#[test]
fn cifar_100_is_read_by_its_fine_labels() {
    let folder = Folder::new();
    folder.file("cifar-100-binary.tar.gz", &gzip(&tar("cifar-100-binary", &cifar_100())));
    let set = load(DatasetKind::Cifar100, folder.path()).unwrap();
    assert_eq!(set.train.labels, (0..100).collect::<Vec<u32>>());
    assert_eq!(set.test.labels, [99, 1]);
    assert_eq!((set.classes.len(), set.classes[42].as_str()), (100, "name_42"));
    let Images::Memory(pixels) = &set.test.images else { panic!("not in memory") };
    assert_eq!(pixels.image(1)[..3], [4, 54, 104]);
}

/// What is said about CIFAR-10's files when one of them is changed.
fn complaint(name: &str, change: impl FnOnce(&mut Vec<u8>)) -> String {
    let folder = Folder::new();
    let mut files = cifar_10();
    change(&mut files.iter_mut().find(|(file, _)| file == name).unwrap().1);
    write(folder.path(), &files);
    let error = load(DatasetKind::Cifar10, folder.path()).unwrap_err().to_string();
    error.replace(folder.path().to_str().unwrap(), "DATA")
}

#[test]
fn wrong_files_are_named_with_their_record() {
    assert_eq!(
        complaint("data_batch_3.bin", |bytes| bytes.truncate(3073 + 100)),
        "DATA/data_batch_3.bin: cut off within record 1 (counted from 0), of which 100 of 3073 bytes are there; the file's \
         size must be a multiple of 3073"
    );
    assert_eq!(
        complaint("test_batch.bin", |bytes| bytes[0] = 10),
        "DATA/test_batch.bin: record 0 (counted from 0) has the label 10, where 0 to 9 are possible; is this another data \
         set's file?"
    );
    assert_eq!(
        complaint("data_batch_1.bin", |bytes| bytes.clear()),
        "DATA/data_batch_1.bin: has no images; expected records of 3073 bytes"
    );
    assert_eq!(
        complaint("batches.meta.txt", |bytes| bytes.truncate(13)),
        "DATA/batches.meta.txt: names 2 classes, where the data has 10; expected one name a line"
    );
    assert_eq!(
        complaint("batches.meta.txt", |bytes| bytes[12] = 0xff),
        "DATA/batches.meta.txt:2: invalid UTF-8; convert the file to UTF-8"
    );
    assert_eq!(
        complaint("data_batch_2.bin", |bytes| bytes[0] = 3),
        "DATA: class 2 (bird) has no training images; every class from 0 to 9 needs at least one"
    );
    // A file of images of 64 × 64: a record begins amid pixels, soon at one above 9.
    let resized = complaint("data_batch_5.bin", |bytes| {
        *bytes = [8u8, 9].into_iter().flat_map(|label| [vec![label], vec![200; 3 * 64 * 64]].concat()).collect();
    });
    assert!(resized.starts_with("DATA/data_batch_5.bin: record 1 (counted from 0) has the label 200"), "{resized}");
}

#[test]
fn wrong_labels_of_cifar_100() {
    for (at, label, expected) in [
        (3074, 20, "record 1 (counted from 0) has the coarse label 20, where 0 to 19 are possible"),
        (1, 100, "record 0 (counted from 0) has the fine label 100, where 0 to 99 are possible"),
    ] {
        let folder = Folder::new();
        let mut files = cifar_100();
        files[0].1[at] = label;
        write(folder.path(), &files);
        let error = load(DatasetKind::Cifar100, folder.path()).unwrap_err().to_string();
        assert!(error.contains("train.bin") && error.contains(expected), "{error}");
    }
}

#[test]
fn missing_files_are_named() {
    let folder = Folder::new();
    let place = folder.path().to_str().unwrap();
    let message = |kind, path: &Path| load(kind, path).unwrap_err().to_string().replace(place, "DATA");
    assert_eq!(
        message(DatasetKind::Cifar10, folder.path()),
        "DATA: no CIFAR-10 in its binary version here; expected data_batch_1.bin there or in cifar-10-batches-bin/, or one \
         archive like cifar-10-binary.tar.gz"
    );
    folder.file("cifar-10-python.tar.gz", b"");
    assert!(message(DatasetKind::Cifar10, folder.path()).ends_with("; DATA/cifar-10-python.tar.gz is another version"));
    folder.file("cifar-10-a.tar", b"");
    folder.file("cifar-10-b.tar.xz", b"");
    assert_eq!(
        message(DatasetKind::Cifar10, folder.path()),
        "DATA: more than one could be CIFAR-10's archive: cifar-10-a.tar, cifar-10-b.tar.xz; name the one that is meant"
    );
    assert_eq!(
        message(DatasetKind::Cifar10, &folder.path().join("nowhere")),
        "DATA/nowhere: no such file or folder; expected CIFAR-10 in its binary version"
    );

    write(folder.path(), &cifar_10()[..4]);
    assert_eq!(
        message(DatasetKind::Cifar10, folder.path()),
        "DATA: missing data_batch_5.bin, test_batch.bin, batches.meta.txt; CIFAR-10 is the files data_batch_1.bin, \
         data_batch_2.bin, data_batch_3.bin, data_batch_4.bin, data_batch_5.bin, test_batch.bin, batches.meta.txt"
    );

    let python = vec![("data_batch_1".to_owned(), vec![1]), ("test_batch".to_owned(), vec![2])];
    let archive = folder.file("python", &tar("cifar-10-batches-py", &python));
    assert_eq!(
        message(DatasetKind::Cifar10, &archive),
        "DATA/python: no CIFAR-10 in its binary version here; expected data_batch_1.bin in the archive; this is the version \
         for Python"
    );
    let incomplete = folder.file("incomplete", &tar("cifar-100-binary", &cifar_100()[..2]));
    assert!(message(DatasetKind::Cifar100, &incomplete).starts_with("DATA/incomplete: missing fine_label_names.txt;"));
    let twice = [tar("a", &cifar_100()), tar("b", &cifar_100())];
    // Without the end-of-archive blocks of the first, the two are one archive.
    let twice = folder.file("twice", &[&twice[0][..twice[0].len() - 1024], &twice[1]].concat());
    assert!(message(DatasetKind::Cifar100, &twice).contains("more than one could be train.bin"));
}

#[test]
fn damaged_archives_are_named() {
    let folder = Folder::new();
    let tar = tar("cifar-10-batches-bin", &cifar_10());
    let gz = gzip(&tar);
    let mut flipped = gz.clone();
    // In the checksum at the end: all of the content is as it should be.
    let crc = flipped.len() - 6;
    flipped[crc] ^= 1;
    for (name, bytes) in [("gz", &gz[..gz.len() / 2]), ("crc", &flipped), ("cut", &tar[..9000]), ("short", &tar[..700])]
    {
        let path = folder.file(name, bytes);
        let error = load(DatasetKind::Cifar10, &path).unwrap_err();
        assert!(matches!(&error, DataError::DamagedArchive { path: named, .. } if *named == path), "{name}: {error}");
    }
    for bytes in [&b""[..], b"neither this nor that", &[0; 2000]] {
        let path = folder.file("other", bytes);
        let error = load(DatasetKind::Cifar10, &path).unwrap_err().to_string();
        assert!(error.ends_with("not a .tar, .tar.gz or .tar.xz archive"), "{error}");
    }
}
