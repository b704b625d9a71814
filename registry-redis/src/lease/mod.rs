//! Leases: which names are held here, until when, and how they are renewed.
//!
//! Owns the table of names and the one task that renews them. Never makes a connection.

pub(crate) mod clock;
pub(crate) mod freeing;
pub(crate) mod renewer;
pub(crate) mod script;
pub(crate) mod table;
pub(crate) mod timing;
pub(crate) mod whereabouts;
