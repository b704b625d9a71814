//! The page docs/many-machines.md, which is what is tested here.
//!
//! Owns how settings, rules and error texts are found in it, so that it cannot
//! say anything else than what was tried.

const PAGE: &str = include_str!("../../docs/many-machines.md");

/// What the page has its reader set a variable to.
pub(crate) fn setting(name: &str) -> &'static str {
    let export = format!("export {name}=");
    let value = PAGE.lines().find_map(|line| line.strip_prefix(&export));
    value.unwrap_or_else(|| panic!("the page does not set {name}"))
}

/// What the line of the page that is about `what` sets a variable to.
pub(crate) fn setting_in(what: &str, name: &str) -> &'static str {
    let assignment = format!("`{name}=");
    let mut lines = PAGE.lines().filter(|line| line.contains(what));
    let value = lines.find_map(|line| line.split_once(&assignment)?.1.split_once('`'));
    value
        .unwrap_or_else(|| panic!("the page sets no {name} for {what}"))
        .0
}

/// What follows `start` in lines of the page.
pub(crate) fn lines(start: &str) -> Vec<&'static str> {
    let lines = PAGE.lines().filter_map(|line| line.strip_prefix(start));
    let lines: Vec<_> = lines.collect();
    assert!(!lines.is_empty(), "the page has lines with {start}");
    lines
}

/// What the page has a router between the clouds let through.
pub(crate) fn rules() -> Vec<&'static str> {
    lines("iptables -A FORWARD ")
}

/// This is what was said, and the page tells of it, word for word.
#[track_caller]
pub(crate) fn tells(said: &str) {
    assert!(PAGE.contains(said), "the page does not tell: {said}");
    println!("as the page says: {said}");
}
