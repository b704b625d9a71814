//! `virtnet wait`: until hosts are there.
//!
//! Owns what is checked before it begins. Never joins the network, so it needs no
//! secret, and takes no port.

use std::time::Duration;

use virtnet::Addr;

use super::end::End;
use super::options::Options;
use super::session::Signals;

pub(crate) async fn wait(
    options: Options,
    hosts: Vec<String>,
    timeout: Duration,
    signals: &mut Signals,
) -> Result<(), End> {
    let network = options.network()?;
    for host in &hosts {
        Addr::new(&*network, &**host, 0)?;
    }
    let config = options.shared_config()?;
    signals.or(config.wait_for_hosts(&hosts, timeout)).await??;
    Ok(())
}
