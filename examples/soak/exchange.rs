//! The data of one connection: both sides send their names, then bytes with a hash, then
//! half-close; the acceptor also returns the hash of what it read.
//!
//! Owns the order, and the checks of the data. Never decides whether a failure is
//! excused.
//!
//! ```text
//! dialer                                    acceptor
//!   own name, sizes of the data     ─────►
//!                                   ◄─────   own name
//!   bytes, their hash, end-of-file  ─────►
//!                                   ◄─────   bytes, their hash
//!                                   ◄─────   hash of what was read, end-of-file
//! ```

use std::io;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use virtnet::{Conn, OpError, OwnedReadHalf, OwnedWriteHalf};
use xxhash_rust::xxh3::Xxh3;

use crate::rng::Rng;
use crate::tally::{Sabotage, Watch};
use crate::wire::now;

/// The maximum bytes of one write or read.
const PIECE: usize = 64 * 1024;
/// A read or write that takes longer hangs.
const HANG: Duration = Duration::from_secs(60);
const HASH: usize = size_of::<u128>();

/// The data of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Order {
    pub(crate) seed: u64,
    /// Bytes from the dialer.
    pub(crate) up: u64,
    /// Bytes to the dialer.
    pub(crate) down: u64,
}

/// How a connection failed.
#[derive(Debug)]
pub(crate) enum End {
    Failed(&'static str, io::Error),
    /// End-of-file before all data.
    Short(String),
    Wrong(String),
    Hung(&'static str),
}

impl End {
    /// What failed, its cause and the details, for a [`crate::wire::Trouble`].
    pub(crate) fn told(&self) -> (&'static str, String, String) {
        match self {
            End::Failed(what, err) => {
                let cause = OpError::of(err).map(|err| format!("{:?}", err.cause()));
                let cause = cause.unwrap_or_else(|| "Unknown".to_owned());
                (what, cause, err.to_string())
            }
            End::Short(at) => ("short", "EndOfFile".to_owned(), at.clone()),
            End::Wrong(how) => ("wrong", "Wrong".to_owned(), how.clone()),
            End::Hung(what) => ("hung", "Hung".to_owned(), (*what).to_owned()),
        }
    }
}

/// The dialer's side. Returns the number of bytes that were read and verified.
pub(crate) async fn dial(
    conn: Conn,
    [me, dialed]: [&str; 2],
    order: Order,
    watch: &Watch,
) -> Result<u64, End> {
    let (mut ear, mut mouth) = halves(conn, watch);
    let send = async {
        let mut head = Vec::with_capacity(64);
        for number in [order.seed, order.up, order.down] {
            head.extend(number.to_le_bytes());
        }
        put_name(&mut head, me);
        mouth.say(&head).await?;
        let hash = mouth.stream(order.seed, order.up).await?;
        mouth.end().await?;
        Ok(hash)
    };
    let receive = async {
        ear.name(dialed, "the acceptor").await?;
        ear.stream(order.down).await?;
        Ok(())
    };
    let (sent, ()) = tokio::try_join!(send, receive)?;
    let mut answer = [0; HASH];
    ear.exact(&mut answer).await?;
    if u128::from_le_bytes(answer) != sent {
        let how = "the acceptor's hash differs from that of the data";
        return Err(End::Wrong(how.to_owned()));
    }
    ear.end().await?;
    Ok(order.down)
}

/// The acceptor's side. `peer` is the connection's peer.
pub(crate) async fn accept(conn: Conn, [me, peer]: [&str; 2], watch: &Watch) -> Result<u64, End> {
    let (mut ear, mut mouth) = halves(conn, watch);
    let mut head = Vec::with_capacity(16);
    put_name(&mut head, me);
    mouth.say(&head).await?;
    let mut numbers = [0; 3];
    for number in &mut numbers {
        let mut bytes = [0; 8];
        ear.exact(&mut bytes).await?;
        *number = u64::from_le_bytes(bytes);
    }
    let [seed, up, down] = numbers;
    ear.name(peer, "the dialer").await?;
    let receive = async {
        let hash = ear.stream(up).await?;
        ear.end().await?;
        Ok(hash)
    };
    // The other direction has other bytes.
    let (read, _) = tokio::try_join!(receive, mouth.stream(!seed, down))?;
    mouth.say(&read.to_le_bytes()).await?;
    mouth.end().await?;
    Ok(up)
}

fn halves(conn: Conn, watch: &Watch) -> (Ear<'_>, Mouth<'_>) {
    let (reader, writer) = conn.into_split();
    (Ear { reader, watch }, Mouth { writer, watch })
}

fn put_name(to: &mut Vec<u8>, name: &str) {
    to.push(name.len() as u8);
    to.extend(name.as_bytes());
}

struct Ear<'a> {
    reader: OwnedReadHalf,
    watch: &'a Watch,
}

impl Ear<'_> {
    async fn some(&mut self, into: &mut [u8]) -> Result<usize, End> {
        let (began, clock) = (now(), Instant::now());
        let read = timeout(HANG, self.reader.read(into)).await;
        self.watch.took("read", began, clock.elapsed());
        match read {
            Ok(Ok(count)) => Ok(count),
            // The sabotage: treats a cut as end-of-file.
            Ok(Err(_)) if self.watch.sabotage() == Sabotage::Eof => Ok(0),
            Ok(Err(err)) => Err(End::Failed("read", err)),
            Err(_) => Err(End::Hung("read")),
        }
    }

    async fn exact(&mut self, into: &mut [u8]) -> Result<(), End> {
        let (mut at, whole) = (0, into.len());
        while at < whole {
            match self.some(&mut into[at..]).await? {
                0 => return Err(End::Short(format!("{at} bytes of {whole}"))),
                count => at += count,
            }
        }
        Ok(())
    }

    /// Reads the other side's name, and compares it with the expected one.
    async fn name(&mut self, expected: &str, who: &str) -> Result<(), End> {
        let mut length = [0];
        self.exact(&mut length).await?;
        let mut name = vec![0; length[0].into()];
        self.exact(&mut name).await?;
        if name == expected.as_bytes() {
            return Ok(());
        }
        let name = String::from_utf8_lossy(&name);
        Err(End::Wrong(format!(
            "expected {who} {expected:?}, got {name:?}"
        )))
    }

    /// Reads this many bytes and their hash; returns the hash if it is right.
    async fn stream(&mut self, length: u64) -> Result<u128, End> {
        let (mut hash, mut left) = (Xxh3::new(), length);
        let mut piece = vec![0; PIECE.min(length as usize)];
        while left > 0 {
            let most = PIECE.min(left as usize);
            match self.some(&mut piece[..most]).await? {
                0 => {
                    return Err(End::Short(format!(
                        "end-of-file {left} bytes before {length}"
                    )));
                }
                count => {
                    hash.update(&piece[..count]);
                    left -= count as u64;
                }
            }
        }
        let mut claimed = [0; HASH];
        self.exact(&mut claimed).await?;
        let hash = hash.digest128();
        if hash != u128::from_le_bytes(claimed) {
            return Err(End::Wrong(format!("the hash of {length} bytes is wrong")));
        }
        Ok(hash)
    }

    /// Expects end-of-file.
    async fn end(&mut self) -> Result<(), End> {
        match self.some(&mut [0]).await? {
            0 => Ok(()),
            _ => Err(End::Wrong("expected end-of-file, got more data".to_owned())),
        }
    }
}

struct Mouth<'a> {
    writer: OwnedWriteHalf,
    watch: &'a Watch,
}

impl Mouth<'_> {
    async fn say(&mut self, mut bytes: &[u8]) -> Result<(), End> {
        while !bytes.is_empty() {
            let (began, clock) = (now(), Instant::now());
            let written = timeout(HANG, self.writer.write(bytes)).await;
            self.watch.took("write", began, clock.elapsed());
            match written {
                Ok(Ok(count)) => bytes = &bytes[count..],
                Ok(Err(err)) => return Err(End::Failed("write", err)),
                Err(_) => return Err(End::Hung("write")),
            }
        }
        Ok(())
    }

    /// Writes this many bytes and their hash; returns the hash.
    async fn stream(&mut self, seed: u64, length: u64) -> Result<u128, End> {
        let (mut bytes, mut hash, mut left) = (Rng::new(seed, length), Xxh3::new(), length);
        let mut piece = vec![0; PIECE.min(length as usize)];
        while left > 0 {
            let piece = &mut piece[..PIECE.min(left as usize)];
            bytes.fill(piece);
            hash.update(piece);
            if self.watch.sabotage() == Sabotage::Corrupt && seed.is_multiple_of(1000) {
                piece[0] ^= 1;
            }
            self.say(piece).await?;
            left -= piece.len() as u64;
        }
        let hash = hash.digest128();
        self.say(&hash.to_le_bytes()).await?;
        Ok(hash)
    }

    async fn end(&mut self) -> Result<(), End> {
        let ended = self.writer.shutdown().await;
        ended.map_err(|err| End::Failed("write", err))
    }
}
