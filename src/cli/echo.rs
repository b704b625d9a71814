//! `virtnet echo`: a host that sends back what it is sent.
//!
//! Owns the service, one task a connection, and the lines that say what comes
//! and goes. Never ends by itself, but when its host can accept no more.

use std::io;
use std::time::Duration;

use tokio::io::BufReader;
use virtnet::{Addr, Conn};

use super::copy::Copy;
use super::end::{End, one_line, print};
use super::options::Options;
use super::session::{Signals, with_subnetworks};

/// Bytes that one connection may hold here.
const BUFFER: usize = 64 * 1024;

pub(crate) async fn echo(
    options: Options,
    address: String,
    within: Duration,
    signals: &mut Signals,
) -> Result<(), End> {
    let at = Addr::parse(options.network()?, &address)?;
    with_subnetworks(
        vec![options.shared_config()?],
        signals,
        async |subnets, echoes| {
            let host = subnets[0].new_host_within(at.host(), within).await?;
            let listener = host.listen(&at)?;
            print(&format!("listening {}", listener.local_addr()))?;
            loop {
                // Not within a select!: an accept that is dropped loses the connection
                // that it was taking.
                let (conn, _) = listener.accept().await?;
                while let Some(served) = echoes.try_join_next() {
                    // A task that panicked is a defect, and not hidden.
                    served.unwrap_or_else(|err| std::panic::resume_unwind(err.into_panic()))?;
                }
                echoes.spawn(serve(conn));
            }
        },
    )
    .await
}

/// Echoes until the peer sends no more, and says so.
async fn serve(conn: Conn) -> Result<(), End> {
    let ends = format!("{}->{}", conn.peer_addr(), conn.local_addr());
    print(&format!("connected {ends}"))?;
    // The connection is closed before it is said, and all of it before the peer
    // sees the end: whoever sees either finds the port free.
    match send_back(conn).await {
        Ok(bytes) => print(&format!("ended {ends} after {bytes} bytes")),
        Err(err) => print(&format!("cut {ends}: {}", one_line(&err))),
    }
}

async fn send_back(conn: Conn) -> io::Result<u64> {
    let mut copy = Copy::of(conn);
    let (reader, mut writer) = copy.split();
    let mut reader = BufReader::with_capacity(BUFFER, reader);
    let bytes = tokio::io::copy_buf(&mut reader, &mut writer).await?;
    copy.end_whole();
    Ok(bytes)
}
