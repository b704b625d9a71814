//! Tests of closing: which errors are reported, in which order things close, and closes
//! despite panics. Never uses a network: the engine is scripted.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, DuplexStream, ReadBuf, duplex};
use virtnet_core::memory::MemoryHub;
use virtnet_core::{Cause, Conn, Failure, Op, OpError, SubNetwork};

use crate::support::{Counted, Script, Stubborn, accept_over, addr, alpha, stream, subnetwork};

async fn cause_of_read(mut conn: Conn) -> Cause {
    let err = conn.read(&mut [0]).await.unwrap_err();
    OpError::of(&err).unwrap().cause()
}

#[tokio::test]
async fn network_down_is_told_to_all_and_by_every_close() {
    let (subnet, notifier, host) = alpha(&Script::default()).await;
    let listener = host.listen(":1").unwrap();
    let engine = async {
        let accept = notifier
            .vnet_accept(&addr("γ:1"), &addr("α:1"))
            .await
            .unwrap();
        let (stream, far_writer, far_reader) = stream();
        accept.ack(stream);
        (far_writer, far_reader)
    };
    let (accepted, _far_ends) = tokio::join!(listener.accept(), engine);
    notifier.vnet_down(Failure::other("some problem"));
    notifier.vnet_down(Failure::other("another problem"));

    let err = listener.accept().await.unwrap_err();
    assert_eq!(err.to_string(), "accept pipet α:1: network is down");
    let reason = std::error::Error::source(&err).unwrap();
    assert_eq!(reason.to_string(), "some problem");
    assert_eq!(cause_of_read(accepted.unwrap().0).await, Cause::NetworkDown);
    for _ in 0..2 {
        let err = subnet.close().await.unwrap_err();
        assert_eq!(err.to_string(), "virtnet \"pipet\": close: some problem");
        assert_eq!((err.op(), err.cause()), (Op::Close, Cause::Other));
    }
}

#[tokio::test]
async fn errors_of_a_close_add_up() {
    let script = Script {
        close_fails: true,
        ..Script::default()
    };
    let (subnet, notifier) = subnetwork(&script, Arc::new(Stubborn::default()));
    notifier.vnet_down(Failure::other("the first cause"));
    let err = subnet.close().await.unwrap_err();
    assert_eq!(
        err.to_string(),
        "virtnet \"pipet\": close: the first cause; some problem; \
         registry \"stubborn\": close: registry is down"
    );
}

#[tokio::test]
async fn a_blocked_new_host_ends_with_the_network() {
    let script = Script {
        new_host_hangs: true,
        ..Script::default()
    };
    let hub = MemoryHub::new();
    let (subnet, _notifier) = subnetwork(&script, Arc::new(hub.registry()));
    let other = subnet.clone();
    let blocked = tokio::spawn(async move { other.new_host("γ").await });
    while script.running.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    let again = subnet.new_host("γ").await.unwrap_err();
    assert_eq!(
        again.cause(),
        Cause::HostAlreadyRegistered,
        "it is being made"
    );
    subnet.close().await.unwrap();
    let err = blocked.await.unwrap().unwrap_err();
    assert_eq!(
        err.to_string(),
        "virtnet \"pipet\": new host \"γ\": network is down"
    );
    assert_eq!(script.closed_under.load(Ordering::SeqCst), 0);
    assert_eq!(hub.hosts(), []);
}

#[tokio::test]
async fn the_engine_is_never_closed_under_a_call() {
    let script = Script::default();
    let (subnet, _notifier, host) = alpha(&script).await;
    // Polled once only, so that nothing but the close can end it.
    let mut dial = Box::pin(host.dial("α:1"));
    std::future::poll_fn(|cx| {
        assert!(dial.as_mut().poll(cx).is_pending());
        std::task::Poll::Ready(())
    })
    .await;
    assert_eq!(script.running.load(Ordering::SeqCst), 1);
    subnet.close().await.unwrap();
    assert_eq!(script.closed_under.load(Ordering::SeqCst), 0);
    let err = dial.await.unwrap_err();
    assert_eq!(err.to_string(), "dial pipet α:1->α:1: network is down");
}

#[tokio::test]
async fn dropping_a_dial_drops_the_engine_s_call() {
    let script = Script::default();
    let (_subnet, _notifier, host) = alpha(&script).await;
    let dial = host.dial("α:1");
    let timeout = tokio::time::timeout(std::time::Duration::ZERO, dial).await;
    assert!(timeout.is_err());
    assert_eq!(script.running.load(Ordering::SeqCst), 0);
    assert_eq!(host.sockets(), []);
}

#[tokio::test]
async fn the_engine_closes_before_the_registry() {
    let script = Script::default();
    let registry = Arc::new(Stubborn(Arc::clone(&script.log)));
    let (subnet, _notifier) = subnetwork(&script, registry);
    drop(subnet.close().await);
    assert_eq!(*script.log.lock().unwrap(), ["engine", "registry"]);
}

#[tokio::test]
async fn a_down_after_the_close_changes_nothing() {
    let (subnet, notifier, _host) = alpha(&Script::default()).await;
    subnet.close().await.unwrap();
    notifier.vnet_down(Failure::other("too late"));
    subnet.close().await.unwrap();
}

#[tokio::test]
async fn a_down_while_the_engine_is_made_is_heard() {
    let registry = Arc::new(MemoryHub::new().registry());
    let subnet = SubNetwork::new("pipet", registry, |notifier| {
        notifier.vnet_down(Failure::other("no socket"));
        Script::default()
    });
    let subnet = subnet.unwrap();
    let err = subnet.new_host("α").await.unwrap_err();
    assert_eq!(err.cause(), Cause::NetworkDown);
    let err = subnet.close().await.unwrap_err();
    assert_eq!(err.to_string(), "virtnet \"pipet\": close: no socket");
}

#[tokio::test]
async fn auto_close_of_what_is_down_already_is_no_mistake() {
    let (subnet, notifier, _host) = alpha(&Script::default()).await;
    notifier.vnet_down(Failure::other("the cable was cut"));
    subnet.auto_close().unwrap();
}

/// A stream that is counted until it is dropped.
struct Live {
    stream: DuplexStream,
    _counted: Counted,
}

impl AsyncRead for Live {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

/// However the connections are closed, and on whichever thread.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn the_engine_closes_after_the_last_stream_is_dropped() {
    for round in 0..60 {
        let script = Script::default();
        let (subnet, notifier, host) = alpha(&script).await;
        let listener = host.listen(":1").unwrap();
        let (mut conns, mut far_ends) = (Vec::new(), Vec::new());
        for _ in 0..20 {
            let ((reader, far_writer), (writer, far_reader)) = (duplex(8), duplex(8));
            let live = Live {
                stream: reader,
                _counted: Counted::new(&script.streams),
            };
            conns.push(accept_over(&notifier, &listener, live, writer).await);
            far_ends.push((far_writer, far_reader));
        }
        let other = match round % 3 {
            0 => tokio::spawn(async move { drop(conns) }),
            1 => tokio::spawn(async move { host.close() }),
            _ => tokio::spawn(async {}),
        };
        tokio::task::yield_now().await;
        subnet.close().await.unwrap();
        assert_eq!(
            script.closed_under.load(Ordering::SeqCst),
            0,
            "round {round}"
        );
        other.await.unwrap();
    }
}

/// The connection was acknowledged to an accept that is not polled any more.
#[tokio::test]
async fn a_connection_that_no_accept_has_picked_up_is_closed() {
    let script = Script::default();
    let (subnet, notifier, host) = alpha(&script).await;
    let listener = host.listen(":1").unwrap();
    let (src, dst) = (addr("γ:1"), addr("α:1"));
    let mut accepting = Box::pin(listener.accept());
    let mut decided = Box::pin(notifier.vnet_accept(&src, &dst));
    let accept = std::future::poll_fn(|cx| {
        assert!(accepting.as_mut().poll(cx).is_pending());
        decided.as_mut().poll(cx)
    });
    let accept = accept.await.unwrap();
    let ((reader, _far_writer), (writer, mut far_reader)) = (duplex(8), duplex(8));
    let live = Live {
        stream: reader,
        _counted: Counted::new(&script.streams),
    };
    accept.ack(virtnet_core::ByteStream::new(live, writer));
    subnet.close().await.unwrap();
    assert_eq!(script.closed_under.load(Ordering::SeqCst), 0);
    assert_eq!(
        far_reader.read(&mut [0]).await.unwrap(),
        0,
        "closed, not cut"
    );
    assert_eq!(accepting.await.unwrap_err().cause(), Cause::NetworkDown);
}

/// A call that is dropped by its caller is over before the engine closes.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn the_engine_closes_after_the_last_call_is_dropped() {
    for round in 0..200 {
        let script = Script::default();
        let (subnet, _notifier, host) = alpha(&script).await;
        let dial = tokio::spawn(async move { host.dial("α:1").await.map(drop) });
        while script.running.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        if round % 2 == 0 {
            dial.abort();
        }
        subnet.close().await.unwrap();
        assert_eq!(
            script.closed_under.load(Ordering::SeqCst),
            0,
            "round {round}"
        );
    }
}

#[tokio::test]
async fn an_engine_that_panics_in_its_close_is_a_failure_and_names_are_freed() {
    let script = Script {
        close_panics: true,
        ..Script::default()
    };
    let hub = MemoryHub::new();
    let (subnet, _notifier) = subnetwork(&script, Arc::new(hub.registry()));
    let _host = subnet.new_host("α").await.unwrap();
    let err = subnet.close().await.unwrap_err();
    assert!(err.to_string().contains("a bug in the engine"), "{err}");
    assert_eq!(hub.hosts(), []);
}

/// A stream whose drop panics.
struct Bomb(DuplexStream);

impl AsyncRead for Bomb {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "a bug in the stream");
    }
}

#[tokio::test]
async fn a_stream_that_panics_in_its_drop_holds_no_close_up() {
    let (subnet, notifier, host) = alpha(&Script::default()).await;
    let listener = host.listen(":1").unwrap();
    let ((reader, _far_writer), (writer, _far_reader)) = (duplex(8), duplex(8));
    let _bomb = accept_over(&notifier, &listener, Bomb(reader), writer).await;
    let ((reader, _far_writer), (writer, _far_reader)) = (duplex(8), duplex(8));
    let bystander = accept_over(&notifier, &listener, reader, writer).await;
    let other = subnet.clone();
    assert!(
        tokio::spawn(async move { other.close().await })
            .await
            .is_err()
    );
    subnet.close().await.unwrap();
    assert_eq!(cause_of_read(bystander).await, Cause::NetworkDown);
}
