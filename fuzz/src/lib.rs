//! What must hold of every input of virtnet's decoders: one function for each
//! fuzz target, which panics where it does not.
//!
//! Owns the properties, and what a reader of docs/protocol.md would take for
//! valid. Never has a decoder of its own in place of virtnet's: their files are
//! included as they are, since they are private where they live.

mod addresses;
mod frames;
mod limits;
mod names;
mod places;
mod sequences;
mod stand_ins;
mod values;

pub use addresses::addr;
pub use frames::{hello, reply};
pub use names::member;
pub use places::hostdata;
pub use sequences::{acceptor, agreement, dialer};
pub use values::entry;

// The decoders find each other under the names that they have in their packages.
mod udp {
    pub(crate) use crate::stand_ins::socket;
}
mod wire {
    pub(crate) use crate::{frame, handshake};
}

#[allow(dead_code)]
#[path = "../../engine-quic/src/wire/frame.rs"]
mod frame;
#[allow(dead_code)]
#[path = "../../engine-quic/src/wire/handshake.rs"]
mod handshake;
#[allow(dead_code)]
#[path = "../../registry-redis/src/schema/keys.rs"]
mod keys;
#[allow(dead_code)]
#[path = "../../engine-quic/src/hostdata.rs"]
mod place;
#[allow(dead_code)]
#[path = "../../registry-redis/src/schema/entry.rs"]
mod redis_entry;
#[allow(dead_code)]
#[path = "../../registry-redis/src/text.rs"]
mod text;
