//! A certificate authority of one control plane's own, its API server's certificate, and the key of ServiceAccounts' tokens.

use std::net::IpAddr;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use super::{ControlPlaneError, write};
use crate::cluster::{CA_FILE, CERTIFICATE_FILE, CERTIFICATE_KEY_FILE};

/// The key pair of ServiceAccounts' tokens (PEM).
pub(super) const ACCOUNT_KEY_FILE: &str = "service-accounts-key.pem";
pub(super) const ACCOUNT_PUBLIC_KEY_FILE: &str = "service-accounts.pem";
/// The names and addresses by which an API server, or a proxy before it, is called.
const NAMES: [&str; 4] = [
    "127.0.0.1",
    "localhost",
    "kubernetes.default.svc",
    "10.43.0.1",
];

/// Makes everything, for an API server at this address, and writes it into a folder.
pub(super) fn write_all(folder: &Path, address: IpAddr) -> Result<(), ControlPlaneError> {
    let ca_key = KeyPair::generate()?;
    let ca = authority()?;
    let ca_pem = ca.self_signed(&ca_key)?.pem();
    let key = KeyPair::generate()?;
    let certificate = server(address)?.signed_by(&key, &Issuer::new(ca, ca_key))?;
    let accounts = KeyPair::generate()?;
    for (name, text) in [
        (CA_FILE, ca_pem),
        (CERTIFICATE_FILE, certificate.pem()),
        (CERTIFICATE_KEY_FILE, key.serialize_pem()),
        (ACCOUNT_KEY_FILE, accounts.serialize_pem()),
        (ACCOUNT_PUBLIC_KEY_FILE, accounts.public_key_pem()),
    ] {
        write(&folder.join(name), &text)?;
    }
    Ok(())
}

fn authority() -> Result<CertificateParams, rcgen::Error> {
    let mut authority = CertificateParams::new([])?;
    authority
        .distinguished_name
        .push(DnType::CommonName, "Sinfonia's test bed");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(authority)
}

fn server(address: IpAddr) -> Result<CertificateParams, rcgen::Error> {
    let names = NAMES.map(str::to_owned).into_iter();
    let mut server =
        CertificateParams::new(names.chain([address.to_string()]).collect::<Vec<_>>())?;
    server
        .distinguished_name
        .push(DnType::CommonName, "kube-apiserver");
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(server)
}
