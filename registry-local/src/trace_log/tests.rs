//! Tests of the files of a live trace: what a killed writer leaves, a full file, and old traces.
//!
//! Owns no helpers for other tests.

use std::fs::OpenOptions;
use std::time::SystemTime;

use super::*;

fn append(folder: &Path, text: &str) -> TracePosition {
    let mut lock = TraceLock::take(folder).unwrap().unwrap();
    lock.append(text).unwrap()
}

fn read(folder: &Path, after: TracePosition) -> Vec<(u64, String)> {
    let reader = open(folder).unwrap().unwrap();
    let batches = reader.read(after, |_| None).unwrap().into_iter();
    batches
        .map(|(place, text)| (place.at.number, text))
        .collect()
}

const START: TracePosition = TracePosition {
    stream: 0,
    number: 0,
};

#[test]
fn what_a_killed_writer_left_behind_the_end_is_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    append(dir.path(), "a");
    let newer = folder::trace(dir.path(), 2);
    for left in ["2", "2 100\nhalf of it", "2 4\nxxxx3 1\n"] {
        let mut file = OpenOptions::new().append(true).open(&newer).unwrap();
        file.write_all(left.as_bytes()).unwrap();
        assert_eq!(read(dir.path(), START), [(1, "a".to_owned())], "{left:?}");
    }
    append(dir.path(), "b");
    append(dir.path(), "");
    let expected = [(1, "a"), (2, "b"), (3, "")].map(|(number, text)| (number, text.to_owned()));
    assert_eq!(read(dir.path(), START), expected);
}

#[test]
fn a_file_that_is_lost_begins_another_trace() {
    let dir = tempfile::tempdir().unwrap();
    let first = append(dir.path(), "a");
    fs::remove_file(folder::trace(dir.path(), 2)).unwrap();
    assert_eq!(read(dir.path(), START), []);
    let second = append(dir.path(), "b");
    assert!(second.stream > first.stream && second.number == 1);
    assert_eq!(read(dir.path(), first), [(1, "b".to_owned())]);
    // The same if no registry wrote what is in the small file.
    fs::write(folder::trace(dir.path(), 0), "x").unwrap();
    assert_eq!(read(dir.path(), second), []);
    let third = append(dir.path(), "c");
    assert!(third.stream > second.stream && third.number == 1);
    assert_eq!(read(dir.path(), second), [(1, "c".to_owned())]);
}

#[test]
fn a_full_file_replaces_the_older_one() {
    let dir = tempfile::tempdir().unwrap();
    let text = "x".repeat(MAX_TRACE_BATCH);
    let each = MOST_BYTES / MAX_TRACE_BATCH as u64 - 1;
    // Two files are full, and the next batch is in a third one.
    for _ in 0..2 * each {
        append(dir.path(), &text);
    }
    assert_eq!(read(dir.path(), START)[0].0, 1);
    append(dir.path(), &text);
    let state = glance(dir.path()).unwrap();
    assert_eq!(
        (state.before, state.older, state.last),
        (each, 2 * each, 2 * each + 1)
    );
    assert_eq!(read(dir.path(), START)[0].0, each + 1);
    // From within either file, and across both.
    for number in [each + 2, 2 * each - 1, 2 * each] {
        let after = TracePosition {
            number,
            ..state.last()
        };
        let rest: Vec<_> = read(dir.path(), after)
            .into_iter()
            .map(|(at, _)| at)
            .collect();
        let most = usize::try_from(2 * each + 1 - number)
            .unwrap()
            .min(MAX_TRACE_READ);
        let expected: Vec<_> = (number + 1..).take(most).collect();
        assert_eq!(rest, expected);
    }
    let sizes = [1, 2].map(|part| folder::trace(dir.path(), part).metadata().unwrap().len());
    assert!(
        sizes[0] <= MOST_BYTES && sizes[1] < MOST_BYTES / 2,
        "{sizes:?}"
    );
}

#[test]
fn a_known_place_saves_the_search() {
    let dir = tempfile::tempdir().unwrap();
    for text in ["a", "bb", "ccc"] {
        append(dir.path(), text);
    }
    let reader = open(dir.path()).unwrap().unwrap();
    let all = reader.read(START, |_| None).unwrap();
    let known = |at| {
        all.iter()
            .map(|(place, _)| *place)
            .find(|place| place.at == at)
    };
    for (place, _) in &all {
        let reader = open(dir.path()).unwrap().unwrap();
        let rest = reader.read(place.at, known).unwrap();
        let numbers = rest
            .iter()
            .map(|(place, text)| (place.offset, text.clone()));
        let expected = all.iter().filter(|(other, _)| other.at > place.at);
        let expected = expected.map(|(place, text)| (place.offset, text.clone()));
        assert!(numbers.eq(expected));
    }
}

#[test]
fn old_traces_of_other_networks_are_removed() {
    let dir = tempfile::tempdir().unwrap();
    let networks = ["old", "new", "none"].map(|name| dir.path().join(name));
    for network in &networks {
        fs::create_dir(network).unwrap();
    }
    for network in &networks[..2] {
        append(network, "a");
    }
    let state = File::open(folder::trace(&networks[0], 0)).unwrap();
    state.set_modified(SystemTime::now() - 2 * KEPT).unwrap();
    tidy(&networks[2]).unwrap();
    let left = networks.map(|network| fs::read_dir(network).unwrap().count());
    assert_eq!(left, [0, 2, 0]);
}
