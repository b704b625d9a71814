//! What went wrong, in the vocabulary.
//!
//! Owns the words. Never decides that something failed.

use std::fmt::Display;
use std::io;
use std::path::Path;

use virtnet_core::{Cause, Failure};

/// The file system does not do it. `what` is what was to be done to `path`.
pub(crate) fn down(what: &str, path: &Path, err: &io::Error) -> Failure {
    Failure::explain(
        Cause::RegistryDown,
        format!("cannot {what} {path:?}: {err}"),
    )
}

/// A folder that is not to be trusted.
pub(crate) fn refused(folder: &Path, what: &str) -> Failure {
    Failure::wrap(Cause::PermissionDenied, format!("folder {folder:?} {what}"))
}

pub(crate) fn closed() -> Failure {
    Failure::explain(Cause::RegistryDown, "it was closed")
}

/// Others are in the way, and stay there.
pub(crate) fn busy(path: &Path, bound: impl Display) -> Failure {
    let what = format!("{path:?} was kept busy by others for {bound}");
    Failure::explain(Cause::RegistryDown, what)
}

pub(crate) fn taken(pid: Option<u32>) -> Failure {
    match pid {
        Some(pid) => {
            let what = match pid == std::process::id() {
                true => "this process holds it; tests that run side by side need a network each, \
                         as virtnet::testing::join() makes them"
                    .to_owned(),
                false => format!("process {pid} holds it"),
            };
            Failure::explain(Cause::HostAlreadyRegistered, what)
        }
        None => Cause::HostAlreadyRegistered.into(),
    }
}

/// A file that no registry wrote, but that somebody locked.
pub(crate) fn damaged(path: &Path) -> Failure {
    let what = format!("{path:?} is locked, and is in no registry's format");
    Failure::wrap(Cause::Protocol, what)
}
