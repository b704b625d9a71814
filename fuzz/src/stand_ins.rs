//! What `hostdata.rs` names and no decoder needs: the UDP socket's types.
//!
//! Owns their shapes, without quinn below them. Never has anything that reads
//! what others sent.

pub(crate) mod socket {
    use std::fmt;
    use std::net::SocketAddr;

    /// What a UDP socket can send to.
    #[derive(Clone, Copy)]
    pub(crate) struct AddressFamilies;

    impl AddressFamilies {
        pub(crate) fn contains(self, _: &SocketAddr) -> bool {
            true
        }
    }

    /// One address to bind, with a port that is any.
    #[derive(Clone, Copy)]
    pub(crate) struct Bind {
        pub(crate) first: SocketAddr,
    }

    impl fmt::Display for Bind {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.first.fmt(f)
        }
    }

    impl Bind {
        pub(crate) fn is_range(&self) -> bool {
            false
        }
    }
}
