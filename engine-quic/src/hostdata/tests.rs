//! Valid and invalid hostdata and advertised addresses.
//!
//! Owns no production code.

use super::*;

const BOTH: AddressFamilies = AddressFamilies { v4: true, v6: true };
const V4: AddressFamilies = AddressFamilies {
    v4: true,
    v6: false,
};

fn bound(addr: &str) -> Bind {
    addr.parse::<SocketAddr>().unwrap().into()
}

#[test]
fn announced_and_read_back() {
    for (advertise, bind, hostdata) in [
        (None, "10.0.0.2:0", "10.0.0.2:4433"),
        (None, "[fe80::2]:0", "[fe80::2]:4433"),
        (Some("10.0.0.9"), "0.0.0.0:0", "10.0.0.9:4433"),
        (Some("10.0.0.9:80"), "0.0.0.0:0", "10.0.0.9:80"),
        (Some("fe80::9"), "[::]:0", "[fe80::9]:4433"),
        (Some("[fe80::9]"), "[::]:0", "[fe80::9]:4433"),
        (Some("[fe80::9]:80"), "[::]:0", "[fe80::9]:80"),
        (Some("node_1.example"), "0.0.0.0:0", "node_1.example:4433"),
        (Some("node-1:80"), "0.0.0.0:0", "node-1:80"),
    ] {
        let advertised = Advertised::new(advertise, bound(bind)).unwrap();
        assert_eq!(advertised.hostdata(4433), hostdata);
        assert_eq!(
            RealAddr::parse("α", hostdata).unwrap().to_string(),
            hostdata
        );
    }
    let err = Advertised::new(None, bound("0.0.0.0:0")).unwrap_err();
    assert_eq!(err.cause(), Cause::InvalidAddr);
    assert!(err.to_string().contains("0.0.0.0:0"), "{err}");
}

#[test]
fn what_nobody_could_reach_is_never_announced() {
    for input in [
        "0.0.0.0",
        "0.0.0.0:80",
        "::",
        "[::]",
        "[::]:80",
        "::ffff:0.0.0.0",
    ] {
        let err = Advertised::new(Some(input), bound("10.0.0.2:0")).unwrap_err();
        assert_eq!(err.cause(), Cause::InvalidAddr);
        assert_eq!(
            err.to_string(),
            format!(
                "cannot advertise {input:?}: expected an address of one host, got the unspecified address"
            )
        );
    }
}

#[test]
fn corrupt_hostdata_is_named() {
    let long = format!("{}:1", "x".repeat(MAX_DNS_NAME + 1));
    for hostdata in [
        "",
        ":",
        ":80",
        "10.0.0.2",
        "10.0.0.2:",
        "10.0.0.2:0",
        "10.0.0.2:65536",
        "10.0.0.2:-1",
        "10.0.0.2:+1",
        "10.0.0.2:1:2",
        "10.0.0.256:1",
        "10.0.0:1",
        "0:1",
        "0x7f.1:1",
        "a.0x1:1",
        "fe80::1:80",
        "[fe80::1]",
        "[fe80::1:80",
        "[10.0.0.2]:80",
        "[fe80::1]80",
        "0.0.0.0:80",
        "[::]:80",
        "host name:80",
        "höst:80",
        "host\n:80",
        ".:80",
        "{\"a\":1}",
        &long,
    ] {
        let err = RealAddr::parse("α", hostdata).unwrap_err();
        assert_eq!(err.cause(), Cause::Protocol);
        let text = err.to_string();
        assert!(text.contains("\"α\""), "{text}");
        if hostdata != long {
            assert!(text.contains(&format!("{hostdata:?}")), "{text}");
        }
    }
}

#[tokio::test]
async fn only_addresses_of_a_family_in_use() {
    let v6 = RealAddr::parse("α", "[::1]:80").unwrap();
    assert_eq!(
        v6.resolve("α", BOTH).await.unwrap(),
        ["[::1]:80".parse().unwrap()]
    );
    let err = v6.resolve("α", V4).await.unwrap_err();
    assert_eq!(
        err.to_string(),
        "cannot reach host \"α\" at [::1]:80: [::1]:80 is IPv6, but this host is bound to IPv4 only"
    );
    let v4 = RealAddr::parse("α", "127.0.0.1:80").unwrap();
    assert_eq!(
        v4.resolve("α", V4).await.unwrap(),
        ["127.0.0.1:80".parse().unwrap()]
    );
    let localhost = RealAddr::parse("α", "localhost:80").unwrap();
    assert!(
        localhost
            .resolve("α", V4)
            .await
            .unwrap()
            .contains(&"127.0.0.1:80".parse().unwrap())
    );
}
