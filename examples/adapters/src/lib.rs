//! Services as their authors have them: nothing in here knows of virtnet.
//!
//! Owns what is served. Never listens, and never dials: the tests do, on a virtual
//! network.

pub mod chat;
pub mod notes;
