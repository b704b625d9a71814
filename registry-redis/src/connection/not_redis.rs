//! Strangers: what it is that answers in the place of a Redis server, or without TLS
//! where TLS is asked for.
//!
//! Owns how that is found out: on joining, over a connection of its own, and only
//! where there is trouble. Never decides that there is.

use std::future::pending;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use virtnet_core::{Cause, Failure};

use crate::connection::url::{Node, RedisUrl};

/// How long a stranger may take to say who it is, and how much of it is read.
const BOUND: Duration = Duration::from_millis(300);
const READ: u64 = 64;

/// What most servers answer to: Redis by a word, web servers by calling it bad, some
/// servers of TLS by an alert.
const GREETING: &[u8] = b"PING\r\n\r\n";

/// The first place that a URL names, and whether TLS is asked for.
pub(crate) struct Place {
    node: Node,
    tls: bool,
}

impl Place {
    /// Every URL names one place at least.
    pub(crate) fn of(target: &RedisUrl) -> Option<Place> {
        let node = target.nodes.first()?.clone();
        let tls = target.tls;
        Some(Place { node, tls })
    }

    /// Does what asks a server, which may take `deadline`. Where it fails, or nothing is
    /// heard for half of that, and a stranger is there, the failure says so.
    pub(crate) async fn ask<T>(
        this: Option<Place>,
        deadline: Duration,
        asking: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let Some(place) = this else {
            return asking.await;
        };
        let slow = async {
            sleep(deadline / 2).await;
            match place.stranger().await {
                Some(who) => who,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            done = asking => match done {
                Err(failure) if may_be_a_strangers(&failure) => {
                    Err(place.stranger().await.unwrap_or(failure))
                }
                done => done,
            },
            who = slow => Err(who),
        }
    }

    async fn stranger(&self) -> Option<Failure> {
        for greeting in [GREETING, &client_hello()] {
            // Who hangs up without a word may be waiting for other words.
            let heard = timeout(BOUND, greet(&self.node, greeting)).await;
            let heard = heard.unwrap_or(Ok(Vec::new())).unwrap_or_default();
            if let Some(who) = name(&heard, self.tls) {
                return Some(Failure::wrap(Cause::Protocol, who));
            }
            if self.tls || !heard.is_empty() {
                break;
            }
        }
        None
    }
}

/// Whoever is not there, or silent, is none.
fn may_be_a_strangers(failure: &Failure) -> bool {
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

/// The shortest greeting that a server of TLS takes for one: to its random bytes, of which
/// there are none, and its one cipher suite it has an answer, or an alert.
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
    let mut heard = Vec::new();
    stream.take(READ).read_buf(&mut heard).await?;
    Ok(heard)
}

/// Who says this, unless it is what was asked for.
fn name(heard: &[u8], tls: bool) -> Option<&'static str> {
    /// The first bytes of an alert, and of the answer to a greeting.
    const ALERT: &[u8] = &[21, 3];
    const HELLO: &[u8] = &[22, 3];
    match heard {
        _ if heard.starts_with(b"HTTP/") || heard.starts_with(b"<") => {
            Some("this is a web server: it answers in HTTP, not as a Redis server does")
        }
        _ if !tls && (heard.starts_with(ALERT) || heard.starts_with(HELLO)) => {
            Some("the server speaks TLS here: use rediss:// in place of redis://")
        }
        [b'+' | b'-', ..] if tls => Some(
            "the server speaks no TLS here: use redis:// in place of rediss://, or its TLS port",
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_answers_is_known_by_the_first_bytes() {
        for (heard, tls, said) in [
            (&b"HTTP/1.1 400 Bad Request\r\n"[..], false, Some("HTTP")),
            (b"<!DOCTYPE HTML>", true, Some("HTTP")),
            (
                b"\x15\x03\x01\x00\x02\x02\x46",
                false,
                Some("use rediss://"),
            ),
            (b"\x15\x03\x01\x00\x02\x02\x46", true, None),
            (b"+PONG\r\n", true, Some("no TLS")),
            (
                b"-NOAUTH Authentication required.\r\n",
                true,
                Some("no TLS"),
            ),
            (b"+PONG\r\n", false, None),
            (b"SSH-2.0-x", false, None),
            (b"", true, None),
        ] {
            let who = name(heard, tls);
            let right = match (who, said) {
                (Some(who), Some(said)) => who.contains(said),
                (who, said) => who.is_none() && said.is_none(),
            };
            assert!(right, "{heard:?}: {who:?}");
        }
    }
}
