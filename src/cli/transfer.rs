//! `virtnet listen` and `virtnet dial`: connects a connection to stdin and stdout, as
//! netcat does.
//!
//! Owns when each direction ends. The end of stdin half-closes the connection, and the
//! peer's end-of-file ends stdout. A peer that has half-closed may still read, so stdin is
//! sent until it ends or a write reports that nobody reads. Never succeeds when data was
//! cut or lost. Never closes cleanly before both directions have ended: ending early
//! aborts the connection, so that the peer notices.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use virtnet::{Addr, Cause, Config, Conn, OpError, ReadHalf, WriteHalf};

use super::abort_on_drop::AbortOnDrop;
use super::exit::Exit;
use super::name::OwnName;
use super::options::Options;
use super::output::{print_stderr, stdout_failed};
use super::progress::Progress;
use super::session::{Signals, with_subnetworks};
use super::stdio::{CHUNK, Stdout, stdin};

/// How long closing may take to deliver the rest of the data, which QUIC buffers: a slow
/// link needs longer than the default. A dead peer is noticed earlier.
const DRAIN: Duration = Duration::from_secs(60);

pub(crate) async fn listen(
    options: Options,
    address: String,
    within: Duration,
    signals: &mut Signals,
) -> Result<(), Exit> {
    let at = Addr::parse(options.network()?, &address)?;
    with_subnetworks(vec![config(&options)?], signals, async |subnets, _| {
        let host = subnets[0].new_host_within(at.host(), within).await?;
        let listener = host.listen(&at)?;
        print_stderr(&format!("listening {}", listener.local_addr()));
        let (conn, _) = listener.accept().await?;
        drop(listener);
        print_stderr(&format!(
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
) -> Result<(), Exit> {
    // Check both before opening the network.
    let network = options.network()?;
    let from = OwnName::read(&network, from, "dial")?;
    let to = Addr::parse(network, &address)?;
    with_subnetworks(vec![config(&options)?], signals, async |subnets, _| {
        let host = from.host(&subnets[0], within).await?;
        let conn = host.dial(&to).await?;
        print_stderr(&format!(
            "connected {}->{}",
            conn.local_addr(),
            conn.peer_addr()
        ));
        transfer(conn).await
    })
    .await
}

fn config(options: &Options) -> Result<Config, Exit> {
    Ok(options
        .shared_config()?
        .tune(|quic| quic.drain_timeout(DRAIN)))
}

/// Why sending to the peer ended early.
enum SendError {
    Stdin(io::Error),
    Conn(io::Error),
}

impl From<SendError> for Exit {
    fn from(err: SendError) -> Exit {
        match err {
            SendError::Stdin(err) => Exit::Failed(format!("cannot read stdin: {err}")),
            SendError::Conn(err) => err.into(),
        }
    }
}

/// Moves bytes both ways until both directions have ended.
async fn transfer(conn: Conn) -> Result<(), Exit> {
    let mut conn = AbortOnDrop::new(conn);
    let (reader, writer) = conn.split();
    copy_both_ways(reader, writer).await?;
    conn.finish();
    Ok(())
}

async fn copy_both_ways(reader: ReadHalf<'_>, writer: WriteHalf<'_>) -> Result<(), Exit> {
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
                // The peer has stopped reading, but its data may still arrive.
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

async fn receive(mut reader: ReadHalf<'_>, progress: &Progress) -> Result<(), Exit> {
    let mut stdout = Stdout::start().map_err(|err| stdout_failed(&err))?;
    let ended = loop {
        let mut chunk = Vec::with_capacity(CHUNK);
        match reader.read_buf(&mut chunk).await {
            Ok(0) => break Ok(()),
            Ok(read) => {
                let written = stdout.write(chunk).await;
                written.map_err(|err| stdout_failed(&err))?;
                progress.received(read);
            }
            Err(err) => break Err(err),
        }
    };
    // Data that came before a cut is written as well.
    let finished = stdout.finish().await;
    ended?;
    finished.map_err(|err| stdout_failed(&err))
}

async fn send(mut writer: WriteHalf<'_>, progress: &Progress) -> Result<(), SendError> {
    let mut stdin = stdin().map_err(SendError::Stdin)?;
    while let Some(chunk) = stdin.recv().await {
        let chunk = chunk.map_err(SendError::Stdin)?;
        writer.write_all(&chunk).await.map_err(SendError::Conn)?;
        progress.sent(chunk.len());
    }
    writer.shutdown().await.map_err(SendError::Conn)
}
