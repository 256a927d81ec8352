//! A TLS front: certificates of every kind before a registry, and what clients showed it.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use longshore_registry::HostTls;
use oci::{Registry, Repository};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer},
    server::WebPkiClientVerifier,
};
use tokio::{
    io::{AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

use crate::set_up::protocols;

/// An authority that signs what the tests ask for.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key.
pub(crate) struct Pair {
    certificate: CertificateDer<'static>,
    pub(crate) pem: String,
    key: KeyPair,
}

/// What a front wants of its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wants {
    Nothing,
    /// A certificate, and goes on without one.
    Certificate,
    /// No client without one.
    Required,
}

/// TLS before a server without it.
pub(crate) struct Front {
    pub(crate) address: SocketAddr,
    shown: Arc<Mutex<Vec<bool>>>,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// Trust in it.
    pub(crate) fn trusted(&self) -> HostTls {
        HostTls::new().with_ca(self.pem().as_bytes()).unwrap()
    }

    /// A certificate for these names, as `change` makes it.
    pub(crate) fn sign(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Pair {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Pair {
            certificate: certificate.der().clone(),
            pem: certificate.pem(),
            key,
        }
    }

    /// One for loopback.
    pub(crate) fn loopback(&self) -> Pair {
        self.sign(&["127.0.0.1", "localhost"], |_| {})
    }
}

impl Pair {
    pub(crate) fn key(&self) -> String {
        self.key.serialize_pem()
    }

    /// TLS with this as what a server shows.
    pub(crate) fn acceptor(&self, authority: &Authority, wants: Wants) -> TlsAcceptor {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(authority.0.der().clone()).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        let builder = match wants {
            Wants::Nothing => builder.with_no_client_auth(),
            Wants::Certificate => {
                builder.with_client_cert_verifier(verifier.allow_unauthenticated().build().unwrap())
            }
            Wants::Required => builder.with_client_cert_verifier(verifier.build().unwrap()),
        };
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).unwrap();
        let chain = vec![self.certificate.clone()];
        let mut config = builder.with_single_cert(chain, key).unwrap();
        config.alpn_protocols = protocols();
        TlsAcceptor::from(Arc::new(config))
    }

    /// Trust as `tls` has it, with this as what a client shows.
    pub(crate) fn shown_by(&self, tls: HostTls) -> HostTls {
        tls.with_identity(self.pem.as_bytes(), self.key().as_bytes())
            .unwrap()
    }
}

impl Front {
    /// Before the server at `backend`.
    pub(crate) async fn start(
        pair: &Pair,
        authority: &Authority,
        wants: Wants,
        backend: SocketAddr,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = pair.acceptor(authority, wants);
        let shown = Arc::new(Mutex::new(Vec::new()));
        let log = shown.clone();
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (acceptor, log) = (acceptor.clone(), log.clone());
                tokio::spawn(async move {
                    let Ok(mut tls) = acceptor.accept(tcp).await else {
                        return;
                    };
                    let certificates = tls.get_ref().1.peer_certificates();
                    log.lock().unwrap().push(certificates.is_some());
                    let mut backend = TcpStream::connect(backend).await.unwrap();
                    let _ = copy_bidirectional(&mut tls, &mut backend).await;
                    let _ = tls.shutdown().await;
                });
            }
        });
        Self { address, shown }
    }

    pub(crate) fn registry(&self) -> Registry {
        self.address.to_string().parse().unwrap()
    }

    pub(crate) fn repository(&self, path: &str) -> Repository {
        self.registry().repository(path).unwrap()
    }

    /// Of each connection on which TLS was agreed: whether the client showed a certificate.
    pub(crate) fn shown(&self) -> Vec<bool> {
        self.shown.lock().unwrap().clone()
    }
}
