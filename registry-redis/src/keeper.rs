//! The keeper: the one background task of a registry value.
//!
//! Owns when abandoned names are freed. Never ends by itself: the registry that
//! started it ends it.

use std::sync::Arc;
use std::time::Duration;

use crate::inner::Inner;

/// The pause before trying again when names could not be freed; it doubles
/// from the first to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Frees names as they are abandoned.
pub(crate) async fn keep(inner: Arc<Inner>) {
    loop {
        inner.names.abandonment().await;
        let mut pause = FIRST_PAUSE;
        loop {
            let abandoned = inner.names.abandoned();
            if abandoned.is_empty() {
                break;
            }
            // What could not be freed is still on the list. Nobody is waiting
            // who could be told; closing tries again, and reports.
            if inner.free(inner.link.until(), &abandoned).await.is_err() {
                tokio::time::sleep(pause).await;
                pause = LONGEST_PAUSE.min(pause * 2);
            }
        }
    }
}
