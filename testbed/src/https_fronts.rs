//! HTTPS in front of services that speak HTTP: setting up TLS is part of what a function's first calls cost.
//!
//! Each front has a port of its own, as each of AWS's services has a host of its own. Its certificate is made at the
//! start, and is of the kind AWS's are: RSA with 2,048 bits, issued by an intermediate authority. What arrives is
//! decrypted and passed on byte for byte.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{fs, thread};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_RSA_SHA256, RsaKeySize,
};
use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::run_directory::RunDirectory;
use crate::{Error, Result};

/// The host name all fronts have: as with AWS's, it has to be looked up.
const HOST: &str = "localhost";

/// A certificate authority, and the fronts that show its certificates. They listen until the process ends.
pub struct HttpsFronts {
    config: Arc<ServerConfig>,
    runtime: tokio::runtime::Handle,
    run: RunDirectory,
}

/// How many this process has started: each has a directory of its own.
static STARTED: AtomicUsize = AtomicUsize::new(0);

impl HttpsFronts {
    /// Makes the certificates. Whoever trusts the bundle trusts the fronts, and all that `usual_roots`, in PEM, trusts.
    ///
    /// # Errors
    ///
    /// [`Error::Start`] if there can be no certificates, [`Error::File`] if the bundle cannot be written.
    pub fn start(usual_roots: &str) -> Result<Self> {
        let Chain { root_pem, config } = Chain::new().map_err(failed)?;
        let run = RunDirectory::create(&format!("https-{}", STARTED.fetch_add(1, Ordering::Relaxed)))?;
        let fronts = Self { config: Arc::new(config), runtime: serving_runtime().map_err(failed)?, run };
        let bundle = format!("{usual_roots}\n{root_pem}");
        fs::write(fronts.bundle(), bundle).map_err(Error::file("writing", &fronts.bundle()))?;
        Ok(fronts)
    }

    /// The certificates to trust, in PEM.
    #[must_use]
    pub fn bundle(&self) -> PathBuf {
        self.run.temporary().join("ca-bundle.pem")
    }

    /// Puts a front before the service at `upstream`, and returns where it listens.
    ///
    /// # Errors
    ///
    /// [`Error::Start`] if no port is to be had, or `upstream` is not such as `http://127.0.0.1:80`.
    pub fn before(&self, upstream: &str) -> Result<String> {
        let address = upstream.strip_prefix("http://").unwrap_or(upstream);
        let upstream: SocketAddr = address.parse().map_err(|error| failed(io::Error::other(error)))?;
        let listener = listen().map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        let acceptor = TlsAcceptor::from(Arc::clone(&self.config));
        self.runtime.spawn(serve(listener, acceptor, upstream));
        Ok(format!("https://{HOST}:{port}"))
    }
}

fn failed(source: io::Error) -> Error {
    Error::Start { what: "HTTPS", source }
}

fn listen() -> io::Result<TcpListener> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// A runtime on a thread of its own, which nothing that is measured shares.
fn serving_runtime() -> io::Result<tokio::runtime::Handle> {
    let runtime = Runtime::new()?;
    let handle = runtime.handle().clone();
    thread::Builder::new()
        .name("https".to_owned())
        .spawn(move || runtime.block_on(std::future::pending::<()>()))?;
    Ok(handle)
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, upstream: SocketAddr) {
    let listener = tokio::net::TcpListener::from_std(listener);
    let listener = listener.expect("the listener is non-blocking and this is a runtime");
    // What goes wrong with a connection is its client's to notice.
    while let Ok((connection, _)) = listener.accept().await {
        tokio::spawn(pass_on(connection, acceptor.clone(), upstream));
    }
}

async fn pass_on(client: TcpStream, acceptor: TlsAcceptor, upstream: SocketAddr) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut service = TcpStream::connect(upstream).await?;
    service.set_nodelay(true)?;
    let mut client = acceptor.accept(client).await?;
    copy_bidirectional(&mut client, &mut service).await.map(drop)
}

/// A root certificate, and how a server proves that it was issued a certificate below it.
struct Chain {
    root_pem: String,
    config: ServerConfig,
}

impl Chain {
    fn new() -> io::Result<Self> {
        let (root, root_certificate) = authority("Keynudge testbed: root", None)?;
        let (intermediate, intermediate_certificate) =
            authority("Keynudge testbed: intermediate", Some(&root))?;
        let key = key()?;
        let leaf = CertificateParams::new([HOST.to_owned()]).map_err(io::Error::other)?;
        let leaf_certificate = leaf.signed_by(&key, &intermediate).map_err(io::Error::other)?;

        let chain = vec![leaf_certificate.der().clone(), intermediate_certificate.der().clone()];
        let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(io::Error::other)?;
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key);
        Ok(Self { root_pem: root_certificate.pem(), config: config.map_err(io::Error::other)? })
    }
}

fn key() -> io::Result<KeyPair> {
    KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).map_err(io::Error::other)
}

/// An authority that is certified by another, or by itself.
fn authority(
    name: &str,
    issuer: Option<&Issuer<'_, KeyPair>>,
) -> io::Result<(Issuer<'static, KeyPair>, Certificate)> {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let key = key()?;
    let certificate = match issuer {
        Some(issuer) => parameters.signed_by(&key, issuer),
        None => parameters.self_signed(&key),
    };
    Ok((Issuer::new(parameters, key), certificate.map_err(io::Error::other)?))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use tokio_rustls::rustls::pki_types::CertificateDer;
    use tokio_rustls::rustls::pki_types::pem::PemObject;
    use tokio_rustls::rustls::{
        self, CertificateError, ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    };

    use super::*;

    /// A service that says everything again.
    fn echo() -> String {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (mut connection, _) = listener.accept().unwrap();
            let mut bytes = [0; 5];
            connection.read_exact(&mut bytes).unwrap();
            connection.write_all(&bytes).unwrap();
        });
        format!("http://{address}")
    }

    /// What a service says to "hello" through a front, for somebody who trusts these certificates.
    fn greet(front: &str, trusted: Vec<CertificateDer<'static>>) -> io::Result<String> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(trusted);
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let tls = ClientConnection::new(Arc::new(config), HOST.try_into().unwrap()).unwrap();
        let tcp = std::net::TcpStream::connect(front.strip_prefix("https://").unwrap())?;
        let mut connection = StreamOwned::new(tls, tcp);
        connection.write_all(b"hello")?;
        let mut answer = [0; 5];
        connection.read_exact(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    #[test]
    fn who_trusts_the_bundle_reaches_the_service() {
        let fronts = HttpsFronts::start("").unwrap();
        let front = fronts.before(&echo()).unwrap();
        let bundle = CertificateDer::pem_file_iter(fronts.bundle()).unwrap();
        assert_eq!(greet(&front, bundle.map(Result::unwrap).collect()).unwrap(), "hello");
    }

    #[test]
    fn who_does_not_trust_the_bundle_refuses_the_certificate() {
        let fronts = HttpsFronts::start("").unwrap();
        let front = fronts.before(&echo()).unwrap();
        let refused = greet(&front, Vec::new()).unwrap_err();
        let reason = refused.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
        let unknown = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        assert_eq!(reason, Some(&unknown), "{refused}");
    }
}
