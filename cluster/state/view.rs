//! What the floors above read of the state.

use std::sync::Arc;

use bytes::Bytes;

use crate::command::{Configuration, NodeInfo};
use crate::format::Format;
use crate::identifier::{Epoch, Incarnation, LogPosition, NodeId, PidHash};
use crate::membership::{JoinTokenView, TokenHash};
use crate::session::SessionView;
use crate::state::State;

impl State {
    /// Everything up to here has been applied.
    #[must_use]
    pub fn applied(&self) -> LogPosition {
        LogPosition::end_of(self.applied_index)
    }

    /// The history's id, once a leader has configured the cluster.
    #[must_use]
    pub fn history_id(&self) -> Option<u64> {
        self.configuration.as_ref().map(|configuration| configuration.history_id)
    }

    /// The histories that this one goes on from, since backups were restored; the youngest first.
    pub fn ancestor_ids(&self) -> impl Iterator<Item = u64> {
        self.history.ancestors().iter().rev().map(|ancestor| ancestor.history_id)
    }

    /// The committed limits.
    #[must_use]
    pub fn configuration(&self) -> Option<&Configuration> {
        self.configuration.as_ref()
    }

    /// The format that every member speaks, and in which what follows is written.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// Committed cluster time, milliseconds.
    #[must_use]
    pub fn cluster_time_ms(&self) -> u64 {
        self.time.now_ms()
    }

    /// A session's current epoch.
    #[must_use]
    pub fn session_epoch(&self, pid: &PidHash) -> Option<Epoch> {
        self.sessions.get(pid).map(|session| session.epoch)
    }

    /// A session.
    #[must_use]
    pub fn session(&self, pid: &PidHash) -> Option<SessionView> {
        self.sessions.get(pid).map(SessionView::from)
    }

    /// A session's application data, as it is committed now; `None`: it is not (any more) under this epoch.
    #[must_use]
    pub fn session_data(&self, pid: &PidHash, epoch: Epoch) -> Option<Bytes> {
        self.sessions.get(pid).filter(|session| session.epoch == epoch).map(|session| session.data.clone())
    }

    /// The rooms in which something may be said to a session, those that it does not show among them; `None`: no transport of
    /// this owner under this epoch has it.
    #[must_use]
    pub fn heard_rooms(&self, pid: &PidHash, epoch: Epoch, owner: Incarnation) -> Option<Vec<Arc<str>>> {
        let session = self.sessions.get(pid)?;
        let is_owned = session.owner == owner && session.epoch == epoch && session.deadline_ms.is_none();
        is_owned.then(|| session.heard_rooms())
    }

    /// All sessions, in the order of their keys.
    pub fn sessions(&self) -> impl Iterator<Item = SessionView> + '_ {
        self.sessions.iter().map(SessionView::from)
    }

    /// The session with a sid.
    #[must_use]
    pub fn session_by_sid(&self, namespace: &Arc<str>, sid: &Arc<str>) -> Option<PidHash> {
        self.sessions.by_sid(namespace, sid)
    }

    /// Connected sessions of a life, sorted.
    pub fn sessions_owned_by(&self, incarnation: Incarnation) -> impl Iterator<Item = PidHash> + '_ {
        self.sessions.owned_by(incarnation)
    }

    /// Who is in a room, sorted.
    #[must_use]
    pub fn room_members(&self, namespace: &Arc<str>, room: &Arc<str>) -> Vec<PidHash> {
        self.rooms.members(&(Arc::clone(namespace), Arc::clone(room))).collect()
    }

    /// Sessions with a transport.
    #[must_use]
    pub fn connected_count(&self) -> u64 {
        (self.sessions.len() - self.sessions.disconnected()) as u64
    }

    /// Sessions inside their recovery window.
    #[must_use]
    pub fn disconnected_count(&self) -> u64 {
        self.sessions.disconnected() as u64
    }

    /// Sessions that are connected, or were within so much committed cluster time (and are inside their recovery window).
    #[must_use]
    pub fn connected_within(&self, within_ms: u64) -> u64 {
        let window = self.configuration.as_ref().map_or(0, |configuration| configuration.recovery_window_ms);
        // A window begins with the disconnection.
        let end = self.cluster_time_ms().saturating_add(window).saturating_sub(within_ms);
        self.connected_count() + self.sessions.waiting_beyond(end)
    }

    /// Connected sessions of a node.
    #[must_use]
    pub fn node_session_count(&self, node: NodeId) -> u64 {
        self.sessions.count_of_node(node)
    }

    /// The newest life of a node that was ever committed, and whether it is live.
    #[must_use]
    pub fn node_incarnation(&self, node: NodeId) -> Option<(Incarnation, bool)> {
        self.nodes.incarnation(node)
    }

    /// Whether a node is live, and what it said about itself.
    #[must_use]
    pub fn node_info(&self, node: NodeId) -> Option<(bool, &NodeInfo)> {
        self.nodes.info(node)
    }

    /// Another node than this one that goes by this server id, dead or alive; removed ones do not.
    #[must_use]
    pub fn node_by_server_id(&self, server_id: &str, but: NodeId) -> Option<NodeId> {
        self.nodes.by_server_id(server_id, but)
    }

    /// All live lives, sorted.
    #[must_use]
    pub fn live_incarnations(&self) -> Vec<Incarnation> {
        self.nodes.live()
    }

    /// What a join token is worth; `None`: there is none of this hash (any more).
    #[must_use]
    pub fn join_token(&self, token: &TokenHash) -> Option<JoinTokenView> {
        self.membership.token(token, self.time.now_ms())
    }

    /// Whether the node was a member once and must never be one again.
    #[must_use]
    pub fn is_removed(&self, node: NodeId) -> bool {
        self.membership.is_removed(node)
    }

    /// The last executed sequence of a life; `None` when it is not live.
    #[must_use]
    pub fn last_sequence(&self, incarnation: Incarnation) -> Option<u64> {
        self.nodes.last_sequence(incarnation)
    }

    /// Age of the oldest record of the retained history in milliseconds of cluster time; 0 when there is none.
    #[must_use]
    pub fn history_age_ms(&self) -> u64 {
        let oldest = self.history.oldest_published_ms();
        oldest.map_or(0, |published_ms| self.cluster_time_ms().saturating_sub(published_ms))
    }

    /// Records and bytes of the retained history.
    #[must_use]
    pub fn history_size(&self) -> (usize, u64) {
        (self.history.len(), self.history.bytes())
    }
}
