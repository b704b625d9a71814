//! The lines of trace files: what is written is read again, and what is damaged is named.
//!
//! Owns the lines as they are documented. Never writes a file.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use virtnet_core::trace::{End, Event, EventKind, FileEnd, Record, Trace, read, read_text};
use virtnet_core::{Addr, Cause};

fn addr(text: &str) -> Addr {
    Addr::parse("net", text).unwrap()
}

/// One event of each kind.
fn all_kinds() -> Vec<EventKind> {
    let end = End {
        local: addr("[α:β]:1"),
        peer: addr("β:65535"),
        dialed: true,
        nth: 7,
    };
    let (end, src, dst) = (|| end.clone(), || addr("α:1"), || addr("β:1"));
    let (bytes, cause) = (u64::MAX, Cause::ConnectionCut);
    vec![
        EventKind::HostMade,
        EventKind::HostClosed,
        EventKind::HostCrashed,
        EventKind::HostLost,
        EventKind::Listening { addr: src() },
        EventKind::ListenerClosed { addr: src() },
        EventKind::Dialing {
            src: src(),
            dst: dst(),
            first: 5,
        },
        EventKind::Connected {
            end: end(),
            dst: dst(),
        },
        EventKind::DialFailed {
            src: src(),
            dst: dst(),
            cause: Cause::NoSuchHost,
        },
        EventKind::DialGivenUp {
            src: src(),
            dst: dst(),
        },
        EventKind::Accepted {
            end: end(),
            listener: src(),
        },
        EventKind::FirstByteSent { end: end() },
        EventKind::FirstByteReceived { end: end() },
        EventKind::Data {
            end: end(),
            sent: true,
            offset: 3,
            len: 9,
            bytes: Arc::from([0, 0xa7]),
        },
        EventKind::EndSent { end: end(), bytes },
        EventKind::EndReceived {
            end: end(),
            bytes: 0,
        },
        EventKind::ReadFailed {
            end: end(),
            bytes,
            cause,
        },
        EventKind::WriteFailed {
            end: end(),
            bytes,
            cause,
        },
        EventKind::Closed {
            end: end(),
            sent: 1,
            received: 2,
        },
        EventKind::FaultsInForce {
            version: 3,
            rules: vec!["cut α -> β".into(), "".into()],
        },
        EventKind::FaultsInForce {
            version: 4,
            rules: Vec::new(),
        },
        EventKind::FaultCounted {
            rule: "cut α -> β".into(),
            matched: 4,
            hit: 2,
        },
        EventKind::Note {
            text: "\u{2028}\u{0}\"\\/\n".into(),
        },
    ]
}

fn record(kinds: Vec<EventKind>) -> Record {
    let events = (1..).zip(kinds).map(|(number, kind)| Event {
        host: "α".into(),
        number,
        wall: Duration::new(1_790_000_000, 7),
        elapsed: Duration::from_nanos(number),
        kind,
    });
    Record {
        network: "net".into(),
        process: "4711-a7".into(),
        events: events.collect(),
        dropped: 9,
    }
}

#[test]
fn every_kind_of_event_is_read_as_it_was_written() {
    let record = record(all_kinds());
    let trace = Trace::merge([record.clone()]).unwrap();
    let file = read_text(&trace.to_lines("net")).unwrap();
    assert_eq!(file.end, FileEnd::Complete);
    assert!(file.merged);
    assert_eq!(file.records, [record]);
    assert_eq!(Trace::merge(file.records).unwrap(), trace);
}

proptest! {
    /// Whatever a note has, the line is JSON, and says the same.
    #[test]
    fn text_is_escaped_as_json_asks(text in any::<String>()) {
        let record = record(vec![EventKind::Note { text: text.as_str().into() }]);
        let lines = Trace::merge([record.clone()]).unwrap().to_lines("net");
        prop_assert_eq!(lines.lines().count(), 3);
        let line: serde_json::Value = serde_json::from_str(lines.lines().nth(1).unwrap()).unwrap();
        prop_assert_eq!(line["text"].as_str(), Some(&*text));
        prop_assert_eq!(read_text(&lines).unwrap().records, [record]);
    }
}

/// The documented form.
#[test]
fn a_file_looks_like_this() {
    let record = record(vec![
        EventKind::HostMade,
        EventKind::Dialing {
            src: addr("α:1"),
            dst: addr("β:1"),
            first: 0,
        },
    ]);
    let lines = Trace::merge([record]).unwrap().to_lines("net");
    let expected = [
        r#"{"virtnet_trace":1,"network":"net","merged":true}"#,
        r#"{"id":1,"process":"4711-a7","host":"α","number":1,"wall":"1790000000.000000007","elapsed_ns":1,"event":"host_made"}"#,
        r#"{"id":2,"process":"4711-a7","previous":1,"host":"α","number":2,"wall":"1790000000.000000007","elapsed_ns":2,"event":"dialing","src":"α:1","dst":"β:1","first":0}"#,
        r#"{"end":true,"dropped":9}"#,
    ];
    assert_eq!(lines.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn a_cut_last_line_is_left_out_wherever_it_is_cut() {
    let trace = Trace::merge([record(all_kinds())]).unwrap();
    let lines = trace.to_lines("net");
    let first = lines.find('\n').unwrap() + 1;
    for cut in first..lines.len() {
        if !lines.is_char_boundary(cut) {
            continue;
        }
        let text = &lines[..cut];
        let file = read_text(text).unwrap_or_else(|err| panic!("{err}: {text}"));
        let events = file.records.first().map_or(0, |record| record.events.len());
        let whole = text.lines().count() - 1;
        match file.end {
            FileEnd::Cut { line } => {
                assert_eq!((line, events), (whole + 1, whole - 1), "{text}");
            }
            // The last line has all but its end.
            FileEnd::Complete => assert_eq!(cut, lines.len() - 1),
            FileEnd::Open => assert_eq!(events, whole, "{text}"),
        }
    }
    // Between characters' bytes, too.
    let file = read_text("").unwrap();
    assert_eq!(
        (file.records.len(), file.end),
        (0, FileEnd::Cut { line: 1 })
    );
}

#[test]
fn a_damaged_line_is_named() {
    let first = r#"{"virtnet_trace":1,"network":"net","process":"p"}"#;
    let made = r#"{"host":"α","number":1,"wall":"1.000000000","elapsed_ns":1,"event":"host_made"}"#;
    let with = |from: &str, to: &str| {
        let line = made.replace(from, to);
        assert_ne!(line, made, "{from}");
        [first, made, &line]
            .map(|line| format!("{line}\n"))
            .concat()
    };
    for (text, error) in [
        (
            "x\n".to_owned(),
            r#"line 1: expected a JSON object, got "x""#.to_owned(),
        ),
        (
            "x".to_owned(),
            r#"line 1: expected a JSON object, got "x""#.to_owned(),
        ),
        (
            "{}\n".to_owned(),
            r#"line 1: expected a number as "virtnet_trace", got none"#.to_owned(),
        ),
        (
            first.replace(":1,", ":2,"),
            "line 1: expected version 1, got 2".to_owned(),
        ),
        (
            format!("{first}\n{}\n{made}\n", &made[..40]),
            format!("line 2: expected a JSON object, got {:?}", &made[..40]),
        ),
        (
            with("host_made", "host_mad"),
            r#"line 3: expected an event such as dialing as "event", got "host_mad""#.to_owned(),
        ),
        (
            with("\"number\":1", "\"number\":-1"),
            r#"line 3: expected a number as "number", got -1"#.to_owned(),
        ),
        (
            with("1.000000000", "1.0"),
            r#"line 3: expected seconds with nine decimals as "wall", got "1.0""#.to_owned(),
        ),
        (
            with("host_made\"", "listening\",\"addr\":\"α\""),
            r#"line 3: invalid address "α": expected host:port, got no port"#.to_owned(),
        ),
        (
            format!("{first}\n{{\"end\":true,\"dropped\":0}}\n{made}\n"),
            "line 3: expected nothing after the last line".to_owned(),
        ),
    ] {
        let err = read_text(&text).unwrap_err();
        assert_eq!(err.to_string(), format!("trace file, {error}"));
    }
    let err = read("no/such.jsonl".as_ref()).unwrap_err().to_string();
    assert!(err.starts_with(r#"trace file "no/such.jsonl": "#), "{err}");
}
