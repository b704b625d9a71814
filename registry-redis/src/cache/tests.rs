//! What is cached, and what removes it.
//!
//! Owns no server: pushes are made here.

use super::*;

fn cache() -> Cache {
    let cache = Cache::new(Duration::from_secs(5));
    cache.track(1);
    cache
}

fn changed(keys: &[&str]) -> PushInfo {
    let keys = keys.iter().map(|key| Value::BulkString((*key).into()));
    PushInfo {
        kind: PushKind::Invalidate,
        data: vec![Value::Array(keys.collect())],
    }
}

fn recall(cache: &Cache, key: &str) -> Option<String> {
    let value = cache.get(key);
    value.map(|value| String::from_utf8(value).unwrap())
}

#[test]
fn an_answer_is_known_until_it_changes() {
    let cache = cache();
    cache.begin_lookup("a").store(1, b"x");
    cache.begin_lookup("b").store(1, b"y");
    cache.on_push(1, &changed(&["a"]));
    assert_eq!(recall(&cache, "a"), None);
    assert_eq!(recall(&cache, "b").as_deref(), Some("y"));
    cache.on_push(
        1,
        &PushInfo {
            kind: PushKind::Invalidate,
            data: vec![Value::Nil],
        },
    );
    assert_eq!(recall(&cache, "b"), None);
}

#[test]
fn a_change_between_answer_and_remembering_counts() {
    let cache = cache();
    let lookup = cache.begin_lookup("a");
    cache.on_push(1, &changed(&["a"]));
    lookup.store(1, b"old");
    assert_eq!(recall(&cache, "a"), None);

    // Of two asks the later counts: the earlier one's answer may be older.
    let (earlier, later) = (cache.begin_lookup("a"), cache.begin_lookup("a"));
    later.store(1, b"new");
    earlier.store(1, b"old");
    assert_eq!(recall(&cache, "a").as_deref(), Some("new"));
}

#[test]
fn nothing_outlives_its_connection() {
    let cache = cache();
    cache.begin_lookup("a").store(1, b"x");
    let (one, two) = (cache.begin_lookup("b"), cache.begin_lookup("c"));
    cache.on_push(1, &disconnected());
    one.store(1, b"x");
    cache.track(2);
    two.store(1, b"x");
    for key in ["a", "b", "c"] {
        assert_eq!(recall(&cache, key), None, "{key}");
    }
    // What an earlier connection still says is of no account.
    cache.begin_lookup("a").store(2, b"x");
    cache.connection_lost(1);
    cache.on_push(1, &changed(&["a"]));
    assert_eq!(recall(&cache, "a").as_deref(), Some("x"));
}

fn disconnected() -> PushInfo {
    PushInfo {
        kind: PushKind::Disconnection,
        data: Vec::new(),
    }
}

#[test]
fn what_changes_here_no_memory_of_the_process_knows() {
    let (one, other) = (cache(), cache());
    one.begin_lookup("here").store(1, b"x");
    other.begin_lookup("there").store(1, b"y");
    let asking = other.begin_lookup("here");
    changed_here(&["here".to_owned()]);
    asking.store(1, b"old");
    assert_eq!(recall(&one, "here"), None);
    assert_eq!(recall(&other, "here"), None);
    assert_eq!(recall(&other, "there").as_deref(), Some("y"));
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_forgotten_in_time() {
    let cache = cache();
    let lookup = cache.begin_lookup("a");
    // The time runs from the question.
    tokio::time::advance(Duration::from_secs(3)).await;
    lookup.store(1, b"x");
    tokio::time::advance(Duration::from_millis(1_999)).await;
    assert!(recall(&cache, "a").is_some());
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(recall(&cache, "a"), None);
}

#[test]
fn it_is_bounded() {
    let cache = cache();
    for n in 0..10 * MOST_KEYS {
        cache.begin_lookup(&format!("k{n}")).store(1, b"x");
        assert!(cache.table().entries.len() <= MOST_KEYS);
    }
    cache
        .begin_lookup("long")
        .store(1, &[b'x'; LONGEST_VALUE + 1]);
    assert_eq!(cache.get("long"), None);
    // Asks that came to nothing leave nothing.
    cache.track(2);
    drop(cache.begin_lookup("a"));
    assert!(cache.table().entries.is_empty());
}
