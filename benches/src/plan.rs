//! Which works there are, and who takes part in each.
//!
//! Owns the two lists. Never runs anything.

/// A work, its contenders, and what it is in a few words. Bare Redis is in no
/// list: it is measured in virtnet's process.
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

/// The same, and virtnet with more accepts: those who dial at once wait for them.
const AT_ONCE: &[&str] = &[
    "virtnet",
    "virtnet-16-accepts",
    "virtnet-traced",
    "virtnet-traced-live",
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
            "virtnet-1000-rules",
            "virtnet-traced",
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
        contenders: &[
            "virtnet",
            "virtnet-1000-rules",
            "virtnet-pipe",
            "quinn",
            "quinn-tuned",
            "tcp",
            "tcp-tls",
            "iroh",
        ],
        about: "64 bytes there and back",
    },
    Work {
        name: "dial",
        contenders: NETS,
        about: "a new connection, until the dialer knows that it was taken; one after another",
    },
    Work {
        name: "dial64",
        contenders: AT_ONCE,
        about: "dials, 64 at once",
    },
    Work {
        name: "exchange",
        contenders: &[
            "virtnet",
            "virtnet-first-bytes",
            "virtnet-pipe",
            "quinn",
            "quinn-tuned",
            "tcp",
            "tcp-tls",
            "iroh",
        ],
        about: "a new connection, 100 bytes and a reply of 100; one after another",
    },
    Work {
        name: "exchange64",
        contenders: AT_ONCE,
        about: "exchanges, 64 at once",
    },
    Work {
        name: "first-dial64",
        contenders: SOCKETS,
        about: "the first dials of 64 hosts at once: new QUIC connections",
    },
    Work {
        name: "first-lookup",
        contenders: &["virtnet"],
        about: "the query for a name that was not asked for before; of Redis a GET",
    },
    Work {
        name: "newhost",
        contenders: &["virtnet", "virtnet-pipe", "quinn"],
        about: "a new host; of quinn an endpoint, of Redis a SET NX",
    },
    Work {
        name: "conns",
        contenders: &["virtnet", "virtnet-pipe", "quinn", "tcp", "iroh"],
        about: "10,000 open connections between two hosts, both ends, opened one by one",
    },
    Work {
        name: "conns-at-once",
        contenders: &["virtnet", "virtnet-pipe", "quinn", "tcp", "iroh"],
        about: "10,000 connections, opened by 64 tasks",
    },
    Work {
        name: "hosts",
        contenders: &["virtnet", "virtnet-pipe", "quinn", "quinn-tuned", "iroh"],
        about: "1,000 hosts in a process; of quinn and iroh endpoints",
    },
    Work {
        name: "mesh",
        contenders: &["virtnet", "quinn"],
        about: "100 hosts in a process, each dials each: 9,900 QUIC connections; memory of both ends",
    },
    Work {
        name: "faults-apply",
        contenders: &["virtnet", "virtnet-far"],
        about: "a cut of ten hosts in three subnetworks, until all have acknowledged it; of Redis a GET; far: 1 ms each way",
    },
    Work {
        name: "faults-delay",
        contenders: &["virtnet", "tcp-relay"],
        about: "50 ms one way: a ping-pong, and bulk as a part of 2 MiB per round trip",
    },
    Work {
        name: "faults-rate",
        contenders: &["virtnet"],
        about: "bulk under a rate of 10 MB/s",
    },
    Work {
        name: "faults-lose",
        contenders: &["virtnet"],
        about: "decisions to lose 10 % of 100,000 datagrams, twice the same",
    },
    Work {
        name: "bulk64",
        contenders: NETS,
        about: "1 GiB one way over 64 connections at once",
    },
    Work {
        name: "curve-conns",
        contenders: &["virtnet", "virtnet-pipe", "quinn"],
        about: "dials while that many connections are open",
    },
    Work {
        name: "curve-hosts",
        contenders: &["virtnet", "virtnet-pipe", "quinn"],
        about: "dials while there are that many hosts; of quinn endpoints",
    },
    Work {
        name: "bulk-2proc",
        contenders: SOCKETS,
        about: "bulk, client and server in two processes",
    },
    Work {
        name: "pingpong-2proc",
        contenders: SOCKETS,
        about: "ping-pong, client and server in two processes",
    },
    Work {
        name: "dial-2proc",
        contenders: SOCKETS,
        about: "dials, client and server in two processes",
    },
    Work {
        name: "exchange-2proc",
        contenders: SOCKETS,
        about: "exchanges, client and server in two processes",
    },
    Work {
        name: "bulk-1500",
        contenders: SOCKETS,
        about: "bulk across a veth pair with an MTU of 1500, between two network namespaces",
    },
];

/// Whether `--only name` means this work.
pub fn is_meant(work: &Work, name: &str) -> bool {
    work.name == name || (name == "curve" && work.name.starts_with("curve-"))
}

/// The work that a number is of, like `dial` of `dial-p50`.
pub fn work_of(metric: &str) -> Option<&'static Work> {
    let works = WORKS.iter().filter(|work| metric.starts_with(work.name));
    works.max_by_key(|work| work.name.len())
}

/// Contenders that this build has not.
pub fn is_built(contender: &str) -> bool {
    cfg!(feature = "iroh") || contender != "iroh"
}
