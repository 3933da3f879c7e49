//! Approved-algorithms mode: what holds, computed from all parts of this node, and what a switch
//! would do, listed before it is done.
//!
//! The flag is a setting of the cluster; what it forbids is for `domain` to decide. What can be
//! claimed is the least of the parts, never the flag: a part that is not approved shows at once.

use crate::engine::Engine;
use crate::render;
use crate::sign_in::settled;
use crate::tls;
use domain::{Actor, Ask, Name, Object, SettingValue, State, setting};
use serde_json::{Value, json};
use vault::provider::{self, Standing};

/// Lines of each list of a plan; the counts are whole.
const LISTED_MAX: usize = 100;

/// Hexadecimal digits by which a plan is confirmed.
const PLAN_DIGITS: usize = 16;

/// One part of the node and what can be claimed for it.
struct Part {
    name: &'static str,
    /// `None` for what stands outside of what is claimed.
    standing: Option<Standing>,
    why: String,
}

impl Part {
    fn json(&self) -> Value {
        let standing = match self.standing {
            None => "outside",
            Some(Standing::NotApproved) => "not approved",
            Some(Standing::ApprovedAlgorithm | Standing::ApprovedModule) => "approved",
        };
        json!({ "name": self.name, "standing": standing, "why": self.why })
    }
}

/// What holds on this node now.
pub(crate) fn json(engine: &Engine) -> Value {
    let (wanted, in_force, parts) = {
        let state = engine.machine().state();
        let in_force = state.is_approved_mode();
        (state.wants_approved(), in_force, parts(engine, &state))
    };
    let claim = provider::least(parts.iter().filter_map(|part| part.standing));
    let complete = claim > Standing::NotApproved;
    let (mode, says) = match (wanted, in_force, complete) {
        (true, true, true) => ("on", "Every part computes with approved algorithms only."),
        (true, true, false) => (
            "incomplete",
            "It is in force, and a part of this node is not approved yet; see below.",
        ),
        (true, false, _) => (
            "asked for",
            "It takes effect when every member has a program that knows it.",
        ),
        (false, ..) => (
            "off",
            "Algorithms that are not approved are offered and served.",
        ),
    };
    json!({
        "mode": mode,
        "in_force": in_force,
        "says": says,
        "claim": claimed(claim),
        "parts": parts.iter().map(Part::json).collect::<Vec<_>>(),
    })
}

/// What a standing is called.
pub(crate) fn claimed(standing: Standing) -> &'static str {
    match standing {
        Standing::NotApproved => "not all approved",
        Standing::ApprovedAlgorithm => "approved, outside a validated module",
        Standing::ApprovedModule => "approved, by the validated module source",
    }
}

fn parts(engine: &Engine, state: &State) -> Vec<Part> {
    let in_force = state.is_approved_mode();
    let module = provider::approved();
    let of_mode = if in_force {
        module
    } else {
        Standing::NotApproved
    };
    let part = |name, standing, why| Part {
        name,
        standing: Some(standing),
        why,
    };
    let (suites, groups) = tls::approved_names();
    let count = provider::parts().len();
    vec![
        part(
            "Cryptographic provider",
            module,
            format!("{count} algorithms of the vault, {}", claimed(module)),
        ),
        slots(engine),
        part(
            "TLS between nodes",
            module,
            "TLS 1.3, AES-256-GCM, ECDHE P-384 or ML-KEM".into(),
        ),
        part(
            "TLS of clients, web and status",
            of_mode,
            match in_force {
                true => format!("{} with {}", suites.join(", "), groups.join(", ")),
                false => "ChaCha20-Poly1305 and X25519 are offered".to_owned(),
            },
        ),
        part(
            "Keys of clients",
            of_mode,
            match in_force {
                true => "others are neither made, nor taken in, nor given out".to_owned(),
                false => "every algorithm that KMIP names is served".to_owned(),
            },
        ),
        passwords(state, in_force, module),
        Part {
            name: "SSH",
            standing: None,
            why: "its key exchange and signatures are outside of what is claimed".to_owned(),
        },
    ]
}

fn slots(engine: &Engine) -> Part {
    let slots = engine.vault().slots();
    let standing = provider::least(slots.iter().map(|slot| slot.kind.standing()));
    let kinds: Vec<String> = slots.iter().map(|slot| slot.kind.to_string()).collect();
    Part {
        name: "Seal slots",
        standing: Some(standing),
        why: kinds.join(", "),
    }
}

fn passwords(state: &State, in_force: bool, module: Standing) -> Part {
    let old = unapproved_administrators(state).len();
    let (standing, why) = match (in_force, old) {
        (false, _) => (Standing::NotApproved, "Argon2id".to_owned()),
        (true, 0) => (module, "PBKDF2-HMAC-SHA-256".to_owned()),
        (true, old) => (
            Standing::NotApproved,
            format!("{old} by Argon2id, to be changed at the next sign-in"),
        ),
    };
    Part {
        name: "Passwords of administrators",
        standing: Some(standing),
        why,
    }
}

/// Administrators whose password is verified by Argon2id although the mode is in force.
fn unapproved_administrators(state: &State) -> Vec<String> {
    let administrators = state.administrators();
    let old = administrators.filter(|(_, known)| state.is_unapproved(known));
    old.map(|(name, _)| name.to_string()).collect()
}

/// What a switch would do to the objects and administrators of the cluster.
struct Consequences {
    objects: usize,
    listed: Vec<Value>,
    administrators: Vec<String>,
    /// Transfer destinations because of which it is refused.
    encrypting: Vec<String>,
}

fn consequences(state: &State, on: bool) -> Consequences {
    let mut found = Consequences {
        objects: 0,
        listed: Vec::new(),
        administrators: Vec::new(),
        encrypting: Vec::new(),
    };
    for object in state.objects().filter(|object| !object.is_tombstone()) {
        let Err(algorithm) = object.check_approved() else {
            continue;
        };
        found.objects += 1;
        if found.listed.len() < LISTED_MAX {
            found.listed.push(listed(state, object, &algorithm));
        }
    }
    if on && !state.wants_approved() {
        let with_password = state.administrators().filter(|(_, a)| a.password.is_some());
        found.administrators = with_password.map(|(name, _)| name.to_string()).collect();
        found.encrypting = state.encrypting().map(Name::to_string).collect();
    }
    found
}

fn listed(state: &State, object: &Object, algorithm: &str) -> Value {
    json!({
        "uid": object.uid().to_string(),
        "algorithm": algorithm,
        "owner": object.owner(state),
        "name": object.names().next(),
    })
}

/// What a switch would do, and the word by which it is confirmed. The word holds until something
/// of it changes that matters: open sessions come and go, and are dropped in any case.
pub(crate) fn plan(engine: &Engine, on: bool) -> Value {
    let (found, already) = {
        let state = engine.machine().state();
        (consequences(&state, on), state.wants_approved() == on)
    };
    let (suites, groups) = tls::approved_names();
    let fits = |list: &[String], name: &String| list.contains(name);
    let sessions = engine.sessions().all();
    let shown: Vec<Value> = sessions
        .iter()
        .take(LISTED_MAX)
        .map(|session| {
            let again = !on || fits(&suites, &session.suite) && fits(&groups, &session.group);
            json!({
                "user": session.user,
                "from": session.source,
                "tls": format!("{}, {}", session.suite, session.group),
                "may_come_back_as_it_is": again,
            })
        })
        .collect();
    let basis = json!([on, found.objects, found.listed, found.administrators]).to_string();
    let word = render::hex(&provider::sha256(&[basis.as_bytes()]));
    let notes = match on {
        true => TURNED_ON.iter(),
        false => TURNED_OFF.iter(),
    };
    json!({
        "turns": if on { "on" } else { "off" },
        "is_so_already": already,
        "sessions_dropped": sessions.len(),
        "sessions": shown,
        "objects_of_other_algorithms": found.objects,
        "objects": found.listed,
        "administrators_who_must_change_their_password": found.administrators,
        "refused_while_these_destinations_have_age_recipients": found.encrypting,
        "also": notes.collect::<Vec<_>>(),
        "confirm": word.get(..PLAN_DIGITS),
    })
}

const TURNED_ON: &[&str] = &[
    "objects of other algorithms stay, and are no longer given out; they can be destroyed",
    "Create and Register refuse other algorithms",
    "TLS offers AES-GCM and the curves of NIST only, 1.2 with the extended master secret only",
    "web and KMIP connections of this moment end, on every node",
    "SSH stays open, outside of what is claimed",
    "transfer destinations get closed logs signed and not encrypted, what waits already too; one \
     with age recipients is put again without them first",
];

const TURNED_OFF: &[&str] = &[
    "objects of other algorithms are given out again",
    "web and KMIP connections of this moment end, on every node",
    "new passwords are verified by Argon2id; those by PBKDF2 stay good",
];

/// Has the mode switched, when `word` confirms the plan that holds now.
///
/// # Errors
/// It confirms another plan, or the switch was refused.
pub(crate) async fn switch(
    engine: &Engine,
    actor: &Actor,
    on: bool,
    word: &str,
) -> Result<(), String> {
    let plan = plan(engine, on);
    if plan.get("confirm").and_then(Value::as_str) != Some(word) {
        let why = "this confirms another plan, or what it lists has changed since; look at the \
                   plan again";
        return Err(why.to_owned());
    }
    let value = if on { "yes" } else { "no" };
    let ask = Ask::Configure {
        node: engine.node(),
        values: vec![SettingValue {
            id: setting::APPROVED.to_owned(),
            value: value.to_owned(),
        }],
    };
    match engine.change(actor, ask, None).await {
        Ok(_) => Ok(()),
        Err(refusal) => Err(settled(refusal).await),
    }
}
