//! `virtnet demo`: a small story on a real network, with every address foretold.
//!
//! Owns the story. Two subnetworks live in this process as they would on two
//! machines: all that they share is the registry, and what they say to each
//! other goes through UDP sockets. Never goes on to the next step before the
//! one before it is done on both sides, so every run prints the same.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use virtnet::quic::Secret;
use virtnet::{Addr, Config, Conn, Host, Listener, OpError, SubNetwork};

use super::end::End;
use super::events::Stage;
use super::options::Options;
use super::session::{Signals, with_subnetworks};

/// How long all of it may take; it takes well under a second.
const BOUND: Duration = Duration::from_secs(60);

/// What goes both ways at the same time.
const LOAD: usize = 1 << 20;

pub(crate) async fn demo(options: Options, json: bool, signals: &mut Signals) -> Result<(), End> {
    let config = config(&options)?;
    let configs = vec![config.clone(), config];
    with_subnetworks(configs, signals, async |subnets, _| {
        match timeout(BOUND, story(&subnets[0], &subnets[1], Stage::new(json))).await {
            Ok(told) => told,
            Err(_) => Err(End::Failed(format!(
                "the demonstration did not end within {BOUND:?}"
            ))),
        }
    })
    .await
}

fn config(options: &Options) -> Result<Config, End> {
    let mut config = options.config()?;
    if !options.names_network() {
        // On a registry that others use, two demonstrations must not meet.
        let random = Secret::random().reveal();
        config = config.network(format!("demo-{}", &random[..8]));
    }
    if !options.names_place() {
        config = config.bind("127.0.0.1:0");
    }
    if !options.has_proof() {
        config = config.secret(Secret::random());
    }
    Ok(config)
}

async fn story(one: &SubNetwork, two: &SubNetwork, mut stage: Stage) -> Result<(), End> {
    let stage = &mut stage;
    stage.say("One subnetwork has host α, another one β and γ, as two machines would.")?;
    let alpha = one.new_host("α").await?;
    stage.host(&alpha, "α")?;
    let beta = two.new_host("β").await?;
    stage.host(&beta, "β")?;
    let gamma = two.new_host("γ").await?;
    stage.host(&gamma, "γ")?;

    stage.say("\nEvery listener and every end of a connection has the lowest free port.")?;
    failing(stage, &alpha, ":0", "α:1->α:0").await?;
    let first = alpha.listen("")?;
    stage.listen(first.local_addr(), "α:1")?;
    failing(stage, &alpha, ":0", "α:2->α:0").await?;
    let mut conn = connect(stage, &beta, &first, ["β:1->α:1", "β:1->α:2"]).await?;
    let other = connect(stage, &beta, &first, ["β:2->α:1", "β:2->α:3"]).await?;
    let second = alpha.listen(":0")?;
    stage.listen(second.local_addr(), "α:4")?;
    let mut load = connect(stage, &gamma, &second, ["γ:1->α:4", "γ:1->α:5"]).await?;
    failing(stage, &gamma, "δ:1", "γ:2->δ:1").await?;

    stage.say("\nData goes both ways, and one direction can end before the other.")?;
    send(stage, (&mut conn.0, &mut conn.1), "hello, α", "β:1->α:2").await?;
    send(stage, (&mut conn.1, &mut conn.0), "hello, β", "α:2->β:1").await?;
    exchange(stage, &mut load, ["γ:1->α:5", "α:5->γ:1"]).await?;
    half_close(stage, (&mut conn.0, &mut conn.1), "β:1->α:2").await?;
    send(
        stage,
        (&mut conn.1, &mut conn.0),
        "and good-bye",
        "α:2->β:1",
    )
    .await?;
    half_close(stage, (&mut conn.1, &mut conn.0), "α:2->β:1").await?;

    stage.say("\nWhat is closed gives its port back, and the next one takes it.")?;
    close(stage, conn, ["β:1->α:2", "α:2->β:1"])?;
    let again = connect(stage, &beta, &second, ["β:1->α:4", "β:1->α:2"]).await?;
    first.close();
    stage.close(first.local_addr(), None, "α:1")?;
    failing(stage, &beta, "α:1", "β:3->α:1").await?;
    close(stage, other, ["β:2->α:3", "α:3->β:2"])?;
    close(stage, load, ["γ:1->α:5", "α:5->γ:1"])?;
    close(stage, again, ["β:1->α:2", "α:2->β:1"])?;
    stage.summary()
}

/// A dial that must come to nothing.
async fn failing(stage: &mut Stage, host: &Host, to: &str, predicted: &str) -> Result<(), End> {
    match host.dial(to).await {
        Ok(conn) => Err(End::Failed(format!(
            "not as predicted: {conn:?} was accepted"
        ))),
        Err(err) => stage.error(&err, predicted),
    }
}

/// A dial and its accept, which only succeed together.
async fn connect(
    stage: &mut Stage,
    host: &Host,
    listener: &Listener,
    predicted: [&str; 2],
) -> Result<(Conn, Conn), End> {
    let to: &Addr = listener.local_addr();
    let accept = async { Ok::<_, OpError>(listener.accept().await?.0) };
    let (dialed, accepted) = tokio::try_join!(host.dial(to), accept)?;
    stage.accept(to, (&dialed, &accepted), predicted)?;
    Ok((dialed, accepted))
}

async fn send(
    stage: &mut Stage,
    (from, to): (&mut Conn, &mut Conn),
    text: &str,
    predicted: &str,
) -> Result<(), End> {
    from.write_all(text.as_bytes()).await?;
    stage.write(from, text.len() as u64, predicted)?;
    let mut read = vec![0; text.len()];
    to.read_exact(&mut read).await?;
    same(text.as_bytes(), &read)?;
    stage.read(to, text.len() as u64, predicted)
}

/// A load that is larger than what is buffered under way, in both directions.
async fn exchange(
    stage: &mut Stage,
    conn: &mut (Conn, Conn),
    predicted: [&str; 2],
) -> Result<(), End> {
    let loads: [Vec<u8>; 2] = [31, 37].map(|step| (0..LOAD).map(|i| (i / step) as u8).collect());
    let mut got = [vec![0; LOAD], vec![0; LOAD]];
    {
        let (mut read_there, mut write_there) = tokio::io::split(&mut conn.0);
        let (mut read_here, mut write_here) = tokio::io::split(&mut conn.1);
        let [got_here, got_there] = &mut got;
        tokio::try_join!(
            write_there.write_all(&loads[0]),
            write_here.write_all(&loads[1]),
            read_here.read_exact(got_here),
            read_there.read_exact(got_there),
        )?;
    }
    let bytes = LOAD as u64;
    stage.write(&conn.0, bytes, predicted[0])?;
    stage.write(&conn.1, bytes, predicted[1])?;
    same(&loads[0], &got[0])?;
    stage.read(&conn.1, bytes, predicted[0])?;
    same(&loads[1], &got[1])?;
    stage.read(&conn.0, bytes, predicted[1])
}

/// Ends one direction, which the other side reads as end-of-file.
async fn half_close(
    stage: &mut Stage,
    (from, to): (&mut Conn, &mut Conn),
    predicted: &str,
) -> Result<(), End> {
    from.shutdown().await?;
    stage.shutdown(from, predicted)?;
    let mut rest = Vec::new();
    to.read_to_end(&mut rest).await?;
    same(&[], &rest)?;
    stage.end(to, predicted)
}

fn close(stage: &Stage, conn: (Conn, Conn), predicted: [&str; 2]) -> Result<(), End> {
    for (conn, predicted) in [(conn.0, predicted[0]), (conn.1, predicted[1])] {
        conn.close();
        stage.close(conn.local_addr(), Some(conn.peer_addr()), predicted)?;
    }
    Ok(())
}

fn same(sent: &[u8], read: &[u8]) -> Result<(), End> {
    if sent == read {
        return Ok(());
    }
    Err(End::Failed(
        "not as predicted: what was read is not what was written".to_owned(),
    ))
}
