//! Where hosts are reached: by DNS names, over IPv6, over both families.
//!
//! Owns what `hostdata` cannot show without a network.

mod common;

use std::net::{Ipv6Addr, SocketAddr, UdpSocket};

use common::{Net, connect};
use virtnet_core::{Cause, Host, Registry, SubNetwork};

const ANY_V6: SocketAddr = SocketAddr::new(std::net::IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0);

/// Connects both ways.
async fn meet(alpha: &Host, beta: &Host) {
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
    meet(&alpha, &beta).await;
    // A name that is none anywhere (RFC 6761).
    let registry = net.hub.registry();
    registry.announce("γ", "nobody.invalid:1").await.unwrap();
    let err = beta.dial("γ:1").await.unwrap_err();
    assert_eq!(
        (err.cause(), err.is_unreachable()),
        (Cause::HostUnreachable, true)
    );
    let err = err.to_string();
    let text = "dial net β:1->γ:1: cannot reach host \"γ\" at nobody.invalid:1: \
                the name cannot be resolved: ";
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
    // β reaches α's IPv6 address, and is reached over IPv4 by γ.
    connect(&beta, &alpha.listen("").unwrap()).await;
    let v4 = net.join();
    let gamma = v4.new_host("γ").await.unwrap();
    meet(&beta, &gamma).await;
    let err = gamma.dial("α:1").await.unwrap_err().to_string();
    assert!(
        err.ends_with("is IPv6, and this host is bound to IPv4 only"),
        "{err}"
    );
    let err = alpha.dial("γ:1").await.unwrap_err().to_string();
    assert!(
        err.ends_with("is IPv4, and this host is bound to IPv6 only"),
        "{err}"
    );
    v4.close().await.unwrap();
    close([here, there]).await;
}
