//! Whose connection an Engine.IO session id names: made by the owner, authenticated by every node of the cluster. And which
//! node balancers are told that a client was given to; nothing here depends on that.

use axum::http::{HeaderMap, HeaderValue, Uri};
use ring::hmac;
use vedfolnir_cluster::state::{Incarnation, NodeId, SidKey};
use vedfolnir_protocol::{ENGINE_SID_TAG_LEN, EngineSid};

use super::http::Asking;
use super::{Inner, random};
use crate::security::affinity::{AffinityKey, AffinityRule};
use crate::security::events::SecurityEvent;
use crate::security::guard::unix_now;

/// Where a request with a session id belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// Here, if the session is still there.
    This,
    /// Another node, in a life that the cluster knows as live.
    Peer(NodeId),
    /// Nowhere: made up, or its owner's life is over.
    Nobody,
}

/// A new id of a session that this life of the node owns.
pub(crate) fn mint(key: &SidKey, owner: Incarnation) -> EngineSid {
    let tag = [0; ENGINE_SID_TAG_LEN];
    let mut sid = EngineSid { node: owner.node, generation: owner.generation, random: random::bytes(), tag };
    sid.tag = tag_of(key, &sid);
    sid
}

/// Whose session it is.
pub(crate) fn owner(service: &Inner, sid: &EngineSid) -> Owner {
    let own = service.cluster.incarnation();
    let (key, live) = service.cluster.read(|state| {
        let key = state.configuration().map(|configuration| configuration.sid_key);
        (key, state.node_incarnation(sid.node))
    });
    let Some(key) = key else { return Owner::Nobody };
    if !equal(&tag_of(&key, sid), &sid.tag) {
        return Owner::Nobody;
    }
    let named = Incarnation { node: sid.node, generation: sid.generation };
    match live {
        // A connection outlives a fencing of its node by a moment: the registry knows.
        _ if sid.node == own.node => Owner::This,
        Some((incarnation, true)) if incarnation == named => Owner::Peer(sid.node),
        _ => Owner::Nobody,
    }
}

/// What a handshake's answer says in its data about the node, by name and value; `None`: affinity is off.
pub(super) fn hint(service: &Inner) -> Option<(&str, String)> {
    let rule = service.config.affinity.as_ref()?;
    let expiry = unix_now().saturating_add(rule.seconds);
    Some((&rule.key, key(service).issue(service.cluster.incarnation().node, expiry)))
}

/// The cookie that a handshake's answer gives the client, if it needs one.
pub(super) fn cookie(service: &Inner, asking: Asking, headers: &HeaderMap, uri: &Uri) -> Option<HeaderValue> {
    let rule = service.config.affinity.as_ref()?;
    let node = service.cluster.incarnation().node;
    let verdict = rule.judge(key(service), node, headers, shown_in_query(rule, uri), asking.https, unix_now());
    if verdict.forged {
        let event = SecurityEvent::AffinityForged;
        service.guard.event(
            event,
            asking.address.ip(),
            "an affinity cookie or key that no node of the cluster has made",
        );
    }
    verdict.set_cookie
}

fn shown_in_query<'u>(rule: &AffinityRule, uri: &'u Uri) -> Option<&'u str> {
    let pairs = uri.query()?.split('&').filter_map(|pair| pair.split_once('='));
    pairs.into_iter().find(|(name, _)| *name == rule.key).map(|(_, value)| value)
}

/// A node is not ready before the cluster's key is committed.
fn key(service: &Inner) -> &AffinityKey {
    service.affinity.get_or_init(|| AffinityKey::derive(&service.sid_key().0))
}

fn tag_of(key: &SidKey, sid: &EngineSid) -> [u8; ENGINE_SID_TAG_LEN] {
    let signed = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key.0), &sid.claim());
    let mut tag = [0; ENGINE_SID_TAG_LEN];
    tag.copy_from_slice(&signed.as_ref()[..ENGINE_SID_TAG_LEN]);
    tag
}

/// Whether two tags are equal, in a time that does not depend on where they differ.
fn equal(a: &[u8; ENGINE_SID_TAG_LEN], b: &[u8; ENGINE_SID_TAG_LEN]) -> bool {
    let difference = a.iter().zip(b).fold(0, |difference, (a, b)| difference | (a ^ b));
    std::hint::black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_vouches_for_every_bit_of_the_claim() {
        let key = SidKey([7; 32]);
        let sid = mint(&key, Incarnation { node: 3, generation: 9 });
        assert!(equal(&tag_of(&key, &sid), &sid.tag));
        assert!(!equal(&tag_of(&SidKey([8; 32]), &sid), &sid.tag));
        for change in
            [EngineSid { node: 4, ..sid }, EngineSid { generation: 10, ..sid }, EngineSid { random: [0; 12], ..sid }]
        {
            assert!(!equal(&tag_of(&key, &change), &sid.tag), "{change:?}");
        }
    }
}
