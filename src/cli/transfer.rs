//! `virtnet listen` and `virtnet dial`: one connection joined to stdin and
//! stdout, as netcat does.
//!
//! Owns what ends when. Each direction ends by itself: the end of stdin
//! half-closes the connection, and the peer's end-of-file ends stdout. A peer
//! that sends no more may still read, so stdin goes on being sent until it ends
//! or a write reports that nobody reads. Never ends with success when anything
//! was cut or lost, and never in order before both directions have ended: whatever
//! ends it early cuts the connection, so that the peer knows.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use virtnet::{Addr, Cause, Config, Conn, OpError, ReadHalf, WriteHalf};

use super::copy::Copy;
use super::end::{End, say, stdout_failed};
use super::name::OwnName;
use super::options::Options;
use super::progress::Progress;
use super::session::{Signals, with_subnetworks};
use super::stdio::{PIECE, Stdout, stdin};

/// How long closing may take to deliver the last of it, which is what fits into
/// QUIC's buffers: a slow link needs longer than a test's. A peer that is gone
/// is noticed before.
const DRAIN: Duration = Duration::from_secs(60);

pub(crate) async fn listen(
    options: Options,
    address: String,
    within: Duration,
    signals: &mut Signals,
) -> Result<(), End> {
    let at = Addr::parse(options.network()?, &address)?;
    with_subnetworks(vec![config(&options)?], signals, async |subnets, _| {
        let host = subnets[0].new_host_within(at.host(), within).await?;
        let listener = host.listen(&at)?;
        say(&format!("listening {}", listener.local_addr()));
        let (conn, _) = listener.accept().await?;
        drop(listener);
        say(&format!(
            "connected {}->{}",
            conn.peer_addr(),
            conn.local_addr()
        ));
        transfer(conn).await
    })
    .await
}

pub(crate) async fn dial(
    options: Options,
    (from, within): (Option<&str>, Duration),
    address: String,
    signals: &mut Signals,
) -> Result<(), End> {
    // Both are checked before anything is joined.
    let network = options.network()?;
    let from = OwnName::read(&network, from, "dial")?;
    let to = Addr::parse(network, &address)?;
    with_subnetworks(vec![config(&options)?], signals, async |subnets, _| {
        let host = from.host(&subnets[0], within).await?;
        let conn = host.dial(&to).await?;
        say(&format!(
            "connected {}->{}",
            conn.local_addr(),
            conn.peer_addr()
        ));
        transfer(conn).await
    })
    .await
}

fn config(options: &Options) -> Result<Config, End> {
    Ok(options
        .shared_config()?
        .tune(|quic| quic.drain_timeout(DRAIN)))
}

/// Why the direction to the peer ended early.
enum SendError {
    Stdin(io::Error),
    Conn(io::Error),
}

impl From<SendError> for End {
    fn from(err: SendError) -> End {
        match err {
            SendError::Stdin(err) => End::Failed(format!("cannot read stdin: {err}")),
            SendError::Conn(err) => err.into(),
        }
    }
}

/// Moves bytes both ways until both directions have ended.
async fn transfer(conn: Conn) -> Result<(), End> {
    let mut copy = Copy::of(conn);
    let (reader, writer) = copy.split();
    both(reader, writer).await?;
    copy.end_whole();
    Ok(())
}

async fn both(reader: ReadHalf<'_>, writer: WriteHalf<'_>) -> Result<(), End> {
    let progress = Progress::new();
    let mut receiving = Box::pin(receive(reader, &progress));
    let mut sending = Box::pin(send(writer, &progress));
    tokio::select! {
        received = &mut receiving => {
            received?;
            Ok(sending.await?)
        }
        sent = &mut sending => match sent {
            Err(SendError::Conn(err)) if broken_pipe(&err) => {
                // It reads no more, but what it wrote is still to come.
                receiving.await?;
                Err(err.into())
            }
            Err(err) => Err(err.into()),
            Ok(()) => receiving.await,
        },
    }
}

fn broken_pipe(err: &io::Error) -> bool {
    OpError::of(err).is_some_and(|err| err.cause() == Cause::BrokenPipe)
}

async fn receive(mut reader: ReadHalf<'_>, progress: &Progress) -> Result<(), End> {
    let mut stdout = Stdout::start().map_err(|err| stdout_failed(&err))?;
    let ended = loop {
        let mut piece = Vec::with_capacity(PIECE);
        match reader.read_buf(&mut piece).await {
            Ok(0) => break Ok(()),
            Ok(read) => {
                let written = stdout.write(piece).await;
                written.map_err(|err| stdout_failed(&err))?;
                progress.received(read);
            }
            Err(err) => break Err(err),
        }
    };
    // What came before a cut is shown as well.
    let finished = stdout.finish().await;
    ended?;
    finished.map_err(|err| stdout_failed(&err))
}

async fn send(mut writer: WriteHalf<'_>, progress: &Progress) -> Result<(), SendError> {
    let mut stdin = stdin().map_err(SendError::Stdin)?;
    while let Some(piece) = stdin.recv().await {
        let piece = piece.map_err(SendError::Stdin)?;
        writer.write_all(&piece).await.map_err(SendError::Conn)?;
        progress.sent(piece.len());
    }
    writer.shutdown().await.map_err(SendError::Conn)
}
