//! The control of a network's plan of faults: who sets it, and how each subnetwork comes to
//! enforce it.
//!
//! Owns the documents in which it is shared, the work of a member, and the user's handle
//! [`Faults`]. Never touches a connection or a datagram: the subnetwork has them meet the rules.

mod apply;
mod background;
mod board;
pub(crate) mod enforcing;
mod error;
mod faults;
mod guard;
mod heal;
pub(crate) mod joining;
mod member;
mod member_doc;
pub(crate) mod orders;
mod recovery;
pub(crate) mod state;
mod status;

pub use error::{FaultError, Refusal};
pub use faults::Faults;
pub use guard::{FaultGuard, Healed};
pub use status::{MemberStatus, RuleStatus, Status};

pub(crate) use background::BoxFuture;
pub(crate) use board::{NO_NUMBER, random_id};
