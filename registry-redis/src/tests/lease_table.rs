//! Tests of the bookkeeping of names, without any server.

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use virtnet_core::{Cause, Failure, Lost};

use crate::lease::clock::Moment;
use crate::lease::table::{Announcement, Lease, LeaseTable};

const SPAN: Duration = Duration::from_secs(10);

fn name(hostname: &str, number: u64) -> Announcement {
    (hostname.into(), number)
}

fn keep(names: &LeaseTable, hostname: &str, until: Moment) {
    names.claim(hostname).unwrap().keep("x:1", until, 7);
}

fn lease(hostname: &str, number: u64) -> Lease {
    Lease {
        hostname: hostname.into(),
        number,
        hostdata: "x:1".into(),
        seen: 7,
    }
}

#[test]
fn a_name_is_claimed_once() {
    let (names, now) = (LeaseTable::default(), Moment::now());
    let claim = names.claim("a").unwrap();
    assert!(names.claim("a").is_none());
    claim.keep("x:1", now, 7);
    assert!(names.claim("a").is_none());
    assert!(names.claim("b").is_some());
}

#[test]
fn a_dropped_claim_is_abandoned_until_freed() {
    let names = LeaseTable::default();
    drop(names.claim("a").unwrap());
    assert_eq!(names.abandoned(), [name("a", 1)]);
    drop(names.claim("a").unwrap());
    assert_eq!(names.abandoned(), [name("a", 2)]);
    names.freed(&name("a", 1));
    assert_eq!(names.abandoned(), [name("a", 2)]);
    names.freed(&name("a", 2));
    assert_eq!(names.all(), []);
}

#[test]
fn freeing_an_earlier_announcement_leaves_the_claim() {
    let names = LeaseTable::default();
    drop(names.claim("a").unwrap());
    let claim = names.claim("a").unwrap();
    assert_eq!(names.all(), [name("a", 2)]);
    names.freed(&name("a", 1));
    assert_eq!(names.abandoned(), []);
    claim.keep("x:1", Moment::now(), 7);
    assert_eq!(names.all(), [name("a", 2)]);
}

#[test]
fn a_kept_claim_leaves_nothing_to_free_a_refused_one_does() {
    let names = LeaseTable::default();
    drop(names.claim("a").unwrap());
    names.claim("a").unwrap().forget();
    assert_eq!(names.abandoned(), [name("a", 1)]);
    keep(&names, "a", Moment::now());
    assert_eq!(names.abandoned(), []);
}

#[test]
fn a_name_is_held_from_its_announcement_to_its_moment() {
    let (names, now) = (LeaseTable::default(), Moment::now());
    assert!(!names.holds("a", now));
    let claim = names.claim("a").unwrap();
    assert!(!names.holds("a", now), "it is not confirmed");
    assert_eq!(names.leases(), []);
    claim.keep("x:1", now.plus(SPAN), 7);
    assert!(names.holds("a", now));
    assert!(!names.holds("a", now.plus(SPAN)));
    // A renewal's moment counts; one that was overtaken does not take it back.
    let leases = names.leases();
    assert_eq!(leases, [lease("a", 1)]);
    names.renewed(leases.iter().map(|lease| (lease, 8)), now.plus(2 * SPAN));
    names.renewed(leases.iter().map(|lease| (lease, 9)), now.plus(SPAN));
    assert!(names.holds("a", now.plus(SPAN)));
    assert_eq!(names.leases()[0].seen, 9);
    names.clear();
    assert!(!names.holds("a", now));
}

#[test]
fn what_is_said_of_an_earlier_announcement_does_not_concern_the_later() {
    let (names, now) = (LeaseTable::default(), Moment::now());
    drop(names.claim("a").unwrap());
    keep(&names, "a", now);
    names.renewed([(&lease("a", 1), 8)].into_iter(), now.plus(SPAN));
    assert!(!names.holds("a", now));
    names.lose(&lease("a", 1), Failure::other("no"));
    assert_eq!(names.leases(), [lease("a", 2)]);
}

#[test]
fn a_look_that_comes_too_late_asks_for_a_renewal() {
    let (names, now) = (LeaseTable::default(), Moment::now());
    keep(&names, "a", now);
    let mut overdue = pin!(names.overdue());
    assert!(now_or_never(overdue.as_mut()).is_none());
    assert!(!names.holds("b", now), "this one is nobody's");
    assert!(now_or_never(overdue.as_mut()).is_none());
    assert!(!names.holds("a", now));
    assert!(now_or_never(overdue.as_mut()).is_some());
}

#[test]
fn each_lost_name_is_reported_once_and_never_by_a_dropped_call() {
    let (names, now) = (LeaseTable::default(), Moment::now());
    for hostname in ["a", "b"] {
        keep(&names, hostname, now.plus(SPAN));
    }
    // Waiting when it happens, woken, and dropped without another look.
    let mut waiting = Box::pin(names.lost());
    assert!(now_or_never(waiting.as_mut()).is_none());
    names.lose(
        &lease("a", 1),
        Failure::wrap(Cause::Other, "another holds it"),
    );
    names.lose(&lease("b", 2), Failure::other("this too"));
    drop(waiting);
    assert!(!names.holds("a", now));
    assert!(names.claim("a").is_some(), "it may be announced again");
    for (hostname, reason) in [("a", "another holds it"), ("b", "this too")] {
        let lost: Lost = now_or_never(pin!(names.lost())).expect("one is there");
        assert_eq!(
            (&*lost.hostname, &*lost.reason.to_string()),
            (hostname, reason)
        );
    }
    assert!(now_or_never(pin!(names.lost())).is_none());
}

fn now_or_never<F: Future>(future: std::pin::Pin<&mut F>) -> Option<F::Output> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}
