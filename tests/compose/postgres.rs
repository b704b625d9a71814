//! `examples/postgres`: the standby is cut off one way, and the primary is killed by its supervisor.
//!
//! Owns the outcome: the standby lags and catches up, is promoted, and clients follow. Never touches a
//! container.

use crate::docker::{Project, docker, until};
use crate::support::{Running, start};

/// What the standby must lag behind, in bytes of the log.
const LAG: u64 = 200_000;

/// The first value that a query returns; `None` if it failed.
fn ask(project: &Project, host: &str, query: &str) -> Option<String> {
    let output = project.exec("client", &[], &["psql", "-h", host, "-qAtc", query]);
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    output.status.success().then_some(text)
}

/// Bytes of the primary's log that the standby has not replayed.
fn lag(project: &Project) -> Option<u64> {
    let written = ask(project, "alpha", "select pg_current_wal_lsn()")?;
    let replayed = "pg_last_wal_replay_lsn()";
    let query = format!("select greatest(0, pg_wal_lsn_diff('{written}', {replayed}))");
    ask(project, "beta", &query)?.parse().ok()
}

/// Transactions in the history of pgbench.
fn transactions(project: &Project, host: &str) -> u64 {
    let count = ask(project, host, "select count(*) from pgbench_history");
    count.expect("it answers").parse().expect("it is a number")
}

fn pgbench(project: &Project) -> Running {
    let container = project.container("client");
    let bench = "exec -i CONTAINER pgbench -h alpha --client 2 --time 600 --progress 1";
    let bench = bench.split(' ').map(|word| match word {
        "CONTAINER" => container.as_str(),
        word => word,
    });
    start(docker(&[]).args(bench))
}

#[test]
#[ignore = "needs Docker and the images: tests/run.sh builds them and runs it"]
fn a_standby_catches_up_and_takes_over() {
    let project = Project::example("examples/postgres/docker-compose.yml");
    let streams = "select state from pg_stat_replication";
    let took = until("the standby streams", || {
        ask(&project, "alpha", streams).as_deref() == Some("streaming")
    });
    println!("postgres: ready after {took:.1?}");
    let init = ["pgbench", "-h", "alpha", "-i", "-q"];
    let init = project.exec("client", &[], &init);
    assert!(init.status.success(), "{init:?}");
    until("the standby has it", || lag(&project) == Some(0));

    // One way: the standby hears nothing, and the primary serves as before.
    project.fault("client", &["cut", "alpha", "beta", "--for", "120"]);
    let load = pgbench(&project);
    let took = until("the standby lags", || lag(&project) > Some(LAG));
    let (here, there) = (
        transactions(&project, "alpha"),
        transactions(&project, "beta"),
    );
    println!(
        "postgres: cut, and {LAG} bytes late after {took:.1?}, {there} of {here} transactions"
    );
    assert!(there < here);
    project.fault("client", &["heal"]);
    let end = "select count(pg_terminate_backend(pid)) from pg_stat_activity \
               where application_name = 'pgbench'";
    assert_eq!(ask(&project, "alpha", end).as_deref(), Some("2"));
    // It says why on stderr.
    assert_eq!(load.end().code, Some(2));
    let took = until("the standby has caught up", || lag(&project) == Some(0));
    let here = transactions(&project, "alpha");
    println!("postgres: healed, no lag after {took:.1?}, {here} transactions");
    assert_eq!(transactions(&project, "beta"), here);

    project.host("client", "kill", "alpha");
    assert_eq!(
        ask(&project, "beta", "select pg_promote()").as_deref(),
        Some("t")
    );
    let insert = "insert into pgbench_history (tid) values (0) returning pg_is_in_recovery()";
    let began = std::time::Instant::now();
    let written = project.exec("client", &[], &["psql-rw", "-qAtc", insert]);
    println!(
        "postgres: alpha is killed, a client writes after {:.1?}",
        began.elapsed()
    );
    assert_eq!(
        String::from_utf8_lossy(&written.stdout),
        "f\n",
        "{written:?}"
    );
    assert_eq!(transactions(&project, "beta"), here + 1);
}
