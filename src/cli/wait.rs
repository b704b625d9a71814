//! `virtnet wait`: until hosts are there.
//!
//! Owns what is checked before it begins. Never joins the network, so it needs no
//! secret, and takes no port.

use std::time::Duration;

use virtnet::Addr;

use super::end::End;
use super::name;
use super::options::Options;
use super::session::Signals;

pub(crate) async fn wait(
    options: Options,
    hosts: Vec<String>,
    timeout: Duration,
    signals: &mut Signals,
) -> Result<(), End> {
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
