//! One host sends back what another one sends: `cargo run --example echo`.

use std::error::Error;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

async fn talk() -> Result<(), Box<dyn Error>> {
    let net = virtnet::testing::open().await?;
    let (alpha, beta) = (net.new_host("α").await?, net.new_host("β").await?);
    let listener = beta.listen("β:1")?;

    let echo = async {
        let (conn, peer) = listener.accept().await?;
        println!("β:1 accepted {peer} on {}", conn.local_addr());
        let (mut reader, mut writer) = conn.into_split();
        tokio::io::copy(&mut reader, &mut writer).await
    };
    let ask = async {
        let mut conn = alpha.dial("β:1").await?;
        conn.write_all(b"hello").await?;
        conn.shutdown().await?; // the other direction stays open
        let mut answer = String::new();
        conn.read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let (bytes, answer) = tokio::try_join!(echo, ask)?;
    println!("β sent back {bytes} bytes, α received {answer:?}");
    Ok(net.close().await?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    timeout(Duration::from_secs(20), talk()).await?
}
