use std::path::Path;

use rcgen::{CertifiedKey as Issued, generate_simple_self_signed};
use rustls::pki_types::CertificateDer;
use tempfile::TempDir;

use super::*;
use crate::metrics::scrape::Scrape;

fn issue(name: &str) -> Issued<rcgen::KeyPair> {
    generate_simple_self_signed([name.to_owned()]).unwrap()
}

fn write(dir: &Path, certificate: &str, key: &str) {
    std::fs::write(dir.join("certificate.pem"), certificate).unwrap();
    std::fs::write(dir.join("key.pem"), key).unwrap();
}

fn settings(dir: &Path) -> config::Tls {
    config::Tls { certificate: dir.join("certificate.pem"), key: dir.join("key.pem"), reload_s: 10 }
}

fn loaded(issued: &Issued<rcgen::KeyPair>) -> (TempDir, Arc<Certificate>, Watch) {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &issued.cert.pem(), &issued.signing_key.serialize_pem());
    let (certificate, watch) = Certificate::load(&settings(dir.path())).unwrap();
    (dir, certificate, watch)
}

fn current(certificate: &Certificate) -> CertificateDer<'static> {
    certificate.current.load().cert[0].clone()
}

fn reloads(metrics: &Metrics, result: &str) -> bool {
    let line = format!("pigeonloft_tls_certificate_reloads_total{{result=\"{result}\"}} 1");
    metrics.encode(&Scrape::default()).lines().any(|found| found == line)
}

#[test]
fn a_new_certificate_is_used_once_its_files_changed() {
    let (old, new) = (issue("old.example"), issue("new.example"));
    let (dir, certificate, mut watch) = loaded(&old);
    let metrics = Metrics::new();
    watch.look(&metrics);
    assert_eq!(current(&certificate), *old.cert.der());
    write(dir.path(), &new.cert.pem(), &new.signing_key.serialize_pem());
    watch.look(&metrics);
    assert_eq!(current(&certificate), *new.cert.der());
    watch.look(&metrics);
    assert!(reloads(&metrics, "taken"), "the same content is taken once");
}

#[test]
fn a_broken_new_certificate_is_refused_once_and_the_old_one_stays() {
    let old = issue("old.example");
    let (dir, certificate, mut watch) = loaded(&old);
    let metrics = Metrics::new();
    write(dir.path(), "-----BEGIN CERTIFICATE-----\nnot base64!\n", &old.signing_key.serialize_pem());
    watch.look(&metrics);
    watch.look(&metrics);
    assert_eq!(current(&certificate), *old.cert.der());
    assert!(reloads(&metrics, "refused"), "the same content is judged once");
}

#[test]
fn a_certificate_that_is_replaced_before_its_key_is_used_when_the_key_follows() {
    let (old, new) = (issue("old.example"), issue("new.example"));
    let (dir, certificate, mut watch) = loaded(&old);
    let metrics = Metrics::new();
    write(dir.path(), &new.cert.pem(), &old.signing_key.serialize_pem());
    watch.look(&metrics);
    assert_eq!(current(&certificate), *old.cert.der());
    write(dir.path(), &new.cert.pem(), &new.signing_key.serialize_pem());
    watch.look(&metrics);
    assert_eq!(current(&certificate), *new.cert.der());
}

#[test]
fn a_file_that_vanished_leaves_the_old_certificate_and_may_come_back() {
    let (old, new) = (issue("old.example"), issue("new.example"));
    let (dir, certificate, mut watch) = loaded(&old);
    let metrics = Metrics::new();
    std::fs::remove_file(dir.path().join("key.pem")).unwrap();
    watch.look(&metrics);
    watch.look(&metrics);
    assert!(reloads(&metrics, "refused"), "said once, not at every look");
    assert_eq!(current(&certificate), *old.cert.der());
    write(dir.path(), &new.cert.pem(), &new.signing_key.serialize_pem());
    watch.look(&metrics);
    assert_eq!(current(&certificate), *new.cert.der());
}

#[test]
fn what_cannot_be_used_at_the_start_is_named_with_its_key_and_file() {
    let issued = issue("pigeonloft.example");
    let dir = tempfile::tempdir().unwrap();
    let says = || chain(&Certificate::load(&settings(dir.path())).unwrap_err());
    let text = says();
    assert!(text.contains("tls.certificate cannot be read") && text.contains("certificate.pem"), "{text}");
    write(dir.path(), "no certificate", &issued.signing_key.serialize_pem());
    let text = says();
    assert!(text.contains("tls.certificate cannot be used") && text.contains("holds none"), "{text}");
    write(dir.path(), &issued.cert.pem(), &issued.cert.pem());
    let text = says();
    assert!(text.contains("tls.key cannot be used") && text.contains("key.pem"), "{text}");
    write(dir.path(), &issued.cert.pem(), &issue("other.example").signing_key.serialize_pem());
    let text = says();
    assert!(text.contains("hint: the first certificate"), "{text}");
}

#[test]
fn http_offers_version_2_first_and_mqtt_offers_nothing() {
    let issued = issue("pigeonloft.example");
    let (_dir, certificate, _watch) = loaded(&issued);
    assert_eq!(certificate.for_http().unwrap().alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
    assert!(certificate.for_mqtt().unwrap().alpn_protocols.is_empty());
}
