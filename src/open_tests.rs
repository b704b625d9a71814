//! Tests of opening: the defaults of where to bind and what to advertise, what is
//! refused, and in what order.
//!
//! Owns what needs no server; opening over Redis is tested with the command.

use super::*;

fn redis() -> Config {
    Config::new("net").registry("redis://127.0.0.1:1")
}

async fn place(config: Config) -> (SocketAddr, Option<String>) {
    let url = RegistryUrl::parse(&config.registry).unwrap();
    let bind = config.bound(&url).unwrap();
    let (bind, advertised) = config.place(bind, &url).await.unwrap();
    (bind.first, advertised.map(|place| place.to_string()))
}

#[tokio::test]
async fn what_is_bound_and_advertised_unless_it_is_set() {
    let memory = || Config::new("net");
    for (config, bind, advertised) in [
        (memory(), "127.0.0.1:0", None),
        (memory().bind("0.0.0.0:0"), "0.0.0.0:0", Some("127.0.0.1")),
        (memory().bind("[::]:0"), "[::]:0", Some("::1")),
        (memory().advertise("a"), "0.0.0.0:0", Some("a")),
        (redis(), "0.0.0.0:0", Some("127.0.0.1")),
        (redis().bind("10.0.0.2:7"), "10.0.0.2:7", None),
        (redis().bind("[::]:0"), "[::]:0", Some("127.0.0.1")),
        (redis().bind("0.0.0.0:7-9"), "0.0.0.0:7", Some("127.0.0.1")),
        (
            redis().advertise("10.0.0.2:7"),
            "0.0.0.0:0",
            Some("10.0.0.2:7"),
        ),
        (redis().advertise("fe80::1"), "[::]:0", Some("fe80::1")),
        (
            redis().advertise("[fe80::1]:7"),
            "[::]:0",
            Some("[fe80::1]:7"),
        ),
        (
            redis().bind("10.0.0.2:7").advertise("a"),
            "10.0.0.2:7",
            Some("a"),
        ),
    ] {
        let expected = (bind.parse().unwrap(), advertised.map(str::to_owned));
        assert_eq!(place(config.clone()).await, expected, "{config:?}");
    }
}

#[tokio::test]
async fn a_registry_that_is_reached_by_ipv6_has_its_members_there() {
    if std::net::UdpSocket::bind("[::1]:0").is_err() {
        return; // This machine has no IPv6.
    }
    let config = || Config::new("net").registry("redis://[::1]:1");
    let expected = ("[::]:0".parse().unwrap(), Some("::1".to_owned()));
    assert_eq!(place(config()).await, expected);

    let config = config().bind("0.0.0.0:0");
    let url = RegistryUrl::parse(&config.registry).unwrap();
    let bind = config.bound(&url).unwrap();
    let err = config.place(bind, &url).await.err().unwrap().to_string();
    assert!(
        err.contains("address towards ::1") && err.contains("VIRTNET_ADVERTISE"),
        "{err}"
    );
}

#[tokio::test]
async fn hosts_take_the_lowest_free_ports_of_a_range() {
    let joined = Config::new("a range").bind("127.0.0.1:1024-65535").open();
    let subnet = joined.await.unwrap();
    let mut ports = Vec::new();
    for name in ["α", "β", "γ"] {
        let host = subnet.new_host(name).await.unwrap();
        let hosts = Config::new("a range").observer().hosts().await.unwrap();
        let info = hosts.iter().find(|info| info.name == host.name()).unwrap();
        let port = info.address.strip_prefix("127.0.0.1:").unwrap();
        ports.push(port.parse::<u16>().unwrap());
        let taken = std::net::UdpSocket::bind(&*info.address);
        assert!(taken.is_err(), "it is bound where it is announced");
    }
    // Others may take and free some meanwhile, but hardly all of them.
    assert!(ports.iter().all(|port| *port < 32_768), "{ports:?}");
    subnet.close().await.unwrap();

    let fixed = || Config::new("a range").bind("127.0.0.1:1024-65535");
    let err = fixed().advertise("10.0.0.2:7").open().await.unwrap_err();
    assert_eq!(
        err.to_string(),
        "advertise: cannot advertise \"10.0.0.2:7\": expected no port, as each host announces its own from \
         127.0.0.1:1024-65535"
    );
}

#[tokio::test]
async fn what_is_missing_is_said_before_the_registry_is_asked() {
    let err = redis().open().await.unwrap_err();
    assert!(matches!(err, OpenError::Setting(_)), "{err}");
    assert!(err.to_string().contains("virtnet keygen"), "{err}");
    let err = redis().secret(Secret::random()).open().await.unwrap_err();
    assert_eq!(io::Error::from(err).kind(), Cause::RegistryDown.kind());
}

#[tokio::test]
async fn two_joins_in_one_process_are_one_network() {
    let open = || Config::new("two joins").open();
    let (one, two) = (open().await.unwrap(), open().await.unwrap());
    let alpha = one.new_host("α").await.unwrap();
    let beta = two.new_host("β").await.unwrap();
    let hosts = Config::new("two joins").observer().hosts().await.unwrap();
    assert_eq!(
        hosts.iter().map(|host| &*host.name).collect::<Vec<_>>(),
        ["α", "β"]
    );
    assert!(
        hosts
            .iter()
            .all(|host| host.address.starts_with("127.0.0.1:")),
        "{hosts:?}"
    );

    let listener = beta.listen("β:1").unwrap();
    let (dialed, accepted) = tokio::join!(alpha.dial("β:1"), listener.accept());
    assert_eq!(dialed.unwrap().peer_addr(), "β:2");
    assert_eq!(accepted.unwrap().1, "α:1");
    two.close().await.unwrap();
    let cause = alpha.dial("β:1").await.unwrap_err().cause();
    assert_eq!(cause, Cause::NoSuchHost);
    one.close().await.unwrap();
    assert!(
        Config::new("two joins")
            .observer()
            .hosts()
            .await
            .unwrap()
            .is_empty()
    );
}

/// As `main` or a test shows what it returns, and with what it was made of.
#[tokio::test]
async fn why_a_network_was_not_joined_reads_as_its_text() {
    let secret = |text: &str| text.parse::<Secret>().unwrap_err();
    let short = secret("ab");
    assert_eq!(format!("{short:?}"), short.to_string());
    let setting = Config::new("net").registry("ftp://h").open().await;
    let err = setting.unwrap_err();
    assert_eq!(format!("{err:?}"), err.to_string());
    assert!(format!("{err:#?}").starts_with("Setting(\n"), "{err:#?}");

    let err = redis().secret(Secret::random()).open().await.unwrap_err();
    let registry: &RegistryError = std::error::Error::source(&err)
        .unwrap()
        .downcast_ref()
        .unwrap();
    assert_eq!(registry.cause(), Cause::RegistryDown);
    let (said, beneath) = (err.to_string(), "Connection refused (os error 111)");
    assert_eq!(
        format!("{err:?}"),
        format!("{said}\n  caused by: {beneath}")
    );
}
