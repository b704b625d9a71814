//! Operating systems: the user of this process, the owner of a folder, the identity of a
//! file, and a clock that all processes share.
//!
//! Owns the differences between systems, and the check that a folder is private. Never
//! decides where folders are.

use std::fs;
use std::fs::File;
use std::path::Path;

use virtnet_core::Failure;

/// Whether the path leads to this file.
pub(crate) fn is_same_file(path: &Path, file: &File) -> bool {
    match (fs::symlink_metadata(path), file.metadata()) {
        (Ok(there), Ok(here)) => file_id(&there) == file_id(&here),
        _ => false,
    }
}

/// The nanoseconds since the machine was started: nobody can set this clock, and it also runs
/// while the machine is suspended.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn nanos() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let [seconds, nanos] = [time.tv_sec, time.tv_nsec].map(|part| part.try_into().unwrap_or(0u64));
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

/// The nanoseconds since 1970: the standard library has no other clock that processes share.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn nanos() -> u64 {
    let time = std::time::SystemTime::UNIX_EPOCH.elapsed();
    time.map_or(0, |time| time.as_nanos().try_into().unwrap_or(u64::MAX))
}

#[cfg(unix)]
pub(crate) use unix::{check_private, draft, file_id, is_own, private_dir, shared, user};

#[cfg(unix)]
mod unix {
    use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
    use std::io;
    use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};

    use super::*;
    use crate::error::{down, refused};

    /// The user by whose rights this process uses files.
    pub(crate) fn user() -> String {
        rustix::process::geteuid().as_raw().to_string()
    }

    /// Whether a folder exists and belongs to the user of this process.
    pub(crate) fn is_own(folder: &Path) -> bool {
        fs::metadata(folder).is_ok_and(|data| data.is_dir() && data.uid() == own_uid())
    }

    fn own_uid() -> u32 {
        rustix::process::geteuid().as_raw()
    }

    /// The identity of a file: unique while the file is open.
    pub(crate) fn file_id(data: &Metadata) -> (u64, u64) {
        (data.dev(), data.ino())
    }

    /// Makes a new file that only its user may read.
    pub(crate) fn draft(path: &Path) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        options.open(path)
    }

    /// Opens a file that only its user may read, and makes it if it does not exist.
    pub(crate) fn shared(path: &Path) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        options.mode(0o600).open(path)
    }

    /// Creates the folder if it does not exist, and checks that no other user can change its
    /// content or replace it.
    pub(crate) fn private_dir(folder: &Path) -> Result<(), Failure> {
        match DirBuilder::new().mode(0o700).create(folder) {
            Err(err) if err.kind() != io::ErrorKind::AlreadyExists => {
                Err(down("create", folder, &err))
            }
            _ => check_private(folder).map(drop),
        }
    }

    /// The same without creating it. Returns whether it exists.
    pub(crate) fn check_private(folder: &Path) -> Result<bool, Failure> {
        // Not the target of a link: another user could change the link.
        let there = match fs::symlink_metadata(folder) {
            Ok(data) => check_own(folder, &data).map(|()| true)?,
            Err(err) if err.kind() == io::ErrorKind::NotFound => false,
            Err(err) => return Err(down("inspect", folder, &err)),
        };
        let parent = match folder.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => return Ok(there),
        };
        let data = fs::metadata(parent).map_err(|err| down("inspect", parent, &err))?;
        if data.mode() & 0o002 != 0 && data.mode() & 0o1000 == 0 {
            let what = "could be replaced by any user: its parent must not be writable by all users, \
                        or must be sticky as /tmp is";
            return Err(refused(folder, what));
        }
        Ok(there)
    }

    fn check_own(folder: &Path, data: &Metadata) -> Result<(), Failure> {
        if !data.is_dir() {
            let what = match data.is_symlink() {
                true => "is a symbolic link",
                false => "is not a folder",
            };
            return Err(refused(folder, what));
        }
        let (owner, own) = (data.uid(), own_uid());
        if owner != own {
            let what = format!(
                "belongs to user {owner}, but this process runs as user {own}: use another folder"
            );
            return Err(refused(folder, &what));
        }
        let mode = data.mode() & 0o777;
        if mode & 0o077 != 0 {
            let what =
                format!("is open to other users (mode {mode:o}): make it private with chmod 700");
            return Err(refused(folder, &what));
        }
        Ok(())
    }
}

#[cfg(not(unix))]
pub(crate) use other::{check_private, draft, file_id, is_own, private_dir, shared, user};

/// Nothing here is reached: [`private_dir`](other::private_dir) fails first.
#[cfg(not(unix))]
mod other {
    use std::fs::{File, Metadata};
    use std::io;

    use super::*;

    pub(crate) fn user() -> String {
        "0".to_owned()
    }

    pub(crate) fn is_own(_: &Path) -> bool {
        false
    }

    pub(crate) fn file_id(_: &Metadata) -> (u64, u64) {
        (0, 0)
    }

    pub(crate) fn draft(_: &Path) -> io::Result<File> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn shared(_: &Path) -> io::Result<File> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn check_private(folder: &Path) -> Result<bool, Failure> {
        private_dir(folder).map(|()| false)
    }

    pub(crate) fn private_dir(_: &Path) -> Result<(), Failure> {
        let what = "a registry in a folder needs Unix: use memory: or redis:// on this system";
        Err(Failure::other(what))
    }
}
