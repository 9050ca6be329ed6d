//! Files as OpenSSL writes them, in each way that is asked for.

use std::path::Path;
use std::process::Command;

use super::*;

/// A certificate of an authority, for so many days from the first second of 2026 on.
fn issued(folder: &Path) {
    let names = |name: &str| {
        let mut names = rcgen::DistinguishedName::new();
        names.push(rcgen::DnType::CustomDnType(vec![0, 9, 2342, 19_200_300, 100, 1, 1]), name);
        names
    };
    let mut of_authority = rcgen::CertificateParams::default();
    of_authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    of_authority.distinguished_name = names("authority");
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let authority = of_authority.self_signed(&authority_key).unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name = names("com.example.shop");
    params.not_before = rcgen::date_time_ymd(2026, 1, 1);
    params.not_after = rcgen::date_time_ymd(2027, 1, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &rcgen::Issuer::new(of_authority, authority_key)).unwrap();
    std::fs::write(folder.join("authority.pem"), authority.pem()).unwrap();
    std::fs::write(folder.join("certificate.pem"), certificate.pem()).unwrap();
    std::fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
}

fn openssl(folder: &Path, line: &str) {
    let made = Command::new("openssl").current_dir(folder).args(line.split(' ')).output().unwrap();
    assert!(made.status.success(), "openssl {line}: {}", String::from_utf8_lossy(&made.stderr));
}

fn read(folder: &Path, file: &str) -> Vec<u8> {
    std::fs::read(folder.join(file)).unwrap()
}

/// 2026-07-01.
const NOW: i64 = 1_782_864_000;

#[test]
fn a_file_is_read_in_each_way_that_openssl_writes_it() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    issued(folder);
    let export = "pkcs12 -export -in certificate.pem -inkey key.pem";
    for how in [
        "-passout pass:Pässword",
        "-passout pass:Pässword -legacy",
        "-passout pass:Pässword -certfile authority.pem",
        "-passout pass:Pässword -keypbe NONE -certpbe NONE -nomac",
        "-passout pass:Pässword -keypbe PBE-SHA1-3DES -certpbe PBE-SHA1-3DES -macalg sha1",
    ] {
        openssl(folder, &format!("{export} -out shop.p12 {how}"));
        let certificate = Certificate::from_pkcs12(&read(folder, "shop.p12"), "Pässword").unwrap();
        assert_eq!(certificate.topic(), Some("com.example.shop"), "{how}");
        assert_eq!(certificate.ends(), 1_798_761_600, "{how}");
        assert_eq!(certificate.shown().cert.len(), 1, "{how}: a root is not shown");
        certificate.check(NOW).unwrap();
        assert!(
            matches!(certificate.check(NOW - 366 * 86_400), Err(BadCertificate::NotYet(day)) if day == "2026-01-01")
        );
        assert!(
            matches!(certificate.check(NOW + 366 * 86_400), Err(BadCertificate::Expired(day)) if day == "2027-01-01")
        );
        if !how.contains("NONE") {
            for wrong in ["", "password"] {
                let refused = Certificate::from_pkcs12(&read(folder, "shop.p12"), wrong);
                assert!(matches!(refused, Err(BadCertificate::Password)), "{how}: {refused:?}");
            }
        }
    }
    openssl(folder, &format!("{export} -out shop.p12 -passout pass:"));
    Certificate::from_pkcs12(&read(folder, "shop.p12"), "").unwrap();
    assert!(matches!(Certificate::from_pkcs12(b"no file", ""), Err(BadCertificate::NotPkcs12(_))));
}

#[test]
fn what_is_missing_or_does_not_fit_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    issued(folder);
    let text = |file: &str| String::from_utf8(read(folder, file)).unwrap();
    let (certificate, key) = (text("certificate.pem"), text("key.pem"));
    let made = |pem: &str| Certificate::from_pem(pem);
    let whole = made(&format!("{key}\n{}{certificate}", text("authority.pem"))).unwrap();
    assert_eq!(made(&whole.pem).unwrap(), whole);
    assert!(matches!(made(&certificate), Err(BadCertificate::NoKey)));
    assert!(matches!(made(&key), Err(BadCertificate::NoCertificate)));
    assert!(matches!(made(""), Err(BadCertificate::NoCertificate)));
    let other = rcgen::KeyPair::generate().unwrap().serialize_pem();
    assert!(matches!(made(&format!("{certificate}{other}")), Err(BadCertificate::NotItsKey)));
    // Keys as OpenSSL writes them with a password, and in its older form without one.
    openssl(folder, "pkey -in key.pem -out locked.pem -aes256 -passout pass:secret");
    assert!(matches!(made(&format!("{certificate}{}", text("locked.pem"))), Err(BadCertificate::Locked)));
    openssl(folder, "ec -in key.pem -out sec1.pem");
    let sec1 = made(&format!("{certificate}{}", text("sec1.pem"))).unwrap();
    assert_eq!(made(&sec1.pem).unwrap(), sec1);
    openssl(folder, "req -x509 -newkey rsa:2048 -nodes -subj /CN=Apple -keyout rsa.pem -out of_rsa.pem");
    openssl(folder, "rsa -in rsa.pem -out pkcs1.pem -traditional");
    for key in ["rsa.pem", "pkcs1.pem"] {
        let of_rsa = made(&format!("{}{}", text("of_rsa.pem"), text(key))).unwrap();
        assert_eq!((of_rsa.topic(), made(&of_rsa.pem).unwrap()), (None, of_rsa.clone()));
    }
    assert!(!format!("{whole:?}").contains("KEY"), "{whole:?}");
}
