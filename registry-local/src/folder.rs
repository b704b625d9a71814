//! Where things are: the default folder, a network's folder, a host's file.
//!
//! Owns the names of folders and files. Never opens a file.

use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use ring::digest::{SHA256, digest};
use virtnet_core::Failure;

use crate::os;

/// What the names of files begin with that are no host's yet.
pub(crate) const DRAFT: &str = "draft-";

/// Where processes of one user meet that were told nothing:
/// `$XDG_RUNTIME_DIR/virtnet`, or `virtnet-<uid>` in the folder for temporary
/// files where that variable names no folder of this user.
///
/// It need not exist: it is made by whoever comes first.
pub fn default_dir() -> PathBuf {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    // Who became another user may still have the former one's.
    match runtime.filter(|folder| folder.is_absolute() && os::is_own(folder)) {
        Some(folder) => folder.join("virtnet"),
        None => std::env::temp_dir().join(format!("virtnet-{}", os::user())),
    }
}

/// The number of the user who runs this process, whose networks are looked at where
/// no folder is named.
pub fn user() -> String {
    os::user()
}

/// A network's folder, whether or not it is there.
pub(crate) fn network(dir: &Path, network: &str) -> PathBuf {
    // Without a slash at its end, which would have links followed.
    let dir: PathBuf = dir.components().collect();
    dir.join(hash(network))
}

/// Makes a network's folder, and makes sure that it is this user's alone.
pub(crate) fn prepare(folder: &Path) -> Result<(), Failure> {
    if let Some(dir) = folder.parent() {
        os::private_dir(dir)?;
    }
    os::private_dir(folder)
}

/// Makes the same sure without making anything. Whether the folder is there.
pub(crate) fn check(folder: &Path) -> Result<bool, Failure> {
    let there = folder.parent().map_or(Ok(true), os::check_private)?;
    // What is not there has nothing in it, and none could be put there by others.
    Ok(there && os::check_private(folder)?)
}

pub(crate) fn host(folder: &Path, hostname: &str) -> PathBuf {
    folder.join(hash(hostname))
}

/// Whether it is the name of a host's file.
pub(crate) fn is_host(name: &str) -> bool {
    let digit = |c: u8| matches!(c, b'0'..=b'9' | b'a'..=b'f');
    name.len() == 64 && name.bytes().all(digit)
}

/// In lower case, so that a file system that knows no other does not matter.
fn hash(name: &str) -> String {
    HEXLOWER.encode(digest(&SHA256, name.as_bytes()).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_a_file_of_its_own_in_the_folder() {
        let long = "x".repeat(virtnet_core::MAX_NAME);
        let names = [
            ".",
            "..",
            "/",
            "../..",
            "a/b",
            "a:b",
            "A",
            "a",
            "draft-1-1",
            &long,
        ];
        let paths = names.map(|name| host(Path::new("/f"), name));
        for (i, path) in paths.iter().enumerate() {
            assert_eq!(path.parent(), Some(Path::new("/f")));
            assert!(is_host(path.file_name().unwrap().to_str().unwrap()));
            assert!(!paths[..i].contains(path), "{path:?}");
        }
        assert!(!is_host("secret") && !is_host("draft-1-1") && !is_host(&"A".repeat(64)));
        let one = network(Path::new("/f/./g/"), "n");
        assert_eq!(one, network(Path::new("/f/g"), "n"));
        assert_ne!(one, network(Path::new("/f/g"), "N"));
    }
}
