//! qlog: files with the QUIC events of each connection (feature `qlog`).
//!
//! Owns the folder and the names of its files. Never decides what is logged: quinn does.

use std::path::PathBuf;

/// The folder of the qlog files, if they are wanted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Qlog {
    dir: Option<PathBuf>,
}

impl Qlog {
    pub(crate) fn in_dir(dir: PathBuf) -> Qlog {
        Qlog { dir: Some(dir) }
    }
}

#[cfg(not(feature = "qlog"))]
mod without {
    use std::net::SocketAddr;

    use quinn::TransportConfig;
    use virtnet_core::Failure;

    use super::Qlog;

    impl Qlog {
        /// Refuses a folder: without the feature nothing would be written there.
        pub(crate) fn check(&self) -> Result<(), Failure> {
            match &self.dir {
                None => Ok(()),
                Some(dir) => Err(Failure::other(format!(
                    "qlog folder {dir:?}: this program was built without virtnet's feature `qlog`"
                ))),
            }
        }

        pub(crate) fn record(&self, _: &mut TransportConfig, _: (&str, &str, SocketAddr)) {}
    }
}

#[cfg(feature = "qlog")]
mod files {
    use std::fs::{File, create_dir_all};
    use std::io::{self, ErrorKind, LineWriter};
    use std::net::SocketAddr;
    use std::path::Path;
    use std::process;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    use quinn::{QlogConfig, TransportConfig};
    use virtnet_core::Failure;

    use super::Qlog;

    /// How many characters of a host's name a file's name has: with the whole name, of up
    /// to 255 bytes, it would be too long.
    const SHOWN: usize = 32;

    impl Qlog {
        /// Creates the folder.
        pub(crate) fn check(&self) -> Result<(), Failure> {
            let Some(dir) = &self.dir else { return Ok(()) };
            create_dir_all(dir).map_err(|err| Failure::other(format!("qlog folder {dir:?}: {err}")))
        }

        /// Logs the connection that is made with `transport`. If its file cannot be created,
        /// a warning is logged, and the connection has no qlog.
        pub(crate) fn record(
            &self,
            transport: &mut TransportConfig,
            (host, does, peer): (&str, &str, SocketAddr),
        ) {
            let Some(dir) = &self.dir else { return };
            let file = match new_file(dir, host, does, peer) {
                Ok(file) => file,
                Err(err) => {
                    tracing::warn!(host, %peer, ?dir, %err, "cannot create the qlog file of a connection");
                    return;
                }
            };
            let mut config = QlogConfig::default();
            config
                .writer(Box::new(LineWriter::new(file)))
                .title(Some(format!("{host} {does} {peer}")));
            transport.qlog_stream(config.into_stream());
        }
    }

    fn new_file(dir: &Path, host: &str, does: &str, peer: SocketAddr) -> io::Result<File> {
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        let plain = |c: char| if c.is_alphanumeric() { c } else { '-' };
        let does = does.replace(' ', "-");
        let host: String = host.chars().map(plain).take(SHOWN).collect();
        let (ip, port) = (peer.ip().to_string().replace(':', "-"), peer.port());
        loop {
            let (process, number) = (process::id(), NUMBER.fetch_add(1, Relaxed));
            let name = format!("{host}-{does}-{ip}-{port}-{process}-{number}.sqlog");
            match File::create_new(dir.join(name)) {
                // A process of another container has the same id.
                Err(err) if err.kind() == ErrorKind::AlreadyExists => {}
                made => return made,
            }
        }
    }
}
