//! How a subnetwork takes part in the network's plan of faults.
//!
//! Owns [`SubNetwork::faults`], and the way from a member's control to the subnetwork's hosts.
//! Never reads or writes a document.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::Instant;

use crate::context::Context;
use crate::context::rules::Unenforced;
use crate::control::BoxFuture;
use crate::control::enforcing::{Enforcer, Refused, SILENCE};
use crate::faults::{FaultTable, Faults};
use crate::subnet::directory::Directory;
use crate::{Addr, Cause, Failure, SubNetwork};

/// The source port of a dial that only asks for a sign of life; its destination port is 0, where nobody
/// listens. It takes no port.
pub(crate) const ASKING: u16 = u16::MAX;

/// The time limit of one such dial.
const ASKED: Duration = Duration::from_secs(3);

impl SubNetwork {
    /// The faults of the network: to cut, hold, refuse, reset and shape what its hosts send to each
    /// other, on whichever subnetworks they are.
    pub fn faults(&self) -> Faults {
        let context = Arc::clone(&self.directory.context);
        let owner = Arc::clone(&self.directory);
        Faults::new(Arc::clone(&self.control), Some(context), owner)
    }
}

/// The hosts of a subnetwork, as long as it lives.
pub(crate) struct Hosts(pub(crate) Weak<Directory>);

impl Enforcer for Hosts {
    fn enforce(&self, table: &Arc<FaultTable>) -> Result<(), Vec<Refused>> {
        let Some(directory) = self.0.upgrade() else {
            return Ok(());
        };
        let enforced = directory.enforce(table);
        enforced.map_err(|refused| {
            let refused = refused.into_iter();
            let refused = refused.map(|Unenforced { rule, why }| Refused {
                rule,
                why: why.to_owned(),
            });
            refused.collect()
        })
    }

    fn ping(&self, from: &str, to: &str) -> BoxFuture<bool> {
        let context = self
            .0
            .upgrade()
            .map(|directory| Arc::clone(&directory.context));
        let (from, to) = (from.to_owned(), to.to_owned());
        Box::pin(async move {
            match context {
                Some(context) => answers(&context, &from, to).await,
                None => true,
            }
        })
    }

    fn silence(&self) -> Duration {
        let directory = self.0.upgrade();
        directory.map_or(SILENCE, |directory| directory.context.engine().idle_bound())
    }
}

/// Whether `to` answers a dial of `from` to its port 0, which it always refuses.
async fn answers(context: &Context, from: &str, to: String) -> bool {
    let network = &context.network;
    let src = Addr::unchecked(Arc::clone(network), from.into(), ASKING);
    let dst = Addr::unchecked(Arc::clone(network), to.as_str().into(), 0);
    let (engine, registry) = (Arc::clone(context.engine()), Arc::clone(&context.registry));
    let dial = async move {
        let by = Instant::now() + ASKED;
        let dial = async {
            let hostdata = registry.query(&to).await?;
            engine.vnet_dial_by(&src, &dst, &hostdata, by).await
        };
        let dialed = tokio::time::timeout_at(by, dial).await;
        dialed
            .unwrap_or_else(|_| Err(Cause::TimedOut.into()))
            .map(drop)
    };
    let unreachable = |why: Failure| match why.cause() {
        Cause::NoSuchHost => false,
        Cause::RegistryDown => true,
        cause => cause.is_unreachable(),
    };
    !context.run(dial).await.is_err_and(unreachable)
}
