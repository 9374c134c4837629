//! A TLS client, and a TLS server for upstreams: rustls, blocking.

use super::certs::Pem;
use super::support::PATIENCE;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, ServerConfig, ServerConnection,
    SignatureScheme, StreamOwned, SupportedProtocolVersion,
};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

/// Believes everybody.
#[derive(Debug)]
struct Gullible;

impl ServerCertVerifier for Gullible {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}

pub fn chain(pem: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).map(|der| der.expect("PEM")).collect()
}

fn key(pem: &str) -> PrivateKeyDer<'static> {
    PrivateKeyDer::from_pem_slice(pem.as_bytes()).expect("PEM")
}

/// What a client is like.
#[derive(Clone)]
pub struct Config {
    pub rustls: ClientConfig,
    pub name: &'static str,
}

impl Config {
    pub fn new() -> Self {
        Self::with(&[&rustls::version::TLS13, &rustls::version::TLS12], None)
    }

    pub fn version(version: &'static SupportedProtocolVersion) -> Self {
        Self::with(&[version], None)
    }

    pub fn certificate(pem: &Pem) -> Self {
        Self::with(&[&rustls::version::TLS13, &rustls::version::TLS12], Some(pem))
    }

    pub fn with(versions: &[&'static SupportedProtocolVersion], pem: Option<&Pem>) -> Self {
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(versions)
            .expect("versions")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Gullible));
        let rustls = match pem {
            Some(pem) => {
                builder.with_client_auth_cert(chain(&pem.certificate), key(&pem.key)).expect("a certificate")
            }
            None => builder.with_no_client_auth(),
        };
        Self { rustls, name: "a.test" }
    }

    /// One that shows a certificate and signs with this key, whether or not it belongs to it.
    pub fn signing(version: &'static SupportedProtocolVersion, certificate: &str, key: &str) -> Self {
        let key = any_supported_type(&self::key(key)).expect("a key");
        let shown = SingleCertAndKey::from(CertifiedKey::new(chain(certificate), key));
        let rustls = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[version])
            .expect("a version")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Gullible))
            .with_client_cert_resolver(Arc::new(shown));
        Self { rustls, name: "a.test" }
    }

    pub fn named(mut self, name: &'static str) -> Self {
        self.name = name;
        self
    }

    pub fn alpn(mut self, names: &[&str]) -> Self {
        self.rustls.alpn_protocols = names.iter().map(|name| name.as_bytes().to_vec()).collect();
        self
    }

    /// Connects and shakes hands. In TLS 1.3 a refused certificate shows only with the first read.
    pub fn connect(&self, address: SocketAddr) -> io::Result<Client> {
        let socket = TcpStream::connect(address)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        socket.set_nodelay(true)?;
        let name = ServerName::try_from(self.name).expect("a name");
        let connection = ClientConnection::new(Arc::new(self.rustls.clone()), name).expect("a client");
        let mut stream = StreamOwned::new(connection, socket);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Client { stream, rest: Vec::new() })
    }

    /// Makes one request on a connection of its own.
    pub fn get(&self, address: SocketAddr, path: &str) -> io::Result<Response> {
        self.connect(address)?.get(path)
    }
}

pub struct Client {
    pub stream: StreamOwned<ClientConnection, TcpStream>,
    rest: Vec<u8>,
}

#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Response {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Client {
    pub fn get(&mut self, path: &str) -> io::Result<Response> {
        self.stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: a.test\r\n\r\n").as_bytes())?;
        self.response()
    }

    /// A response with `content-length`.
    pub fn response(&mut self) -> io::Result<Response> {
        let head = String::from_utf8(self.until(b"\r\n\r\n")?).expect("ASCII");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length = length.map_or(0, |length| length.parse().expect("a number"));
        while self.rest.len() < length {
            self.fill()?;
        }
        let body = self.rest.drain(..length).collect();
        Ok(Response { status: head[9..12].parse().expect("a status"), body })
    }

    pub fn until(&mut self, mark: &[u8]) -> io::Result<Vec<u8>> {
        loop {
            if let Some(at) = self.rest.windows(mark.len()).position(|window| window == mark) {
                return Ok(self.rest.drain(..at + mark.len()).collect());
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut block = [0; 65536];
        match self.stream.read(&mut block)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            n => {
                self.rest.extend_from_slice(&block[..n]);
                Ok(())
            }
        }
    }

    /// Everything until the end, and whether that came with close_notify.
    pub fn rest_and_end(&mut self) -> (Vec<u8>, bool) {
        let mut bytes = std::mem::take(&mut self.rest);
        let clean = self.stream.read_to_end(&mut bytes).is_ok();
        (bytes, clean)
    }

    pub fn peer(&self) -> Vec<u8> {
        self.stream.conn.peer_certificates().expect("a certificate")[0].to_vec()
    }
}

/// A server with TLS that runs `script` with each connection, on a thread of its own.
pub fn serve(
    pem: &Pem,
    versions: &[&'static SupportedProtocolVersion],
    script: impl Fn(StreamOwned<ServerConnection, TcpStream>) + Send + Sync + 'static,
) -> SocketAddr {
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(versions)
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain(&pem.certificate), key(&pem.key))
        .expect("a certificate");
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().expect("a ticketer");
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let script = Arc::new(script);
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let Ok(socket) = socket else { return };
            let (config, script) = (Arc::clone(&config), Arc::clone(&script));
            std::thread::spawn(move || {
                let _ = socket.set_read_timeout(Some(PATIENCE));
                let connection = ServerConnection::new(config).expect("a server");
                script(StreamOwned::new(connection, socket));
            });
        }
    });
    address
}

/// Reads a request without a body; `None` at the end.
pub fn request(stream: &mut impl Read) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    Some(String::from_utf8_lossy(&head).into_owned())
}

/// Answers requests with what was asked.
pub fn echo(mut stream: impl Read + Write) {
    while let Some(head) = request(&mut stream) {
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{head}", head.len());
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

impl Config {
    /// A verifier that believes everybody.
    pub fn rustls_verifier(&self) -> Arc<dyn ServerCertVerifier> {
        Arc::new(Gullible)
    }
}
