//! A virtnet registry in a folder: the processes of one user on one machine find
//! each other's hosts without a server.
//!
//! One [`LocalRegistry`] serves one subnetwork, that is, one process's part of
//! a network. [`close`](virtnet_core::Registry::close) frees exactly the names that this
//! value announced; no other value can free them.
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
//! [`default_dir`] is the folder that processes use unless told otherwise. Each network has a
//! folder in it, and each host a file in its network's folder. Both are named by the SHA-256 of
//! their names, because a name can be longer than a file name and contain characters that
//! a file name cannot. The file has this content:
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
//! After the format's name come the process that holds the name, its owner (128 random bits,
//! drawn once per [`LocalRegistry`]), the host's name and its hostdata.
//!
//! The folders are created for their user only. A folder is refused if it belongs to another
//! user, is open to others or is a symbolic link, or if any user can write to its parent. So
//! only processes of the same user can be on the network, provided that the owners of the
//! parent folders can be trusted.
//!
//! # What holds a name
//!
//! A lock (`flock`) on the file, which the process holds as long as it lives. There is no lease
//! and nothing to renew, and the kernel releases the lock with the process, however that
//! ends. A stopped process still lives, and keeps its names.
//!
//! - A file is written and locked under another name, and then *linked* to its own name,
//!   which succeeds for one process of any number. So a file that can be found is complete, and
//!   was locked before anybody could find it.
//! - Only the process that wrote a file locks it exclusively. So a file whose lock is free
//!   belongs to a process that is gone for good, and is no answer to a query. A query does not
//!   disturb other processes: it takes a shared lock, and only if nobody holds the lock.
//! - The file of a process that is gone is removed by the next process that wants the name or
//!   joins the network. A lock on the network's folder lets one process do so at a time: two
//!   could both see the old file, and one remove the file that the other had put in its place.
//!
//! There is one open file for each name that is held. A process that was forked from the
//! holder without running another program shares its locks, and holds them as long as *it*
//! lives, unless the registry is closed; a process that does run another program holds them
//! until it does. Removing a file from the folder takes the name away from its holder,
//! without notice.
//!
//! The folder must be on a local file system with hard links; the default folder is. On a network
//! file system the locks are what it makes of `flock`: Linux asks an NFS server for them, so
//! the names are held, but if a machine goes away, the server may keep its names for any
//! time. Hosts are reached over loopback in any case.
//!
//! # Documents
//!
//! The [`Documents`](virtnet_core::Documents) of a network are files in its folder. Each is named
//! `document-` and its key, with dots in place of slashes, and has this content:
//!
//! ```text
//! $ cat /run/user/1000/virtnet/9f86d081…/document-faults.plan
//! virtnet document 1
//! 81234567890123 30000000000
//! faults/plan
//! …
//! ```
//!
//! After the format's name come the time at which it expires and its lifetime, in nanoseconds, or
//! `forever`; then the key, and the text. The time is that of the system's boot clock on Linux, and
//! the time of day on other systems. A file appears complete, by a rename, and is read without a
//! lock.
//!
//! A topic with documents has a file `changes-` and the topic, with its change number. A lock on it
//! is the right to change the topic's documents. Who waits for a change reads it every 20 ms. A
//! document that has expired is removed by the next process that joins the network, and the number
//! with the topic's last document.
//!
//! # The live trace
//!
//! The batches of a network's [`Traces`](virtnet_core::Traces) are in two files, `trace-older` and
//! `trace-newer`, one after the other: its number, its length, and its text. When the newer file has 32 MiB or
//! 32,768 batches, it takes the place of the older one. `trace-state` says which trace it is, up to which batch it
//! goes, and how long the newer file is:
//!
//! ```text
//! $ cat /run/user/1000/virtnet/9f86d081…/trace-state
//! virtnet trace 1
//! 00000081234567890123 00000000000000000000 00000000000000000000 00000000000000000042 00000000000000009731
//! ```
//!
//! A lock on it is the right to append. Who waits for a batch looks for one every 20 ms. The files stay
//! when the last process has left, so that somebody can read them. A process that begins to
//! append removes those of other networks in the same parent folder to which nothing was appended for an hour.
//!
//! # Guarantees
//!
//! - Of any number of processes that announce a name, exactly one gets it.
//! - A name is free as soon as its holder has closed the registry, or has ended.
//! - Every call, except a wait for a change of documents or a batch of the trace, ends within two seconds, even if other processes are stopped in the middle of
//!   theirs; after that, it fails with *registry is down*. Only the file system can take longer.
//!
//! It works on Unix. On other systems, opening a registry fails.

mod document;
mod documents;
mod entry;
mod error;
mod folder;
mod listing;
mod name_lock;
mod os;
mod registry;
mod topic;
mod trace_log;
mod trace_memory;
mod traces;

pub use folder::{default_dir, user};
pub use listing::{Holder, Listing};
pub use registry::LocalRegistry;
