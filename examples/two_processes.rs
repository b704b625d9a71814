//! A program talks to a second process of itself: `cargo run --example two_processes`.

use std::{env, error::Error, time::Duration};

use tokio::io::{AsyncWriteExt, copy, stdout};
use tokio::{process::Command, time::timeout};

async fn parent() -> Result<(), Box<dyn Error>> {
    let config = virtnet::testing::config()?.registry("local:");
    let net = config.open().await?;
    let listener = net.new_host("parent").await?.listen("parent:1")?;
    let mut command = Command::new(env::current_exe()?);
    command.env("VIRTNET_REGISTRY", "local:").arg("child");
    command.env("VIRTNET_NETWORK", net.network());
    let mut child = command.kill_on_drop(true).spawn()?;
    let (mut conn, peer) = tokio::select! {
        accepted = listener.accept() => accepted?,
        exit = child.wait() => Err(format!("the child ended early: {}", exit?))?,
    };
    conn.write_all(b"hello from the parent\n").await?;
    drop(conn);
    println!("{peer} ended: {}", child.wait().await?);
    Ok(net.close().await?)
}

async fn child() -> Result<(), Box<dyn Error>> {
    let net = virtnet::open().await?; // the network that the environment names
    let mut conn = net.new_host("child").await?.dial("parent:1").await?;
    copy(&mut conn, &mut stdout()).await?;
    Ok(net.close().await?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let bound = Duration::from_secs(20);
    match env::args().nth(1) {
        None => timeout(bound, parent()).await?,
        Some(_) => timeout(bound, child()).await?,
    }
}
