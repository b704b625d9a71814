//! What servers do with a connection, the same for every contender.
//!
//! Owns the modes and the bytes that are checked. Never accepts: contenders do.

use std::sync::{Mutex, PoisonError};

use anyhow::{Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::contender::Stream;

/// Bytes of a ping, and of its pong.
pub const PING: usize = 64;
/// Bytes of a request, and of its reply.
pub const REQUEST: usize = 100;

/// The first byte of a request whose connection the server keeps.
const KEEP: u8 = 0xff;

/// What a server does with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Reads all that was announced, and says how much it was.
    Sink,
    /// Sends pings back until the end.
    Echo,
    /// Replies to one request, and keeps the connection if it says so.
    Reply,
    /// The same; but where a dial confirms, keeps each connection without a
    /// request.
    Keep,
}

impl Mode {
    /// What servers do in a work, without the place where it runs.
    pub fn of(work: &str) -> Mode {
        match work {
            "bulk" | "bulk64" | "faults-rate" => Mode::Sink,
            "pingpong" => Mode::Echo,
            "conns" | "conns-at-once" => Mode::Keep,
            _ => Mode::Reply,
        }
    }
}

/// A server's behaviour, and the connections that it keeps.
pub struct Service<S> {
    mode: Mode,
    /// None once they are answered.
    held: Mutex<Option<Vec<S>>>,
}

impl<S: Stream> Service<S> {
    pub fn new(mode: Mode) -> Service<S> {
        let held = Mutex::new(Some(Vec::new()));
        Service { mode, held }
    }

    /// Serves one connection to its end. What goes wrong the client notices,
    /// which checks each answer; one that ends without a request was dialed
    /// for the dial alone.
    pub async fn handle(&self, mut conn: S) {
        let kept = match self.mode {
            Mode::Sink => sink(&mut conn).await.map(|()| false),
            Mode::Echo => echo(&mut conn).await.map(|()| false),
            Mode::Keep if S::CONFIRMS => Ok(true),
            Mode::Reply | Mode::Keep => reply(&mut conn).await,
        };
        if let Ok(true) = kept
            && let Some(conn) = self.hold(conn)
        {
            answer(conn).await;
        }
    }

    /// Returns the connection if it is not to be held but answered.
    fn hold(&self, conn: S) -> Option<S> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *held {
            Some(held) => {
                held.push(conn);
                None
            }
            None => Some(conn),
        }
    }

    /// From now on each connection that is kept replies to a request more.
    /// Before, they have no tasks, whose memory would count as theirs.
    pub fn answer_all(&self) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        for conn in held.take().into_iter().flatten() {
            tokio::spawn(answer(conn));
        }
    }
}

async fn answer(mut conn: impl Stream) {
    // The client notices.
    let _ = reply(&mut conn).await;
}

async fn sink(conn: &mut impl Stream) -> Result<()> {
    let announced = conn.read_u64().await?;
    // The other side starts its clock when it has this.
    conn.write_u8(1).await?;
    conn.flush().await?;
    let heard = conn.receive(announced).await?;
    conn.write_u64(heard).await?;
    conn.flush().await?;
    // The last to leave is the client, or its answer could be lost.
    let _ = conn.read_u8().await;
    Ok(())
}

async fn echo(conn: &mut impl Stream) -> Result<()> {
    let mut ping = [0; PING];
    while conn.read_exact(&mut ping).await.is_ok() {
        conn.write_all(&ping).await?;
        conn.flush().await?;
    }
    Ok(())
}

/// Returns whether the connection is to be kept.
async fn reply(conn: &mut impl Stream) -> Result<bool> {
    let mut bytes = [0; REQUEST];
    conn.read_exact(&mut bytes).await?;
    let kept = bytes[0] == KEEP;
    for byte in &mut bytes {
        *byte = !*byte;
    }
    conn.write_all(&bytes).await?;
    conn.flush().await?;
    Ok(kept)
}

/// The bytes of a request; `seed` makes each another one.
pub fn request_of(seed: usize) -> [u8; REQUEST] {
    let first = seed % usize::from(KEEP);
    std::array::from_fn(|at| (first + at) as u8)
}

/// A request and its reply.
pub async fn request(conn: &mut impl Stream, seed: usize) -> Result<()> {
    exchange(conn, request_of(seed)).await
}

/// The same, after which the server keeps the connection as long as it lives.
pub async fn request_kept(conn: &mut impl Stream) -> Result<()> {
    exchange(conn, [KEEP; REQUEST]).await
}

async fn exchange(conn: &mut impl Stream, bytes: [u8; REQUEST]) -> Result<()> {
    conn.write_all(&bytes).await?;
    conn.flush().await?;
    replied(conn, bytes).await
}

/// Reads the reply to a request that was sent.
pub async fn replied(conn: &mut impl Stream, bytes: [u8; REQUEST]) -> Result<()> {
    let mut heard = [0; REQUEST];
    conn.read_exact(&mut heard).await?;
    let same = bytes.iter().zip(&heard).all(|(sent, back)| *sent == !*back);
    ensure!(same, "the reply is not the request's");
    Ok(())
}
