//! `local:`: networks of one user's processes on this machine.
//!
//! Owns the grammar of such a URL, and the place of the network's secret. Never creates the
//! secret: opening the network does, and observing it needs none.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use virtnet_core::RegistryError;

use super::{Access, HostEntry, Opened, Shared};
use crate::local::{LocalRegistry, default_dir};

/// The folder that the text after `local:` names.
pub(super) fn parse(folder: &str) -> Result<PathBuf, &'static str> {
    match folder {
        "" => Ok(default_dir()),
        _ if folder.starts_with("//") || !Path::new(folder).is_absolute() => {
            Err("expected local: or local:/some/dir, with one slash before the folder")
        }
        _ => Ok(folder.into()),
    }
}

pub(super) fn open(dir: &Path, network: &str) -> Result<Opened, RegistryError> {
    let registry = LocalRegistry::open(dir, network)?;
    Ok(Opened {
        // Only this user can read it, as the folder.
        secret: Some(Shared::File(registry.folder().join("secret"))),
        registry: Arc::new(registry),
    })
}

pub(super) fn hosts(
    dir: &Path,
    network: &str,
    access: &Access,
) -> Result<Vec<HostEntry>, RegistryError> {
    let listing = LocalRegistry::list(dir, network)?;
    for file in listing.unreadable {
        let what = format!(
            "the registry's file {file:?} is locked, but is not in the format of a registry"
        );
        access.found(&what);
    }
    let hosts = listing.hosts.into_iter();
    // A process holds its names as long as it lives: there are no leases.
    Ok(hosts
        .map(|(name, holder)| HostEntry {
            name,
            address: holder.hostdata,
            lease_left: None,
            owner: Some(holder.owner),
            pid: Some(holder.pid),
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_or_the_users_own() {
        assert_eq!(parse(""), Ok(default_dir()));
        assert_eq!(parse("/some/dir"), Ok("/some/dir".into()));
        for bad in ["some/dir", "//some/dir", " ", "~"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
