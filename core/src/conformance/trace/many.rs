//! Many hosts that do everything at once, while it is recorded.
//!
//! Owns what they do. Never says what must hold of a trace: the parent does.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

use super::super::bed::{Bed, drop_after};
use super::Recorded;
use crate::{Conn, Host, Listener};

/// Numbers that are the same on every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }
}

const HOSTS: usize = 8;
const DIALS: usize = 24;

/// Eight hosts on three subnetworks dial each other at once, write, read, half-close, close, cut and give up. First
/// no dial is given up: then each accept has its dial.
pub async fn many_hosts_are_recorded(bed: &dyn Bed) {
    for gives_up in [false, true] {
        let recorded = Recorded::new(bed);
        let mut subnets = Vec::new();
        for _ in 0..3 {
            subnets.push(recorded.subnetwork().await);
        }
        let mut hosts = Vec::new();
        for number in 0..HOSTS {
            let host = subnets[number % 3].new_host(&format!("h{number}")).await;
            hosts.push(host.unwrap());
        }
        let mut servers = JoinSet::new();
        for (seed, host) in hosts.iter().enumerate() {
            servers.spawn(serve(host.listen(":1").unwrap(), seed as u64));
        }
        let mut dialers = JoinSet::new();
        for (seed, host) in hosts.iter().enumerate() {
            // Two tasks a host: their ports are taken by turns.
            for turn in 0..2 {
                dialers.spawn(dial(host.clone(), (seed * 2 + turn) as u64, gives_up));
            }
        }
        while let Some(done) = dialers.join_next().await {
            done.unwrap();
        }
        drop(hosts);
        for subnet in subnets {
            drop(subnet.close().await);
        }
        while let Some(done) = servers.join_next().await {
            done.unwrap();
        }
        recorded.merged("many hosts", gives_up);
    }
}

/// Accepts until its host goes down.
async fn serve(listener: Listener, seed: u64) {
    let mut numbers = Numbers(seed);
    let mut conns = JoinSet::new();
    while let Ok((conn, _)) = listener.accept().await {
        match numbers.below(7) {
            5.. => conns.spawn(echo(conn)),
            way => conns.spawn(end(conn, way)),
        };
    }
    drop(listener);
    while let Some(done) = conns.join_next().await {
        done.unwrap();
    }
}

async fn dial(host: Host, seed: u64, gives_up: bool) {
    let mut numbers = Numbers(seed + 1_000);
    for _ in 0..DIALS {
        let address = format!("h{}:1", numbers.below(HOSTS));
        let first = &b"first"[..numbers.below(2) * 5];
        let dial = Box::pin(host.dial_with(address, first));
        let dialed = match gives_up && numbers.below(3) == 0 {
            true => drop_after(numbers.below(3) + 1, dial).await,
            false => Some(dial.await),
        };
        // Over a network, one that is cut at once may be refused.
        if let Some(Ok(conn)) = dialed {
            match numbers.below(7) {
                5.. => both_ways(conn).await,
                way => end(conn, way).await,
            }
        }
        tokio::task::yield_now().await;
    }
}

/// Sends back what comes.
async fn echo(conn: Conn) {
    let (mut reader, mut writer) = conn.into_split();
    drop(tokio::io::copy(&mut reader, &mut writer).await);
}

/// Reads on one task while it writes on another: the answers may be there before the writes return.
async fn both_ways(conn: Conn) {
    let (mut reader, mut writer) = conn.into_split();
    let reading = tokio::spawn(async move { reader.read_to_end(&mut Vec::new()).await.is_ok() });
    drop(writer.write_all(b"a").await);
    drop(writer.write_all(b"few").await);
    drop(writer.shutdown().await);
    drop(reading.await);
}

/// Uses a connection in one of five ways. What the peer does meanwhile decides what fails.
async fn end(mut conn: Conn, way: usize) {
    let mut read = Vec::new();
    match way {
        0 => drop(conn),
        1 => conn.abort(),
        2 => {
            drop(conn.write_all(b"some").await);
            drop(conn.shutdown().await);
            drop(conn.read_to_end(&mut read).await);
        }
        3 => {
            let (mut reader, mut writer) = conn.into_split();
            drop(writer.write_all(b"some more").await);
            drop(writer);
            drop(reader.read_to_end(&mut read).await);
        }
        _ => {
            drop(conn.write_all(b"a").await);
            drop(conn.read(&mut [0; 4]).await);
            conn.close();
        }
    }
}
