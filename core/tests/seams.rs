//! The seams from the engine's side: what a notifier decides, what an accept
//! acknowledges, and how closing treats an engine and a registry that are slow
//! or fail. Never needs a network: the engine here is scripted.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use virtnet_core::memory::MemoryHub;
use virtnet_core::{
    Addr, BACKLOG, ByteStream, Cause, Conn, Engine, Failure, Host, Notifier, Op, OpError, Registry,
    RegistryError, SubNetwork,
};

/// An engine that announces at once, hangs in dials, and notes what happens.
#[derive(Clone, Default)]
struct Script {
    /// Calls that are running now.
    running: Arc<AtomicUsize>,
    closed_under_calls: Arc<AtomicUsize>,
    new_host_hangs: bool,
    close_fails: bool,
}

struct Running(Arc<AtomicUsize>);

impl Script {
    fn enter(&self) -> Running {
        self.running.fetch_add(1, Ordering::SeqCst);
        Running(Arc::clone(&self.running))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl Engine for Script {
    async fn vnet_new_host(&self, hostname: &str, registry: &dyn Registry) -> Result<(), Failure> {
        let _running = self.enter();
        registry.announce(hostname, "here").await?;
        if self.new_host_hangs {
            pending::<()>().await;
        }
        Ok(())
    }

    async fn vnet_dial(&self, _: &Addr, _: &Addr, _: &str) -> Result<(ByteStream, Addr), Failure> {
        let _running = self.enter();
        pending().await
    }

    async fn close(&self) -> Result<(), Failure> {
        let running = self.running.load(Ordering::SeqCst);
        self.closed_under_calls.store(running, Ordering::SeqCst);
        match self.close_fails {
            true => Err(Failure::other("some problem")),
            false => Ok(()),
        }
    }
}

/// A registry whose close fails.
struct Stubborn;

#[async_trait]
impl Registry for Stubborn {
    async fn announce(&self, _: &str, _: &str) -> Result<(), RegistryError> {
        Ok(())
    }

    async fn query(&self, _: &str) -> Result<String, RegistryError> {
        Ok("here".to_owned())
    }

    async fn close(&self) -> Result<(), RegistryError> {
        let why = Failure::because(Cause::RegistryDown, "the cable was cut");
        Err(RegistryError::new("stubborn", "close", &[], why))
    }
}

/// A subnetwork over `script`, and the notifier that its engine was given.
fn subnetwork(script: &Script, registry: Arc<dyn Registry>) -> (SubNetwork, Notifier) {
    let mut given = None;
    let subnet = SubNetwork::new("pipet", registry, |notifier| {
        given = Some(notifier);
        script.clone()
    });
    (subnet.unwrap(), given.unwrap())
}

async fn alpha(script: &Script) -> (SubNetwork, Notifier, Host) {
    let (subnet, notifier) = subnetwork(script, Arc::new(MemoryHub::new().registry()));
    let host = subnet.new_host("α").await.unwrap();
    (subnet, notifier, host)
}

fn addr(written: &str) -> Addr {
    Addr::parse("pipet", written).unwrap()
}

/// A stream, and the far ends of its two directions.
fn stream() -> (ByteStream, tokio::io::DuplexStream, tokio::io::DuplexStream) {
    let ((reader, far_writer), (writer, far_reader)) = (duplex(64), duplex(64));
    (ByteStream::new(reader, writer), far_writer, far_reader)
}

async fn cause_of_read(mut conn: Conn) -> Cause {
    let err = conn.read(&mut [0]).await.unwrap_err();
    OpError::of(&err).unwrap().cause()
}

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
        assert_eq!(dropped.addr(), &"α:2");
        assert_eq!(host.sockets()[1].to_string(), "α:2 accepting γ:1");
        drop(dropped);
        let kept = notifier
            .vnet_accept(&addr("γ:2"), &addr("α:1"))
            .await
            .unwrap();
        assert_eq!(kept.addr(), &"α:2", "the port was free again");
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
    let ears = Arc::clone(&listener);
    let accepting = tokio::spawn(async move { ears.accept().await });
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
    let (subnet, notifier) = subnetwork(&script, Arc::new(Stubborn));
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
    assert_eq!(script.closed_under_calls.load(Ordering::SeqCst), 0);
    assert_eq!(hub.hosts(), []);
}

#[tokio::test]
async fn the_engine_is_never_closed_under_a_call() {
    let script = Script::default();
    let (subnet, _notifier, host) = alpha(&script).await;
    // Polled once and then left alone: only the close itself can end it.
    let mut dial = Box::pin(host.dial("α:1"));
    std::future::poll_fn(|cx| {
        assert!(dial.as_mut().poll(cx).is_pending());
        std::task::Poll::Ready(())
    })
    .await;
    assert_eq!(script.running.load(Ordering::SeqCst), 1);
    subnet.close().await.unwrap();
    assert_eq!(script.closed_under_calls.load(Ordering::SeqCst), 0);
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
