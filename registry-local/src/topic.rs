//! Topics: the documents of a network's folder, and the number that each change changes.
//!
//! Owns the protocol: what is locked, written and removed, and in which order. Never waits for
//! another process: if one is in the way, it says so.
//!
//! A document is a file that appears complete, by a rename. A topic with documents has one more
//! file, with its change number. Its exclusive lock is the right to change the topic. The number is
//! changed first and then the document, under that lock; who waits for a change reads the
//! number under a shared lock. So it sees the new number only when the document is there, or
//! when the writer is gone for good. Documents are read without a lock.

use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};

use crate::document::{Document, MAX_FILE};
use crate::folder;
use crate::name_lock::Draft;
use crate::os::{self, is_same_file};

/// The digits of a change number: as many as the largest has, so that each number overwrites
/// the one before.
const DIGITS: usize = 20;

/// What is in a document's file.
pub(crate) enum Content {
    /// There is no file, or its document has expired.
    Nothing,
    Text(String),
    /// A file that no registry wrote.
    Damaged,
}

/// Reads a document.
pub(crate) fn read(folder: &Path, key: &str) -> io::Result<Content> {
    let Some(bytes) = read_file(&folder::document(folder, key), MAX_FILE)? else {
        return Ok(Content::Nothing);
    };
    Ok(match Document::parse(&bytes) {
        Some(document) if document.key != key => Content::Damaged,
        Some(document) if document.is_expired(os::nanos()) => Content::Nothing,
        Some(document) => Content::Text(document.text),
        None => Content::Damaged,
    })
}

/// The keys of a topic's documents, expired ones included.
pub(crate) fn keys(folder: &Path, topic: &str) -> io::Result<BTreeSet<String>> {
    let keys = names(folder)?
        .into_iter()
        .filter_map(|name| folder::document_key(&name));
    Ok(keys
        .filter(|key| virtnet_core::document_topic(key) == topic)
        .collect())
}

/// A topic's change number, or 0 if it has none; `None` while another process changes the topic.
pub(crate) fn number(folder: &Path, topic: &str) -> io::Result<Option<u64>> {
    match open(&folder::changes(folder, topic))? {
        None => Ok(Some(0)),
        Some(mut file) => match file.try_lock_shared() {
            Ok(()) => parse(&mut file).map(Some),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(err)) => Err(err),
        },
    }
}

/// Whether a topic's change number seems to be another one. Locks nothing: the number may be about
/// to change, so `true` is to be confirmed by [`number`].
pub(crate) fn may_differ(folder: &Path, topic: &str, seen: u64) -> io::Result<bool> {
    match open(&folder::changes(folder, topic))? {
        None => Ok(seen != 0),
        Some(mut file) => Ok(parse(&mut file)? != seen),
    }
}

/// Removes documents that have expired, and the numbers of topics without documents; except
/// those that another process is changing.
pub(crate) fn tidy(folder: &Path) -> io::Result<()> {
    let topics = names(folder)?
        .into_iter()
        .filter_map(|name| folder::topic(&name));
    for topic in topics.collect::<BTreeSet<_>>() {
        let Some(lock) = TopicLock::take(folder, &topic)? else {
            continue;
        };
        for key in keys(folder, &topic)? {
            // An expiry is no change.
            if let Content::Nothing = read(folder, &key)? {
                lock.remove_file(&key)?;
            }
        }
    }
    Ok(())
}

/// The right to change a topic. One process has it at a time, until it is dropped. Dropping it
/// removes the number if the topic has no documents.
pub(crate) struct TopicLock<'a> {
    folder: &'a Path,
    topic: &'a str,
    path: PathBuf,
    file: File,
    /// Whether the topic may have no documents.
    may_be_empty: bool,
}

impl<'a> TopicLock<'a> {
    /// Takes it; `None` if another process has it at the moment.
    pub(crate) fn take(folder: &'a Path, topic: &'a str) -> io::Result<Option<TopicLock<'a>>> {
        let file = os::shared(&folder::changes(folder, topic))?;
        TopicLock::lock(folder, topic, file)
    }

    /// Locks the topic's file, which was open before.
    fn lock(folder: &'a Path, topic: &'a str, file: File) -> io::Result<Option<TopicLock<'a>>> {
        let path = folder::changes(folder, topic);
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(err)) => return Err(err),
        }
        // Another process may have removed it before it was locked. Then this is no lock, whose drop
        // could remove the file of another.
        if !is_same_file(&path, &file) {
            return Ok(None);
        }
        Ok(Some(TopicLock {
            folder,
            topic,
            path,
            file,
            may_be_empty: true,
        }))
    }

    /// Writes a document. Returns whether it did: another process can be in the way.
    pub(crate) fn write(&mut self, document: &Document) -> io::Result<bool> {
        let Some((draft, file)) = Draft::make(self.folder, &document.content())? else {
            return Ok(false);
        };
        self.change()?;
        draft.rename(&folder::document(self.folder, &document.key))?;
        self.may_be_empty = false;
        // Locked until it had its name, as drafts without a lock are removed.
        drop(file);
        Ok(true)
    }

    /// Removes a document, if it exists.
    pub(crate) fn remove(&mut self, key: &str) -> io::Result<()> {
        self.change()?;
        self.remove_file(key)
    }

    fn remove_file(&self, key: &str) -> io::Result<()> {
        match fs::remove_file(folder::document(self.folder, key)) {
            Err(err) if err.kind() != ErrorKind::NotFound => Err(err),
            _ => Ok(()),
        }
    }

    /// Changes the number to one that the topic has not had: the time, or a later one. So
    /// numbers do not repeat if the file is removed in between.
    fn change(&mut self) -> io::Result<()> {
        self.file.rewind()?;
        let number = parse(&mut self.file)?.saturating_add(1).max(os::nanos());
        self.file.rewind()?;
        self.file.write_all(format!("{number:0DIGITS$}").as_bytes())
    }
}

impl Drop for TopicLock<'_> {
    fn drop(&mut self) {
        let is_empty = || keys(self.folder, self.topic).is_ok_and(|keys| keys.is_empty());
        if self.may_be_empty && is_empty() {
            let _ = fs::remove_file(&self.path);
        }
        // Closing it is not enough if a child process has it too, such as between fork and exec.
        let _ = self.file.unlock();
    }
}

/// The names of all files of a folder that can be those of documents.
fn names(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.extend(entry?.file_name().into_string());
    }
    Ok(names)
}

fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(err) if err.kind() == ErrorKind::NotFound => Ok(None),
        Err(err) => Err(err),
    }
}

/// The content of a file, up to one byte more than `most`.
fn read_file(path: &Path, most: usize) -> io::Result<Option<Vec<u8>>> {
    let Some(file) = open(path)? else {
        return Ok(None);
    };
    let mut bytes = Vec::new();
    file.take(most as u64 + 1).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// The number in a file; 0 if it is new, or if no registry wrote it.
fn parse(file: &mut File) -> io::Result<u64> {
    let mut bytes = Vec::with_capacity(DIGITS);
    file.take(DIGITS as u64).read_to_end(&mut bytes)?;
    let number = std::str::from_utf8(&bytes).ok();
    Ok(number.and_then(|number| number.parse().ok()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Another process may have it by then, with a file of its own.
    #[test]
    fn a_file_that_was_removed_after_it_was_opened_is_no_lock() {
        let dir = tempfile::tempdir().unwrap();
        let file = os::shared(&folder::changes(dir.path(), "t")).unwrap();
        drop(TopicLock::take(dir.path(), "t").unwrap().unwrap());
        // Another has begun to change the topic, which has no documents yet.
        let lock = TopicLock::take(dir.path(), "t").unwrap().unwrap();
        assert!(TopicLock::lock(dir.path(), "t", file).unwrap().is_none());
        assert!(is_same_file(&lock.path, &lock.file), "it keeps its file");
        assert!(TopicLock::take(dir.path(), "t").unwrap().is_none());
    }
}
