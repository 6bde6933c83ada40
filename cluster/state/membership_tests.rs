//! Bounds of the table of tokens and removed nodes; what it is for is told in `scenarios/`.

use super::*;

fn hash(number: usize) -> TokenHash {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&(number as u64).to_be_bytes());
    TokenHash(bytes)
}

#[test]
fn a_full_table_takes_a_token_only_in_place_of_an_expired_one() {
    let mut membership = Membership::default();
    assert!(membership.add_token(hash(0), 0, 100));
    for number in 1..limits::JOIN_TOKENS_MAX {
        assert!(membership.add_token(hash(number), 0, 1_000));
    }
    assert!(!membership.add_token(hash(usize::MAX), 99, 1_000));
    assert_eq!(membership.token(&hash(usize::MAX), 99), None);
    assert!(membership.add_token(hash(usize::MAX), 100, 1_000));
    assert_eq!(membership.token(&hash(0), 100), None, "the expired one made room");
    assert_eq!(membership.tokens.len(), limits::JOIN_TOKENS_MAX);
}

#[test]
fn the_nodes_removed_last_are_remembered() {
    let mut membership = Membership::default();
    let last = limits::REMOVED_NODES_MAX as u64 + 1;
    for node in 1..=last {
        membership.remove_node(node);
        membership.remove_node(node);
    }
    assert!(!membership.is_removed(1));
    assert!(membership.is_removed(2) && membership.is_removed(last));
    assert_eq!(membership.removals.len(), membership.removed.len());
}

#[test]
fn an_expired_token_is_called_so_for_a_while() {
    let mut membership = Membership::default();
    assert!(membership.add_token(hash(1), 0, 10));
    membership.forget_tokens(limits::EXPIRED_TOKEN_KEPT_MS);
    assert_eq!(membership.token(&hash(1), limits::EXPIRED_TOKEN_KEPT_MS), Some(JoinTokenView::Expired));
    membership.forget_tokens(limits::EXPIRED_TOKEN_KEPT_MS + 10);
    assert_eq!(membership.token(&hash(1), limits::EXPIRED_TOKEN_KEPT_MS), None);
}
