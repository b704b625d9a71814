//! The names of environment variables: which are virtnet's, and which only look like it.
//!
//! Owns the list of names, and rejects any other that begins with `VIRTNET_`. Never reads a
//! value: `env.rs` does.

use std::ffi::OsString;

use crate::Config;
use crate::setting::SettingError;
use crate::trace::TRACE_ON_PANIC;

pub(crate) const NETWORK: &str = "VIRTNET_NETWORK";
pub(crate) const REGISTRY: &str = "VIRTNET_REGISTRY";
pub(crate) const SECRET: &str = "VIRTNET_SECRET";
pub(crate) const SECRET_FILE: &str = "VIRTNET_SECRET_FILE";
pub(crate) const SECRET_INIT_FILE: &str = "VIRTNET_SECRET_INIT_FILE";
pub(crate) const BIND: &str = "VIRTNET_BIND";
pub(crate) const ADVERTISE: &str = "VIRTNET_ADVERTISE";
pub(crate) const CA: &str = "VIRTNET_CA";
pub(crate) const CERT: &str = "VIRTNET_CERT";
pub(crate) const KEY: &str = "VIRTNET_KEY";
pub(crate) const REGISTRY_CA: &str = "VIRTNET_REGISTRY_CA";
pub(crate) const REGISTRY_CERT: &str = "VIRTNET_REGISTRY_CERT";
pub(crate) const REGISTRY_KEY: &str = "VIRTNET_REGISTRY_KEY";
pub(crate) const LEASE: &str = "VIRTNET_LEASE";
pub(crate) const SILENCE: &str = "VIRTNET_SILENCE";
pub(crate) const KEYLOG: &str = "VIRTNET_KEYLOG";
pub(crate) const QLOG: &str = "VIRTNET_QLOG";
pub(crate) const TRACE: &str = "VIRTNET_TRACE";
pub(crate) const GOLDEN: &str = "VIRTNET_GOLDEN";

/// All names that have a meaning. The last is the command's: the host to dial from.
const KNOWN: [&str; 21] = [
    NETWORK,
    REGISTRY,
    SECRET,
    SECRET_FILE,
    SECRET_INIT_FILE,
    BIND,
    ADVERTISE,
    CA,
    CERT,
    KEY,
    REGISTRY_CA,
    REGISTRY_CERT,
    REGISTRY_KEY,
    LEASE,
    SILENCE,
    KEYLOG,
    QLOG,
    TRACE,
    TRACE_ON_PANIC,
    GOLDEN,
    "VIRTNET_HOST",
];

const PREFIX: &str = "VIRTNET_";

/// For users' tests, and virtnet's own.
const FOR_TESTS: [&str; 2] = ["VIRTNET_TEST_", "VIRTNET_SIM_"];

/// The most letters that may be wrong in a name for which another is suggested.
const NEAR: usize = 3;

impl Config {
    /// Rejects unknown variables that begin with `VIRTNET_`, so that a misspelt name is
    /// noticed. [`from_env`](Config::from_env) does this first; call it yourself if you use
    /// [`from_vars`](Config::from_vars).
    ///
    /// It ignores empty variables, those that begin with `VIRTNET_TEST_`, which are for your
    /// own tests, and those that Kubernetes and Docker set for a service named `virtnet`,
    /// such as `VIRTNET_SERVICE_HOST` and `VIRTNET_PORT_6379_TCP_ADDR`.
    ///
    /// ```
    /// let vars = [("VIRTNET_REGISTY".into(), "redis://10.0.0.9".into())];
    /// assert_eq!(
    ///     virtnet::Config::check_vars(vars).unwrap_err().to_string(),
    ///     "VIRTNET_REGISTY: unknown setting: did you mean VIRTNET_REGISTRY?",
    /// );
    /// ```
    ///
    /// # Errors
    ///
    /// A [`SettingError`] that names the variable, and the setting with the most similar name.
    pub fn check_vars(
        vars: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<(), SettingError> {
        let set = vars.into_iter().filter(|(_, value)| !value.is_empty());
        let names = set.map(|(name, _)| name.to_string_lossy().into_owned());
        // The same one is named in any order of the environment.
        match names.filter(|name| is_unknown(name)).min() {
            None => Ok(()),
            Some(name) => {
                let problem = match nearest(&name) {
                    Some(known) => format!("unknown setting: did you mean {known}?"),
                    None => format!("unknown setting: expected one of {}", KNOWN.join(", ")),
                };
                Err(SettingError::new(name, None, problem))
            }
        }
    }
}

fn is_unknown(name: &str) -> bool {
    name.strip_prefix(PREFIX).is_some_and(|rest| {
        !KNOWN.contains(&name)
            && !FOR_TESTS.iter().any(|prefix| name.starts_with(prefix))
            && !is_of_a_service(rest)
    })
}

/// Whether container engines set it for a service whose name begins with `virtnet`.
fn is_of_a_service(rest: &str) -> bool {
    let rest = format!("_{rest}");
    let numbered = |(_, after): (&str, &str)| after.starts_with(|c: char| c.is_ascii_digit());
    ["_SERVICE_HOST", "_PORT"]
        .iter()
        .any(|end| rest.ends_with(end))
        || rest.contains("_SERVICE_PORT_")
        || rest.split_once("_PORT_").is_some_and(numbered)
}

/// The known name that is most similar to it, if one is similar.
fn nearest(name: &str) -> Option<&'static str> {
    let near = KNOWN
        .into_iter()
        .map(|known| (distance(name, known), known));
    let near = near
        .filter(|(wrong, _)| *wrong <= NEAR)
        .min_by_key(|(wrong, _)| *wrong);
    near.map(|(_, known)| known)
}

/// How many letters must be inserted, deleted or changed to turn one into the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut corner = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in other.iter().enumerate() {
            let changed = corner + usize::from(a != *b);
            corner = row[j + 1];
            row[j + 1] = changed.min(corner + 1).min(row[j] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(names: &[&str]) -> Result<(), String> {
        let vars = names.iter().map(|name| (name.into(), "x".into()));
        Config::check_vars(vars).map_err(|err| err.to_string())
    }

    #[test]
    fn a_misspelt_variable_is_refused_with_the_nearest_name() {
        for (name, known) in [
            ("VIRTNET_REGISTY", REGISTRY),
            ("VIRTNET_REGISRTY", REGISTRY),
            ("VIRTNET_NETWROK", NETWORK),
            ("VIRTNET_SECRETFILE", SECRET_FILE),
            ("VIRTNET_SECRET_INITFILE", SECRET_INIT_FILE),
            ("VIRTNET_KEY_LOG", KEYLOG),
        ] {
            let said = check(&["PATH", NETWORK, name]).unwrap_err();
            assert_eq!(
                said,
                format!("{name}: unknown setting: did you mean {known}?")
            );
        }
        for name in ["VIRTNET_SOMETHING_ELSE", "VIRTNET_registry"] {
            let far = check(&[name]).unwrap_err();
            let said = format!("{name}: unknown setting: expected one of VIRTNET_NETWORK, ");
            assert!(far.starts_with(&said), "{far}");
        }
        // The same one, in whatever order they come.
        let two = ["VIRTNET_B", "VIRTNET_A"];
        assert!(check(&two).unwrap_err().starts_with("VIRTNET_A: "));
    }

    #[test]
    fn what_is_known_empty_or_not_virtnets_passes() {
        assert_eq!(check(&KNOWN), Ok(()));
        let others = [
            "virtnet_registy",
            "VIRTNETS",
            "MY_VIRTNET_X",
            "VIRTNET_TEST_X",
            "VIRTNET_SIM_SEEDS",
            "VIRTNET_SERVICE_HOST",
            "VIRTNET_SERVICE_PORT",
            "VIRTNET_SERVICE_PORT_REDIS",
            "VIRTNET_PORT",
            "VIRTNET_PORT_6379_TCP",
            "VIRTNET_REDIS_SERVICE_HOST",
            "VIRTNET_REDIS_PORT",
            "VIRTNET_REDIS_PORT_6379_TCP_ADDR",
        ];
        assert_eq!(check(&others), Ok(()));
        assert!(Config::check_vars([("VIRTNET_X".into(), "".into())]).is_ok());
    }
}
