//! Pages against the sources: each test that docs/failures.md names is there, each setting is in
//! docs/configuration.md, and each path that README.md, ARCHITECTURE.md and CONTRIBUTING.md name.
//!
//! Owns what a machine can check of these pages. Never runs the tests that they name.

use std::fs;
use std::path::{Path, PathBuf};

const PAGE: &str = include_str!("../../docs/failures.md");

const FAULTS: &str = include_str!("../../docs/faults.md");

const CONFIGURATION: &str = include_str!("../../docs/configuration.md");

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
        false => root.join("engine-quic/tests/suite").join(file),
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
    let attributes = lines[..at].iter().rev().map(|line| line.trim_start());
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

/// The file that README.md has its reader make, in a project of their own.
const READERS_OWN: &str = "tests/first.rs";

fn source(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    fs::read_to_string(&path).unwrap_or_else(|err| panic!("{file}: {err}"))
}

/// The words of a text that may be names of variables, options, methods and paths.
fn words(text: &str, joins: &[char]) -> Vec<String> {
    let inside = |c: char| c.is_ascii_alphanumeric() || joins.contains(&c);
    let words = text.split(|c| !inside(c)).filter(|word| !word.is_empty());
    words.map(str::to_owned).collect()
}

#[test]
fn every_setting_is_on_the_page_of_the_configuration() {
    let vars = source("src/vars.rs");
    let variables = words(vars.split("\nconst PREFIX").next().unwrap(), &['_']);
    let variables = variables
        .into_iter()
        .filter(|word| word.starts_with("VIRTNET_") && *word != "VIRTNET_");
    let methods = source("src/config.rs");
    let methods = methods
        .lines()
        .filter_map(|line| line.strip_prefix("    pub fn "));
    let methods = methods.map(|line| line.split(['(', '<']).next().unwrap().to_owned());
    let options = source("src/cli/options.rs");
    let options = options.split_once("struct Options {").unwrap().1;
    let options = options.split("\n}").next().unwrap().lines();
    let options = options
        .filter(|line| line.starts_with("    ") && line.contains(": ") && !line.contains("//"))
        .filter(|line| !line.trim().starts_with('#') && line.ends_with(','))
        .map(|line| line.trim().split(':').next().unwrap())
        .map(|name| format!("--{}", name.replace('_', "-")));
    let known = words(CONFIGURATION, &['_', '-']);
    let settings: Vec<_> = variables.chain(methods).chain(options).collect();
    assert!(settings.len() > 40, "only {settings:?}");
    for setting in settings {
        assert!(known.contains(&setting), "the page has no {setting}");
    }
}

#[test]
fn every_path_that_a_page_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for page in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"] {
        let text = source(page);
        let marked = text.split('`').skip(1).step_by(2);
        let links = text.split("](").skip(1);
        let links = links.filter_map(|link| link.split([')', '#']).next());
        let paths = marked.chain(links).filter(|path| {
            let path_like = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
            path.contains('/')
                && *path != READERS_OWN
                && path.chars().all(path_like)
                && !path.starts_with(['/', '.'])
        });
        let paths: Vec<_> = paths.collect();
        assert!(paths.len() > 3, "{page} names only {paths:?}");
        for path in paths {
            assert!(
                root.join(path).exists(),
                "{page} names {path}, which is not there"
            );
        }
    }
}

#[test]
fn every_test_that_the_architecture_names_is_there() {
    let page = source("ARCHITECTURE.md");
    let words: Vec<_> = page.split_whitespace().collect();
    let named = words
        .windows(3)
        .filter(|words| words[1] == "in" && words[0].contains('`'));
    let named: Vec<_> = named
        .filter_map(|words| {
            let name = words[0].trim_start_matches('(').trim_matches('`');
            let file = words[2].split('`').nth(1)?;
            file.ends_with(".rs").then_some((name, file))
        })
        .collect();
    assert!(named.len() > 5, "only {named:?}");
    for (name, file) in named {
        assert!(
            has_test(file, &source(file), name),
            "{file} has no test {name}"
        );
    }
}

#[test]
fn every_rule_on_the_page_of_faults_is_one() {
    let block = FAULTS
        .split("```text\n")
        .nth(1)
        .expect("the page has a list of rules");
    let rules = block.split("```").next().unwrap_or_default();
    assert!(rules.lines().count() > 10, "{rules}");
    for rule in rules.lines() {
        let read = rule.parse::<virtnet::faults::Rule>();
        assert_eq!(read.map(|read| read.to_string()).as_deref(), Ok(rule));
    }
}
