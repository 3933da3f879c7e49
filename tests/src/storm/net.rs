//! Connections between the simulated hosts, as the cluster asks for them.

use cluster::peers::{BoxFuture, Listener, Net, Stream};
use std::io;
use turmoil::net::{TcpListener, TcpStream};

/// The port of members.
pub const PORT: u16 = 9001;

/// The name of the host on which a node runs.
pub fn host(node: u64) -> String {
    format!("node-{node}")
}

/// The network of turmoil.
#[derive(Clone, Copy, Debug, Default)]
pub struct SimNet;

impl Net for SimNet {
    fn connect(&self, address: &str) -> BoxFuture<'_, io::Result<Box<dyn Stream>>> {
        let address = address.to_owned();
        Box::pin(async move {
            let stream = TcpStream::connect(address).await?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }

    fn listen(&self, _address: &str) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
            Ok(Box::new(SimDoor(listener)) as Box<dyn Listener>)
        })
    }
}

struct SimDoor(TcpListener);

impl Listener for SimDoor {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(Box<dyn Stream>, String)>> {
        Box::pin(async move {
            let (stream, from) = self.0.accept().await?;
            Ok((Box::new(stream) as Box<dyn Stream>, from.to_string()))
        })
    }

    fn local_address(&self) -> String {
        self.0
            .local_addr()
            .map_or_else(|e| e.to_string(), |a| a.to_string())
    }
}
