//! Who may become a member, and who is none any more: join tokens, used once, and removed nodes.

use std::fmt;

use imbl::OrdMap;
use serde::{Deserialize, Serialize};

use crate::identifier::NodeId;
use crate::limits;
use crate::table;

/// SHA-256 of a join token's secret; the secret itself is in no log and no snapshot.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TokenHash(pub [u8; 32]);

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{:02x}{:02x}{:02x}{:02x}", self.0[0], self.0[1], self.0[2], self.0[3])
    }
}

/// SHA-256 of the public key that a node wants a certificate for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyHash(pub [u8; 32]);

/// What a join token is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinTokenView {
    /// Nobody has used it yet.
    Unused,
    /// It was used, and only by this node with this key can it be used again.
    UsedBy {
        /// The node.
        node: NodeId,
        /// Its key.
        key: KeyHash,
    },
    /// Its time is over.
    Expired,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Token {
    /// In committed cluster time.
    expires_ms: u64,
    used_by: Option<(NodeId, KeyHash)>,
}

/// See the module.
///
/// Invariants: `used_by` is set once and never changes; `removed` and `removals` hold the same nodes, at most
/// [`limits::REMOVED_NODES_MAX`], those that were removed last; there are at most [`limits::JOIN_TOKENS_MAX`] tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Membership {
    #[serde(deserialize_with = "table::map")]
    tokens: OrdMap<TokenHash, Token>,
    #[serde(deserialize_with = "table::map")]
    removed: OrdMap<NodeId, u64>,
    #[serde(deserialize_with = "table::map")]
    removals: OrdMap<u64, NodeId>,
}

impl Membership {
    /// Takes a token in; says whether there was room. One that is known already stays as it is.
    pub(crate) fn add_token(&mut self, token: TokenHash, now_ms: u64, ttl_ms: u64) -> bool {
        if self.tokens.contains_key(&token) {
            return true;
        }
        if self.tokens.len() >= limits::JOIN_TOKENS_MAX {
            let over = self.tokens.iter().filter(|(_, token)| token.expires_ms <= now_ms);
            let Some(oldest) = over.min_by_key(|(_, token)| token.expires_ms).map(|(hash, _)| *hash) else {
                return false;
            };
            self.tokens.remove(&oldest);
        }
        self.tokens.insert(token, Token { expires_ms: now_ms.saturating_add(ttl_ms), used_by: None });
        true
    }

    /// Uses a token; says whether it is, or was already, this node's with this key.
    pub(crate) fn use_token(&mut self, token: &TokenHash, now_ms: u64, node: NodeId, key: KeyHash) -> bool {
        match self.token(token, now_ms) {
            Some(JoinTokenView::UsedBy { node: by, key: with }) => by == node && with == key,
            Some(JoinTokenView::Unused) if !self.is_removed(node) => {
                if let Some(entry) = self.tokens.get_mut(token) {
                    entry.used_by = Some((node, key));
                }
                true
            }
            _ => false,
        }
    }

    pub(crate) fn token(&self, token: &TokenHash, now_ms: u64) -> Option<JoinTokenView> {
        let entry = self.tokens.get(token)?;
        Some(match entry.used_by {
            _ if entry.expires_ms <= now_ms => JoinTokenView::Expired,
            Some((node, key)) => JoinTokenView::UsedBy { node, key },
            None => JoinTokenView::Unused,
        })
    }

    /// Forgets tokens whose time has long been over, so that an expired one is called so for a while.
    pub(crate) fn forget_tokens(&mut self, now_ms: u64) {
        let over: Vec<TokenHash> = self
            .tokens
            .iter()
            .filter(|(_, token)| token.expires_ms.saturating_add(limits::EXPIRED_TOKEN_KEPT_MS) <= now_ms)
            .map(|(hash, _)| *hash)
            .collect();
        for hash in over {
            self.tokens.remove(&hash);
        }
    }

    /// The node is none any more, and never will be again.
    pub(crate) fn remove_node(&mut self, node: NodeId) {
        if self.removed.contains_key(&node) {
            return;
        }
        let ordinal = self.removals.get_max().map_or(0, |(last, _)| last.saturating_add(1));
        self.removed.insert(node, ordinal);
        self.removals.insert(ordinal, node);
        while self.removed.len() > limits::REMOVED_NODES_MAX {
            let Some((first, oldest)) = self.removals.get_min().copied() else { return };
            self.removals.remove(&first);
            self.removed.remove(&oldest);
        }
    }

    pub(crate) fn is_removed(&self, node: NodeId) -> bool {
        self.removed.contains_key(&node)
    }
}

#[cfg(test)]
#[path = "membership_tests.rs"]
mod tests;
