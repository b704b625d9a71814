//! Tests of the integrations: other crates' traits, called as those crates call them.
//!
//! Owns failed accepts and URIs without a host. Never speaks HTTP: `examples/adapters`
//! does.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use axum::serve::Listener as Axum;
use tokio::time::timeout;
use tokio_test::task::spawn;
use tokio_test::{assert_pending, assert_ready};
use tower_service::Service;
use virtnet_core::adapt::{Connector, uri_host};
use virtnet_core::pipe::PipeNetwork;
use virtnet_core::{Cause, Host, Listener, SubNetwork};

/// A test that takes longer hangs: no test needs nearly as long.
const HANG: Duration = Duration::from_secs(30);

/// A subnetwork with the hosts α and β.
async fn alpha_and_beta() -> (SubNetwork, Host, Host) {
    let subnet = PipeNetwork::new("pipet").unwrap().subnetwork();
    let alpha = subnet.new_host("α").await.unwrap();
    let beta = subnet.new_host("β").await.unwrap();
    (subnet, alpha, beta)
}

/// Listens on all free ports of a host.
fn listen_on_all(host: &Host) -> Vec<Listener> {
    let mut all = Vec::new();
    while let Ok(listener) = host.listen("") {
        all.push(listener);
    }
    all
}

#[tokio::test]
async fn a_listener_that_is_down_keeps_axum_waiting_and_does_not_spin() {
    for what in ["host", "network"] {
        let (subnet, alpha, _beta) = alpha_and_beta().await;
        let mut listener = alpha.listen(":1").unwrap();
        let mut accept = spawn(Axum::accept(&mut listener));
        assert_pending!(accept.poll());
        match what {
            "host" => alpha.close(),
            _ => subnet.close().await.unwrap(),
        }
        assert!(accept.is_woken(), "{what}");
        assert_pending!(accept.poll());
        // A task that has yielded is woken by the runtime only later.
        tokio::task::yield_now().await;
        assert!(!accept.is_woken(), "{what}: nothing is left to be done");
    }
}

#[tokio::test]
async fn a_dial_that_finds_no_port_does_not_end_what_axum_accepts() {
    let (_subnet, alpha, beta) = alpha_and_beta().await;
    let mut listener = alpha.listen(":1").unwrap();
    let mut taken = listen_on_all(&alpha);
    let mut accept = spawn(Axum::accept(&mut listener));
    assert_pending!(accept.poll());
    let err = beta.dial("α:1").await.unwrap_err();
    assert_eq!(err.cause(), Cause::ConnectionRefused);
    assert_pending!(accept.poll());
    taken.pop();
    let both = async { tokio::join!(beta.dial("α:1"), accept) };
    let (dialed, (_conn, peer)) = timeout(HANG, both).await.unwrap();
    assert_eq!(dialed.unwrap().peer_addr(), "α:65535");
    assert_eq!(peer, "β:1");
}

#[tokio::test]
async fn a_connector_dials_what_the_uri_means() {
    let (subnet, alpha, _beta) = alpha_and_beta().await;
    let mut connector = Connector::new(alpha);
    for name in ["node-1", "δ", "A", "a", "::1", "a b", "100%", "me@home"] {
        let host = subnet.new_host(name).await.unwrap();
        for (scheme, written, port) in [("http", ":7", 7), ("http", "", 80), ("https", "", 443)] {
            let uri = format!("{scheme}://{}{written}/path?query", uri_host(name));
            let listener = host.listen(format!(":{port}")).unwrap();
            let dial = connector.call(uri.parse().unwrap());
            let (dialed, (conn, _)) = tokio::try_join!(dial, listener.accept()).unwrap();
            let dialed = dialed.into_inner();
            assert_eq!(dialed.peer_addr(), conn.local_addr(), "{uri}");
            assert_eq!(conn.local_addr().host(), name, "{uri}");
        }
    }
}

#[tokio::test]
async fn a_uri_that_leads_nowhere_is_an_error_that_names_it() {
    let (_subnet, alpha, _beta) = alpha_and_beta().await;
    let mut connector = Connector::new(alpha.clone());
    let case = "upper-case letters in a URI's host must be percent-encoded, such as [%41] for A";
    for (uri, said) in [
        (
            "http://[%CE%B2]:1/",
            "dial pipet α:1->β:1: connection refused",
        ),
        (
            "http://gone:1/",
            r#"dial pipet α:1->gone:1: registry "memory:": query "gone": no such host"#,
        ),
        (
            "/path",
            r#"dial pipet α:1: invalid address "/path": expected host:port, got no host"#,
        ),
        (
            "http://Beta:1/",
            &format!(r#"dial pipet α:1: invalid address "Beta:1": {case}"#),
        ),
        (
            "http://b:70000/",
            r#"dial pipet α:1: invalid address "b:70000": the port must be at most 65535"#,
        ),
        (
            "http://[%CE]:1/",
            r#"dial pipet α:1: invalid address "[%CE]:1": expected two hex digits after each '%', and UTF-8 once decoded"#,
        ),
    ] {
        let err = connector.call(uri.parse().unwrap()).await.unwrap_err();
        assert_eq!(err.to_string(), said);
    }
    assert!(alpha.sockets().is_empty(), "no port is left taken");
}

#[tokio::test]
async fn a_dropped_call_is_a_dropped_dial() {
    let (_subnet, alpha, beta) = alpha_and_beta().await;
    let listener = beta.listen(":1").unwrap();
    let mut call = spawn(Connector::new(alpha.clone()).call("http://[%CE%B2]:1/".parse().unwrap()));
    assert_pending!(call.poll());
    assert_eq!(listener.pending(), 1);
    drop(call);
    assert_eq!(listener.pending(), 0);
    assert!(alpha.sockets().is_empty());
    let ready = poll_fn(|cx| Poll::Ready(Connector::new(alpha.clone()).poll_ready(cx)));
    assert_ready!(ready.await).unwrap();
}
