//! What the standard library has no name for on every system: who runs this
//! process, whose a folder is, and which file a path leads to.
//!
//! Owns the systems' differences, and what makes a folder private. Never
//! decides where folders are.

use std::path::Path;

use virtnet_core::Failure;

#[cfg(unix)]
pub(crate) use unix::{check_private, draft, file_id, is_own, private_dir, user};

#[cfg(unix)]
mod unix {
    use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
    use std::io;
    use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};

    use super::*;
    use crate::error::{down, refused};

    /// Who runs this process, as the kernel looks at rights to files.
    pub(crate) fn user() -> String {
        rustix::process::geteuid().as_raw().to_string()
    }

    /// Whether a folder is there, and its user is who runs this.
    pub(crate) fn is_own(folder: &Path) -> bool {
        fs::metadata(folder).is_ok_and(|data| data.is_dir() && data.uid() == own_uid())
    }

    fn own_uid() -> u32 {
        rustix::process::geteuid().as_raw()
    }

    /// Which file it is: no other has this while it is open.
    pub(crate) fn file_id(data: &Metadata) -> (u64, u64) {
        (data.dev(), data.ino())
    }

    /// Makes a new file that only its user may read.
    pub(crate) fn draft(path: &Path) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        options.open(path)
    }

    /// Makes the folder, or finds it, and makes sure that nobody else can change
    /// what is in it, or put another in its place.
    pub(crate) fn private_dir(folder: &Path) -> Result<(), Failure> {
        match DirBuilder::new().mode(0o700).create(folder) {
            Err(err) if err.kind() != io::ErrorKind::AlreadyExists => {
                Err(down("make", folder, &err))
            }
            _ => check_private(folder).map(drop),
        }
    }

    /// The same without making it. Whether it is there.
    pub(crate) fn check_private(folder: &Path) -> Result<bool, Failure> {
        // Not what a link leads to: who made the link decides where that is.
        let there = match fs::symlink_metadata(folder) {
            Ok(data) => check_own(folder, &data).map(|()| true)?,
            Err(err) if err.kind() == io::ErrorKind::NotFound => false,
            Err(err) => return Err(down("look at", folder, &err)),
        };
        let parent = match folder.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => return Ok(there),
        };
        let data = fs::metadata(parent).map_err(|err| down("look at", parent, &err))?;
        if data.mode() & 0o002 != 0 && data.mode() & 0o1000 == 0 {
            let what = "is where anybody could put another in its place: its parent is open to all, \
                        and not sticky as /tmp is";
            return Err(refused(folder, what));
        }
        Ok(there)
    }

    fn check_own(folder: &Path, data: &Metadata) -> Result<(), Failure> {
        if !data.is_dir() {
            let what = match data.is_symlink() {
                true => "is a symbolic link",
                false => "is no folder",
            };
            return Err(refused(folder, what));
        }
        let (owner, own) = (data.uid(), own_uid());
        if owner != own {
            let what = format!(
                "belongs to user {owner}, and this runs as user {own}: name another folder"
            );
            return Err(refused(folder, &what));
        }
        let mode = data.mode() & 0o777;
        if mode & 0o077 != 0 {
            let what = format!("is open to others (mode {mode:o}): make it private with chmod 700");
            return Err(refused(folder, &what));
        }
        Ok(())
    }
}

#[cfg(not(unix))]
pub(crate) use other::{check_private, draft, file_id, is_own, private_dir, user};

/// All of it is stopped by [`private_dir`](other::private_dir).
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

    pub(crate) fn check_private(folder: &Path) -> Result<bool, Failure> {
        private_dir(folder).map(|()| false)
    }

    pub(crate) fn private_dir(_: &Path) -> Result<(), Failure> {
        let what = "there is no registry in a folder on this system: use memory: or redis://";
        Err(Failure::other(what))
    }
}
