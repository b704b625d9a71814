//! docs/failures.md: each test that it names exists.
//!
//! Owns what a machine can check of the page. Never runs those tests.

use std::fs;
use std::path::{Path, PathBuf};

const PAGE: &str = include_str!("../docs/failures.md");

/// The files, and the tests in files, that the text has in code marks.
fn named(text: &str) -> Vec<(&str, Option<&str>)> {
    let marked = text.split('`').skip(1).step_by(2);
    let named = marked.filter_map(|mark| match mark.split_once("::") {
        Some((file, name)) => Some((file, Some(name))),
        None => mark.ends_with(".rs").then_some((mark, None)),
    });
    named.collect()
}

/// The path of a file that the page names; files without a folder are the engine's tests.
fn path_of(file: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    match file.contains('/') {
        true => root.join(file),
        false => root.join("engine-quic/tests").join(file),
    }
}

/// Whether the source has a test of that name, or a check of the conformance suite, which
/// turns its functions into tests.
fn has_test(file: &str, source: &str, name: &str) -> bool {
    let lines: Vec<_> = source.lines().collect();
    let signature = format!("fn {name}(");
    let Some(at) = lines.iter().position(|line| line.contains(&signature)) else {
        return false;
    };
    let attributes = lines[..at].iter().rev();
    let mut attributes = attributes.take_while(|line| line.starts_with("#["));
    file.starts_with("core/src/conformance/")
        || attributes.any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"))
}

#[test]
fn every_test_that_the_page_of_failures_names_exists() {
    let named = named(PAGE);
    assert!(named.len() > 30, "{} tests are named", named.len());
    for (file, name) in named {
        let source = fs::read_to_string(path_of(file));
        let source = source.unwrap_or_else(|err| panic!("{file}: {err}"));
        let there = name.is_none_or(|name| has_test(file, &source, name));
        assert!(there, "{file} has no test {name:?}");
    }
}

#[test]
fn every_row_names_a_test() {
    let rows = PAGE.lines().filter(|line| line.starts_with("| "));
    // The line of dashes after each heading does not begin with "| ".
    let rows = rows.filter(|row| !row.starts_with("| what happens |"));
    for row in rows {
        assert!(!named(row).is_empty(), "no test shows: {row}");
    }
}
