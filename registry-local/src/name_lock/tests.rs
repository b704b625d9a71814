//! Tests of states between two steps, which otherwise only a race would reach.

use super::*;

#[test]
fn what_was_left_is_not_removed_once_another_has_the_name() {
    let folder = tempfile::tempdir().unwrap();
    let (folder, path) = (folder.path(), folder.path().join("name"));
    fs::write(&path, "left").unwrap();
    let cleanup = CleanupLock::take(folder).unwrap().unwrap();
    let Found::Stale(left) = look(&path).unwrap() else {
        panic!("nobody holds it");
    };
    // Its holder removes it as it closes, and another is there at once.
    fs::remove_file(&path).unwrap();
    let Attempt::Locked(lock) = lock_name(folder, &path, "held").unwrap() else {
        panic!("it is free");
    };
    cleanup.remove(&path, &left).unwrap();
    assert!(matches!(look(&path).unwrap(), Found::Held(text) if text == b"held"));
    drop(lock);
    assert_eq!(fs::read_dir(folder).unwrap().count(), 0);
}
