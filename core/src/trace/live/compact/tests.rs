//! Short lines: what is written is what is read.
//!
//! Owns one event of each kind. Never sends anything.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::Unsent;
use crate::Addr;
use crate::trace::event::{Event, EventKind};
use crate::trace::host_log::{CompactKind, HostLog};
use crate::trace::live::batch::Batch;
use crate::trace::live::outbox::Outbox;
use crate::trace::write::{BatchHead, batch_line};

const WALL: Duration = Duration::new(1_790_000_000, 1);

/// The log of β, and events of each kind in it; the times are in another order than the numbers.
fn log() -> (Arc<HostLog>, Outbox) {
    let log = HostLog::new(&"net".into(), &"β".into());
    let outbox = Outbox::default();
    let addr = |text: &str| Addr::parse("net", text).unwrap();
    let peer = |text: &str| log.peer(&addr(text), || false).unwrap();
    let end = |local: u16, peer: &str, dialed: bool| {
        log.connection(local, &addr(peer), dialed, || false)
            .unwrap()
    };
    let (one, other) = (end(1, "α:2", true), end(65_535, "a \"b\":9", false));
    let text = "elected\n".into();
    let kinds = [
        CompactKind::Dialing {
            src: 1,
            dst: peer("γ:0"),
            first: u32::MAX,
        },
        CompactKind::Connected {
            end: one,
            dst: peer("α:1"),
        },
        CompactKind::Accepted {
            end: other,
            listener: 64,
        },
        CompactKind::FirstByteSent(one),
        CompactKind::Other(Box::new(EventKind::Note { text })),
        CompactKind::FirstByteReceived(other),
        CompactKind::EndSent(one, u64::MAX),
        CompactKind::EndReceived(other, 0),
        CompactKind::Closed {
            end: end(1, "α:2", true),
            sent: 63,
            received: 64,
        },
    ];
    for (number, kind) in (1..).zip(kinds) {
        let elapsed = Duration::from_nanos(number * 1_000_000_007 % 977);
        assert!(log.add(number, elapsed, kind, Some(&outbox), || 64));
    }
    (Arc::new(log), outbox)
}

fn head() -> String {
    let head = BatchHead {
        network: "net",
        process: "1-a",
        batch: 1,
        before: 0,
        dropped: 0,
        began: WALL,
    };
    let mut line = String::new();
    batch_line(&head, &mut line);
    line
}

fn read(lines: &[u8]) -> Vec<Event> {
    let text = head() + std::str::from_utf8(lines).unwrap();
    Batch::parse(&"net".into(), &text).unwrap().events
}

fn unsent(log: &Arc<HostLog>, outbox: &Outbox) -> Unsent {
    Unsent {
        log: Arc::clone(log),
        events: VecDeque::from(log.take_unsent(outbox)),
    }
}

#[test]
fn what_is_written_is_read() {
    let (log, outbox) = log();
    let mut lines = Vec::new();
    let written = unsent(&log, &outbox).write(WALL, &mut lines, usize::MAX);
    assert_eq!((written.events, written.too_large), (9, 0));
    let mut expected = log.events(WALL);
    expected.sort_by_key(|event| event.elapsed);
    assert_eq!(read(&lines), expected);
    // The first line, byte for byte: docs/trace.md has it.
    let text = String::from_utf8(lines).unwrap();
    let first: Vec<_> = text.lines().take(2).collect();
    assert_eq!(
        first,
        [
            r#"{"events_of":"β","names":["γ","α","a \"b\""]}"#,
            "D 1 27 1 0 0 _____3",
        ]
    );
}

#[test]
fn a_batch_takes_what_it_has_space_for_and_the_rest_stays() {
    let (log, outbox) = log();
    let mut left = unsent(&log, &outbox);
    let (mut all, mut batches) = (Vec::new(), 0);
    while !left.events.is_empty() {
        let mut lines = Vec::new();
        let written = left.write(WALL, &mut lines, 250);
        assert!(lines.len() <= 250 && written.events > 0, "{}", lines.len());
        all.extend(read(&lines));
        batches += 1;
    }
    all.sort_by_key(|event| event.number);
    assert_eq!(all, log.events(WALL));
    assert!(batches > 1);

    // An event that no batch has space for is left out.
    let text = "x".repeat(300).into();
    let note = CompactKind::Other(Box::new(EventKind::Note { text }));
    log.add(10, Duration::ZERO, note, Some(&outbox), || 64);
    let mut lines = Vec::new();
    let written = unsent(&log, &outbox).write(WALL, &mut lines, 250);
    assert_eq!((written.events, written.too_large, lines.len()), (0, 1, 0));
}

#[test]
fn a_line_that_is_none_is_told() {
    for line in [
        "",
        "D",
        "Q 1 1",
        "F 1 1 1 0 1",
        "F 1 1 1 0 1 1 1",
        "F 1 1 1 1 1 1",
        "F 1 1 1 0 ___ 1",
        "F 1 1 1 0 1 é",
        "F 1  1 0 1 1",
        "E 1 1 1 0 1 1 ____________",
    ] {
        let text = head() + "{\"events_of\":\"β\",\"names\":[\"α\"]}\n" + line + "\n";
        let expected = format!("expected a letter and numbers of an event, got {line:?}");
        assert_eq!(Batch::parse(&"net".into(), &text).unwrap_err(), expected);
    }
    // Before the line that says whose it is.
    let text = head() + "F 1 1 1 0 1 1\n";
    assert_eq!(
        Batch::parse(&"net".into(), &text).unwrap_err(),
        r#"expected a JSON object, got "F 1 1 1 0 1 1""#
    );
}
