//! Tests of the judge: rules that end while a process naps.
//!
//! Owns the faults and failures that it is shown. Never waits: their times are numbers.

use super::*;
use crate::hosts::Pairs;
use crate::plan::Rules;

/// Process 0 has host 0, process 1 hosts 2 and 3.
const DIALER: usize = 0;
const PEER: usize = 2;

fn fault(kind: Kind, process: Option<usize>, began: u64, ended: Option<u64>) -> Fault {
    let mut pairs = Pairs::default();
    pairs.insert(DIALER, PEER);
    let planned = Planned {
        at: 0,
        length: 0,
        kind,
        host: 0,
        process,
        other: 0,
        pairs,
    };
    Fault {
        hosts: Hosts::default(),
        planned,
        began,
        ended,
    }
}

/// A rule from 10 s to 15 s, and a nap.
fn record(rule: Rules, process: usize, began: u64, ended: Option<u64>) -> Record {
    let rule = fault(Kind::Rules(rule), None, 10_000, Some(15_000));
    let nap = fault(Kind::Nap, Some(process), began, ended);
    Record {
        faults: vec![rule, nap],
        ..Record::default()
    }
}

fn trouble(what: &str, peer: usize, cause: &str, at: u64) -> Trouble {
    Trouble {
        what: what.to_owned(),
        host: DIALER,
        peer,
        cause: cause.to_owned(),
        began: at,
        opened: 0,
        ended: at,
        detail: String::new(),
    }
}

fn refused(peer: usize, at: u64) -> Trouble {
    trouble("dial", peer, "ConnectionRefused", at)
}

#[test]
fn a_process_that_napped_while_a_rule_ended_enforces_it_for_a_moment() {
    for process in [0, 1] {
        let napped = record(Rules::Refuse, process, 14_500, Some(18_200));
        assert!(napped.excuses(&refused(PEER, 18_260)), "{process}");
        assert!(!napped.excuses(&refused(PEER, 19_201)), "{process}");
        // The judge may hear of the failure before the end of the nap.
        let naps = record(Rules::Refuse, process, 14_500, None);
        assert!(naps.excuses(&refused(PEER, 18_260)), "{process}");
    }
    let reset = record(Rules::Reset, 1, 14_500, Some(18_200));
    for cause in ["ConnectionCut", "ConnectionRefused"] {
        assert!(reset.excuses(&trouble("dial", PEER, cause, 18_260)));
    }
}

#[test]
fn other_naps_rules_and_failures_excuse_nothing_more() {
    // Begins after the rule, ends before it, or is of a third process.
    for (process, began, ended) in [
        (1, 15_001, 18_200),
        (1, 11_000, 14_999),
        (2, 14_500, 18_200),
    ] {
        let nap = record(Rules::Refuse, process, began, Some(ended));
        assert!(!nap.excuses(&refused(PEER, 18_260)), "{process} {began}");
    }
    let napped = record(Rules::Refuse, 1, 14_500, Some(18_200));
    // Another pair of the same processes, and other failures of this pair.
    assert!(!napped.excuses(&refused(PEER + 1, 18_260)));
    assert!(!napped.excuses(&trouble("dial", PEER, "NoSuchHost", 18_260)));
    assert!(!napped.excuses(&trouble("read", PEER, "ConnectionRefused", 18_260)));
    let cut = record(Rules::Cut, 1, 14_500, Some(18_200));
    assert!(!cut.excuses(&refused(PEER, 18_260)));
    assert!(!cut.excuses(&trouble("dial", PEER, "TimedOut", 21_000)));
    let reset = record(Rules::Reset, 1, 14_500, Some(18_200));
    let cut_later = Trouble {
        opened: 27_000,
        ..trouble("read", PEER, "ConnectionCut", 27_000)
    };
    assert!(!reset.excuses(&cut_later));
}
