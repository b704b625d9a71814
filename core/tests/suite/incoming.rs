//! Tests of a listener's connections as a stream: no connection is lost, and the stream
//! ends.
//!
//! Owns the behaviour of the stream. Never tests `accept` itself: the conformance suite
//! does.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use futures_core::{FusedStream, Stream};
use virtnet_core::pipe::PipeNetwork;
use virtnet_core::{Cause, Host, Incoming, SubNetwork};

async fn alpha() -> (SubNetwork, Host, Incoming) {
    let subnet = PipeNetwork::new("pipet").unwrap().subnetwork();
    let alpha = subnet.new_host("α").await.unwrap();
    let incoming = alpha.listen("").unwrap().into_incoming();
    (subnet, alpha, incoming)
}

/// Polls the next item once, then drops the future; whether it was ready.
async fn poll_and_drop(incoming: &mut Incoming) -> bool {
    let mut next = Box::pin(incoming.next());
    poll_fn(|cx| Poll::Ready(next.as_mut().poll(cx).is_ready())).await
}

#[tokio::test]
async fn what_is_dropped_in_between_loses_no_dial() {
    let (_subnet, alpha, mut incoming) = alpha().await;
    assert!(!poll_and_drop(&mut incoming).await);
    let dialer = alpha.clone();
    let dialed = tokio::spawn(async move { dialer.dial("α:1").await });
    // The dial arrives while no accept is waiting.
    while incoming.listener().pending() == 0 && alpha.sockets().len() < 3 {
        tokio::task::yield_now().await;
    }
    let accepted = incoming.next().await.unwrap().unwrap();
    let dialed = dialed.await.unwrap().unwrap();
    assert_eq!(accepted.peer_addr(), dialed.local_addr());
    assert_eq!(dialed.peer_addr(), accepted.local_addr());
}

#[tokio::test]
async fn connections_come_in_the_order_of_the_dials() {
    let (_subnet, alpha, mut incoming) = alpha().await;
    let dials = async {
        let mut ends = Vec::new();
        for _ in 0..5 {
            ends.push(alpha.dial("α:1").await.unwrap());
        }
        ends
    };
    let accepts = async {
        let mut ends = Vec::new();
        while ends.len() < 5 {
            let next = poll_fn(|cx| Pin::new(&mut incoming).poll_next(cx));
            ends.push(next.await.unwrap().unwrap());
        }
        ends
    };
    let (dialed, accepted) = tokio::join!(dials, accepts);
    for (dialed, accepted) in dialed.iter().zip(&accepted) {
        assert_eq!(dialed.local_addr(), accepted.peer_addr());
    }
}

#[tokio::test]
async fn it_ends_after_the_error_that_says_why() {
    for (close, cause) in [
        ("listener", Cause::SocketDown),
        ("host", Cause::HostDown),
        ("network", Cause::NetworkDown),
    ] {
        let (subnet, alpha, mut incoming) = alpha().await;
        assert!(!poll_and_drop(&mut incoming).await && !incoming.is_terminated());
        match close {
            "listener" => incoming.listener().close(),
            "host" => alpha.close(),
            _ => subnet.close().await.unwrap(),
        }
        let err = incoming.next().await.unwrap().unwrap_err();
        assert_eq!(err.cause(), cause);
        assert!(incoming.next().await.is_none() && incoming.is_terminated());
    }
}

#[tokio::test]
async fn it_goes_on_where_there_was_no_port() {
    let (_subnet, alpha, mut incoming) = alpha().await;
    let mut all: Vec<_> = (2..u16::MAX).map(|_| alpha.listen("").unwrap()).collect();
    let (dialed, none) = tokio::join!(alpha.dial("α:1"), incoming.next());
    assert_eq!(none.unwrap().unwrap_err().cause(), Cause::NoFreePort);
    assert_eq!(dialed.unwrap_err().cause(), Cause::ConnectionRefused);
    all.pop();
    let (dialed, next) = tokio::join!(alpha.dial("α:1"), incoming.next());
    assert!(dialed.is_ok() && next.unwrap().is_ok());
}

#[tokio::test]
async fn dropping_it_closes_the_listener() {
    let (_subnet, alpha, mut incoming) = alpha().await;
    assert!(!poll_and_drop(&mut incoming).await);
    drop(incoming);
    assert!(alpha.sockets().is_empty());
    let err = alpha.dial("α:1").await.unwrap_err();
    assert_eq!(err.cause(), Cause::ConnectionRefused);
}
