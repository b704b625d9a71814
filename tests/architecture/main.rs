//! The architecture, checked: which package depends on which, and which folder of a package
//! on which.
//!
//! Owns the rules of ARCHITECTURE.md that a machine can check. Never runs virtnet itself.

mod folders;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Longest source file, in lines of code; comments and docs are free.
const MAX_LINES: usize = 300;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Whether cargo builds here, whatever the folder's name is: then sources and packages are copies.
fn is_built(folder: &Path) -> bool {
    folder.join("CACHEDIR.TAG").exists()
}

/// All Rust sources below `folder`, with their text.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let (mut folders, mut files) = (vec![root().join(folder)], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if !is_built(&path) {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|ext| ext == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                files.push((path, text));
            }
        }
    }
    assert!(!files.is_empty(), "{folder} has sources");
    files
}

/// The lines of code: without comments, so that docs may name anything.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
}

/// The packages that `package` is built of, with all its features.
fn dependencies(package: &str) -> Vec<String> {
    tree(package, &["--all-features"])
}

/// The packages that `package` is built of, with those features.
fn tree(package: &str, features: &[&str]) -> Vec<String> {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--edges", "normal", "--prefix", "none"])
        .args(features)
        .args(["--package", package])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        tree.status.success(),
        "{}",
        String::from_utf8_lossy(&tree.stderr)
    );
    let tree = String::from_utf8(tree.stdout).unwrap();
    tree.lines()
        .filter_map(|line| line.split(' ').next().map(str::to_owned))
        .collect()
}

#[test]
fn packages_know_only_what_is_theirs() {
    for (package, strangers) in [
        (
            "virtnet-core",
            &["quinn", "rustls", "rcgen", "redis", "clap"][..],
        ),
        (
            "virtnet-engine-quic",
            &[
                "redis",
                "virtnet-registry-redis",
                "virtnet-registry-local",
                "clap",
            ],
        ),
        (
            "virtnet-registry-local",
            &[
                "quinn",
                "rustls",
                "rcgen",
                "redis",
                "virtnet-engine-quic",
                "virtnet-registry-redis",
                "clap",
            ],
        ),
        (
            "virtnet-registry-redis",
            &[
                "quinn",
                "rcgen",
                "virtnet-engine-quic",
                "virtnet-registry-local",
                "clap",
            ],
        ),
        (
            "virtnet-testkit",
            &[
                "virtnet",
                "virtnet-core",
                "virtnet-engine-quic",
                "virtnet-registry-local",
                "virtnet-registry-redis",
            ],
        ),
    ] {
        let known = dependencies(package);
        assert!(
            known.iter().any(|name| name == "tokio"),
            "{package}: {known:?}"
        );
        for stranger in strangers {
            assert!(
                !known.iter().any(|name| name == stranger),
                "{package} knows {stranger}"
            );
        }
    }
}

#[test]
fn the_wire_format_knows_no_quinn() {
    for (path, text) in sources("engine-quic/src/wire") {
        let path = path.display();
        assert!(!code(&text).any(|line| line.contains("quinn")), "{path}");
    }
}

#[test]
fn plain_data_has_no_async() {
    for file in [
        "core/src/host/port_table.rs",
        "core/src/addr/mod.rs",
        "core/src/addr/name.rs",
        "engine-quic/src/wire/frame.rs",
    ] {
        let text = fs::read_to_string(root().join(file)).unwrap();
        for word in ["async ", "await", "Mutex", "tokio"] {
            assert!(
                !code(&text).any(|line| line.contains(word)),
                "{file} has {word}"
            );
        }
    }
}

/// What other crates' traits are implemented, core knows in one room, and only
/// if it is asked to.
#[test]
fn only_adapt_knows_axum_and_tonic() {
    let strangers = ["axum", "http", "hyper", "hyper_util", "tonic", "tower"];
    for (path, text) in sources("core/src") {
        if path.starts_with(root().join("core/src/adapt")) {
            continue;
        }
        for stranger in strangers {
            let path = path.display();
            let used = format!("{stranger}::");
            assert!(
                !code(&text).any(|line| line.contains(&used)),
                "{path} uses {stranger}"
            );
        }
    }
    let unasked = tree("virtnet", &["--no-default-features"]);
    assert!(unasked.iter().any(|name| name == "virtnet-core"));
    for stranger in strangers {
        let stranger = stranger.replace('_', "-");
        assert!(!unasked.contains(&stranger), "{stranger} is built unasked");
    }
}

/// A library's user does not pay for the command, or for a registry that it does not name.
#[test]
fn what_no_feature_asks_for_is_not_built() {
    let command = ["clap", "indicatif", "serde_json", "tracing-subscriber"];
    let default = tree("virtnet", &[]);
    for crate_name in command {
        assert!(
            !default.iter().any(|name| name == crate_name),
            "{crate_name}"
        );
    }
    let registries = ["virtnet-registry-local", "virtnet-registry-redis", "redis"];
    let bare = tree("virtnet", &["--no-default-features"]);
    for crate_name in registries {
        assert!(
            default.iter().any(|name| name == crate_name),
            "{crate_name}"
        );
        assert!(!bare.iter().any(|name| name == crate_name), "{crate_name}");
    }
}

#[test]
fn files_open_with_what_they_own_and_stay_short() {
    for folder in [
        "core",
        "engine-quic",
        "registry-local",
        "registry-redis",
        "src",
        "testkit",
        "tests",
        "examples",
        "fuzz",
    ] {
        for (path, text) in sources(folder) {
            let path = path.display();
            assert!(text.starts_with("//!"), "{path} says what it owns");
            let lines = code(&text).filter(|line| !line.trim().is_empty()).count();
            assert!(lines <= MAX_LINES, "{path} has {lines} lines of code");
        }
    }
}

/// Errors are what clippy's `missing_errors_doc` sees to.
#[test]
fn public_async_functions_say_what_dropping_them_does() {
    let folders = [
        "src",
        "core/src",
        "engine-quic/src",
        "registry-local/src",
        "registry-redis/src",
    ];
    let files = folders.into_iter().flat_map(sources);
    // Those of conformance are tests.
    for (path, text) in
        files.filter(|(path, _)| !path.starts_with(root().join("core/src/conformance")))
    {
        let mut docs = String::new();
        for line in text.lines().map(str::trim_start) {
            match line {
                line if line.starts_with("///") => docs.push_str(line),
                line if line.starts_with("#[") => {}
                line => {
                    let said =
                        docs.contains("# Cancel safety") || !line.starts_with("pub async fn");
                    assert!(said, "{}: no cancel safety: {line}", path.display());
                    docs.clear();
                }
            }
        }
    }
}

#[test]
fn no_package_may_have_unsafe_code() {
    let (mut folders, mut packages) = (vec![root().to_owned()], 0);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if !is_built(&path) && !name.starts_with('.') {
                    folders.push(path);
                }
            } else if name == "Cargo.toml" {
                let text = fs::read_to_string(&path).unwrap();
                let own = text.contains("\n[lints.rust]\nunsafe_code = \"forbid\"\n");
                let shared = text.contains("\n[lints]\nworkspace = true\n");
                assert!(own || shared, "{} forbids it", path.display());
                packages += 1;
            }
        }
    }
    let root = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(root.contains("\n[workspace.lints.rust]\nunsafe_code = \"forbid\"\n"));
    assert!(packages >= 7, "only {packages} packages");
}
