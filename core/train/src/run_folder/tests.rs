use super::*;
use crate::manifest::PluginRecord;

fn request(folder: &Path, mode: RunMode) -> RunRequest {
    let mut manifest = Manifest::collect(1);
    manifest.data.insert("train.txt".into(), "aa".into());
    RunRequest {
        folder: Some(folder.to_path_buf()),
        root: folder.with_file_name("runs"),
        name: "dialogue-eureka".into(),
        mode,
        config: "lr = 0.1\nepochs = 3\n".into(),
        manifest,
    }
}

/// A kept run in a fresh temporary folder.
fn kept() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let mut run = RunFolder::open(&request(&path, RunMode::New)).unwrap();
    run.keep().unwrap();
    std::fs::write(run.last_checkpoint(), "").unwrap();
    (folder, path)
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_new_run_has_its_files_and_stays_once_kept() {
    let (_folder, path) = kept();
    assert_eq!(names(&path), [".lock", "checkpoints", "config.toml", "manifest.json"]);
    assert_eq!(RunFolder::stored_config(&path).unwrap(), "lr = 0.1\nepochs = 3\n");
}

#[test]
fn a_run_that_never_started_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    drop(RunFolder::open(&request(&path, RunMode::New)).unwrap());
    assert!(!path.exists());
    let mut malformed = request(&path, RunMode::New);
    malformed.config = "lr = ".into();
    assert!(matches!(RunFolder::open(&malformed), Err(RunError::Malformed { .. })));
    assert!(!path.exists());
}

#[test]
fn an_existing_folder_is_refused_with_both_ways_out() {
    let (folder, path) = kept();
    let error = RunFolder::open(&request(&path, RunMode::New)).unwrap_err();
    assert_eq!(error.exit_code(), 2);
    let text = error.to_string();
    assert!(text.contains("--resume") && text.contains("--overwrite"), "{text}");
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert!(matches!(RunFolder::check(Some(&file), RunMode::New), Err(RunError::Exists { .. })));
}

#[test]
fn overwrite_deletes_runs_and_nothing_else() {
    let (folder, path) = kept();
    std::fs::write(path.join("results.json"), "{}").unwrap();
    let mut run = RunFolder::open(&request(&path, RunMode::Overwrite)).unwrap();
    run.keep().unwrap();
    assert!(!path.join("results.json").exists());
    assert_eq!(names(folder.path()), ["run"], "the replaced run is gone");

    let home = folder.path().join("home");
    std::fs::create_dir(&home).unwrap();
    std::fs::write(home.join("thesis.tex"), "x").unwrap();
    let error = RunFolder::open(&request(&home, RunMode::Overwrite)).unwrap_err();
    assert!(matches!(error, RunError::NotARun { .. }), "{error}");
    assert_eq!(names(&home), ["thesis.tex"]);
}

#[test]
fn overwrite_that_never_started_brings_the_old_run_back() {
    let (folder, path) = kept();
    std::fs::write(path.join("results.json"), "{}").unwrap();
    drop(RunFolder::open(&request(&path, RunMode::Overwrite)).unwrap());
    assert!(path.join("results.json").exists());
    assert_eq!(names(folder.path()), ["run"]);
}

/// A run that is being replaced, by a process that is killed before its first step.
fn replacing(path: &Path) -> RunFolder {
    std::fs::write(path.join("results.json"), "{}").unwrap();
    RunFolder::open(&request(path, RunMode::Overwrite)).unwrap()
}

/// Ends without undoing anything; the system releases the locks.
fn kill(mut run: RunFolder) {
    run.provisional = false;
    run.replaced = None;
}

#[test]
fn a_run_that_a_killed_process_was_to_replace_is_named_and_replaced_by_the_next() {
    let (folder, path) = kept();
    let first = replacing(&path);
    assert_eq!(abandoned(&path), None, "its process is still there");
    kill(first);
    let aside = abandoned(&path).unwrap();
    for begun in [true, false] {
        if !begun {
            std::fs::remove_dir_all(&path).unwrap();
        }
        let error = RunFolder::check(Some(&path), RunMode::Resume).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains(&aside.display().to_string()), "{error}");
        // The next that comes to nothing brings the old one back, and puts it there again if it is killed.
        drop(RunFolder::open(&request(&path, RunMode::Overwrite)).unwrap());
        assert!(path.join("results.json").exists() && names(folder.path()) == ["run"]);
        kill(replacing(&path));
    }
    RunFolder::open(&request(&path, RunMode::Overwrite)).unwrap().keep().unwrap();
    assert_eq!(names(folder.path()), ["run"]);
    assert!(!path.join("results.json").exists());
}

#[test]
fn a_run_with_checkpoints_is_not_taken_for_one_that_never_started() {
    let (folder, path) = kept();
    kill(replacing(&path));
    std::fs::remove_dir_all(&path).unwrap();
    let mut other = RunFolder::open(&request(&path, RunMode::New)).unwrap();
    other.keep().unwrap();
    std::fs::write(other.last_checkpoint(), "").unwrap();
    std::fs::write(path.join("other"), "").unwrap();
    drop(other);
    RunFolder::check(Some(&path), RunMode::Resume).unwrap();
    drop(RunFolder::open(&request(&path, RunMode::Overwrite)).unwrap());
    assert!(path.join("other").exists());
    assert_eq!(names(folder.path()).len(), 2, "the one from before is left alone");
}

#[test]
fn overwrite_takes_a_new_or_an_empty_folder() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    RunFolder::open(&request(&path, RunMode::Overwrite)).unwrap().keep().unwrap();
    let empty = folder.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    RunFolder::check(Some(&empty), RunMode::Overwrite).unwrap();
    RunFolder::open(&request(&empty, RunMode::Overwrite)).unwrap().keep().unwrap();
    assert!(empty.join("manifest.json").exists());
}

#[test]
fn overwrite_takes_what_a_killed_process_had_begun() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    // In the order in which they are made; the lock of a process that was killed is free.
    std::fs::create_dir(&path).unwrap();
    for file in [".lock", "checkpoints/", ".config.toml.tmp", "config.toml", ".manifest.json.tmp"] {
        match file.strip_suffix('/') {
            Some(folder) => std::fs::create_dir(path.join(folder)).unwrap(),
            None => std::fs::write(path.join(file), "").unwrap(),
        }
        RunFolder::check(Some(&path), RunMode::Overwrite).unwrap();
        assert!(RunFolder::check(Some(&path), RunMode::Resume).is_err(), "{file}");
    }
    let refused = || matches!(RunFolder::check(Some(&path), RunMode::Overwrite), Err(RunError::NotARun { .. }));
    for file in ["checkpoints/mine.safetensors", "thesis.tex"] {
        std::fs::write(path.join(file), "").unwrap();
        assert!(refused(), "{file}");
        std::fs::remove_file(path.join(file)).unwrap();
    }
    std::fs::rename(path.join(".lock"), folder.path().join("lock")).unwrap();
    assert!(refused(), "a folder with a config.toml alone may be anyone's");
    std::fs::rename(folder.path().join("lock"), path.join(".lock")).unwrap();
    RunFolder::open(&request(&path, RunMode::Overwrite)).unwrap().keep().unwrap();
    assert_eq!(names(&path), [".lock", "checkpoints", "config.toml", "manifest.json"]);
    assert_eq!(names(folder.path()), ["run"]);
}

#[test]
fn a_folder_that_is_being_made_is_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let held = lock(folder.path()).unwrap();
    let refused = RunFolder::check(Some(folder.path()), RunMode::Overwrite);
    assert!(matches!(refused, Err(RunError::InUse { .. })), "{refused:?}");
    drop(held);
    RunFolder::check(Some(folder.path()), RunMode::Overwrite).unwrap();
}

#[test]
fn resume_takes_the_run_up_and_notes_it() {
    let (_folder, path) = kept();
    std::fs::write(path.join("results.json"), "{}").unwrap();
    let mut longer = request(&path, RunMode::Resume);
    longer.config = "epochs = 9\nlr = 0.1\n".into();
    let before = RunFolder::stored_config(&path).unwrap();
    let run = RunFolder::open(&longer).unwrap();
    assert!(run.resumed());
    drop(run);
    // Settings and results of a run that took no step are those of one training, be they the old ones or the new.
    assert_eq!(RunFolder::stored_config(&path).unwrap(), before);
    assert!(path.join("results.json").exists());
    RunFolder::open(&longer).unwrap().write_results(&"new").unwrap();
    assert_eq!(RunFolder::stored_config(&path).unwrap(), longer.config);
    // After a step the results are of a shorter training.
    longer.config = "epochs = 12\nlr = 0.1\n".into();
    let mut run = RunFolder::open(&longer).unwrap();
    run.keep().unwrap();
    assert!(!path.join("results.json").exists());
    run.write_results(&"new").unwrap();
    run.keep().unwrap();
    assert!(path.join("results.json").exists(), "its own results stay");
    drop(run);
    assert_eq!(RunFolder::stored_config(&path).unwrap(), longer.config, "a resumed run is not undone");
    let manifest: Manifest =
        serde_json::from_str(&std::fs::read_to_string(path.join("manifest.json")).unwrap()).unwrap();
    assert_eq!(manifest.resumed.len(), 3);
}

#[test]
fn results_go_before_other_settings_come() {
    let (_folder, path) = kept();
    // A folder cannot be deleted as a file is.
    std::fs::create_dir(path.join("results.json")).unwrap();
    let mut longer = request(&path, RunMode::Resume);
    longer.config = "epochs = 9\nlr = 0.1\n".into();
    let before = RunFolder::stored_config(&path).unwrap();
    for write in [|mut run: RunFolder| run.keep(), |run: RunFolder| run.write_results(&"new").map(drop)] {
        let error = write(RunFolder::open(&longer).unwrap()).unwrap_err().to_string();
        assert!(error.contains("delete") && error.contains("results.json"), "{error}");
        assert_eq!(RunFolder::stored_config(&path).unwrap(), before);
    }
}

#[test]
fn either_checkpoint_can_be_gone_on_from() {
    let (_folder, path) = kept();
    let checkpoint = |name: &str| path.join("checkpoints").join(name);
    assert!(RunFolder::resumable(&path));
    std::fs::rename(checkpoint("last.safetensors"), checkpoint("previous.safetensors")).unwrap();
    assert!(RunFolder::resumable(&path));
    RunFolder::check(Some(&path), RunMode::Resume).unwrap();
    std::fs::rename(checkpoint("previous.safetensors"), checkpoint("best.safetensors")).unwrap();
    assert!(!RunFolder::resumable(&path));
}

#[test]
fn resume_needs_a_run() {
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path().join("none"), folder.path().to_path_buf()] {
        let error = RunFolder::open(&request(&path, RunMode::Resume)).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("no run to resume"), "{error}");
    }
    assert_eq!(names(folder.path()), Vec::<String>::new());
    let (_kept, path) = kept();
    std::fs::remove_file(path.join("checkpoints/last.safetensors")).unwrap();
    let error = RunFolder::check(Some(&path), RunMode::Resume).unwrap_err();
    assert_eq!(error.exit_code(), 2);
    assert!(error.to_string().contains("no checkpoint to resume from"), "{error}");
    assert!(matches!(RunFolder::check(None, RunMode::Resume), Err(RunError::NoFolder)));
    assert!(matches!(RunFolder::check(None, RunMode::Overwrite), Err(RunError::NoFolder)));
}

#[test]
fn resume_refuses_other_settings_and_other_data_by_name() {
    let (_folder, path) = kept();
    let mut other = request(&path, RunMode::Resume);
    other.config = "lr = 0.2\n".into();
    let error = RunFolder::open(&other).unwrap_err().to_string();
    assert!(error.contains("`lr` was 0.1 and is now 0.2"), "{error}");
    let mut data = request(&path, RunMode::Resume);
    data.manifest.data.insert("train.txt".into(), "bb".into());
    let error = RunFolder::open(&data).unwrap_err().to_string();
    assert!(error.contains("`train.txt`"), "{error}");
    // Other places and contents are told apart.
    let mut moved = request(&path, RunMode::Resume);
    moved.manifest.data = [("/elsewhere/train.txt".to_owned(), "aa".to_owned())].into();
    RunFolder::open(&moved).unwrap();
    let mut plugin = request(&path, RunMode::Resume);
    plugin.manifest.plugins.push(PluginRecord { id: "eureka".into(), path: "x.so".into(), sha256: "cc".into() });
    RunFolder::open(&plugin).unwrap();
}

#[test]
fn a_run_in_use_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let mut run = RunFolder::open(&request(&path, RunMode::New)).unwrap();
    run.keep().unwrap();
    std::fs::write(run.last_checkpoint(), "").unwrap();
    for mode in [RunMode::Resume, RunMode::Overwrite] {
        assert!(matches!(RunFolder::open(&request(&path, mode)), Err(RunError::InUse { .. })), "{mode:?}");
    }
    drop(run);
    RunFolder::open(&request(&path, RunMode::Resume)).unwrap();
}

#[test]
fn numbered_folders_count_on_from_the_highest() {
    let folder = tempfile::tempdir().unwrap();
    let mut numbered = request(&folder.path().join("x"), RunMode::New);
    numbered.folder = None;
    for taken in ["dialogue-eureka-002", "dialogue-eureka-x", "dialogue-focal-009"] {
        std::fs::create_dir_all(numbered.root.join(taken)).unwrap();
    }
    let first = RunFolder::open(&numbered).unwrap();
    let second = RunFolder::open(&numbered).unwrap();
    assert!(first.path().ends_with("runs/dialogue-eureka-003"));
    assert!(second.path().ends_with("runs/dialogue-eureka-004"));
}

#[test]
fn results_are_written_whole() {
    let (_folder, path) = kept();
    let run = RunFolder::open(&request(&path, RunMode::Resume)).unwrap();
    let written = run.write_results(&serde_json::json!({ "f1": 0.5 })).unwrap();
    assert_eq!(std::fs::read_to_string(written).unwrap(), "{\n  \"f1\": 0.5\n}\n");
}
