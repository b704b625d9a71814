//! The handshake that turns a stream into a connection between two hosts.
//!
//! Owns the order of the frames, and the timeouts of waiting for them. Generic over
//! the stream: never depends on QUIC, and never closes the stream.
//!
//! It has two legs: the dialer's Hello, behind which the first bytes of the connection may
//! follow, and the acceptor's reply. The acceptor hands over its end as soon as the reply is
//! on its way, so it never waits for the dialer. A dialer that gives up later resets the
//! stream, and the acceptor's end is cut.

use std::future::{Future, pending};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::wire::frame::{FrameError, HEADER, Hello, MAX_REPLY, Refusal, Reply, VERSION};

/// How long a decision may take before the acceptor sends Waiting.
pub(crate) const WAITING_AFTER: Duration = Duration::from_secs(1);

/// Why a dial's handshake failed.
#[derive(Debug)]
pub(crate) enum HandshakeError {
    /// No first reply before the deadline.
    TimedOut,
    /// The acceptor refused.
    Refused(Refusal),
    /// The acceptor sent an invalid frame.
    Frame(FrameError),
    /// The stream failed or ended.
    Io(io::Error),
}

impl From<io::Error> for HandshakeError {
    fn from(err: io::Error) -> HandshakeError {
        HandshakeError::Io(err)
    }
}

/// The dialer's side: returns the port that accepted.
///
/// The bytes `first` follow the Hello in the same write, and so in the same datagrams if
/// they fit. A refused dial loses them.
///
/// Waits for the first reply until `deadline`. After Waiting, it waits for the decision
/// without a limit: the transport detects an acceptor that is gone.
///
/// # Cancel safety
///
/// If the future is dropped before it succeeds, the acceptor may have its end already, and
/// the stream cannot be used any more: reset it.
pub(crate) async fn dial<R, W>(
    reader: &mut R,
    writer: &mut W,
    hello: &Hello,
    first: &[u8],
    deadline: Instant,
) -> Result<u16, HandshakeError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let frame = hello.encode(first);
    // Without errors: why the stream ended is what the reader finds.
    let mut sending = pin!(async {
        let sent = writer.write_all(&frame).await.is_ok() && writer.flush().await.is_ok();
        tracing::debug!(sent, "hello sent");
    });
    let mut replied = pin!(async {
        let first = timeout_at(deadline, read_reply(reader)).await;
        match first.map_err(|_| HandshakeError::TimedOut)?? {
            Reply::Waiting => {
                tracing::debug!("the other side waits for an accept");
                read_reply(reader).await
            }
            reply => Ok(reply),
        }
    });
    let (reply, all_sent) = tokio::select! {
        biased;
        () = &mut sending => (replied.await?, true),
        reply = &mut replied => (reply?, false),
    };
    match reply {
        Reply::Accepted(port) => {
            if !all_sent {
                // The rest of the first bytes, which waits for space in a buffer.
                sending.await;
            }
            tracing::debug!(port, "accepted");
            Ok(port)
        }
        Reply::Refused(refusal) => Err(HandshakeError::Refused(refusal)),
        Reply::Waiting => Err(HandshakeError::Frame(FrameError::WaitingTwice)),
    }
}

async fn read_reply<R: AsyncRead + Unpin>(reader: &mut R) -> Result<Reply, HandshakeError> {
    let mut bytes = [0; MAX_REPLY];
    for length in 1..=MAX_REPLY {
        bytes[length - 1] = reader.read_u8().await?;
        match Reply::decode(&bytes[..length]) {
            Ok(Some(reply)) => return Ok(reply),
            Ok(None) => {}
            Err(err) => return Err(HandshakeError::Frame(err)),
        }
    }
    Err(HandshakeError::Frame(FrameError::Truncated))
}

/// What the acceptor reads from.
pub(crate) trait DialReader: AsyncRead + Unpin {
    /// Waits until the dialer has given up its dial, or is gone. Reads nothing: what has
    /// arrived belongs to the connection.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    fn given_up(&mut self) -> impl Future<Output = ()> + Send;
}

/// How the acceptor's side of a handshake ended.
#[derive(Debug)]
pub(crate) enum AcceptOutcome<A> {
    /// Accepted, and the reply is on its way.
    Connected(A),
    /// Refused, and whether the refusal was written and so should be delivered.
    /// Refusals that could not be written are counted, too.
    Refused(Refusal, bool),
    /// The first frame is invalid, and whether the refusal was written.
    Malformed(FrameError, bool),
    /// The dialer gave up, or is gone.
    Abandoned,
    /// The first frame did not arrive in time.
    NoFirstFrame,
    /// Accepted, but the reply could not be written in time.
    NotTold,
}

/// The acceptor's side.
///
/// `bound` limits how long the dialer may take for its first frame. `check` validates the
/// first frame; `decide` waits until a port accepts the dial, or refuses it. Names in the first
/// frame that are among the `known` ones are shared.
///
/// Writing the reply waits only if the stream's buffers are full; `bound` limits that, too.
///
/// # Cancel safety
///
/// If the future is dropped, the value that `decide` returned is dropped, too, and the
/// stream cannot be used any more: reset it.
pub(crate) async fn accept<R, W, A, F>(
    reader: &mut R,
    writer: &mut W,
    bound: Duration,
    known: &[Arc<str>],
    check: impl FnOnce(&Hello) -> Result<(), Refusal>,
    decide: impl FnOnce(Hello) -> F,
) -> AcceptOutcome<A>
where
    R: DialReader,
    W: AsyncWrite + Unpin,
    F: Future<Output = Result<(u16, A), Refusal>>,
{
    let hello = match timeout(bound, read_hello(reader, known)).await {
        Ok(Ok(hello)) => hello,
        Ok(Err(HelloError::Frame(err))) => {
            let refusal = match err {
                FrameError::Version(_) => Refusal::Version(VERSION),
                _ => Refusal::Malformed,
            };
            return AcceptOutcome::Malformed(err, refuse(writer, refusal, bound).await);
        }
        Ok(Err(HelloError::Io)) => return AcceptOutcome::Abandoned,
        Err(_) => return AcceptOutcome::NoFirstFrame,
    };
    if let Err(refusal) = check(&hello) {
        return AcceptOutcome::Refused(refusal, refuse(writer, refusal, bound).await);
    }
    let decided = tokio::select! {
        biased;
        () = reader.given_up() => return AcceptOutcome::Abandoned,
        decided = decide(hello) => decided,
        _ = keep_waiting(writer, WAITING_AFTER.min(bound / 3)) => return AcceptOutcome::Abandoned,
    };
    match decided {
        Ok((port, taken)) => match timeout(bound, send(writer, Reply::Accepted(port))).await {
            Ok(Ok(())) => AcceptOutcome::Connected(taken),
            Ok(Err(_)) => AcceptOutcome::Abandoned,
            Err(_) => AcceptOutcome::NotTold,
        },
        Err(refusal) => AcceptOutcome::Refused(refusal, refuse(writer, refusal, bound).await),
    }
}

enum HelloError {
    Io,
    Frame(FrameError),
}

async fn read_hello<R: AsyncRead + Unpin>(
    reader: &mut R,
    known: &[Arc<str>],
) -> Result<Hello, HelloError> {
    let io = |_: io::Error| HelloError::Io;
    // The version alone first: the frames of other versions may differ from the second
    // byte on.
    let version = reader.read_u8().await.map_err(io)?;
    if version != VERSION {
        return Err(HelloError::Frame(FrameError::Version(version)));
    }
    let mut length = [0; HEADER - 1];
    reader.read_exact(&mut length).await.map_err(io)?;
    let length = Hello::body_length(length).map_err(HelloError::Frame)?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).await.map_err(io)?;
    Hello::decode(&body, known).map_err(HelloError::Frame)
}

/// Sends Waiting once, after a while. Returns only if that fails.
async fn keep_waiting<W: AsyncWrite + Unpin>(writer: &mut W, after: Duration) -> io::Error {
    sleep(after).await;
    match send(writer, Reply::Waiting).await {
        Ok(()) => pending().await,
        Err(err) => err,
    }
}

async fn send<W: AsyncWrite + Unpin>(writer: &mut W, reply: Reply) -> io::Result<()> {
    writer.write_all(&reply.encode()).await?;
    writer.flush().await
}

/// Sends the refusal, and returns whether it was written in time.
async fn refuse<W>(writer: &mut W, refusal: Refusal, bound: Duration) -> bool
where
    W: AsyncWrite + Unpin,
{
    let sent = timeout(bound, send(writer, Reply::Refused(refusal))).await;
    matches!(sent, Ok(Ok(())))
}

#[cfg(test)]
#[path = "handshake/tests.rs"]
mod tests;
