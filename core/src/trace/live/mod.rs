//! The live trace: what happens on the whole network, while it happens, on whichever machines.
//!
//! Owns the names of this part: what a subnetwork sends, and what a reader makes of it. Never stores a batch: the
//! network's registry does.
//!
//! Each subnetwork that records live sends batches of events. Its document under [`MEMBERS`] says that it does. A reader that must not
//! miss anything writes a document under [`ASKS`]: each member then sends what it still holds, and an answer.

pub(crate) mod compact;
pub(crate) mod outbox;
pub(crate) mod sender;

#[cfg(feature = "trace-files")]
mod batch;
#[cfg(feature = "trace-files")]
mod error;
#[cfg(feature = "trace-files")]
mod progress;
#[cfg(feature = "trace-files")]
mod reader;
#[cfg(feature = "trace-files")]
mod waiting;

#[cfg(feature = "trace-files")]
pub use error::{LiveTraceError, TimedOut};
#[cfg(feature = "trace-files")]
pub use reader::{Following, LiveEvent, LiveTrace};
#[cfg(feature = "trace-files")]
pub use waiting::Until;

use std::time::Duration;

/// The topic of the documents of those who send.
const MEMBERS: &str = "trace-member";

/// For how long a member that was killed is waited for: the lifetime of its document.
const MEMBER: Duration = Duration::from_secs(5);

/// The topic of the documents of those who ask for what is not sent yet.
const ASKS: &str = "trace-ask";
