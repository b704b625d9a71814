//! Names: their files, and the locks on these by which each name has one holder.
//!
//! Owns the protocol: what is locked, linked and removed, and in which order. Never waits for
//! another process: if one is in the way, it says so.
//!
//! It is correct because of this: a host's file is locked exclusively (*held*) by the process
//! that wrote it, before it gets its name, and by no process after that. The name is removed from
//! the file by its holder, while it holds the lock, or later by a process with the cleanup
//! lock.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::entry::{Entry, MAX_FILE};
use crate::folder::{DRAFT, is_host};
use crate::os::{self, is_same_file};

/// A name that this process holds. Dropping it frees the name.
#[derive(Debug)]
pub(crate) struct NameLock {
    file: File,
    path: PathBuf,
}

impl NameLock {
    /// Whether it is the lock of the name with this path, and its file is still there.
    pub(crate) fn holds(&self, path: &Path) -> bool {
        self.path == path && is_same_file(path, &self.file)
    }
}

impl Drop for NameLock {
    fn drop(&mut self) {
        // While it is locked: after that, other processes may remove it and put theirs in
        // its place. If it cannot be removed, a file without a lock stays, which is no
        // name.
        if is_same_file(&self.path, &self.file) {
            let _ = fs::remove_file(&self.path);
        }
        // Closing it is not enough if a child process has it too, such as between fork and
        // exec.
        let _ = self.file.unlock();
    }
}

/// The outcome of an attempt to get a name.
#[derive(Debug)]
pub(crate) enum Attempt {
    Locked(NameLock),
    /// Another process holds it, with this entry if it can be read.
    Taken(Option<Entry>),
    /// Another process is in the way for a moment: try again.
    Busy,
}

/// What is at a host's path.
#[derive(Debug)]
pub(crate) enum Found {
    Nothing,
    /// The file of a process that is gone.
    Stale(File),
    /// The content, up to one byte more than a valid file has.
    Held(Vec<u8>),
}

/// Tries to get a name, with a file of this text.
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
        // Another process was faster.
        Err(err) if err.kind() == io::ErrorKind::AlreadyExists => Ok(Attempt::Busy),
        Err(err) => Err(err),
    }
}

/// Reads who holds a name. Does not disturb other processes.
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

/// Removes the files of processes that are gone, unless another process is doing so.
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

/// The right to remove files of processes that are gone. One process has it at a time, until
/// it is dropped.
struct CleanupLock(#[allow(dead_code, reason = "its lock is needed")] File);

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

    /// Removes a file that was found to be stale.
    fn remove(&self, path: &Path, file: &File) -> io::Result<()> {
        // Its holder may have removed it meanwhile, when it closed, and another process may
        // have the name. If not, the holder is gone, and no other process has this lock.
        if !is_same_file(path, file) {
            return Ok(());
        }
        match fs::remove_file(path) {
            Err(err) if err.kind() != io::ErrorKind::NotFound => Err(err),
            _ => Ok(()),
        }
    }
}

/// A file that is not a host's or a document yet. Dropping it removes its draft name.
pub(crate) struct Draft(PathBuf);

impl Draft {
    /// A complete and locked file; `None` if another process was in the way.
    pub(crate) fn make(folder: &Path, text: &str) -> io::Result<Option<(Draft, File)>> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("{DRAFT}{}-{next}", std::process::id()));
        let mut file = match os::draft(&path) {
            Ok(file) => file,
            // Of an earlier process with the same process id.
            Err(err) if err.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
            Err(err) => return Err(err),
        };
        let draft = Draft(path);
        match file.try_lock() {
            Ok(()) => {}
            // By a cleanup that takes it for a stale file.
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(err)) => return Err(err),
        }
        // One that saw it before it was locked has removed it.
        if !is_same_file(&draft.0, &file) {
            return Ok(None);
        }
        file.write_all(text.as_bytes())?;
        Ok(Some((draft, file)))
    }

    /// Gives the file another name, in place of a file that has it.
    pub(crate) fn rename(mut self, to: &Path) -> io::Result<()> {
        fs::rename(&self.0, to)?;
        // Another process may use the draft's name from now on.
        self.0.clear();
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.0.as_os_str().is_empty() {
            let _ = fs::remove_file(&self.0);
        }
    }
}

#[cfg(test)]
mod tests;
