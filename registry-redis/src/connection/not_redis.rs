//! Not Redis: recognises a peer that is not a Redis server, or that uses TLS when the URL does
//! not, or the reverse.
//!
//! Owns that check: when connecting fails or is slow, over a connection of its own. Never
//! decides by itself that connecting has failed.

use std::future::pending;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use virtnet_core::{Cause, Failure};

use crate::connection::url::{Node, RedisUrl};

/// How long the peer may take to reply, and how many bytes are read.
const BOUND: Duration = Duration::from_millis(300);
const READ: u64 = 64;

/// Most servers reply to this: Redis with a word, web servers with an error, some TLS servers
/// with an alert.
const GREETING: &[u8] = b"PING\r\n\r\n";

/// The first address that a URL names, and whether the URL asks for TLS.
pub(crate) struct NotRedisCheck {
    node: Node,
    tls: bool,
}

impl NotRedisCheck {
    /// Every URL names at least one address.
    pub(crate) fn of(target: &RedisUrl) -> Option<NotRedisCheck> {
        let node = target.nodes.first()?.clone();
        let tls = target.tls;
        Some(NotRedisCheck { node, tls })
    }

    /// Runs `asking`, which may take `deadline`. If it fails, or has no result after half of
    /// that, and the peer is recognised as something else, the failure says so.
    pub(crate) async fn run<T>(
        this: Option<NotRedisCheck>,
        deadline: Duration,
        asking: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let Some(check) = this else {
            return asking.await;
        };
        let slow = async {
            sleep(deadline / 2).await;
            match check.identify().await {
                Some(found) => found,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            done = asking => match done {
                Err(failure) if may_not_be_redis(&failure) => {
                    Err(check.identify().await.unwrap_or(failure))
                }
                done => done,
            },
            found = slow => Err(found),
        }
    }

    async fn identify(&self) -> Option<Failure> {
        for greeting in [GREETING, &client_hello()] {
            // A peer that closes without a reply may expect another greeting.
            let received = timeout(BOUND, greet(&self.node, greeting)).await;
            let received = received.unwrap_or(Ok(Vec::new())).unwrap_or_default();
            if let Some(found) = name(&received, self.tls) {
                return Some(Failure::wrap(Cause::Protocol, found));
            }
            if self.tls || !received.is_empty() {
                break;
            }
        }
        None
    }
}

/// A peer that refuses the connection or stays silent is not checked.
fn may_not_be_redis(failure: &Failure) -> bool {
    let beneath = failure.detail().and_then(|detail| detail.downcast_ref());
    let kind = beneath.map(io::Error::kind);
    match failure.cause() {
        Cause::Protocol => true,
        Cause::RegistryDown => {
            kind.is_some()
                && !matches!(
                    kind,
                    Some(io::ErrorKind::ConnectionRefused | io::ErrorKind::TimedOut)
                )
        }
        _ => false,
    }
}

/// The shortest `ClientHello` that TLS servers accept: all random bytes are zero and there is
/// one cipher suite. They reply with a `ServerHello` or an alert.
fn client_hello() -> [u8; 50] {
    let mut hello = [0; 50];
    // A record of a handshake, the handshake's first message, its version.
    hello[..11].copy_from_slice(&[22, 3, 1, 0, 45, 1, 0, 0, 41, 3, 3]);
    // No session, one suite (ECDHE-RSA with AES-128-GCM), no compression.
    hello[43..].copy_from_slice(&[0, 0, 2, 0xc0, 0x2f, 1, 0]);
    hello
}

async fn greet((host, port): &Node, greeting: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect((&**host, *port)).await?;
    stream.write_all(greeting).await?;
    let mut received = Vec::new();
    stream.take(READ).read_buf(&mut received).await?;
    Ok(received)
}

/// What the peer is by these bytes, unless it is what the URL asks for.
fn name(received: &[u8], tls: bool) -> Option<&'static str> {
    /// The first bytes of an alert, and of a `ServerHello`.
    const ALERT: &[u8] = &[21, 3];
    const HELLO: &[u8] = &[22, 3];
    match received {
        _ if received.starts_with(b"HTTP/") || received.starts_with(b"<") => {
            Some("expected a Redis server, got a web server that replies in HTTP")
        }
        _ if !tls && (received.starts_with(ALERT) || received.starts_with(HELLO)) => {
            Some("the server uses TLS on this port: use rediss:// instead of redis://")
        }
        [b'+' | b'-', ..] if tls => Some(
            "the server does not use TLS on this port: use redis:// instead of rediss://, or its \
             TLS port",
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_answers_is_known_by_the_first_bytes() {
        for (received, tls, said) in [
            (&b"HTTP/1.1 400 Bad Request\r\n"[..], false, Some("HTTP")),
            (b"<!DOCTYPE HTML>", true, Some("HTTP")),
            (
                b"\x15\x03\x01\x00\x02\x02\x46",
                false,
                Some("use rediss://"),
            ),
            (b"\x15\x03\x01\x00\x02\x02\x46", true, None),
            (b"+PONG\r\n", true, Some("not use TLS")),
            (
                b"-NOAUTH Authentication required.\r\n",
                true,
                Some("not use TLS"),
            ),
            (b"+PONG\r\n", false, None),
            (b"SSH-2.0-x", false, None),
            (b"", true, None),
        ] {
            let found = name(received, tls);
            let right = match (found, said) {
                (Some(found), Some(said)) => found.contains(said),
                (found, said) => found.is_none() && said.is_none(),
            };
            assert!(right, "{received:?}: {found:?}");
        }
    }
}
