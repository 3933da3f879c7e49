//! The web admin from outside: a small HTTP client that keeps a cookie as a browser does, and
//! Debian's Chromium, driven by scripts in `tests/clients/browser`.

use crate::client::{Identity, TlsStream, connect_tls};
use crate::node::Node;
use anyhow::{Context, Result, bail, ensure};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Largest answer that is read.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Names in small letters, and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The token that the forms of a page carry.
    pub fn form_token(&self) -> Option<String> {
        let text = self.text();
        let (_, rest) = text.split_once("name=\"token\" value=\"")?;
        Some(rest.split_once('"')?.0.to_owned())
    }
}

/// Somebody with a browser, on one connection that is opened anew when it has ended.
#[derive(Debug)]
pub struct Visitor {
    to: SocketAddr,
    ca: Identity,
    connection: Option<BufReader<TlsStream>>,
    /// The cookie, `name=value`.
    pub cookie: Option<String>,
    /// The token of the last page.
    pub token: String,
}

impl Visitor {
    /// Somebody who is not signed in.
    pub fn of(node: &Node) -> Self {
        Self::at(node.web(), node.dir())
    }

    /// The same at an address; the Local CA lies in `dir`.
    pub fn at(to: SocketAddr, dir: &Path) -> Self {
        Self {
            to,
            ca: Identity::nobody(dir),
            connection: None,
            cookie: None,
            token: String::new(),
        }
    }

    /// The origin of the node's own pages.
    pub fn origin(&self) -> String {
        format!("https://{}", self.to)
    }

    /// Sends a request with these headers, and a cookie if there is one.
    pub fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answer> {
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.to);
        if let Some(cookie) = &self.cookie {
            request += &format!("Cookie: {cookie}\r\n");
        }
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        if method == "POST" {
            request += &format!("Content-Length: {}\r\n", body.len());
        }
        let request = [format!("{request}\r\n").as_bytes(), body].concat();
        // A connection that was idle may have ended meanwhile.
        let answer = match self.connection.take() {
            Some(old) => self
                .exchange(old, &request)
                .or_else(|_| self.anew(&request)),
            None => self.anew(&request),
        }?;
        let cookie = answer.header("set-cookie").map(str::to_owned);
        if let Some(line) = cookie {
            let pair = line.split(';').next().unwrap_or_default();
            self.cookie = (!pair.ends_with('=')).then(|| pair.to_owned());
        }
        if let Some(token) = answer.form_token() {
            self.token = token;
        }
        Ok(answer)
    }

    fn anew(&mut self, request: &[u8]) -> Result<Answer> {
        let stream = connect_tls(self.to, self.ca.config(&[])?)?;
        self.exchange(BufReader::new(stream), request)
    }

    fn exchange(&mut self, mut connection: BufReader<TlsStream>, request: &[u8]) -> Result<Answer> {
        connection.get_mut().write_all(request)?;
        connection.get_mut().flush()?;
        let answer = read_answer(&mut connection)?;
        if answer.header("connection") != Some("close") {
            self.connection = Some(connection);
        }
        Ok(answer)
    }

    /// Asks for a page.
    pub fn get(&mut self, path: &str) -> Result<Answer> {
        self.send("GET", path, &[], &[])
    }

    /// Asks for a page that must be there.
    pub fn page(&mut self, path: &str) -> Result<String> {
        let answer = self.get(path)?;
        ensure!(answer.status == 200, "{path}: {answer:?}");
        Ok(answer.text())
    }

    /// Sends a form as our pages do, with the token of the last page.
    pub fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Result<Answer> {
        let token = self.token.clone();
        let fields = [fields, &[("token", token.as_str())]].concat();
        let origin = self.origin();
        self.post_as(path, &fields, &[("Origin", &origin)])
    }

    /// Sends a form with these headers and no others.
    pub fn post_as(
        &mut self,
        path: &str,
        fields: &[(&str, &str)],
        headers: &[(&str, &str)],
    ) -> Result<Answer> {
        let encode = |text: &str| -> String {
            let byte = |b: u8| match b.is_ascii_alphanumeric() {
                true => char::from(b).to_string(),
                false => format!("%{b:02X}"),
            };
            text.bytes().map(byte).collect()
        };
        let pairs = fields
            .iter()
            .map(|(name, value)| format!("{name}={}", encode(value)));
        let body = pairs.collect::<Vec<_>>().join("&");
        let kind = ("Content-Type", "application/x-www-form-urlencoded");
        self.send("POST", path, &[headers, &[kind]].concat(), body.as_bytes())
    }

    /// Signs in; gives the answer.
    pub fn sign_in(&mut self, name: &str, password: &str) -> Result<Answer> {
        self.post("/sign-in", &[("name", name), ("password", password)])
    }

    /// The first administrator of a new node signs in and chooses a password.
    pub fn move_in(&mut self, node: &Node, password: &str) -> Result<()> {
        let once = fs::read_to_string(node.dir().join("admin-password"))?;
        let answer = self.sign_in("admin", once.trim())?;
        ensure!(answer.status == 303, "{answer:?}");
        ensure!(self.get("/")?.header("location") == Some("/password"));
        self.page("/password")?;
        let fields = [("old", once.trim()), ("new", password), ("again", password)];
        let answer = self.post("/password", &fields)?;
        ensure!(answer.status == 303, "{}", answer.text());
        self.page("/").map(drop)
    }
}

fn read_answer(from: &mut impl BufRead) -> Result<Answer> {
    let mut line = || -> Result<String> {
        let mut line = String::new();
        ensure!(from.read_line(&mut line)? > 0, "the connection ended");
        Ok(line.trim_end().to_owned())
    };
    let first = line()?;
    let status = first.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.with_context(|| format!("no status: {first}"))?;
    let mut headers = Vec::new();
    loop {
        let line = line()?;
        let Some((name, value)) = line.split_once(':') else {
            ensure!(line.is_empty(), "no header: {line}");
            break;
        };
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let mut answer = Answer {
        status,
        headers,
        body: Vec::new(),
    };
    let length = answer.header("content-length").unwrap_or("0").parse()?;
    ensure!(length <= ANSWER_BYTES_MAX, "{length} bytes");
    answer.body = vec![0; length];
    from.read_exact(&mut answer.body)?;
    Ok(answer)
}

/// Runs a script of `tests/clients/browser` with these arguments; gives what it said.
pub fn in_browser(script: &str, arguments: &[(&str, &str)]) -> Result<String> {
    let place = playwright()?;
    let mut node = Command::new("node");
    node.arg(place.join(script))
        .arg("--chromium")
        .arg(chromium()?);
    for (name, value) in arguments {
        node.arg(format!("--{name}")).arg(value);
    }
    let output = node.output().context("node (Debian: nodejs)")?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{script}:\n{said}{told}");
    Ok(said)
}

fn chromium() -> Result<PathBuf> {
    let named = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&named).map(|folder| folder.join("chromium"));
    let Some(found) = places.find(|place| place.exists()) else {
        bail!("chromium is not there (Debian: apt-get install chromium)");
    };
    Ok(found)
}

/// The scripts with playwright-core beside them, in the target folder; installed once.
fn playwright() -> Result<PathBuf> {
    let test = std::env::current_exe()?;
    let target = test.ancestors().nth(3).context("a target folder")?;
    let place = target.join("browser");
    let lock = File::create(target.join("browser.lock"))?;
    lock.lock()?;
    fs::create_dir_all(&place)?;
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/browser");
    let wanted = fs::read_to_string(scripts.join("package.json"))?;
    let installed = place.join("installed.json");
    for entry in fs::read_dir(&scripts)? {
        let path = entry?.path();
        fs::copy(
            &path,
            place.join(path.file_name().context("a file has a name")?),
        )?;
    }
    if fs::read_to_string(&installed).ok().as_deref() != Some(&wanted) {
        let install = Command::new("npm")
            .args(["install", "--no-audit", "--no-fund", "--silent"])
            .current_dir(&place)
            .output()
            .context("npm (Debian: apt-get install npm)")?;
        let told = String::from_utf8_lossy(&install.stderr);
        ensure!(install.status.success(), "npm install: {told}");
        fs::write(&installed, &wanted)?;
    }
    Ok(place)
}
