//! `virtnet hosts`: who is on the network, and where.
//!
//! Owns the two formats. Never joins the network, so it needs no secret.

use std::io::{self, IsTerminal};

use super::end::{End, print, print_json};
use super::options::Options;
use super::session::Signals;

pub(crate) async fn hosts(options: Options, json: bool, signals: &mut Signals) -> Result<(), End> {
    let config = options.shared_config()?;
    let hosts = signals.or(config.hosts()).await??;
    // Programs split the line at the tab; people want columns.
    let longest = hosts.iter().map(|(host, _)| host.chars().count()).max();
    let width = longest.filter(|_| io::stdout().is_terminal()).unwrap_or(0);
    for (host, address) in &hosts {
        if json {
            print_json(
                &[("host", (&**host).into()), ("address", (&**address).into())],
                &[],
            )?;
        } else {
            print(&format!("{host:<width$}\t{address}"))?;
        }
    }
    Ok(())
}
