//! What went wrong, in the vocabulary.
//!
//! Owns the words. Never decides that something failed.

use std::fmt::Display;
use std::io;
use std::path::Path;

use virtnet_core::{Cause, Failure};

/// The file system does not do it. `what` is what was to be done to `path`. That no
/// descriptor is left is this process's fault, or this machine's, and no registry's.
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
                         as virtnet::testing::open() makes them"
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
