//! A child's part of the network: one subnetwork with its hosts, which accept.
//!
//! Owns opening and closing, and that a close leaves nothing behind. Never dials.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::sleep;
use virtnet::{Cause, Config, Host, Listener, OpenError, SubNetwork};

use crate::load::{Common, serve};
use crate::wire::{PORT, now};

/// How long the registry may be down, and names leased to a killed process.
const ARRIVAL: Duration = Duration::from_secs(40);
const TRY: Duration = Duration::from_millis(100);

/// The number and addresses of the process.
#[derive(Debug, Clone)]
pub(crate) struct Seat {
    pub(crate) process: usize,
    pub(crate) url: String,
    pub(crate) secret: String,
    pub(crate) bind: String,
    pub(crate) advertise: String,
}

pub(crate) struct Member {
    net: SubNetwork,
    /// When it was opened.
    pub(crate) joined: u64,
    pub(crate) hosts: Vec<(usize, Host)>,
    listeners: Vec<Arc<Listener>>,
    serving: JoinSet<()>,
    common: Common,
}

impl Member {
    pub(crate) async fn join(seat: &Seat, common: &Common) -> Result<Member, String> {
        let net = join(seat).await?;
        let mut member = Member {
            net,
            joined: now(),
            hosts: Vec::new(),
            listeners: Vec::new(),
            serving: JoinSet::new(),
            common: common.clone(),
        };
        let hosts = common.hosts;
        for index in hosts.of(seat.process) {
            let made = member.net.new_host_within(hosts.names()[index], ARRIVAL);
            let host = made.await.map_err(|err| err.to_string())?;
            member.hosts.push((index, host));
        }
        for place in 0..member.hosts.len() {
            member.listen(place)?;
        }
        Ok(member)
    }

    /// Starts to listen and accept on the host with this index.
    pub(crate) fn listen(&mut self, place: usize) -> Result<(), String> {
        let (index, host) = &self.hosts[place];
        let listener = host.listen(format!(":{PORT}"));
        let listener = Arc::new(listener.map_err(|err| err.to_string())?);
        let serve = serve(Arc::clone(&listener), *index, self.common.clone());
        self.serving.spawn(serve);
        self.listeners.truncate(place);
        self.listeners.push(listener);
        // The task of the previous listener has ended, or ends with its connections.
        while self.serving.try_join_next().is_some() {}
        Ok(())
    }

    pub(crate) async fn relisten(&mut self, pause: Duration) -> Result<(), String> {
        // The last one, so that the others keep their index.
        let place = self.hosts.len() - 1;
        self.listeners[place].close();
        sleep(pause).await;
        self.listen(place)
    }

    pub(crate) fn sockets(&self) -> usize {
        let sockets = self.hosts.iter().map(|(_, host)| host.sockets().len());
        sockets.sum()
    }

    /// The open sockets, as text.
    pub(crate) fn open(&self) -> String {
        let sockets = self.hosts.iter().flat_map(|(_, host)| host.sockets());
        let sockets: Vec<_> = sockets.map(|socket| socket.to_string()).collect();
        sockets.join(", ")
    }

    /// Closes it, and waits until its tasks have ended. Returns the undelivered data, and
    /// how long the close took.
    pub(crate) async fn close(mut self) -> (Option<(Cause, String)>, Duration) {
        let began = Instant::now();
        let closed = self.net.close().await;
        let took = began.elapsed();
        while self.serving.join_next().await.is_some() {}
        (closed.err().map(|err| (err.cause(), err.to_string())), took)
    }
}

/// Opens the subnetwork as soon as the registry is up.
async fn join(seat: &Seat) -> Result<SubNetwork, String> {
    let began = Instant::now();
    loop {
        let secret = seat.secret.parse().map_err(|_| "no secret".to_owned())?;
        let config = Config::new("soak")
            .registry(&*seat.url)
            .secret(secret)
            .bind(&*seat.bind)
            .advertise(&*seat.advertise)
            // An idle network must soon have no connections.
            .tune(|quic| quic.pool_idle(Duration::from_secs(2)));
        let why = match config.open().await {
            Ok(net) => return Ok(net),
            Err(why) => why,
        };
        let down = matches!(&why, OpenError::Registry(err) if err.cause() == Cause::RegistryDown);
        if !down || began.elapsed() > ARRIVAL {
            return Err(why.to_string());
        }
        sleep(TRY).await;
    }
}
