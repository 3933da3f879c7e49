//! The baseline: TLS, sockets, and nothing else.

use anyhow::{Context, Result, bail};
use rustls::pki_types::PrivatePkcs8KeyDer;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use tempfile::TempDir;
use tests::client::Identity;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// What the hidden job `echo` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Folder of the node whose clients may come in.
    dir: PathBuf,
    /// Where to put the certificate of the echo server.
    certificate: PathBuf,
    request_bytes: usize,
    answer_bytes: usize,
}

/// A running echo server; ends when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    folder: TempDir,
}

impl Server {
    /// Starts one in a process of its own and waits for its address.
    pub(crate) fn start(dir: &Path, request_bytes: usize, answer_bytes: usize) -> Result<Self> {
        let folder = TempDir::new()?;
        let mut child = Command::new(std::env::current_exe()?)
            .arg("echo")
            .arg(dir)
            .arg(folder.path().join("echo.pem"))
            .args([request_bytes.to_string(), answer_bytes.to_string()])
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child
            .stdout
            .take()
            .context("the echo server has no output")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let address = line.trim().parse().context("address of the echo server")?;
        Ok(Self {
            child,
            address,
            folder,
        })
    }

    /// The client's identity for the node, trusting the echo server instead.
    pub(crate) fn identity(&self, identity: &Identity) -> Identity {
        Identity {
            ca: self.folder.path().join("echo.pem"),
            ..identity.clone()
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It holds nothing; its end cannot fail in a way that matters.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Serves until killed: reads a request of known size, writes an answer of known size.
pub(crate) fn run(options: &Options) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(serve(options))
}

async fn serve(options: &Options) -> Result<()> {
    let tls = TlsAcceptor::from(Arc::new(server_config(options)?));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("{}", listener.local_addr()?);
    let answer: Arc<[u8]> = answer(options.answer_bytes)?.into();
    loop {
        let (stream, _) = listener.accept().await?;
        let (tls, answer, bytes) = (tls.clone(), answer.clone(), options.request_bytes);
        // A client that hangs up ends its connection and nothing else.
        tokio::spawn(async move { connection(stream, &tls, &answer, bytes).await.ok() });
    }
}

/// A KMIP message as far as a client must see to know its length.
fn answer(bytes: usize) -> Result<Vec<u8>> {
    if bytes < 8 {
        bail!("an answer has at least the 8 bytes of its header");
    }
    let mut answer = vec![0x42, 0x00, 0x7b, 0x01];
    answer.extend_from_slice(&u32::try_from(bytes - 8)?.to_be_bytes());
    answer.resize(bytes, 0);
    Ok(answer)
}

async fn connection(
    stream: TcpStream,
    tls: &TlsAcceptor,
    answer: &[u8],
    request_bytes: usize,
) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = tls.accept(stream).await?;
    let mut request = vec![0; request_bytes];
    loop {
        stream.read_exact(&mut request).await?;
        stream.write_all(answer).await?;
        stream.flush().await?;
    }
}

/// The same key type, suites and client authentication as the node has.
fn server_config(options: &Options) -> Result<rustls::ServerConfig> {
    let (roots, _, _) = Identity::of(&options.dir, "demo").material()?;
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    std::fs::write(&options.certificate, made.cert.pem())?;
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
        Arc::new(roots),
        provider.clone(),
    );
    Ok(rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier.build()?)
        .with_single_cert(vec![made.cert.der().clone()], key.into())?)
}
