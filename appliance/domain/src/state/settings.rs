//! Settings of the nodes and of the cluster.

use super::State;
use crate::member::DOORS_FORMAT;
use crate::setting::{APPROVED, Scope, find};
use crate::{NodeId, Time};
use alloc::collections::BTreeMap;
use alloc::string::String;

/// What was set, and by whom it is had.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Settings {
    cluster: BTreeMap<String, String>,
    /// No node has an empty map here.
    nodes: BTreeMap<NodeId, BTreeMap<String, String>>,
    /// When approved-algorithms mode was asked for, while it is. It follows from the records that
    /// the digest is about already, and an older member keeps nothing of it.
    approved_since: Option<Time>,
}

impl Settings {
    pub(super) fn put(&mut self, node: Option<NodeId>, id: &str, value: &str, time: Time) {
        if id == APPROVED {
            let since = self.approved_since.unwrap_or(time);
            self.approved_since = (value == "yes").then_some(since);
        }
        let of = match node {
            Some(node) => self.nodes.entry(node).or_default(),
            None => &mut self.cluster,
        };
        of.insert(id.into(), value.into());
    }

    /// A node that comes back under a new number is configured as it was.
    pub(super) fn inherit(&mut self, old: NodeId, new: NodeId) {
        if let Some(settings) = self.nodes.get(&old).cloned() {
            self.nodes.insert(new, settings);
        }
    }

    /// A node that is gone has none; its number is never given again.
    pub(super) fn forget(&mut self, node: NodeId) {
        self.nodes.remove(&node);
    }

    /// Everything that was set: the cluster's first, then by node, each by id.
    pub(super) fn all(&self) -> impl Iterator<Item = (Option<NodeId>, &str, &str)> + Clone {
        let cluster = self.cluster.iter().map(|(id, value)| (None, id, value));
        let nodes = self.nodes.iter().flat_map(|(node, settings)| {
            let of = Some(*node);
            settings.iter().map(move |(id, value)| (of, id, value))
        });
        cluster
            .chain(nodes)
            .map(|(node, id, value)| (node, id.as_str(), value.as_str()))
    }
}

impl State {
    /// What a setting was set to, for a node; of a setting of the cluster, for all of them.
    pub fn setting(&self, node: NodeId, id: &str) -> Option<&str> {
        let of = match find(id)?.scope {
            Scope::Cluster => &self.settings.cluster,
            Scope::Node => self.settings.nodes.get(&node)?,
        };
        of.get(id).map(String::as_str)
    }

    /// What holds for a node: the value that was set, or else the default of the setting.
    pub fn setting_or_default(&self, node: NodeId, id: &str) -> Option<&str> {
        self.setting(node, id)
            .or_else(|| find(id).and_then(|setting| setting.default))
    }

    /// What holds for a setting of the cluster; `None` for one that each node has.
    pub fn cluster_setting(&self, id: &str) -> Option<&str> {
        let setting = find(id).filter(|setting| setting.scope == Scope::Cluster)?;
        let set = self.settings.cluster.get(id).map(String::as_str);
        set.or(setting.default)
    }

    /// Whether operators want approved algorithms only.
    pub fn wants_approved(&self) -> bool {
        self.cluster_setting(APPROVED) == Some("yes")
    }

    /// Whether approved-algorithms mode is in force: it is wanted, and every member knows what it
    /// forbids.
    pub fn is_approved_mode(&self) -> bool {
        self.format() >= DOORS_FORMAT && self.wants_approved()
    }

    /// Since when approved-algorithms mode is wanted; `None` when it is not in force.
    pub(crate) fn approved_mode_since(&self) -> Option<Time> {
        let since = self.settings.approved_since;
        since.filter(|_| self.is_approved_mode())
    }

    /// What was set for a node and for the cluster, by id.
    pub fn settings(&self, node: NodeId) -> impl Iterator<Item = (&str, &str)> + '_ {
        let own = self.settings.nodes.get(&node).into_iter().flatten();
        let all: BTreeMap<&str, &str> = own
            .chain(&self.settings.cluster)
            .map(|(id, value)| (id.as_str(), value.as_str()))
            .collect();
        all.into_iter()
    }
}
