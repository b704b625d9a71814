//! The simulated engine: core's pipe engine, or the same with gates and faults between
//! the steps. Never draws a number: fates come from the driver.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use async_trait::async_trait;
use virtnet_core::pipe::PipeEngine;
use virtnet_core::{Accept, Addr, ByteStream, Cause, Engine, Failure, Registry};

use super::pipe::{Pipe, end};
use super::world::{CLOSES, Call, Event, Fault, Flight, Way, World};

pub(crate) struct SimEngine {
    pub(crate) world: World,
    pub(crate) me: usize,
    pub(crate) inner: PipeEngine,
}

#[async_trait]
impl Engine for SimEngine {
    async fn vnet_new_host(&self, hostname: &str, registry: &dyn Registry) -> Result<(), Failure> {
        let world = &self.world;
        let mut call = world.call(self.me);
        let done = async {
            world.gate(call.id, 0).await;
            if call.fate.fault == Some(Fault::Resources) {
                return Err(world.fail(call.id, Cause::PermissionDenied));
            }
            self.inner.vnet_new_host(hostname, registry).await?;
            world.gate(call.id, 2).await;
            if call.fate.fault == Some(Fault::Making) {
                return Err(world.fail(call.id, Cause::TimedOut));
            }
            world.log(Event::Made(call.id));
            Ok(())
        };
        let done = done.await;
        call.done = true;
        done
    }

    async fn vnet_dial(
        &self,
        src: &Addr,
        dst: &Addr,
        hostdata: &str,
    ) -> Result<(ByteStream, Addr), Failure> {
        let mut call = self.world.call(self.me);
        let dialed = self.dial(&call, src, dst, hostdata).await;
        call.done = true;
        dialed
    }

    async fn close(&self) -> Result<(), Failure> {
        let world = &self.world;
        world.check_idle(self.me, "engine");
        let flights: BTreeMap<_, _> = {
            let mut state = world.state();
            let (to_me, others) = std::mem::take(&mut state.flights)
                .into_iter()
                .partition(|(_, flight)| flight.to == self.me);
            state.flights = others;
            to_me
        };
        for (id, flight) in flights {
            drop(flight.accept);
            drop(end(&flight.from_dialer, &flight.to_dialer, &Arc::default()));
            world.log(Event::Fell(id));
        }
        world.gate(CLOSES + self.me as u32, 0).await;
        self.inner.close().await?;
        let fails = {
            let mut state = world.state();
            state.members[self.me].engine_closed = true;
            state.members[self.me].close_fails[0]
        };
        world.log(Event::EngineClosed(self.me));
        match fails {
            true => Err(Failure::other("no engine closes like this")),
            false => Ok(()),
        }
    }
}

impl SimEngine {
    async fn dial(
        &self,
        call: &Call,
        src: &Addr,
        dst: &Addr,
        hostdata: &str,
    ) -> Result<(ByteStream, Addr), Failure> {
        let (world, id) = (&self.world, call.id);
        world.gate(id, 1).await;
        if call.fate.fault == Some(Fault::Dial) {
            return Err(world.fail(id, Cause::TimedOut));
        }
        let refused = |why: Failure| {
            world.log(Event::Refused(id, why.cause()));
            why
        };
        world.log(Event::Arrived(id));
        if call.fate.way == Way::Pipe {
            let dialed = self.inner.vnet_dial(src, dst, hostdata).await;
            let (stream, addr) = dialed.map_err(refused)?;
            world.log(Event::Got(id, addr.port()));
            world.log(Event::Acked(id));
            return Ok((stream, addr));
        }
        // Pipe engines are numbered from 1, as they are made.
        let to: usize = hostdata["pipe:".len()..].parse().unwrap();
        let to = to - 1;
        let notifier = world.state().members[to].notifier.clone();
        let mut accept = notifier.vnet_accept(src, dst).await.map_err(refused)?;
        let addr = accept.addr().clone();
        world.log(Event::Got(id, addr.port()));
        if !self.wait_for_ack(call, &mut accept).await {
            drop(accept);
            return Err(refused(Cause::ConnectionRefused.into()));
        }
        if call.fate.fault == Some(Fault::Ack) {
            drop(accept);
            return Err(world.fail(id, Cause::ConnectionCut));
        }
        let [there, back] = self.pipes(call);
        let live = |member: usize| Arc::clone(&world.state().members[member].live);
        let ours = end(&back, &there, &live(self.me));
        let theirs = || end(&there, &back, &live(to));
        match call.fate.way {
            Way::Late => {
                let flight = Flight {
                    to,
                    accept,
                    from_dialer: there,
                    to_dialer: back,
                };
                world.state().flights.insert(id, flight);
                world.log(Event::Flying(id));
            }
            Way::Ahead => {
                world.log(Event::AckedAhead(id));
                accept.ack(theirs());
                // The reply is on its way to the dialer. If the dial is dropped here, this
                // end is, which cuts the other.
                world.gate(id, 3).await;
                world.log(Event::Replied(id));
            }
            _ => {
                world.log(Event::Acked(id));
                accept.ack(theirs());
            }
        }
        Ok((ours, addr))
    }

    /// Waits until the accept can be acknowledged; false if it was cancelled.
    async fn wait_for_ack(&self, call: &Call, accept: &mut Accept) -> bool {
        let mut gate = pin!(self.world.gate(call.id, 2));
        let mut cancelled = pin!(accept.cancelled());
        poll_fn(|cx| {
            if call.fate.way == Way::Watchful && cancelled.as_mut().poll(cx).is_ready() {
                return Poll::Ready(false);
            }
            gate.as_mut().poll(cx).map(|()| true)
        })
        .await
    }

    /// The two directions of the dial's connection.
    fn pipes(&self, call: &Call) -> [Pipe; 2] {
        let pipes = [(); 2].map(|()| Pipe::new(call.fate.capacity));
        let made = pipes.clone();
        self.world.state().pipes.insert(call.id, made);
        pipes
    }
}
