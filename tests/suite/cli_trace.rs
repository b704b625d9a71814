//! `virtnet trace`: what two processes did is one trace, also when one of them was killed.
//!
//! Owns the words, the exit codes and the lines of the command. Never tests which event leads to
//! which: core does.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Running, command, run, start};

/// A registry and a folder for traces.
struct Place(TempDir);

impl Place {
    fn new() -> Place {
        Place(tempfile::tempdir().unwrap())
    }

    fn traces(&self) -> PathBuf {
        self.0.path().join("traces")
    }

    fn member(&self, args: &[&str]) -> Command {
        let mut command = command(args);
        let registry = format!("local:{}", self.0.path().join("names").display());
        command.env("VIRTNET_REGISTRY", registry);
        command.env("VIRTNET_TRACE", self.traces());
        command
    }

    fn echo(&self) -> Running {
        let mut echo = start(&mut self.member(&["echo", "β:1"]));
        echo.expect_stdout("listening β:1\n");
        echo
    }

    /// One connection of α, on which some bytes are sent back.
    fn dial(&self) {
        let mut dial = start(&mut self.member(&["dial", "--from", "α", "β:1"]));
        dial.write("some\n");
        dial.close_stdin();
        assert_eq!(dial.end().success(), "some\n");
    }

    fn show(&self) -> Vec<Row> {
        let shown = run(&mut trace(&["show"], &self.traces())).success();
        shown.lines().map(Row::new).collect()
    }
}

fn trace(args: &[&str], path: &Path) -> Command {
    let mut command = command(&[&["trace"], args].concat());
    command.arg(path);
    command
}

/// A line of the table.
struct Row {
    number: String,
    event: String,
    cause: String,
}

impl Row {
    fn new(line: &str) -> Row {
        let cells: Vec<_> = line.split('\t').map(str::to_owned).collect();
        let [number, seconds, event, cause] = cells.try_into().unwrap();
        assert!(seconds.parse::<f64>().unwrap() < 60.0, "{line}");
        Row {
            number,
            event,
            cause,
        }
    }
}

const DIALED: [&str; 8] = [
    "α made",
    "α:1 -> β:1 dialing",
    "α:1 -> β:2 connected",
    "α:1 -> β:2 sent first byte",
    "α:1 -> β:2 sent end after 5 bytes",
    "α:1 -> β:2 received first byte",
    "α:1 -> β:2 received end after 5 bytes",
    "α:1 -> β:2 closed after 5 bytes sent, 5 received",
];

const ACCEPTED: [&str; 7] = [
    "β made",
    "β:1 listening",
    "β:2 <- α:1 accepted",
    "β:2 <- α:1 received first byte",
    "β:2 <- α:1 sent first byte",
    "β:2 <- α:1 received end after 5 bytes",
    "β:2 <- α:1 closed after 5 bytes sent, 5 received",
];

/// The events of the hosts, and which of the other host led to which.
fn assert_conversation(rows: &[Row]) {
    let of = |name: char, count: usize| {
        let rows = rows.iter().map(|row| &*row.event);
        let rows = rows.filter(move |event| event.starts_with(name));
        let mut rows: Vec<_> = rows.take(count).collect();
        rows.sort_unstable();
        rows
    };
    let sorted = |mut lines: Vec<&'static str>| {
        lines.sort_unstable();
        lines
    };
    assert_eq!(of('α', DIALED.len()), sorted(DIALED.to_vec()));
    assert_eq!(of('β', ACCEPTED.len()), sorted(ACCEPTED.to_vec()));
    let caused = |effect: &str| {
        let effect = rows.iter().find(|row| row.event == effect).unwrap();
        let cause = rows.iter().find(|row| row.number == effect.cause);
        cause.map(|cause| &*cause.event)
    };
    for (cause, effect) in [
        ("α:1 -> β:1 dialing", "β:2 <- α:1 accepted"),
        ("β:2 <- α:1 accepted", "α:1 -> β:2 connected"),
        (
            "α:1 -> β:2 sent first byte",
            "β:2 <- α:1 received first byte",
        ),
        (
            "β:2 <- α:1 sent first byte",
            "α:1 -> β:2 received first byte",
        ),
        (
            "α:1 -> β:2 sent end after 5 bytes",
            "β:2 <- α:1 received end after 5 bytes",
        ),
        (
            "β:2 <- α:1 closed after 5 bytes sent, 5 received",
            "α:1 -> β:2 received end after 5 bytes",
        ),
    ] {
        assert_eq!(caused(effect), Some(cause), "{effect}");
    }
}

#[test]
fn what_two_processes_did_is_one_trace() {
    let place = Place::new();
    let echo = place.echo();
    place.dial();
    echo.signal("TERM");
    echo.end();

    let rows = place.show();
    assert_conversation(&rows);
    assert_eq!(rows.last().unwrap().event, "β closed");

    // Merged, it is the same, with one object a line.
    let merged = place.traces().join("merged.jsonl");
    let out = ["merge", "--out", merged.to_str().unwrap()];
    assert_eq!(run(&mut trace(&out, &place.traces())).success(), "");
    let text = fs::read_to_string(&merged).unwrap();
    let printed = run(&mut trace(&["merge"], &place.traces())).success();
    assert_eq!(printed, text, "merged files in a folder are passed over");
    let again = run(&mut trace(&["merge"], &merged)).success();
    assert_eq!(again, text);
    let events = text.lines().skip(1).filter_map(|line| {
        let event: Value = serde_json::from_str(line).unwrap();
        event["event"].as_str().map(str::to_owned)
    });
    assert_eq!(events.count(), rows.len());
}

/// Each format has what was said; what it looks like is tested where it is made.
#[test]
fn a_trace_is_shown_in_every_format() {
    let place = Place::new();
    let echo = place.echo();
    place.dial();
    echo.signal("TERM");
    echo.end();

    let show = |args: &[&str]| {
        let shown = run(&mut trace(&[&["show"], args].concat(), &place.traces()));
        assert!(
            shown.code == Some(0) && shown.stderr.is_empty(),
            "{shown:?}"
        );
        shown.stdout
    };
    let format = |format: &str| show(&["--format", format]);
    let text = |shown: Vec<u8>| String::from_utf8(shown).unwrap();
    let page = text(format("html"));
    assert!(page.starts_with("<!DOCTYPE html>"), "{page}");
    assert!(
        page.contains(r#""α:1 -\u003e β:2 sent end after 5 bytes""#),
        "{page}"
    );
    let packets = format("pcapng");
    assert_eq!(packets[..4], [0x0a, 0x0d, 0x0d, 0x0a]);
    let diagram = text(format("mermaid"));
    assert!(diagram.starts_with("sequenceDiagram\n"), "{diagram}");
    assert!(
        diagram.contains("h1-->>h0: α:1 -#62; β:2 connected"),
        "{diagram}"
    );
    let log = text(format("shiviz"));
    assert!(log.contains("α {\"α\":1}\nα made\n"), "{log}");

    // Around an event of the table, and no more than that.
    let rows = place.show();
    let connected = rows
        .iter()
        .find(|row| row.event.ends_with("connected"))
        .unwrap();
    let only = [
        "--format",
        "mermaid",
        "--at-most",
        "1",
        "--around",
        &connected.number,
    ];
    let marked = text(show(&only));
    assert!(
        marked.contains("rect ") && marked.contains("connected"),
        "{marked}"
    );

    // To a file it is the same, and a table is for people.
    let file = place.0.path().join("shown");
    let out = file.to_str().unwrap();
    assert_eq!(show(&["--format", "pcapng", "--out", out]), b"");
    assert_eq!(fs::read(&file).unwrap(), packets);
    assert_eq!(show(&["--out", out]), b"");
    let table = fs::read_to_string(&file).unwrap();
    assert!(table.starts_with("seconds since "), "{table}");
    assert_eq!(table.lines().count(), rows.len() + 2);
    let nowhere = place.0.path().join("none/file");
    let reason = run(&mut trace(
        &["show", "--out", nowhere.to_str().unwrap()],
        &place.traces(),
    ))
    .failure();
    assert!(
        reason.starts_with(&format!("cannot write {nowhere:?}: ")),
        "{reason}"
    );
    for option in ["--around", "--at-most"] {
        let reason = run(&mut trace(&["show", option, "3"], &place.traces())).usage_error();
        assert_eq!(reason, format!("{option} is for --format mermaid only"));
    }
}

#[test]
fn a_process_that_is_killed_leaves_what_it_had() {
    let place = Place::new();
    let mut echo = place.echo();
    place.dial();
    // What is written last is written at once.
    let begun = Instant::now();
    let closed = |text: String| text.contains("\"host\":\"β\"") && text.contains("\"closed\"");
    let files = || fs::read_dir(place.traces()).unwrap();
    let written = || files().any(|file| closed(fs::read_to_string(file.unwrap().path()).unwrap()));
    while !written() {
        assert!(begun.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(5));
    }
    echo.kill();

    let shown = run(&mut trace(&["show"], &place.traces()));
    let [warning] = &shown.stderr[..] else {
        panic!("{shown:?}");
    };
    let early = "has no last line: its process was killed, or still runs";
    assert!(warning.starts_with("virtnet: warning: "), "{warning}");
    assert!(warning.ends_with(early), "{warning}");
    let shown = String::from_utf8(shown.stdout).unwrap();
    let rows: Vec<_> = shown.lines().map(Row::new).collect();
    assert_conversation(&rows);
}

#[test]
fn what_is_no_trace_is_named() {
    let place = Place::new();
    let folder = place.0.path();
    let failure = |path: &Path| run(&mut trace(&["show"], path)).failure();
    assert_eq!(
        failure(folder),
        format!("expected files *.jsonl in {folder:?}, got none")
    );
    let file = folder.join("one.jsonl");
    assert!(failure(&file).starts_with(&format!("trace file {file:?}: ")));
    fs::write(&file, "no trace\n").unwrap();
    assert_eq!(
        failure(folder),
        format!("trace file {file:?}, line 1: expected a JSON object, got \"no trace\"")
    );
    let of = |network: &str| {
        format!(
            "{{\"virtnet_trace\":1,\"network\":{network:?},\"process\":\"p\"}}\n{{\"end\":true,\"dropped\":0}}\n"
        )
    };
    fs::write(&file, of("one")).unwrap();
    fs::write(folder.join("other.jsonl"), of("other")).unwrap();
    assert_eq!(
        failure(folder),
        "expected traces of one network, got \"one\" and \"other\": choose one with --network"
    );
    let chosen = ["show", "--network", "other"];
    assert_eq!(run(&mut trace(&chosen, folder)).success(), "");
    let none = ["merge", "--network", "none"];
    assert_eq!(
        run(&mut trace(&none, folder)).failure(),
        "expected a trace of network \"none\", got none"
    );
    assert_eq!(run(&mut command(&["trace", "show"])).code, Some(2));
}

#[test]
fn a_folder_that_cannot_be_written_is_a_wrong_setting() {
    let place = Place::new();
    fs::write(place.traces(), "a file").unwrap();
    let reason = run(&mut place.member(&["echo", "β:1"])).usage_error();
    let begins = format!("VIRTNET_TRACE: trace file {:?}: ", place.traces());
    assert!(reason.starts_with(&begins), "{reason}");
}
