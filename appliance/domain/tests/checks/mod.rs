//! What must hold after every record and in every state.

use crate::world::*;
use domain::*;
use std::collections::{BTreeMap, BTreeSet};

/// Everything that is to be seen of a state but the numbers of records.
fn seen(state: &State, now: Time) -> String {
    let objects: Vec<_> = state.objects().map(|o| (o, o.attributes(now))).collect();
    let users: Vec<_> = state.users().collect();
    let epochs: Vec<_> = state.epochs().collect();
    let waiting: Vec<_> = state.awaiting_final().collect();
    let slots: Vec<_> = state.slots().collect();
    let nodes: Vec<_> = state.nodes().collect();
    let tickets: Vec<_> = state.tickets().collect();
    let requests: Vec<_> = state.join_requests(Time(0)).collect();
    let offline: Vec<_> = state.offline_groups().collect();
    let cluster = (
        state.lineage(),
        state.origin(),
        state.format(),
        state.cluster_ca(),
    );
    let appliance: Vec<_> = [NODE, NodeId(2)]
        .iter()
        .flat_map(|node| state.settings(*node))
        .collect();
    let administrators: Vec<_> = state.administrators().collect();
    let agreement = (state.scrub(), state.divergences(), state.repaired());
    format!(
        "{appliance:?} {administrators:?} {tickets:?} {requests:?} {offline:?} {:?} {cluster:?} \
         {agreement:?} \
         {objects:?} {users:?} {epochs:?} {waiting:?} {slots:?} {nodes:?} {:?} {:?} {:?} {}",
        state.offline_get_of(None),
        state.policy(),
        state.log_keys(),
        state.next_due(),
        state.exports(),
    )
}

/// Checks what must hold between a state and the one after a record.
pub(crate) fn check_step(before: &State, after: &State, record: &Record) {
    assert_eq!(after.records(), before.records() + 1);
    assert_eq!(after.applied_entry(), record.entry);
    for old in before.objects() {
        let new = after.object(old.uid()).expect("no object ever vanishes");
        let (from, to) = (old.recorded_state(), new.recorded_state());
        let along = lifecycle::TRANSITIONS
            .iter()
            .any(|t| t.from == from && t.to == Some(to));
        assert!(from == to || along, "{from} to {to} by {record:?}");
        assert!(
            !old.is_tombstone() || new.is_tombstone(),
            "a tombstone came back: {record:?}"
        );
        assert_eq!(new.is_tombstone(), new.material().is_none());
        assert_eq!(new.owner(after), old.owner(before));
        assert_eq!(new.initial_date(), old.initial_date());
        assert!(!before.is_final(old.uid()) || after.is_final(old.uid()));
    }
    check_settings_step(before, after, record);
    check_administrators_step(before, after, record);
    check_members_step(before, after, record);
    if let Event::Refused { .. } = record.event {
        assert_eq!(seen(before, record.time), seen(after, record.time));
    }
}

/// Checks that administrators change by their events alone, and that one who can always get in is
/// left.
fn check_administrators_step(before: &State, after: &State, record: &Record) {
    let all = |state: &State| -> Vec<_> {
        let all = state.administrators();
        all.map(|(name, a)| (name.clone(), a.clone())).collect()
    };
    let changes = matches!(
        record.event,
        Event::AdministratorPut { .. }
            | Event::PasswordChanged { .. }
            | Event::SshKeysSet { .. }
            | Event::PermissionsSet { .. }
            | Event::AdministratorRemoved { .. }
    );
    assert!(changes || all(before) == all(after), "{record:?}");
    let keeper = before.keepers().next().is_some();
    assert!(
        before.format() < 4 || !keeper || after.keepers().next().is_some(),
        "nobody is left after {record:?}"
    );
}

/// Checks that settings change by their event alone, and are canonical.
fn check_settings_step(before: &State, after: &State, record: &Record) {
    for (node, member) in after.nodes() {
        let had = member.replaces.filter(|_| before.node(node).is_none());
        let old: BTreeMap<_, _> = before.settings(had.unwrap_or(node)).collect();
        let new: BTreeMap<_, _> = after.settings(node).collect();
        let changed = matches!(record.event, Event::SettingChanged { .. });
        let gone = member.phase == MemberPhase::Removed;
        assert!(
            changed || gone || old == new,
            "{old:?} to {new:?} by {record:?}"
        );
        for (id, value) in new {
            assert_eq!(after.setting(node, id), Some(value));
            let canonical = setting::find(id).expect("known").check(value);
            assert_eq!(canonical.as_deref(), Ok(value));
        }
        let together = setting::check_together(|id| after.setting_or_default(node, id));
        assert!(
            gone || changed || together.is_ok(),
            "{together:?} by {record:?}"
        );
    }
}

/// Whether a member may go from one phase to another.
fn moves_on(from: MemberPhase, to: MemberPhase, event: &Event, node: NodeId) -> bool {
    match event {
        // Whoever goes on alone is in full standing, and nobody else is anything.
        Event::LineageForked { node: survivor, .. } if *survivor == node => {
            to == MemberPhase::Member
        }
        Event::LineageForked { .. } => to == MemberPhase::Removed,
        Event::NodeRemoved { .. } => from <= to,
        _ => from <= to && (from == to || to != MemberPhase::Removed),
    }
}

/// Checks the laws of membership between a state and the one after a record.
fn check_members_step(before: &State, after: &State, record: &Record) {
    let event = &record.event;
    for (id, old) in before.nodes() {
        let new = after.node(id).expect("no node ever vanishes");
        assert!(
            moves_on(old.phase, new.phase, event, id),
            "{old:?} to {new:?} by {event:?}"
        );
        assert_eq!(old.epoch, new.epoch, "a member epoch is for ever");
        assert!(old.key.is_none() || old.key == new.key, "a key is for ever");
        let confirmed = matches!(event, Event::LineageForked { .. });
        let keys = old.role.holds_keys() == new.role.holds_keys();
        assert!(confirmed || keys, "a witness got keys: {event:?}");
        if let Event::NodeRemoved { node } = event
            && *node == id
            && old.confirmed
            && old.role.holds_keys()
        {
            let known = old.left_in.expect("it was leaving");
            let open = after
                .epochs()
                .find(|(epoch, r)| *epoch <= known && r.phase != state::EpochPhase::Retired);
            assert!(
                open.is_none() && after.epoch() > known,
                "{old:?} may know {open:?}"
            );
        }
    }
    let new: Vec<NodeId> = after
        .nodes()
        .map(|(id, _)| id)
        .filter(|id| before.node(*id).is_none())
        .collect();
    match event {
        Event::NodeAdmitted { node, replaces, .. } => {
            assert_eq!(new, [*node]);
            assert_eq!(*node, before.next_node(), "numbers are never given twice");
            // One change at a time: at most the joining node that is given up is in the way.
            let busy = before
                .members()
                .filter(|(id, n)| n.phase != MemberPhase::Member && Some(*id) != *replaces);
            let given_up = replaces
                .and_then(|old| before.node(old))
                .is_some_and(|old| old.phase == MemberPhase::Joining);
            assert!(given_up || busy.count() == 0);
        }
        _ => assert!(new.is_empty(), "{event:?}"),
    }
    assert!(after.newest_node() >= before.newest_node());
    assert!(after.format() >= before.format());
    let forked = u32::from(matches!(event, Event::LineageForked { .. }));
    assert_eq!(after.lineage(), before.lineage() + forked);
}

/// Checks that an actor whose word does not count in a state changed nothing.
pub(crate) fn check_word(before: &State, command: &Command, events: &[Event]) {
    let (actor, now) = (&command.actor, command.time);
    let changed = !events.is_empty() && denial(events).is_none();
    match actor {
        Actor::User { .. } => assert!(!changed || before.divergence().is_none()),
        Actor::Node(id) => {
            let phase = before.node(*id).map(|node| node.phase);
            let counts = phase.is_some_and(|phase| phase < MemberPhase::Leaving);
            let stopped = matches!(events, [Event::NodeStopped { .. }]);
            assert!(!changed || counts || stopped, "{actor:?}: {events:?}");
        }
        Actor::Operator { name, door } => {
            assert!(
                !changed || may(before, name, *door, &command.ask, now),
                "{command:?}"
            );
        }
        Actor::Unknown { .. } => {}
    }
}

/// Whether an operator has the permissions that an ask needs: said again, in other words than the
/// crate has for it.
fn may(state: &State, operator: &str, door: Door, ask: &Ask, now: Time) -> bool {
    let first = door == Door::Console && state.administrators().count() == 0;
    if state.format() < 4 || door == Door::Socket || first {
        return true;
    }
    let Some(known) = state.administrator(&name(operator)) else {
        return false;
    };
    let access = match door {
        Door::Console => "serial",
        Door::Ssh => "ssh",
        Door::Web => "web",
        _ => return false,
    };
    let needs = ask.needs(&name(operator));
    let has = |id: &str| known.permissions.has(Permission::find(id).unwrap());
    let changes = matches!(ask, Ask::ChangePassword { .. });
    let all = PERMISSIONS
        .iter()
        .all(|row| !needs.has(row.permission) || has(row.id));
    has(access) && all && (changes || !state.must_change_password(known, now))
}

/// Checks the laws of membership that must hold in every state.
fn check_members(state: &State) {
    let joining = state
        .members()
        .filter(|(_, n)| n.phase == MemberPhase::Joining);
    assert!(joining.count() <= 1, "one change at a time");
    let epochs: BTreeSet<u64> = state.nodes().map(|(_, node)| node.epoch).collect();
    assert_eq!(
        epochs.len(),
        state.nodes().count(),
        "each member has its own epoch"
    );
    let voter =
        |node: &state::Node| node.role == MemberRole::Voter && node.phase == MemberPhase::Member;
    assert!(
        state.members().any(|(_, node)| voter(node)),
        "no voter holds keys"
    );
    assert_eq!(
        state.oldest_format().map(|(_, format)| format),
        Some(state.format())
    );
    for (id, node) in state.members() {
        if let Some(key) = &node.key {
            let (newest, _) = state.member_by_key(key).unwrap();
            assert!(newest == id || state.node(newest).unwrap().replaces.is_some());
        }
    }
    for (epoch, record) in state.epochs() {
        if record.phase == state::EpochPhase::AwaitingRetire {
            let missing = state
                .key_keepers()
                .any(|(id, _)| !record.retired_by.contains(&id));
            assert!(missing, "everybody has confirmed epoch {}", epoch.0);
        }
    }
}

/// Checks what must hold in every state.
pub(crate) fn check_state(state: &State) {
    check_members(state);
    let mut names: BTreeMap<(Name, String), Uid> = BTreeMap::new();
    let mut living: BTreeMap<Name, u64> = BTreeMap::new();
    for object in state.objects().filter(|object| !object.is_tombstone()) {
        let owner = object.owner(state).unwrap().clone();
        *living.entry(owner.clone()).or_default() += 1;
        for text in object.names() {
            let old = names.insert((owner.clone(), text.to_string()), *object.uid());
            assert_eq!(old, None, "{text} twice");
        }
    }
    for ((owner, text), uid) in &names {
        assert_eq!(state.find_name(owner, text), Some(*uid));
    }
    for user in state.users() {
        assert_eq!(
            user.live_objects(),
            living.get(user.name()).copied().unwrap_or(0)
        );
    }
    for at in LifecycleState::ALL {
        let count = state
            .objects()
            .filter(|object| object.recorded_state() == at)
            .count();
        assert_eq!(state.count(at), count as u64, "{at}");
    }
    let waiting: BTreeSet<Uid> = state.awaiting_final().map(|(_, uid)| *uid).collect();
    for object in state.objects() {
        let gone = object.is_tombstone();
        assert_eq!(
            state.is_final(object.uid()),
            gone && !waiting.contains(object.uid())
        );
    }
    let current = state
        .epochs()
        .filter(|(_, r)| r.phase == state::EpochPhase::Current)
        .count();
    let alive = state
        .epochs()
        .filter(|(_, r)| r.phase != state::EpochPhase::Retired)
        .count();
    assert!(
        current == 1 && alive <= 2,
        "at most two epochs can seal an object"
    );
}

/// What was carried out under a token is remembered, what was refused is not, and what is
/// remembered is not carried out again.
pub(crate) fn check_once(
    world: &World,
    command: &Command,
    known: Option<Option<Uid>>,
    events: &[Event],
) {
    let Some(once) = &command.facts.once else {
        return;
    };
    let remembered = world.state.repeated(&command.actor, once);
    if known.is_some() {
        // A certificate that is not accepted any more is refused also when it repeats itself.
        assert!(
            events.is_empty() || denial(events).is_some(),
            "carried out twice"
        );
    } else if denial(events).is_some() || events.is_empty() {
        assert_eq!(remembered, None);
    } else {
        let created = events.iter().find_map(|event| match event {
            Event::ObjectCreated { uid, .. } | Event::ObjectSalvaged { uid, .. } => Some(*uid),
            _ => None,
        });
        assert_eq!(remembered, Some(created));
    }
}
