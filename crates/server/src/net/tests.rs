use std::path::Path;
use std::time::Instant;

use pigeonloft_channels::xg::{Hub, Limits};
use pigeonloft_model::Zone;
use pigeonloft_store::Store;
use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::config::Overrides;
use crate::desk::FrontDesk;

/// The MQTT packet PINGREQ, which nobody may begin with: the channel ends the connection.
const PINGREQ: [u8; 2] = [0xC0, 0x00];

fn config(dir: &Path) -> Config {
    let overrides = Overrides { data_dir: Some(dir.to_owned()), ..Overrides::default() };
    let mut config = Config::load(None, &overrides).unwrap();
    for listen in
        [&mut config.http.listen, &mut config.http.tls_listen, &mut config.mqtt.listen, &mut config.mqtt.tls_listen]
    {
        *listen = "127.0.0.1:0".to_owned();
    }
    config
}

fn issue(dir: &Path, config: &mut Config) -> CertificateDer<'static> {
    let CertifiedKey::<KeyPair> { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    config.tls.certificate = dir.join("certificate.pem");
    config.tls.key = dir.join("key.pem");
    config.tls.reload_s = 1;
    std::fs::write(&config.tls.certificate, cert.pem()).unwrap();
    std::fs::write(&config.tls.key, signing_key.serialize_pem()).unwrap();
    cert.der().clone()
}

/// A server's network with one route, `/`, that answers `hello`.
struct Served {
    dir: TempDir,
    config: Config,
    certificate: CertificateDer<'static>,
    addresses: Addresses,
    shutdown: CancellationToken,
    serving: JoinHandle<()>,
}

fn serve() -> Served {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    let certificate = issue(dir.path(), &mut config);
    let listeners = Listeners::bind(&config).unwrap();
    let addresses = listeners.addresses();
    let store = Store::open(dir.path()).unwrap();
    let (reports, _) = mpsc::unbounded_channel();
    let hub = Hub::new(FrontDesk::new(store.clone(), reports, Zone::CHINA), Limits::default());
    let loft = Arc::new(Loft::new(config.clone(), store, hub, Arc::new(Metrics::new())));
    let router = Router::new().route("/", axum::routing::get(|| async { "hello" }));
    let shutdown = CancellationToken::new();
    let serving = tokio::spawn(listeners.serve(loft, router, shutdown.clone()));
    Served { dir, config, certificate, addresses, shutdown, serving }
}

/// Connects to who shows this certificate.
async fn connect(
    address: SocketAddr,
    certificate: &CertificateDer<'static>,
    protocols: &[&[u8]],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut client = client.with_root_certificates(roots).with_no_client_auth();
    client.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    let stream = TcpStream::connect(address).await?;
    TlsConnector::from(Arc::new(client)).connect(ServerName::try_from("localhost").unwrap(), stream).await
}

async fn all(mut stream: impl tokio::io::AsyncRead + Unpin) -> String {
    let mut read = Vec::new();
    // TLS peers that are cut off do not say goodbye.
    let _ = timeout(Duration::from_secs(10), stream.read_to_end(&mut read)).await.expect("the stream ends");
    String::from_utf8(read).unwrap()
}

async fn get(mut stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin) -> String {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
    all(stream).await
}

#[tokio::test]
async fn each_socket_speaks_its_protocol() {
    let served = serve();
    let to = served.addresses;
    let answer = get(TcpStream::connect(to.http).await.unwrap()).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("hello"), "{answer}");

    let stream = connect(to.https.unwrap(), &served.certificate, &[]).await.unwrap();
    assert!(get(stream).await.ends_with("hello"));
    let stream = connect(to.https.unwrap(), &served.certificate, &[b"http/1.1", b"h2"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));

    let mut stream = TcpStream::connect(to.mqtt).await.unwrap();
    stream.write_all(&PINGREQ).await.unwrap();
    assert_eq!(all(stream).await, "");
    let mut stream = connect(to.mqtts.unwrap(), &served.certificate, &[b"mqtt"]).await.unwrap();
    stream.write_all(&PINGREQ).await.unwrap();
    assert_eq!(all(stream).await, "");
}

#[tokio::test]
async fn a_new_certificate_is_shown_without_a_restart_and_open_connections_go_on() {
    let mut served = serve();
    let address = served.addresses.https.unwrap();
    let old = connect(address, &served.certificate, &[]).await.unwrap();
    let new = issue(served.dir.path(), &mut served.config);
    let deadline = Instant::now() + Duration::from_secs(20);
    while connect(address, &new, &[]).await.is_err() {
        assert!(Instant::now() < deadline, "the new certificate is never shown");
        sleep(Duration::from_millis(50)).await;
    }
    assert!(connect(address, &served.certificate, &[]).await.is_err(), "the old one is shown no more");
    assert!(get(old).await.ends_with("hello"));
}

#[tokio::test]
async fn who_speaks_no_tls_to_a_tls_socket_is_disconnected() {
    let served = serve();
    for address in [served.addresses.https, served.addresses.mqtts] {
        let mut stream = TcpStream::connect(address.unwrap()).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let mut read = Vec::new();
        let _ = timeout(Duration::from_secs(10), stream.read_to_end(&mut read)).await.expect("the stream ends");
        assert!(!read.starts_with(b"HTTP"));
    }
}

#[tokio::test]
async fn a_stopped_server_listens_no_more() {
    let served = serve();
    get(TcpStream::connect(served.addresses.http).await.unwrap()).await;
    served.shutdown.cancel();
    timeout(Duration::from_secs(10), served.serving).await.expect("it stops").unwrap();
    let addresses = served.addresses;
    for address in [addresses.http, addresses.mqtt, addresses.https.unwrap(), addresses.mqtts.unwrap()] {
        assert!(TcpStream::connect(address).await.is_err());
    }
}

#[tokio::test]
async fn without_a_certificate_there_is_no_tls_socket() {
    let dir = tempfile::tempdir().unwrap();
    let addresses = Listeners::bind(&config(dir.path())).unwrap().addresses();
    assert_eq!((addresses.https, addresses.mqtts), (None, None));
}

#[tokio::test]
async fn a_tls_socket_whose_address_is_empty_is_not_opened() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    issue(dir.path(), &mut config);
    config.http.tls_listen.clear();
    let addresses = Listeners::bind(&config).unwrap().addresses();
    assert!(addresses.https.is_none() && addresses.mqtts.is_some());
}
