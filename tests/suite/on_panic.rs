//! The trace of a test that panics: where it is, and what happens if it cannot be written.
//!
//! Owns tests that panic in threads and processes of their own. Never sets a variable of this process.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use virtnet::trace::{Event, EventKind, OnPanic, Record};

/// Makes the test of the same name panic.
const PANICS: &str = "VIRTNET_TEST_ON_PANIC";

fn records() -> Vec<Record> {
    let event = Event {
        host: "α".into(),
        number: 1,
        wall: Duration::from_secs(1_767_225_600),
        elapsed: Duration::ZERO,
        kind: EventKind::Note {
            text: "what led to it".into(),
        },
    };
    vec![Record {
        network: "net".into(),
        process: "1".into(),
        events: vec![event],
        dropped: 0,
    }]
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// Runs something in a thread of its own, which may panic.
fn in_thread(name: &str, run: impl FnOnce() + Send + 'static) -> bool {
    let thread = std::thread::Builder::new().name(name.to_owned());
    thread.spawn(run).unwrap().join().is_err()
}

#[test]
fn a_panic_writes_the_trace() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b");
    for _ in 0..2 {
        let path = path.clone();
        assert!(in_thread("../a::test of α", move || {
            let _on_panic = OnPanic::new(records).in_folder(path);
            panic!("expected");
        }));
    }
    let mut files = files(&path);
    files.sort();
    let id = std::process::id();
    let names: Vec<_> = files
        .iter()
        .map(|it| it.file_name().unwrap().to_str().unwrap())
        .collect();
    let expected = [
        format!("-a--test-of-α-{id}-2.html"),
        format!("-a--test-of-α-{id}.html"),
    ];
    assert_eq!(names, expected);
    let page = std::fs::read_to_string(&files[1]).unwrap();
    assert!(page.contains("α note: what led to it"));
}

#[test]
fn without_a_panic_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    assert!(!in_thread("quiet", move || {
        let _on_panic = OnPanic::new(|| panic!("nobody asks")).in_folder(path);
    }));
    assert_eq!(files(folder.path()), [""; 0].map(PathBuf::from));
}

/// Neither aborts the process.
#[test]
fn what_goes_wrong_then_does_not_hide_the_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    assert!(in_thread("records panic", move || {
        let _on_panic = OnPanic::new(|| panic!("a second one")).in_folder(path);
        panic!("expected");
    }));
    let file = folder.path().join("file");
    std::fs::write(&file, "no folder").unwrap();
    assert!(in_thread("no folder", move || {
        let _on_panic = OnPanic::new(records).in_folder(file);
        panic!("expected");
    }));
    let twice = || [records(), records()].concat();
    let mut on_panic = OnPanic::new(twice).named("twice").in_folder(folder.path());
    assert_eq!(
        on_panic.write().unwrap_err().to_string(),
        r#"event 1 of host "α" is there twice: was a record given twice?"#,
    );
    assert_eq!(files(folder.path()), [folder.path().join("file")]);
}

/// By default in Cargo's target folder; elsewhere if the variable says so.
#[test]
fn the_folder_is_printed() {
    if std::env::var_os(PANICS).is_some() {
        let _on_panic = OnPanic::new(records).named("printed");
        panic!("expected");
    }
    let folder = tempfile::tempdir().unwrap();
    for set in [None, Some(folder.path())] {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let name = "on_panic::the_folder_is_printed";
        command
            .args(["--exact", "--nocapture", name])
            .env(PANICS, "1");
        command.env_remove("VIRTNET_TRACE_ON_PANIC");
        if let Some(folder) = set {
            command.env("VIRTNET_TRACE_ON_PANIC", folder);
        }
        let output = command.output().unwrap();
        assert!(!output.status.success());
        let printed = String::from_utf8(output.stderr).unwrap();
        let before = r#"virtnet: the trace of "printed": "#;
        let path = printed.lines().find_map(|line| line.strip_prefix(before));
        let path = Path::new(path.expect(&printed));
        let expected = match set {
            Some(folder) => path.starts_with(folder),
            None => path.parent().unwrap().ends_with("virtnet-traces"),
        };
        assert!(expected && path.is_file(), "{}", path.display());
        std::fs::remove_file(path).unwrap();
    }
}
