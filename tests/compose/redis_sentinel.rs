//! `examples/redis-sentinel`: the primary is paused by its supervisor, and goes on.
//!
//! Owns the outcome: the replica is promoted, and the old primary comes back as its replica. Never
//! touches a container.

use crate::docker::{Project, until};

/// What redis-cli prints in the client's container; errors too.
fn cli(project: &Project, host: &str, args: &[&str]) -> String {
    let port = match host.starts_with("sentinel") {
        true => "26379",
        false => "6379",
    };
    let args = [&["redis-cli", "-h", host, "-p", port], args].concat();
    let output = project.exec("client", &[], &args);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn primary(project: &Project) -> String {
    let asked = ["sentinel", "get-master-addr-by-name", "main"];
    cli(project, "sentinel-1", &asked)
}

#[test]
#[ignore = "needs Docker and the images: tests/run.sh builds them and runs it"]
fn a_paused_primary_comes_back_as_a_replica() {
    let project = Project::example("examples/redis-sentinel/docker-compose.yml");
    let took = until("the Sentinels know each other and the replica", || {
        let quorum = cli(&project, "sentinel-1", &["sentinel", "ckquorum", "main"]);
        let replicas = cli(&project, "sentinel-1", &["sentinel", "replicas", "main"]);
        let role = cli(&project, "beta", &["role"]);
        quorum.starts_with("OK 3 usable Sentinels.")
            && replicas.starts_with("name\nbeta:6379\n")
            && role.starts_with("slave\nalpha\n6379\nconnected\n")
    });
    println!("redis-sentinel: ready after {took:.1?}");
    assert_eq!(primary(&project), "alpha\n6379\n");
    assert_eq!(cli(&project, "alpha", &["set", "before", "1"]), "OK\n");
    // The replica has acknowledged it.
    assert_eq!(cli(&project, "alpha", &["wait", "1", "30000"]), "1\n");

    project.host("client", "pause", "alpha");
    let took = until("the replica is promoted", || {
        primary(&project) == "beta\n6379\n"
            && cli(&project, "beta", &["role"]).starts_with("master\n")
    });
    println!("redis-sentinel: alpha is paused, beta is the primary after {took:.1?}");
    assert_eq!(cli(&project, "beta", &["get", "before"]), "1\n");
    assert_eq!(cli(&project, "beta", &["set", "meanwhile", "2"]), "OK\n");

    project.host("client", "resume", "alpha");
    let took = until("the old primary follows the new one", || {
        let role = cli(&project, "alpha", &["role"]);
        role.starts_with("slave\nbeta\n6379\nconnected\n")
    });
    println!("redis-sentinel: alpha goes on, a replica after {took:.1?}");
    until("it has what was written meanwhile", || {
        cli(&project, "alpha", &["get", "meanwhile"]) == "2\n"
    });
    let refused = cli(&project, "alpha", &["set", "after", "3"]);
    assert_eq!(
        refused,
        "READONLY You can't write against a read only replica.\n\n"
    );
    assert_eq!(primary(&project), "beta\n6379\n");
}
