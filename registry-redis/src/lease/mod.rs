//! Leases: which names are held here and until when.
//!
//! Owns the table of names, the clock and the scripts. Never sends anything.

pub(crate) mod clock;
pub(crate) mod script;
pub(crate) mod table;
pub(crate) mod timing;
