//! Data that can be checked at any offset: sends it, and checks what comes back.
//!
//! Owns [`exchange`]. Never decides what the result means for the test.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use virtnet::Conn;

/// The bytes of one write.
const PIECE: usize = 64 * 1024;

/// The data that came back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The same data.
    Same,
    /// Correct data, but end-of-file after this many bytes.
    Short(usize),
    /// The byte at this offset is wrong, or one too many.
    Wrong(usize),
}

/// The byte at an offset of the stream of `seed`. It does not repeat after a power of two,
/// so that a lost, duplicated or moved block is detected.
fn byte(seed: u8, at: usize) -> u8 {
    (at % 251) as u8 ^ (at / 251 % 239) as u8 ^ seed
}

/// Sends `length` bytes and reads until end-of-file, both at once, as an echo needs.
pub(crate) async fn exchange(conn: Conn, seed: u8, length: usize) -> io::Result<Answer> {
    let (mut reader, mut writer) = conn.into_split();
    let send = async {
        let mut piece = Vec::with_capacity(PIECE);
        for start in (0..length).step_by(PIECE) {
            piece.clear();
            piece.extend((start..length.min(start + PIECE)).map(|at| byte(seed, at)));
            writer.write_all(&piece).await?;
        }
        writer.shutdown().await
    };
    let receive = async {
        let (mut at, mut piece) = (0, vec![0; PIECE]);
        loop {
            let count = match reader.read(&mut piece).await? {
                0 if at == length => return Ok(Answer::Same),
                0 => return Ok(Answer::Short(at)),
                count => count,
            };
            for got in &piece[..count] {
                if at == length || *got != byte(seed, at) {
                    return Ok(Answer::Wrong(at));
                }
                at += 1;
            }
        }
    };
    match tokio::join!(send, receive) {
        // A peer that no longer reads shows it by how the connection ended.
        (Err(err), Ok(Answer::Same)) => Err(err),
        (_, received) => received,
    }
}
