//! Each kind of service on a virtual network, over QUIC, end to end.
//!
//! Owns the network that all of them run on, and what glue they may need. Never
//! judges how long something took, but for what does not end by itself.

mod axum;
mod capnp;
mod codec;
mod hyper;
#[cfg(unix)]
mod reqwest;
mod rustls;
mod tonic;

use std::future::Future;
use std::time::Duration;

use virtnet::{Host, SubNetwork};

/// Far more than anything here takes, even on a machine that is busy.
const BOUND: Duration = Duration::from_secs(60);

/// Hosts α and β, each on a subnetwork of its own, as if on two machines.
struct Two {
    subnets: [SubNetwork; 2],
    alpha: Host,
    beta: Host,
}

impl Two {
    /// Joins a network of this test's own, twice.
    async fn join() -> Two {
        let config = virtnet::testing::config().unwrap();
        let one = config.clone().open().await.unwrap();
        let two = config.open().await.unwrap();
        let alpha = one.new_host("α").await.unwrap();
        let beta = two.new_host("β").await.unwrap();
        let subnets = [one, two];
        Two {
            subnets,
            alpha,
            beta,
        }
    }

    async fn close(self) {
        for subnet in self.subnets {
            within(subnet.close()).await.unwrap();
        }
    }
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(BOUND, work).await;
    done.expect("it hangs")
}

/// Sees that something goes on, for longer than it would take to end.
async fn goes_on(work: impl Future) {
    let ended = tokio::time::timeout(Duration::from_millis(500), work).await;
    assert!(
        ended.is_err(),
        "it ended by itself: README.md says that it does not"
    );
}

/// Waits until nothing on `host` holds that port; [`Host::idle`] waits for all of its
/// connections, of which here some stay.
async fn until_free(host: &Host, port: u16) {
    let taken = || {
        let mut open = host.sockets().into_iter();
        open.any(|socket| socket.local.port() == port)
    };
    within(async {
        while taken() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// How many lines are between marks, but for the marks and docs.
fn glue(text: &str) -> usize {
    let (mut lines, mut within) = (0, false);
    for line in text.lines().map(str::trim_start) {
        match line {
            "// Glue begins." => within = true,
            "// Glue ends." => within = false,
            line => lines += usize::from(within && !line.starts_with("//")),
        }
    }
    assert!(!within, "glue that begins, ends");
    lines
}

/// The table in README.md says how many lines of glue there are: those that neither
/// make something of virtnet nor would be there on TCP. They are marked.
#[test]
fn glue_is_what_the_readme_says() {
    let readme = include_str!("../../README.md");
    for (name, text) in [
        ("axum.rs", include_str!("axum.rs")),
        ("tonic.rs", include_str!("tonic.rs")),
        ("hyper.rs", include_str!("hyper.rs")),
        ("reqwest.rs", include_str!("reqwest.rs")),
        ("codec.rs", include_str!("codec.rs")),
        ("rustls.rs", include_str!("rustls.rs")),
        ("capnp.rs", include_str!("capnp.rs")),
    ] {
        let glue = glue(text);
        let row = readme
            .lines()
            .find(|line| line.contains(&format!("/{name})")));
        let row = row.unwrap_or_else(|| panic!("no row of {name}"));
        assert!(
            row.ends_with(&format!("| {glue} |")),
            "{name} has {glue} lines of glue: {row}"
        );
    }
}
