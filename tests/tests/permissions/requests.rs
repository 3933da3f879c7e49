//! A sample of every request of the control door, and what it needs: what `doors/control/rights.rs`
//! says, or for what is one ask, the permissions that are named here.
//!
//! The samples do little where they are allowed: they name what is not there.

use anyhow::{Context, Result, ensure};
use domain::{Actor, Permission, Permissions};
use serde_json::{Value, json};
use server::doors::control::Request;
use std::collections::BTreeSet;
use tests::node::Node;

/// What a request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    /// The right of the table of the door.
    Table,
    /// It is one ask, which needs this.
    Ask(Permission),
    /// Everybody who is signed in may say it: it concerns oneself, or means nothing there.
    Nothing,
}

/// One request.
pub(crate) struct Row {
    request: Value,
    needs: Needs,
}

use Needs::{Ask, Nothing, Table};

/// Requests that mean the same for everybody.
const PLAIN: &[(&str, Needs)] = &[
    (r#"{"ask":"status","digest":false}"#, Table),
    (r#"{"ask":"status","digest":true}"#, Table),
    (r#"{"ask":"cluster","cluster":"status"}"#, Table),
    (
        r#"{"ask":"cluster","cluster":"ticket"}"#,
        Ask(Permission::Cluster),
    ),
    (r#"{"ask":"cluster","cluster":"requests"}"#, Table),
    (
        r#"{"ask":"cluster","cluster":"approve","key":"nobody"}"#,
        Table,
    ),
    (
        r#"{"ask":"cluster","cluster":"deny","key":"nobody"}"#,
        Table,
    ),
    (
        r#"{"ask":"cluster","cluster":"remove","node":77}"#,
        Ask(Permission::Cluster),
    ),
    (r#"{"ask":"cluster","cluster":"leave"}"#, Table),
    (r#"{"ask":"cluster","cluster":"rotate-ca"}"#, Table),
    (
        r#"{"ask":"cluster","cluster":"offline-get","group":"nobody","limit":"24h"}"#,
        Ask(Permission::Keys),
    ),
    (
        r#"{"ask":"cluster","cluster":"resolve","reason":"none"}"#,
        Ask(Permission::Cluster),
    ),
    (
        r#"{"ask":"cluster","cluster":"scrub"}"#,
        Ask(Permission::Cluster),
    ),
    (
        r#"{"ask":"cluster","cluster":"salvage","from":"/nowhere","carry_out":false}"#,
        Table,
    ),
    (r#"{"ask":"admin","admin":"list"}"#, Table),
    (r#"{"ask":"admin","admin":"permissions"}"#, Table),
    (
        r#"{"ask":"admin","admin":"add","name":"mallory","permissions":"none","password":"x"}"#,
        Table,
    ),
    (r#"{"ask":"admin","admin":"remove","name":"nobody"}"#, Table),
    (
        r#"{"ask":"admin","admin":"set-permissions","name":"nobody","permissions":"keys"}"#,
        Table,
    ),
    (
        r#"{"ask":"admin","admin":"reset-password","name":"nobody","password":"x"}"#,
        Table,
    ),
    (
        r#"{"ask":"admin","admin":"ssh-keys","name":"nobody","keys":[]}"#,
        Table,
    ),
    (
        r#"{"ask":"transfer","transfer":"rotate","log":"nonsense"}"#,
        Table,
    ),
    (r#"{"ask":"transfer","transfer":"show"}"#, Table),
    (
        r#"{"ask":"transfer","transfer":"put","untested":true,"draft":{"name":"there","to":"x",
            "directory":".","host_key":null,"recipients":[],"logs":[],"off":true,
            "password":null}}"#,
        Table,
    ),
    (
        r#"{"ask":"transfer","transfer":"remove","name":"nobody"}"#,
        Table,
    ),
    (
        r#"{"ask":"transfer","transfer":"host-key","to":"nowhere"}"#,
        Table,
    ),
    (
        r#"{"ask":"transfer","transfer":"test","name":"nobody","draft":null}"#,
        Table,
    ),
    (
        r#"{"ask":"transfer","transfer":"retry","name":null}"#,
        Table,
    ),
    (
        // A wrong one would be a guess, and too many guesses close the door.
        r#"{"ask":"password","old":"nine quiet harbours","new":"nine quiet harbours"}"#,
        Nothing,
    ),
    (r#"{"ask":"restart-service","service":"nonsense"}"#, Table),
    (r#"{"ask":"may-power"}"#, Table),
    (r#"{"ask":"power","end":"halt"}"#, Table),
    (
        r#"{"ask":"log-show","view":null,"last":1,"follow":false}"#,
        Table,
    ),
    (
        r#"{"ask":"client-add","name":"a client","groups":[]}"#,
        Table,
    ),
    (
        r#"{"ask":"client-revoke","name":"nobody"}"#,
        Ask(Permission::Users),
    ),
    (r#"{"ask":"client-list"}"#, Table),
    (r#"{"ask":"key-list","limit":1}"#, Table),
    (r#"{"ask":"key-show","uid":"nothing"}"#, Table),
    (r#"{"ask":"epoch-rotate"}"#, Table),
    (r#"{"ask":"state-digest","replay":false}"#, Table),
    (r#"{"ask":"export","out":"/nowhere/export"}"#, Table),
    (r#"{"ask":"slot-list"}"#, Table),
    (
        r#"{"ask":"slot-add-passphrase","passphrase":"","recovery":false}"#,
        Table,
    ),
    (
        r#"{"ask":"slot-add-pkcs11","module":"/nowhere","token_serial":"1","pin":"1"}"#,
        Table,
    ),
    (r#"{"ask":"slot-remove","id":77}"#, Table),
    (
        r#"{"ask":"sign-in","name":"nobody","password":"x","from":null}"#,
        Nothing,
    ),
    (
        r#"{"ask":"sign-in-by-key","name":"nobody","key":"x","from":"127.0.0.1"}"#,
        Nothing,
    ),
    (r#"{"ask":"ssh-door"}"#, Nothing),
    (r#"{"ask":"ssh-host-key"}"#, Nothing),
    (
        r#"{"ask":"as","token":"x","request":{"ask":"slot-list"}}"#,
        Nothing,
    ),
    (r#"{"ask":"may-zeroize"}"#, Table),
    (r#"{"ask":"zeroize","secrets":[]}"#, Table),
    (r#"{"ask":"setting","setting":"list"}"#, Table),
    (
        r#"{"ask":"setting","setting":"change","values":[["timezone",null]]}"#,
        Ask(Permission::Network),
    ),
    (
        r#"{"ask":"setting","setting":"change","values":[["password.length",null]]}"#,
        Ask(Permission::AdvancedSecurity),
    ),
    (
        r#"{"ask":"setting","setting":"change","values":[["log.keep",null]]}"#,
        Ask(Permission::Logging),
    ),
    (r#"{"ask":"setting","setting":"network"}"#, Table),
    (r#"{"ask":"running-config"}"#, Table),
    (r#"{"ask":"client-bundle","name":"nobody"}"#, Table),
    (r#"{"ask":"may-export"}"#, Table),
    (
        r#"{"ask":"clients","clients":"find","name":"","after":null,"limit":1}"#,
        Table,
    ),
    (r#"{"ask":"clients","clients":"show","name":"demo"}"#, Table),
    (
        r#"{"ask":"clients","clients":"add","name":"demo","groups":[],"is_new":true}"#,
        Table,
    ),
    (
        r#"{"ask":"keys","keys":"find","name":null,"uid":null,"state":null,"owner":null,
            "after":null,"limit":1}"#,
        Table,
    ),
    (
        r#"{"ask":"keys","keys":"history","uid":"nothing","before":1}"#,
        Table,
    ),
    (r#"{"ask":"keys","keys":"choices"}"#, Table),
    (
        r#"{"ask":"keys","keys":"create","owner":"demo","name":null,"algorithm":"AES",
            "bits":256,"group":null,"activate":false}"#,
        Ask(Permission::Keys),
    ),
    (
        r#"{"ask":"records","records":"page","view":null,"text":null,"before":null,"limit":1}"#,
        Table,
    ),
    (
        r#"{"ask":"records","records":"one","log":"cluster","n":0}"#,
        Table,
    ),
    (r#"{"ask":"certificates","clients":true}"#, Table),
    (r#"{"ask":"certificates","clients":false}"#, Table),
    (r#"{"ask":"fips","fips":"status"}"#, Table),
    (r#"{"ask":"fips","fips":"plan","on":true}"#, Table),
    (
        r#"{"ask":"fips","fips":"switch","on":false,"plan":""}"#,
        Ask(Permission::AdvancedSecurity),
    ),
    (r#"{"ask":"self-test"}"#, Table),
    (r#"{"ask":"identity","identity":"certificates"}"#, Table),
    (r#"{"ask":"identity","identity":"renew-host-key"}"#, Table),
    (
        r#"{"ask":"identity","identity":"renew-certificate"}"#,
        Table,
    ),
    (r#"{"ask":"services","services":"list"}"#, Table),
    (
        // It is open already.
        r#"{"ask":"services","services":"switch","service":"kmip","on":true}"#,
        Ask(Permission::Services),
    ),
    (r#"{"ask":"clock","clock":"show"}"#, Table),
    (
        r#"{"ask":"clock","clock":"set","utc":"2027-01-01T00:00:00Z","typed_at":null}"#,
        Ask(Permission::Network),
    ),
    (r#"{"ask":"copies"}"#, Table),
];

/// Every sample, in an order in which the session ends last.
pub(crate) fn rows(uid: &str) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (text, needs) in PLAIN {
        let request = serde_json::from_str(text).with_context(|| (*text).to_owned())?;
        let needs = *needs;
        rows.push(Row { request, needs });
    }
    for request in of_a_key(uid) {
        let needs = Ask(Permission::Keys);
        rows.push(Row { request, needs });
    }
    rows.push(Row {
        request: json!({ "ask": "sign-out" }),
        needs: Nothing,
    });
    Ok(rows)
}

fn of_a_key(uid: &str) -> [Value; 3] {
    [
        json!({ "ask": "keys", "keys": "activate", "uid": uid }),
        json!({ "ask": "keys", "keys": "revoke", "uid": uid, "reason": 6, "message": null }),
        json!({ "ask": "keys", "keys": "destroy", "uid": uid }),
    ]
}

impl Row {
    /// The request, with what only the node knows.
    pub(crate) fn filled(&self, node: &Node) -> Result<Value> {
        let mut request = self.request.clone();
        if request["fips"] == "switch" {
            // It is off, and stays so.
            let plan = node.ask(&json!({ "ask": "fips", "fips": "plan", "on": false }))?;
            request["plan"] = plan["confirm"].clone();
        }
        Ok(request)
    }

    /// What it needs, by the table of the door where that has a row.
    pub(crate) fn needs(&self, request: &Value, actor: &Actor) -> Result<Permissions> {
        let read: Request = serde_json::from_value(request.clone())?;
        let right = read.right(actor);
        ensure!(
            right.is_some() == (self.needs == Table),
            "{request}: the table says {right:?}, and here stands {:?}",
            self.needs
        );
        Ok(match self.needs {
            Table => right.map_or(Permissions::NONE, domain::Right::needs),
            Ask(permission) => Permissions::of(&[permission]),
            Nothing => Permissions::NONE,
        })
    }
}

/// The names that a field of a request may have, as the server itself lists them to whoever asks
/// for something that there is not.
fn known(request: &Value) -> Option<Vec<String>> {
    let told = serde_json::from_value::<Request>(request.clone()).err()?;
    let told = told.to_string();
    let list = told.strip_prefix("unknown variant `?`, expected ")?;
    // Two are told as "`one` or `other`".
    let list = list.trim_start_matches("one of ").replace(" or ", ", ");
    let names = list.split(", ").map(|name| name.trim_matches('`'));
    Some(names.map(str::to_owned).collect())
}

/// Every request that the server knows has a sample, and every sample is of one.
pub(crate) fn all_have_a_row() -> Result<()> {
    let mut wanted = BTreeSet::new();
    for ask in known(&json!({ "ask": "?" })).context("no list of requests")? {
        match known(&json!({ "ask": ask, ask.clone(): "?" })) {
            Some(parts) => wanted.extend(parts.into_iter().map(|part| (ask.clone(), part))),
            None => drop(wanted.insert((ask, String::new()))),
        }
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let key = |row: &Row| {
        let ask = text(&row.request["ask"]);
        let part = text(&row.request[&ask]);
        (ask, part)
    };
    let rows = rows("")?;
    let sampled: BTreeSet<_> = rows.iter().map(key).collect();
    let missing: Vec<_> = wanted.difference(&sampled).collect();
    ensure!(missing.is_empty(), "requests without a row: {missing:?}");
    let unknown: Vec<_> = sampled.difference(&wanted).collect();
    ensure!(unknown.is_empty(), "rows without a request: {unknown:?}");
    ensure!(
        wanted.len() > 60,
        "only {} requests were found",
        wanted.len()
    );
    Ok(())
}
