//! Clients: their certificates, their files, their end.

use super::WebDoor;
use super::archive::{self, File};
use super::form::encoded;
use super::frame::{Confirm, Frame, Section};
use super::home::read;
use super::reply::{self, Content, Reply};
use super::routes::{Refused, nowhere};
use super::visit::Visit;
use crate::doors::control::{ClientsRequest, Request};
use askama::Template;
use hyper::StatusCode;
use serde::Deserialize;
use zeroize::Zeroizing;

/// Clients of one page.
const ROWS: u64 = 50;

#[derive(Deserialize)]
struct Row {
    name: String,
    groups: Vec<String>,
    certificates: u64,
    revoked: Option<String>,
    objects: u64,
    files_wait: bool,
}

#[derive(Deserialize)]
struct Rows {
    rows: Vec<Row>,
    next: Option<String>,
    total: u64,
}

#[derive(Template)]
#[template(path = "clients.html")]
struct ClientsPage {
    frame: Frame,
    search: String,
    found: Rows,
    next: Option<String>,
}

#[derive(Deserialize)]
struct Certificate {
    serial: String,
    fingerprint: String,
    not_after: String,
    revoked: bool,
}

impl Certificate {
    /// The day of its end.
    fn day(&self) -> &str {
        self.not_after.get(..10).unwrap_or(&self.not_after)
    }
}

#[derive(Deserialize)]
struct Client {
    name: String,
    groups: Vec<String>,
    certificates: Vec<Certificate>,
    revoked: Option<String>,
    objects: u64,
    files_wait: bool,
}

#[derive(Template)]
#[template(path = "client.html")]
struct ClientPage {
    frame: Frame,
    client: Client,
}

/// What a client needs. The key stands nowhere else any more.
#[derive(Deserialize)]
struct Bundle {
    certificate: String,
    key: String,
    ca: String,
}

impl WebDoor {
    pub(super) async fn client_pages(
        &self,
        visit: &Visit,
        rest: &[&str],
    ) -> Result<Reply, Refused> {
        match (visit.is_post, rest) {
            (false, []) => self.find_clients(visit).await,
            (true, []) => self.add_client(visit).await,
            (false, [name]) => self.one_client(visit, name).await,
            (false, [name, "revoke"]) => self.confirm_client(visit, name).await,
            (true, [name, "revoke"]) => {
                let name = (*name).to_owned();
                let path = format!("/clients/{}?notice=client-revoked", encoded(&name));
                self.change(visit, Request::ClientRevoke { name }).await?;
                Ok(reply::see(&path))
            }
            (true, [name, "files"]) => self.client_files(visit, name).await,
            _ => Ok(nowhere(visit)),
        }
    }

    async fn find_clients(&self, visit: &Visit) -> Result<Reply, Refused> {
        let search = visit.query.text("name").unwrap_or_default();
        let request = ClientsRequest::Find {
            name: search.clone(),
            after: visit.query.text("after"),
            limit: ROWS,
        };
        let found: Rows = self.reading(visit, Request::Clients(request)).await?;
        let next = found.next.as_deref().map(|after| {
            let (name, after) = (encoded(&search), encoded(after));
            format!("/clients?name={name}&after={after}")
        });
        let page = ClientsPage {
            frame: visit.frame("Clients", Section::Clients),
            search,
            found,
            next,
        };
        Ok(reply::page(StatusCode::OK, &page))
    }

    async fn add_client(&self, visit: &Visit) -> Result<Reply, Refused> {
        let name = visit.form.text("name").unwrap_or_default();
        let groups = visit.form.get("groups").split([',', ' ']);
        let groups: Vec<String> = groups
            .filter(|group| !group.is_empty())
            .map(str::to_owned)
            .collect();
        let is_new = visit.form.get("renew") != "yes";
        let request = ClientsRequest::Add {
            name: name.clone(),
            groups,
            is_new,
        };
        self.change(visit, Request::Clients(request)).await?;
        let notice = if is_new { "added" } else { "renewed" };
        let name = encoded(&name);
        Ok(reply::see(&format!(
            "/clients/{name}?notice=client-{notice}"
        )))
    }

    async fn client(&self, visit: &Visit, name: &str) -> Result<Client, Refused> {
        let name = name.to_owned();
        let request = ClientsRequest::Show { name };
        self.reading(visit, Request::Clients(request)).await
    }

    async fn one_client(&self, visit: &Visit, name: &str) -> Result<Reply, Refused> {
        let client = self.client(visit, name).await?;
        let page = ClientPage {
            frame: visit.frame(&format!("Client {}", client.name), Section::Clients),
            client,
        };
        Ok(reply::page(StatusCode::OK, &page))
    }

    async fn confirm_client(&self, visit: &Visit, name: &str) -> Result<Reply, Refused> {
        let client = self.client(visit, name).await?;
        let path = format!("/clients/{}", encoded(&client.name));
        let keys = match client.objects {
            0 => "It owns no keys.".to_owned(),
            1 => "Its key stays, and comes back to it with a new certificate.".to_owned(),
            n => format!("Its {n} keys stay, and come back to it with a new certificate."),
        };
        let page = Confirm {
            frame: visit.frame(&format!("Revoke client {}", client.name), Section::Clients),
            says: vec![
                "All its certificates become useless at once, and its open connections end within \
                 5 seconds. A revoked certificate is never accepted again."
                    .to_owned(),
                keys,
            ],
            action: format!("{path}/revoke"),
            verb: "Revoke the client",
            back: path,
            reasons: Vec::new(),
        };
        Ok(reply::page(StatusCode::OK, &page))
    }

    /// Gives certificate, key and CA out. A form asks for it, because the key is gone afterwards.
    async fn client_files(&self, visit: &Visit, name: &str) -> Result<Reply, Refused> {
        let request = Request::ClientBundle {
            name: name.to_owned(),
        };
        let bundle: Bundle = read(self.change(visit, request).await?)?;
        let key = Zeroizing::new(bundle.key);
        if visit.form.get("form") == "pem" {
            let all = [key.as_str(), &bundle.certificate, &bundle.ca].concat();
            let content = Content::Whole(Some(all.into()));
            let name = format!("{name}.pem");
            return Ok(reply::file("application/x-pem-file", &name, content));
        }
        let file = |name: String, content, mode| File {
            name,
            content,
            mode,
        };
        let archive = archive::tar(&[
            file(format!("{name}.pem"), &bundle.certificate, 0o644),
            file(format!("{name}.key"), &key, 0o600),
            file("ca.pem".to_owned(), &bundle.ca, 0o644),
        ]);
        let content = Content::Whole(Some(archive.into()));
        Ok(reply::file(
            "application/x-tar",
            &format!("{name}.tar"),
            content,
        ))
    }
}
