//! What went wrong, in the vocabulary.
//!
//! Owns the words. Never decides that something failed.

use std::fmt::Display;
use std::io;
use std::path::Path;

use virtnet_core::{Cause, Failure};

/// The file system does not do it. `what` is what was to be done to `path`.
pub(crate) fn down(what: &str, path: &Path, err: &io::Error) -> Failure {
    Failure::because(
        Cause::RegistryDown,
        format!("cannot {what} {path:?}: {err}"),
    )
}

/// A folder that is not to be trusted.
pub(crate) fn refused(folder: &Path, what: &str) -> Failure {
    Failure::wrap(Cause::PermissionDenied, format!("folder {folder:?} {what}"))
}

pub(crate) fn closed() -> Failure {
    Failure::because(Cause::RegistryDown, "it was closed")
}

/// Others are in the way, and stay there.
pub(crate) fn busy(path: &Path, bound: impl Display) -> Failure {
    let what = format!("{path:?} was kept busy by others for {bound}");
    Failure::because(Cause::RegistryDown, what)
}

pub(crate) fn taken(pid: Option<u32>) -> Failure {
    match pid {
        Some(pid) => {
            let who = match pid == std::process::id() {
                true => "this process".to_owned(),
                false => format!("process {pid}"),
            };
            let what = format!("{who} holds it");
            Failure::because(Cause::HostAlreadyRegistered, what)
        }
        None => Cause::HostAlreadyRegistered.into(),
    }
}

/// A file that no registry wrote, but that somebody locked.
pub(crate) fn damaged(path: &Path) -> Failure {
    let what = format!("{path:?} is locked, and is in no registry's format");
    Failure::wrap(Cause::Protocol, what)
}
