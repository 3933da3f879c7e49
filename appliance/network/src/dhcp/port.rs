//! The sockets of one DHCP client, open only while an answer is waited for.

use super::client::{Client, Output};
use super::{CLIENT_PORT, SERVER_PORT, frame};
use crate::sys;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn};
use nix::sys::socket::{MsgFlags, bind, sendto, setsockopt, socket, sockopt};
use std::ffi::OsString;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use tokio::io::unix::AsyncFd;

/// The largest Ethernet payload that is read; jumbo frames are cut and then refused.
const PACKET_BYTES_MAX: usize = 1500;

/// The sockets; `None` while closed.
#[derive(Debug)]
pub struct Port {
    device: String,
    index: u32,
    below: Option<AsyncFd<OwnedFd>>,
    udp: Option<(Ipv4Addr, tokio::net::UdpSocket)>,
}

impl Port {
    /// No socket is open yet. `device` is the kernel's name of the interface `index`.
    #[must_use]
    pub fn new(device: &str, index: u32) -> Port {
        Port {
            device: device.to_owned(),
            index,
            below: None,
            udp: None,
        }
    }

    /// Opens and closes sockets so that they are those which the client's state needs.
    ///
    /// # Errors
    /// Those of the kernel: no CAP_NET_RAW, the interface is gone.
    pub fn follow(&mut self, client: &Client) -> io::Result<()> {
        if !client.listens_below() {
            self.below = None;
        } else if self.below.is_none() {
            self.below = Some(sys::readable(sys::packet_socket(self.index)?)?);
        }
        match client.listens_on() {
            None => self.udp = None,
            Some(address) if self.udp.as_ref().is_some_and(|(on, _)| *on == address) => {}
            Some(address) => self.udp = Some((address, self.open(address)?)),
        }
        Ok(())
    }

    /// Sends what the client says. The sockets for it need not be open.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn send(&self, output: &Output) -> io::Result<()> {
        match output {
            Output::Broadcast(message) => {
                let packet = frame::wrap(message)
                    .ok_or_else(|| io::Error::other("a DHCP message is too large"))?;
                match &self.below {
                    Some(fd) => sys::broadcast(fd.get_ref().as_fd(), self.index, &packet),
                    None => {
                        let fd = sys::packet_socket(self.index)?;
                        sys::broadcast(fd.as_fd(), self.index, &packet)
                    }
                }
            }
            Output::Udp { from, to, message } => {
                let to = SocketAddrV4::new(*to, SERVER_PORT);
                match &self.udp {
                    // Not by the runtime, which takes a new socket for one that is full.
                    Some((_, socket)) => {
                        let to = SockaddrIn::from(to);
                        sendto(socket.as_raw_fd(), message, &to, MsgFlags::empty())?
                    }
                    None => self.bind(*from)?.send_to(message, to)?,
                };
                Ok(())
            }
            Output::Bound(_) | Output::Lost | Output::Say(_) => Ok(()),
        }
    }

    /// Waits for the next datagram to port 68; for ever while no socket is open.
    ///
    /// # Errors
    /// Those of the kernel: the interface went down.
    pub async fn receive(&self) -> io::Result<Vec<u8>> {
        match (&self.below, &self.udp) {
            (Some(fd), _) => receive_below(fd).await,
            (None, Some((_, socket))) => {
                let mut buffer = [0; PACKET_BYTES_MAX];
                let (length, _) = socket.recv_from(&mut buffer).await?;
                Ok(buffer.get(..length).unwrap_or_default().to_vec())
            }
            (None, None) => std::future::pending().await,
        }
    }

    fn open(&self, address: Ipv4Addr) -> io::Result<tokio::net::UdpSocket> {
        tokio::net::UdpSocket::from_std(self.bind(address)?)
    }

    /// A UDP socket on the leased address, port 68, on this interface only.
    fn bind(&self, address: Ipv4Addr) -> io::Result<UdpSocket> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let fd = socket(AddressFamily::Inet, SockType::Datagram, flags, None)?;
        setsockopt(&fd, sockopt::ReuseAddr, &true)?;
        setsockopt(&fd, sockopt::Broadcast, &true)?;
        setsockopt(&fd, sockopt::BindToDevice, &OsString::from(&self.device))?;
        let on = SockaddrIn::from(SocketAddrV4::new(address, CLIENT_PORT));
        bind(fd.as_raw_fd(), &on)?;
        Ok(UdpSocket::from(fd))
    }
}

async fn receive_below(fd: &AsyncFd<OwnedFd>) -> io::Result<Vec<u8>> {
    let mut buffer = [0; PACKET_BYTES_MAX];
    loop {
        let mut ready = fd.readable().await?;
        let read = ready.try_io(|fd| Ok(nix::unistd::read(fd.get_ref(), &mut buffer)?));
        if let Ok(length) = read {
            let packet = buffer.get(..length?).unwrap_or_default();
            if let Some(message) = frame::unwrap(packet) {
                return Ok(message.to_vec());
            }
        }
    }
}
