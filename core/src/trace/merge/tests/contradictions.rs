//! Records that contradict each other, and what rules of faults led to.
//!
//! Owns records as no network has them. Never opens a network.

use std::sync::Arc;

use super::{Host, addr, end, index, lines, merged};
use crate::Cause;
use crate::trace::{EventKind, Trace};

/// Files that somebody changed, or of two runs: the order that is left, and what is wrong.
#[test]
fn records_that_contradict_each_other_have_the_order_that_is_left() {
    // Each accept comes before the dial that it took.
    let alpha = Host::new("α")
        .with(EventKind::HostMade)
        .accepted("α:2", "β:1", 1, "α:1")
        .dialing("α:3", "β:5")
        .dialing("α:4", "β:7");
    let beta = Host::new("β")
        .accepted("β:6", "α:3", 1, "β:5")
        .dialing("β:1", "α:1")
        .accepted("β:8", "α:4", 1, "β:7");
    let trace = merged([alpha, beta]);
    assert_eq!(trace.events().len(), 7);
    let contradiction = "the records contradict each other, as each of these events would have led to the next, and the \
                         last to the first: \"β:1 -> α:1 dialing\" -> \"α:2 <- β:1 accepted\" -> \"α:3 -> β:5 dialing\" -> \
                         \"β:6 <- α:3 accepted\"";
    let contradictions: Vec<_> = trace.contradictions().collect();
    assert_eq!(contradictions.len(), 1, "{contradictions:?}");
    assert_eq!(
        sorted_circle(&contradictions[0]),
        sorted_circle(contradiction)
    );
    // The edges of the circle are left out, the others are not; each host's own order stays.
    for (line, cause) in [
        ("α:2 <- β:1 accepted", None),
        ("β:6 <- α:3 accepted", None),
        ("β:8 <- α:4 accepted", Some("α:4 -> β:7 dialing")),
    ] {
        let cause = cause.map(|cause| index(&trace, cause));
        assert_eq!(trace.events()[index(&trace, line)].cause, cause, "{line}");
    }
    let of = |host: &str| -> Vec<String> {
        let lines = lines(&trace).into_iter();
        lines.filter(|line| line.starts_with(host)).collect()
    };
    assert_eq!(
        of("α"),
        [
            "α made",
            "α:2 <- β:1 accepted",
            "α:3 -> β:5 dialing",
            "α:4 -> β:7 dialing"
        ]
    );
    let err = trace.check().allow_others().finish().unwrap_err();
    assert!(err.to_string().contains(&contradictions[0]), "{err}");
}

/// What is said about a circle, and its events from the smallest line on.
fn sorted_circle(text: &str) -> (String, Vec<String>) {
    let (what, events) = text.split_once("first: ").unwrap();
    let mut events: Vec<_> = events
        .split(" -> \"")
        .map(|line| line.trim_matches('"').to_owned())
        .collect();
    let least = events
        .iter()
        .enumerate()
        .min_by_key(|(_, line)| (*line).clone())
        .unwrap()
        .0;
    events.rotate_left(least);
    (what.to_owned(), events)
}

/// Records that are all wrong take no longer than others.
#[test]
fn many_contradictions_are_told_up_to_a_bound() {
    let (mut alpha, mut beta) = (Host::new("α"), Host::new("β"));
    for port in 1..=500 {
        let (one, other) = (2 * port, 2 * port + 1);
        alpha = alpha
            .accepted(&format!("α:{one}"), &format!("β:{other}"), 1, "α:1")
            .dialing(&format!("α:{other}"), "β:1");
        beta = beta
            .accepted(&format!("β:{one}"), &format!("α:{other}"), 1, "β:1")
            .dialing(&format!("β:{other}"), "α:1");
    }
    let trace = merged([alpha, beta]);
    assert_eq!((trace.events().len(), trace.circles().len()), (2_000, 64));
}

/// What a rule of faults did follows its coming in force, at the same host.
#[test]
fn what_a_fault_did_comes_after_it() {
    let faults = |version: u64, rules: &[&str]| EventKind::FaultsInForce {
        version,
        rules: rules.iter().map(|rule| Arc::from(*rule)).collect(),
    };
    let counted = |rule: &str| EventKind::FaultCounted {
        rule: rule.into(),
        matched: 1,
        hit: 1,
    };
    let failed = |cause: Cause, peer: &str| EventKind::ReadFailed {
        end: end("β:1", "->", peer, 1),
        bytes: 0,
        cause,
    };
    let beta = Host::new("β")
        .dialing("β:1", "α:5")
        .connected("β:1", "α:6", 1, "α:5")
        .with(faults(1, &["cut α -> γ", "cut α -> β port 4"]))
        .with(faults(2, &["cut α -> γ", "cut α -> β port 5"]))
        .with(faults(
            3,
            &["cut α -> γ", "cut α -> β port 5", "refuse β -> γ"],
        ))
        .with(failed(Cause::TimedOut, "α:6"))
        .with(EventKind::DialFailed {
            src: addr("β:2"),
            dst: addr("γ:1"),
            cause: Cause::ConnectionRefused,
        })
        // By no rule: it is about others.
        .with(failed(Cause::ConnectionCut, "α:6"))
        .with(EventKind::DialFailed {
            src: addr("β:2"),
            dst: addr("δ:1"),
            cause: Cause::TimedOut,
        })
        .with(faults(4, &["cut α -> γ"]))
        .with(counted("cut α -> β port 5"))
        .with(failed(Cause::TimedOut, "α:6"))
        .with(counted("cut α -> γ"));
    let trace = Trace::merge([beta.record]).unwrap();
    let causes = trace.events().iter();
    let causes: Vec<_> = causes.skip(5).map(|traced| traced.cause).collect();
    assert_eq!(
        causes,
        [Some(3), Some(4), None, None, None, Some(3), None, Some(2)]
    );
}
