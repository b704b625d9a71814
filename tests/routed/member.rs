//! A program that uses virtnet, and keeps running while the network changes: it dials from
//! one host, and keeps its connections.
//!
//! Owns both sides: the program, which is this test binary started again on a machine of
//! the world, and the handle that sends it commands. Never decides which answer is
//! expected.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use virtnet::{Conn, Host};

use crate::support::BOUND;
use crate::world::{At, World};

/// The variable with the name of the program's host; without it, the test does nothing.
const HOST: &str = "ROUTED_HOST";

/// The start of the program's answers, to tell them from the test harness's output.
const ANSWER: &str = "answer: ";

/// The result of a command: how long it took, and the answer.
pub(crate) type Done = (Duration, Result<String, String>);

/// The running program. Dropping it kills it.
pub(crate) struct Member {
    child: Child,
    stdin: ChildStdin,
    answers: Receiver<String>,
}

impl Member {
    pub(crate) fn start(world: &World, at: At, host: &str) -> Member {
        let mut program = Command::new(std::env::current_exe().expect("it is running"));
        program.args(["--exact", "member::program", "--ignored", "--nocapture"]);
        // With the same settings as the command.
        for (name, value) in world.virtnet(at, &[]).get_envs() {
            match value {
                Some(value) => program.env(name, value),
                None => program.env_remove(name),
            };
        }
        let mut program = world.on(at, program.env(HOST, host));
        let program = program.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = program.spawn().expect("ip is installed");
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (tell, answers) = channel();
        std::thread::spawn(move || {
            let lines = BufReader::new(stdout).lines().map_while(Result::ok);
            // The harness has written the start of this line.
            let answers = lines.filter_map(|line| Some(line.split_once(ANSWER)?.1.to_owned()));
            answers.for_each(|answer| drop(tell.send(answer)));
        });
        let mut member = Member {
            child,
            stdin,
            answers,
        };
        let (_, joined) = member.answer();
        assert_eq!(joined.as_deref(), Ok(host));
        member
    }

    /// Dials, and keeps the connection; the answer has both addresses.
    pub(crate) fn dial(&mut self, to: &str) -> Done {
        self.ask(&format!("dial {to}"))
    }

    /// Sends a word over every connection to hosts that echo, and reads it back.
    pub(crate) fn talk(&mut self) -> Done {
        self.ask("talk")
    }

    fn ask(&mut self, order: &str) -> Done {
        writeln!(self.stdin, "{order}").expect("it reads");
        self.answer()
    }

    fn answer(&mut self) -> Done {
        let answer = self.answers.recv_timeout(BOUND).expect("it answers");
        let (kind, rest) = answer.split_once(' ').unwrap();
        let (millis, text) = rest.split_once(' ').unwrap();
        let text = text.to_owned();
        let took = Duration::from_millis(millis.parse().unwrap());
        (took, if kind == "done" { Ok(text) } else { Err(text) })
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program that [`Member`] starts. Not a test: without the variable it does nothing.
#[test]
#[ignore = "it is a part of the others"]
fn program() {
    if let Ok(name) = std::env::var(HOST) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(serve(&name)).unwrap();
    }
}

async fn serve(name: &str) -> Result<(), Box<dyn std::error::Error>> {
    let subnet = virtnet::open().await?;
    let host = subnet.new_host(name).await?;
    let mut kept = Vec::new();
    answer(Instant::now(), Ok(name.to_owned()));
    // A separate thread, because reading commands blocks.
    for order in std::io::stdin().lines() {
        let (order, begun) = (order?, Instant::now());
        let said = match order.split_once(' ') {
            Some(("dial", to)) => dial(&host, to, &mut kept).await,
            _ => talk(&mut kept).await,
        };
        answer(begun, said);
    }
    Ok(())
}

async fn dial(host: &Host, to: &str, kept: &mut Vec<Conn>) -> Result<String, String> {
    let conn = host.dial(to).await.map_err(in_one_line)?;
    let ends = format!("{}->{}", conn.local_addr(), conn.peer_addr());
    kept.push(conn);
    Ok(ends)
}

async fn talk(kept: &mut [Conn]) -> Result<String, String> {
    for conn in &mut *kept {
        let mut echo = [0; 8];
        let said = async {
            conn.write_all(b"are you?").await?;
            conn.read_exact(&mut echo).await
        };
        said.await.map_err(in_one_line)?;
        assert_eq!(&echo, b"are you?");
    }
    Ok(format!("{} connections", kept.len()))
}

/// An error as the command prints it, with its sources.
fn in_one_line(err: impl std::error::Error) -> String {
    let mut line = err.to_string();
    let mut source = err.source();
    while let Some(err) = source {
        let text = err.to_string();
        if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
        source = err.source();
    }
    line
}

fn answer(begun: Instant, said: Result<String, String>) {
    let (kind, text) = match said {
        Ok(text) => ("done", text),
        Err(text) => ("failed", text),
    };
    let took = begun.elapsed().as_millis();
    println!("{ANSWER}{kind} {took} {text}");
}
