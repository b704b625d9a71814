//! Paths: the default folder, a network's folder, the files of hosts, documents and the live trace.
//!
//! Owns the names of folders and files. Never opens a file.

use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use ring::digest::{SHA256, digest};
use virtnet_core::{Failure, check_document_key, check_document_topic, document_topic};

use crate::os;

/// The prefix of files that are not a host's yet.
pub(crate) const DRAFT: &str = "draft-";

/// The prefix of documents. A key's slashes are dots in the file's name.
const DOCUMENT: &str = "document-";
const SLASH: &str = ".";

/// The prefix of a topic's change number.
const CHANGES: &str = "changes-";

/// The files of the live trace: the small one, the older one and the newer one.
const TRACE: [&str; TRACE_FILES] = ["trace-state", "trace-older", "trace-newer"];
pub(crate) const TRACE_FILES: usize = 3;

/// The folder that processes of one user use unless told otherwise:
/// `$XDG_RUNTIME_DIR/virtnet`, or `virtnet-<uid>` in the folder for temporary
/// files if that variable names no folder of this user.
///
/// It need not exist: the first process creates it.
pub fn default_dir() -> PathBuf {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    // A process that switched users may still have the former user's.
    match runtime.filter(|folder| folder.is_absolute() && os::is_own(folder)) {
        Some(folder) => folder.join("virtnet"),
        None => std::env::temp_dir().join(format!("virtnet-{}", os::user())),
    }
}

/// The user id of this process. [`default_dir`] is this user's.
pub fn user() -> String {
    os::user()
}

/// A network's folder, whether or not it exists.
pub(crate) fn network(dir: &Path, network: &str) -> PathBuf {
    // Without a trailing slash, with which links would be followed.
    let dir: PathBuf = dir.components().collect();
    dir.join(hash(network))
}

/// Creates a network's folder, and checks that only this user can access it.
pub(crate) fn prepare(folder: &Path) -> Result<(), Failure> {
    if let Some(dir) = folder.parent() {
        os::private_dir(dir)?;
    }
    os::private_dir(folder)
}

/// The same check without creating anything. Returns whether the folder exists.
pub(crate) fn check(folder: &Path) -> Result<bool, Failure> {
    let there = folder.parent().map_or(Ok(true), os::check_private)?;
    // A missing folder is empty, and other users cannot put anything in it.
    Ok(there && os::check_private(folder)?)
}

pub(crate) fn host(folder: &Path, hostname: &str) -> PathBuf {
    folder.join(hash(hostname))
}

/// Whether this is the name of a host's file.
pub(crate) fn is_host(name: &str) -> bool {
    let digit = |c: u8| matches!(c, b'0'..=b'9' | b'a'..=b'f');
    name.len() == 64 && name.bytes().all(digit)
}

/// The file of a document. Keys are in lower case and contain no dots, so each has a file of its
/// own, also on file systems that ignore case.
pub(crate) fn document(folder: &Path, key: &str) -> PathBuf {
    folder.join(format!("{DOCUMENT}{}", key.replace('/', SLASH)))
}

/// The file of a topic's change number.
pub(crate) fn changes(folder: &Path, topic: &str) -> PathBuf {
    folder.join(format!("{CHANGES}{topic}"))
}

/// One of the files of the live trace: the small one, the older one, the newer one.
pub(crate) fn trace(folder: &Path, part: usize) -> PathBuf {
    folder.join(TRACE[part])
}

/// The key of the document in the file of this name, if the name is a document's.
pub(crate) fn document_key(name: &str) -> Option<String> {
    let key = name.strip_prefix(DOCUMENT)?.replace(SLASH, "/");
    check_document_key(&key).is_ok().then_some(key)
}

/// The topic of the document or the change number in the file of this name.
pub(crate) fn topic(name: &str) -> Option<String> {
    if let Some(topic) = name.strip_prefix(CHANGES) {
        return check_document_topic(topic)
            .is_ok()
            .then(|| topic.to_owned());
    }
    document_key(name).map(|key| document_topic(&key).to_owned())
}

/// In lower case, so that file systems that ignore case do not matter.
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
        for part in 0..TRACE_FILES {
            let path = trace(Path::new("/f"), part);
            let name = path.file_name().unwrap().to_str().unwrap();
            assert!(!is_host(name) && topic(name).is_none(), "{name}");
        }
        assert!(!is_host("secret") && !is_host("document-a") && !is_host("changes-a"));
        assert!(!is_host("draft-1-1") && !is_host(&"A".repeat(64)));
        let one = network(Path::new("/f/./g/"), "n");
        assert_eq!(one, network(Path::new("/f/g"), "n"));
        assert_ne!(one, network(Path::new("/f/g"), "N"));
    }

    #[test]
    fn every_document_is_a_file_of_its_own_in_the_folder() {
        let longest = "x".repeat(virtnet_core::MAX_DOCUMENT_KEY);
        let keys = ["a", "a/", "a/b", "a//b", "a-b", "-", &longest];
        for (i, key) in keys.iter().enumerate() {
            let path = document(Path::new("/f"), key);
            assert_eq!(path.parent(), Some(Path::new("/f")));
            assert!(
                !keys[..i]
                    .iter()
                    .any(|other| document(Path::new("/f"), other) == path)
            );
            let name = path.file_name().unwrap().to_str().unwrap();
            assert_eq!(document_key(name).as_deref(), Some(*key));
            assert_eq!(topic(name).as_deref(), Some(document_topic(key)));
        }
        let number = changes(Path::new("/f"), "a");
        let name = number.file_name().unwrap().to_str().unwrap();
        assert_eq!(
            (document_key(name), topic(name).as_deref()),
            (None, Some("a"))
        );
        for name in [
            "secret",
            "document-",
            "document-A",
            "document-.a",
            "changes-",
            "changes-a.b",
        ] {
            assert_eq!((document_key(name), topic(name)), (None, None), "{name}");
        }
    }
}
