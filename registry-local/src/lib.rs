//! A virtnet registry in a folder: the processes of one user on one machine find
//! each other's hosts without a server.
//!
//! One [`LocalRegistry`] serves one subnetwork, that is, one process's part of
//! a network. What it announces is its own: [`close`](virtnet_core::Registry::close)
//! frees exactly that, and nothing frees what another value announced.
//!
//! ```
//! # #[cfg(unix)]
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use virtnet_core::Registry;
//! use virtnet_registry_local::LocalRegistry;
//!
//! # let temp = tempfile::tempdir()?;
//! # let dir = temp.path().join("virtnet");
//! let registry = LocalRegistry::open(&dir, "pipet")?;
//! registry.announce("α", "127.0.0.1:4433").await?;
//! assert_eq!(registry.query("α").await?, "127.0.0.1:4433");
//! registry.close().await?;
//! # Ok(()) }
//! # #[cfg(not(unix))] fn main() {}
//! ```
//!
//! # What is in the folder
//!
//! [`default_dir`] is where processes meet that were told nothing. In it each
//! network has a folder, and in that each host a file, both named by the SHA-256
//! of their name, as a name may be longer than that of a file, and hold what it may
//! not. The file says what the name is:
//!
//! ```text
//! $ cat /run/user/1000/virtnet/9f86d081…/2c26b46b…
//! virtnet 1
//! 4711
//! 60303ae22b998861bce3b28f33eec1be
//! α
//! 127.0.0.1:41873
//! ```
//!
//! After the format's name come the holder's process, its owner (128 random bits, drawn once
//! per [`LocalRegistry`]), the host's name and its hostdata.
//!
//! The folders are made for their user alone, and others are not used: one that
//! belongs to somebody else, is open to others, is a symbolic link, or whose parent is
//! anybody's to write to, is refused. So only what runs as the same user can be on the
//! network, as far as those can be trusted to whom the folders above belong.
//!
//! # What holds a name
//!
//! A lock (`flock`) on its file, which its holder has as long as it lives: there is no
//! lease and nothing to renew, and the kernel gives the lock up with the process,
//! however that ends. A process that is stopped still lives, and holds its names.
//!
//! - A file is written and locked under another name, and then *linked* to its own,
//!   which succeeds for one of any number. So a file that can be found is whole, and
//!   was locked before anybody could find it.
//! - Nobody else ever locks it like that. So a file whose lock is free is that of a process
//!   that is gone, for ever, and is no answer to anybody. To look does not get into the way
//!   of any other: it takes a lock that is shared, and only where nobody holds one.
//! - What a process left is removed by whoever wants the name, or joins the network. That is one
//!   at a time, by a lock on the network's folder: two could both see the old file,
//!   and one remove the file that the other had put in its place.
//!
//! A holder has one open file for each name. A process that was forked off it without running
//! another program shares its locks, and holds them as long as *it* lives, unless the
//! registry is closed; one that runs another program for the moment until it does.
//! Removing files from the folder takes their names away from
//! whoever holds them, and nobody tells them.
//!
//! The folder is to be on a file system of this machine with hard links, as the
//! default is. On a network's file system the locks are what that makes of `flock`: Linux
//! asks an NFS server for them, so that the names are held, but a machine that goes
//! away may hold its names for as long as the server likes. Hosts are reached over
//! loopback there in any case.
//!
//! # What it promises
//!
//! - Exactly one of any number of contenders for a name gets it.
//! - A name is free as soon as its holder has closed, or is gone.
//! - Every call ends within two seconds, however others are stopped in the midst of theirs; past
//!   that, the registry is down. Only the file system can take longer.
//!
//! It works on Unix. Elsewhere it says so.

mod entry;
mod error;
mod folder;
mod listing;
mod name_lock;
mod os;
mod registry;

pub use folder::{default_dir, user};
pub use listing::{Holder, Listing};
pub use registry::LocalRegistry;
