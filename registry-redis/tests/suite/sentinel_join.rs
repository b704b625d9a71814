//! Joining through sentinels: logins, and the errors for mistakes.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use virtnet_core::{Cause, Registry, RegistryError};
use virtnet_registry_redis::{RedisOptions, RedisRegistry};
use virtnet_testkit::redis::{NAME, RedisServer, Sentinels, free_port};

use crate::calls::*;

async fn refused(url: &str) -> RegistryError {
    let joined = RedisRegistry::connect(url, "n", RedisOptions::default()).await;
    let err = joined.expect_err("it must be refused");
    println!("{}", chain(&err));
    err
}

#[tokio::test]
async fn mistakes_are_told_apart_from_outages() {
    let fleet = Sentinels::start().await;
    let sentinel = fleet.sentinels[0].port();
    let err = refused(&format!("redis+sentinel://127.0.0.1:{sentinel}/other")).await;
    assert_eq!(err.cause(), Cause::InvalidAddr);
    assert!(
        err.to_string()
            .contains("does not know a server named \"other\""),
        "{err}"
    );

    // Neither is what it is taken for.
    let server = fleet.primary.port();
    let err = refused(&format!("redis+sentinel://127.0.0.1:{server}/{NAME}")).await;
    assert_eq!(err.cause(), Cause::Protocol);
    assert!(err.to_string().contains("expected a sentinel at"), "{err}");
    let err = refused(&format!("redis://127.0.0.1:{sentinel}")).await;
    assert_ne!(err.cause(), Cause::RegistryDown, "{}", chain(&err));

    // A replica is not what anybody wants, even when a sentinel says so.
    let of = format!("127.0.0.1 {}", fleet.replica.port());
    let misled = RedisServer::start_sentinel(&format!("sentinel monitor misled {of} 1\n"), &[]);
    let err = refused(&format!(
        "redis+sentinel://127.0.0.1:{}/misled",
        misled.port()
    ))
    .await;
    assert_eq!(err.cause(), Cause::RegistryDown);
    assert!(chain(&err).contains("is a replica"), "{}", chain(&err));

    // One that is there is enough; none is an outage, and within the deadline.
    let nobody = free_port();
    let url = format!("redis+sentinel://127.0.0.1:{nobody},127.0.0.1:{sentinel}/{NAME}");
    join_url(&url, "n").await.close().await.unwrap();
    let mut options = RedisOptions::default();
    options.remember = Duration::ZERO;
    let joined = RedisRegistry::connect(&url, "n", options).await;
    joined.unwrap().close().await.unwrap();
    fleet.sentinels[0].pause();
    let begin = Instant::now();
    let err = refused(&url).await;
    assert_eq!(err.cause(), Cause::RegistryDown, "{}", chain(&err));
    assert!(begin.elapsed() < 2 * RedisOptions::default().deadline);
    fleet.sentinels[0].resume();
}

#[tokio::test]
async fn sentinels_that_want_a_password_are_given_it() {
    let fleet = Sentinels::start().await;
    let protect = |server: &RedisServer| {
        let set = ["ACL", "SETUSER", "default", "resetpass", ">hunter2"];
        assert_eq!(server.command(&set), ["+OK"]);
    };
    // The servers' is not the sentinels': those that ask for none get none.
    protect(&fleet.primary);
    let at = format!("127.0.0.1:{}/{NAME}", fleet.sentinels[0].port());
    let url = format!("redis+sentinel://:hunter2@{at}");
    join_url(&url, "n").await.close().await.unwrap();
    let err = refused(&format!("redis+sentinel://{at}")).await;
    assert_eq!(err.cause(), Cause::PermissionDenied);
    protect(&fleet.sentinels[0]);
    join_url(&url, "n").await.close().await.unwrap();
    for login in ["", ":wrong@"] {
        let err = refused(&format!("redis+sentinel://{login}{at}")).await;
        assert_eq!(err.cause(), Cause::PermissionDenied);
        assert!(!chain(&err).contains("wrong"), "{}", chain(&err));
    }
}

/// Asks for the login, and then repeats it in an error.
async fn gossip(listener: TcpListener) -> std::io::Result<()> {
    loop {
        let (mut stream, _) = listener.accept().await?;
        let mut buffer = [0; 4096];
        let mut answer = "-NOAUTH Authentication required.\r\n";
        // A connection that is given up is reset.
        while let Ok(n @ 1..) = stream.read(&mut buffer).await {
            if String::from_utf8_lossy(&buffer[..n]).contains("AUTH") {
                answer = "-ERR you said hunter2\r\n";
                stream.write_all(b"+OK\r\n").await?;
            } else {
                stream.write_all(answer.as_bytes()).await?;
            }
        }
    }
}

#[tokio::test]
async fn what_a_sentinel_repeats_of_the_login_is_not_shown() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let gossip = tokio::spawn(gossip(listener));
    let err = refused(&format!("redis+sentinel://u:hunter2@{at}/m")).await;
    gossip.abort();
    assert_eq!(err.cause(), Cause::Protocol, "{}", chain(&err));
    let shown = format!("{err:?} {}", chain(&err));
    assert!(shown.contains("you said ***"), "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");
}
