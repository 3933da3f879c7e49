//! The way bytes travel: real sockets, or whatever a simulator puts in their place.
//!
//! Nothing else in this crate opens a socket. Addresses are text, `host:port`; what they mean is
//! the business of the network that is plugged in.

use std::future::Future;
use std::io;
use std::pin::Pin;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

/// A future that can be a method of a trait object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A connection: ordered bytes both ways.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A network.
pub trait Net: Send + Sync + 'static {
    /// Opens a connection to `address`. The caller sets the deadline: dropping the future gives up.
    ///
    /// # Errors
    /// Nobody listens there, or the way there is broken.
    fn connect(&self, address: &str) -> BoxFuture<'_, io::Result<Box<dyn Stream>>>;

    /// Listens at `address`; port 0 lets the network choose one.
    ///
    /// # Errors
    /// The address is in use or not ours.
    fn listen(&self, address: &str) -> BoxFuture<'_, io::Result<Box<dyn Listener>>>;
}

/// A place where connections come in.
pub trait Listener: Send + 'static {
    /// The next connection, with the address it comes from. Dropping the future loses none.
    ///
    /// # Errors
    /// Mostly: out of file descriptors. The next call may succeed.
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(Box<dyn Stream>, String)>>;

    /// Where this listens, with the port that was chosen.
    fn local_address(&self) -> String;
}

/// TCP as the operating system has it.
#[derive(Clone, Copy, Debug, Default)]
pub struct TokioNet;

impl Net for TokioNet {
    fn connect(&self, address: &str) -> BoxFuture<'_, io::Result<Box<dyn Stream>>> {
        let address = address.to_owned();
        Box::pin(async move {
            let stream = TcpStream::connect(address).await?;
            // A request is one write and must not wait for the acknowledgement of the one before.
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }

    fn listen(&self, address: &str) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        let address = address.to_owned();
        Box::pin(async move {
            let listener = TcpListener::bind(address).await?;
            let local = listener.local_addr()?.to_string();
            Ok(Box::new(TcpDoor { listener, local }) as Box<dyn Listener>)
        })
    }
}

/// A listening TCP socket.
#[derive(Debug)]
struct TcpDoor {
    listener: TcpListener,
    local: String,
}

impl Listener for TcpDoor {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(Box<dyn Stream>, String)>> {
        Box::pin(async move {
            let (stream, from) = self.listener.accept().await?;
            stream.set_nodelay(true)?;
            Ok((Box::new(stream) as Box<dyn Stream>, from.to_string()))
        })
    }

    fn local_address(&self) -> String {
        self.local.clone()
    }
}
