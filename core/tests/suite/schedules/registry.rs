//! The simulated registry: core's registry in memory, with gates and faults before it.
//! Never draws a number: fates come from the driver.

use async_trait::async_trait;
use virtnet_core::memory::MemoryRegistry;
use virtnet_core::{Cause, Failure, Lost, Registry, RegistryError};

use super::pipe::Counted;
use super::world::{CLOSES, Event, Fault, Id, NAMES, World, name_of};

pub(crate) struct SimRegistry {
    pub(crate) world: World,
    pub(crate) me: usize,
    pub(crate) inner: MemoryRegistry,
}

impl SimRegistry {
    /// A call begins: waits at `gate`, and returns the error if `fault` is its fate.
    async fn begin(&self, gate: u8, fault: Fault) -> (Id, Option<RegistryError>) {
        let id = self.world.state().current;
        self.world.gate(id, gate).await;
        let fails = self.world.state().fates[&id].fault == Some(fault);
        let error = fails.then(|| RegistryError::new("sim", "call", &[], Cause::RegistryDown));
        (id, error)
    }

    fn counted(&self) -> Counted {
        Counted::new(&self.world.state().members[self.me].live)
    }
}

#[async_trait]
impl Registry for SimRegistry {
    async fn announce(&self, hostname: &str, hostdata: &str) -> Result<(), RegistryError> {
        let _counted = self.counted();
        let (id, error) = self.begin(1, Fault::Announce).await;
        let announced = match error {
            Some(error) => Err(error),
            None => self.inner.announce(hostname, hostdata).await,
        };
        let cause = announced.as_ref().err().map(RegistryError::cause);
        self.world.log(Event::Announced(id, cause));
        announced
    }

    async fn query(&self, hostname: &str) -> Result<String, RegistryError> {
        let _counted = self.counted();
        let (id, error) = self.begin(0, Fault::Query).await;
        let answer = match error {
            Some(error) => Err(error),
            None => self.inner.query(hostname).await,
        };
        let cause = answer.as_ref().err().map(RegistryError::cause);
        self.world.log(Event::Queried(id, cause));
        answer
    }

    fn holds(&self, hostname: &str) -> bool {
        let state = self.world.state();
        !state.members[self.me].doubt.contains(&name_of(hostname))
    }

    async fn lost(&self) -> Lost {
        let name = self.world.lost(self.me).await;
        Lost {
            hostname: NAMES[name].to_owned(),
            reason: Failure::other("the seed wants it"),
        }
    }

    async fn close(&self) -> Result<(), RegistryError> {
        self.world.check_idle(self.me, "registry");
        if !self.world.state().members[self.me].engine_closed {
            let complaint = format!("registry {} was closed before its engine", self.me);
            self.world.state().complaints.push(complaint);
        }
        self.world.gate(CLOSES + self.me as u32, 1).await;
        self.inner.close().await?;
        self.world.log(Event::RegistryClosed(self.me));
        match self.world.state().members[self.me].close_fails[1] {
            true => Err(RegistryError::new("sim", "close", &[], Cause::RegistryDown)),
            false => Ok(()),
        }
    }
}
