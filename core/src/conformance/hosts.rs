//! Checks of hosts and their names. Never sends data over a connection.

use std::time::Duration;

use super::bed::{Bed, assert_error};
use crate::error::Op;
use crate::{Cause, MAX_NAME};

/// Hosts can have every valid name, and reach each other by it.
pub async fn names_of_all_kinds(bed: &dyn Bed) {
    let (a, b) = (bed.subnetwork().await, bed.subnetwork().await);
    let dialer = a.new_host("dialer").await.unwrap();
    let long = "λ".repeat(MAX_NAME / 2);
    for name in [
        "α",
        "a b",
        "::1",
        "127.0.0.1",
        "0x1f",
        "{x}",
        "*?",
        "%7B",
        "é",
        "e\u{301}",
        "É",
        &long,
    ] {
        let host = b.new_host(name).await.unwrap();
        assert_eq!(host.name(), name);
        let listener = host.listen("").unwrap();
        let addr = listener.local_addr();
        let (dialed, accepted) = tokio::join!(dialer.dial(addr), listener.accept());
        let (_, peer) = accepted.unwrap();
        assert_eq!(peer, "dialer:1");
        assert_eq!(dialed.unwrap().peer_addr(), &addr.with_port(2));
    }
    a.close().await.unwrap();
    b.close().await.unwrap();
}

/// Invalid names are refused with an error that shows them.
pub async fn bad_names(bed: &dyn Bed) {
    let subnet = bed.subnetwork().await;
    let long = "x".repeat(MAX_NAME + 1);
    for name in ["", "a\nb", "a]", &long] {
        let err = subnet.new_host(name).await.unwrap_err();
        assert_eq!(err.cause(), Cause::InvalidAddr, "{err}");
        assert!(err.to_string().contains("invalid hostname"), "{err}");
    }
    subnet.close().await.unwrap();
}

/// A name is unique in the whole network.
pub async fn taken_names(bed: &dyn Bed) {
    let (a, b) = (bed.subnetwork().await, bed.subnetwork().await);
    let host = a.new_host("γ").await.unwrap();
    for subnet in [&a, &b] {
        let err = subnet.new_host("γ").await.unwrap_err();
        assert_eq!(err.op(), Op::NewHost);
        assert_eq!(err.cause(), Cause::HostAlreadyRegistered, "{err}");
        let line = err.to_string();
        let network = subnet.network();
        assert!(line.starts_with(&format!("virtnet {network:?}: new host \"γ\": ")));
        assert!(line.ends_with("host already registered"), "{line}");
    }
    host.close();
    let err = b.new_host("γ").await.unwrap_err();
    let why = "a closed host keeps its name";
    assert_eq!(err.cause(), Cause::HostAlreadyRegistered, "{why}");

    // Waiting for a name returns it once it is free, or the reason why not.
    let err = b.new_host_within("γ", Duration::ZERO).await.unwrap_err();
    assert_eq!(err.cause(), Cause::HostAlreadyRegistered, "{err}");
    let (late, closed) = tokio::join!(b.new_host_within("γ", Duration::MAX), a.close());
    closed.unwrap();
    assert_eq!(late.unwrap().name(), "γ");
    let err = b.new_host_within("", Duration::MAX).await.unwrap_err();
    assert_eq!(err.cause(), Cause::InvalidAddr, "{err}");
    let (late, closed) = tokio::join!(b.new_host_within("γ", Duration::MAX), b.close());
    closed.unwrap();
    assert_eq!(late.unwrap_err().cause(), Cause::NetworkDown);
}

/// Closing a subnetwork frees the names of its hosts.
pub async fn names_are_free_after_close(bed: &dyn Bed) {
    for _ in 0..3 {
        let subnet = bed.subnetwork().await;
        let host = subnet.new_host("γ").await.unwrap();
        subnet.close().await.unwrap();
        drop(host);
    }
}

/// A host that does not listen, or is closed, refuses dials: it is still announced.
pub async fn an_announced_host_refuses(bed: &dyn Bed) {
    let (a, b) = (bed.subnetwork().await, bed.subnetwork().await);
    let (alpha, beta) = (
        a.new_host("α").await.unwrap(),
        b.new_host("β").await.unwrap(),
    );
    for _ in 0..2 {
        let err = alpha.dial("β:1").await.unwrap_err();
        assert_error(
            &err,
            Op::Dial,
            Some("α:1"),
            Some("β:1"),
            Cause::ConnectionRefused,
            "dial NET α:1->β:1: connection refused",
        );
        beta.close();
    }
    a.close().await.unwrap();
    b.close().await.unwrap();
}
