//! Documents that the subnetworks of a network share, beside its names.
//!
//! Owns the trait [`Documents`]. Never knows what a document says: the parts of the core that
//! share something, such as the plan of faults, do.

use std::time::Duration;

use async_trait::async_trait;

use crate::RegistryError;

/// The largest document, in bytes of UTF-8.
pub const MAX_DOCUMENT: usize = 256 * 1024;

/// The longest key of a document, in bytes.
pub const MAX_DOCUMENT_KEY: usize = 128;

/// The most documents that [`list`](Documents::list) returns.
pub const MAX_DOCUMENTS: usize = 16_384;

/// Small texts that all subnetworks of one network read and write. A [`Registry`](crate::Registry)
/// that has them returns them from [`documents`](crate::Registry::documents).
///
/// A key is made of the characters `a-z`, `0-9`, `/`, `-`, at most [`MAX_DOCUMENT_KEY`] bytes.
/// The part before the first `/`, or the whole key, is its *topic*: changes are observed by
/// topic.
///
/// Documents are not leased by the registry: one that is written with a lifetime is gone when that
/// is over, and the writer writes it again as long as it needs it. All documents may vanish at once,
/// such as when somebody flushes the server; writers have to expect that.
///
/// Every call except [`changed`](Documents::changed) ends within the time that the registry
/// documents for its calls. Dropping a future cancels the call; a write may have happened then.
///
/// # Errors
///
/// All methods report [`Cause::RegistryDown`](crate::Cause::RegistryDown) if the registry cannot
/// be reached or was closed, and [`Cause::Other`](crate::Cause::Other) for a key or a text
/// that is too long or not allowed.
#[async_trait]
pub trait Documents: Send + Sync {
    /// The text of a document, if it exists and has not expired.
    ///
    /// # Errors
    ///
    /// Those of the trait.
    async fn get(&self, key: &str) -> Result<Option<String>, RegistryError>;

    /// The documents of a topic with their keys, sorted by key.
    ///
    /// # Errors
    ///
    /// Those of the trait; [`Cause::Other`](crate::Cause::Other) if there are more than
    /// [`MAX_DOCUMENTS`].
    async fn list(&self, topic: &str) -> Result<Vec<(String, String)>, RegistryError>;

    /// Writes a document, which expires after `lifetime` (at least 100 ms), or never.
    ///
    /// # Errors
    ///
    /// Those of the trait.
    async fn put(
        &self,
        key: &str,
        text: &str,
        lifetime: Option<Duration>,
    ) -> Result<(), RegistryError>;

    /// Writes a document as [`put`](Documents::put) does, if its text is still `old` (`None`: if it
    /// does not exist). Returns whether it was written. Of several callers with the same `old`, one
    /// succeeds.
    ///
    /// # Errors
    ///
    /// Those of the trait.
    async fn replace(
        &self,
        key: &str,
        old: Option<&str>,
        text: &str,
        lifetime: Option<Duration>,
    ) -> Result<bool, RegistryError>;

    /// Removes a document, if it exists.
    ///
    /// # Errors
    ///
    /// Those of the trait.
    async fn remove(&self, key: &str) -> Result<(), RegistryError>;

    /// Waits until the change number of `topic` differs from `seen`, and returns it.
    ///
    /// Every write and removal changes the number, expiry does not. It is 0 as long as nothing was
    /// ever written. It is no count: several changes may be seen as one, and after a flush of the server the
    /// number may be lower. A caller reads the number first and then the documents, so that it misses no
    /// change.
    ///
    /// While the registry cannot be reached, it waits or fails; when the registry is back, a change in
    /// between is seen.
    ///
    /// # Errors
    ///
    /// Those of the trait. The caller waits a moment before it calls again.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no change: the next call with the same `seen` returns it.
    async fn changed(&self, topic: &str, seen: u64) -> Result<u64, RegistryError>;
}

/// Checks a key and a text before a request is sent.
///
/// # Errors
///
/// A [`Failure`](crate::Failure) with [`Cause::Other`](crate::Cause::Other) that names the key.
pub fn check_document(key: &str, text: &str) -> Result<(), crate::Failure> {
    let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'/' | b'-');
    if key.is_empty() || key.len() > MAX_DOCUMENT_KEY || !key.bytes().all(allowed) {
        let shown: String = key.chars().take(80).collect();
        return Err(crate::Failure::other(format!(
            "document key {shown:?}: expected 1 to {MAX_DOCUMENT_KEY} characters from a-z, 0-9, '/' and '-'"
        )));
    }
    if text.len() > MAX_DOCUMENT {
        return Err(crate::Failure::other(format!(
            "document {key:?}: expected at most {MAX_DOCUMENT} bytes, got {}",
            text.len()
        )));
    }
    Ok(())
}

/// The topic of a key: the part before the first `/`.
pub fn document_topic(key: &str) -> &str {
    key.split_once('/').map_or(key, |(topic, _)| topic)
}
