//! One channel: a prompt on a terminal, or one command and its exit status.

use super::screen::{Output, Size, SshScreen};
use crate::session::commands::{self, NotDone, Session};
use crate::session::talk::Talk;
use crate::session::terminal::Terminal;
use russh::server::Msg;
use russh::{Channel, ChannelMsg, ChannelWriteHalf};
use std::io::Write;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Pieces of what was typed that wait for a command to end; what comes then is lost.
const TYPED_AHEAD_MAX: usize = 64;

/// Pieces of what is to be shown, on their way.
const SHOWN_MAX: usize = 32;

/// Exit statuses, as of the program: done, not done, and no command of ours.
const DONE: u32 = 0;
const FAILED: u32 = 1;
const NO_COMMAND: u32 = 2;

/// For `SSH_EXTENDED_DATA_STDERR` (RFC 4254 §5.2).
const STDERR: u32 = 1;

/// What somebody asked for.
enum Wanted {
    Prompt,
    Line(String),
}

/// Serves a channel to its end.
pub(super) async fn attend(mut channel: Channel<Msg>, talk: Arc<Talk>, session: Session) {
    let (size, mut has_terminal) = (Size::default(), false);
    // The visitor has answered each request already.
    let wanted = loop {
        match channel.wait().await {
            Some(ChannelMsg::RequestPty {
                col_width,
                row_height,
                ..
            }) => {
                size.set(row_height, col_width);
                has_terminal = true;
            }
            Some(ChannelMsg::RequestShell { .. }) => break Wanted::Prompt,
            Some(ChannelMsg::Exec { command, .. }) => {
                break Wanted::Line(String::from_utf8_lossy(&command).into_owned());
            }
            None | Some(ChannelMsg::Eof | ChannelMsg::Close) => return,
            Some(_) => {}
        }
    };
    let (keys, typed) = mpsc::channel(TYPED_AHEAD_MAX);
    let (shown, pieces) = mpsc::channel(SHOWN_MAX);
    let screen = SshScreen::new(typed, shown, has_terminal.then(|| size.clone()));
    let running = tokio::task::spawn_blocking(move || run(screen, &talk, &session, &wanted));
    let (mut read, write) = channel.split();
    let listening = tokio::spawn(async move {
        while let Some(message) = read.wait().await {
            match message {
                // What is typed ahead of a long answer waits here, but not without end, and never
                // in the connection: the answer could not get out past it.
                ChannelMsg::Data { data } => drop(keys.try_send(data.to_vec())),
                ChannelMsg::WindowChange {
                    col_width,
                    row_height,
                    ..
                } => size.set(row_height, col_width),
                ChannelMsg::Eof | ChannelMsg::Close => return,
                _ => {}
            }
        }
    });
    show(pieces, &write).await;
    let status = running.await.unwrap_or(FAILED);
    // Whoever is gone hears nothing of it.
    drop(write.exit_status(status).await);
    drop(write.eof().await);
    drop(write.close().await);
    listening.abort();
}

/// Sends what the thread shows, until it has ended or nobody is there.
async fn show(mut pieces: mpsc::Receiver<Output>, write: &ChannelWriteHalf<Msg>) {
    while let Some(piece) = pieces.recv().await {
        let sent = match piece {
            Output::Shown(bytes) => write.data_bytes(bytes).await,
            Output::Error(bytes) => write.extended_data_bytes(STDERR, bytes).await,
        };
        if sent.is_err() {
            return;
        }
    }
}

/// The administrator's side, on a thread of its own; gives the exit status.
fn run(mut screen: SshScreen, talk: &Talk, session: &Session, wanted: &Wanted) -> u32 {
    let (status, complaint) = match wanted {
        Wanted::Prompt if !screen.is_terminal() => {
            let help =
                "there is no terminal; give a command, as in: ssh HOST status, or use ssh -t";
            (NO_COMMAND, Some(help.to_owned()))
        }
        Wanted::Prompt => match commands::run(&mut Terminal::new(&mut screen), talk, session) {
            Ok(()) => (DONE, None),
            Err(e) => (FAILED, Some(format!("{e:#}"))),
        },
        Wanted::Line(line) => {
            match commands::run_line(&mut Terminal::new(&mut screen), talk, session, line) {
                Ok(()) => (DONE, None),
                Err(NotDone::NoCommand(help)) => (NO_COMMAND, Some(help)),
                Err(NotDone::Failed(e)) => (FAILED, Some(format!("{e:#}"))),
            }
        }
    };
    commands::sign_out(talk, session);
    // Both fail only when nobody is there to see it.
    drop(screen.flush());
    if let Some(complaint) = complaint {
        drop(screen.complain(&complaint));
    }
    status
}
