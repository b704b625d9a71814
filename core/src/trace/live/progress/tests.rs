//! Tests of what a reader has had and missed, from batches of text.
//!
//! Owns a small language for batches. Never uses a registry.

use super::*;

/// A batch of `process`, with events of these numbers.
fn batch(process: &str, batch: u64, before: u64, dropped: u64, events: &[u64]) -> String {
    let mut text = format!(
        "{{\"virtnet_trace\":1,\"network\":\"net\",\"process\":\"{process}\",\"batch\":{batch},\
         \"before\":{before},\"dropped\":{dropped},\"began\":\"1.000000000\"}}\n"
    );
    for number in events {
        text += &format!(
            "{{\"host\":\"α\",\"number\":{number},\"wall\":\"1.000000000\",\"elapsed_ns\":1,\
             \"event\":\"host_made\"}}\n"
        );
    }
    text
}

fn at(stream: u64, number: u64) -> TracePosition {
    TracePosition { stream, number }
}

fn start(after: Option<TracePosition>) -> Progress {
    Progress::new(&"net".into(), after)
}

fn numbers(progress: &mut Progress, at: TracePosition, text: &str) -> Vec<u64> {
    let (_, events) = progress.take(at, text).unwrap();
    events.iter().map(|event| event.number).collect()
}

#[test]
fn a_batch_that_was_sent_twice_counts_once() {
    let mut progress = start(None);
    let first = batch("p", 1, 0, 0, &[1, 2]);
    assert_eq!(numbers(&mut progress, at(7, 1), &first), [1, 2]);
    assert_eq!(numbers(&mut progress, at(7, 2), &first), [0; 0]);
    let second = batch("p", 2, 2, 0, &[3]);
    assert_eq!(numbers(&mut progress, at(7, 3), &second), [3]);
    // Also late.
    assert_eq!(numbers(&mut progress, at(7, 4), &first), [0; 0]);
    assert_eq!(progress.dropped(), 0);
}

#[test]
fn what_was_dropped_is_counted() {
    // By a subnetwork, in the middle.
    let mut progress = start(None);
    progress.take(at(7, 1), &batch("p", 1, 0, 0, &[1])).unwrap();
    progress.take(at(7, 2), &batch("p", 2, 1, 4, &[6])).unwrap();
    assert_eq!(progress.dropped(), 4);
    // By the registry: of this subnetwork, and batches of others, of which nothing comes later.
    progress.take(at(7, 6), &batch("p", 4, 5, 5, &[9])).unwrap();
    assert_eq!(progress.dropped(), 5 + 3 + 2);
    // Everything, and nobody knows how much.
    progress.take(at(9, 1), &batch("q", 1, 0, 0, &[1])).unwrap();
    assert_eq!(progress.dropped(), 5 + 3 + 3);

    // The beginning.
    let mut progress = start(None);
    progress
        .take(at(7, 3), &batch("p", 3, 20, 0, &[9]))
        .unwrap();
    assert_eq!(progress.dropped(), 20);
}

#[test]
fn what_was_before_a_reader_began_is_not_missed() {
    for after in [at(7, 2), at(0, 0)] {
        let mut progress = start(Some(after));
        let next = at(7, after.number + 1);
        assert_eq!(
            numbers(&mut progress, next, &batch("p", 3, 20, 5, &[9])),
            [9]
        );
        assert_eq!(progress.dropped(), 0);
        let next = at(7, after.number + 2);
        progress.take(next, &batch("p", 4, 22, 7, &[12])).unwrap();
        assert_eq!(progress.dropped(), 1 + 2);
    }
}

#[test]
fn a_batch_that_no_member_sent_is_named() {
    let good = batch("p", 1, 0, 0, &[]);
    for (text, problem) in [
        (String::new(), "expected lines, got none".to_owned()),
        (
            "x".to_owned(),
            "expected a JSON object, got \"x\"".to_owned(),
        ),
        (
            good.replace("_trace\":1", "_trace\":2"),
            "expected version 1, got 2".to_owned(),
        ),
        (
            good.replace("\"net\"", "\"other\""),
            "expected network \"net\", got \"other\"".to_owned(),
        ),
        (
            good.replace("\"batch\":1", "\"batch\":\"1\""),
            "expected a number as \"batch\", got \"1\"".to_owned(),
        ),
        (
            good.clone() + "{\"host\":\"α\"}\n",
            "expected a number as \"number\", got none".to_owned(),
        ),
    ] {
        let err = start(None).take(at(7, 1), &text).unwrap_err();
        assert_eq!(err.to_string(), format!("live trace, batch 7-1: {problem}"));
    }
    let (_, events) = start(None).take(at(7, 1), &good).unwrap();
    assert_eq!(events, []);
}
