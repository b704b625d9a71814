//! The content of the folder: names, stale files, damaged files, permissions.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

use crate::support::*;
use virtnet_core::{Cause, Registry};
use virtnet_registry_local::LocalRegistry;

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
}

/// The cause, and the error with all that lies beneath it.
fn refused(dir: &Path) -> (Cause, String) {
    let err = LocalRegistry::open(dir, "n").unwrap_err();
    let beneath = std::error::Error::source(&err).map(ToString::to_string);
    (
        err.cause(),
        format!("{err}: {}", beneath.unwrap_or_default()),
    )
}

#[tokio::test]
async fn all_is_for_its_user_alone() {
    let temp = temp();
    let dir = temp.path().join("virtnet");
    let registry = open(&dir);
    registry.announce("α", ADDR).await.unwrap();
    assert_eq!((mode(&dir), mode(registry.folder())), (0o700, 0o700));
    assert_eq!(mode(&only_file(registry.folder())), 0o600);
    registry.close().await.unwrap();
    assert_eq!(files(registry.folder()).len(), 0);
}

#[test]
fn a_folder_that_is_not_its_users_alone_is_refused() {
    let temp = temp();
    let at = |name: &str| temp.path().join(name);
    for (name, mode) in [("group", 0o750), ("other", 0o701), ("all", 0o777)] {
        fs::create_dir(at(name)).unwrap();
        fs::set_permissions(at(name), Permissions::from_mode(mode)).unwrap();
        let (cause, said) = refused(&at(name));
        assert_eq!(cause, Cause::PermissionDenied, "{said}");
        assert!(said.contains(at(name).to_str().unwrap()), "{said}");
        assert!(said.contains("open to other users"), "{said}");
    }
    // Where anybody may put another in its place. In /tmp nobody may.
    fs::create_dir(at("all/own")).unwrap();
    fs::set_permissions(at("all/own"), Permissions::from_mode(0o700)).unwrap();
    assert!(
        refused(&at("all/own"))
            .1
            .contains("could be replaced by any user")
    );
    fs::set_permissions(at("all"), Permissions::from_mode(0o1777)).unwrap();
    open(&at("all/own"));

    symlink(at("all/own"), at("link")).unwrap();
    for link in [at("link"), at("link/"), at("link/.")] {
        assert!(refused(&link).1.contains("symbolic link"));
    }
    fs::write(at("file"), "").unwrap();
    assert!(refused(&at("file")).1.contains("is not a folder"));
    let (cause, said) = refused(&at("nowhere/virtnet"));
    assert_eq!(cause, Cause::RegistryDown, "{said}");
    assert!(said.contains("nowhere/virtnet\": No such file"), "{said}");
    // Looking makes nothing, and takes no more on trust.
    assert!(
        LocalRegistry::list(&at("none"), "n")
            .unwrap()
            .hosts
            .is_empty()
    );
    assert!(!at("none").exists());

    // Whoever may give files away sees what another's are to it.
    if rustix::process::geteuid().is_root() {
        chown(at("all/own"), Some(4_711), None).unwrap();
        let (cause, said) = refused(&at("all/own"));
        assert_eq!(cause, Cause::PermissionDenied, "{said}");
        assert!(said.contains("belongs to user 4711"), "{said}");
        let err = LocalRegistry::list(&at("all/own"), "n").unwrap_err();
        assert_eq!(err.cause(), Cause::PermissionDenied);
    }
}

#[tokio::test]
async fn names_of_all_kinds_are_files_in_the_folder_and_nothing_else() {
    let temp = temp();
    let dir = temp.path().join("a/b/c");
    fs::create_dir_all(dir.parent().unwrap()).unwrap();
    let long = "ä".repeat(127) + "x";
    let names = [
        ".",
        "..",
        "/",
        "../../x",
        "/etc/passwd",
        "a/b",
        "a:b",
        "secret",
        "draft-1-1",
        "-rf",
        "*",
        "~",
        " ",
        "A",
        "a",
        "é",
        "e\u{301}",
        "\u{202e}",
        &long,
    ];
    // As names of hosts and of networks.
    let registries = names.map(|network| LocalRegistry::open(&dir, network).unwrap());
    for registry in &registries {
        for name in names {
            registry
                .announce(name, &format!("data of {name}"))
                .await
                .unwrap();
        }
    }
    for (registry, network) in registries.iter().zip(names) {
        assert_eq!(files(registry.folder()).len(), names.len());
        assert_eq!(registry.folder().parent(), Some(&*dir));
        let listed = LocalRegistry::list(&dir, network).unwrap();
        assert_eq!(listed.hosts.len(), names.len());
        for name in names {
            assert_eq!(
                registry.query(name).await.unwrap(),
                format!("data of {name}")
            );
            assert_eq!(listed.hosts[name].hostdata, format!("data of {name}"));
            assert_eq!(listed.hosts[name].pid, std::process::id());
        }
        registry.close().await.unwrap();
        assert_eq!(files(registry.folder()).len(), 0);
    }
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1);
    assert_eq!(files(&dir).len(), names.len());

    let registry = open(&dir);
    let too_long = "x".repeat(256);
    for name in ["", "a\nb", "\0", &too_long] {
        let err = registry.announce(name, ADDR).await.unwrap_err();
        assert_eq!(err.cause(), Cause::InvalidAddr, "{err}");
        let err = registry.query(name).await.unwrap_err();
        assert_eq!(err.cause(), Cause::InvalidAddr, "{err}");
        let err = LocalRegistry::open(&dir, name).unwrap_err();
        assert_eq!(err.cause(), Cause::InvalidAddr, "{err}");
    }
    let err = registry
        .announce("a", &"x".repeat(4_097))
        .await
        .unwrap_err();
    assert!(err.to_string().contains("4097 bytes"), "{err}");
    assert_eq!(files(registry.folder()).len(), 0);
}

#[tokio::test]
async fn what_is_left_is_no_answer_and_goes_with_the_next_holder() {
    let dir = temp();
    let registry = open(dir.path());
    let (left, file) = Left::of("a").await;
    let path = registry.folder().join(file);
    assert!(left.put(&path));
    let err = registry.query("a").await.unwrap_err();
    assert_eq!(err.cause(), Cause::NoSuchHost);
    assert!(
        LocalRegistry::list(dir.path(), "n")
            .unwrap()
            .hosts
            .is_empty()
    );
    registry.announce("a", ADDR).await.unwrap();
    assert!(!left.put(&path), "it is held");
    assert_eq!(registry.query("a").await.unwrap(), ADDR);
    registry.close().await.unwrap();

    // The same for what was cut off before it had a name. The rest is not ours.
    assert!(left.put(&path));
    for name in ["draft-1-1", "secret", "notes"] {
        fs::write(registry.folder().join(name), "half of it").unwrap();
    }
    drop(open(dir.path()));
    assert_eq!(files(registry.folder()), ["notes", "secret"]);
}

#[tokio::test]
async fn a_held_file_that_is_no_registrys_is_an_error_that_names_it() {
    let dir = temp();
    let registry = open(dir.path());
    let (_, name) = Left::of("a").await;
    let path = registry.folder().join(&name);
    let file = fs::File::create(&path).unwrap();
    file.lock().unwrap();
    // Half of one; one that is another's.
    for text in [
        "virtnet 1\n7\n",
        "virtnet 1\n7\no\nb\n127.0.0.1:1",
        "\u{1b}[31m",
    ] {
        fs::write(&path, text).unwrap();
        let err = registry.query("a").await.unwrap_err();
        assert_eq!(err.cause(), Cause::Protocol);
        assert!(err.to_string().contains(&name), "{err}");
        let listed = LocalRegistry::list(dir.path(), "n").unwrap();
        assert_eq!(listed.unreadable, [&*name]);
        let err = registry.announce("a", ADDR).await.unwrap_err();
        assert_eq!(err.cause(), Cause::HostAlreadyRegistered);
    }
    drop(file);
    registry.announce("a", ADDR).await.unwrap();
}

#[tokio::test]
async fn a_folder_that_is_gone_or_cannot_be_written_is_down_by_its_name() {
    let temp = temp();
    let dir = temp.path().join("virtnet");
    let registry = open(&dir);
    registry.announce("a", ADDR).await.unwrap();
    assert!(registry.holds("a") && !registry.holds("b"));
    fs::remove_dir_all(&dir).unwrap();
    // Nothing keeps another from the name any more.
    assert!(!registry.holds("a"));
    for err in [
        registry.announce("b", ADDR).await.unwrap_err(),
        registry.query("a").await.unwrap_err(),
    ] {
        assert_eq!(err.cause(), Cause::RegistryDown);
        let why = std::error::Error::source(&err).unwrap().to_string();
        assert!(why.contains(registry.folder().to_str().unwrap()), "{why}");
    }
    // It works again with the folder, and closing takes nothing of another's.
    let other = open(&dir);
    other.announce("a", "x").await.unwrap();
    assert!(other.holds("a") && !registry.holds("a"), "one of them");
    registry.announce("b", ADDR).await.unwrap();
    registry.close().await.unwrap();
    assert_eq!(other.query("a").await.unwrap(), "x");
    assert_eq!(files(other.folder()).len(), 1);
}

#[tokio::test]
async fn an_answer_that_is_out_of_date_is_asked_for_again() {
    let dir = temp();
    let (asks, was) = (open(dir.path()), open(dir.path()));
    was.announce("a", "there").await.unwrap();
    assert_eq!(asks.requery("a", "there").await.unwrap(), None);
    was.close().await.unwrap();
    let gone = asks.requery("a", "there").await.unwrap_err();
    assert_eq!(gone.cause(), Cause::NoSuchHost);
    let is = open(dir.path());
    is.announce("a", "elsewhere").await.unwrap();
    let now = asks.requery("a", "there").await.unwrap();
    assert_eq!(now.as_deref(), Some("elsewhere"));
}

#[tokio::test]
async fn who_stays_in_the_way_is_waited_for_within_a_bound() {
    let dir = temp();
    let registry = open(dir.path());
    let (left, file) = Left::of("a").await;
    assert!(left.put(&registry.folder().join(file)));
    // As somebody does who was stopped while clearing away.
    let turn = fs::File::open(registry.folder()).unwrap();
    turn.lock().unwrap();
    let err = registry.announce("a", ADDR).await.unwrap_err();
    assert_eq!(err.cause(), Cause::RegistryDown);
    let why = std::error::Error::source(&err).unwrap().to_string();
    assert!(why.contains("kept busy"), "{why}");
    // It is in nobody's way who has nothing to clear.
    registry.announce("b", ADDR).await.unwrap();
    drop(open(dir.path()));
    drop(turn);
    registry.announce("a", ADDR).await.unwrap();
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_close_leaves_no_descriptor() {
    let dir = temp();
    let registry = open(dir.path());
    let descriptors = || {
        let all = fs::read_dir("/proc/self/fd").unwrap();
        let paths = all.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
        paths.filter(|path| path.starts_with(dir.path())).count()
    };
    for name in ["a", "b", "c"] {
        registry.announce(name, ADDR).await.unwrap();
        registry.announce(name, ADDR).await.unwrap_err();
        registry.query(name).await.unwrap();
    }
    assert_eq!(descriptors(), 3, "one for each name");
    registry.close().await.unwrap();
    assert_eq!(descriptors(), 0);
}
