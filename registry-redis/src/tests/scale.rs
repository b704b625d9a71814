//! Tests of cost: many hosts in one process, many networks on one server, and a call compared
//! with a bare round trip. They print measurements, and fail only if these are far off.

use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::Pipeline;
use tokio::task::JoinSet;
use virtnet_core::Registry;

use crate::lease::script::{LeaseRequest, Owner};
use crate::options::RedisOptions;
use crate::registry::RedisRegistry;
use crate::schema::keys::Keys;
use virtnet_testkit::redis::RedisServer;

const ADDR: &str = "10.0.0.2:4433";

async fn join(server: &RedisServer, network: &str) -> RedisRegistry {
    let options = RedisOptions::default();
    let joined = RedisRegistry::connect(&server.url(), network, options).await;
    joined.unwrap_or_else(|err| panic!("{err}"))
}

/// How many scripts the server ran, and for how many microseconds.
fn scripts(server: &RedisServer) -> (f64, f64) {
    let stats = server.command(&["INFO", "commandstats"]).remove(0);
    let line = stats.lines().find(|line| line.starts_with("cmdstat_eval:"));
    let fields: Vec<_> = line.unwrap_or_default().split(['=', ',']).collect();
    let number = |at: usize| fields.get(at).and_then(|field| field.parse().ok());
    (number(1).unwrap_or(0.0), number(3).unwrap_or(0.0))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_hosts_of_one_process() {
    const HOSTS: usize = 10_000;
    const AT_ONCE: usize = 200;
    const RENEWALS: u32 = 10;
    let server = RedisServer::start();
    let registry = Arc::new(join(&server, "n").await);
    let begin = Instant::now();
    let mut announcing = JoinSet::new();
    for n in 0..HOSTS {
        let registry = Arc::clone(&registry);
        announcing.spawn(async move { registry.announce(&format!("host-{n}"), ADDR).await });
        if announcing.len() == AT_ONCE {
            announcing.join_next().await.unwrap().unwrap().unwrap();
        }
    }
    for announced in announcing.join_all().await {
        announced.unwrap();
    }
    let announced = begin.elapsed();

    let before = scripts(&server);
    let begin = Instant::now();
    for _ in 0..RENEWALS {
        registry.inner.renew().await.unwrap();
    }
    let renewal = begin.elapsed() / RENEWALS;
    let after = scripts(&server);
    let commands = (after.0 - before.0) / f64::from(RENEWALS);
    let busy = (after.1 - before.1) / f64::from(RENEWALS) / 1_000.0;
    let longest = (after.1 - before.1) / (after.0 - before.0) / 1_000.0;
    let interval = RedisOptions::default().renewal.as_secs_f64();
    assert!(renewal < RedisOptions::default().deadline, "{renewal:?}");

    let begin = Instant::now();
    let listing = registry.listing().await.unwrap();
    let listed = begin.elapsed();
    assert_eq!(listing.hosts.len(), HOSTS);
    assert!((0..HOSTS).all(|n| registry.holds(&format!("host-{n}"))));
    let begin = Instant::now();
    registry.close().await.unwrap();
    let closed = begin.elapsed();
    assert_eq!(server.keys(), [""; 0]);
    println!(
        "{HOSTS} hosts of one process: announced in {announced:.1?} ({AT_ONCE} at once); a \
         renewal takes {renewal:.1?}, {commands} commands in one round trip, that is {:.1} \
         commands/s, {busy:.1} ms of the server, {longest:.2} ms each; listed in {listed:.1?}, \
         freed in {closed:.1?}",
        commands / interval
    );
}

/// The middle one of the times that a call takes.
async fn median<F: Future>(mut call: impl FnMut(usize) -> F) -> Duration {
    let mut times = Vec::new();
    for n in 0..500 {
        let begin = Instant::now();
        call(n).await;
        times.push(begin.elapsed());
    }
    times.sort();
    times[times.len() / 2]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_costs_about_a_round_trip() {
    let server = RedisServer::start();
    let registry = &join(&server, "n").await;
    let connection = &registry.inner.connection;
    let ping = median(async |_| {
        connection
            .ask(connection.until(), redis::cmd("PING"))
            .await
            .ok()
    })
    .await;
    let announce = async |n| registry.announce(&format!("h{n}"), ADDR).await.unwrap();
    let announce = median(announce).await;
    let fresh = median(async |n| registry.query(&format!("h{n}")).await.unwrap()).await;
    let known = median(async |_| registry.query("h499").await.unwrap()).await;
    registry.close().await.unwrap();
    println!(
        "compared with a bare round trip of {ping:.0?}: announce {announce:.0?}, first query \
         {fresh:.0?}, repeated query {known:.1?}"
    );
}

/// Has every one of some networks on the server, with some hosts each.
async fn populate(server: &RedisServer, networks: usize, hosts: usize) {
    let client = redis::Client::open(server.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let owner = Owner::random().unwrap();
    let names: Vec<_> = (0..hosts).map(|n| format!("h{n}")).collect();
    let holding = |hostname| LeaseRequest {
        hostname,
        hostdata: ADDR,
        number: 1,
        confirmed_at: 0,
    };
    let names: Vec<_> = names.iter().map(|name| holding(name)).collect();
    for first in (0..networks).step_by(100) {
        let mut batch = Pipeline::new();
        for n in first..first + 100 {
            let keys = Keys::new(&format!("network-{n}"));
            batch.add_command(owner.hold(&keys, &names, 600_000));
        }
        batch.exec_async(&mut connection).await.unwrap();
    }
}

#[tokio::test]
async fn thousands_of_networks_do_not_slow_each_other() {
    let server = RedisServer::start();
    let registry = &join(&server, "mine").await;
    for n in 0..10 {
        registry.announce(&format!("h{n}"), ADDR).await.unwrap();
    }
    let alone = median(async |_| registry.listing().await.unwrap()).await;
    populate(&server, 5_000, 10).await;
    let among = median(async |_| registry.listing().await.unwrap()).await;
    assert_eq!(registry.listing().await.unwrap().hosts.len(), 10);
    registry.close().await.unwrap();
    println!(
        "networks on one Redis: 10 hosts listed in {alone:.0?} alone, {among:.0?} among 5,000 \
         networks of 10 hosts each"
    );
    assert!(
        among < 10 * alone + Duration::from_millis(5),
        "{alone:?} {among:?}"
    );
}
