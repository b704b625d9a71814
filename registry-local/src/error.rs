//! The failures of this registry.
//!
//! Owns their causes and texts. Never decides that something failed.

use std::fmt::Display;
use std::io;
use std::path::Path;

use virtnet_core::{Cause, Failure};

/// The file system refused to do `what` to `path`. Running out of file descriptors is not the
/// registry's fault, so it has another cause.
pub(crate) fn down(what: &str, path: &Path, err: &io::Error) -> Failure {
    let text = format!("cannot {what} {path:?}: {err}");
    match is_exhausted(err) {
        true => Failure::wrap(Cause::Other, text),
        false => Failure::explain(Cause::RegistryDown, text),
    }
}

fn is_exhausted(err: &io::Error) -> bool {
    // EMFILE and ENFILE, which have no kind of their own.
    matches!(err.raw_os_error(), Some(24 | 23))
}

/// The folder cannot be trusted.
pub(crate) fn refused(folder: &Path, what: &str) -> Failure {
    Failure::wrap(Cause::PermissionDenied, format!("folder {folder:?} {what}"))
}

pub(crate) fn closed() -> Failure {
    Failure::explain(Cause::RegistryDown, "it was closed")
}

/// Other processes kept this one from proceeding for too long.
pub(crate) fn busy(path: &Path, bound: impl Display) -> Failure {
    let what = format!("{path:?} was kept busy by other processes for {bound}");
    Failure::explain(Cause::RegistryDown, what)
}

pub(crate) fn taken(pid: Option<u32>) -> Failure {
    match pid {
        Some(pid) => {
            let what = match pid == std::process::id() {
                true => "this process holds it; parallel tests need one network each, such as \
                         virtnet::testing::open() makes"
                    .to_owned(),
                false => format!("process {pid} holds it"),
            };
            Failure::explain(Cause::HostAlreadyRegistered, what)
        }
        None => Cause::HostAlreadyRegistered.into(),
    }
}

/// A file that no registry wrote, but that a process has locked.
pub(crate) fn damaged(path: &Path) -> Failure {
    let what = format!("{path:?} is locked, but no registry wrote it");
    Failure::wrap(Cause::Protocol, what)
}

/// A document's file that no registry wrote.
pub(crate) fn damaged_document(path: &Path) -> Failure {
    let what = format!("{path:?} is no document: no registry wrote it");
    Failure::wrap(Cause::Protocol, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_without_descriptors_is_no_registry_that_is_down() {
        let of = |code| down("read", Path::new("/x"), &io::Error::from_raw_os_error(code));
        for (code, cause) in [
            (24, Cause::Other),
            (23, Cause::Other),
            (2, Cause::RegistryDown),
        ] {
            let failure = of(code);
            assert_eq!(failure.cause(), cause, "{code}");
            let detail = failure.detail().unwrap().to_string();
            assert!(detail.starts_with("cannot read \"/x\": "), "{detail}");
        }
    }
}
