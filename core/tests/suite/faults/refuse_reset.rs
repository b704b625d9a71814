//! Refusals of dials, and resets of what is open.
//!
//! Owns the rows *refuse* and *reset* of the matrix. Never waits: both act at once.

use std::error::Error;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use virtnet_core::conformance::enforce;
use virtnet_core::{Cause, OpError};

use crate::faults::net::{Net, both_see, cause, reads, takes, works, writes};

#[tokio::test(start_paused = true)]
async fn dials_are_refused_and_what_is_open_goes_on() {
    let net = Net::new().await;
    let (mut dialed, mut accepted) = net.connect().await;
    writes(&mut dialed, "in flight").await;
    net.set("refuse α -> β");
    let err = takes(Duration::ZERO, net.alpha.dial("β:1"))
        .await
        .unwrap_err();
    assert_eq!(err.to_string(), "dial pipet α:2->β:1: connection refused");
    let why = err.source().unwrap().to_string();
    assert!(
        why.contains("fault rule \"refuse α -> β\" refuses the dial"),
        "{why}"
    );
    assert_eq!((net.alpha.sockets().len(), net.listener.pending()), (1, 0));
    assert_eq!(net.counted("dials_refused"), 1);
    reads(&mut accepted, "in flight").await;
    works((dialed, accepted)).await;
    // The other way it is no rule.
    let listener = net.alpha.listen("α:7").unwrap();
    let (dialed, accepted) = tokio::join!(net.beta.dial("α:7"), listener.accept());
    works((dialed.unwrap(), accepted.unwrap().0)).await;
    net.heal();
    works(net.connect().await).await;
}

#[tokio::test(start_paused = true)]
async fn a_dial_under_way_is_not_refused() {
    let net = Net::new().await;
    let later = async {
        while net.listener.pending() == 0 {
            tokio::task::yield_now().await;
        }
        net.set("refuse α -> β");
        net.listener.accept().await.unwrap().0
    };
    let (dialed, accepted) = tokio::join!(net.alpha.dial("β:1"), later);
    works((dialed.unwrap(), accepted)).await;
}

/// Only the acceptor's member knows the rule.
#[tokio::test(start_paused = true)]
async fn an_acceptor_refuses_too() {
    let net = Net::new().await;
    enforce(&net.subnets[1], &"refuse α -> β".parse().unwrap()).unwrap();
    let err = net.alpha.dial("β:1").await.unwrap_err();
    assert_eq!(err.cause(), Cause::ConnectionRefused);
    assert_eq!(net.subnets[1].stats().faults.dials_refused, 1);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_comes_before_a_cut_and_a_hold() {
    let net = Net::new().await;
    net.set("hold α -> β\ncut α -> β\nrefuse α -> β");
    let dialed = takes(Duration::ZERO, net.alpha.dial("β:1")).await;
    assert_eq!(dialed.unwrap_err().cause(), Cause::ConnectionRefused);
}

#[tokio::test(start_paused = true)]
async fn both_ends_of_what_is_open_are_cut_at_once() {
    let net = Net::new().await;
    let (mut dialed, mut accepted) = net.connect().await;
    writes(&mut dialed, "in flight").await;
    let reset = async {
        tokio::task::yield_now().await;
        net.set("reset α -> β");
    };
    // Both wait.
    let (read, ()) = takes(Duration::ZERO, async {
        tokio::join!(dialed.read_u8(), reset)
    })
    .await;
    let err = read.unwrap_err();
    assert_eq!(err.to_string(), "read pipet β:2->α:1: connection cut");
    let why = OpError::of(&err).unwrap().source().unwrap().to_string();
    assert!(
        why.contains("fault rule \"reset α -> β\" reset the connection"),
        "{why}"
    );
    both_see(Cause::ConnectionCut, &mut dialed, &mut accepted).await;
    assert_eq!(
        (net.alpha.sockets().len(), net.beta.sockets().len()),
        (1, 2)
    );
    assert_eq!(net.counted("connections_reset"), 2);
    dialed.close();
    assert_eq!(cause(dialed.read_u8().await), Cause::SocketDown);
    drop((dialed, accepted));
    assert_eq!(
        (net.alpha.sockets().len(), net.beta.sockets().len()),
        (0, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn later_connections_are_cut_as_soon_as_they_are_open() {
    let net = Net::new().await;
    net.set("reset α -> β");
    let (mut dialed, mut accepted) = net.connect().await;
    both_see(Cause::ConnectionCut, &mut dialed, &mut accepted).await;
    net.heal();
    both_see(Cause::ConnectionCut, &mut dialed, &mut accepted).await;
    works(net.connect().await).await;
}

#[tokio::test(start_paused = true)]
async fn only_what_was_dialed_that_way_is_reset() {
    let net = Net::new().await;
    let ends = net.connect().await;
    net.set("reset β -> α");
    works(ends).await;
}

#[tokio::test(start_paused = true)]
async fn half_closed_and_closing_connections_are_reset() {
    let net = Net::new().await;
    let (mut dialed, mut accepted) = net.connect().await;
    writes(&mut dialed, "x").await;
    dialed.shutdown().await.unwrap();
    let (other, mut left) = net.connect().await;
    drop(other);
    net.set("reset α -> β");
    for conn in [&mut accepted, &mut left, &mut dialed] {
        assert_eq!(cause(conn.read_u8().await), Cause::ConnectionCut);
    }
}

/// Only one member knows the rule: the other end sees a cut.
#[tokio::test(start_paused = true)]
async fn one_end_is_enough() {
    for member in [0, 1] {
        let net = Net::new().await;
        let (mut dialed, mut accepted) = net.connect().await;
        enforce(&net.subnets[member], &"reset α -> β".parse().unwrap()).unwrap();
        both_see(Cause::ConnectionCut, &mut dialed, &mut accepted).await;
    }
}
