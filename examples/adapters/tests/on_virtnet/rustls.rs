//! rustls: TLS of one's own, with names of one's own, on a virtual connection.
//!
//! Owns that a protocol which brings its TLS along can keep it. Never needs it for
//! virtnet's sake: the connection is encrypted, and the peer's name proved.

use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::{Two, within};

/// Both ends of TLS for that name.
fn tls(name: &str) -> (TlsAcceptor, TlsConnector) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed([name.into()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
    let server = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key.into());
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let client = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (Arc::new(server.unwrap()).into(), Arc::new(client).into())
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_of_ones_own() {
    let net = Two::join().await;
    let (acceptor, connector) = tls("bank.example");
    let listener = net.alpha.listen(":443").unwrap();

    let serve = async {
        let (conn, peer) = listener.accept().await.unwrap();
        let mut secured = acceptor.accept(conn).await.unwrap();
        assert_eq!(secured.get_ref().0.peer_addr(), &peer);
        let mut heard = String::new();
        secured.read_to_string(&mut heard).await.unwrap();
        secured
            .write_all(heard.to_uppercase().as_bytes())
            .await
            .unwrap();
        secured.shutdown().await.unwrap();
    };
    let ask = async {
        let conn = net.beta.dial("α:443").await.unwrap();
        let name = ServerName::try_from("bank.example").unwrap();
        let mut secured = connector.connect(name, conn).await.unwrap();
        secured.write_all(b"hello").await.unwrap();
        // TLS half-closes, too.
        secured.shutdown().await.unwrap();
        let mut heard = String::new();
        secured.read_to_string(&mut heard).await.unwrap();
        heard
    };
    let ((), heard) = within(async { tokio::join!(serve, ask) }).await;
    assert_eq!(heard, "HELLO");
    net.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_of_ones_own_is_checked() {
    let net = Two::join().await;
    let (acceptor, connector) = tls("bank.example");
    let listener = net.alpha.listen(":443").unwrap();
    let serve = async {
        let (conn, _) = listener.accept().await.unwrap();
        acceptor.accept(conn).await.map(drop)
    };
    let ask = async {
        let conn = net.beta.dial("α:443").await.unwrap();
        let name = ServerName::try_from("thief.example").unwrap();
        connector.connect(name, conn).await.map(drop)
    };
    let (served, asked) = within(async { tokio::join!(serve, ask) }).await;
    assert!(asked.unwrap_err().to_string().contains("bank.example"));
    served.unwrap_err();
    net.close().await;
}
