//! α and β, each on an engine of its own, and the tables that both enforce.
//!
//! Owns the engine that a test holds beside the subnetwork.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::time::Instant;
use virtnet_core::faults::{FaultTable, Plan, RuleCounts};
use virtnet_core::{
    Addr, ByteStream, Conn, Enforced, Engine, Failure, Host, Listener, Registry, SubNetwork,
};
use virtnet_engine_quic::{QuicConfig, QuicEngine};

use crate::common::{Net, connect};

/// An engine that the test keeps, too.
pub(crate) struct Kept(pub(crate) Arc<QuicEngine>);

#[async_trait]
impl Engine for Kept {
    async fn vnet_new_host(&self, hostname: &str, registry: &dyn Registry) -> Result<(), Failure> {
        self.0.vnet_new_host(hostname, registry).await
    }

    async fn vnet_dial(
        &self,
        src: &Addr,
        dst: &Addr,
        hostdata: &str,
    ) -> Result<(ByteStream, Addr), Failure> {
        self.0.vnet_dial(src, dst, hostdata).await
    }

    fn dial_bound(&self) -> Option<Duration> {
        self.0.dial_bound()
    }

    async fn vnet_dial_by(
        &self,
        src: &Addr,
        dst: &Addr,
        hostdata: &str,
        by: Instant,
    ) -> Result<(ByteStream, Addr), Failure> {
        self.0.vnet_dial_by(src, dst, hostdata, by).await
    }

    async fn close(&self) -> Result<(), Failure> {
        self.0.close().await
    }
}

/// A subnetwork, and its engine.
pub(crate) fn join(net: &Net, config: QuicConfig) -> (SubNetwork, Arc<QuicEngine>) {
    let prepared = config.prepare(net.network).unwrap();
    let kept = Arc::new(Mutex::new(None));
    let engine = |notifier| {
        let engine = Arc::new(prepared.start(notifier));
        *kept.lock() = Some(Arc::clone(&engine));
        Kept(engine)
    };
    let subnet = SubNetwork::new(net.network, Arc::new(net.hub.registry()), engine).unwrap();
    let engine = kept.lock().take().expect("it was started");
    (subnet, engine)
}

/// β dials α.
pub(crate) struct World {
    pub(crate) net: Net,
    pub(crate) here: SubNetwork,
    pub(crate) there: SubNetwork,
    pub(crate) beta: Host,
    pub(crate) listener: Listener,
    pub(crate) engines: [Arc<QuicEngine>; 2],
    /// Of α's engine and of β's: each counts what it has decided.
    tables: Mutex<[Arc<FaultTable>; 2]>,
}

impl World {
    pub(crate) async fn new(configured: impl Fn(QuicConfig) -> QuicConfig) -> World {
        let net = Net::new("net");
        let (here, at_alpha) = join(&net, configured(net.config()));
        let (there, at_beta) = join(&net, configured(net.config()));
        let alpha = here.new_host("α").await.unwrap();
        World {
            beta: there.new_host("β").await.unwrap(),
            listener: alpha.listen(":1").unwrap(),
            net,
            here,
            there,
            engines: [at_alpha, at_beta],
            tables: Mutex::default(),
        }
    }

    /// Both enforce this plan, each with a table of its own, as two processes would.
    pub(crate) fn enforce(&self, plan: &str) {
        let plan: Plan = plan.parse().unwrap();
        let mut tables = self.tables.lock();
        for (engine, table) in self.engines.iter().zip(tables.iter_mut()) {
            *table = Arc::new(table.followed_by(&plan).unwrap());
            assert_eq!(engine.vnet_enforce(table), Enforced::Datagrams);
        }
    }

    /// What the rules have done so far: those of the plan in order, both engines together.
    pub(crate) fn counts(&self) -> Vec<RuleCounts> {
        let tables = self.tables.lock();
        let [one, other] = tables.each_ref().map(|table| table.counts());
        let both = one.zip(other);
        both.map(|((_, mut one), (_, other))| {
            one.matched += other.matched;
            one.hit += other.hit;
            one
        })
        .collect()
    }

    /// What the rules of `plan` do to so many datagrams of a pair.
    pub(crate) fn decided(plan: &str, (from, to): (&str, &str), count: u64) -> Vec<RuleCounts> {
        let table = FaultTable::of(&plan.parse().unwrap()).unwrap();
        let link = table.link(from, to).expect("it has a rule");
        let now = Instant::now();
        for _ in 0..count {
            let _ = link.send(1_200, now);
        }
        table.counts().map(|(_, counts)| counts).collect()
    }

    /// β's end and α's end.
    pub(crate) async fn connect(&self) -> (Conn, Conn) {
        connect(&self.beta, &self.listener).await
    }

    /// Tries again until QUIC has noticed that losses are over. Passes over connections of dials
    /// that were given up: their first frames may have arrived late.
    pub(crate) async fn connect_soon(&self) -> (Conn, Conn) {
        let dialing = async {
            loop {
                if let Ok(dialed) = self.beta.dial("α:1").await {
                    return dialed;
                }
            }
        };
        let mut dialing = pin!(dialing);
        // Kept until it is done: an accept that is dropped may have taken the dial, and cuts it.
        let mut accepting = Box::pin(self.listener.accept());
        let (mut dialed, mut accepted) = (None::<Conn>, Vec::<Conn>::new());
        loop {
            if let Some(dialed) = dialed.take_if(|dialed| {
                accepted.retain(|other| other.local_addr() == dialed.peer_addr());
                !accepted.is_empty()
            }) {
                return (dialed, accepted.remove(0));
            }
            tokio::select! {
                conn = &mut dialing, if dialed.is_none() => dialed = Some(conn),
                conn = &mut accepting => {
                    accepted.push(conn.unwrap().0);
                    accepting.set(self.listener.accept());
                }
            }
        }
    }

    pub(crate) async fn close(self) {
        self.there.close().await.unwrap();
        self.here.close().await.unwrap();
    }
}
