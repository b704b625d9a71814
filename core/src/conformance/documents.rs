//! Checks of the documents of a registry: how they are written, read and removed. Never runs an
//! engine, and never knows what a document says.
//!
//! A registry without documents passes all of them.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;

use super::registry::RegistryBed;
use crate::{Cause, Documents, MAX_DOCUMENT, MAX_DOCUMENT_KEY, MIN_DOCUMENT_LIFETIME, Registry};

/// Far longer than any check.
pub(super) const LONG: Option<Duration> = Some(Duration::from_secs(600));

/// A registry's documents.
pub(super) fn of(registry: &Arc<dyn Registry>) -> &dyn Documents {
    registry
        .documents()
        .expect("all values of a registry have them")
}

/// Two registry values of one network, if they have documents.
pub(super) async fn two(bed: &dyn RegistryBed) -> Option<[Arc<dyn Registry>; 2]> {
    let registries = [bed.registry().await, bed.registry().await];
    if registries[0].documents().is_some() {
        return Some(registries);
    }
    close(registries).await;
    None
}

pub(super) async fn close(registries: impl IntoIterator<Item = Arc<dyn Registry>>) {
    for registry in registries {
        registry.close().await.unwrap();
    }
}

fn listed<const N: usize>(documents: [(&str, &str); N]) -> Vec<(String, String)> {
    let owned = documents.map(|(key, text)| (key.to_owned(), text.to_owned()));
    owned.into()
}

/// Waits until a condition is true that only a call can tell.
async fn eventually<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    for _ in 0..4_000 {
        if condition().await {
            return;
        }
        sleep(Duration::from_millis(5)).await;
    }
    panic!("never came true: {what}");
}

/// Every registry value reads, lists and removes the documents that any of them wrote.
pub async fn put_get_list_remove(bed: &dyn RegistryBed) {
    let Some([one, other]) = two(bed).await else {
        return;
    };
    of(&one).put("t/b", "α\n\0 β", None).await.unwrap();
    of(&other).put("t/a", "", LONG).await.unwrap();
    of(&one).put("t", "whole", LONG).await.unwrap();
    of(&one).put("tt/a", "another topic", None).await.unwrap();
    for registry in [&one, &other] {
        let documents = of(registry);
        let text = documents.get("t/b").await.unwrap();
        assert_eq!(text.as_deref(), Some("α\n\0 β"));
        assert_eq!(documents.get("t/a").await.unwrap().as_deref(), Some(""));
        assert_eq!(documents.get("t/c").await.unwrap(), None);
        assert_eq!(
            documents.list("t").await.unwrap(),
            listed([("t", "whole"), ("t/a", ""), ("t/b", "α\n\0 β")])
        );
        assert_eq!(documents.list("x").await.unwrap(), []);
    }
    // Written again, it is another text.
    of(&other).put("t/b", "second", LONG).await.unwrap();
    of(&one).remove("t").await.unwrap();
    of(&one).remove("t").await.unwrap();
    assert_eq!(
        of(&one).list("t").await.unwrap(),
        listed([("t/a", ""), ("t/b", "second")])
    );
    for key in ["t/a", "t/b", "tt/a"] {
        of(&other).remove(key).await.unwrap();
        assert_eq!(of(&one).get(key).await.unwrap(), None);
    }
    assert_eq!(of(&one).list("t").await.unwrap(), []);
    close([one, other]).await;
}

/// The largest documents and the longest keys come back; documents are no hosts.
pub async fn the_largest_documents(bed: &dyn RegistryBed) {
    let Some([one, other]) = two(bed).await else {
        return;
    };
    let longest = format!("t/{}", "x".repeat(MAX_DOCUMENT_KEY - 2));
    let largest = "α".repeat(MAX_DOCUMENT / 2);
    let keys = [&*longest, "t/-", "t//", "t/0/z"];
    for key in keys {
        of(&one).put(key, &largest, None).await.unwrap();
    }
    for key in keys {
        let text = of(&other).get(key).await.unwrap();
        assert!(text.as_deref() == Some(&*largest), "{key}");
    }
    let documents = of(&other).list("t").await.unwrap();
    let found: BTreeSet<_> = documents.iter().map(|(key, _)| &**key).collect();
    assert_eq!(found, BTreeSet::from(keys));
    assert!(documents.iter().all(|(_, text)| *text == largest));
    // A host may have the name of a document.
    for key in keys {
        let cause = other.query(key).await.unwrap_err().cause();
        assert_eq!(cause, Cause::NoSuchHost, "{key}");
    }
    one.announce("t/-", "1").await.unwrap();
    for key in keys {
        of(&one).remove(key).await.unwrap();
    }
    assert_eq!(other.query("t/-").await.unwrap(), "1");
    close([one, other]).await;
}

/// A document is replaced only if it still has the old text.
pub async fn replace(bed: &dyn RegistryBed) {
    let Some([one, other]) = two(bed).await else {
        return;
    };
    let (first, second) = (of(&one), of(&other));
    assert!(!first.replace("t/a", Some(""), "x", LONG).await.unwrap());
    assert_eq!(first.get("t/a").await.unwrap(), None);
    assert!(first.replace("t/a", None, "1", LONG).await.unwrap());
    assert!(!second.replace("t/a", None, "x", LONG).await.unwrap());
    assert!(!second.replace("t/a", Some("2"), "x", LONG).await.unwrap());
    assert!(!second.replace("t/a", Some("1\0"), "x", LONG).await.unwrap());
    assert_eq!(second.get("t/a").await.unwrap().as_deref(), Some("1"));
    assert!(second.replace("t/a", Some("1"), "", LONG).await.unwrap());
    // An empty document is another thing than none.
    assert!(!first.replace("t/a", None, "x", LONG).await.unwrap());
    assert!(first.replace("t/a", Some(""), "3", None).await.unwrap());
    assert_eq!(second.get("t/a").await.unwrap().as_deref(), Some("3"));
    first.remove("t/a").await.unwrap();
    assert!(!first.replace("t/a", Some("3"), "x", LONG).await.unwrap());
    close([one, other]).await;
}

/// A document is replaced and others are read in one call: what is read is as it was after that.
pub async fn replace_then_read(bed: &dyn RegistryBed) {
    let Some([one, other]) = two(bed).await else {
        return;
    };
    let (one_of, other_of) = (of(&one), of(&other));
    other_of.put("t/b", "there", LONG).await.unwrap();
    let keys = ["t/b", "t/a", "t/c"];
    let there = || Some("there".to_owned());
    for (old, text, is_written, now) in [
        (None, "x", true, "x"),
        (None, "y", false, "x"),
        (Some("y"), "z", false, "x"),
        (Some("x"), "z", true, "z"),
    ] {
        let done = one_of.replace_and_read("t/a", old, text, LONG, &keys).await;
        let (written, texts) = done.unwrap();
        assert_eq!(written, is_written, "{old:?} by {text}");
        assert_eq!(texts, [there(), Some(now.to_owned()), None]);
        assert_eq!(other_of.get("t/a").await.unwrap().as_deref(), Some(now));
    }
    let done = one_of
        .replace_and_read("t/a", Some("z"), "w", LONG, &[])
        .await;
    assert_eq!(done.unwrap(), (true, Vec::new()));
    let err = one_of
        .replace_and_read("t/a", Some("w"), "v", LONG, &["t/A"])
        .await;
    assert_eq!(err.unwrap_err().cause(), Cause::Other);
    for key in ["t/a", "t/b"] {
        one_of.remove(key).await.unwrap();
    }
    close([one, other]).await;
}

/// If many replace a document at the same time, exactly one succeeds.
pub async fn replace_contenders(bed: &dyn RegistryBed) {
    let Some(registries) = two(bed).await else {
        return;
    };
    let mut old: Option<String> = None;
    for round in 0..8 {
        let mut contest = JoinSet::new();
        for i in 0..16 {
            let (registry, old) = (Arc::clone(&registries[i % 2]), old.clone());
            contest.spawn(async move {
                let text = format!("{round}/{i}");
                let replaced = of(&registry).replace("t/a", old.as_deref(), &text, LONG);
                replaced.await.unwrap().then_some(text)
            });
        }
        let mut winners = contest.join_all().await.into_iter().flatten();
        let winner = winners.next().expect("one succeeds");
        assert_eq!(winners.next(), None, "round {round}");
        assert_eq!(
            of(&registries[0]).get("t/a").await.unwrap().as_ref(),
            Some(&winner)
        );
        old = Some(winner);
    }
    of(&registries[0]).remove("t/a").await.unwrap();
    close(registries).await;
}

/// A document disappears when its lifetime is over, unless it was written again.
pub async fn expiry(bed: &dyn RegistryBed) {
    let Some([one, other]) = two(bed).await else {
        return;
    };
    let short = Some(MIN_DOCUMENT_LIFETIME);
    let (first, second) = (of(&one), of(&other));
    first.put("t/long", "x", LONG).await.unwrap();
    first.put("t/ever", "x", short).await.unwrap();
    first.put("t/ever", "y", None).await.unwrap();
    first.put("t/short", "x", short).await.unwrap();
    first.put("u/short", "x", short).await.unwrap();
    // A lifetime is the last write's.
    first.put("t/shorter", "x", None).await.unwrap();
    first.put("t/shorter", "x", short).await.unwrap();
    for key in ["t/short", "t/shorter", "u/short"] {
        eventually(key, async || second.get(key).await.unwrap().is_none()).await;
    }
    for documents in [first, second] {
        assert_eq!(
            documents.list("t").await.unwrap(),
            listed([("t/ever", "y"), ("t/long", "x")])
        );
        assert_eq!(documents.list("u").await.unwrap(), []);
    }
    // What has expired does not exist.
    assert!(
        !second
            .replace("t/short", Some("x"), "y", LONG)
            .await
            .unwrap()
    );
    assert!(second.replace("t/short", None, "y", short).await.unwrap());
    eventually("t/short again", async || {
        first.get("t/short").await.unwrap().is_none()
    })
    .await;
    assert!(first.list("t").await.unwrap().len() == 2);
    for key in ["t/long", "t/ever", "t/short", "t/shorter", "u/short"] {
        first.remove(key).await.unwrap();
    }
    close([one, other]).await;
}

/// Who reads the number and then the documents sees the last text, however many changes
/// Keys, topics, texts and lifetimes that are not allowed are refused, and named.
pub async fn what_is_not_allowed(bed: &dyn RegistryBed) {
    let Some([one, other]) = two(bed).await else {
        return;
    };
    let documents = of(&one);
    let too_long = "x".repeat(MAX_DOCUMENT_KEY + 1);
    for key in ["", "/", "/a", "A", "a b", "a:b", "{a}", "*", "α", &too_long] {
        for err in [
            documents.get(key).await.unwrap_err(),
            documents.put(key, "x", None).await.unwrap_err(),
            documents.replace(key, None, "x", None).await.unwrap_err(),
            documents.remove(key).await.unwrap_err(),
            documents.list(key).await.unwrap_err(),
            documents.changed(key, 0).await.unwrap_err(),
        ] {
            assert_eq!(err.cause(), Cause::Other, "{err}");
            assert_eq!(err.args(), [key]);
        }
    }
    documents.list("a/b").await.unwrap_err();
    documents.changed("a/b", 0).await.unwrap_err();
    let too_large = "x".repeat(MAX_DOCUMENT + 1);
    let too_short = Some(MIN_DOCUMENT_LIFETIME / 2);
    for err in [
        documents.put("t/a", &too_large, None).await.unwrap_err(),
        documents
            .replace("t/a", None, &too_large, None)
            .await
            .unwrap_err(),
        documents.put("t/a", "x", too_short).await.unwrap_err(),
        documents
            .replace("t/a", None, "x", too_short)
            .await
            .unwrap_err(),
    ] {
        assert_eq!(err.cause(), Cause::Other, "{err}");
        let line = err.to_string();
        assert!(line.len() < 1_000 && line.contains("t/a"), "{line}");
    }
    // The longest lifetime there is.
    documents
        .put("t/a", "x", Some(Duration::MAX))
        .await
        .unwrap();
    assert_eq!(of(&other).get("t/a").await.unwrap().as_deref(), Some("x"));
    documents.remove("t/a").await.unwrap();
    assert_eq!(documents.list("t").await.unwrap(), []);
    close([one, other]).await;
}

/// After a close, all calls report that the registry is down, the one that waits too. The
/// Two networks on one registry do not see each other's documents.
pub async fn documents_of_two_networks(bed: &dyn RegistryBed) {
    let Some([one, other]) = two(bed).await else {
        return;
    };
    let Some(foreign) = bed.registry_of_another_network().await else {
        return close([one, other]).await;
    };
    let (ours, theirs) = (of(&one), of(&foreign));
    ours.put("t/a", "ours", LONG).await.unwrap();
    assert_eq!(theirs.get("t/a").await.unwrap(), None);
    assert_eq!(theirs.list("t").await.unwrap(), []);
    assert_eq!(theirs.changed("t", 1).await.unwrap(), 0);
    assert!(theirs.replace("t/a", None, "theirs", None).await.unwrap());
    theirs.remove("t/a").await.unwrap();
    assert_eq!(
        of(&other).get("t/a").await.unwrap().as_deref(),
        Some("ours")
    );
    ours.remove("t/a").await.unwrap();
    close([one, other, foreign]).await;
}
