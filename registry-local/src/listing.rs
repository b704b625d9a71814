//! Listing: the hosts of a network, read from its folder.
//!
//! Owns what people get to see of the holders: [`Holder`]. Never writes and
//! never makes a folder.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use virtnet_core::Failure;

use crate::entry::Entry;
use crate::error::down;
use crate::folder;
use crate::name_lock::{Found, look};

/// What is known of one host of the network.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holder {
    /// Where the host is reached, as it was announced.
    pub hostdata: String,
    /// Who announced it: 32 hexadecimal digits, one owner per registry value,
    /// that is, per process's part of the network.
    pub owner: String,
    /// The number of its process, as that sees it.
    pub pid: u32,
}

/// The hosts of a network at about one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listing {
    /// The hosts by name, whoever announced them.
    pub hosts: BTreeMap<String, Holder>,
    /// Files that somebody holds but that no registry wrote.
    pub unreadable: Vec<String>,
}

pub(crate) fn list(folder: &Path) -> Result<Listing, Failure> {
    let mut listing = Listing::default();
    // What is not there has no hosts, and is not made by looking.
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
