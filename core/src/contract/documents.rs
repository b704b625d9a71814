//! Documents that the subnetworks of a network share, beside its names.
//!
//! Owns the trait [`Documents`], and the limits of keys, texts and lists with their checks. Never
//! knows what a document says: the parts of the core that share something do.

use std::time::Duration;

use async_trait::async_trait;

use crate::{Failure, RegistryError};

/// The largest document, in bytes of UTF-8. A registry that wraps another one may add a line to texts: what the core
/// writes leaves 128 bytes for it.
pub const MAX_DOCUMENT: usize = 256 * 1024;

/// The longest key of a document, in bytes.
pub const MAX_DOCUMENT_KEY: usize = 128;

/// The most documents that [`list`](Documents::list) returns.
pub const MAX_DOCUMENTS: usize = 16_384;

/// The most bytes of UTF-8 that the documents of one [`list`](Documents::list) have together.
pub const MAX_DOCUMENTS_SIZE: usize = 64 * 1024 * 1024;

/// The shortest lifetime of a document.
pub const MIN_DOCUMENT_LIFETIME: Duration = Duration::from_millis(100);

/// Small texts that all subnetworks of one network read and write. A [`Registry`](crate::Registry)
/// that has them returns them from [`documents`](crate::Registry::documents).
///
/// A key consists of the characters `a-z`, `0-9`, `/` and `-`, begins with another character than
/// `/`, and has at most [`MAX_DOCUMENT_KEY`] bytes. The part before the first `/`, or the whole
/// key, is its *topic*. A topic is what is listed and watched.
///
/// The registry does not lease documents: a document that was written with a lifetime disappears
/// after that time, and its writer writes it again for as long as it needs it. All documents can
/// disappear at once, such as when somebody flushes the server; writers must expect that.
///
/// Every call except [`changed`](Documents::changed) ends within the time that the registry
/// documents for its calls. Dropping a future cancels the call. A write that was cancelled, or that
/// failed, may have happened, and while the registry is slow it may still happen later: a write
/// that must not replace a newer text uses [`replace`](Documents::replace).
///
/// ```
/// use std::time::Duration;
/// use virtnet_core::Registry;
/// use virtnet_core::memory::MemoryHub;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let hub = MemoryHub::new();
/// let (writer, reader) = (hub.registry(), hub.registry());
/// let (writer, reader) = (writer.documents().unwrap(), reader.documents().unwrap());
///
/// writer.put("plan/1", "cut", Some(Duration::from_secs(30))).await?;
/// // First the number, then the documents: so no change is missed.
/// let seen = reader.changed("plan", 0).await?;
/// assert_eq!(reader.list("plan").await?, [("plan/1".into(), "cut".into())]);
///
/// let (removed, changed) = tokio::join!(writer.remove("plan/1"), reader.changed("plan", seen));
/// removed?;
/// assert_ne!(changed?, seen);
/// assert_eq!(reader.get("plan/1").await?, None);
/// # Ok(()) }
/// ```
///
/// # Errors
///
/// All methods report [`Cause::RegistryDown`](crate::Cause::RegistryDown) if the registry cannot
/// be reached or was closed, and [`Cause::Other`](crate::Cause::Other) for a key, a topic, a text
/// or a lifetime that is not allowed. Implementers check these with [`check_document`],
/// [`check_document_key`] and [`check_document_topic`].
#[async_trait]
pub trait Documents: Send + Sync {
    /// The text of a document, if it exists and has not expired.
    ///
    /// # Errors
    ///
    /// Those of the trait.
    async fn get(&self, key: &str) -> Result<Option<String>, RegistryError>;

    /// The documents of a topic with their keys, sorted by key. Documents that are written or
    /// removed during the call may or may not be listed.
    ///
    /// # Errors
    ///
    /// Those of the trait; [`Cause::Other`](crate::Cause::Other) if there are more than
    /// [`MAX_DOCUMENTS`], or if they have more than [`MAX_DOCUMENTS_SIZE`] bytes together.
    async fn list(&self, topic: &str) -> Result<Vec<(String, String)>, RegistryError>;

    /// Writes a document, which expires after `lifetime` (at least [`MIN_DOCUMENT_LIFETIME`]), or
    /// never.
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
    /// does not exist). Returns whether it was written. If several callers give the same `old` and
    /// texts that differ from it, one succeeds.
    ///
    /// # Errors
    ///
    /// Those of the trait. After [`Cause::RegistryDown`](crate::Cause::RegistryDown) it is
    /// unknown whether the document was written: read it again.
    async fn replace(
        &self,
        key: &str,
        old: Option<&str>,
        text: &str,
        lifetime: Option<Duration>,
    ) -> Result<bool, RegistryError>;

    /// Replaces a document as [`replace`](Documents::replace) does, then reads documents. Returns
    /// whether it was written, and the texts in the order of `keys`, as they were after that.
    ///
    /// A registry over a network can do both in one round trip.
    ///
    /// # Errors
    ///
    /// Those of [`replace`](Documents::replace), also if the document was written and the others
    /// could not be read.
    async fn replace_and_read(
        &self,
        key: &str,
        old: Option<&str>,
        text: &str,
        lifetime: Option<Duration>,
        keys: &[&str],
    ) -> Result<(bool, Vec<Option<String>>), RegistryError> {
        let written = self.replace(key, old, text, lifetime).await?;
        let mut texts = Vec::with_capacity(keys.len());
        for key in keys {
            texts.push(self.get(key).await?);
        }
        Ok((written, texts))
    }

    /// Removes a document, if it exists.
    ///
    /// # Errors
    ///
    /// Those of the trait.
    async fn remove(&self, key: &str) -> Result<(), RegistryError>;

    /// Waits until the change number of `topic` differs from `seen`, and returns it.
    ///
    /// Each write and each removal of a document changes the number. The new number is one that the
    /// topic has not had before, or 0, which it has only while the topic has no documents, such as
    /// before the first write. An expiry changes it to 0 at most. It is no count: several
    /// changes may be seen as one, and a later number may be lower.
    ///
    /// To miss no change, a caller first reads the number and then the documents. The call may
    /// return although no document has changed.
    ///
    /// While the registry cannot be reached, it waits or fails; when the registry is back, a change
    /// in between is seen.
    ///
    /// # Errors
    ///
    /// Those of the trait. The caller waits a moment before it calls again.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no change: the next call with the same `seen` returns it.
    async fn changed(&self, topic: &str, seen: u64) -> Result<u64, RegistryError>;

    /// Waits as [`changed`](Documents::changed) does, then reads documents. Returns the number, which was
    /// read before the documents, and their texts in the order of `keys`.
    ///
    /// A registry over a network can read number and documents in one round trip.
    ///
    /// # Errors
    ///
    /// Those of the trait.
    ///
    /// # Cancel safety
    ///
    /// As for [`changed`](Documents::changed).
    async fn changed_documents(
        &self,
        topic: &str,
        seen: u64,
        keys: &[&str],
    ) -> Result<(u64, Vec<Option<String>>), RegistryError> {
        let number = self.changed(topic, seen).await?;
        let mut texts = Vec::with_capacity(keys.len());
        for key in keys {
            texts.push(self.get(key).await?);
        }
        Ok((number, texts))
    }
}

/// Checks a document before it is written.
///
/// # Errors
///
/// A [`Failure`] with [`Cause::Other`](crate::Cause::Other) that names the key: for a key that is
/// not allowed, a text that is too long, a lifetime that is too short.
pub fn check_document(key: &str, text: &str, lifetime: Option<Duration>) -> Result<(), Failure> {
    check_document_key(key)?;
    if text.len() > MAX_DOCUMENT {
        return Err(Failure::other(format!(
            "document {key:?}: expected at most {MAX_DOCUMENT} bytes, got {}",
            text.len()
        )));
    }
    match lifetime {
        Some(lifetime) if lifetime < MIN_DOCUMENT_LIFETIME => Err(Failure::other(format!(
            "document {key:?}: expected a lifetime of at least {MIN_DOCUMENT_LIFETIME:?}, \
             got {lifetime:?}"
        ))),
        _ => Ok(()),
    }
}

/// Checks a document's key.
///
/// # Errors
///
/// A [`Failure`] with [`Cause::Other`](crate::Cause::Other) that shows the key.
pub fn check_document_key(key: &str) -> Result<(), Failure> {
    match is_allowed(key, "/-") && !key.starts_with('/') {
        true => Ok(()),
        false => Err(Failure::other(format!(
            "document key {:?}: expected 1 to {MAX_DOCUMENT_KEY} characters from a-z, 0-9, '/' and \
             '-', of which the first is not '/'",
            shown(key)
        ))),
    }
}

/// Checks a topic.
///
/// # Errors
///
/// A [`Failure`] with [`Cause::Other`](crate::Cause::Other) that shows the topic.
pub fn check_document_topic(topic: &str) -> Result<(), Failure> {
    match is_allowed(topic, "-") {
        true => Ok(()),
        false => Err(Failure::other(format!(
            "document topic {:?}: expected 1 to {MAX_DOCUMENT_KEY} characters from a-z, 0-9 and '-'",
            shown(topic)
        ))),
    }
}

/// Checks that a topic is not too large to be listed: with this many documents, which have this
/// many bytes together.
///
/// # Errors
///
/// A [`Failure`] with [`Cause::Other`](crate::Cause::Other) that names the topic.
pub fn check_document_list(topic: &str, count: usize, size: usize) -> Result<(), Failure> {
    let (most, of) = match (count > MAX_DOCUMENTS, size > MAX_DOCUMENTS_SIZE) {
        (true, _) => (MAX_DOCUMENTS, "documents"),
        (_, true) => (MAX_DOCUMENTS_SIZE, "bytes of documents"),
        _ => return Ok(()),
    };
    Err(Failure::other(format!(
        "document topic {topic:?}: expected at most {most} {of}, got more"
    )))
}

/// The topic of a key: the part before the first `/`.
pub fn document_topic(key: &str) -> &str {
    key.split_once('/').map_or(key, |(topic, _)| topic)
}

fn is_allowed(text: &str, others: &str) -> bool {
    let allowed = |c| matches!(c, 'a'..='z' | '0'..='9') || others.contains(c);
    !text.is_empty() && text.len() <= MAX_DOCUMENT_KEY && text.chars().all(allowed)
}

/// The start of a key that may be of any length.
fn shown(key: &str) -> String {
    key.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_topics_consist_of_few_characters() {
        let longest = "x".repeat(MAX_DOCUMENT_KEY);
        for key in ["a", "faults/plan", "0-9/a//b/", "-", &longest] {
            check_document_key(key).unwrap();
            check_document_topic(document_topic(key)).unwrap();
        }
        let too_long = "x".repeat(MAX_DOCUMENT_KEY + 1);
        for key in [
            "", "/", "/a", "A", "a b", "a.b", "a:b", "α", "a\n", &too_long,
        ] {
            let err = check_document_key(key).unwrap_err();
            assert_eq!(err.cause(), crate::Cause::Other);
            assert!(check_document_topic(key).is_err(), "{key}");
        }
        assert!(check_document_topic("a/b").is_err());
        let err = check_document_key("/a").unwrap_err();
        assert_eq!(
            err.to_string(),
            "document key \"/a\": expected 1 to 128 characters from a-z, 0-9, '/' and '-', of \
             which the first is not '/'"
        );
    }

    #[test]
    fn texts_lifetimes_and_lists_have_limits() {
        let text = "x".repeat(MAX_DOCUMENT);
        check_document("a", &text, Some(MIN_DOCUMENT_LIFETIME)).unwrap();
        check_document("a", "", None).unwrap();
        let err = check_document("a", &(text + "x"), None).unwrap_err();
        assert_eq!(
            err.to_string(),
            "document \"a\": expected at most 262144 bytes, got 262145"
        );
        let short = MIN_DOCUMENT_LIFETIME - Duration::from_nanos(1);
        let err = check_document("a", "", Some(short)).unwrap_err();
        assert_eq!(
            err.to_string(),
            "document \"a\": expected a lifetime of at least 100ms, got 99.999999ms"
        );
        check_document_list("a", MAX_DOCUMENTS, MAX_DOCUMENTS_SIZE).unwrap();
        for (count, size, text) in [
            (
                MAX_DOCUMENTS + 1,
                0,
                "expected at most 16384 documents, got more",
            ),
            (
                1,
                MAX_DOCUMENTS_SIZE + 1,
                "expected at most 67108864 bytes of documents, got more",
            ),
        ] {
            let err = check_document_list("a", count, size).unwrap_err();
            assert_eq!(err.to_string(), format!("document topic \"a\": {text}"));
        }
    }
}
