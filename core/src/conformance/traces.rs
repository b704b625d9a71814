//! Checks of the live trace of a registry: batches are appended, read in order and awaited, and the oldest are
//! dropped. Never knows what a batch says.
//!
//! A registry without a live trace passes all of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::bed::{drop_after, poll_times};
use super::documents::close;
use super::registry::RegistryBed;
use crate::{
    Cause, MAX_TRACE_BATCH, MAX_TRACE_READ, MAX_TRACE_SIZE, Registry, TracePosition, Traces,
};

const START: TracePosition = TracePosition {
    stream: 0,
    number: 0,
};

/// A registry's live trace.
fn of(registry: &Arc<dyn Registry>) -> &dyn Traces {
    registry
        .traces()
        .expect("all values of a registry have them")
}

/// Two registry values of one network, if they have a live trace.
async fn two(bed: &dyn RegistryBed) -> Option<[Arc<dyn Registry>; 2]> {
    let registries = [bed.registry().await, bed.registry().await];
    if registries[0].traces().is_some() {
        assert!(registries[0].documents().is_some(), "it needs documents");
        return Some(registries);
    }
    close(registries).await;
    None
}

/// All batches after `after`.
async fn rest(
    registry: &Arc<dyn Registry>,
    mut after: TracePosition,
) -> Vec<(TracePosition, String)> {
    let mut all = Vec::new();
    loop {
        let batches = of(registry).read(after).await.unwrap();
        assert!(batches.len() <= MAX_TRACE_READ);
        let Some((last, _)) = batches.last() else {
            return all;
        };
        after = *last;
        all.extend(batches);
    }
}

/// Removes what a check appended, and closes.
async fn end(registries: [Arc<dyn Registry>; 2]) {
    of(&registries[0]).clear().await.unwrap();
    close(registries).await;
}

/// Every registry value reads what any of them appended, in the same order, from any position, with consecutive
/// numbers.
pub async fn batches_are_read_in_order(bed: &dyn RegistryBed) {
    let Some([one, other]) = two(bed).await else {
        return;
    };
    assert_eq!(of(&one).read(START).await.unwrap(), []);
    assert_eq!(of(&one).last().await.unwrap(), START);
    let largest = "α".repeat(MAX_TRACE_BATCH / 2);
    let mut expected = Vec::new();
    let texts = ["", "α\n\0 \"β\"\r\n", &largest, "5", "virtnet trace 1\n"];
    for number in 0..3 * MAX_TRACE_READ {
        let writer = [&one, &other][number % 2];
        let text = texts
            .get(number)
            .map_or(number.to_string(), ToString::to_string);
        let at = of(writer).append(&text).await.unwrap();
        assert_eq!(at.number, number as u64 + 1);
        assert_eq!(of(&other).last().await.unwrap(), at);
        expected.push((at, text));
    }
    for registry in [&one, &other] {
        assert!(rest(registry, START).await == expected);
        for from in [0, 1, 2, 3, MAX_TRACE_READ, expected.len() - 1] {
            let rest = rest(registry, expected[from].0).await;
            assert!(rest == expected[from + 1..], "from {from}");
        }
    }
    let too_long = "x".repeat(MAX_TRACE_BATCH + 1);
    let err = of(&one).append(&too_long).await.unwrap_err();
    assert_eq!(err.cause(), Cause::Other);
    assert!(
        err.to_string()
            .contains("expected at most 262144 bytes, got 262145"),
        "{err}"
    );
    assert_eq!(rest(&one, expected.last().unwrap().0).await, []);
    // They are neither hosts nor documents.
    assert_eq!(
        one.query("trace").await.unwrap_err().cause(),
        Cause::NoSuchHost
    );
    let documents = one.documents().unwrap();
    assert_eq!(documents.list("trace").await.unwrap(), []);
    end([one, other]).await;
}

/// Each batch wakes those who wait for it.
pub async fn batches_wake(bed: &dyn RegistryBed) {
    let Some([one, other]) = two(bed).await else {
        return;
    };
    let mut after = START;
    for round in 0..6 {
        let text = round.to_string();
        let (by_own, by_other, at) = tokio::join!(
            of(&one).next(after),
            of(&other).next(after),
            of(&one).append(&text)
        );
        let expected = [(at.unwrap(), text)];
        assert_eq!(by_own.unwrap(), expected);
        assert_eq!(by_other.unwrap(), expected);
        after = expected[0].0;
    }
    // Neither a document nor a host is a batch.
    let mut waiting = Box::pin(of(&other).next(after));
    assert!(poll_times(3, &mut waiting).await.is_none());
    one.documents()
        .unwrap()
        .put("t/a", "x", None)
        .await
        .unwrap();
    one.announce("α", "1").await.unwrap();
    assert!(poll_times(3, &mut waiting).await.is_none());
    one.documents().unwrap().remove("t/a").await.unwrap();
    of(&one).append("last").await.unwrap();
    assert_eq!(waiting.await.unwrap()[0].1, "last");
    end([one, other]).await;
}

/// Several writers append at the same time: nothing is lost or doubled, and each one's are in order.
pub async fn many_writers(bed: &dyn RegistryBed) {
    const EACH: u32 = 100;
    let Some(registries) = two(bed).await else {
        return;
    };
    let write = async |writer: usize| {
        for number in 0..EACH {
            let text = format!("{writer} {number}");
            of(&registries[writer % 2]).append(&text).await.unwrap();
        }
    };
    let read = async {
        let (mut after, mut next) = (START, BTreeMap::<String, u32>::new());
        while next.values().sum::<u32>() < 4 * EACH {
            for (at, text) in of(&registries[0]).next(after).await.unwrap() {
                assert!(after.is_followed_by(at), "{after} {at}");
                after = at;
                let (writer, number) = text.split_once(' ').unwrap();
                let next = next.entry(writer.to_owned()).or_default();
                assert_eq!(number.parse(), Ok(*next), "of writer {writer}");
                *next += 1;
            }
        }
    };
    tokio::join!(read, write(0), write(1), write(2), write(3));
    end(registries).await;
}

/// Once there is no more space, the oldest batches are dropped, and their numbers tell.
pub async fn the_oldest_batches_are_dropped(bed: &dyn RegistryBed) {
    const MOST: usize = MAX_TRACE_SIZE / MAX_TRACE_BATCH;
    let Some([one, other]) = two(bed).await else {
        return;
    };
    let text = "x".repeat(MAX_TRACE_BATCH);
    for _ in 0..MOST + 8 {
        of(&one).append(&text).await.unwrap();
    }
    let mut kept = 0;
    let mut after = START;
    loop {
        let batches = of(&other).read(after).await.unwrap();
        let Some((last, _)) = batches.last() else {
            break;
        };
        if kept == 0 {
            assert!(!START.is_followed_by(batches[0].0), "it tells");
        }
        kept += batches.len();
        after = *last;
    }
    assert!((MOST / 2..=MOST).contains(&kept), "{kept}");
    assert_eq!(after.number, MOST as u64 + 8);
    end([one, other]).await;
}

/// After everything was removed, another trace begins, which readers of the first one read from its beginning.
pub async fn traces_are_removed(bed: &dyn RegistryBed) {
    let Some([one, other]) = two(bed).await else {
        return;
    };
    of(&one).clear().await.unwrap();
    let mut last = START;
    for text in ["a", "b", "c"] {
        last = of(&one).append(text).await.unwrap();
    }
    let mut waiting = Box::pin(of(&other).next(last));
    assert!(poll_times(3, &mut waiting).await.is_none());
    of(&one).clear().await.unwrap();
    assert_eq!(of(&other).read(START).await.unwrap(), []);
    assert_eq!(of(&other).read(last).await.unwrap(), []);
    assert_eq!(of(&other).last().await.unwrap(), START);
    let first = of(&one).append("d").await.unwrap();
    assert!(first.stream != last.stream && first.number == 1, "{first}");
    assert!(!last.is_followed_by(first) && START.is_followed_by(first));
    let expected = [(first, "d".to_owned())];
    assert_eq!(waiting.await.unwrap(), expected);
    assert_eq!(of(&other).read(last).await.unwrap(), expected);
    end([one, other]).await;
}

/// Networks on one server have a trace each.
pub async fn traces_of_two_networks(bed: &dyn RegistryBed) {
    let Some([one, other]) = two(bed).await else {
        return;
    };
    if let Some(another) = bed.registry_of_another_network().await {
        of(&one).append("a").await.unwrap();
        assert_eq!(of(&another).read(START).await.unwrap(), []);
        of(&another).append("b").await.unwrap();
        of(&another).clear().await.unwrap();
        assert_eq!(rest(&other, START).await.len(), 1);
        another.close().await.unwrap();
    }
    end([one, other]).await;
}

/// A call can be dropped at any poll; a wait that was dropped loses no batch.
pub async fn trace_calls_dropped_at_every_poll(bed: &dyn RegistryBed) {
    let Some([one, other]) = two(bed).await else {
        return;
    };
    let mut after = START;
    for polls in 1..=6 {
        let text = polls.to_string();
        let waited = poll_times(polls, &mut Box::pin(of(&other).next(after))).await;
        assert!(waited.is_none());
        if let Some(appended) = drop_after(polls, of(&one).append("dropped")).await {
            appended.unwrap();
        }
        drop(drop_after(polls, of(&one).read(after)).await);
        drop(drop_after(polls, of(&one).last()).await);
        // One that was dropped was appended or not, and is no obstacle to the next.
        let at = of(&one).append(&text).await.unwrap();
        while after < at {
            for (at, batch) in of(&other).next(after).await.unwrap() {
                assert!(after.is_followed_by(at), "{after} {at}");
                assert!(batch == text || batch == "dropped", "{batch}");
                after = at;
            }
        }
    }
    end([one, other]).await;
}

/// After a close, all calls report that the registry is down, also one that waits; what was appended stays.
pub async fn traces_after_close(bed: &dyn RegistryBed) {
    let Some([one, other]) = two(bed).await else {
        return;
    };
    let at = of(&one).append("x").await.unwrap();
    let mut waiting = Box::pin(of(&one).next(at));
    assert!(poll_times(3, &mut waiting).await.is_none());
    let (closed, waited) = tokio::join!(one.close(), waiting);
    closed.unwrap();
    for err in [
        waited.unwrap_err(),
        of(&one).append("y").await.unwrap_err(),
        of(&one).read(START).await.unwrap_err(),
        of(&one).next(START).await.unwrap_err(),
        of(&one).last().await.unwrap_err(),
        of(&one).clear().await.unwrap_err(),
    ] {
        assert_eq!(err.cause(), Cause::RegistryDown, "{err}");
        let line = err.to_string();
        assert!(
            line.contains(err.registry()) && line.contains(err.op()),
            "{line}"
        );
    }
    assert_eq!(rest(&other, START).await, [(at, "x".to_owned())]);
    of(&other).clear().await.unwrap();
    other.close().await.unwrap();
}
