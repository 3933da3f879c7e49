//! Waiting until a service in the guest really answers.
//!
//! A port that QEMU forwards accepts connections before anything listens in the guest: only an
//! answer to something that was sent, or a greeting, shows that the service is there.

use crate::fault::Fault;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// How long one try may take: a guest under TCG needs a second for a TLS handshake.
const TRY_MAX: Duration = Duration::from_secs(5);

/// Time between two tries; each costs the guest a little once it listens.
const TRY_EVERY: Duration = Duration::from_millis(100);

/// Bytes of an answer that are read: enough to see what kind of service it is.
const ANSWER_BYTES_MAX: usize = 256;

/// What makes a service answer.
#[derive(Clone, Debug)]
pub enum Probe {
    /// It speaks first, as SSH does.
    Greeting,
    /// It answers to these bytes.
    Bytes(Vec<u8>),
    /// It answers to a TLS hello, with its own or with an alert. The service sees a client that
    /// goes away in the middle of a handshake.
    Tls,
}

/// Waits until a service answers, and gives the first bytes of its answer.
///
/// # Errors
/// There is no answer within the time; the error says how the last try ended.
pub fn await_answer(
    address: SocketAddr,
    probe: &Probe,
    within: Duration,
) -> Result<Vec<u8>, Fault> {
    let begin = Instant::now();
    loop {
        let left = within.saturating_sub(begin.elapsed());
        // A time-out of zero would mean none.
        let patience = left.clamp(Duration::from_millis(1), TRY_MAX);
        let ended = match ask(address, probe, patience) {
            Ok(answer) if !answer.is_empty() => return Ok(answer),
            Ok(_) => "it closed the connection without a word".to_owned(),
            Err(error) => error.to_string(),
        };
        if begin.elapsed() + TRY_EVERY >= within {
            return Err(Fault::Deadline {
                what: format!("answer from {address}"),
                waited: begin.elapsed(),
                tail: format!("  | the last try ended: {ended}"),
            });
        }
        thread::sleep(TRY_EVERY);
    }
}

fn ask(address: SocketAddr, probe: &Probe, patience: Duration) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    match probe {
        Probe::Greeting => {}
        Probe::Bytes(bytes) => stream.write_all(bytes)?,
        Probe::Tls => stream.write_all(&tls_hello())?,
    }
    let mut answer = vec![0; ANSWER_BYTES_MAX];
    let count = stream.read(&mut answer)?;
    answer.truncate(count);
    Ok(answer)
}

/// A TLS 1.2 hello (RFC 5246, 7.4.1.2) that every server can read; a server without TLS 1.2
/// answers with an alert, which is an answer too.
fn tls_hello() -> Vec<u8> {
    // ECDHE with AES-GCM, for RSA and for ECDSA certificates.
    const SUITES: [u8; 8] = [0xc0, 0x2b, 0xc0, 0x2c, 0xc0, 0x2f, 0xc0, 0x30];
    // The groups P-256 and P-384, uncompressed points, and ECDSA, RSA-PSS and RSA with SHA-256.
    const EXTENSIONS: [u8; 28] = [
        0, 10, 0, 6, 0, 4, 0, 23, 0, 24, // supported_groups
        0, 11, 0, 2, 1, 0, // ec_point_formats
        0, 13, 0, 8, 0, 6, 4, 3, 8, 4, 4, 1, // signature_algorithms
    ];
    let mut body = vec![3, 3];
    body.extend([0x5a; 32]); // the client's random: nothing is kept secret here
    body.push(0); // no session
    body.extend(prefixed::<2>(&SUITES));
    body.extend([1, 0]); // one method of compression: none
    body.extend(prefixed::<2>(&EXTENSIONS));
    let mut handshake = vec![1]; // client_hello
    handshake.extend(prefixed::<3>(&body));
    let mut record = vec![22, 3, 1]; // handshake; the version that old servers want to see
    record.extend(prefixed::<2>(&handshake));
    record
}

/// `bytes` behind their length in `N` bytes.
fn prefixed<const N: usize>(bytes: &[u8]) -> Vec<u8> {
    let length = (bytes.len() as u64).to_be_bytes();
    let mut all: Vec<u8> = length.iter().skip(length.len() - N).copied().collect();
    all.extend(bytes);
    all
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test without its sockets has to fail")]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// Accepts, and drops the first connections without a word; answers the next.
    fn service(silent: usize, answer: &'static [u8]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let mut stream = stream.unwrap();
                if number >= silent {
                    stream.write_all(answer).unwrap();
                }
            }
        });
        address
    }

    #[test]
    fn accepting_is_no_answer() {
        let address = service(usize::MAX, b"");
        let within = Duration::from_millis(300);
        let error = await_answer(address, &Probe::Greeting, within).unwrap_err();
        assert!(error.to_string().contains("answer from 127.0.0.1"));
    }

    #[test]
    fn service_that_is_late_is_waited_for() {
        let address = service(2, b"SSH-2.0-x\r\n");
        let answer = await_answer(address, &Probe::Greeting, Duration::from_secs(10)).unwrap();
        assert_eq!(answer, b"SSH-2.0-x\r\n");
    }
}
