//! Checks of the changes of documents: who waits for them, and calls that are cut short. Never
//! runs an engine.
//!
//! A registry without documents passes all of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::bed::{drop_after, poll_times};
use super::documents::{LONG, close, of, two};
use super::registry::RegistryBed;
use crate::{Cause, Registry};

/// Each write and each removal wakes those who wait for a change of its topic.
pub async fn changes_wake(bed: &dyn RegistryBed) {
    let Some([one, other]) = two(bed).await else {
        return;
    };
    let (writer, reader) = (of(&one), of(&other));
    let mut seen = 0;
    let mut numbers = BTreeSet::new();
    for round in 0..6 {
        let change = async {
            match round {
                0 | 1 => writer.put("t/a", "x", LONG).await.unwrap(),
                2 => assert!(writer.replace("t/a", Some("x"), "y", None).await.unwrap()),
                3 => writer.put("t", "x", None).await.unwrap(),
                4 => writer.remove("t").await.unwrap(),
                _ => reader.put("t/a", "z", LONG).await.unwrap(),
            }
        };
        let own = of(&other).changed("t", seen);
        let (by_own, by_other, ()) = tokio::join!(own, writer.changed("t", seen), change);
        assert_eq!(by_own.unwrap(), by_other.unwrap(), "round {round}");
        seen = reader.changed("t", seen).await.unwrap();
        assert!(seen != 0 && numbers.insert(seen), "round {round}: {seen}");
    }
    // Neither a change of another topic nor a replacement that fails is one.
    let mut waiting = Box::pin(reader.changed("t", seen));
    assert_eq!(poll_times(3, &mut waiting).await.map(Result::unwrap), None);
    writer.put("tt", "x", LONG).await.unwrap();
    assert!(!writer.replace("t/a", None, "x", LONG).await.unwrap());
    assert_eq!(reader.changed("t", 0).await.unwrap(), seen);
    writer.remove("tt").await.unwrap();
    drop(waiting);
    // When nothing is left, and when something is there again.
    let (last, removed) = tokio::join!(reader.changed("t", seen), writer.remove("t/a"));
    removed.unwrap();
    let last = last.unwrap();
    assert!(last == 0 || numbers.insert(last), "{last}");
    writer.put("t/a", "x", LONG).await.unwrap();
    let next = reader.changed("t", last).await.unwrap();
    assert!(next != 0 && numbers.insert(next), "{next}");
    writer.remove("t/a").await.unwrap();
    close([one, other]).await;
}

/// A change number and documents in one call: the documents are never older than the number.
pub async fn changes_come_with_documents(bed: &dyn RegistryBed) {
    const LAST: u32 = 100;
    let Some([one, other]) = two(bed).await else {
        return;
    };
    let (writer, reader) = (of(&one), of(&other));
    let keys = ["t/b", "t", "t/a", "u"];
    // Nothing is there.
    let (mut seen, texts) = reader.changed_documents("t", 1, &keys).await.unwrap();
    assert_eq!((seen, texts), (0, vec![None; 4]));
    writer.put("u", "other", LONG).await.unwrap();
    let writing = async {
        for number in 1..=LAST {
            writer.put("t/a", &number.to_string(), LONG).await.unwrap();
        }
    };
    let reading = async {
        let (mut last, mut reads) = (0, 0);
        while last < LAST {
            let change = reader.changed_documents("t", seen, &keys);
            let (number, texts) = change.await.unwrap();
            assert_ne!(number, seen);
            seen = number;
            let [b, t, a, u] = texts.try_into().expect("one for each key");
            assert_eq!((b, t, u.as_deref()), (None, None, Some("other")));
            // The first change is of t/a.
            let now = a.expect("it was written").parse().unwrap();
            assert!(last <= now && reads < LAST, "{last} {now}");
            (last, reads) = (now, reads + 1);
        }
    };
    tokio::join!(writing, reading);
    // What it has read is all that there is.
    let mut waiting = Box::pin(reader.changed_documents("t", seen, &keys));
    assert!(poll_times(3, &mut waiting).await.is_none());
    writer.remove("t/a").await.unwrap();
    assert_eq!(waiting.await.unwrap().1[2], None);
    let err = reader.changed_documents("t", seen, &["t/A"]).await;
    assert_eq!(err.unwrap_err().cause(), Cause::Other);
    writer.remove("u").await.unwrap();
    close([one, other]).await;
}

/// Readers that wait for changes see the last text, however many changes there are in between.
pub async fn changes_miss_nothing(bed: &dyn RegistryBed) {
    const LAST: u32 = 200;
    let Some([one, other]) = two(bed).await else {
        return;
    };
    let read = async |registry: &Arc<dyn Registry>| {
        let (mut seen, mut before) = (0, None);
        loop {
            seen = of(registry).changed("t", seen).await.unwrap();
            let text = of(registry).get("t/a").await.unwrap();
            let number = text.map(|text| text.parse::<u32>().unwrap());
            assert!(number >= before, "{number:?} after {before:?}");
            before = number;
            if number == Some(LAST) {
                return;
            }
        }
    };
    let write = async {
        for number in 0..=LAST {
            let text = number.to_string();
            of(&one).put("t/a", &text, LONG).await.unwrap();
        }
    };
    tokio::join!(read(&one), read(&other), read(&other), write);
    of(&one).remove("t/a").await.unwrap();
    close([one, other]).await;
}

/// A call can be dropped at any poll; a wait that was dropped loses no change.
pub async fn calls_dropped_at_every_poll(bed: &dyn RegistryBed) {
    let Some([one, other]) = two(bed).await else {
        return;
    };
    let (first, second) = (of(&one), of(&other));
    for polls in 1..=6 {
        let text = polls.to_string();
        let seen = second.changed("t", u64::MAX).await.unwrap();
        let mut waiting = Box::pin(second.changed("t", seen));
        let waited = poll_times(polls, &mut waiting).await;
        drop(waiting);
        assert!(waited.is_none_or(|waited| waited.unwrap() != seen));
        if let Some(put) = drop_after(polls, first.put("t/a", &text, LONG)).await {
            put.unwrap();
        }
        let replaced = drop_after(polls, first.replace("t/b", None, &text, LONG)).await;
        if let Some(replaced) = replaced {
            replaced.unwrap();
        }
        drop(drop_after(polls, first.get("t/a")).await);
        drop(drop_after(polls, first.list("t")).await);
        drop(drop_after(polls, first.remove("t/b")).await);
        // A dropped write happened or not, and is no obstacle to the next one. It may still be
        // under way on another connection, but not on the one of the same value.
        first.put("t/c", &text, LONG).await.unwrap();
        assert_ne!(second.changed("t", seen).await.unwrap(), seen);
        assert_eq!(second.get("t/c").await.unwrap(), Some(text));
        for key in ["t/a", "t/b", "t/c"] {
            first.remove(key).await.unwrap();
        }
        assert_eq!(second.list("t").await.unwrap(), []);
    }
    close([one, other]).await;
}

/// documents stay.
pub async fn documents_after_close(bed: &dyn RegistryBed) {
    let Some([one, other]) = two(bed).await else {
        return;
    };
    let documents = of(&one);
    documents.put("t/a", "x", LONG).await.unwrap();
    let seen = documents.changed("t", 0).await.unwrap();
    let mut waiting = Box::pin(documents.changed("t", seen));
    assert!(poll_times(3, &mut waiting).await.is_none());
    let (closed, waited) = tokio::join!(one.close(), waiting);
    closed.unwrap();
    for err in [
        waited.unwrap_err(),
        documents.changed("t", 0).await.unwrap_err(),
        documents.get("t/a").await.unwrap_err(),
        documents.list("t").await.unwrap_err(),
        documents.put("t/a", "y", None).await.unwrap_err(),
        documents
            .replace("t/a", Some("x"), "y", None)
            .await
            .unwrap_err(),
        documents.remove("t/a").await.unwrap_err(),
    ] {
        assert_eq!(err.cause(), Cause::RegistryDown, "{err}");
        let line = err.to_string();
        assert!(
            line.contains(err.registry()) && line.contains(err.op()),
            "{line}"
        );
    }
    assert_eq!(of(&other).get("t/a").await.unwrap().as_deref(), Some("x"));
    of(&other).remove("t/a").await.unwrap();
    other.close().await.unwrap();
}
