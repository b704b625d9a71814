//! Names and who holds them: files, and the locks on them.
//!
//! Owns the protocol by which a name has one holder: what is locked, linked and
//! removed, and in which order. Never waits for anybody: where another is in the
//! midst of something, it says so.
//!
//! That it is right rests on this. A host's file is locked for one (*held*) by who made
//! it, before it has the name, and by nobody ever again. It loses the name by its
//! holder while that holds the lock, or after that by whoever has the cleanup.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::entry::{Entry, MAX_FILE};
use crate::folder::{DRAFT, is_host};
use crate::os;

/// A name that is held here. Dropping it frees the name.
#[derive(Debug)]
pub(crate) struct NameLock {
    file: File,
    path: PathBuf,
}

impl NameLock {
    /// It is of the name that has this path, and can be found there.
    pub(crate) fn holds(&self, path: &Path) -> bool {
        self.path == path && is_same_file(path, &self.file)
    }
}

impl Drop for NameLock {
    fn drop(&mut self) {
        // While it is locked: from then on others may remove it, and put theirs in
        // its place. That it can't be removed leaves a file that nobody
        // holds, which is no name.
        if is_same_file(&self.path, &self.file) {
            let _ = fs::remove_file(&self.path);
        }
        // Closing it is not enough where a child has it as well, as between fork
        // and exec.
        let _ = self.file.unlock();
    }
}

/// What came of an attempt at a name.
#[derive(Debug)]
pub(crate) enum Attempt {
    Locked(NameLock),
    /// By somebody, of whom this may be known.
    Taken(Option<Entry>),
    /// Another is in the way, for a moment: try again.
    Busy,
}

/// What there is at a host's path.
#[derive(Debug)]
pub(crate) enum Found {
    Nothing,
    /// By a process that is gone.
    Stale(File),
    /// All of it, and no more than can be one.
    Held(Vec<u8>),
}

/// Tries to hold a name, with a file that says so.
pub(crate) fn lock_name(folder: &Path, path: &Path, text: &str) -> io::Result<Attempt> {
    match look(path)? {
        Found::Nothing => {}
        Found::Held(bytes) => return Ok(Attempt::Taken(Entry::parse(&bytes))),
        Found::Stale(_) => {
            let Some(cleanup) = CleanupLock::take(folder)? else {
                return Ok(Attempt::Busy);
            };
            cleanup.remove_if_stale(path)?;
        }
    }
    let Some((draft, file)) = Draft::make(folder, text)? else {
        return Ok(Attempt::Busy);
    };
    match fs::hard_link(&draft.0, path) {
        Ok(()) => Ok(Attempt::Locked(NameLock {
            file,
            path: path.to_owned(),
        })),
        // Somebody was faster, or cleared the draft away in spite of its lock,
        // which it may have seen before it was locked.
        Err(err) => match err.kind() {
            io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound => Ok(Attempt::Busy),
            _ => Err(err),
        },
    }
}

/// Looks who has a name. Gets in nobody's way.
pub(crate) fn look(path: &Path) -> io::Result<Found> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(err) => return Err(err),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(Found::Stale(file)),
        Err(TryLockError::WouldBlock) => {
            let mut bytes = Vec::new();
            let most = MAX_FILE as u64 + 1;
            (&mut file).take(most).read_to_end(&mut bytes)?;
            Ok(Found::Held(bytes))
        }
        Err(TryLockError::Error(err)) => Err(err),
    }
}

/// Clears away what processes left that are gone, unless somebody is about it.
pub(crate) fn tidy(folder: &Path) -> io::Result<()> {
    let Some(cleanup) = CleanupLock::take(folder)? else {
        return Ok(());
    };
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let ours = |name: &str| is_host(name) || name.starts_with(DRAFT);
        if name.to_str().is_some_and(ours) {
            cleanup.remove_if_stale(&entry.path())?;
        }
    }
    Ok(())
}

/// The right to remove what others left: one has it at a time, until it is dropped.
struct CleanupLock(#[allow(dead_code, reason = "it is held for its lock")] File);

impl CleanupLock {
    fn take(folder: &Path) -> io::Result<Option<CleanupLock>> {
        let file = File::open(folder)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(CleanupLock(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(err)) => Err(err),
        }
    }

    fn remove_if_stale(&self, path: &Path) -> io::Result<()> {
        match look(path)? {
            Found::Stale(file) => self.remove(path, &file),
            _ => Ok(()),
        }
    }

    /// Removes a file that was found left there.
    fn remove(&self, path: &Path, file: &File) -> io::Result<()> {
        // Its holder may have removed it meanwhile, as it closed, and another may have the
        // name. If not, the holder never will, and nobody else has the cleanup.
        if !is_same_file(path, file) {
            return Ok(());
        }
        match fs::remove_file(path) {
            Err(err) if err.kind() != io::ErrorKind::NotFound => Err(err),
            _ => Ok(()),
        }
    }
}

/// Whether the path is this very file's.
fn is_same_file(path: &Path, file: &File) -> bool {
    match (fs::symlink_metadata(path), file.metadata()) {
        (Ok(there), Ok(here)) => os::file_id(&there) == os::file_id(&here),
        _ => false,
    }
}

/// The name of a file that is no host's yet; dropping it takes it away.
struct Draft(PathBuf);

impl Draft {
    /// A file that is whole, and locked; none when somebody was in the way.
    fn make(folder: &Path, text: &str) -> io::Result<Option<(Draft, File)>> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("{DRAFT}{}-{next}", std::process::id()));
        let mut file = match os::draft(&path) {
            Ok(file) => file,
            // By a process that had the same number.
            Err(err) if err.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
            Err(err) => return Err(err),
        };
        let draft = Draft(path);
        match file.try_lock() {
            Ok(()) => {}
            // By who clears away, and takes it for one that was left.
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(err)) => return Err(err),
        }
        file.write_all(text.as_bytes())?;
        Ok(Some((draft, file)))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests;
