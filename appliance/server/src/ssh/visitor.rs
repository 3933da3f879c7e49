//! One connection: who comes in is for the node to say, and what they then ask for is a session at
//! the command line or nothing.

use super::channel;
use crate::doors::control::Request;
use crate::doors::waiting_room::Ticket;
use crate::session::commands::Session;
use crate::session::talk::Talk;
use russh::keys::PublicKey;
use russh::server::Session as Connection;
use russh::server::{Auth, ChannelOpenHandle, Handler, Msg, VerifiedPublicKey};
use russh::{Channel, ChannelId, ChannelOpenFailure, Pty};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use zeroize::Zeroizing;

/// Whoever is at the other end.
pub(super) struct Visitor {
    talk: Arc<Talk>,
    from: IpAddr,
    /// Set when somebody has signed in.
    is_in: Arc<AtomicBool>,
    /// Their place among those who have not.
    waits: Option<Ticket>,
    /// Theirs; taken by the one channel that a connection may have.
    session: Option<Session>,
}

impl Visitor {
    pub(super) fn new(
        talk: Arc<Talk>,
        from: IpAddr,
        is_in: Arc<AtomicBool>,
        waits: Ticket,
    ) -> Self {
        Self {
            talk,
            from,
            is_in,
            waits: Some(waits),
            session: None,
        }
    }

    /// Asks the node.
    async fn sign_in(
        &mut self,
        request: Request,
        password: Option<Zeroizing<String>>,
    ) -> anyhow::Result<Auth> {
        let talk = self.talk.clone();
        let answer = tokio::task::spawn_blocking(move || talk.ask(&request)).await?;
        Ok(match answer {
            Ok(answer) => {
                self.session = Some(Session::of(&answer, password)?);
                self.is_in.store(true, Ordering::Release);
                self.waits = None;
                Auth::Accept
            }
            Err(_) => refused(),
        })
    }
}

/// The other ways in stay open.
fn refused() -> Auth {
    Auth::Reject {
        proceed_with_methods: Some(super::methods()),
        partial_success: false,
    }
}

impl Handler for Visitor {
    type Error = anyhow::Error;

    async fn auth_none(&mut self, _user: &str) -> anyhow::Result<Auth> {
        Ok(refused())
    }

    async fn auth_password(&mut self, user: &str, password: &str) -> anyhow::Result<Auth> {
        let request = Request::SignIn {
            name: user.to_owned(),
            password: password.to_owned(),
            from: Some(self.from),
        };
        let password = Zeroizing::new(password.to_owned());
        self.sign_in(request, Some(password)).await
    }

    async fn auth_publickey(
        &mut self,
        user: &str,
        key: VerifiedPublicKey<'_>,
    ) -> anyhow::Result<Auth> {
        let mut key = PublicKey::clone(key.public_key);
        key.set_comment("");
        let request = Request::SignInByKey {
            name: user.to_owned(),
            key: key.to_openssh()?,
            from: self.from,
        };
        self.sign_in(request, None).await
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Connection,
    ) -> anyhow::Result<()> {
        match self.session.take() {
            Some(signed_in) => {
                reply.accept().await;
                tokio::spawn(channel::attend(channel, self.talk.clone(), signed_in));
            }
            // A second one on the same connection: sign in again.
            None => {
                let why = ChannelOpenFailure::ResourceShortage;
                reply.reject(why).await;
            }
        }
        Ok(())
    }

    // Requests are answered here and not by whoever serves the channel: an answer is for the
    // request that came last, and this is before the next one.

    async fn pty_request(
        &mut self,
        channel: ChannelId,
        _term: &str,
        _columns: u32,
        _rows: u32,
        _width: u32,
        _height: u32,
        _modes: &[(Pty, u32)],
        connection: &mut Connection,
    ) -> anyhow::Result<()> {
        Ok(connection.channel_success(channel)?)
    }

    async fn shell_request(
        &mut self,
        channel: ChannelId,
        connection: &mut Connection,
    ) -> anyhow::Result<()> {
        Ok(connection.channel_success(channel)?)
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        _line: &[u8],
        connection: &mut Connection,
    ) -> anyhow::Result<()> {
        Ok(connection.channel_success(channel)?)
    }

    /// There are no files here.
    async fn subsystem_request(
        &mut self,
        channel: ChannelId,
        _name: &str,
        connection: &mut Connection,
    ) -> anyhow::Result<()> {
        Ok(connection.channel_failure(channel)?)
    }

    async fn env_request(
        &mut self,
        channel: ChannelId,
        _name: &str,
        _value: &str,
        connection: &mut Connection,
    ) -> anyhow::Result<()> {
        Ok(connection.channel_failure(channel)?)
    }

    async fn x11_request(
        &mut self,
        channel: ChannelId,
        _single: bool,
        _protocol: &str,
        _cookie: &str,
        _screen: u32,
        connection: &mut Connection,
    ) -> anyhow::Result<()> {
        Ok(connection.channel_failure(channel)?)
    }
}
