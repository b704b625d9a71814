//! What servers do with a connection, the same for every contender.
//!
//! Owns the modes and the bytes that are checked. Never accepts: contenders do.

use std::sync::{Mutex, PoisonError};

use anyhow::{Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::contender::Stream;

/// Bytes of a ping, and of its pong.
pub const PING: usize = 64;
/// Bytes of a request, and of its reply.
pub const REQUEST: usize = 100;

/// What a server does with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Reads all that was announced, and says how much it was.
    Sink,
    /// Sends pings back until the end.
    Echo,
    /// Replies to one request.
    Reply,
    /// Replies to one byte, and keeps the connection.
    Hold,
}

impl Mode {
    /// What servers do in a work, without the place where it runs.
    pub fn of(work: &str) -> Mode {
        match work {
            "bulk" | "bulk64" => Mode::Sink,
            "pingpong" => Mode::Echo,
            "conns" => Mode::Hold,
            _ => Mode::Reply,
        }
    }
}

/// A server's behaviour, and the connections that it keeps.
pub struct Service<S> {
    mode: Mode,
    held: Mutex<Vec<S>>,
}

impl<S: Stream> Service<S> {
    pub fn new(mode: Mode) -> Service<S> {
        let held = Mutex::new(Vec::new());
        Service { mode, held }
    }

    /// Serves one connection to its end. What goes wrong the client notices,
    /// which checks each answer.
    pub async fn handle(&self, mut conn: S) {
        let _ = match self.mode {
            Mode::Sink => sink(&mut conn).await,
            Mode::Echo => echo(&mut conn).await,
            Mode::Reply => reply(&mut conn).await,
            Mode::Hold => match answer_byte(&mut conn).await {
                Ok(()) => {
                    let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
                    held.push(conn);
                    Ok(())
                }
                err => err,
            },
        };
    }
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

async fn reply(conn: &mut impl Stream) -> Result<()> {
    let mut bytes = [0; REQUEST];
    conn.read_exact(&mut bytes).await?;
    for byte in &mut bytes {
        *byte = !*byte;
    }
    conn.write_all(&bytes).await?;
    conn.flush().await?;
    Ok(())
}

async fn answer_byte(conn: &mut impl Stream) -> Result<()> {
    let byte = conn.read_u8().await?;
    conn.write_u8(!byte).await?;
    conn.flush().await?;
    Ok(())
}

/// A client's part of [`Mode::Reply`]; `seed` makes each request another one.
pub async fn request(conn: &mut impl Stream, seed: usize) -> Result<()> {
    let bytes: [u8; REQUEST] = std::array::from_fn(|at| (seed + at) as u8);
    conn.write_all(&bytes).await?;
    conn.flush().await?;
    let mut heard = [0; REQUEST];
    conn.read_exact(&mut heard).await?;
    let same = bytes.iter().zip(&heard).all(|(sent, back)| *sent == !*back);
    ensure!(same, "the reply is not the request's");
    Ok(())
}

/// A client's part of [`Mode::Hold`].
pub async fn touch(conn: &mut impl Stream) -> Result<()> {
    conn.write_u8(7).await?;
    conn.flush().await?;
    match conn.read_u8().await? {
        heard if heard == !7 => Ok(()),
        heard => bail!("the answer is {heard}"),
    }
}
