//! `virtnet echo`: a host that sends back all data.
//!
//! Owns the service, one task per connection, and the lines about connections. Never ends
//! by itself, unless its host can no longer accept.

use std::io;
use std::time::Duration;

use tokio::io::BufReader;
use virtnet::{Addr, Conn};

use super::abort_on_drop::AbortOnDrop;
use super::exit::{Exit, one_line};
use super::options::Options;
use super::output::print;
use super::session::{Signals, with_subnetworks};

/// The buffer of one connection, in bytes.
const BUFFER: usize = 64 * 1024;

pub(crate) async fn echo(
    options: Options,
    address: String,
    within: Duration,
    signals: &mut Signals,
) -> Result<(), Exit> {
    let at = Addr::parse(options.network()?, &address)?;
    with_subnetworks(
        vec![options.shared_config()?],
        signals,
        async |subnets, echoes| {
            let host = subnets[0].new_host_within(at.host(), within).await?;
            let listener = host.listen(&at)?;
            print(&format!("listening {}", listener.local_addr()))?;
            loop {
                // Not in a select!: dropping an accept loses the connection that it was
                // accepting.
                let (conn, _) = listener.accept().await?;
                while let Some(served) = echoes.try_join_next() {
                    // A panic is a defect: it must not be hidden.
                    served.unwrap_or_else(|err| std::panic::resume_unwind(err.into_panic()))?;
                }
                echoes.spawn(serve(conn));
            }
        },
    )
    .await
}

/// Sends data back until the peer half-closes, and prints how the connection ended.
async fn serve(conn: Conn) -> Result<(), Exit> {
    let ends = format!("{}->{}", conn.peer_addr(), conn.local_addr());
    print(&format!("connected {ends}"))?;
    // Closes the connection before printing, and before the peer sees the end: in both
    // cases the port is free by then.
    match send_back(conn).await {
        Ok(bytes) => print(&format!("ended {ends} after {bytes} bytes")),
        Err(err) => print(&format!("cut {ends}: {}", one_line(&err))),
    }
}

async fn send_back(conn: Conn) -> io::Result<u64> {
    let mut conn = AbortOnDrop::new(conn);
    let (reader, mut writer) = conn.split();
    let mut reader = BufReader::with_capacity(BUFFER, reader);
    let bytes = tokio::io::copy_buf(&mut reader, &mut writer).await?;
    conn.finish();
    Ok(bytes)
}
