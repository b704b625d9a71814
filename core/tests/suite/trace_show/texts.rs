//! Traces as text: the table, the sequence diagram, and the log for ShiViz.
//!
//! Owns what they must look like. Never parses with the code that wrote.

use std::collections::BTreeMap;
use std::time::Duration;

use virtnet_core::Cause;
use virtnet_core::trace::{Event, EventKind, Record, Trace};

use crate::trace_show::synthetic::{HOSTILE, Net, addr, busy, hostile, small};

#[test]
fn a_table() {
    let expected = "\
seconds since 2026-01-01T00:00:00.000250Z
 #   seconds  after  host  event
 1  0.000000      -  α     α made
 2  0.000250      -  β     β made
 3  0.000500      -  α     α:1 listening
 4  0.000750      -  β     β:1 -> α:1 dialing
 5  0.001000      4  α     α:2 <- β:1 accepted
 6  0.001250      5  β     β:1 -> α:2 connected
 7  0.001500      -  β     β:1 -> α:2 sent first byte
 8  0.001750      7  α     α:2 <- β:1 received first byte
 9  0.002000      -  β     β:1 -> α:2 sent end after 5 bytes
10  0.002250      9  α     α:2 <- β:1 received end after 5 bytes
11  0.002500      -  α     α faults 1: 1 rules
12  0.002750      -  β     β faults 1: 1 rules
13  0.003000      -  β     β:1 -> α:2 closed after 5 bytes sent, 0 received
14  0.003250      -  α     α:2 <- β:1 closed after 0 bytes sent, 5 received
";
    assert_eq!(small().trace().table().to_string(), expected);
    assert_eq!(Trace::default().table().to_string(), "");
}

/// A name that a second process took, and a record that was full.
#[test]
fn a_table_tells_two_holders_of_a_name_apart() {
    let record = |process: &str, wall, kind| Record {
        network: "net".into(),
        process: process.into(),
        events: vec![Event {
            host: "α".into(),
            number: 1,
            wall: Duration::from_secs(wall),
            elapsed: Duration::ZERO,
            kind,
        }],
        dropped: 2,
    };
    let one = record("one", 2, EventKind::HostMade);
    let other = record("other", 1, EventKind::HostCrashed);
    let trace = Trace::merge([one, other]).unwrap();
    let expected = "\
seconds since 1970-01-01T00:00:01.000000Z
#   seconds  after  host   event
1  0.000000      -  α      α crashed
2  1.000000      -  α (2)  α made
4 events were dropped because a record was full
";
    assert_eq!(trace.table().to_string(), expected);
}

#[test]
fn a_table_has_a_line_for_each_event_whatever_the_names() {
    let trace = hostile().trace();
    let table = trace.table().to_string();
    assert_eq!(table.lines().count(), trace.events().len() + 2);
    let control = |char: char| char.is_control() && char != '\n';
    assert!(!table.contains(control) && !table.contains(['\u{202e}', '\u{2028}']));
    assert!(table.contains("note: two\\nlines\\u{1b}[2J"), "{table}");
}

#[test]
fn a_sequence_diagram() {
    let expected = "\
sequenceDiagram
    participant h0 as α
    participant h1 as β
    Note over h0: α made
    Note over h1: β made
    Note over h0: α:1 listening
    h1->>h0: β:1 -#62; α:1 dialing
    h0-->>h1: β:1 -#62; α:2 connected
    h1->>h0: β:1 -#62; α:2 sent first byte
    h1->>h0: β:1 -#62; α:2 sent end after 5 bytes
    Note over h0: α faults 1: 1 rules<br/>cut α -#62; β
    Note over h1: β faults 1: 1 rules<br/>cut α -#62; β
    Note over h1: β:1 -#62; α:2 closed after 5 bytes sent, 0 received
    Note over h0: α:2 #60;- β:1 closed after 0 bytes sent, 5 received
";
    assert_eq!(small().trace().mermaid().to_string(), expected);
    assert_eq!(Trace::default().mermaid().to_string(), "sequenceDiagram\n");
}

#[test]
fn a_dial_without_an_answer_is_a_lost_message() {
    let mut net = Net::new(&["α", "β"]);
    net.refused(1, &addr("α", 7), Cause::ConnectionRefused);
    net.refused(1, &addr("nobody", 7), Cause::NoSuchHost);
    let diagram = net.trace().mermaid().to_string();
    let lines: Vec<_> = diagram.lines().skip(5).map(str::trim).collect();
    let expected = [
        "h1-xh0: β:1 -#62; α:7 dialing",
        "Note over h1: β:1 -#62; α:7 failed: connection refused",
        "Note over h1: β:1 -#62; nobody:7 dialing",
        "Note over h1: β:1 -#62; nobody:7 failed: no such host",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn an_excerpt_is_around_an_event_and_marks_it() {
    let trace = small().trace();
    let excerpt = |around, at_most| {
        let diagram = trace.mermaid().around(around).at_most(at_most).to_string();
        let lines = diagram.lines().filter(|line| !line.contains("participant"));
        let lines: Vec<_> = lines.skip(1).map(|line| line.trim().to_owned()).collect();
        lines
    };
    let expected = [
        "Note over h0,h1: 3 events before",
        "h1->>h0: β:1 -#62; α:1 dialing",
        "rect rgb(255, 236, 179)",
        "h0-->>h1: β:1 -#62; α:2 connected",
        "end",
        "Note over h0,h1: 8 events after",
    ];
    assert_eq!(excerpt(5, 3), expected);
    // What another event says is marked as a note of its own.
    let expected = [
        "Note over h1: 3 events before",
        "rect rgb(255, 236, 179)",
        "Note over h1: β:1 -#62; α:1 dialing",
        "end",
        "Note over h1: 10 events after",
    ];
    let alone: Vec<_> = excerpt(3, 1)
        .into_iter()
        .map(|it| {
            it.replace("h1-xh0:", "Note over h1:")
                .replace("h0,h1", "h1")
        })
        .collect();
    assert_eq!(alone, expected);
    assert_eq!(excerpt(99, 0).last().unwrap(), "end");
    let big = busy(1000, 5, 1).trace();
    let diagram = big.mermaid().around(500).to_string();
    assert!(diagram.lines().count() < 80, "{diagram}");
}

#[test]
fn a_sequence_diagram_has_no_sign_that_mermaid_could_take_for_its_own() {
    let diagram = hostile().trace().mermaid().at_most(1000).to_string();
    for line in diagram.lines().skip(1) {
        let (_, text) = line.split_once(": ").or(line.split_once(" as ")).unwrap();
        let text = text.replace("<br/>", "");
        let entity = |text: &str| {
            text.split('#').skip(1).all(|part| {
                let (number, _) = part.split_once(';').unwrap_or(("x", ""));
                number.parse::<u32>().is_ok()
            })
        };
        assert!(entity(&text), "{line}");
        assert!(
            !text.contains(['<', '>', '&', '{', '}', '"', '\'', '%', '\\']),
            "{line}"
        );
        let semicolons = text.matches(';').count();
        assert_eq!(semicolons, text.matches('#').count(), "{line}");
    }
}

#[test]
fn a_log_for_shiviz() {
    let mut net = Net::new(&["α", "β"]);
    let listener = net.listen(0);
    let pair = net.connect(1, 0, &listener);
    net.finish(&pair, 0, 5);
    let expected = r#"α {"α":1}
α made
β {"β":1}
β made
α {"α":2}
α:1 listening
β {"β":2}
β:1 -> α:1 dialing
α {"α":3,"β":2}
α:2 <- β:1 accepted
β {"α":3,"β":3}
β:1 -> α:2 connected
β {"α":3,"β":4}
β:1 -> α:2 sent end after 5 bytes
α {"α":4,"β":4}
α:2 <- β:1 received end after 5 bytes
"#;
    assert_eq!(net.trace().shiviz().to_string(), expected);
}

/// Each host's clocks as a log has them.
fn clocks(log: &str) -> Vec<(String, BTreeMap<String, u64>)> {
    let lines: Vec<_> = log.lines().collect();
    let heads = lines.chunks(2).map(|pair| pair[0].split_once(' ').unwrap());
    heads
        .map(|(host, clock)| (host.to_owned(), serde_json::from_str(clock).unwrap()))
        .collect()
}

/// Clocks say the same as the trace about what came before what.
#[test]
fn clocks_agree_with_the_trace() {
    for trace in [busy(300, 5, 3).trace(), hostile().trace()] {
        let clocks = clocks(&trace.shiviz().to_string());
        assert_eq!(clocks.len(), trace.events().len());
        for (first, (host, clock)) in clocks.iter().enumerate() {
            for (then, (_, other)) in clocks.iter().enumerate() {
                let before = first != then && other.get(host).is_some_and(|it| *it >= clock[host]);
                assert_eq!(
                    before,
                    first != then && trace.is_before(first, then),
                    "{first} {then}"
                );
            }
        }
    }
}

#[test]
fn names_fit_the_regular_expression_of_shiviz() {
    let log = hostile().trace().shiviz().to_string();
    let names: Vec<_> = clocks(&log).into_iter().map(|(host, _)| host).collect();
    assert!(
        names.contains(&"a%20b%20%7B%22c%22:1%7D".to_owned()),
        "{names:?}"
    );
    let distinct: std::collections::BTreeSet<_> = names.iter().collect();
    assert_eq!(distinct.len(), HOSTILE.len());
    assert!(!names.iter().any(|name| name.contains(char::is_whitespace)));
}
