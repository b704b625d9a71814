//! TCP through a relay that delays what it carries, as a user would put between two programs.
//!
//! Owns the relay: a task for each direction, which keeps every chunk for as long. Never
//! limits what waits in it: a relay with a limit would limit the rate.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::tcp::{Tcp, TcpClient};
use super::{CALL, Client, Contender, Server, serve};
use crate::spec::Spec;

/// A client of a TCP server behind a relay. What the client sends is delayed.
pub async fn behind_relay(spec: &Spec, delay: Duration) -> Result<TcpClient> {
    let (server, addr) = <Tcp as Contender>::Server::start(spec).await?;
    serve::<Tcp>(spec, server);
    let relay = start(addr.parse()?, delay, Duration::ZERO).await?;
    TcpClient::join(spec, &relay.to_string()).await
}

/// Starts a relay to `addr`, with a delay for what goes there and one for what comes back.
/// Returns its address.
pub async fn start(addr: SocketAddr, there: Duration, back: Duration) -> Result<SocketAddr> {
    let relay = TcpListener::bind((addr.ip(), 0)).await?;
    let local = relay.local_addr()?;
    let task = async move {
        while let Ok((near, _)) = relay.accept().await {
            let far = TcpStream::connect(addr).await?;
            near.set_nodelay(true)?;
            far.set_nodelay(true)?;
            let ((from_near, to_near), (from_far, to_far)) = (near.into_split(), far.into_split());
            tokio::spawn(delayed(from_near, to_far, there));
            tokio::spawn(delayed(from_far, to_near, back));
        }
        anyhow::Ok(())
    };
    tokio::spawn(async move {
        if let Err(err) = task.await {
            eprintln!("the relay ended: {err:#}");
        }
    });
    Ok(local)
}

async fn delayed(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, delay: Duration) -> Result<()> {
    let (sender, mut chunks) = mpsc::unbounded_channel::<(Instant, Arc<[u8]>)>();
    let reading = async move {
        let mut buffer = vec![0; CALL];
        loop {
            let read = from.read(&mut buffer).await?;
            let chunk = (Instant::now() + delay, Arc::from(&buffer[..read]));
            if read == 0 || sender.send(chunk).is_err() {
                return anyhow::Ok(());
            }
        }
    };
    let writing = async move {
        while let Some((at, chunk)) = chunks.recv().await {
            // Whoever waits for nothing does not need a timer.
            if !delay.is_zero() {
                sleep_until(at).await;
            }
            to.write_all(&chunk).await?;
        }
        anyhow::Ok(to.shutdown().await?)
    };
    tokio::try_join!(reading, writing).map(drop)
}
