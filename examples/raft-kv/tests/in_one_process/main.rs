//! The whole cluster in one process: three nodes, each on a subnetwork of its
//! own, as if on three machines.
//!
//! Owns what must hold whichever node leads. Never sleeps: it waits, within a
//! bound, for what openraft's metrics say, and never judges how long that took.

mod partition_trace;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use openraft::ServerState;
use openraft::error::{CheckIsLeaderError, Fatal, RaftError};
use raft_kv::check::check;
use raft_kv::client::{Client, ClientError};
use raft_kv::load::value_of;
use raft_kv::node::Node;
use raft_kv::peers::{Peers, address};
use raft_kv::protocol::{self, Response};
use tokio::task::JoinSet;
use tokio_util::bytes::Bytes;
use tokio_util::codec::Framed;
use virtnet::faults::{Plan, Rule, pairs};
use virtnet::trace::Trace;
use virtnet::{Cause, Config, Listener, SubNetwork, testing};

/// Far more than anything here takes, even on a machine that is busy.
const BOUND: Duration = Duration::from_secs(60);

/// One node, and the subnetwork that it is alone on.
struct Member {
    subnet: SubNetwork,
    node: Node,
}

impl Member {
    async fn start(network: &Config, name: &str, peers: &Peers) -> Member {
        let subnet = network.clone().open().await.unwrap();
        let node = Node::start(&subnet, name, peers).await.unwrap();
        Member { subnet, node }
    }

    /// Waits until this node knows of a leader in a term after `term`.
    async fn sees_leader_after(&self, term: u64) -> String {
        let wait = self.node.raft().wait(Some(BOUND));
        let later = wait.metrics(
            |now| now.current_term > term && now.current_leader.is_some(),
            format!("a leader after term {term}"),
        );
        later.await.unwrap();
        self.node.status().leader.unwrap()
    }

    async fn has_applied(&self, index: Option<u64>) {
        let wait = self.node.raft().wait(Some(BOUND));
        wait.applied_index_at_least(index, "applied").await.unwrap();
    }

    async fn stop(self) {
        self.node.stop().await;
        self.subnet.close().await.unwrap();
    }
}

/// The nodes `names` of the cluster α, β, γ, which begins with them.
async fn cluster(network: &Config, names: &[&str]) -> Vec<Member> {
    let peers = peers();
    let mut members = Vec::new();
    for name in names {
        members.push(Member::start(network, name, &peers).await);
    }
    for member in &members {
        member.node.initialize().await.unwrap();
    }
    for member in &members {
        member.sees_leader_after(0).await;
    }
    members
}

fn peers() -> Peers {
    "α,β,γ".parse().unwrap()
}

/// A client on a subnetwork of its own.
async fn client(network: &Config) -> (SubNetwork, Client) {
    let subnet = network.clone().open().await.unwrap();
    let host = subnet.new_host("client").await.unwrap();
    let client = Client::new(host, peers()).within(BOUND);
    (subnet, client)
}

async fn put_all(client: &mut Client, numbers: std::ops::RangeInclusive<u32>) -> Vec<String> {
    let keys: Vec<String> = numbers.map(|number| format!("k{number}")).collect();
    for key in &keys {
        client.put(key, &value_of(key)).await.unwrap();
    }
    keys
}

/// Takes the node that leads out of the cluster.
async fn take_leader(members: &mut Vec<Member>) -> Member {
    let name = members[0].sees_leader_after(0).await;
    let is_it = |member: &Member| member.node.status().name == name;
    let leader = members.remove(members.iter().position(is_it).unwrap());
    let wait = leader.node.raft().wait(Some(BOUND));
    wait.state(ServerState::Leader, "leads").await.unwrap();
    leader
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_cut_off_is_replaced_and_nothing_is_lost() {
    let network = &testing::config().unwrap();
    let mut members = cluster(network, &["α", "β", "γ"]).await;
    let (subnet, mut client) = client(network).await;

    let mut keys = put_all(&mut client, 1..=20).await;
    let report = check(&mut client, &keys.iter().cloned().collect()).await;
    assert!(report.is_good(), "{report}");

    // Its subnetwork goes, but not the node: it still believes that it leads.
    let old = take_leader(&mut members).await;
    let before = old.node.status();
    old.subnet.close().await.unwrap();
    let read = old.node.raft().ensure_linearizable().await.unwrap_err();
    let no_quorum = matches!(
        read,
        RaftError::APIError(CheckIsLeaderError::QuorumNotEnough(_))
    );
    assert!(no_quorum, "{read}");

    for member in &members {
        let leader = member.sees_leader_after(before.term).await;
        assert_ne!(leader, before.name);
    }
    keys.extend(put_all(&mut client, 21..=40).await);
    for key in &keys {
        let value = client.get(key).await.unwrap();
        assert_eq!(value, Some(value_of(key)), "{key}");
    }
    let furthest = members.iter().map(|m| m.node.status().applied).max();
    for member in &members {
        member.has_applied(furthest.unwrap()).await;
        let name = member.node.status().name;
        for key in &keys {
            let value = client.local_get(&name, key).await.unwrap();
            assert_eq!(value, Some(value_of(key)), "{key} on {name}");
        }
    }
    assert_eq!(old.node.status().term, before.term);

    for member in members {
        member.stop().await;
    }
    old.node.stop().await;
    subnet.close().await.unwrap();
}

/// A partition, as rules of the network: the leader and the other nodes no longer reach each other, but clients
/// reach all of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_isolated_by_faults_comes_back_and_nothing_is_lost() {
    // Silent connections end after a second, so the test does not wait for ten.
    let network = &testing::config().unwrap().silence(Duration::from_secs(1));
    let mut members = cluster(network, &["α", "β", "γ"]).await;
    let (subnet, mut client) = client(network).await;
    let mut keys = put_all(&mut client, 1..=20).await;

    let old = take_leader(&mut members).await;
    let before = old.node.status();
    let apart = pairs::isolate(&before.name, &["α", "β", "γ"]);
    let apart = Plan::new().for_each(apart, Rule::cut);
    let guard = subnet.faults().apply(apart).await.unwrap();

    // Nobody has told it, so it believes that it leads; but it acknowledges nothing.
    let host = subnet.new_host("beside it").await.unwrap();
    let beside = Client::new(host, before.name.parse().unwrap());
    let mut beside = beside.within(Duration::from_secs(3));
    let elected = async {
        for member in &members {
            let leader = member.sees_leader_after(before.term).await;
            assert_ne!(leader, before.name);
        }
        put_all(&mut client, 21..=40).await
    };
    let (put, more) = tokio::join!(beside.put("never", "acknowledged"), elected);
    let put = put.unwrap_err();
    assert!(matches!(put, ClientError::GivenUp { .. }), "{put}");
    keys.extend(more);

    // Nothing is told to it now either, and yet it follows.
    guard.heal().await.unwrap();
    let leader = old.sees_leader_after(before.term).await;
    assert_ne!(leader, before.name);
    members.push(old);
    let report = check(&mut client, &keys.into_iter().collect()).await;
    assert!(report.is_good(), "{report}");
    assert_eq!(client.get("never").await.unwrap(), None);

    let nets = members.iter().map(|member| &member.subnet).chain([&subnet]);
    let trace = Trace::merge(nets.map(SubNetwork::trace)).unwrap();
    partition_trace::assert_apart(&trace, &before.name);

    for Member { subnet, node } in members {
        node.stop().await;
        // What it had written to nodes that were cut off for too long was never delivered.
        subnet.close_expecting(Cause::ConnectionCut).await.unwrap();
    }
    subnet.close_expecting(Cause::ConnectionCut).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_without_a_majority_acknowledges_nothing() {
    let network = &testing::config().unwrap();
    let mut members = cluster(network, &["α", "β", "γ"]).await;
    let (subnet, mut client) = client(network).await;
    put_all(&mut client, 1..=1).await;

    let leader = take_leader(&mut members).await;
    for member in members {
        member.stop().await;
    }
    let mut client = client.within(Duration::from_secs(5));
    let put = client.put("k2", "never").await.unwrap_err();
    assert!(matches!(put, ClientError::GivenUp { .. }), "{put}");
    let get = client.get("k1").await.unwrap_err();
    assert!(matches!(get, ClientError::GivenUp { .. }), "{get}");

    // What it has applied it still tells, to who asks for no more than that.
    let name = leader.node.status().name;
    let local = async |key| client.local_get(&name, key).await.unwrap();
    assert_eq!(local("k1").await, Some(value_of("k1")));
    assert_eq!(local("k2").await, None);

    leader.stop().await;
    subnet.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_late_gets_a_snapshot() {
    let network = &testing::config().unwrap();
    let mut members = cluster(network, &["α", "β"]).await;
    let (subnet, mut client) = client(network).await;

    // More than a leader keeps in its log.
    let keys = put_all(&mut client, 1..=700).await;
    members.push(Member::start(network, "γ", &peers()).await);
    let late = members.last().unwrap();
    let wait = late.node.raft().wait(Some(BOUND));
    let got = wait.metrics(|now| now.snapshot.is_some(), "a snapshot");
    got.await.unwrap();
    let report = check(&mut client, &keys.into_iter().collect()).await;
    assert!(report.is_good(), "{report}");

    for member in members {
        member.stop().await;
    }
    subnet.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_finds_what_is_missing() {
    let network = &testing::config().unwrap();
    let members = cluster(network, &["α", "β", "γ"]).await;
    let (subnet, mut client) = client(network).await;
    put_all(&mut client, 1..=2).await;
    client.put("k3", "something else").await.unwrap();

    let keys = ["k1", "k2", "k3", "k4"].map(str::to_owned).into();
    let report = check(&mut client, &keys).await;
    assert!(!report.is_good());
    let report = report.to_string();
    assert_eq!(
        report.matches("2 found, 1 lost, 1 wrong k4 k3").count(),
        4,
        "{report}"
    );
    assert!(!check(&mut client, &[].into()).await.is_good());

    for member in members {
        member.stop().await;
    }
    subnet.close().await.unwrap();
}

/// What a node says that is there and of no use.
#[derive(Debug, Clone, Copy)]
enum Useless {
    HangsUp,
    Garbles,
    AnswersSomethingElse,
    HasStopped,
}

/// Takes the place of γ, answers as it is told, and counts what it is asked.
async fn useless(listener: Listener, what: Useless, asked: Arc<AtomicUsize>) {
    let mut talks = JoinSet::new();
    while let Ok((conn, _)) = listener.accept().await {
        let asked = Arc::clone(&asked);
        talks.spawn(async move {
            let mut link = Framed::new(conn, protocol::codec());
            while let Some(Ok(_)) = link.next().await {
                asked.fetch_add(1, Ordering::Relaxed);
                let answer = match what {
                    Useless::HangsUp => return,
                    Useless::Garbles => Bytes::from_static(&[255; 3]),
                    Useless::AnswersSomethingElse => protocol::encode(&Response::Done).unwrap(),
                    Useless::HasStopped => {
                        let stopped = RaftError::Fatal(Fatal::Stopped);
                        protocol::encode(&Response::Append(Err(stopped))).unwrap()
                    }
                };
                if link.send(answer).await.is_err() {
                    return;
                }
            }
        });
        while talks.try_join_next().is_some() {}
    }
}

/// How often such a node is asked in a second of writes.
async fn asked_within_a_second(what: Useless) -> usize {
    let network = &testing::config().unwrap();
    let taken = network.clone().open().await.unwrap();
    let host = taken.new_host("γ").await.unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let listener = host.listen(address("")).unwrap();
    let serving = tokio::spawn(useless(listener, what, Arc::clone(&asked)));

    let members = cluster(network, &["α", "β"]).await;
    let (subnet, mut client) = client(network).await;
    let (before, began) = (asked.load(Ordering::Relaxed), Instant::now());
    // There is always something that it lacks.
    while began.elapsed() < Duration::from_secs(1) {
        put_all(&mut client, 1..=1).await;
    }
    let asked = asked.load(Ordering::Relaxed) - before;
    println!("{what:?}: asked {asked} times in {:?}", began.elapsed());
    for member in members {
        member.stop().await;
    }
    taken.close().await.unwrap();
    serving.await.unwrap();
    subnet.close().await.unwrap();
    asked
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_of_no_use_is_not_called_without_end() {
    let asked = tokio::join!(
        asked_within_a_second(Useless::HangsUp),
        asked_within_a_second(Useless::Garbles),
        asked_within_a_second(Useless::AnswersSomethingElse),
        asked_within_a_second(Useless::HasStopped),
    );
    let (hung_up, garbled, answered, stopped) = asked;
    // The pauses from the first to the longest. Without any it is a hundred and more
    // over QUIC, in a debug build, and many thousands over less.
    for asked in [hung_up, garbled, answered, stopped] {
        assert!((1..30).contains(&asked), "{asked}");
    }
}
