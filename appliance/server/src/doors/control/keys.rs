//! Keys and other objects for operators: lists, search, one object with its history, and the life
//! of a key. Material is never shown, whoever asks.

use super::{Answer, ControlDoor, Line, set};
use crate::render;
use crate::sign_in::settled;
use domain::{
    Actor, Ask, Attribute, AttributeName, LifecycleState, Name, Object, Record, Right, State, Time,
};
use domain::{Uid, Value as Held, algorithm, codec, tag};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::ops::Bound;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Rows of one page at most.
const ROWS_MAX: usize = 200;

/// Records of the history that stand beside an object; older ones are asked for by page.
const HISTORY_MAX: usize = 100;

/// Objects that are looked through under one hold of the state: changes wait meanwhile.
const OBJECTS_PER_HOLD: usize = 4_096;

/// Time one search may take before it gives what it has, and where to go on.
const SEARCH_TIME: Duration = Duration::from_millis(30);

/// Encrypt and Decrypt of the Cryptographic Usage Mask (KMIP 1.4 §9.1.3.3.1).
const ENCRYPT_AND_DECRYPT: i32 = 0x4 | 0x8;

/// MAC Generate and MAC Verify.
const MAKE_AND_CHECK_MACS: i32 = 0x80 | 0x100;

/// Names of the bits of a Cryptographic Usage Mask, from the lowest (KMIP 1.4 §9.1.3.3.1).
const USAGES: [&str; 20] = [
    "Sign",
    "Verify",
    "Encrypt",
    "Decrypt",
    "Wrap Key",
    "Unwrap Key",
    "Export",
    "MAC Generate",
    "MAC Verify",
    "Derive Key",
    "Content Commitment",
    "Key Agreement",
    "Certificate Sign",
    "CRL Sign",
    "Generate Cryptogram",
    "Validate Cryptogram",
    "Translate Encrypt",
    "Translate Decrypt",
    "Translate Wrap",
    "Translate Unwrap",
];

/// What can be asked about objects, beside the lists of the command line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "keys", rename_all = "kebab-case")]
#[expect(
    missing_docs,
    reason = "each variant is an action of the pages, described there"
)]
pub enum KeysRequest {
    /// Objects that meet all conditions given: newest first, or by name when a name is given.
    Find {
        /// How the name begins; destroyed objects have none.
        name: Option<String>,
        /// How the identifier begins.
        uid: Option<String>,
        state: Option<String>,
        owner: Option<String>,
        /// `next` of the page before.
        after: Option<String>,
        limit: u64,
    },
    /// Records about an object, before one.
    History {
        uid: String,
        before: u64,
    },
    /// What may be chosen for a new key.
    Choices,
    Create {
        owner: String,
        name: Option<String>,
        algorithm: String,
        bits: u32,
        group: Option<String>,
        activate: bool,
    },
    Activate {
        uid: String,
    },
    Revoke {
        uid: String,
        reason: u32,
        message: Option<String>,
    },
    Destroy {
        uid: String,
    },
}

impl KeysRequest {
    /// What it needs before anything is read; what is one ask is judged by itself.
    pub(super) fn right(&self) -> Option<Right> {
        match self {
            Self::Find { .. } | Self::History { .. } | Self::Choices => Some(Right::SeeKeys),
            Self::Create { .. }
            | Self::Activate { .. }
            | Self::Revoke { .. }
            | Self::Destroy { .. } => None,
        }
    }
}

fn parsed(uid: &str) -> Result<Uid, String> {
    Uid::parse(uid).ok_or_else(|| format!("{uid:?} is no unique identifier"))
}

impl ControlDoor {
    pub(super) async fn keys(&self, actor: &Actor, request: KeysRequest) -> Answer {
        match request {
            KeysRequest::Find {
                name,
                uid,
                state,
                owner,
                after,
                limit,
            } => {
                let search = Search::new(&[name, uid, state, owner, after], limit)?;
                Ok(self.find(search))
            }
            KeysRequest::History { uid, before } => {
                self.history(&parsed(&uid)?, Some(before)).await
            }
            KeysRequest::Choices => Ok(choices()),
            KeysRequest::Create {
                owner,
                name,
                algorithm,
                bits,
                group,
                activate,
            } => {
                let owner = Name::parse(&owner).map_err(|e| format!("owner {owner:?}: {e}"))?;
                let mut attributes = template(&algorithm, bits)?;
                attributes.extend(name.as_deref().map(Attribute::named));
                let text = |text| Attribute::standard(tag::OBJECT_GROUP, Held::Text(text));
                attributes.extend(group.map(text));
                if activate {
                    let now = Held::DateTime(self.engine.now().seconds());
                    attributes.push(Attribute::standard(tag::ACTIVATION_DATE, now));
                }
                let ask = Ask::CreateFor { owner, attributes };
                match self.engine.change(actor, ask, None).await {
                    Ok(outcome) => Ok(json!({ "uid": outcome.created.map(|uid| uid.to_string()) })),
                    Err(refusal) => Err(settled(refusal).await),
                }
            }
            KeysRequest::Activate { uid } => {
                let uid = parsed(&uid)?;
                self.change(actor, Ask::Activate { uid }).await
            }
            KeysRequest::Revoke {
                uid,
                reason,
                message,
            } => {
                let ask = Ask::Revoke {
                    uid: parsed(&uid)?,
                    reason,
                    message,
                    compromise_occurred: None,
                };
                self.change(actor, ask).await
            }
            KeysRequest::Destroy { uid } => {
                let uid = parsed(&uid)?;
                self.change(actor, Ask::Destroy { uid }).await
            }
        }
    }

    pub(super) async fn key_list(&self, limit: u64, lines: &mpsc::Sender<Line>) -> Answer {
        let now = self.engine.now();
        let (rows, total) = {
            let state = self.engine.machine().state();
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            let objects = state.objects().take(limit);
            let rows: Vec<_> = objects.map(|object| row(&state, object, now)).collect();
            (rows, state.object_count())
        };
        let shown = rows.len();
        for row in rows {
            lines
                .send(Line::Item(row))
                .await
                .map_err(|e| e.to_string())?;
        }
        Ok(json!({ "shown": shown, "total": total }))
    }

    pub(super) async fn key_show(&self, uid: &str) -> Answer {
        let id = parsed(uid)?;
        let mut shown = {
            let now = self.engine.now();
            let state = self.engine.machine().state();
            let object = state
                .object(&id)
                .ok_or_else(|| format!("there is no object {id}"))?;
            whole(&state, object, now)
        };
        let mut told = self.history(&id, None).await?;
        for field in ["history", "older"] {
            let part = told.get_mut(field).map(Value::take);
            set(&mut shown, field, part.unwrap_or_default());
        }
        Ok(shown)
    }

    /// What the cluster log says of one object: its latest records, or those before one, oldest
    /// first.
    async fn history(&self, uid: &Uid, before: Option<u64>) -> Answer {
        let projections = self.engine.projections();
        projections.catch_up().await.map_err(|e| e.to_string())?;
        let passage = projections.history(uid, before, HISTORY_MAX);
        let passage = passage.map_err(|e| e.to_string())?;
        let reader = self.engine.machine().reader();
        let mut history = Vec::with_capacity(passage.records.len());
        for n in passage.records.iter().rev() {
            let bytes = reader.read(*n).map_err(|e| e.to_string())?;
            let record: Record = codec::from_slice(&bytes).map_err(|e| e.to_string())?;
            let time = render::moment(record.time);
            let summary = domain::summary(&record);
            history.push(json!({ "record": n, "time": time, "summary": summary }));
        }
        Ok(json!({ "history": history, "older": passage.more }))
    }

    fn find(&self, search: Search) -> Value {
        let now = self.engine.now();
        let found = match &search.name {
            Some(prefix) => {
                let state = self.engine.machine().state();
                search.by_name(&state, prefix, now)
            }
            None => self.by_identifier(&search, now),
        };
        let state = self.engine.machine().state();
        let objects = found.uids.iter().filter_map(|uid| state.object(uid));
        let rows: Vec<_> = objects.map(|object| row(&state, object, now)).collect();
        json!({
            "rows": rows,
            "next": found.next,
            "unfinished": found.unfinished,
            "total": state.object_count(),
        })
    }

    /// Walks from the newest object to the oldest, a part at a time.
    fn by_identifier(&self, search: &Search, now: Time) -> Found {
        let begun = Instant::now();
        let mut found = Found::default();
        let (low, mut high) = search.ends();
        loop {
            let state = self.engine.machine().state();
            let mut seen = 0;
            for object in state.objects_within((low, high)).rev() {
                (seen, high) = (seen + 1, Bound::Excluded(*object.uid()));
                if search.wants(&state, object, now) {
                    if found.uids.len() == search.limit {
                        found.next = found.uids.last().map(ToString::to_string);
                        return found;
                    }
                    found.uids.push(*object.uid());
                }
                if seen == OBJECTS_PER_HOLD {
                    break;
                }
            }
            if seen < OBJECTS_PER_HOLD {
                return found;
            }
            if begun.elapsed() >= SEARCH_TIME {
                found.unfinished = true;
                if let Bound::Excluded(last) = high {
                    found.next = Some(last.to_string());
                }
                return found;
            }
        }
    }
}

/// What is searched for.
struct Search {
    name: Option<String>,
    /// The least and the greatest identifier that begins as asked.
    uids: (Uid, Uid),
    state: Option<LifecycleState>,
    owner: Option<Name>,
    after: Option<String>,
    limit: usize,
}

/// What was found.
#[derive(Default)]
struct Found {
    uids: Vec<Uid>,
    /// Where the next page begins.
    next: Option<String>,
    /// Whether the time was over before the page was full.
    unfinished: bool,
}

impl Search {
    /// Reads name, identifier, state, owner and the end of the page before; empty is not given.
    fn new(given: &[Option<String>; 5], limit: u64) -> Result<Self, String> {
        let [name, uid, state, owner, after] = given
            .each_ref()
            .map(|text| text.clone().filter(|text| !text.is_empty()));
        let state = state.map(|text| {
            let named = |state: &LifecycleState| state.to_string() == text;
            let found = LifecycleState::ALL.into_iter().find(named);
            found.ok_or_else(|| format!("{text:?} is no state of an object"))
        });
        let owner =
            owner.map(|text| Name::parse(&text).map_err(|e| format!("owner {text:?}: {e}")));
        Ok(Self {
            name,
            uids: beginning_with(uid.as_deref().unwrap_or_default())?,
            state: state.transpose()?,
            owner: owner.transpose()?,
            after,
            limit: usize::try_from(limit)
                .unwrap_or(ROWS_MAX)
                .clamp(1, ROWS_MAX),
        })
    }

    /// Between which identifiers it goes on.
    fn ends(&self) -> (Bound<Uid>, Bound<Uid>) {
        let (low, high) = self.uids;
        let after = self.after.as_deref().and_then(Uid::parse);
        match after {
            Some(after) if after <= low => (Bound::Included(low), Bound::Excluded(low)),
            Some(after) if after <= high => (Bound::Included(low), Bound::Excluded(after)),
            _ => (Bound::Included(low), Bound::Included(high)),
        }
    }

    fn wants(&self, state: &State, object: &Object, now: Time) -> bool {
        let (low, high) = &self.uids;
        (low..=high).contains(&object.uid())
            && self
                .state
                .is_none_or(|wanted| object.state_at(now) == wanted)
            && (self.owner.as_ref()).is_none_or(|owner| object.owner(state) == Some(owner))
    }

    /// Names that begin as asked, in order; of the same name, by owner. The state keeps the names
    /// of each owner in order, so this costs what is shown.
    fn by_name(&self, state: &State, prefix: &str, now: Time) -> Found {
        // A page ends with `owner name`; names of owners have no spaces.
        let after = self
            .after
            .as_deref()
            .and_then(|after| after.split_once(' '));
        let owners = state
            .users()
            .filter(|user| self.owner.as_ref().is_none_or(|owner| owner == user.name()));
        let mut rows = Vec::new();
        for user in owners {
            let from = match after {
                Some((owner, name)) if user.name().as_str() <= owner => Bound::Excluded(name),
                Some((_, name)) => Bound::Included(name),
                None => Bound::Included(prefix),
            };
            let names = user.names_from(from);
            let names = names.take_while(|(name, _)| name.starts_with(prefix));
            // The other conditions come after: looking for what few have would hold the state.
            let of_owner = names.take(self.limit + 1);
            rows.extend(of_owner.map(|(name, uid)| (name, user.name().as_str(), uid)));
        }
        rows.sort_unstable();
        let more = rows.len() > self.limit;
        rows.truncate(self.limit);
        let last = rows.last().filter(|_| more);
        let next = last.map(|(name, owner, _)| format!("{owner} {name}"));
        let uids = rows.into_iter().map(|(_, _, uid)| uid);
        let wanted = uids.filter(|uid| {
            let object = state.object(uid);
            object.is_some_and(|object| self.wants(state, object, now))
        });
        let uids: Vec<Uid> = wanted.collect();
        Found {
            unfinished: more && uids.len() < self.limit,
            next,
            uids,
        }
    }
}

/// The least and the greatest identifier whose text begins so.
fn beginning_with(prefix: &str) -> Result<(Uid, Uid), String> {
    const SHAPE: &str = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    let filled = |digit: char| {
        let rest = SHAPE.get(prefix.len()..)?.replace('x', &digit.to_string());
        Uid::parse(&format!("{prefix}{rest}"))
    };
    filled('0').zip(filled('f')).ok_or_else(|| {
        format!("no unique identifier begins with {prefix:?}: it looks like {SHAPE}")
    })
}

fn row(state: &State, object: &Object, now: Time) -> Value {
    json!({
        "uid": object.uid().to_string(),
        "type": format!("{:?}", object.object_type()),
        "kind": object.object_type().to_string(),
        "algorithm": kind(object),
        "state": object.state_at(now).to_string(),
        "owner": object.owner(state),
        "name": object.names().next(),
        "created": render::moment(object.initial_date()),
    })
}

/// Algorithm and length, where an object has them.
fn kind(object: &Object) -> Option<String> {
    let Held::Enumeration(code) = object.value(tag::CRYPTOGRAPHIC_ALGORITHM)? else {
        return None;
    };
    let name = algorithm::algorithm(code).map(|row| row.name);
    let name = name.map_or_else(|| format!("{code:#x}"), str::to_owned);
    Some(match object.value(tag::CRYPTOGRAPHIC_LENGTH) {
        Some(Held::Integer(bits)) => format!("{name}-{bits}"),
        _ => name,
    })
}

/// An object with all that may be seen of it.
fn whole(state: &State, object: &Object, now: Time) -> Value {
    let attributes: Vec<_> = object
        .instances(now)
        .into_iter()
        .map(|held| {
            let name = held.attribute.name.to_string();
            let value = render::value(&held.attribute.value);
            let meaning = meaning(&held.attribute);
            json!({ "name": name, "index": held.index, "value": value, "meaning": meaning })
        })
        .collect();
    let material = object.material();
    let id = object.uid();
    let final_destruction = object.is_tombstone().then(|| state.is_final(id));
    json!({
        "uid": id.to_string(),
        "name": object.names().next(),
        "type": format!("{:?}", object.object_type()),
        "kind": object.object_type().to_string(),
        "algorithm": kind(object),
        "state": object.state_at(now).to_string(),
        "owner": object.owner(state),
        "registered": object.is_registered(),
        "commitment": material.map(|m| m.commitment.to_string()),
        "epoch": material.map(|m| m.epoch.0),
        "destruction_final": final_destruction,
        "attributes": attributes,
    })
}

/// What a number of an enumeration or of a mask stands for, where this is known.
fn meaning(attribute: &Attribute) -> Option<String> {
    let AttributeName::Standard(tag) = attribute.name else {
        return None;
    };
    match (tag, &attribute.value) {
        (tag::STATE, Held::Enumeration(code)) => {
            LifecycleState::from_code(*code).map(|state| state.to_string())
        }
        (tag::CRYPTOGRAPHIC_ALGORITHM, Held::Enumeration(code)) => {
            algorithm::algorithm(*code).map(|row| row.name.to_owned())
        }
        (tag::CRYPTOGRAPHIC_USAGE_MASK, Held::Integer(mask)) => {
            let bits = USAGES.iter().enumerate();
            let named = bits.filter(|(bit, _)| mask >> bit & 1 == 1);
            Some(named.map(|(_, name)| *name).collect::<Vec<_>>().join(", "))
        }
        _ => None,
    }
}

/// Algorithms and lengths that a person is likely to want, of those that Create takes.
const CHOICES: [(&str, u32); 6] = [
    ("AES", 256),
    ("AES", 192),
    ("AES", 128),
    ("HMAC-SHA256", 256),
    ("HMAC-SHA384", 384),
    ("HMAC-SHA512", 512),
];

fn choices() -> Value {
    let choice = |(name, bits): (&str, u32)| json!({ "algorithm": name, "bits": bits });
    CHOICES.into_iter().map(choice).collect()
}

/// What a key of an algorithm is made with.
fn template(name: &str, bits: u32) -> Result<Vec<Attribute>, String> {
    let row = algorithm::ALGORITHMS.iter().find(|row| row.name == name);
    let row = row.ok_or_else(|| format!("{name:?} is no algorithm that keys are made for here"))?;
    let length = i32::try_from(bits).map_err(|_| format!("{bits} bits is no length of a key"))?;
    let mask = match name.starts_with("HMAC") {
        true => MAKE_AND_CHECK_MACS,
        false => ENCRYPT_AND_DECRYPT,
    };
    Ok(vec![
        Attribute::standard(tag::CRYPTOGRAPHIC_ALGORITHM, Held::Enumeration(row.code)),
        Attribute::standard(tag::CRYPTOGRAPHIC_LENGTH, Held::Integer(length)),
        Attribute::standard(tag::CRYPTOGRAPHIC_USAGE_MASK, Held::Integer(mask)),
    ])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_beginning_of_an_identifier_is_a_range() {
        for (prefix, low, high) in [
            (
                "",
                "00000000-0000-0000-0000-000000000000",
                "ffffffff-ffff-ffff-ffff-ffffffffffff",
            ),
            ("0192-", "", ""),
            (
                "01927A3",
                "01927a30-0000-0000-0000-000000000000",
                "01927a3f-ffff-ffff-ffff-ffffffffffff",
            ),
            (
                "01927a30-7",
                "01927a30-7000-0000-0000-000000000000",
                "01927a30-7fff-ffff-ffff-ffffffffffff",
            ),
        ] {
            let range = beginning_with(prefix).ok();
            let expected = Uid::parse(low).zip(Uid::parse(high));
            assert_eq!(range, expected, "{prefix}");
        }
        assert!(beginning_with("é").is_err());
        assert!(beginning_with(&"0".repeat(37)).is_err());
    }

    #[test]
    fn choices_are_lengths_that_create_takes() {
        for (name, bits) in CHOICES {
            let row = algorithm::ALGORITHMS.iter().find(|row| row.name == name);
            assert!(row.unwrap().takes(bits), "{name}-{bits}");
            assert_eq!(template(name, bits).unwrap().len(), 3);
        }
        assert!(template("ROT13", 13).is_err());
    }
}
