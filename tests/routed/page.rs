//! The page docs/many-machines.md, which these tests check.
//!
//! Owns how settings, rules and error texts are found in it, so that the page says only
//! what was tested. Never tests anything itself.

const PAGE: &str = include_str!("../../docs/many-machines.md");

/// The value that the page gives a variable.
pub(crate) fn setting(name: &str) -> &'static str {
    let export = format!("export {name}=");
    let value = PAGE.lines().find_map(|line| line.strip_prefix(&export));
    value.unwrap_or_else(|| panic!("the page does not set {name}"))
}

/// The value that the page's line about `what` gives a variable.
pub(crate) fn setting_in(what: &str, name: &str) -> &'static str {
    let assignment = format!("`{name}=");
    let mut lines = PAGE.lines().filter(|line| line.contains(what));
    let value = lines.find_map(|line| line.split_once(&assignment)?.1.split_once('`'));
    value
        .unwrap_or_else(|| panic!("the page sets no {name} for {what}"))
        .0
}

/// The rest of each line of the page that begins with `start`.
pub(crate) fn lines(start: &str) -> Vec<&'static str> {
    let lines = PAGE.lines().filter_map(|line| line.strip_prefix(start));
    let lines: Vec<_> = lines.collect();
    assert!(!lines.is_empty(), "the page has lines with {start}");
    lines
}

/// The page's rules for a router between the clouds.
pub(crate) fn rules() -> Vec<&'static str> {
    lines("iptables -A FORWARD ")
}

/// Asserts that the page quotes this text, word for word.
#[track_caller]
pub(crate) fn tells(said: &str) {
    assert!(PAGE.contains(said), "the page does not tell: {said}");
    println!("as the page says: {said}");
}
