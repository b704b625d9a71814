//! The key log is written only if the configuration enables it, whatever the
//! environment says.
//!
//! Owns the check, in a child process with its own environment. Never reads a key.

use std::process::Command;

use virtnet_core::SubNetwork;
use virtnet_core::memory::MemoryHub;
use virtnet_engine_quic::{Identity, QuicConfig, Secret};

/// What the child does: one dial, with the key log on or off.
#[tokio::test]
#[ignore = "the child of the other"]
async fn child() {
    let on = std::env::var_os("LOG_KEYS").is_some();
    let config = QuicConfig::new(Identity::secret(Secret::random())).key_log(on);
    let prepared = config
        .bind("127.0.0.1:0".parse().unwrap())
        .prepare("net")
        .unwrap();
    let registry = std::sync::Arc::new(MemoryHub::new().registry());
    let net = SubNetwork::new("net", registry, |notifier| prepared.start(notifier)).unwrap();
    let alpha = net.new_host("α").await.unwrap();
    alpha.dial("α:1").await.unwrap_err();
    net.close().await.unwrap();
}

#[test]
fn keys_are_logged_only_when_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    for on in [false, true] {
        let file = dir.path().join("keys");
        let mut run = Command::new(std::env::current_exe().unwrap());
        run.args(["--ignored", "--exact", "key_log::child"])
            .env("SSLKEYLOGFILE", &file);
        if on {
            run.env("LOG_KEYS", "1");
        }
        assert!(run.output().unwrap().status.success());
        let keys = std::fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(keys.contains("CLIENT_TRAFFIC_SECRET_0"), on, "{on}: {keys}");
    }
}
