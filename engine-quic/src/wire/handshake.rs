//! The handshake that turns a stream into a connection between two hosts.
//!
//! Owns the order of the frames, and the bounds on waiting for them. Generic
//! over the stream: never touches QUIC, and never closes what it is given.
//!
//! It has three legs, like TCP's. Only when the dialer's Confirm has arrived
//! does the acceptor hand its end over, and the dialer writes it in the very
//! poll in which its dial succeeds: a dial that is given up at any moment
//! before leaves no connection on the other side.

use std::future::{Future, pending};
use std::io;
use std::pin::pin;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use virtnet_core::Accept;

use crate::wire::frame::{CONFIRM, FrameError, HEADER, Hello, MAX_REPLY, Refusal, Reply, VERSION};

/// How long a decision may take before the dialer is told to go on waiting.
pub(crate) const WAITING_AFTER: Duration = Duration::from_secs(1);

/// Why a dial's handshake failed.
#[derive(Debug)]
pub(crate) enum DialError {
    /// No first reply before the deadline.
    TimedOut,
    /// The acceptor said no.
    Refused(Refusal),
    /// The acceptor sent what is no frame.
    Frame(FrameError),
    /// The stream broke, or ended.
    Io(io::Error),
}

impl From<io::Error> for DialError {
    fn from(err: io::Error) -> DialError {
        DialError::Io(err)
    }
}

/// The dialer's side: returns the port that accepted.
///
/// Up to the first reply it waits no longer than `deadline`. An acceptor that
/// replied that it is still deciding lives, and is waited for without bound:
/// the transport below notices when it no longer does.
///
/// # Cancel safety
///
/// When the future is dropped before it succeeded, no Confirm was written. The
/// stream is then of no use: reset it.
pub(crate) async fn dial<R, W>(
    reader: &mut R,
    writer: &mut W,
    hello: &Hello,
    deadline: Instant,
) -> Result<u16, DialError>
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
        .map_err(|_| DialError::TimedOut)??;
    if reply == Reply::Waiting {
        tracing::debug!("the other side waits for an accept");
        reply = read_reply(reader).await?;
    }
    match reply {
        Reply::Accepted(port) => {
            // One byte is written or not, never in part; and no flush, as
            // there must be no await between the write and the success.
            writer.write_all(&[CONFIRM]).await?;
            tracing::debug!(port, "accepted, and confirmed");
            Ok(port)
        }
        Reply::Refused(refusal) => Err(DialError::Refused(refusal)),
        Reply::Waiting => Err(DialError::Frame(FrameError::WaitingTwice)),
    }
}

async fn read_reply<R: AsyncRead + Unpin>(reader: &mut R) -> Result<Reply, DialError> {
    let mut bytes = [0; MAX_REPLY];
    for length in 1..=MAX_REPLY {
        bytes[length - 1] = reader.read_u8().await?;
        match Reply::decode(&bytes[..length]) {
            Ok(Some(reply)) => return Ok(reply),
            Ok(None) => {}
            Err(err) => return Err(DialError::Frame(err)),
        }
    }
    Err(DialError::Frame(FrameError::Truncated))
}

/// What the acceptor's decision yields: [`Accept`], or a stand-in in tests.
pub(crate) trait Taken {
    /// The accepting port.
    fn port(&self) -> u16;

    /// Waits until nobody waits for the connection any more.
    fn cancelled(&mut self) -> impl Future<Output = ()> + Send;
}

impl Taken for Accept {
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
    /// Both sides hold their end.
    Connected(A),
    /// The dialer holds its end, but nobody waits for the other any more: cut it.
    Orphaned,
    /// It is refused. Whether that was written, and is to be delivered: a peer
    /// that does not listen is to be counted, too.
    Refused(Refusal, bool),
    /// The first frame is none; and whether the refusal that says so was written.
    Malformed(FrameError, bool),
    /// The dialer broke the order of the frames.
    Violation,
    /// The dialer went away.
    Abandoned,
    /// The first frame did not come in time.
    NoFirstFrame,
    /// The Confirm did not come in time.
    NotConfirmed,
}

/// The acceptor's side.
///
/// `bound` is how long the dialer may take for its first frame, and again for
/// its Confirm. `check` looks at the first frame, `decide` waits until the
/// connection is taken.
///
/// # Cancel safety
///
/// When the future is dropped, what `decide` yielded is dropped with it. The
/// stream is then of no use: reset it.
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
    A: Taken,
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
        gone = silence(reader) => return gone,
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
    // The version alone first: another version's frame may look different
    // from the second byte on.
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

/// Ends when the dialer, whose turn it is not, does something.
async fn silence<R: AsyncRead + Unpin, A>(reader: &mut R) -> AcceptOutcome<A> {
    match reader.read(&mut [0]).await {
        Ok(0) | Err(_) => AcceptOutcome::Abandoned,
        Ok(_) => AcceptOutcome::Violation,
    }
}

/// Tells the dialer once that its peer lives. Ends only when that fails.
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

/// Whether the refusal was written.
async fn refuse<W>(writer: &mut W, refusal: Refusal, bound: Duration) -> bool
where
    W: AsyncWrite + Unpin,
{
    let told = timeout(bound, send(writer, Reply::Refused(refusal))).await;
    matches!(told, Ok(Ok(())))
}

/// The third leg: says which port accepted, and waits for the Confirm.
async fn confirm<R, W, A>(
    reader: &mut R,
    writer: &mut W,
    mut taken: A,
    bound: Duration,
) -> AcceptOutcome<A>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
    A: Taken,
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
            // The port is free at once. The dialer may hold its end by now, and is to
            // see it cut then; until it says so, its dial is not to fail for that.
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
