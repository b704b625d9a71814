//! `virtnet wait`: waits until hosts are on the network.
//!
//! Owns the checks before the wait. Never opens the network, so it needs no secret and no
//! UDP port.

use std::time::Duration;

use virtnet::Addr;

use super::exit::Exit;
use super::name;
use super::options::Options;
use super::session::Signals;

pub(crate) async fn wait(
    options: Options,
    hosts: Vec<String>,
    timeout: Duration,
    signals: &mut Signals,
) -> Result<(), Exit> {
    let network = options.network()?;
    let addrs = hosts.iter().map(|host| name::host(&network, host));
    let addrs = addrs.collect::<Result<Vec<_>, _>>()?;
    let hosts: Vec<_> = addrs.iter().map(Addr::host).collect();
    let observer = options.shared_config()?.observer();
    signals
        .or(observer.wait_for_hosts(&hosts, timeout))
        .await??;
    Ok(())
}
