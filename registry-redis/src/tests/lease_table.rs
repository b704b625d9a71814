//! Tests of the lease table, without a server.

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

fn keep(table: &LeaseTable, hostname: &str, until: Moment) {
    table.begin(hostname).unwrap().confirm("x:1", until, 7);
}

fn lease(hostname: &str, number: u64) -> Lease {
    Lease {
        hostname: hostname.into(),
        number,
        hostdata: "x:1".into(),
        confirmed_at: 7,
    }
}

#[test]
fn a_name_is_claimed_once() {
    let (table, now) = (LeaseTable::default(), Moment::now());
    let pending = table.begin("a").unwrap();
    assert!(table.begin("a").is_none());
    pending.confirm("x:1", now, 7);
    assert!(table.begin("a").is_none());
    assert!(table.begin("b").is_some());
}

#[test]
fn a_dropped_claim_is_abandoned_until_freed() {
    let table = LeaseTable::default();
    drop(table.begin("a").unwrap());
    assert_eq!(table.abandoned(), [name("a", 1)]);
    drop(table.begin("a").unwrap());
    assert_eq!(table.abandoned(), [name("a", 2)]);
    table.freed(&name("a", 1));
    assert_eq!(table.abandoned(), [name("a", 2)]);
    table.freed(&name("a", 2));
    assert_eq!(table.all(), []);
}

#[test]
fn freeing_an_earlier_announcement_leaves_the_claim() {
    let table = LeaseTable::default();
    drop(table.begin("a").unwrap());
    let pending = table.begin("a").unwrap();
    assert_eq!(table.all(), [name("a", 2)]);
    table.freed(&name("a", 1));
    assert_eq!(table.abandoned(), []);
    pending.confirm("x:1", Moment::now(), 7);
    assert_eq!(table.all(), [name("a", 2)]);
}

#[test]
fn a_kept_claim_leaves_nothing_to_free_a_refused_one_does() {
    let table = LeaseTable::default();
    drop(table.begin("a").unwrap());
    table.begin("a").unwrap().discard();
    assert_eq!(table.abandoned(), [name("a", 1)]);
    keep(&table, "a", Moment::now());
    assert_eq!(table.abandoned(), []);
}

#[test]
fn a_name_is_held_from_its_announcement_to_its_moment() {
    let (table, now) = (LeaseTable::default(), Moment::now());
    assert!(!table.holds("a", now));
    let pending = table.begin("a").unwrap();
    assert!(!table.holds("a", now), "it is not confirmed");
    assert_eq!(table.to_renew(), []);
    pending.confirm("x:1", now.plus(SPAN), 7);
    assert!(table.holds("a", now));
    assert!(!table.holds("a", now.plus(SPAN)));
    // A renewal's moment counts; one that was overtaken does not take it back.
    let leases = table.to_renew();
    assert_eq!(leases, [lease("a", 1)]);
    table.renewed(leases.iter().map(|lease| (lease, 8)), now.plus(2 * SPAN));
    table.renewed(leases.iter().map(|lease| (lease, 9)), now.plus(SPAN));
    assert!(table.holds("a", now.plus(SPAN)));
    assert_eq!(table.to_renew()[0].confirmed_at, 9);
    table.clear();
    assert!(!table.holds("a", now));
}

#[test]
fn what_is_said_of_an_earlier_announcement_does_not_concern_the_later() {
    let (table, now) = (LeaseTable::default(), Moment::now());
    drop(table.begin("a").unwrap());
    keep(&table, "a", now);
    table.renewed([(&lease("a", 1), 8)].into_iter(), now.plus(SPAN));
    assert!(!table.holds("a", now));
    table.lose(&lease("a", 1), Failure::other("no"));
    assert_eq!(table.to_renew(), [lease("a", 2)]);
}

#[test]
fn a_look_that_comes_too_late_asks_for_a_renewal() {
    let (table, now) = (LeaseTable::default(), Moment::now());
    keep(&table, "a", now);
    let mut overdue = pin!(table.overdue());
    assert!(now_or_never(overdue.as_mut()).is_none());
    assert!(!table.holds("b", now), "this one is nobody's");
    assert!(now_or_never(overdue.as_mut()).is_none());
    assert!(!table.holds("a", now));
    assert!(now_or_never(overdue.as_mut()).is_some());
}

#[test]
fn each_lost_name_is_reported_once_and_never_by_a_dropped_call() {
    let (table, now) = (LeaseTable::default(), Moment::now());
    for hostname in ["a", "b"] {
        keep(&table, hostname, now.plus(SPAN));
    }
    // Waiting when it happens, woken, and dropped without another look.
    let mut waiting = Box::pin(table.lost());
    assert!(now_or_never(waiting.as_mut()).is_none());
    table.lose(
        &lease("a", 1),
        Failure::wrap(Cause::Other, "another holds it"),
    );
    table.lose(&lease("b", 2), Failure::other("this too"));
    drop(waiting);
    assert!(!table.holds("a", now));
    assert!(table.begin("a").is_some(), "it may be announced again");
    for (hostname, reason) in [("a", "another holds it"), ("b", "this too")] {
        let lost: Lost = now_or_never(pin!(table.lost())).expect("one is there");
        assert_eq!(
            (&*lost.hostname, &*lost.reason.to_string()),
            (hostname, reason)
        );
    }
    assert!(now_or_never(pin!(table.lost())).is_none());
}

fn now_or_never<F: Future>(future: std::pin::Pin<&mut F>) -> Option<F::Output> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}
