//! The wait until other hosts are announced.
//!
//! Owns [`SubNetwork::wait_for_hosts`]. Never makes a host.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::context::Context;
use crate::error::Op;
use crate::{Cause, Failure, OpError, SubNetwork};

/// How often the registry is asked for missing hosts.
const LOOK: Duration = Duration::from_millis(50);

impl SubNetwork {
    /// Waits until all of `hostnames` are announced, at most for `timeout`: so that a test
    /// starts when every host is there.
    ///
    /// Asks the registry every 50 ms. It also waits while the registry is down.
    ///
    /// # Errors
    ///
    /// An [`OpError`] whose cause is [`Cause::TimedOut`] and whose text names the missing
    /// hosts; or whose cause is [`Cause::NetworkDown`], or another one that the registry
    /// reports.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use virtnet_core::pipe::PipeNetwork;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let network = PipeNetwork::new("pipet")?;
    /// let (here, there) = (network.subnetwork(), network.subnetwork());
    /// let beta = there.new_host("β").await?;
    /// here.wait_for_hosts(&["β"], Duration::from_secs(10)).await?;
    ///
    /// let missing = here.wait_for_hosts(&["β", "γ"], Duration::ZERO).await.unwrap_err();
    /// assert_eq!(
    ///     missing.to_string(),
    ///     r#"virtnet "pipet": wait for hosts: within 0ns there was no "γ""#,
    /// );
    /// # Ok(()) }
    /// ```
    pub async fn wait_for_hosts<S: AsRef<str>>(
        &self,
        hostnames: &[S],
        timeout: Duration,
    ) -> Result<(), OpError> {
        let missing: Vec<&str> = hostnames.iter().map(AsRef::as_ref).collect();
        let waited = wait_until_announced(&self.directory.context, missing, timeout).await;
        waited.map_err(|why| OpError::new(Op::WaitForHosts, self.network(), None, None, why))
    }
}

/// Waits until all of `missing` are announced.
async fn wait_until_announced(
    context: &Context,
    mut missing: Vec<&str>,
    timeout: Duration,
) -> Result<(), Failure> {
    // Before the timer is made: its runtime may be gone.
    context.down.check()?;
    // Without a deadline, if it is too late for the clock to tell.
    let deadline = Instant::now().checked_add(timeout);
    let mut look = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            biased;
            why = context.down.wait() => return Err(why.clone()),
            _ = look.tick() => {}
        }
        let (mut absent, mut outage) = (Vec::new(), None);
        let mut names = missing.into_iter();
        while outage.is_none()
            && let Some(hostname) = names.next()
        {
            match find(context, hostname).await {
                Ok(()) => continue,
                Err(why) if why.cause() == Cause::NoSuchHost => {}
                Err(why) if why.cause() == Cause::RegistryDown => outage = Some(why),
                Err(why) => return Err(why),
            }
            absent.push(hostname);
        }
        // While the registry is down, one call a round is enough to wait for.
        absent.extend(names);
        missing = absent;
        if missing.is_empty() {
            return Ok(());
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Err(outage.unwrap_or_else(|| timed_out(&missing, timeout)));
        }
    }
}

/// Fails unless the host is announced now, even if the registry remembers an older answer.
async fn find(context: &Context, hostname: &str) -> Result<(), Failure> {
    let (registry, hostname) = (Arc::clone(&context.registry), hostname.to_owned());
    let find = async move {
        let answer = registry.query(&hostname).await?;
        registry.requery(&hostname, &answer).await?;
        Ok(())
    };
    context.run(find).await
}

/// Names the hosts that were still missing after `timeout`.
fn timed_out(missing: &[&str], timeout: Duration) -> Failure {
    let names: Vec<_> = missing.iter().map(|name| format!("{name:?}")).collect();
    let what = format!("within {timeout:?} there was no {}", names.join(", "));
    Failure::wrap(Cause::TimedOut, what)
}
