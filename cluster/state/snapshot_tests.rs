//! Snapshots: the same bytes as ever, and what is read of them is as it was written, shared names included.

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    Command, Configuration, Format, Incarnation, NodeInfo, Origin, Payload, PidHash, Proposal, Publish, Record,
    Register, State, encode_proposal,
};

/// A few bytes that announce a table of four billion entries once took memory for all of them, and the process with it.
#[test]
fn a_table_is_not_believed_how_long_it_is() {
    let mut bytes = Vec::new();
    world(4).encode_snapshot(&mut bytes).unwrap();
    // Every place where a table's length could stand: one more entry than there can be, and then nothing.
    let mut refused = 0;
    for at in 1..bytes.len() {
        for long in [0xdd, 0xdf] {
            let mut claims = bytes[..at].to_vec();
            claims.extend([long, 0xff, 0xff, 0xff, 0xff]);
            refused += usize::from(State::decode_snapshot(claims.as_slice()).is_err());
        }
    }
    assert_eq!(refused, 2 * (bytes.len() - 1));
}

const LIFE: Incarnation = Incarnation { node: 1, generation: 1 };

/// Something in every table: users, data, rooms that were left, records that left somebody out, some of them dropped,
/// sessions that are gone for a while.
fn world(sessions: usize) -> State {
    let mut state = State::default();
    let (mut index, mut sequence) = (0, 0);
    let mut apply = |origin: Option<()>, command: Command| {
        index += 1;
        let origin = match origin {
            Some(()) => Origin::System,
            None => {
                sequence += 1;
                Origin::Node { incarnation: LIFE, first_sequence: sequence }
            }
        };
        state.apply(index, &encode_proposal(Format::FIRST, &Proposal { origin, commands: vec![command] }));
    };
    apply(
        Some(()),
        Command::Configure(Configuration {
            history_id: 7,
            recovery_window_ms: 120_000,
            history_age_ms_max: 180_000,
            history_bytes_max: 64 << 10,
            sid_key: crate::SidKey::default(),
        }),
    );
    apply(Some(()), Command::NodeUp { incarnation: LIFE, info: NodeInfo::default() });
    for number in 0..sessions {
        let pid = pid(number);
        apply(
            None,
            Command::Register(Register {
                pid,
                sid: format!("sid-{number}").into(),
                namespace: "/".into(),
                user: (!number.is_multiple_of(3)).then(|| format!("user-{}", number / 2).into()),
                data: Bytes::from(vec![b'd'; number % 5]),
            }),
        );
        let room: Arc<str> = format!("room-{}", number / 4).into();
        apply(None, Command::Join { pid, epoch: 1, room: Arc::clone(&room) });
        apply(None, Command::Join { pid, epoch: 1, room: "all".into() });
        let except = if number.is_multiple_of(2) { vec![format!("sid-{number}").into()] } else { Vec::new() };
        let payload = Payload { text: Bytes::from_static(b"[\"m\"]"), attachments: Vec::new() };
        let record = Record { namespace: "/".into(), rooms: vec![Arc::clone(&room), "all".into()], except, payload };
        apply(None, Command::Publish(Publish { from: Some((pid, 1)), record: Arc::new(record), trace: None }));
        if number.is_multiple_of(5) {
            apply(None, Command::Leave { pid, epoch: 1, room });
        }
        if number.is_multiple_of(2) {
            apply(None, Command::Disconnect { pid, epoch: 1 });
        }
        apply(Some(()), Command::Tick { elapsed_ms: 10 });
    }
    state
}

fn pid(number: usize) -> PidHash {
    let mut hash = [0; 16];
    // Any order but theirs.
    hash[..8].copy_from_slice(&(number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    PidHash(hash)
}

fn read_back(state: &State) -> State {
    let mut bytes = Vec::new();
    state.encode_snapshot(&mut bytes).unwrap();
    State::decode_snapshot(bytes.as_slice()).unwrap()
}

#[test]
fn a_snapshot_has_the_bytes_that_version_1_always_had() {
    let state = world(500);
    assert!(state.history_size().0 < 500, "something has been dropped");
    assert_eq!(format!("{:016x}", state.state_hash()), "06f369cdabc8b7c6");
}

#[test]
fn tables_of_any_size_come_back() {
    for sessions in [0, 1, 2, 3, 64, 65, 300, 500] {
        let state = world(sessions);
        let read = read_back(&state);
        assert!(read == state, "{sessions} sessions");
        assert_eq!(read.state_hash(), state.state_hash());
    }
}

#[test]
fn names_that_are_read_share_their_memory() {
    let state = read_back(&world(20));
    let one = state.session(&pid(1)).unwrap();
    let own = one.rooms.iter().find(|room| **room == one.sid).unwrap();
    assert!(Arc::ptr_eq(own, &one.sid));
    let other = state.session(&pid(2)).unwrap();
    assert!(Arc::ptr_eq(&one.namespace, &other.namespace));
    assert!(Arc::ptr_eq(&one.rooms[0], &other.rooms[0]), "{:?} {:?}", one.rooms, other.rooms);
    // What is read outside a snapshot is not kept anywhere.
    let (again, another) = (read_back(&state), state.session(&pid(1)).unwrap());
    assert!(!Arc::ptr_eq(&again.session(&pid(1)).unwrap().sid, &another.sid));
}
