//! Checks of the trace: what an engine's connections do is recorded in an order that has a cause for each
//! effect.
//!
//! Owns a bed whose subnetworks record, and what must hold of every trace. Never checks what a
//! connection does: the other checks do, which run here once more while they are recorded.

mod many;

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;

pub use many::many_hosts_are_recorded;

use super::bed::{Bed, connect};
use super::{cancelling, closing, crashing, dialing, streams};
use crate::trace::recorder::Recorder;
use crate::trace::{End, Event, EventKind, Recording, Trace, Traced};
use crate::{Addr, Cause, Conn, Host, Listener, SubNetwork};

/// A bed whose subnetworks record.
struct Recorded<'a> {
    bed: &'a dyn Bed,
    /// They must not keep their subnetworks.
    recorders: Mutex<Vec<Arc<Recorder>>>,
}

#[async_trait]
impl Bed for Recorded<'_> {
    async fn subnetwork(&self) -> SubNetwork {
        let subnet = self.bed.subnetwork().await;
        let recorded = subnet.record_with(&Recording::new().payload(8));
        recorded.expect("nothing can fail without a file");
        let recorder = Arc::clone(&subnet.directory.context.recorder);
        self.recorders.lock().push(recorder);
        subnet
    }

    fn is_exact(&self) -> bool {
        self.bed.is_exact()
    }
}

impl<'a> Recorded<'a> {
    fn new(bed: &'a dyn Bed) -> Recorded<'a> {
        Recorded {
            bed,
            recorders: Mutex::default(),
        }
    }

    /// Merges what was recorded since the last time, and asserts what holds of every trace. If dials were given up,
    /// it may be open which of them an accept took.
    fn merged(&self, what: &str, given_up: bool) -> Trace {
        let recorders = std::mem::take(&mut *self.recorders.lock());
        let records = recorders.iter().map(|recorder| recorder.record());
        let trace = Trace::merge(records).unwrap_or_else(|err| panic!("{what}: {err}"));
        assert_eq!(trace.dropped(), 0, "{what}");
        assert_caused(what, given_up, &trace);
        assert_one_at_a_time(what, &trace);
        trace
    }
}

/// Panics with the trace.
fn fail(what: &str, trace: &Trace, at: &Traced) -> ! {
    let lines: Vec<_> = trace.events().iter().map(line).collect();
    panic!(
        "{what}: nothing explains {}\n{}",
        line(at),
        lines.join("\n")
    );
}

fn line(traced: &Traced) -> String {
    let Event { number, .. } = traced.event;
    format!("{number:>3} of {}: {}", traced.process, traced.event)
}

/// What came over the network has a cause there, unless that is open.
fn assert_caused(what: &str, given_up: bool, trace: &Trace) {
    let mut with_first_bytes = Vec::new();
    for traced in trace.events() {
        let cause = traced.cause.map(|cause| &trace.events()[cause].event.kind);
        let caused = match &traced.event.kind {
            EventKind::Connected { .. } => matches!(cause, Some(EventKind::Accepted { .. })),
            EventKind::Accepted { end, .. } => {
                if let Some(EventKind::Dialing { first: 1.., .. }) = cause {
                    with_first_bytes.push(end.clone());
                }
                matches!(cause, Some(EventKind::Dialing { .. }))
            }
            EventKind::FirstByteReceived { end } => {
                matches!(cause, Some(EventKind::FirstByteSent { .. }))
                    || with_first_bytes.contains(end)
            }
            EventKind::Data {
                end, sent: false, ..
            } => {
                matches!(cause, Some(EventKind::Data { sent: true, .. }))
                    || with_first_bytes.contains(end)
            }
            EventKind::EndReceived { .. } => matches!(
                cause,
                Some(EventKind::EndSent { .. } | EventKind::Closed { .. })
            ),
            _ => cause.is_none(),
        };
        let is_open = given_up && cause.is_none();
        if !caused && !is_open {
            fail(what, trace, traced);
        }
    }
}

/// What holds a port has its last event before another has its first: each host's events are those of a program
/// that takes the lowest free port.
fn assert_one_at_a_time(what: &str, trace: &Trace) {
    let mut held = BTreeSet::new();
    for traced in trace.events() {
        let port = |addr: &Addr| (Arc::clone(&traced.process), addr.to_string());
        let free = match &traced.event.kind {
            EventKind::Listening { addr: local }
            | EventKind::Dialing { src: local, .. }
            | EventKind::Accepted {
                end: End { local, .. },
                ..
            } => held.insert(port(local)),
            EventKind::ListenerClosed { addr: local }
            | EventKind::DialFailed { src: local, .. }
            | EventKind::DialGivenUp { src: local, .. }
            | EventKind::Closed {
                end: End { local, .. },
                ..
            } => held.remove(&port(local)),
            _ => true,
        };
        if !free {
            fail(what, trace, traced);
        }
    }
}

/// The contract's example: line by line, with both hosts on one subnetwork, and host by host with each on its
/// own.
pub async fn the_example_is_recorded(bed: &dyn Bed) {
    let recorded = Recorded::new(bed);
    let subnet = recorded.subnetwork().await;
    let alpha = subnet.new_host("α").await.unwrap();
    let beta = subnet.new_host("β").await.unwrap();
    let held = example(&alpha, &beta).await;
    let trace = recorded.merged("one subnetwork", false);
    let expected = [
        "α made",
        "β made",
        "α:1 -> α:0 dialing",
        "α:1 -> α:0 failed: connection refused",
        "α:1 listening",
        "α:2 -> α:0 dialing",
        "α:2 -> α:0 failed: connection refused",
        "β:1 -> α:1 dialing",
        "α:2 <- β:1 accepted",
        "β:1 -> α:2 connected",
        "β:2 -> α:1 dialing",
        "α:3 <- β:2 accepted",
        "β:2 -> α:3 connected",
        "α:4 listening",
    ];
    assert_eq!(texts(&trace, |_| true), expected);
    drop(held);
    subnet.close().await.unwrap();

    let (here, there) = (recorded.subnetwork().await, recorded.subnetwork().await);
    let alpha = here.new_host("α").await.unwrap();
    let beta = there.new_host("β").await.unwrap();
    let held = example(&alpha, &beta).await;
    let trace = recorded.merged("two subnetworks", false);
    for name in ["α", "β"] {
        let of_host = expected.into_iter().filter(|line| line.starts_with(name));
        assert_eq!(
            texts(&trace, |traced| &*traced.event.host == name),
            of_host.collect::<Vec<_>>()
        );
    }
    let at = |text: &str| {
        let mut events = trace.events().iter();
        events
            .position(|traced| traced.event.to_string() == text)
            .unwrap()
    };
    let (first, second) = (at("α:2 <- β:1 accepted"), at("α:3 <- β:2 accepted"));
    assert!(trace.is_before(at("β:1 -> α:1 dialing"), first));
    assert!(trace.is_before(first, at("β:1 -> α:2 connected")));
    assert!(trace.is_before(first, at("β:2 -> α:1 dialing")));
    assert!(trace.is_before(at("β:2 -> α:1 dialing"), second));
    assert!(!trace.is_before(at("α:1 listening"), at("β:1 -> α:1 dialing")));
    drop(held);
    here.close().await.unwrap();
    there.close().await.unwrap();
}

fn texts(trace: &Trace, of: impl Fn(&Traced) -> bool) -> Vec<String> {
    let events = trace.events().iter().filter(|traced| of(traced));
    events.map(|traced| traced.event.to_string()).collect()
}

/// Returns what is open at its end.
async fn example(alpha: &Host, beta: &Host) -> (Vec<(Conn, Conn)>, Vec<Listener>) {
    let refused = alpha.dial(":0").await.unwrap_err();
    assert_eq!(refused.cause(), Cause::ConnectionRefused);
    let listener = alpha.listen("").unwrap();
    alpha.dial(":0").await.unwrap_err();
    let first = connect(beta, &listener).await;
    let second = connect(beta, &listener).await;
    let other = alpha.listen(":0").unwrap();
    (vec![first, second], vec![listener, other])
}

/// Runs checks while they are recorded, and merges each one's records.
macro_rules! recorded {
    ($bed:ident, $given_up:literal: $($module:ident: $($check:ident),+;)+) => {
        let recorded = Recorded::new($bed);
        $($(
            $module::$check(&recorded).await;
            recorded.merged(stringify!($check), $given_up);
        )+)+
    };
}

/// The checks of streams.
pub async fn streams_are_recorded(bed: &dyn Bed) {
    recorded! { bed, false:
        streams: bytes_both_ways, first_bytes, half_close, split_halves, backpressure,
            dropping_delivers, closing_the_subnetwork_delivers, after_shutdown, aborting_cuts,
            aborting_cuts_what_was_dropped;
    }
}

/// The checks of dials.
pub async fn dials_are_recorded(bed: &dyn Bed) {
    recorded! { bed, false:
        dialing: dial_errors, a_host_dials_itself, concurrent_dials, many_connections_at_once,
            ports_are_free_when_the_peer_knows, addresses_repeat_once_hosts_are_idle;
    }
}

/// The checks of closes.
pub async fn closes_are_recorded(bed: &dyn Bed) {
    recorded! { bed, false:
        closing: the_matrix_with_the_close_first, the_matrix_with_the_operation_blocked,
            the_matrix_within_one_subnetwork, closing_twice, a_refused_dial_is_gone,
            a_close_right_after_a_dial;
    }
}

/// The checks of what is dropped halfway.
pub async fn what_is_dropped_is_recorded(bed: &dyn Bed) {
    recorded! { bed, true:
        cancelling: dial_dropped_at_every_poll, accept_dropped_at_every_poll,
            what_nobody_got_is_cut, new_host_dropped_at_every_poll;
    }
}

/// The checks of crashes.
pub async fn crashes_are_recorded(bed: &dyn Bed) {
    recorded! { bed, true:
        crashing: restarting, a_crash_is_no_close;
    }
}
