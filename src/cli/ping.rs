//! `virtnet ping`: whether a host is there, and how long it takes to get there and
//! back.
//!
//! Owns what is sent and measured, and both formats. Never retries: what is not
//! answered is counted.

use std::time::{Duration, Instant};

use clap::Args;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{MissedTickBehavior, interval, timeout};
use virtnet::{Addr, Cause, Host, OpError};

use super::end::{End, one_line, print, print_json};
use super::name::{self, OwnName};
use super::options::{Options, seconds};
use super::session::{Signals, with_subnetworks};

#[derive(Debug, Args)]
pub(crate) struct Ping {
    /// The host, as β; or where one sends back what it is sent, as β:1
    target: String,
    /// The host to dial from, which is created [env: VIRTNET_HOST, or a name that
    /// begins so while that is taken] [default: a name that is random]
    #[arg(long, value_name = "HOST")]
    from: Option<String>,
    /// How many dials; 0 for until SIGTERM or SIGINT
    #[arg(long, short, value_name = "NUMBER", default_value_t = 5)]
    count: u64,
    /// The time from one to the next
    #[arg(long, short, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    interval: Duration,
    /// How long to wait for each
    #[arg(long, value_name = "SECONDS", default_value = "3", value_parser = seconds)]
    timeout: Duration,
    /// How much is sent to be sent back; 0 for the dial alone, where what listens is
    /// no echo
    #[arg(long, short, value_name = "BYTES", default_value_t = 56,
        value_parser = clap::value_parser!(u32).range(..=1 << 20))]
    size: u32,
    /// Print one JSON object a line, with "seq", and "dial_ms" and "echo_ms" or "error"
    #[arg(long)]
    json: bool,
}

/// How much longer than that it waits, as a dial that ends just then says why.
const REASON: Duration = Duration::from_millis(100);

/// How long the parts of an answered one took.
struct Answer {
    dial: Duration,
    /// There and back, where it was asked for.
    echo: Option<Duration>,
}

pub(crate) async fn ping(options: Options, ping: Ping, signals: &mut Signals) -> Result<(), End> {
    let network = options.network()?;
    let to = target(&network, &ping.target)?;
    let from = OwnName::read(&network, ping.from.as_deref(), "ping")?;
    let mut tally = Tally::default();
    let pinged = with_subnetworks(
        vec![options.shared_config()?],
        signals,
        async |subnets, _| {
            let host = from.host(&subnets[0], Duration::ZERO).await?;
            let mut ticks = interval(ping.interval.max(Duration::from_micros(1)));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while ping.count == 0 || tally.sent < ping.count {
                ticks.tick().await;
                tally.sent += 1;
                let answer = match timeout(ping.timeout + REASON, ping.once(&host, &to)).await {
                    Ok(answer) => answer,
                    Err(_) => Err(format!("no answer within {:?}", ping.timeout)),
                };
                ping.tell(&to, tally.sent, &answer)?;
                tally.add(answer);
            }
            Ok(())
        },
    )
    .await;
    tally.tell(&ping, &to)?;
    pinged?;
    match tally.sent - tally.answered {
        0 => Ok(()),
        lost => Err(End::Failed(format!(
            "{lost} of {} were not answered",
            tally.sent
        ))),
    }
}

/// `β` is port 0, on which nothing listens: it is refused by the host that is there.
fn target(network: &str, target: &str) -> Result<Addr, End> {
    match target.contains(':') && !target.ends_with(']') {
        true => Ok(Addr::parse(network, target)?),
        false => name::host(network, target),
    }
}

impl Ping {
    async fn once(&self, host: &Host, to: &Addr) -> Result<Answer, String> {
        let began = Instant::now();
        let dialed = host.dial(to).await;
        let dial = began.elapsed();
        let mut conn = match dialed {
            Ok(conn) => conn,
            // Without more words: others are of hosts that let nobody in.
            Err(err) if to.port() == 0 && refused(&err) => {
                return Ok(Answer { dial, echo: None });
            }
            Err(err) => return Err(one_line(&err)),
        };
        if self.size == 0 {
            return Ok(Answer { dial, echo: None });
        }
        let sent = vec![b'v'; self.size as usize];
        let mut back = vec![0; sent.len()];
        let began = Instant::now();
        let there_and_back = async {
            conn.write_all(&sent).await?;
            conn.read_exact(&mut back).await
        };
        let broken = |err| {
            format!(
                "what listens on {to} does not send back: {}",
                one_line(&err)
            )
        };
        there_and_back.await.map_err(broken)?;
        if back != sent {
            return Err(format!("what listens on {to} sends back something else"));
        }
        let echo = Some(began.elapsed());
        Ok(Answer { dial, echo })
    }

    fn tell(&self, to: &Addr, seq: u64, answer: &Result<Answer, String>) -> Result<(), End> {
        if self.json {
            let echo =
                |answer: &Answer| answer.echo.map_or(Value::Null, |echo| millis(echo).into());
            return match answer {
                Ok(answer) => print_json(
                    &[("seq", seq.into())],
                    &[
                        ("dial_ms", millis(answer.dial).into()),
                        ("echo_ms", echo(answer)),
                    ],
                ),
                Err(err) => print_json(&[("seq", seq.into())], &[("error", (&**err).into())]),
            };
        }
        match answer {
            Ok(Answer { dial, echo: None }) => {
                print(&format!("{to} {seq}: dial {:.3} ms", millis(*dial)))
            }
            Ok(Answer {
                dial,
                echo: Some(echo),
            }) => print(&format!(
                "{to} {seq}: dial {:.3} ms, there and back {:.3} ms",
                millis(*dial),
                millis(*echo)
            )),
            Err(err) => print(&format!("{to} {seq}: {err}")),
        }
    }
}

/// How many answers the summary is of, at the most: the last ones.
const REMEMBERED: u64 = 100_000;

fn put(times: &mut Vec<Duration>, place: usize, time: Duration) {
    match times.get_mut(place) {
        Some(old) => *old = time,
        None => times.push(time),
    }
}

/// All of it.
#[derive(Default)]
struct Tally {
    sent: u64,
    answered: u64,
    dials: Vec<Duration>,
    echoes: Vec<Duration>,
}

impl Tally {
    fn add(&mut self, answer: Result<Answer, String>) {
        if let Ok(answer) = answer {
            let place = (self.answered % REMEMBERED) as usize;
            put(&mut self.dials, place, answer.dial);
            if let Some(echo) = answer.echo {
                put(&mut self.echoes, place, echo);
            }
            self.answered += 1;
        }
    }

    fn tell(&mut self, ping: &Ping, to: &Addr) -> Result<(), End> {
        let (sent, answered) = (self.sent, self.answered);
        if sent == 0 {
            return Ok(());
        }
        let (dial, echo) = (spread(&mut self.dials), spread(&mut self.echoes));
        if ping.json {
            let spread =
                |spread: Option<[f64; 3]>| spread.map_or(Value::Null, |s| s.to_vec().into());
            return print_json(
                &[("sent", sent.into()), ("answered", answered.into())],
                &[("dial_ms", spread(dial)), ("echo_ms", spread(echo))],
            );
        }
        let shown = |what: &str, spread: Option<[f64; 3]>| match spread {
            Some([min, median, max]) => {
                format!("; {what} min/median/max {min:.3}/{median:.3}/{max:.3} ms")
            }
            None => String::new(),
        };
        let (dial, echo) = (shown("dial", dial), shown("there and back", echo));
        print(&format!(
            "{to}: {sent} sent, {answered} answered{dial}{echo}"
        ))
    }
}

fn refused(err: &OpError) -> bool {
    let plain = err.to_string().ends_with(": connection refused");
    plain && err.cause() == Cause::ConnectionRefused
}

/// Least, median and most, in milliseconds.
fn spread(times: &mut [Duration]) -> Option<[f64; 3]> {
    times.sort_unstable();
    let median = times.get(times.len() / 2)?;
    Some([times.first()?, median, times.last()?].map(|&time| millis(time)))
}

fn millis(time: Duration) -> f64 {
    // Whole microseconds: clocks tell no more that would be of use.
    time.as_micros() as f64 / 1_000.0
}
