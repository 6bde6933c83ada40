//! The Hello that each end of a connection sends first.

use std::net::{Ipv4Addr, SocketAddr};

use vedfolnir_cluster::network::fuzzing::{hello, own_hello};
use vedfolnir_cluster::network::{Life, LocalIdentity};
use vedfolnir_fuzz::Bound;
use vedfolnir_fuzz::input::Input;

/// Lines that say why the two do not belong together.
pub const MEMORY: Bound = Bound { base_bytes: 4 << 10, bytes_per_input_byte: 0 };
pub const INPUT_BYTES_MAX: usize = 128;
/// Of a node that is in no cluster yet, or in this one.
const CLUSTER: [u8; 16] = [7; 16];

pub fn run(input: &[u8]) {
    let mut input = Input(input);
    let (format, in_cluster) = (1 + input.below(4) as u16, input.below(2) == 1);
    let local = LocalIdentity::new(9, in_cluster.then_some(CLUSTER));
    let local = local.speaking(format, Life { generation: 3, process: 4 });
    let from = SocketAddr::from((Ipv4Addr::LOCALHOST, 7));
    let Some(peer) = hello(input.0, &local, from) else { return };
    assert!((1..=format).contains(&peer.common_format) && peer.common_format <= peer.format);
    assert!(!in_cluster || peer.cluster_id.is_none_or(|cluster| cluster == CLUSTER), "of another cluster");
    // What this release would have said in the peer's place is read as the same.
    let twin = LocalIdentity::new(peer.node_id, peer.cluster_id);
    let Some(life) = peer.life else { return };
    let again = own_hello(&twin.speaking(peer.format, life));
    assert_eq!(hello(&again, &local, from), Some(peer));
}
