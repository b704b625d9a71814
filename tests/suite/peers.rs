//! Peers in other processes, which are killed and paused.
//!
//! Owns what the other side then sees, at both ends of connections. Never cuts off
//! machines, which `routed/outage.rs` does, or containers, which `compose/hosts.rs` does.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use crate::support::{BOUND, Running, SECRET, figure, member, start};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};
use virtnet::{Cause, Config, Conn, OpError, SubNetwork};
use virtnet_testkit::redis::RedisServer;

const CUT: Duration = Duration::from_secs(10);
const DIAL: Duration = Duration::from_secs(3);
/// Added to each bound, for a busy machine.
const SLACK: Duration = Duration::from_secs(2);

async fn join(server: &RedisServer) -> SubNetwork {
    let config = Config::new("virtnet").registry(server.url());
    let config = config.secret(SECRET.parse().unwrap());
    config.open().await.unwrap()
}

fn echo(server: &RedisServer) -> Running {
    let mut echo = member(&server.url(), &["echo", "β:1"]);
    let mut echo = start(echo.env("VIRTNET_LEASE", "9"));
    echo.expect_stdout("listening β:1\n");
    echo
}

/// Both directions of a connection at once, until each has failed.
async fn until_cut(conn: Conn) -> [Instant; 2] {
    let (mut reader, mut writer) = conn.into_split();
    let read = async {
        loop {
            match reader.read(&mut [0; 64]).await {
                Ok(0) => panic!("a cut is no end of file"),
                Ok(_) => {}
                Err(err) => break (Instant::now(), err),
            }
        }
    };
    let write = async {
        let mut now_and_then = interval(Duration::from_millis(100));
        loop {
            now_and_then.tick().await;
            if let Err(err) = writer.write_all(b"x").await {
                break (Instant::now(), err);
            }
        }
    };
    let ((read, why_read), (write, why_write)) = tokio::join!(read, write);
    for why in [why_read, why_write] {
        assert_eq!(why.kind(), ErrorKind::TimedOut, "{why}");
        assert!(OpError::of(&why).unwrap().is_unreachable(), "{why}");
    }
    [read, write]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_are_killed() {
    let server = RedisServer::start();
    let mut listens = echo(&server);
    let subnet = join(&server).await;
    let alpha = subnet.new_host("α").await.unwrap();
    let listener = alpha.listen("α:1").unwrap();
    let dialed = alpha.dial("β:1").await.unwrap();
    let mut dials = start(&mut member(&server.url(), &["dial", "--from", "γ", "α:1"]));
    let (accepted, from) = listener.accept().await.unwrap();
    assert_eq!(from, "γ:1");

    listens.kill();
    dials.kill();
    let since = Instant::now();
    let mut ends = JoinSet::new();
    for (side, conn) in [("dialed", dialed), ("accepted", accepted)] {
        ends.spawn(async move { (side, until_cut(conn).await) });
    }
    // One peer with a connection to the killed process, and one without.
    let delta = subnet.new_host("δ").await.unwrap();
    let mut refused = Duration::ZERO;
    for host in [&delta, &alpha] {
        let begun = Instant::now();
        let err = host.dial("β:1").await.unwrap_err();
        let took = begun.elapsed();
        // Its name is still leased when the first dial ends.
        let still = err.cause() == Cause::TimedOut;
        assert!(
            err.is_unreachable() && (still || host.name() == "α"),
            "{err}"
        );
        assert!(took < DIAL + SLACK, "{took:?}");
        refused = refused.max(took);
    }
    let mut said = Vec::new();
    while let Some(end) = timeout(BOUND, ends.join_next()).await.unwrap() {
        let (side, ended) = end.unwrap();
        let [read, write] = ended.map(|at| at - since);
        assert!(read < CUT + SLACK && write < CUT + SLACK);
        said.push(format!("{side}: {read:.1?} reading, {write:.1?} writing"));
    }
    said.sort();
    // And once its lease is over, what a test waits for is the same.
    let forgotten = async {
        loop {
            let err = alpha.dial("β:1").await.unwrap_err();
            assert!(err.is_unreachable(), "{err}");
            if err.cause() == Cause::NoSuchHost {
                break;
            }
        }
    };
    timeout(BOUND, forgotten).await.expect("its lease ends");
    figure(
        "peer killed",
        format!(
            "ends fail after ({}) of {CUT:?}, dials after {refused:.1?} of {DIAL:?}",
            said.join("; ")
        ),
    );
    subnet.close().await.unwrap();
}

/// Like a process that a debugger stops, or a suspended machine.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_paused() {
    const TOTAL: usize = 8 << 20;
    /// QUIC gives it up after 7 s.
    const PAUSE: Duration = Duration::from_secs(5);
    let server = RedisServer::start();
    let echo = echo(&server);
    let subnet = join(&server).await;
    let alpha = subnet.new_host("α").await.unwrap();
    let mut silent = alpha.dial("β:1").await.unwrap();
    let (mut reader, mut writer) = alpha.dial("β:1").await.unwrap().into_split();
    let sent: Vec<u8> = (0..TOTAL as u32 / 4).flat_map(u32::to_le_bytes).collect();
    let mut heard = vec![0; TOTAL];
    let (first, rest) = heard.split_at_mut(TOTAL / 4);
    let write = async {
        writer.write_all(&sent).await.unwrap();
        writer.shutdown().await.unwrap();
    };
    let read = async {
        // The transfer is in progress.
        reader.read_exact(first).await.unwrap();
        echo.signal("STOP");
        // The test is about the length of the pause; this waits for no condition.
        sleep(PAUSE).await;
        echo.signal("CONT");
        let resumed = Instant::now();
        reader.read_exact(rest).await.unwrap();
        assert_eq!(reader.read(&mut [0]).await.unwrap(), 0, "and then the end");
        resumed.elapsed()
    };
    let both = async { tokio::join!(write, read) };
    let ((), took) = timeout(BOUND, both).await.expect("it goes on");
    assert!(heard == sent, "byte by byte");
    silent.write_all(b"still here").await.unwrap();
    let mut back = [0; 10];
    let read = timeout(BOUND, silent.read_exact(&mut back)).await;
    read.unwrap().unwrap();
    assert_eq!(&back, b"still here");
    figure(
        "peer paused shorter than the idle bound",
        format!("paused for {PAUSE:?} within 8 MiB, which were there {took:.1?} after it"),
    );
    drop((silent, reader, writer));
    subnet.close().await.unwrap();
}

/// A program or a test that fails ends like this; its next run must not find the names in
/// use for the rest of the lease of 15 s.
#[test]
fn a_runtime_that_ends_frees_the_names() {
    let server = RedisServer::start();
    for (threads, ending) in [(0, "drop"), (2, "drop"), (0, "panic"), (2, "panic")] {
        let mut runtime = match threads {
            0 => tokio::runtime::Builder::new_current_thread(),
            _ => tokio::runtime::Builder::new_multi_thread(),
        };
        let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
        let program = async {
            let subnet = join(&server).await;
            let (alpha, beta) = (subnet.new_host("α").await?, subnet.new_host("β").await?);
            let listener = alpha.listen("α:1")?;
            let conns = tokio::try_join!(beta.dial("α:1"), listener.accept())?;
            assert_eq!(server.names().len(), 2);
            let held = (listener, alpha, beta, subnet, conns);
            match ending {
                // Held by a task that never ends.
                "drop" => drop(tokio::spawn(async move {
                    std::future::pending::<()>().await;
                    drop(held);
                })),
                _ => panic!("on purpose"),
            }
            Ok::<_, virtnet::OpError>(())
        };
        let run = std::panic::AssertUnwindSafe(|| runtime.block_on(program));
        let ended = std::panic::catch_unwind(run);
        assert_eq!(ended.is_err(), ending == "panic", "{ended:?}");
        let begin = Instant::now();
        drop(runtime);
        // What it shared otherwise expires.
        assert_eq!(server.names(), [""; 0], "{threads} {ending}");
        figure(
            &format!("{ending} with {threads} workers"),
            format!("names free after {:.1?}", begin.elapsed()),
        );
    }
}
