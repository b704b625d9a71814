//! Several servers that work as one: a primary and its replica under sentinels,
//! and a cluster.
//!
//! Owns how they are connected to each other. Never waits longer than a bound,
//! and knows nothing about the tests.

use std::time::{Duration, Instant};

use crate::redis::RedisServer;

/// What waiting for servers to agree may take.
const BOUND: Duration = Duration::from_secs(30);

/// Waits until it is so, among processes that do not tell; the registries of
/// the test go on meanwhile.
pub async fn agreed(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + BOUND;
    while !is_so() {
        assert!(Instant::now() < until, "not within {BOUND:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A primary, its replica, and three sentinels who agree on it.
pub struct Sentinels {
    /// The primary that the sentinels were told of.
    pub primary: RedisServer,
    /// Its replica.
    pub replica: RedisServer,
    /// The three sentinels.
    pub sentinels: Vec<RedisServer>,
}

/// The name under which the sentinels know the primary.
pub const NAME: &str = "pipet-1";

impl Sentinels {
    /// Starts them, and returns when they know each other.
    pub async fn start() -> Sentinels {
        let primary = RedisServer::start();
        let of = format!("127.0.0.1 {}", primary.port());
        let replica = RedisServer::start_with(&["--replicaof", &of]);
        agreed("the replica follows", || is_linked(&replica)).await;
        let conf = format!(
            "sentinel monitor {NAME} {of} 2\n\
             sentinel down-after-milliseconds {NAME} 300\n\
             sentinel failover-timeout {NAME} 3000\n"
        );
        let sentinels: Vec<_> = (0..3)
            .map(|_| RedisServer::start_sentinel(&conf, &[]))
            .collect();
        let fleet = Sentinels {
            primary,
            replica,
            sentinels,
        };
        agreed("the sentinels know each other and the replica", || {
            let all = |what, count| {
                let mut sentinels = fleet.sentinels.iter();
                sentinels.all(|s| field(&s.command(&["SENTINEL", "MASTER", NAME]), what) == count)
            };
            all("num-other-sentinels", "2") && all("num-slaves", "1")
        })
        .await;
        fleet
    }

    /// `redis+sentinel://` with all sentinels.
    pub fn url(&self) -> String {
        let ports = self.sentinels.iter().map(RedisServer::port);
        format!("redis+sentinel://{}/{NAME}", places(ports))
    }

    /// The port of the server that all sentinels name, if they agree.
    pub fn named(&self) -> Option<u16> {
        let ask = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME];
        let mut ports = self.sentinels.iter().map(|s| s.command(&ask)[1].clone());
        let first = ports.next()?;
        ports
            .all(|port| port == first)
            .then(|| first.parse().ok())?
    }
}

/// Three servers that share the slots, and one replica of each.
pub struct Cluster {
    /// The first three began as primaries; the one after next three is its replica.
    pub nodes: Vec<RedisServer>,
}

impl Cluster {
    /// Starts the nodes, and returns when the cluster serves all slots.
    pub async fn start() -> Cluster {
        const SLOTS: [(&str, &str); 3] = [("0", "5460"), ("5461", "10922"), ("10923", "16383")];
        let cluster = Cluster::met(6, &SLOTS).await;
        let nodes = &cluster.nodes;
        for (primary, replica) in nodes[..3].iter().zip(&nodes[3..]) {
            let id = primary.command(&["CLUSTER", "MYID"]).remove(0);
            agreed("each knows whom to follow", || {
                replica.command(&["CLUSTER", "REPLICATE", &id]) == ["+OK"]
            })
            .await;
        }
        agreed("the cluster works", || {
            cluster.all("cluster_state:ok") && nodes[3..].iter().all(is_linked)
        })
        .await;
        cluster
    }

    /// Two servers that share the slots, the second one nearly none, and no replicas.
    pub async fn pair() -> Cluster {
        let cluster = Cluster::met(2, &[("0", "16382"), ("16383", "16383")]).await;
        agreed("the cluster works", || cluster.all("cluster_state:ok")).await;
        cluster
    }

    /// Nodes that know each other, of which the first ones have these slots.
    async fn met(count: usize, slots: &[(&str, &str)]) -> Cluster {
        let start = |_| {
            RedisServer::start_with(&[
                "--cluster-enabled",
                "yes",
                "--cluster-port",
                "{bus}",
                "--cluster-node-timeout",
                "500",
            ])
        };
        let nodes: Vec<_> = (0..count).map(start).collect();
        for (node, (first, last)) in nodes.iter().zip(slots) {
            assert_eq!(
                node.command(&["CLUSTER", "ADDSLOTSRANGE", first, last]),
                ["+OK"]
            );
        }
        for (at, node) in nodes.iter().enumerate() {
            let epoch = (at + 1).to_string();
            assert_eq!(
                node.command(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch]),
                ["+OK"]
            );
            let (port, bus) = (node.port().to_string(), node.bus().to_string());
            let meet = ["CLUSTER", "MEET", "127.0.0.1", &port, &bus];
            assert_eq!(nodes[0].command(&meet), ["+OK"]);
        }
        let cluster = Cluster { nodes };
        let known = format!("cluster_known_nodes:{count}");
        agreed("all know all", || cluster.all(&known)).await;
        cluster
    }

    /// Whether all nodes say this of the cluster.
    fn all(&self, line: &str) -> bool {
        let is_so = |node: &RedisServer| info(node, "CLUSTER").contains(line);
        self.nodes.iter().all(is_so)
    }

    /// `redis+cluster://` with all nodes.
    pub fn url(&self) -> String {
        let ports = self.nodes.iter().map(RedisServer::port);
        format!("redis+cluster://{}", places(ports))
    }

    /// Which of the first three has this key.
    pub fn home(&self, key: &str) -> usize {
        let has = |node: &RedisServer| !node.command(&["GET", key])[0].starts_with('-');
        let home = self.nodes[..3].iter().position(has);
        home.expect("one of them has every key")
    }
}

/// Whether a replica has its primary's data, and hears of what changes.
pub fn is_linked(replica: &RedisServer) -> bool {
    let info = replica.command(&["INFO", "replication"]).remove(0);
    info.contains("master_link_status:up")
}

fn info(node: &RedisServer, of: &str) -> String {
    node.command(&[of, "INFO"]).remove(0)
}

fn places(ports: impl Iterator<Item = u16>) -> String {
    let places: Vec<_> = ports.map(|port| format!("127.0.0.1:{port}")).collect();
    places.join(",")
}

/// A field of an answer that gives names and values in turn.
fn field<'a>(answer: &'a [String], name: &str) -> &'a str {
    let at = answer.iter().position(|line| line == name);
    at.map_or("", |at| &answer[at + 1])
}
