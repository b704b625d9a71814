//! Real addresses of hosts: DNS names, IPv6, both IP versions, and outdated
//! registry entries.
//!
//! Owns the tests of `hostdata` that need a network.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::common::{Net, connect, figure};
use tokio::time::timeout;
use virtnet_core::memory::MemoryRegistry;
use virtnet_core::{Cause, Host, Registry, RegistryError, SubNetwork};

const ANY_V6: SocketAddr = SocketAddr::new(std::net::IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0);

/// Connects both ways.
async fn connect_both_ways(alpha: &Host, beta: &Host) {
    for (one, other) in [(alpha, beta), (beta, alpha)] {
        let listener = one.listen("").unwrap();
        connect(other, &listener).await;
    }
}

async fn close(subnets: [SubNetwork; 2]) {
    for subnet in subnets {
        subnet.close().await.unwrap();
    }
}

#[tokio::test]
async fn by_a_dns_name() {
    let net = Net::new("net");
    let (here, _) = net.join_with(net.config().advertise("localhost"));
    let there = net.join();
    let alpha = here.new_host("α").await.unwrap();
    let beta = there.new_host("β").await.unwrap();
    let hosts = net.hub.hosts();
    assert!(hosts[0].1.starts_with("localhost:"), "{hosts:?}");
    connect_both_ways(&alpha, &beta).await;
    // A name that never exists (RFC 6761).
    let registry = net.hub.registry();
    registry.announce("γ", "nobody.invalid:1").await.unwrap();
    let err = beta.dial("γ:1").await.unwrap_err();
    assert_eq!(
        (err.cause(), err.is_unreachable()),
        (Cause::HostUnreachable, true)
    );
    let err = err.to_string();
    let text = "dial net β:1->γ:1: cannot reach host \"γ\" at nobody.invalid:1: \
                cannot resolve the name: ";
    assert!(err.starts_with(text), "{err}");
    close([here, there]).await;
}

/// Whether this machine has IPv6; some containers do not.
fn has_v6() -> bool {
    UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}

#[tokio::test]
async fn over_ipv6_and_over_both() {
    if !has_v6() {
        println!("not tested: this machine has no IPv6");
        return;
    }
    let net = Net::new("net");
    let v6 = || net.config().bind((Ipv6Addr::LOCALHOST, 0).into());
    let both = || net.config().bind(ANY_V6).advertise("127.0.0.1");
    let (here, there) = (net.join_with(v6()).0, net.join_with(both()).0);
    let alpha = here.new_host("α").await.unwrap();
    let beta = there.new_host("β").await.unwrap();
    let hosts = net.hub.hosts();
    assert!(hosts[0].1.starts_with("[::1]:"), "{hosts:?}");
    // β reaches α over IPv6, and γ reaches β over IPv4.
    connect(&beta, &alpha.listen("").unwrap()).await;
    let v4 = net.join();
    let gamma = v4.new_host("γ").await.unwrap();
    connect_both_ways(&beta, &gamma).await;
    let err = gamma.dial("α:1").await.unwrap_err().to_string();
    assert!(
        err.ends_with("is IPv6, but this host is bound to IPv4 only"),
        "{err}"
    );
    let err = alpha.dial("γ:1").await.unwrap_err().to_string();
    assert!(
        err.ends_with("is IPv4, but this host is bound to IPv6 only"),
        "{err}"
    );
    v4.close().await.unwrap();
    close([here, there]).await;
}

/// A registry whose first answer is out of date. The second lookup returns `now`, or
/// never completes.
struct OutOfDate {
    names: MemoryRegistry,
    first: Option<String>,
    now: String,
}

#[async_trait::async_trait]
impl Registry for OutOfDate {
    async fn announce(&self, hostname: &str, hostdata: &str) -> Result<(), RegistryError> {
        self.names.announce(hostname, hostdata).await
    }

    async fn query(&self, _: &str) -> Result<String, RegistryError> {
        match &self.first {
            Some(first) => Ok(first.clone()),
            None => std::future::pending().await,
        }
    }

    async fn requery(&self, _: &str, _: &str) -> Result<Option<String>, RegistryError> {
        Ok(Some(self.now.clone()))
    }

    async fn close(&self) -> Result<(), RegistryError> {
        self.names.close().await
    }
}

/// One timeout for the whole dial: the lookup, the failed attempt, the second lookup
/// and the second attempt.
#[tokio::test]
async fn a_dial_ends_within_its_bound_whatever_the_registry_says() {
    const BOUND: Duration = Duration::from_secs(2);
    let net = Net::new("net");
    let there = net.join();
    let alpha = there.new_host("α").await.unwrap();
    let listener = alpha.listen(":1").unwrap();
    let silent: Vec<_> = (0..2)
        .map(|_| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap())
        .collect();
    let silent: Vec<_> = silent
        .iter()
        .map(|it| (it, it.local_addr().unwrap()))
        .collect();
    let dial = async |name: &str, first: Option<SocketAddr>, now: SocketAddr| {
        let registry = OutOfDate {
            names: net.hub.registry(),
            first: first.map(|first| first.to_string()),
            now: now.to_string(),
        };
        let config = net.config().dial_timeout(BOUND).prepare("net").unwrap();
        let engine = |notifier| config.start(notifier);
        let here = SubNetwork::new("net", Arc::new(registry), engine).unwrap();
        let host = here.new_host(name).await.unwrap();
        let start = Instant::now();
        let dialed = timeout(4 * BOUND, host.dial("α:1")).await;
        let dialed = dialed.unwrap_or_else(|_| panic!("{name} dials without a bound"));
        (dialed.map_err(|err| err.cause()), start.elapsed())
    };
    let accepting = tokio::spawn(async move { listener.accept().await });
    let (nowhere, unsaid, found) = tokio::join!(
        dial("β", Some(silent[0].1), silent[1].1),
        dial("γ", None, silent[0].1),
        dial("δ", Some(silent[0].1), net.real_addr("α")),
    );
    assert_eq!(nowhere.0.unwrap_err(), Cause::TimedOut);
    assert_eq!(unsaid.0.unwrap_err(), Cause::RegistryDown);
    found.0.unwrap();
    accepting.await.unwrap().unwrap();
    for took in [nowhere.1, unsaid.1, found.1] {
        assert!(took < BOUND * 7 / 4, "{took:?}");
    }
    figure(
        "a dial whose first answer leads nowhere",
        format!(
            "nowhere else either: {:?}; found elsewhere after {:?}",
            nowhere.1, found.1
        ),
    );
    there.close().await.unwrap();
}
