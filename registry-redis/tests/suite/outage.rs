//! Servers that are missing, do not reply, are not Redis, or went away and came back.

use std::error::Error;
use std::io;
use std::pin::pin;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use virtnet_core::{Cause, Registry, RegistryError};
use virtnet_registry_redis::{RedisOptions, RedisRegistry};
use virtnet_testkit::redis::{Proxy, RedisServer, free_port};

use crate::calls::*;

const ADDR: &str = "10.0.0.2:4433";

/// What "within two seconds" may take on a busy machine. A hang takes longer.
const BOUND_OF_A_CALL: Duration = Duration::from_secs(4);

async fn refused(url: &str) -> RegistryError {
    let begin = Instant::now();
    let joined = RedisRegistry::connect(url, "n", RedisOptions::default()).await;
    let took = begin.elapsed();
    assert!(took < BOUND_OF_A_CALL, "{took:?}");
    let what = format!("{took:.1?} [2 s]: {}", chain(joined.as_ref().unwrap_err()));
    figure("cannot be joined", &what);
    joined.unwrap_err()
}

fn io_beneath(err: &RegistryError) -> io::ErrorKind {
    let io = err
        .source()
        .and_then(|source| source.downcast_ref::<io::Error>());
    io.unwrap_or_else(|| panic!("{}", chain(err))).kind()
}

#[tokio::test]
async fn where_nothing_listens_the_registry_is_down() {
    let before = tasks();
    let port = free_port();
    let err = refused(&format!("redis://user:secret@127.0.0.1:{port}/1")).await;
    assert_eq!(err.cause(), Cause::RegistryDown);
    let shown =
        format!("registry \"redis://user@127.0.0.1:{port}/1\": connect \"n\": registry is down");
    assert_eq!(err.to_string(), shown);
    assert_eq!(io_beneath(&err), io::ErrorKind::ConnectionRefused);
    assert!(!format!("{err:?} {}", chain(&err)).contains("secret"));
    eventually("all tasks ended", || tasks() == before).await;
}

#[tokio::test]
async fn where_nobody_answers_the_registry_is_down_within_the_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let accepting = tokio::spawn(async move {
        let mut accepted = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            accepted.push(stream);
        }
    });
    let err = refused(&format!("redis://127.0.0.1:{port}")).await;
    assert_eq!(err.cause(), Cause::RegistryDown);
    assert_eq!(io_beneath(&err), io::ErrorKind::TimedOut);
    assert!(
        chain(&err).ends_with("<- no answer within 2s"),
        "{}",
        chain(&err)
    );

    let short = deadline(50);
    let begin = Instant::now();
    let err = RedisRegistry::connect(&format!("redis://127.0.0.1:{port}"), "n", short).await;
    assert!(chain(&err.unwrap_err()).ends_with("<- no answer within 50ms"));
    assert!(
        begin.elapsed() < deadline(2000).deadline,
        "{:?}",
        begin.elapsed()
    );
    accepting.abort();
}

#[tokio::test]
async fn a_host_name_that_resolves_to_nothing_is_down_too() {
    let err = refused("redis://nothing.invalid:6379").await;
    assert_eq!(err.cause(), Cause::RegistryDown);
    assert!(err.source().is_some());
}

/// Something that answers every first request in its own way.
async fn impostor(answer: fn(&[u8]) -> Vec<u8>) -> (u16, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // One after the other: the tests come one after the other.
            let _ = converse(stream, answer).await;
        }
    });
    (port, serving)
}

async fn converse(mut stream: TcpStream, answer: fn(&[u8]) -> Vec<u8>) -> io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        let n = stream.read(&mut buffer).await?;
        if n == 0 {
            return Ok(());
        }
        stream.write_all(&answer(&buffer[..n])).await?;
    }
}

#[tokio::test]
async fn what_is_not_a_redis_is_said_to_be_none() {
    let web: fn(&[u8]) -> Vec<u8> = |_| b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec();
    let echo: fn(&[u8]) -> Vec<u8> = |request| request.to_vec();
    let yes: fn(&[u8]) -> Vec<u8> = |_| b"+OK\r\n+OK\r\n+OK\r\n+OK\r\n".to_vec();
    for answer in [web, echo, yes] {
        let (port, serving) = impostor(answer).await;
        let err = refused(&format!("redis://127.0.0.1:{port}")).await;
        assert_eq!(err.cause(), Cause::Protocol, "{}", chain(&err));
        let err = refused(&format!("redis://user:secret@127.0.0.1:{port}")).await;
        assert_ne!(err.cause(), Cause::RegistryDown, "{}", chain(&err));
        assert!(!format!("{err:?} {}", chain(&err)).contains("secret"));
        serving.abort();
    }
}

#[tokio::test]
async fn after_a_restart_the_next_call_works_again() {
    let mut server = RedisServer::start();
    let before = tasks();
    let registry = join(&server, "n").await;
    registry.announce("a", ADDR).await.unwrap();

    // Between two calls: nobody notices, but that the server is empty, and that
    // only until it was told again.
    server.restart();
    if let Err(err) = registry.query("a").await {
        assert_eq!(err.cause(), Cause::NoSuchHost, "{}", chain(&err));
    }

    server.kill();
    for _ in 0..3 {
        for err in [
            registry.query("a").await.unwrap_err(),
            registry.announce("b", ADDR).await.unwrap_err(),
            registry.hosts().await.unwrap_err(),
        ] {
            assert_eq!(err.cause(), Cause::RegistryDown, "{}", chain(&err));
            assert_eq!(io_beneath(&err), io::ErrorKind::ConnectionRefused);
        }
    }
    server.restart();
    registry.announce("b", ADDR).await.unwrap();
    assert_eq!(registry.query("b").await.unwrap(), ADDR);
    registry.close().await.unwrap();
    assert_eq!(server.keys(), [""; 0]);
    eventually("all tasks ended", || tasks() == before).await;
}

#[tokio::test]
async fn a_connection_that_the_server_closed_is_replaced_unnoticed() {
    let server = RedisServer::start();
    let registry = join(&server, "n").await;
    for round in 0..20 {
        server.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        registry.announce(&format!("h{round}"), ADDR).await.unwrap();
    }
    registry.close().await.unwrap();
    assert_eq!(server.keys(), [""; 0]);
}

#[tokio::test]
async fn a_dead_connection_is_replaced_after_one_deadline() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let registry = RedisRegistry::connect(&proxy.url(), "n", deadline(200))
        .await
        .unwrap();
    registry.announce("a", ADDR).await.unwrap();
    // This one never answers again, not even when others do.
    proxy.freeze_connections();
    let err = registry.query("a").await.unwrap_err();
    assert_eq!(io_beneath(&err), io::ErrorKind::TimedOut);
    assert_eq!(registry.query("a").await.unwrap(), ADDR);
    registry.close().await.unwrap();
}

#[tokio::test]
async fn an_attempt_to_connect_outlives_the_call_that_began_it() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let patient = timing(60_000, 5_000, 20_000);
    let registry = std::sync::Arc::new(join_with(&proxy.url(), "n", patient).await);
    let before = proxy.connections();
    proxy.hold_answers(true);
    server.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    let beginner = std::sync::Arc::clone(&registry);
    let beginner = tokio::spawn(async move { beginner.query("a").await });
    eventually("it connects", || proxy.connections() > before).await;
    beginner.abort();
    assert!(beginner.await.unwrap_err().is_cancelled());
    proxy.hold_answers(false);
    let err = registry.query("a").await.unwrap_err();
    assert_eq!(err.cause(), Cause::NoSuchHost, "{}", chain(&err));
    assert_eq!(proxy.connections(), before + 1, "it is gone on with");
    registry.close().await.unwrap();
}

/// A task may turn to something else while one of its calls connects, such as a member that has to wait
/// for another call first.
#[tokio::test]
async fn an_attempt_to_connect_goes_on_if_the_call_that_began_it_is_not_polled() {
    let mut server = RedisServer::start();
    let registry = join(&server, "n").await;
    server.kill();
    let down = registry.query("a").await.unwrap_err();
    assert_eq!(down.cause(), Cause::RegistryDown);
    server.restart();
    let mut began = pin!(registry.query("a"));
    assert!(poll_at_most(1, began.as_mut()).await.is_none());
    let other = registry.query("b").await.unwrap_err();
    assert_eq!(other.cause(), Cause::NoSuchHost, "{}", chain(&other));
    assert_eq!(began.await.unwrap_err().cause(), Cause::NoSuchHost);
    registry.close().await.unwrap();
}

#[tokio::test]
async fn closing_without_a_server_reports_the_names_that_stay() {
    let mut server = RedisServer::start();
    let before = tasks();
    let registry = join(&server, "n").await;
    registry.announce("a", ADDR).await.unwrap();
    let idle = join(&server, "n").await;
    server.kill();
    // Nothing to free, so nothing that could fail.
    idle.close().await.unwrap();
    let err = registry.close().await.unwrap_err();
    assert_eq!((err.op(), err.cause()), ("close", Cause::RegistryDown));
    let text = "close: registry is down; not freed: \"a\" <- Connection refused";
    assert!(chain(&err).contains(text), "{}", chain(&err));
    registry.close().await.unwrap();
    eventually("all tasks ended", || tasks() == before).await;
}

#[tokio::test]
async fn a_demoted_node_is_down_until_it_is_promoted() {
    let server = RedisServer::start();
    let registry = join(&server, "n").await;
    registry.announce("a", ADDR).await.unwrap();
    server.command(&["REPLICAOF", "127.0.0.1", &free_port().to_string()]);
    let err = registry.announce("b", ADDR).await.unwrap_err();
    assert_eq!(err.cause(), Cause::RegistryDown);
    assert!(chain(&err).contains("READONLY"), "{}", chain(&err));
    let err = refused(&server.url()).await;
    assert_eq!(err.cause(), Cause::RegistryDown);
    server.command(&["REPLICAOF", "NO", "ONE"]);
    registry.announce("b", ADDR).await.unwrap();
    registry.close().await.unwrap();
    assert_eq!(server.keys(), [""; 0]);
}

#[tokio::test]
async fn after_a_failover_the_next_call_goes_to_the_new_primary() {
    let (old, new) = (RedisServer::start(), RedisServer::start());
    let proxy = Proxy::start(old.port()).await;
    let registry = join_url(&proxy.url(), "n").await;
    // The address leads to the new one, but the connection to the old is open.
    old.command(&["REPLICAOF", "127.0.0.1", &new.port().to_string()]);
    proxy.redirect(new.port());
    registry.announce("a", ADDR).await.unwrap();
    assert_eq!(new.keys(), ["virtnet:{n}:a"]);
    registry.close().await.unwrap();
    assert_eq!(new.keys(), [""; 0]);
}

#[tokio::test]
async fn many_calls_at_once_share_one_connection_and_one_bound() {
    let mut server = RedisServer::start();
    let registry = std::sync::Arc::new(join(&server, "n").await);
    let calls = |registry: &std::sync::Arc<RedisRegistry>| {
        let mut calls = tokio::task::JoinSet::new();
        for n in 0..200 {
            let registry = std::sync::Arc::clone(registry);
            calls.spawn(async move { registry.announce(&format!("h{n}"), ADDR).await });
        }
        calls.join_all()
    };
    server.kill();
    let begin = Instant::now();
    for call in calls(&registry).await {
        assert_eq!(call.unwrap_err().cause(), Cause::RegistryDown);
    }
    assert!(begin.elapsed() < BOUND_OF_A_CALL, "{:?}", begin.elapsed());
    server.restart();
    for call in calls(&registry).await {
        call.unwrap();
    }
    let clients = server.command(&["CLIENT", "LIST"])[0].lines().count();
    assert_eq!(clients, 2, "the registry's and this test's");
    registry.close().await.unwrap();
    assert_eq!(server.keys(), [""; 0]);
}
