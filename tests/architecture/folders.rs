//! Which folder of a package uses which: there are no circles.
//!
//! Owns how that is read from the sources. Never builds anything.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::{code, root, sources};

/// The folders and files directly below a package's `src` that use each other in a circle, if any
/// do. Tests, the conformance suite and `adapt` may use everything.
fn circle_between_folders(package: &str) -> Option<Vec<String>> {
    let src = root().join(package).join("src");
    let library = fs::read_to_string(src.join("lib.rs")).unwrap();
    let files = sources(&format!("{package}/src"));
    let folder_of = |path: &Path| {
        let first = path.strip_prefix(&src).unwrap().iter().next().unwrap();
        let first = first.to_string_lossy();
        first.strip_suffix(".rs").unwrap_or(&first).to_owned()
    };
    let folders: BTreeSet<_> = files.iter().map(|(path, _)| folder_of(path)).collect();
    let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (path, text) in &files {
        let from = folder_of(path);
        let is_test = path
            .iter()
            .any(|part| part.to_string_lossy().contains("tests"));
        if is_test || ["lib", "conformance", "adapt"].contains(&&*from) {
            continue;
        }
        for name in names_from_the_crate(text) {
            let to = match folders.contains(&name) {
                true => Some(name),
                false => reexported_from(&library, &name),
            };
            if let Some(to) = to.filter(|to| *to != from) {
                uses.entry(from.clone()).or_default().insert(to);
            }
        }
    }
    // What is used by nobody that is left, or uses nobody that is left, is in no circle.
    loop {
        let before = uses.len();
        let left: BTreeSet<_> = uses.keys().cloned().collect();
        uses.values_mut()
            .for_each(|used| used.retain(|to| left.contains(to)));
        uses.retain(|_, used| !used.is_empty());
        match uses.len() {
            0 => return None,
            len if len == before => {
                let circle = uses.iter().map(|(from, to)| format!("{from} uses {to:?}"));
                return Some(circle.collect());
            }
            _ => {}
        }
    }
}

/// The first segments of all paths that begin with `crate::`, groups included.
fn names_from_the_crate(text: &str) -> BTreeSet<String> {
    let code = code(text).collect::<Vec<_>>().join("\n");
    // What stands in the file's own tests is not the architecture's.
    let code = code
        .split("#[cfg(test)]\nmod tests {")
        .next()
        .unwrap()
        .to_owned();
    let word = |text: &str| {
        text.split(|c: char| !c.is_alphanumeric() && c != '_')
            .next()
            .unwrap()
            .to_owned()
    };
    let mut names = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let Some(group) = rest.strip_prefix('{') else {
            names.insert(word(rest));
            continue;
        };
        let step = |c| i32::from(c == '{') - i32::from(c == '}');
        let mut depth = 0;
        let end = group.find(|c| {
            depth += step(c);
            depth < 0
        });
        let mut depth = 0;
        let parts = group[..end.unwrap_or(group.len())].split(|c| {
            depth += step(c);
            c == ',' && depth == 0
        });
        let words = parts.map(|part| word(part.trim()));
        names.extend(words.filter(|word| !word.is_empty()));
    }
    names
}

/// The folder from which the library exports `name`.
fn reexported_from(library: &str, name: &str) -> Option<String> {
    library.split("pub use ").skip(1).find_map(|export| {
        let export = export.split(';').next()?;
        let mut words = export.split(|c: char| !c.is_alphanumeric() && c != '_');
        let folder = words.next()?;
        words.any(|word| word == name).then(|| folder.to_owned())
    })
}

#[test]
fn folders_of_a_package_use_each_other_in_no_circle() {
    for package in [
        "core",
        "engine-quic",
        "registry-redis",
        "registry-local",
        ".",
    ] {
        let circle = circle_between_folders(package);
        assert!(circle.is_none(), "{package}: {circle:#?}");
    }
    let names = names_from_the_crate(
        "use crate::{Addr, host::{a, b}, c};\nlet x = crate::d::e();\n// crate::f\nenum G { H, I }",
    );
    assert_eq!(names.iter().collect::<Vec<_>>(), ["Addr", "c", "d", "host"]);
    let library = "mod a;\npub use a::b::{One, Two};\npub use c::Three;";
    assert_eq!(reexported_from(library, "Two").as_deref(), Some("a"));
    assert_eq!(reexported_from(library, "Three").as_deref(), Some("c"));
}
