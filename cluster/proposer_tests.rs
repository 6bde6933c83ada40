//! The proposer against the real state: whatever the leaders drop, repeat or reorder, every command is applied
//! exactly once, in order, and every ticket hears its own response.

use std::sync::Arc;

use proptest::prelude::*;
use vedfolnir_state::{
    Command, Configuration, Incarnation, NodeInfo, Origin, Payload, PidHash, Proposal, Publish, Record, Register,
    Response, State, encode_proposal,
};

use super::*;

const LIFE: Incarnation = Incarnation { node: 7, generation: 1 };

fn system(command: Command) -> Bytes {
    encode_proposal(&Proposal { origin: Origin::System, commands: vec![command] })
}

/// A state in which `LIFE` is live, and the next free log index.
fn living_state() -> (State, u64) {
    let mut state = State::default();
    let configuration = Configuration {
        history_id: 9,
        recovery_window_ms: 120_000,
        history_age_ms_max: 180_000,
        history_bytes_max: 1 << 20,
        sid_key: vedfolnir_state::SidKey::default(),
    };
    state.apply(1, &system(Command::Configure(configuration)));
    state.apply(2, &system(Command::NodeUp { incarnation: LIFE, info: NodeInfo::default() }));
    (state, 3)
}

fn proposer() -> Proposer {
    let proposer = Proposer::new(LIFE, Arc::new(ClusterMetrics::default()));
    proposer.begin(LIFE);
    proposer
}

fn publish(number: u32) -> Command {
    let payload = Payload { text: Bytes::from(format!("[\"m\",{number}]")), attachments: Vec::new() };
    let record = Record { namespace: "/".into(), rooms: Vec::new(), except: Vec::new(), payload };
    Command::Publish(Publish { from: None, record: Arc::new(record) })
}

/// What the log of commands delivered, in order.
fn delivered(effects: &[vedfolnir_state::EffectAt]) -> Vec<String> {
    effects
        .iter()
        .filter_map(|at| match &at.effect {
            vedfolnir_state::Effect::Deliver(record) => {
                Some(String::from_utf8(record.payload.text.to_vec()).expect("utf-8"))
            }
            _ => None,
        })
        .collect()
}

#[derive(Clone, Debug)]
enum Step {
    /// The service proposes.
    Propose,
    /// A batch goes out and is committed.
    Commit,
    /// A batch goes out and is lost.
    Lose,
    /// A batch goes out, is committed only later, after a rewind.
    Delay,
    /// The delayed ones are committed.
    Release,
    /// The leader changed.
    Rewind,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Propose),
        3 => Just(Step::Commit),
        1 => Just(Step::Lose),
        1 => Just(Step::Delay),
        1 => Just(Step::Release),
        2 => Just(Step::Rewind),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn every_command_is_applied_exactly_once_and_in_order(steps in prop::collection::vec(step(), 1..120)) {
        let (mut state, mut index) = living_state();
        let proposer = proposer();
        let mut tickets = Vec::new();
        let mut seen = Vec::new();
        let mut delayed = Vec::new();
        let mut proposed = 0;
        let mut commit = |bytes: &[u8], seen: &mut Vec<String>| {
            let applied = state.apply(index, bytes);
            index += 1;
            seen.extend(delivered(&applied.effects));
            if let Some(origin) = applied.origin {
                proposer.handle_applied(origin, applied.outcome);
            }
        };
        for step in steps {
            match step {
                Step::Propose => {
                    tickets.push(proposer.propose(publish(proposed)).expect("within bounds"));
                    proposed += 1;
                }
                Step::Commit => {
                    if let Some(batch) = proposer.next_batch() {
                        commit(&batch.bytes, &mut seen);
                    }
                }
                Step::Lose => drop(proposer.next_batch()),
                Step::Delay => delayed.extend(proposer.next_batch()),
                Step::Release => {
                    for batch in delayed.drain(..) {
                        commit(&batch.bytes, &mut seen);
                    }
                }
                Step::Rewind => proposer.rewind(),
            }
        }
        proposer.rewind();
        for _ in 0..1_000 {
            match proposer.next_batch() {
                Some(batch) => commit(&batch.bytes, &mut seen),
                None => break,
            }
        }
        for batch in delayed {
            commit(&batch.bytes, &mut seen);
        }
        let expected: Vec<String> = (0..proposed).map(|number| format!("[\"m\",{number}]")).collect();
        prop_assert_eq!(seen, expected);
        let mut last = None;
        for mut ticket in tickets {
            let response = ticket.receiver.try_recv().expect("every ticket is answered");
            let Ok(Response::Published { position }) = response else { panic!("unexpected {response:?}") };
            prop_assert!(last < Some(position));
            last = Some(position);
        }
    }
}

#[test]
fn a_fenced_life_fails_what_waits_and_takes_nothing_more() {
    let proposer = proposer();
    let mut waiting = proposer.propose(publish(1)).expect("within bounds");
    assert!(proposer.fence(LIFE));
    assert_eq!(waiting.receiver.try_recv().expect("answered"), Err(ProposeError::Fenced));
    assert_eq!(proposer.propose(publish(2)).map(|_| ()), Err(ProposeError::Fenced));
    assert!(proposer.next_batch().is_none());
    assert!(!proposer.fence(LIFE), "fencing twice reports it once");
    let next = Incarnation { generation: 2, ..LIFE };
    proposer.begin(next);
    assert!(proposer.propose(publish(3)).is_ok());
    assert_eq!(proposer.incarnation(), next);
}

#[test]
fn the_window_is_bounded_in_batches_and_opens_with_application() {
    let (mut state, mut index) = living_state();
    let proposer = proposer();
    let mut batches = Vec::new();
    for number in 0..100 {
        proposer.propose(publish(number)).expect("within bounds");
        batches.extend(proposer.next_batch());
    }
    assert_eq!(batches.len(), IN_FLIGHT_BATCHES_MAX);
    for batch in &batches {
        let applied = state.apply(index, &batch.bytes);
        index += 1;
        proposer.handle_applied(applied.origin.expect("a proposal"), applied.outcome);
    }
    let next = proposer.next_batch().expect("the window is open again");
    let applied = state.apply(index, &next.bytes);
    assert_eq!(delivered(&applied.effects).len(), 100 - IN_FLIGHT_BATCHES_MAX, "what waited became one batch");
}

#[test]
fn a_queue_that_is_full_refuses_instead_of_growing() {
    let proposer = proposer();
    let big = Command::Register(Register {
        pid: PidHash([1; 16]),
        sid: "a".into(),
        namespace: "/".into(),
        user: None,
        data: Bytes::from(vec![0; 1 << 20]),
    });
    let mut accepted = 0;
    let refused = loop {
        match proposer.propose(big.clone()) {
            Ok(_) => accepted += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(refused, ProposeError::Overloaded);
    assert!((32..=PENDING_BYTES_MAX >> 20).contains(&accepted));
}

#[test]
fn a_snapshot_that_holds_the_commands_ends_their_tickets_without_repeating_them() {
    let proposer = proposer();
    let mut first = proposer.propose(publish(0)).expect("within bounds");
    let mut second = proposer.propose(publish(1)).expect("within bounds");
    assert!(proposer.next_batch().is_some());
    proposer.handle_installed(Some(1));
    assert_eq!(first.receiver.try_recv().expect("answered"), Err(ProposeError::ResponseLost));
    assert!(second.receiver.try_recv().is_err(), "still waiting");
    let batch = proposer.next_batch().expect("the second is sent again");
    let (mut state, mut index) = living_state();
    state.apply(
        index,
        &encode_proposal(&Proposal {
            origin: Origin::Node { incarnation: LIFE, first_sequence: 1 },
            commands: vec![publish(0)],
        }),
    );
    index += 1;
    let applied = state.apply(index, &batch.bytes);
    assert_eq!(delivered(&applied.effects), ["[\"m\",1]"]);
}
