//! A child: a process of the network that executes its parent's commands, line by line.
//!
//! Owns the commands, and the measurements of its own process. Never decides when a fault
//! happens.

use std::io::BufRead;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{Instant, sleep};
use virtnet::Cause;

use crate::exchange::{self, Order};
use crate::load::{Common, Drops, Load};
use crate::member::{Member, Seat};
use crate::tally::{Tally, Watch, tell};
use crate::wire::{Figures, PORT, now};

/// How often it reports to the parent.
const COUNTS: Duration = Duration::from_millis(250);
/// How long a cancelled task or a closed descriptor may still be counted.
const MOMENT: Duration = Duration::from_secs(1);

struct Child {
    seat: Seat,
    seed: u64,
    common: Common,
    member: Option<Member>,
    load: Option<Load>,
    /// The measurements without a network.
    control: Figures,
}

/// Runs until the parent sends `end` or has ended.
pub(crate) async fn run(mut arguments: impl Iterator<Item = String>) -> Result<ExitCode, String> {
    let mut next = || arguments.next().ok_or("a child needs more arguments");
    let process = number(&next()?)?;
    let hosts = next()?.parse()?;
    let (seed, sabotage) = (number(&next()?)?, next()?.parse()?);
    let [url, bind, advertise] = [next()?, next()?, next()?];
    let secret = std::env::var("SOAK_SECRET").map_err(|err| err.to_string())?;
    let common = Common {
        hosts,
        tally: Tally::new(sabotage),
        drops: Default::default(),
    };
    // Counts allocations that are not freed, without the allocator's own reserve.
    let _heap = dhat::Profiler::builder().testing().build();
    let mut commands = commands();
    tokio::spawn(report(common.clone()));
    // The counting task must have started before the tasks are counted.
    tokio::task::yield_now().await;
    let mut child = Child {
        seat: Seat {
            process,
            url,
            secret,
            bind,
            advertise,
        },
        seed,
        common,
        member: None,
        load: None,
        control: figures(None)?,
    };
    child.join().await?;
    tell(figures(child.member.as_ref())?);
    while let Some(line) = commands.recv().await {
        if line == "end" {
            child.end().await?;
            return Ok(ExitCode::SUCCESS);
        }
        child.obey(&line).await?;
        tell(format_args!("done {line}"));
    }
    Ok(ExitCode::FAILURE)
}

/// The parent's commands, read by a thread because reading stdin blocks.
fn commands() -> UnboundedReceiver<String> {
    let (tell, commands) = unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if tell.send(line).is_err() {
                return;
            }
        }
        // The parent has ended.
        std::process::exit(1);
    });
    commands
}

async fn report(common: Common) {
    loop {
        sleep(COUNTS).await;
        tell(common.tally.counts());
    }
}

fn number<T: FromStr>(word: &str) -> Result<T, String> {
    word.parse()
        .map_err(|_| format!("expected a number, got {word:?}"))
}

impl Child {
    async fn join(&mut self) -> Result<(), String> {
        self.member = Some(Member::join(&self.seat, &self.common).await?);
        Ok(())
    }

    fn start(&mut self) {
        if let (Some(member), None) = (&self.member, &self.load) {
            self.seed = self.seed.wrapping_add(1);
            let load = Load::start(&member.hosts, self.seed, &self.common);
            self.load = Some(load);
        }
    }

    async fn stop(&mut self) {
        if let Some(load) = self.load.take() {
            load.stop().await;
        }
    }

    async fn obey(&mut self, line: &str) -> Result<(), String> {
        let mut words = line.split(' ');
        let command = words.next().unwrap_or_default();
        let millis = number(words.next().unwrap_or("0"))?;
        let pause = Duration::from_millis(millis);
        let first = self.first();
        match command {
            "go" => self.start(),
            "stop" => self.stop().await,
            "figures" => tell(figures(self.member.as_ref())?),
            "open" => {
                let open = self.member.as_ref().map(Member::open);
                tell(format_args!("open {}", open.unwrap_or_default()));
            }
            "probe" => self.probe().await,
            "drop" => {
                Drops::until(&self.common.drops, first, now() + millis);
                sleep(pause).await;
            }
            "listener" => {
                if let Some(member) = &mut self.member {
                    member.relisten(pause).await?;
                }
            }
            "host" => {
                if let Some((_, host)) = self.member.as_ref().and_then(|it| it.hosts.first()) {
                    host.close();
                }
                sleep(pause).await;
                self.remake(Duration::ZERO).await?;
            }
            "remake" => self.remake(pause).await?,
            _ => return Err(format!("unknown command {command:?}")),
        }
        Ok(())
    }

    /// Closes the subnetwork, and opens a new one.
    async fn remake(&mut self, pause: Duration) -> Result<(), String> {
        let loaded = self.load.is_some();
        self.close().await?;
        sleep(pause).await;
        self.join().await?;
        if loaded {
            self.start();
        }
        Ok(())
    }

    /// Closes the subnetwork, and checks that nothing of it is left.
    async fn close(&mut self) -> Result<(), String> {
        let Some(member) = self.member.take() else {
            return Ok(());
        };
        let mut watch = self.watch(self.first());
        let (joined, began) = (member.joined, watch.began);
        let (failed, took) = member.close().await;
        self.stop().await;
        watch.took("close", began, took);
        if let Some((cause, why)) = failed {
            // The error lists all data that was never delivered since it was opened.
            watch.began = joined;
            watch.failed("close", cause, why);
        }
        let until = Instant::now() + MOMENT;
        let (tasks, descriptors) = (self.control.tasks, self.control.descriptors);
        loop {
            let left = figures(None)?;
            if (left.tasks, left.descriptors) == (tasks, descriptors) {
                break;
            }
            if Instant::now() > until {
                let left = format!("expected {}, got {left}", self.control);
                watch.failed("left", Cause::Other, left);
                break;
            }
            sleep(Duration::from_millis(10)).await;
        }
        let tally = &self.common.tally;
        tally.count(&tally.closes);
        Ok(())
    }

    /// Each host of this process dials every host, and each dial must be accepted.
    async fn probe(&self) {
        for (index, host) in self.member.iter().flat_map(|member| &member.hosts) {
            let hosts = self.common.hosts.names();
            for (peer, name) in hosts.iter().enumerate() {
                let mut watch = self.watch(*index);
                watch.peer = peer;
                let conn = match host.dial(format!("{name}:{PORT}")).await {
                    Ok(conn) => conn,
                    Err(err) => {
                        watch.failed("probe", err.cause(), err);
                        continue;
                    }
                };
                let order = Order {
                    seed: 1,
                    up: 1000,
                    down: 1000,
                };
                let names = [hosts[*index], *name];
                if let Err(end) = exchange::dial(conn, names, order, &watch).await {
                    watch.failed("probe", Cause::Other, format_args!("{end:?}"));
                }
            }
        }
    }

    /// The number of its first host.
    fn first(&self) -> usize {
        self.common.hosts.of(self.seat.process).start
    }

    fn watch(&self, host: usize) -> Watch {
        Watch {
            tally: self.common.tally.clone(),
            host,
            peer: host,
            began: now(),
            opened: 0,
        }
    }

    async fn end(mut self) -> Result<(), String> {
        self.stop().await;
        self.close().await?;
        tell(self.common.tally.counts());
        tell(figures(None)?);
        Ok(())
    }
}

/// The measurements of this process now.
fn figures(member: Option<&Member>) -> Result<Figures, String> {
    let unknown = |err: std::io::Error| format!("/proc/self: {err}");
    let status = std::fs::read_to_string("/proc/self/status").map_err(unknown)?;
    let size = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().trim_end_matches(" kB").parse().ok()
    };
    let heap = dhat::HeapStats::get();
    let descriptors = std::fs::read_dir("/proc/self/fd").map_err(unknown)?;
    Ok(Figures {
        tasks: tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks() as u64,
        sockets: member.map_or(0, Member::sockets) as u64,
        descriptors: descriptors.count() as u64,
        live_bytes: heap.curr_bytes as u64,
        live_blocks: heap.curr_blocks as u64,
        rss_kb: size("VmRSS:").unwrap_or(0),
        peak_kb: size("VmHWM:").unwrap_or(0),
    })
}
