//! An engine of your own that blocks one host: `cargo run --example own_engine`.

use std::{error::Error, sync::Arc};

use virtnet::pipe::{PipeEngine, Switchboard};
use virtnet::{Addr, ByteStream, Cause, Engine, Failure, Registry, SubNetwork, memory::MemoryHub};

/// The in-memory engine, except that nobody reaches γ.
struct Firewall(PipeEngine);
type Dialed = Result<(ByteStream, Addr), Failure>;

#[async_trait::async_trait]
impl Engine for Firewall {
    async fn vnet_new_host(&self, host: &str, registry: &dyn Registry) -> Result<(), Failure> {
        self.0.vnet_new_host(host, registry).await
    }
    async fn vnet_dial(&self, src: &Addr, dst: &Addr, place: &str) -> Dialed {
        println!("dialing from {src} to {dst} at {place}");
        match dst.host() {
            "γ" => Err(Failure::wrap(Cause::HostUnreachable, "blocked")),
            _ => self.0.vnet_dial(src, dst, place).await,
        }
    }
    async fn close(&self) -> Result<(), Failure> {
        self.0.close().await
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let registry = Arc::new(MemoryHub::new().registry());
    let engine = |notifier| Firewall(PipeEngine::new(&Switchboard::new(), notifier));
    let net = SubNetwork::new("walled", registry, engine)?;
    let (alpha, _gamma) = (net.new_host("α").await?, net.new_host("γ").await?);
    for dst in ["α:9", "γ:1"] {
        let err = alpha.dial(dst).await.expect_err("nobody listens there");
        println!("{err}");
    }
    Ok(net.close().await?)
}
