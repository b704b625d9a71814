//! The handshake that turns a stream into a connection between two hosts.
//!
//! Owns the order of the frames, and the timeouts of waiting for them. Generic over
//! the stream: never depends on QUIC, and never closes the stream.
//!
//! It is a three-way handshake, like TCP's. The acceptor hands over its end only when
//! the dialer's Confirm has arrived, and the dialer writes the Confirm in the same
//! poll in which its dial succeeds. So a dial that is cancelled at any time before
//! leaves no connection on the other side.

use std::future::{Future, pending};
use std::io;
use std::pin::pin;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use virtnet_core::Accept;

use crate::wire::frame::{CONFIRM, FrameError, HEADER, Hello, MAX_REPLY, Refusal, Reply, VERSION};

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
/// Waits for the first reply until `deadline`. After Waiting, it waits for the
/// decision without a limit: the transport detects an acceptor that is gone.
///
/// # Cancel safety
///
/// If the future is dropped before it succeeds, no Confirm was written, and the
/// stream cannot be used any more: reset it.
pub(crate) async fn dial<R, W>(
    reader: &mut R,
    writer: &mut W,
    hello: &Hello,
    deadline: Instant,
) -> Result<u16, HandshakeError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let frame = hello.encode();
    let first = async {
        writer.write_all(&frame).await?;
        writer.flush().await?;
        tracing::debug!("hello sent");
        read_reply(reader).await
    };
    let mut reply = timeout_at(deadline, first)
        .await
        .map_err(|_| HandshakeError::TimedOut)??;
    if reply == Reply::Waiting {
        tracing::debug!("the other side waits for an accept");
        reply = read_reply(reader).await?;
    }
    match reply {
        Reply::Accepted(port) => {
            // One byte cannot be written in part. No flush: there must be no await between
            // the write and the success.
            writer.write_all(&[CONFIRM]).await?;
            tracing::debug!(port, "accepted, and confirmed");
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

/// A port that accepts a dial, until the dial is confirmed: [`Accept`], or a
/// substitute in tests.
pub(crate) trait AcceptHandle {
    /// The accepting port.
    fn port(&self) -> u16;

    /// Waits until the accept is cancelled, so the connection is not wanted any more.
    fn cancelled(&mut self) -> impl Future<Output = ()> + Send;
}

impl AcceptHandle for Accept {
    fn port(&self) -> u16 {
        self.addr().port()
    }

    fn cancelled(&mut self) -> impl Future<Output = ()> + Send {
        Accept::cancelled(self)
    }
}

/// How the acceptor's side of a handshake ended.
#[derive(Debug)]
pub(crate) enum AcceptOutcome<A> {
    /// Both sides have their ends.
    Connected(A),
    /// The dialer has its end, but the accept was cancelled: cut the connection.
    Orphaned,
    /// Refused, and whether the refusal was written and so should be delivered.
    /// Refusals that could not be written are counted, too.
    Refused(Refusal, bool),
    /// The first frame is invalid, and whether the refusal was written.
    Malformed(FrameError, bool),
    /// The dialer violated the order of the frames.
    Violation,
    /// The dialer ended or reset the stream.
    Abandoned,
    /// The first frame did not arrive in time.
    NoFirstFrame,
    /// The Confirm did not arrive in time.
    NotConfirmed,
}

/// The acceptor's side.
///
/// `bound` limits how long the dialer may take for its first frame, and again for its
/// Confirm. `check` validates the first frame; `decide` waits until a port accepts the
/// dial, or refuses it.
///
/// # Cancel safety
///
/// If the future is dropped, the value that `decide` returned is dropped, too, and the
/// stream cannot be used any more: reset it.
pub(crate) async fn accept<R, W, A, F>(
    reader: &mut R,
    writer: &mut W,
    bound: Duration,
    check: impl FnOnce(&Hello) -> Result<(), Refusal>,
    decide: impl FnOnce(Hello) -> F,
) -> AcceptOutcome<A>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
    A: AcceptHandle,
    F: Future<Output = Result<A, Refusal>>,
{
    let hello = match timeout(bound, read_hello(reader)).await {
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
        gone = out_of_turn(reader) => return gone,
        decided = decide(hello) => decided,
        _ = keep_waiting(writer) => return AcceptOutcome::Abandoned,
    };
    match decided {
        Ok(taken) => confirm(reader, writer, taken, bound).await,
        Err(refusal) => AcceptOutcome::Refused(refusal, refuse(writer, refusal, bound).await),
    }
}

enum HelloError {
    Io,
    Frame(FrameError),
}

async fn read_hello<R: AsyncRead + Unpin>(reader: &mut R) -> Result<Hello, HelloError> {
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
    Hello::decode(&body).map_err(HelloError::Frame)
}

/// Waits until the dialer sends something out of turn, or ends the stream.
async fn out_of_turn<R: AsyncRead + Unpin, A>(reader: &mut R) -> AcceptOutcome<A> {
    match reader.read(&mut [0]).await {
        Ok(0) | Err(_) => AcceptOutcome::Abandoned,
        Ok(_) => AcceptOutcome::Violation,
    }
}

/// Sends Waiting once, after a while. Returns only if that fails.
async fn keep_waiting<W: AsyncWrite + Unpin>(writer: &mut W) -> io::Error {
    sleep(WAITING_AFTER).await;
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

/// Sends which port accepted, and waits for the Confirm.
async fn confirm<R, W, A>(
    reader: &mut R,
    writer: &mut W,
    mut taken: A,
    bound: Duration,
) -> AcceptOutcome<A>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
    A: AcceptHandle,
{
    let accepted = Reply::Accepted(taken.port());
    let mut confirmed = pin!(timeout(bound, async {
        send(writer, accepted).await?;
        reader.read_u8().await
    }));
    let (taken, confirmed) = tokio::select! {
        biased;
        confirmed = &mut confirmed => (Some(taken), confirmed),
        () = taken.cancelled() => {
            // Frees the port at once. The dialer may have its end already and then must
            // see it cut. So wait for the Confirm instead of failing the dial.
            drop(taken);
            (None, confirmed.await)
        }
    };
    match (confirmed, taken) {
        (Ok(Ok(CONFIRM)), Some(taken)) => AcceptOutcome::Connected(taken),
        (Ok(Ok(CONFIRM)), None) => AcceptOutcome::Orphaned,
        (Ok(Ok(_)), _) => AcceptOutcome::Violation,
        (Ok(Err(_)), _) => AcceptOutcome::Abandoned,
        (Err(_), _) => AcceptOutcome::NotConfirmed,
    }
}

#[cfg(test)]
#[path = "handshake/tests.rs"]
mod tests;
