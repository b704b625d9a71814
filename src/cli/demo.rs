//! `virtnet demo`: a short scenario on a real network, with every address predicted.
//!
//! Owns the scenario. The two subnetworks of this process share only the registry, like
//! two machines; their data goes through UDP sockets. Never starts a step before both
//! sides have finished the one before it, so that every run prints the same.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use virtnet::quic::Secret;
use virtnet::{Addr, Config, Conn, Host, Listener, OpError, SubNetwork};

use super::events::EventPrinter;
use super::exit::Exit;
use super::options::Options;
use super::session::{Signals, with_subnetworks};

/// How long the demo may take; it takes well under a second.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The bytes that go in each direction at the same time.
const LOAD: usize = 1 << 20;

pub(crate) async fn demo(options: Options, json: bool, signals: &mut Signals) -> Result<(), Exit> {
    let config = config(&options)?;
    let configs = vec![config.clone(), config];
    with_subnetworks(configs, signals, async |subnets, _| {
        match timeout(
            TIMEOUT,
            scenario(&subnets[0], &subnets[1], EventPrinter::new(json)),
        )
        .await
        {
            Ok(done) => done,
            Err(_) => Err(Exit::Failed(format!(
                "the demo did not end within {TIMEOUT:?}"
            ))),
        }
    })
    .await
}

fn config(options: &Options) -> Result<Config, Exit> {
    let mut config = options.config()?;
    if !options.sets_network() {
        // Two demos on one shared registry must not meet.
        let random = Secret::random().reveal();
        config = config.network(format!("demo-{}", &random[..8]));
    }
    if !options.sets_address() {
        config = config.bind("127.0.0.1:0");
    }
    if !options.has_credentials() {
        config = config.secret(Secret::random());
    }
    Ok(config)
}

async fn scenario(
    one: &SubNetwork,
    two: &SubNetwork,
    mut events: EventPrinter,
) -> Result<(), Exit> {
    let events = &mut events;
    events.heading("One subnetwork has host α, another has β and γ, like two machines.")?;
    let alpha = one.new_host("α").await?;
    events.host(&alpha, "α")?;
    let beta = two.new_host("β").await?;
    events.host(&beta, "β")?;
    let gamma = two.new_host("γ").await?;
    events.host(&gamma, "γ")?;

    events.heading("\nEvery listener and every end of a connection takes the lowest free port.")?;
    failing(events, &alpha, ":0", "α:1->α:0").await?;
    let first = alpha.listen("")?;
    events.listen(first.local_addr(), "α:1")?;
    failing(events, &alpha, ":0", "α:2->α:0").await?;
    let mut conn = connect(events, &beta, &first, ["β:1->α:1", "β:1->α:2"]).await?;
    let other = connect(events, &beta, &first, ["β:2->α:1", "β:2->α:3"]).await?;
    let second = alpha.listen(":0")?;
    events.listen(second.local_addr(), "α:4")?;
    let mut load = connect(events, &gamma, &second, ["γ:1->α:4", "γ:1->α:5"]).await?;
    failing(events, &gamma, "δ:1", "γ:2->δ:1").await?;

    events.heading("\nData goes both ways, and one direction can end before the other.")?;
    send(events, (&mut conn.0, &mut conn.1), "hello, α", "β:1->α:2").await?;
    send(events, (&mut conn.1, &mut conn.0), "hello, β", "α:2->β:1").await?;
    exchange(events, &mut load, ["γ:1->α:5", "α:5->γ:1"]).await?;
    half_close(events, (&mut conn.0, &mut conn.1), "β:1->α:2").await?;
    send(
        events,
        (&mut conn.1, &mut conn.0),
        "and good-bye",
        "α:2->β:1",
    )
    .await?;
    half_close(events, (&mut conn.1, &mut conn.0), "α:2->β:1").await?;

    events.heading("\nClosing frees the port, and the next connection takes it.")?;
    close(events, conn, ["β:1->α:2", "α:2->β:1"])?;
    let again = connect(events, &beta, &second, ["β:1->α:4", "β:1->α:2"]).await?;
    first.close();
    events.close(first.local_addr(), None, "α:1")?;
    failing(events, &beta, "α:1", "β:3->α:1").await?;
    close(events, other, ["β:2->α:3", "α:3->β:2"])?;
    close(events, load, ["γ:1->α:5", "α:5->γ:1"])?;
    close(events, again, ["β:1->α:2", "α:2->β:1"])?;
    events.summary()
}

/// A dial that must fail.
async fn failing(
    events: &mut EventPrinter,
    host: &Host,
    to: &str,
    predicted: &str,
) -> Result<(), Exit> {
    match host.dial(to).await {
        Ok(conn) => Err(Exit::Failed(format!(
            "dial {to}: expected an error, got {conn:?}"
        ))),
        Err(err) => events.error(&err, predicted),
    }
}

/// A dial and its accept.
async fn connect(
    events: &mut EventPrinter,
    host: &Host,
    listener: &Listener,
    predicted: [&str; 2],
) -> Result<(Conn, Conn), Exit> {
    let to: &Addr = listener.local_addr();
    let accept = async { Ok::<_, OpError>(listener.accept().await?.0) };
    let (dialed, accepted) = tokio::try_join!(host.dial(to), accept)?;
    events.accept(to, (&dialed, &accepted), predicted)?;
    Ok((dialed, accepted))
}

async fn send(
    events: &mut EventPrinter,
    (from, to): (&mut Conn, &mut Conn),
    text: &str,
    predicted: &str,
) -> Result<(), Exit> {
    from.write_all(text.as_bytes()).await?;
    events.write(from, text.len() as u64, predicted)?;
    let mut read = vec![0; text.len()];
    to.read_exact(&mut read).await?;
    same(text.as_bytes(), &read)?;
    events.read(to, text.len() as u64, predicted)
}

/// Sends more than the buffers hold, in both directions at once.
async fn exchange(
    events: &mut EventPrinter,
    conn: &mut (Conn, Conn),
    predicted: [&str; 2],
) -> Result<(), Exit> {
    let loads: [Vec<u8>; 2] = [31, 37].map(|step| (0..LOAD).map(|i| (i / step) as u8).collect());
    let mut got = [vec![0; LOAD], vec![0; LOAD]];
    {
        let (mut dialed_reader, mut dialed_writer) = tokio::io::split(&mut conn.0);
        let (mut accepted_reader, mut accepted_writer) = tokio::io::split(&mut conn.1);
        let [got_accepted, got_dialed] = &mut got;
        tokio::try_join!(
            dialed_writer.write_all(&loads[0]),
            accepted_writer.write_all(&loads[1]),
            accepted_reader.read_exact(got_accepted),
            dialed_reader.read_exact(got_dialed),
        )?;
    }
    let bytes = LOAD as u64;
    events.write(&conn.0, bytes, predicted[0])?;
    events.write(&conn.1, bytes, predicted[1])?;
    same(&loads[0], &got[0])?;
    events.read(&conn.1, bytes, predicted[0])?;
    same(&loads[1], &got[1])?;
    events.read(&conn.0, bytes, predicted[1])
}

/// Ends one direction; the other side reads end-of-file.
async fn half_close(
    events: &mut EventPrinter,
    (from, to): (&mut Conn, &mut Conn),
    predicted: &str,
) -> Result<(), Exit> {
    from.shutdown().await?;
    events.shutdown(from, predicted)?;
    let mut rest = Vec::new();
    to.read_to_end(&mut rest).await?;
    same(&[], &rest)?;
    events.end(to, predicted)
}

fn close(events: &EventPrinter, conn: (Conn, Conn), predicted: [&str; 2]) -> Result<(), Exit> {
    for (conn, predicted) in [(conn.0, predicted[0]), (conn.1, predicted[1])] {
        conn.close();
        events.close(conn.local_addr(), Some(conn.peer_addr()), predicted)?;
    }
    Ok(())
}

fn same(sent: &[u8], read: &[u8]) -> Result<(), Exit> {
    if sent == read {
        return Ok(());
    }
    Err(Exit::Failed(
        "expected to read the bytes that were written, got others".to_owned(),
    ))
}
