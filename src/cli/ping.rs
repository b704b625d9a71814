//! `virtnet ping`: whether a host is on the network, and how long a round trip takes.
//!
//! Owns what is sent and measured, and both formats. Never retries: a dial that is not
//! answered is counted.

use std::time::{Duration, Instant};

use clap::Args;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{MissedTickBehavior, interval, timeout};
use virtnet::{Addr, Cause, Host, OpError};

use super::exit::{Exit, one_line};
use super::name::{self, OwnName};
use super::options::{Options, seconds};
use super::output::{print, print_json};
use super::session::{Signals, with_subnetworks};

#[derive(Debug, Args)]
pub(crate) struct Ping {
    /// The host, such as β, or an address that sends data back, such as β:1
    target: String,
    /// The host to create and dial from [env: VIRTNET_HOST; a random suffix is added
    /// while that name is in use] [default: a random name]
    #[arg(long, value_name = "HOST")]
    from: Option<String>,
    /// How many times to dial; 0 to dial until SIGTERM or SIGINT
    #[arg(long, short, value_name = "NUMBER", default_value_t = 5)]
    count: u64,
    /// How long to wait from one dial to the next
    #[arg(long, short, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    interval: Duration,
    /// How long to wait for each answer
    #[arg(long, value_name = "SECONDS", default_value = "3", value_parser = seconds)]
    timeout: Duration,
    /// How much data to send and read back; 0 to dial only, for a listener that does not
    /// send data back
    #[arg(long, short, value_name = "BYTES", default_value_t = 56,
        value_parser = clap::value_parser!(u32).range(..=1 << 20))]
    size: u32,
    /// Print one JSON object per line, with "seq", and "dial_ms" and "echo_ms" or "error"
    #[arg(long)]
    json: bool,
}

/// Added to the time for a answer, because a dial that fails just then says why.
const GRACE: Duration = Duration::from_millis(100);

/// How long an answered dial took.
struct Timing {
    dial: Duration,
    /// The round trip of the data, if any was sent.
    echo: Option<Duration>,
}

pub(crate) async fn ping(options: Options, ping: Ping, signals: &mut Signals) -> Result<(), Exit> {
    let network = options.network()?;
    let to = target(&network, &ping.target)?;
    let from = OwnName::read(&network, ping.from.as_deref(), "ping")?;
    let mut totals = Totals::default();
    let pinged = with_subnetworks(
        vec![options.shared_config()?],
        signals,
        async |subnets, _| {
            let host = from.host(&subnets[0], Duration::ZERO).await?;
            let mut ticks = interval(ping.interval.max(Duration::from_micros(1)));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while ping.count == 0 || totals.sent < ping.count {
                ticks.tick().await;
                totals.sent += 1;
                let answer = match timeout(ping.timeout + GRACE, ping.once(&host, &to)).await {
                    Ok(answer) => answer,
                    Err(_) => Err(format!("no answer within {:?}", ping.timeout)),
                };
                ping.print(&to, totals.sent, &answer)?;
                totals.add(answer);
            }
            Ok(())
        },
    )
    .await;
    totals.print(&ping, &to)?;
    pinged?;
    match totals.sent - totals.answered {
        0 => Ok(()),
        lost => Err(Exit::Failed(format!(
            "{lost} of {} pings were not answered",
            totals.sent
        ))),
    }
}

/// Parses `β:1` or `β`, which is port 0: nothing listens there, so the host refuses.
fn target(network: &str, target: &str) -> Result<Addr, Exit> {
    match target.contains(':') && !target.ends_with(']') {
        true => Ok(Addr::parse(network, target)?),
        false => name::host(network, target),
    }
}

impl Ping {
    async fn once(&self, host: &Host, to: &Addr) -> Result<Timing, String> {
        let began = Instant::now();
        let dialed = host.dial(to).await;
        let dial = began.elapsed();
        let mut conn = match dialed {
            Ok(conn) => conn,
            // Only the plain refusal is a answer: others come from hosts that accept nobody.
            Err(err) if to.port() == 0 && refused(&err) => {
                return Ok(Timing { dial, echo: None });
            }
            Err(err) => return Err(one_line(&err)),
        };
        if self.size == 0 {
            return Ok(Timing { dial, echo: None });
        }
        let sent = vec![b'v'; self.size as usize];
        let mut back = vec![0; sent.len()];
        let began = Instant::now();
        let round_trip = async {
            conn.write_all(&sent).await?;
            conn.read_exact(&mut back).await
        };
        let broken = |err| {
            format!(
                "expected {to} to send the data back, got {}",
                one_line(&err)
            )
        };
        round_trip.await.map_err(broken)?;
        if back != sent {
            return Err(format!(
                "expected {to} to send the data back, got other data"
            ));
        }
        let echo = Some(began.elapsed());
        Ok(Timing { dial, echo })
    }

    fn print(&self, to: &Addr, seq: u64, answer: &Result<Timing, String>) -> Result<(), Exit> {
        if self.json {
            let echo =
                |timing: &Timing| timing.echo.map_or(Value::Null, |echo| millis(echo).into());
            return match answer {
                Ok(timing) => print_json(
                    &[("seq", seq.into())],
                    &[
                        ("dial_ms", millis(timing.dial).into()),
                        ("echo_ms", echo(timing)),
                    ],
                ),
                Err(err) => print_json(&[("seq", seq.into())], &[("error", (&**err).into())]),
            };
        }
        match answer {
            Ok(Timing { dial, echo: None }) => {
                print(&format!("{to} {seq}: dial {:.3} ms", millis(*dial)))
            }
            Ok(Timing {
                dial,
                echo: Some(echo),
            }) => print(&format!(
                "{to} {seq}: dial {:.3} ms, round trip {:.3} ms",
                millis(*dial),
                millis(*echo)
            )),
            Err(err) => print(&format!("{to} {seq}: {err}")),
        }
    }
}

/// The summary covers at most this many answers, the last ones.
const KEPT_TIMES: u64 = 100_000;

fn store(times: &mut Vec<Duration>, index: usize, time: Duration) {
    match times.get_mut(index) {
        Some(old) => *old = time,
        None => times.push(time),
    }
}

/// All dials so far.
#[derive(Default)]
struct Totals {
    sent: u64,
    answered: u64,
    dials: Vec<Duration>,
    echoes: Vec<Duration>,
}

impl Totals {
    fn add(&mut self, answer: Result<Timing, String>) {
        if let Ok(timing) = answer {
            let index = (self.answered % KEPT_TIMES) as usize;
            store(&mut self.dials, index, timing.dial);
            if let Some(echo) = timing.echo {
                store(&mut self.echoes, index, echo);
            }
            self.answered += 1;
        }
    }

    fn print(&mut self, ping: &Ping, to: &Addr) -> Result<(), Exit> {
        let (sent, answered) = (self.sent, self.answered);
        if sent == 0 {
            return Ok(());
        }
        let (dial, echo) = (
            min_median_max(&mut self.dials),
            min_median_max(&mut self.echoes),
        );
        if ping.json {
            let json = |times: Option<[f64; 3]>| times.map_or(Value::Null, |t| t.to_vec().into());
            return print_json(
                &[("sent", sent.into()), ("answered", answered.into())],
                &[("dial_ms", json(dial)), ("echo_ms", json(echo))],
            );
        }
        let shown = |what: &str, times: Option<[f64; 3]>| match times {
            Some([min, median, max]) => {
                format!("; {what} min/median/max {min:.3}/{median:.3}/{max:.3} ms")
            }
            None => String::new(),
        };
        let (dial, echo) = (shown("dial", dial), shown("round trip", echo));
        print(&format!(
            "{to}: {sent} sent, {answered} answered{dial}{echo}"
        ))
    }
}

fn refused(err: &OpError) -> bool {
    let plain = err.to_string().ends_with(": connection refused");
    plain && err.cause() == Cause::ConnectionRefused
}

/// The minimum, median and maximum, in milliseconds.
fn min_median_max(times: &mut [Duration]) -> Option<[f64; 3]> {
    times.sort_unstable();
    let median = times.get(times.len() / 2)?;
    Some([times.first()?, median, times.last()?].map(|&time| millis(time)))
}

fn millis(time: Duration) -> f64 {
    // Whole microseconds: more digits would be noise.
    time.as_micros() as f64 / 1_000.0
}
