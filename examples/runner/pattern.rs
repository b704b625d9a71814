//! Bytes that can be checked at any place: what is sent, and whether just that
//! came back.
//!
//! Owns [`exchange`]. Never decides what an answer means to the test.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use virtnet::Conn;

/// Bytes of one write.
const PIECE: usize = 64 * 1024;

/// What came back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// All of it, and nothing else.
    Same,
    /// The end came after so many bytes, all of which were right.
    Short(usize),
    /// This byte is another one, or one too many.
    Wrong(usize),
}

/// The byte at a place of the stream that `seed` names: never the same over a
/// power of two, so that a piece that was lost, doubled or moved shows.
fn byte(seed: u8, at: usize) -> u8 {
    (at % 251) as u8 ^ (at / 251 % 239) as u8 ^ seed
}

/// Sends `length` bytes and reads until the end: both at once, as an echo needs.
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
        // Who reads no more has said so by how it ended.
        (Err(err), Ok(Answer::Same)) => Err(err),
        (_, received) => received,
    }
}
