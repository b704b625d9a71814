//! Which variable becomes which setting, and what of them is refused.
//!
//! Owns the checks of the environment's reading. Never sets a variable.

use super::*;

fn read(vars: &[(&str, &str)]) -> Result<Config, SettingError> {
    Config::from_vars(|name| {
        let var = vars.iter().find(|(var, _)| *var == name);
        var.map(|(_, value)| value.into())
    })
}

#[test]
fn nothing_set_is_the_default_network_in_this_process() {
    for vars in [&[][..], &[(NETWORK, ""), (SECRET, ""), (CA, "")]] {
        let config = read(vars).unwrap();
        assert_eq!(config.network.value, DEFAULT_NETWORK);
        assert_eq!(config.registry.value, crate::DEFAULT_REGISTRY);
        assert!(config.proof.is_none());
    }
}

#[test]
fn how_the_registry_is_used() {
    let vars = [
        (REGISTRY_CA, "a"),
        (REGISTRY_CERT, "b"),
        (REGISTRY_KEY, "c"),
        (LEASE, "0.5"),
    ];
    let access = read(&vars).unwrap().access;
    assert_eq!(access.ca, Some("a".into()));
    assert_eq!(access.identity, Some(("b".into(), "c".into())));
    assert_eq!(access.lease, Some(Duration::from_millis(500)));

    for (vars, said) in [
        (&vars[1..2], "VIRTNET_REGISTRY_KEY: it is not set"),
        (&vars[2..3], "VIRTNET_REGISTRY_CERT: it is not set"),
        (
            &[(LEASE, "soon")],
            "VIRTNET_LEASE \"soon\": expected a number of seconds",
        ),
        (
            &[(LEASE, "-1")],
            "VIRTNET_LEASE \"-1\": expected a number of seconds",
        ),
        (
            &[(LEASE, "NaN")],
            "VIRTNET_LEASE \"NaN\": expected a number of seconds",
        ),
    ] {
        let err = read(vars).unwrap_err().to_string();
        assert!(err.starts_with(said), "{err}");
    }
}

#[test]
fn what_is_logged() {
    let config = read(&[(KEYLOG, "yes"), (QLOG, "/x")]).unwrap();
    assert!(config.key_log.value);
    assert_eq!(config.qlog.unwrap().value, PathBuf::from("/x"));
    let config = read(&[(KEYLOG, "no")]).unwrap();
    assert!(!config.key_log.value && config.qlog.is_none());
    let err = read(&[(KEYLOG, "keys.log")]).unwrap_err().to_string();
    assert_eq!(err, "VIRTNET_KEYLOG \"keys.log\": expected yes or no");
}

#[test]
fn there_is_one_proof_and_the_whole_of_it() {
    let secret = "ab".repeat(32);
    assert!(matches!(
        read(&[(SECRET, &secret)]).unwrap().proof,
        Some(Proof::Secret(_))
    ));
    let file = read(&[(SECRET_FILE, "/x")]).unwrap();
    assert!(matches!(file.proof, Some(Proof::SecretFile(_))));
    let file = read(&[(SECRET_INIT_FILE, "/x")]).unwrap();
    assert!(matches!(file.proof, Some(Proof::SecretInitFile(_))));
    let files = read(&[(CA, "a"), (CERT, "b"), (KEY, "c")]).unwrap();
    assert!(matches!(files.proof, Some(Proof::PkiFiles(..))));

    for (vars, said) in [
        (
            &[(SECRET, "x"), (SECRET_FILE, "y")][..],
            "VIRTNET_SECRET: VIRTNET_SECRET_FILE is",
        ),
        (
            &[(SECRET_FILE, "x"), (SECRET_INIT_FILE, "y")],
            "VIRTNET_SECRET_FILE: VIRTNET_SECRET_INIT_FILE is",
        ),
        (
            &[(SECRET, "x"), (KEY, "y")],
            "VIRTNET_SECRET: VIRTNET_KEY is",
        ),
        (
            &[(SECRET_FILE, "x"), (CA, "y")],
            "VIRTNET_SECRET_FILE: VIRTNET_CA is",
        ),
        (&[(CA, "x"), (KEY, "y")], "VIRTNET_CERT: it is not set"),
        (&[(SECRET, "hunter2")], "VIRTNET_SECRET: the secret"),
    ] {
        let err = read(vars).unwrap_err().to_string();
        assert!(err.starts_with(said), "{err}");
        assert!(!err.contains("hunter2"), "{err}");
    }
}
