//! The proposer against the real state: whatever the leaders drop, repeat or reorder, every command is applied
//! exactly once, in order, and every ticket hears its own response.

use std::sync::Arc;

use proptest::prelude::*;
use vedfolnir_state::{
    Command, Configuration, ContentHash, Format, Incarnation, LogPosition, NodeInfo, OnceKey, Origin, Payload, PidHash,
    Proposal, Publish, PublishOnce, Record, Register, Response, State, encode_proposal,
};

use super::*;

const LIFE: Incarnation = Incarnation { node: 7, generation: 1 };

fn system(command: Command) -> Bytes {
    encode_proposal(Format::FIRST, &Proposal { origin: Origin::System, commands: vec![command] })
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
    Command::Publish(Publish { from: None, record: Arc::new(record), trace: None })
}

/// What the log of commands delivered, in order.
fn delivered(effects: &[vedfolnir_state::EffectAt]) -> Vec<String> {
    effects
        .iter()
        .filter_map(|at| match &at.effect {
            vedfolnir_state::Effect::Deliver { record, .. } => {
                Some(String::from_utf8(record.payload.text.to_vec()).expect("utf-8"))
            }
            _ => None,
        })
        .collect()
}

#[test]
fn what_older_members_cannot_read_is_refused_until_the_format_has_risen() {
    let proposer = proposer();
    let disconnect = || {
        Command::Manage(Manage { namespace: "/".into(), whom: Whom::Session("sid".into()), change: Change::Disconnect })
    };
    assert!(matches!(proposer.propose(disconnect()), Err(ProposeError::OldFormat)));
    proposer.set_format(Format::TRACED);
    assert!(matches!(proposer.propose(disconnect()), Err(ProposeError::OldFormat)));
    assert!(proposer.next_batch().is_none());
    proposer.set_format(Format::MANAGED);
    assert!(proposer.propose(disconnect()).is_ok());
    let batch = proposer.next_batch().expect("one");
    assert_eq!(vedfolnir_state::written_in(&batch.bytes), Some(Format::MANAGED.number()));
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

/// A publish of session `session`, so that it is told apart and refused by nobody but the state's own rules.
fn publish_of(session: u8, number: u32) -> Command {
    let Command::Publish(mut publish) = publish(number) else { unreachable!("made as a publish") };
    publish.from = Some((PidHash([session; 16]), 1));
    Command::Publish(publish)
}

fn register(session: u8) -> Command {
    Command::Register(Register {
        pid: PidHash([session; 16]),
        sid: format!("S{session}").into(),
        namespace: "/".into(),
        user: None,
        data: Bytes::new(),
    })
}

const SESSIONS: u8 = 5;

#[derive(Clone, Debug)]
enum Turn {
    /// A session proposes so many in a row; session 0 is none.
    Propose(u8, u8),
    Then(Step),
}

fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        3 => (0..SESSIONS, 1u8..40).prop_map(|(session, count)| Turn::Propose(session, count)),
        4 => step().prop_map(Turn::Then),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn sessions_share_batches_and_keep_their_order(turns in prop::collection::vec(turn(), 1..120)) {
        let (mut state, mut index) = living_state();
        let proposer = proposer();
        let mut tickets: Vec<(u8, u32, Ticket)> = Vec::new();
        let mut registered = Vec::new();
        for session in 1..SESSIONS {
            registered.push(proposer.propose(register(session)).expect("within bounds"));
        }
        // Every batch that was ever cut, by its first sequence: what is sent again is what was cut.
        let mut cut: std::collections::BTreeMap<u64, Bytes> = std::collections::BTreeMap::new();
        let mut seen: std::collections::BTreeMap<LogPosition, String> = std::collections::BTreeMap::new();
        let mut delayed = Vec::new();
        let mut numbers = [0u32; SESSIONS as usize];
        let mut next = |proposer: &Proposer| {
            let bytes = proposer.next_batch()?.bytes;
            let Ok(proposal) = vedfolnir_state::decode_proposal(&bytes) else { panic!("does not decode") };
            let Origin::Node { first_sequence, .. } = proposal.origin else { panic!("of no node") };
            assert_eq!(cut.entry(first_sequence).or_insert_with(|| bytes.clone()), &bytes, "cut anew");
            Some(bytes)
        };
        let mut commit = |bytes: &[u8]| {
            let applied = state.apply(index, bytes);
            index += 1;
            for at in &applied.effects {
                if let vedfolnir_state::Effect::Deliver { record, .. } = &at.effect {
                    let text = String::from_utf8(record.payload.text.to_vec()).expect("utf-8");
                    assert!(seen.insert(at.position, text).is_none(), "one command at one position");
                }
            }
            if let Some(origin) = applied.origin {
                proposer.handle_applied(origin, applied.outcome);
            }
        };
        for turn in turns {
            match turn {
                Turn::Propose(session, count) => {
                    for _ in 0..count {
                        let number = u32::from(session) << 24 | numbers[usize::from(session)];
                        numbers[usize::from(session)] += 1;
                        let command = if session == 0 { publish(number) } else { publish_of(session, number) };
                        tickets.push((session, number, proposer.propose(command).expect("within bounds")));
                    }
                }
                Turn::Then(Step::Propose) => {}
                Turn::Then(Step::Commit) => {
                    if let Some(bytes) = next(&proposer) {
                        commit(&bytes);
                    }
                }
                Turn::Then(Step::Lose) => drop(next(&proposer)),
                Turn::Then(Step::Delay) => delayed.extend(next(&proposer)),
                Turn::Then(Step::Release) => delayed.drain(..).for_each(|bytes| commit(&bytes)),
                Turn::Then(Step::Rewind) => proposer.rewind(),
            }
        }
        proposer.rewind();
        while let Some(bytes) = next(&proposer) {
            commit(&bytes);
        }
        delayed.iter().for_each(|bytes| commit(bytes));
        prop_assert_eq!(seen.len(), tickets.len(), "each once");
        let mut last = [None; SESSIONS as usize];
        for (session, number, mut ticket) in tickets {
            let response = ticket.receiver.try_recv().expect("every ticket is answered");
            let Ok(Response::Published { position }) = response else { panic!("unexpected {response:?}") };
            prop_assert_eq!(seen.get(&position), Some(&format!("[\"m\",{number}]")), "its own response");
            prop_assert!(last[usize::from(session)] < Some(position), "a session's order");
            last[usize::from(session)] = Some(position);
        }
    }
}

/// Who published what is in a batch, in order.
fn publishers(batch: &Batch) -> Vec<Option<u8>> {
    let proposal = vedfolnir_state::decode_proposal(&batch.bytes).expect("a proposal");
    let from = |command: &Command| match command {
        Command::Publish(publish) => publish.from.map(|(pid, _)| pid.0[0]),
        other => panic!("unexpected {other:?}"),
    };
    proposal.commands.iter().map(from).collect()
}

#[test]
fn a_session_that_floods_delays_nobody_by_more_than_a_batch() {
    let proposer = proposer();
    for number in 0..10 * BATCH_COMMANDS_MAX as u32 {
        proposer.propose(publish_of(1, number)).expect("within bounds");
    }
    // What is under way already is a batch; everything that comes now stands in the next one.
    assert_eq!(publishers(&proposer.next_batch().expect("a batch")).len(), BATCH_COMMANDS_MAX);
    for session in 2..20 {
        proposer.propose(publish_of(session, 0)).expect("within bounds");
    }
    proposer.propose(publish(0)).expect("within bounds");
    let next = publishers(&proposer.next_batch().expect("a batch"));
    let others: Vec<Option<u8>> = next.iter().copied().filter(|session| *session != Some(1)).collect();
    assert_eq!(others, (2..20).map(Some).chain([None]).collect::<Vec<_>>());
    assert_eq!(next.len(), BATCH_COMMANDS_MAX, "and the flood has what is left");
}

#[test]
fn large_commands_take_turns_with_small_ones() {
    let proposer = proposer();
    let large = |number: u32| {
        let Command::Publish(mut publish) = publish_of(1, number) else { unreachable!("made as a publish") };
        let payload = Payload { text: Bytes::from(vec![b'1'; BATCH_BYTES_MAX - 1_000]), attachments: Vec::new() };
        publish.record = Arc::new(Record { payload, ..(*publish.record).clone() });
        Command::Publish(publish)
    };
    for number in 0..8 {
        proposer.propose(large(number)).expect("within bounds");
    }
    for number in 0..8 {
        proposer.propose(publish_of(2, number)).expect("within bounds");
    }
    // The next large one does not fit beside the first: small ones do, and the large one has the next turn.
    let first = publishers(&proposer.next_batch().expect("a batch"));
    assert_eq!((first.len(), first[0]), (9, Some(1)));
    proposer.propose(publish_of(3, 0)).expect("within bounds");
    for _ in 1..IN_FLIGHT_BATCHES_MAX {
        assert_eq!(publishers(&proposer.next_batch().expect("a batch"))[0], Some(1));
    }
}

#[test]
fn what_waits_in_lines_counts_and_is_failed_with_the_rest() {
    let proposer = proposer();
    let mut tickets: Vec<Ticket> =
        (0..50).map(|number| proposer.propose(publish_of(number % 5, 0)).expect("within bounds")).collect();
    assert!(proposer.next_batch().is_some());
    tickets.extend((0..50).map(|number| proposer.propose(publish_of(number % 7, 0)).expect("within bounds")));
    assert!(proposer.fence(LIFE));
    for mut ticket in tickets {
        assert_eq!(ticket.receiver.try_recv().expect("answered"), Err(ProposeError::Fenced));
    }
    proposer.begin(Incarnation { generation: 2, ..LIFE });
    assert!(proposer.next_batch().is_none(), "nothing of the old life is left");
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
fn what_the_clusters_format_has_no_word_for_is_not_proposed() {
    let proposer = proposer();
    let Command::Publish(publish) = publish(0) else { unreachable!("it is one") };
    let (key, content) = (OnceKey([1; 16]), ContentHash([1; 16]));
    let once = Command::PublishOnce(PublishOnce { publish, key, content });
    proposer.set_format(Format::TRACED);
    assert_eq!(proposer.propose(once.clone()).map(|_| ()), Err(ProposeError::OldFormat));
    assert!(proposer.next_batch().is_none(), "nothing waits");
    proposer.set_format(Format::MANAGED);
    proposer.propose(once.clone()).expect("everybody knows it by now");
    let batch = proposer.next_batch().expect("a batch");
    assert_eq!(vedfolnir_state::decode_proposal(&batch.bytes).expect("a proposal").commands, [once]);
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
    let mut in_flight = 0;
    for batch in &batches {
        let applied = state.apply(index, &batch.bytes);
        index += 1;
        in_flight += delivered(&applied.effects).len();
        proposer.handle_applied(applied.origin.expect("a proposal"), applied.outcome);
    }
    let next = proposer.next_batch().expect("the window is open again");
    let applied = state.apply(index, &next.bytes);
    assert_eq!(delivered(&applied.effects).len(), 100 - in_flight, "what waited became one batch");
}

#[test]
fn another_batch_waits_until_it_is_worth_one() {
    let (mut state, index) = living_state();
    let proposer = proposer();
    let propose = |count: u32| {
        (0..count).for_each(|number| drop(proposer.propose(publish(number)).expect("within bounds")));
    };
    propose(10);
    let first = proposer.next_batch().expect("nothing is in flight");
    propose(4);
    assert!(proposer.next_batch().is_none(), "ten are in flight");
    propose(1);
    assert!(proposer.next_batch().is_some());
    // What is applied makes less enough: five are in flight then.
    propose(3);
    assert!(proposer.next_batch().is_none());
    let applied = state.apply(index, &first.bytes);
    proposer.handle_applied(applied.origin.expect("a proposal"), applied.outcome);
    assert_eq!(publishers(&proposer.next_batch().expect("three for five")).len(), 3);
    // A batch's worth of bytes need not be half of the commands.
    proposer.propose(big(1)).expect("within bounds");
    assert!(proposer.next_batch().is_some());
}

/// A command of 1 MiB of this session.
fn big(session: u8) -> Command {
    Command::Register(Register {
        pid: PidHash([session; 16]),
        sid: "a".into(),
        namespace: "/".into(),
        user: None,
        data: Bytes::from(vec![0; 1 << 20]),
    })
}

#[test]
fn a_queue_that_is_full_refuses_instead_of_growing() {
    let proposer = proposer();
    let mut accepted = 0;
    let refused = (0..=u8::MAX).find_map(|session| match proposer.propose(big(session)) {
        Ok(_) => {
            accepted += 1;
            None
        }
        Err(error) => Some(error),
    });
    assert_eq!(refused, Some(ProposeError::Overloaded));
    assert!((32..=PENDING_BYTES_MAX >> 20).contains(&accepted));
}

#[test]
fn a_session_that_floods_leaves_room_for_the_others() {
    let proposer = proposer();
    let flood: Vec<_> = (0..100).map(|_| proposer.propose(big(1)).map(drop)).collect();
    let accepted = flood.iter().filter(|result| result.is_ok()).count();
    assert!((4..16).contains(&accepted), "{accepted} MiB of one session wait");
    assert_eq!(flood.last(), Some(&Err(ProposeError::Overloaded)));
    proposer.propose(big(2)).expect("another session has room");
    // What was cut into a batch waits no more, and its session has room again.
    assert!(proposer.next_batch().is_some());
    proposer.propose(big(1)).expect("room again");
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
        &encode_proposal(
            Format::FIRST,
            &Proposal { origin: Origin::Node { incarnation: LIFE, first_sequence: 1 }, commands: vec![publish(0)] },
        ),
    );
    index += 1;
    let applied = state.apply(index, &batch.bytes);
    assert_eq!(delivered(&applied.effects), ["[\"m\",1]"]);
}
