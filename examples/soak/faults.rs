//! Causes each fault, and ends it.
//!
//! Owns how. Never decides which faults happen, or what they excuse.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex as AsyncMutex;
use tokio::task::{JoinSet, block_in_place};
use tokio::time::{Instant, sleep, sleep_until};

use crate::crew::{Kid, Orders};
use crate::plan::{Kind, Planned};
use crate::relay::Relays;
use virtnet_testkit::redis::RedisServer;

/// Everything that a fault can break.
pub(crate) struct World {
    pub(crate) orders: Orders,
    pub(crate) relays: Relays,
    pub(crate) redis: Mutex<RedisServer>,
    /// Serialises the faults of each process.
    pub(crate) crew: Vec<AsyncMutex<Kid>>,
}

/// Causes all faults, each at its time.
pub(crate) async fn carry_out(plan: Vec<Planned>, world: &Arc<World>) -> Result<(), String> {
    let (began, mut under_way) = (Instant::now(), JoinSet::new());
    for planned in plan {
        sleep_until(began + Duration::from_millis(planned.at)).await;
        let world = Arc::clone(world);
        under_way.spawn(async move {
            let done = world.fault(planned).await;
            done.map_err(|err| format!("{:?}: {err}", planned.kind))
        });
        while let Some(done) = under_way.try_join_next() {
            done.map_err(|err| err.to_string())??;
        }
    }
    while let Some(done) = under_way.join_next().await {
        done.map_err(|err| err.to_string())??;
    }
    Ok(())
}

impl World {
    pub(crate) fn redis<T>(&self, work: impl FnOnce(&mut RedisServer) -> T) -> T {
        // Blocks for a moment, waiting for the server process.
        block_in_place(|| work(&mut self.redis.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    pub(crate) async fn fault(&self, planned: Planned) -> Result<(), String> {
        let judge = &self.orders.judge;
        let mut kid = match (planned.kind, planned.process) {
            (
                Kind::Nap
                | Kind::Sleep
                | Kind::Kill
                | Kind::Listener
                | Kind::Host
                | Kind::Remake
                | Kind::Drops,
                Some(process),
            ) => Some(self.crew[process].lock().await),
            _ => None,
        };
        let number = judge.begins(planned);
        match &mut kid {
            Some(kid) => self.to_kid(planned, kid).await?,
            None => self.to_network(planned).await,
        }
        judge.ends(number);
        Ok(())
    }

    async fn to_kid(&self, planned: Planned, kid: &mut Kid) -> Result<(), String> {
        let pause = Duration::from_millis(planned.length);
        let ask = |word: &str| format!("{word} {}", planned.length);
        match planned.kind {
            Kind::Nap | Kind::Sleep => {
                kid.signal("STOP").await?;
                sleep(pause).await;
                kid.signal("CONT").await?;
            }
            Kind::Kill => {
                kid.kill().await?;
                sleep(pause).await;
                let process = planned.process.unwrap_or(0);
                let places = self.relays.places(process);
                let fresh = kid.fresh;
                *kid = Kid::start(process, places, &self.orders, false).await?;
                kid.fresh = fresh;
                kid.ask("go").await?;
            }
            Kind::Listener => drop(kid.ask(&ask("listener")).await?),
            Kind::Host => drop(kid.ask(&ask("host")).await?),
            Kind::Remake => drop(kid.ask(&ask("remake")).await?),
            _ => drop(kid.ask(&ask("drop")).await?),
        }
        Ok(())
    }

    async fn to_network(&self, planned: Planned) {
        let pause = Duration::from_millis(planned.length);
        let weather = self.relays.weather(planned.host);
        let pair = [planned.process.unwrap_or(0), planned.other];
        match planned.kind {
            Kind::Loss => {
                weather.lost.store(100, Relaxed);
                sleep(pause).await;
                weather.lost.store(0, Relaxed);
            }
            Kind::Delay => {
                weather.jitter_ms.store(20, Relaxed);
                weather.delay_ms.store(15, Relaxed);
                sleep(pause).await;
                weather.delay_ms.store(0, Relaxed);
            }
            Kind::Doubling => {
                weather.doubled.store(300, Relaxed);
                sleep(pause).await;
                weather.doubled.store(0, Relaxed);
            }
            Kind::RedisEmptied => {
                self.redis(|redis| redis.command(&["FLUSHALL"]));
                sleep(pause).await;
            }
            Kind::RedisStopped => {
                self.redis(|redis| redis.pause());
                sleep(pause).await;
                self.redis(|redis| redis.resume());
            }
            Kind::RedisRestarted => {
                self.redis(RedisServer::kill);
                sleep(pause).await;
                self.redis(RedisServer::restart);
            }
            _ => {
                self.relays.cut(pair, true);
                sleep(pause).await;
                self.relays.cut(pair, false);
            }
        }
    }
}
