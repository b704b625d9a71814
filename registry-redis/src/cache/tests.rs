//! What is remembered, and what takes it back.
//!
//! Owns no server: pushes are made here.

use super::*;

fn memory() -> Cache {
    let memory = Cache::new(Duration::from_secs(5));
    memory.tracks(1);
    memory
}

fn changed(keys: &[&str]) -> PushInfo {
    let keys = keys.iter().map(|key| Value::BulkString((*key).into()));
    PushInfo {
        kind: PushKind::Invalidate,
        data: vec![Value::Array(keys.collect())],
    }
}

fn recall(memory: &Cache, key: &str) -> Option<String> {
    let value = memory.recall(key);
    value.map(|value| String::from_utf8(value).unwrap())
}

#[test]
fn an_answer_is_known_until_it_changes() {
    let memory = memory();
    memory.ask("a").answered(1, b"x");
    memory.ask("b").answered(1, b"y");
    memory.heard(1, &changed(&["a"]));
    assert_eq!(recall(&memory, "a"), None);
    assert_eq!(recall(&memory, "b").as_deref(), Some("y"));
    memory.heard(
        1,
        &PushInfo {
            kind: PushKind::Invalidate,
            data: vec![Value::Nil],
        },
    );
    assert_eq!(recall(&memory, "b"), None);
}

#[test]
fn a_change_between_answer_and_remembering_counts() {
    let memory = memory();
    let ask = memory.ask("a");
    memory.heard(1, &changed(&["a"]));
    ask.answered(1, b"old");
    assert_eq!(recall(&memory, "a"), None);

    // Of two asks the later counts: the earlier one's answer may be older.
    let (earlier, later) = (memory.ask("a"), memory.ask("a"));
    later.answered(1, b"new");
    earlier.answered(1, b"old");
    assert_eq!(recall(&memory, "a").as_deref(), Some("new"));
}

#[test]
fn nothing_outlives_its_connection() {
    let memory = memory();
    memory.ask("a").answered(1, b"x");
    let (one, two) = (memory.ask("b"), memory.ask("c"));
    memory.heard(1, &disconnected());
    one.answered(1, b"x");
    memory.tracks(2);
    two.answered(1, b"x");
    for key in ["a", "b", "c"] {
        assert_eq!(recall(&memory, key), None, "{key}");
    }
    // What an earlier connection still says is of no account.
    memory.ask("a").answered(2, b"x");
    memory.lost(1);
    memory.heard(1, &changed(&["a"]));
    assert_eq!(recall(&memory, "a").as_deref(), Some("x"));
}

fn disconnected() -> PushInfo {
    PushInfo {
        kind: PushKind::Disconnection,
        data: Vec::new(),
    }
}

#[test]
fn what_changes_here_no_memory_of_the_process_knows() {
    let (one, other) = (memory(), memory());
    one.ask("here").answered(1, b"x");
    other.ask("there").answered(1, b"y");
    let asking = other.ask("here");
    changed_here(&["here".to_owned()]);
    asking.answered(1, b"old");
    assert_eq!(recall(&one, "here"), None);
    assert_eq!(recall(&other, "here"), None);
    assert_eq!(recall(&other, "there").as_deref(), Some("y"));
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_forgotten_in_time() {
    let memory = memory();
    let ask = memory.ask("a");
    // The time runs from the question.
    tokio::time::advance(Duration::from_secs(3)).await;
    ask.answered(1, b"x");
    tokio::time::advance(Duration::from_millis(1_999)).await;
    assert!(recall(&memory, "a").is_some());
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(recall(&memory, "a"), None);
}

#[test]
fn it_is_bounded() {
    let memory = memory();
    for n in 0..10 * MOST_KEYS {
        memory.ask(&format!("k{n}")).answered(1, b"x");
        assert!(memory.table().slots.len() <= MOST_KEYS);
    }
    memory.ask("long").answered(1, &[b'x'; LONGEST_VALUE + 1]);
    assert_eq!(memory.recall("long"), None);
    // Asks that came to nothing leave nothing.
    memory.tracks(2);
    drop(memory.ask("a"));
    assert!(memory.table().slots.is_empty());
}
