//! Listing: the hosts of a network, read from its folder.
//!
//! Owns the public view of holders: [`Holder`]. Never writes, and never creates a folder.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use virtnet_core::Failure;

use crate::entry::Entry;
use crate::error::down;
use crate::folder;
use crate::name_lock::{Found, look};

/// One host of the network.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holder {
    /// Where the host is reached, as it was announced.
    pub hostdata: String,
    /// The owner: 32 hexadecimal digits, different for each registry value, that is, for each
    /// process's part of the network.
    pub owner: String,
    /// Its process id, in the process's own PID namespace.
    pub pid: u32,
}

/// The hosts of a network, at about the same moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listing {
    /// The hosts by name, whichever process announced them.
    pub hosts: BTreeMap<String, Holder>,
    /// Names of files that are locked but that no registry wrote.
    pub unreadable: Vec<String>,
}

pub(crate) fn list(folder: &Path) -> Result<Listing, Failure> {
    let mut listing = Listing::default();
    // A missing folder has no hosts, and is not created by a listing.
    if folder::check(folder)? {
        read(folder, &mut listing).map_err(|err| down("list", folder, &err))?;
    }
    Ok(listing)
}

fn read(folder: &Path, listing: &mut Listing) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let file = entry.file_name();
        let Some(file) = file.to_str().filter(|name| folder::is_host(name)) else {
            continue;
        };
        let Found::Held(bytes) = look(&entry.path())? else {
            continue;
        };
        match Entry::parse(&bytes) {
            Some(entry) if folder::host(folder, &entry.host).ends_with(file) => {
                let holder = Holder {
                    hostdata: entry.hostdata,
                    owner: entry.owner,
                    pid: entry.pid,
                };
                listing.hosts.insert(entry.host, holder);
            }
            _ => listing.unreadable.push(file.to_owned()),
        }
    }
    listing.unreadable.sort_unstable();
    Ok(())
}
