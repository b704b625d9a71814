//! Tests of core from the engine's side: the decisions of a notifier, and the
//! acknowledgement of an accept. Never uses a network: the engine is scripted.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use virtnet_core::{Addr, BACKLOG, Cause, Failure};

use crate::support::{self, Script, addr, alpha, stream};

#[tokio::test]
async fn the_notifier_decides() {
    let (_subnet, notifier, host) = alpha(&Script::default()).await;
    let _listener = host.listen(":1").unwrap();
    for (dst, cause, line) in [
        (addr("β:1"), Cause::NoSuchHost, "no such host"),
        (
            Addr::new("other", "α", 1).unwrap(),
            Cause::NoSuchHost,
            "no such host",
        ),
        (addr("α:2"), Cause::ConnectionRefused, "connection refused"),
        (addr("α:0"), Cause::ConnectionRefused, "connection refused"),
    ] {
        let err = notifier.vnet_accept(&addr("γ:1"), &dst).await.unwrap_err();
        assert_eq!(err.cause(), cause);
        assert_eq!(
            err.to_string(),
            line,
            "no prefix: the engine has the context"
        );
    }
}

#[tokio::test]
async fn going_down_refuses_whoever_waits() {
    for what in ["listener", "host", "network"] {
        let (subnet, notifier, host) = alpha(&Script::default()).await;
        let listener = host.listen(":1").unwrap();
        let (src, dst) = (addr("γ:1"), addr("α:1"));
        let decision = notifier.vnet_accept(&src, &dst);
        let close = async {
            while listener.pending() == 0 {
                tokio::task::yield_now().await;
            }
            match what {
                "listener" => listener.close(),
                "host" => host.close(),
                _ => drop(subnet.close().await),
            }
        };
        let (decision, ()) = tokio::join!(decision, close);
        assert_eq!(
            decision.unwrap_err().cause(),
            Cause::ConnectionRefused,
            "{what}"
        );
        let later = notifier.vnet_accept(&src, &dst).await;
        assert_eq!(
            later.unwrap_err().cause(),
            Cause::ConnectionRefused,
            "{what}"
        );
    }
}

#[tokio::test]
async fn a_notifier_does_not_keep_its_subnetwork() {
    let (subnet, notifier, host) = alpha(&Script::default()).await;
    drop((subnet, host));
    let gone = notifier.vnet_accept(&addr("γ:1"), &addr("α:1")).await;
    assert_eq!(gone.unwrap_err().cause(), Cause::ConnectionRefused);
    notifier.vnet_down(Failure::other("too late to matter"));
}

#[tokio::test]
async fn an_accept_that_is_not_acknowledged_is_skipped() {
    let (_subnet, notifier, host) = alpha(&Script::default()).await;
    let listener = host.listen(":1").unwrap();
    let dials = async {
        let dropped = notifier
            .vnet_accept(&addr("γ:1"), &addr("α:1"))
            .await
            .unwrap();
        assert_eq!(dropped.addr(), "α:2");
        assert_eq!(host.sockets()[1].to_string(), "α:2 accepting γ:1");
        drop(dropped);
        let kept = notifier
            .vnet_accept(&addr("γ:2"), &addr("α:1"))
            .await
            .unwrap();
        assert_eq!(kept.addr(), "α:2", "the port was free again");
        let (stream, far_writer, far_reader) = stream();
        kept.ack(stream);
        (far_writer, far_reader)
    };
    let (accepted, (_far_writer, mut far_reader)) = tokio::join!(listener.accept(), dials);
    let (mut conn, peer) = accepted.unwrap();
    assert_eq!(peer, "γ:2");
    conn.write_all(b"x").await.unwrap();
    assert_eq!(far_reader.read_u8().await.unwrap(), b'x');
    assert_eq!(host.sockets()[1].to_string(), "α:2 connected γ:2");
}

#[tokio::test]
async fn a_stream_that_comes_after_the_accept_was_dropped_is_closed() {
    let (_subnet, notifier, host) = alpha(&Script::default()).await;
    let listener = Arc::new(host.listen(":1").unwrap());
    let accepts = Arc::clone(&listener);
    let accepting = tokio::spawn(async move { accepts.accept().await });
    let mut accept = notifier
        .vnet_accept(&addr("γ:1"), &addr("α:1"))
        .await
        .unwrap();
    accepting.abort();
    assert!(accepting.await.unwrap_err().is_cancelled());
    accept.cancelled().await;
    assert_eq!(host.sockets().len(), 1, "the port is free");
    let (stream, mut far_writer, mut far_reader) = stream();
    accept.ack(stream);
    assert_eq!(far_reader.read(&mut [0]).await.unwrap(), 0);
    assert!(far_writer.write_all(&[0; 65]).await.is_err());
}

#[tokio::test]
async fn waiting_dials_are_bounded_and_given_up_places_are_free() {
    let (_subnet, notifier, host) = alpha(&Script::default()).await;
    let listener = host.listen(":1").unwrap();
    let mut waiting = tokio::task::JoinSet::new();
    for port in 1..=BACKLOG as u16 {
        let notifier = notifier.clone();
        let src = addr("γ:0").with_port(port);
        waiting.spawn(async move { notifier.vnet_accept(&src, &addr("α:1")).await });
    }
    while listener.pending() < BACKLOG {
        tokio::task::yield_now().await;
    }
    let over = notifier.vnet_accept(&addr("δ:1"), &addr("α:1")).await;
    assert_eq!(over.unwrap_err().cause(), Cause::ConnectionRefused);
    waiting.shutdown().await;
    assert_eq!(listener.pending(), 0);
}

#[tokio::test]
async fn dials_are_accepted_in_the_order_they_came() {
    let (_subnet, notifier, host) = alpha(&Script::default()).await;
    let listener = host.listen(":1").unwrap();
    let mut dials = tokio::task::JoinSet::new();
    for port in 1..=9 {
        let notifier = notifier.clone();
        let src = addr("γ:0").with_port(port);
        dials.spawn(async move {
            let accept = notifier.vnet_accept(&src, &addr("α:1")).await.unwrap();
            accept.ack(stream().0);
        });
        while listener.pending() < usize::from(port) {
            tokio::task::yield_now().await;
        }
    }
    let mut accepted = Vec::new();
    for port in 1..=9 {
        let (conn, peer) = listener.accept().await.unwrap();
        assert_eq!((peer.port(), conn.local_addr().port()), (port, port + 1));
        accepted.push(conn);
    }
}

/// Several accepts may wait on one listener; each dial wakes an accept without a dial.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn every_waiting_accept_gets_a_dial() {
    let (_subnet, notifier, host) = alpha(&Script::default()).await;
    let listener = Arc::new(host.listen(":1").unwrap());
    for _ in 0..500 {
        let mut both = tokio::task::JoinSet::new();
        for _ in 0..2 {
            let (listener, notifier) = (Arc::clone(&listener), notifier.clone());
            both.spawn(async move { drop(listener.accept().await.unwrap()) });
            both.spawn(async move {
                let (src, dst) = (addr("γ:1"), addr("α:1"));
                let accept = notifier.vnet_accept(&src, &dst).await.unwrap();
                accept.ack(stream().0);
            });
        }
        let all = tokio::time::timeout(std::time::Duration::from_secs(20), both.join_all());
        all.await.expect("no accept sleeps while a dial waits");
    }
}

/// A host refuses dials after its announcement until `new_host` returns.
#[tokio::test]
async fn a_host_that_is_being_made_refuses() {
    let script = Script {
        new_host_hangs: true,
        ..Script::default()
    };
    let hub = virtnet_core::memory::MemoryHub::new();
    let (subnet, notifier) = support::subnetwork(&script, Arc::new(hub.registry()));
    let making = tokio::spawn(async move { subnet.new_host("α").await.map(drop) });
    while hub.hosts().is_empty() {
        tokio::task::yield_now().await;
    }
    let early = notifier.vnet_accept(&addr("γ:1"), &addr("α:1")).await;
    assert_eq!(early.unwrap_err().cause(), Cause::ConnectionRefused);
    making.abort();
    assert!(making.await.unwrap_err().is_cancelled());
    let gone = notifier.vnet_accept(&addr("γ:1"), &addr("α:1")).await;
    assert_ne!(gone.unwrap_err().cause(), Cause::TimedOut);
}

#[tokio::test]
async fn the_registry_is_asked_for_the_own_host_too() {
    let (subnet, _notifier) =
        support::subnetwork(&Script::default(), Arc::new(support::Stubborn::default()));
    let host = subnet.new_host("α").await.unwrap();
    let err = host.dial(":1").await.unwrap_err();
    assert_eq!(
        err.to_string(),
        "dial pipet α:1->α:1: registry \"stubborn\": query \"α\": registry is down"
    );
    assert_eq!(err.cause(), Cause::RegistryDown);
}

/// Core converts the error of an engine's stream to a cause.
#[tokio::test]
async fn a_cut_is_an_error_that_says_so() {
    use std::io::ErrorKind as Kind;
    let (_subnet, notifier, host) = alpha(&Script::default()).await;
    let listener = host.listen(":1").unwrap();
    for (kind, cause, line) in [
        (
            Kind::ConnectionReset,
            Cause::ConnectionCut,
            "read pipet γ:1->α:2: connection cut",
        ),
        (
            Kind::TimedOut,
            Cause::TimedOut,
            "read pipet γ:1->α:2: timed out",
        ),
        (
            Kind::InvalidData,
            Cause::Other,
            "read pipet γ:1->α:2: garbage",
        ),
    ] {
        let reader = tokio_test::io::Builder::new()
            .read_error(std::io::Error::new(kind, "garbage"))
            .build();
        let mut conn = support::accept_over(&notifier, &listener, reader, tokio::io::sink()).await;
        let err = conn.read(&mut [0]).await.unwrap_err();
        assert_eq!(err.to_string(), line);
        assert_eq!(err.kind(), cause.kind());
    }
}

#[tokio::test]
async fn a_host_without_free_ports_says_so() {
    let (_subnet, notifier, host) = alpha(&Script::default()).await;
    let mut listeners: Vec<_> = (1..=u16::MAX).map(|_| host.listen("").unwrap()).collect();
    let err = host.listen("").unwrap_err();
    assert_eq!(err.to_string(), "listen pipet α:0: no free port");
    let err = host.dial("α:1").await.unwrap_err();
    assert_eq!(err.to_string(), "dial pipet α:0->α:1: no free port");
    let (src, dst) = (addr("γ:1"), addr("α:1"));
    let (accepted, refused) = tokio::join!(listeners[0].accept(), notifier.vnet_accept(&src, &dst));
    assert_eq!(
        accepted.unwrap_err().to_string(),
        "accept pipet α:1: no free port"
    );
    assert_eq!(refused.unwrap_err().cause(), Cause::ConnectionRefused);
    drop(listeners.remove(41));
    assert_eq!(host.listen("").unwrap().local_addr(), "α:42");
}

#[tokio::test]
async fn an_address_of_another_network_is_not_listened_on() {
    let (_subnet, _notifier, host) = alpha(&Script::default()).await;
    let err = host
        .listen(Addr::new("other", "α", 1).unwrap())
        .unwrap_err();
    assert_eq!(err.cause(), Cause::InvalidAddr);
}
