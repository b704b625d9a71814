//! Which works there are, and who takes part in each.
//!
//! Owns the two lists. Never runs anything.

/// A work, its contenders, and what it is in a few words.
pub struct Work {
    pub name: &'static str,
    pub contenders: &'static [&'static str],
    pub about: &'static str,
}

const NETS: &[&str] = &[
    "virtnet",
    "virtnet-pipe",
    "quinn",
    "quinn-tuned",
    "tcp",
    "tcp-tls",
    "iroh",
];

/// Whom sockets join: processes of their own can't share memory.
const SOCKETS: &[&str] = &["virtnet", "quinn", "quinn-tuned", "tcp", "tcp-tls", "iroh"];

pub const WORKS: &[Work] = &[
    Work {
        name: "bulk",
        contenders: &[
            "virtnet",
            "virtnet-pipe",
            "quinn",
            "quinn-tuned",
            "quinn-tuned-chunks",
            "tcp",
            "tcp-tls",
            "iroh",
        ],
        about: "1 GiB one way over one connection, in writes of 64 KiB",
    },
    Work {
        name: "pingpong",
        contenders: NETS,
        about: "64 bytes there and back",
    },
    Work {
        name: "dial",
        contenders: NETS,
        about: "a new connection, 100 bytes and a reply of 100; one after another",
    },
    Work {
        name: "dial64",
        contenders: &[
            "virtnet",
            "virtnet-16-accepts",
            "virtnet-pipe",
            "quinn",
            "quinn-tuned",
            "tcp",
            "tcp-tls",
            "iroh",
        ],
        about: "the same, 64 at once",
    },
    Work {
        name: "first-dial64",
        contenders: SOCKETS,
        about: "the first dials of 64 hosts at once: new QUIC connections",
    },
];

/// Contenders that this build has not.
pub fn is_built(contender: &str) -> bool {
    cfg!(feature = "iroh") || contender != "iroh"
}
