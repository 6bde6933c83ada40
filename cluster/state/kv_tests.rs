//! The key-value store against a brute-force model with time, and its bounds.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use crate::kv::Kv;
use crate::{
    Command, Configuration, Format, Incarnation, KvDelete, KvEntry, KvExpected, KvPut, KvRefusal, LogPosition,
    NodeInfo, Origin, Outcome, Proposal, Response, State, encode_proposal, limits,
};

const LIFE: Incarnation = Incarnation { node: 1, generation: 1 };
const KEYS: [&str; 6] = ["a", "a:1", "a:2", "a:22", "b", "ä:1"];
const PREFIXES: [&str; 5] = ["", "a", "a:", "a:2", "c"];

/// What a write expects, relative to what the model has.
#[derive(Clone, Copy, Debug)]
enum Expect {
    Anything,
    Absent,
    Current,
    /// The revision of some earlier write of any key.
    Earlier(usize),
}

#[derive(Clone, Debug)]
enum Step {
    Put { key: usize, value: u8, ttl_ms: Option<u64>, expect: Expect },
    Delete { key: usize, expect: Expect },
    Tick(u32),
    Snapshot,
}

fn expect() -> impl Strategy<Value = Expect> {
    prop_oneof![
        3 => Just(Expect::Anything),
        2 => Just(Expect::Absent),
        3 => Just(Expect::Current),
        1 => (0usize..8).prop_map(Expect::Earlier),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..KEYS.len(), any::<u8>(), prop::option::of(0u64..600), expect())
            .prop_map(|(key, value, ttl_ms, expect)| Step::Put { key, value, ttl_ms, expect }),
        3 => (0..KEYS.len(), expect()).prop_map(|(key, expect)| Step::Delete { key, expect }),
        4 => (0u32..300).prop_map(Step::Tick),
        1 => Just(Step::Snapshot),
    ]
}

/// Key, value, revision, end.
type Model = BTreeMap<String, (Vec<u8>, LogPosition, Option<u64>)>;

struct World {
    state: State,
    index: u64,
    sequence: u64,
    now_ms: u64,
    model: Model,
    revisions: Vec<LogPosition>,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            state: State::default(),
            index: 0,
            sequence: 0,
            now_ms: 0,
            model: Model::new(),
            revisions: vec![LogPosition::default()],
        };
        world.system(Command::Configure(Configuration {
            history_id: 5,
            recovery_window_ms: 1_000,
            history_age_ms_max: 2_000,
            history_bytes_max: 1 << 20,
            sid_key: crate::SidKey::default(),
        }));
        world.system(Command::NodeUp { incarnation: LIFE, info: NodeInfo::default() });
        world
    }

    fn apply(&mut self, origin: Origin, command: Command) -> Response {
        self.index += 1;
        let bytes = encode_proposal(Format::NEWEST, &Proposal { origin, commands: vec![command] });
        match self.state.apply(self.index, &bytes).outcome {
            Outcome::Executed { mut responses, .. } => responses.remove(0),
            outcome => panic!("{outcome:?}"),
        }
    }

    fn system(&mut self, command: Command) {
        assert_eq!(self.apply(Origin::System, command), Response::Done);
    }

    fn node(&mut self, command: Command) -> Response {
        self.sequence += 1;
        self.apply(Origin::Node { incarnation: LIFE, first_sequence: self.sequence }, command)
    }

    fn expected(&self, key: &str, expect: Expect) -> (KvExpected, bool) {
        let current = self.model.get(key).map(|(_, revision, _)| *revision);
        match expect {
            Expect::Anything => (KvExpected::Anything, true),
            Expect::Absent => (KvExpected::Absent, current.is_none()),
            Expect::Current => match current {
                Some(revision) => (KvExpected::Revision(revision), true),
                None => (KvExpected::Absent, true),
            },
            Expect::Earlier(back) => {
                let revision = self.revisions[self.revisions.len().saturating_sub(back + 1)];
                (KvExpected::Revision(revision), current == Some(revision))
            }
        }
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Put { key, value, ttl_ms, expect } => {
                let key = KEYS[key];
                let (expected, met) = self.expected(key, expect);
                let current = self.model.get(key).map(|(_, revision, _)| *revision);
                let value = vec![value; usize::from(value)];
                let put = KvPut { key: key.into(), value: Bytes::from(value.clone()), ttl_ms, expected };
                let response = self.node(Command::KvPut(put));
                let revision = LogPosition::new(self.index, 0);
                if met {
                    assert_eq!(response, Response::KvStored { revision });
                    self.revisions.push(revision);
                    self.model.insert(key.to_owned(), (value, revision, ttl_ms.map(|ttl_ms| self.now_ms + ttl_ms)));
                } else {
                    assert_eq!(response, Response::KvRefused(KvRefusal::Conflict { current }));
                }
            }
            Step::Delete { key, expect } => {
                let key = KEYS[key];
                let (expected, met) = self.expected(key, expect);
                let current = self.model.get(key).map(|(_, revision, _)| *revision);
                let response = self.node(Command::KvDelete(KvDelete { key: key.into(), expected }));
                if met {
                    assert_eq!(response, Response::KvDeleted { existed: self.model.remove(key).is_some() });
                } else {
                    assert_eq!(response, Response::KvRefused(KvRefusal::Conflict { current }));
                }
            }
            Step::Tick(elapsed_ms) => {
                self.system(Command::Tick { elapsed_ms });
                self.now_ms += u64::from(elapsed_ms);
            }
            Step::Snapshot => {
                let mut bytes = Vec::new();
                self.state.encode_snapshot(&mut bytes).unwrap();
                let back = State::decode_snapshot(bytes.as_slice()).unwrap();
                assert!(back == self.state);
                self.state = back;
            }
        }
        let now_ms = self.now_ms;
        self.model.retain(|_, (_, _, deadline)| deadline.is_none_or(|deadline| deadline > now_ms));
        self.compare();
    }

    fn compare(&self) {
        let show = |key: &str| {
            self.model.get(key).map(|(value, revision, deadline)| KvEntry {
                key: key.into(),
                value: Bytes::from(value.clone()),
                revision: *revision,
                expires_in_ms: deadline.map(|deadline| deadline - self.now_ms),
            })
        };
        for key in KEYS {
            assert_eq!(self.state.kv_get(key), show(key));
        }
        for prefix in PREFIXES {
            let expected: Vec<KvEntry> =
                self.model.keys().filter(|key| key.starts_with(prefix)).filter_map(|key| show(key)).collect();
            for entries_max in [1, 2, 100] {
                let (mut listed, mut after) = (Vec::new(), None::<Arc<str>>);
                loop {
                    let page = self.state.kv_list(prefix, after.as_deref(), entries_max);
                    assert!(page.entries.len() <= entries_max);
                    listed.extend(page.entries);
                    after = page.next;
                    if after.is_none() {
                        break;
                    }
                }
                assert_eq!(listed, expected, "{prefix} by {entries_max}");
            }
        }
        let stats = self.state.kv_stats();
        assert!(stats.entries >= self.model.len() as u64);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_store_is_what_the_model_says(steps in prop::collection::vec(step(), 1..80)) {
        let mut world = World::new();
        for step in steps {
            world.run(step);
        }
        // In the end nothing weighs anything that is not there.
        for key in KEYS {
            world.node(Command::KvDelete(KvDelete { key: key.into(), expected: KvExpected::Anything }));
        }
        let stats = world.state.kv_stats();
        prop_assert_eq!((stats.entries, stats.bytes), (0, 0));
    }
}

fn put(key: String, value: &Bytes, ttl_ms: Option<u64>) -> KvPut {
    KvPut { key: key.into(), value: value.clone(), ttl_ms, expected: KvExpected::Anything }
}

fn refused(refusal: KvRefusal) -> Response {
    Response::KvRefused(refusal)
}

#[test]
fn keys_and_values_are_bounded() {
    let (mut kv, at) = (Kv::default(), LogPosition::new(1, 0));
    let small = Bytes::from_static(b"v");
    assert_eq!(kv.put(put(String::new(), &small, None), at, 0), refused(KvRefusal::BadKey));
    assert_eq!(kv.put(put("k".repeat(limits::KV_KEY_BYTES_MAX + 1), &small, None), at, 0), refused(KvRefusal::BadKey));
    let key = "k".repeat(limits::KV_KEY_BYTES_MAX);
    assert_eq!(kv.put(put(key, &small, None), at, 0), Response::KvStored { revision: at });
    let large = Bytes::from(vec![0; limits::KV_VALUE_BYTES_MAX + 1]);
    assert_eq!(kv.put(put("k".into(), &large, None), at, 0), refused(KvRefusal::ValueTooLarge));
    let large = large.slice(1..);
    assert_eq!(kv.put(put("k".into(), &large, None), at, 0), Response::KvStored { revision: at });
}

#[test]
fn the_whole_is_bounded_in_bytes_and_what_is_replaced_makes_room() {
    let (mut kv, at) = (Kv::default(), LogPosition::new(1, 0));
    let value = Bytes::from(vec![0; limits::KV_VALUE_BYTES_MAX]);
    let mut count = 0;
    while kv.put(put(format!("{count:08}"), &value, None), at, 0) == (Response::KvStored { revision: at }) {
        count += 1;
    }
    let each = limits::KV_VALUE_BYTES_MAX as u64 + 8 + limits::KV_OVERHEAD_BYTES;
    assert_eq!(count, limits::KV_BYTES_MAX / each);
    assert_eq!(kv.put(put("00000009".into(), &value, None), at, 0), Response::KvStored { revision: at });
    assert_eq!(kv.put(put("new".into(), &value, None), at, 0), refused(KvRefusal::Full));
}

#[test]
fn entries_are_bounded_and_expire_step_by_step() {
    let (mut kv, at) = (Kv::default(), LogPosition::new(1, 0));
    let value = Bytes::new();
    for number in 0..limits::KV_ENTRIES_MAX {
        assert_eq!(kv.put(put(number.to_string(), &value, Some(10)), at, 0), Response::KvStored { revision: at });
    }
    assert_eq!(kv.put(put("one more".into(), &value, None), at, 0), refused(KvRefusal::TooManyEntries));
    assert_eq!(kv.put(put("7".into(), &value, Some(10)), at, 0), Response::KvStored { revision: at });
    kv.expire(10);
    // As many as a tick may remove have made room, and not one more.
    for number in 0..limits::KV_EXPIRED_PER_TICK_MAX {
        let stored = kv.put(put(format!("new {number}"), &value, None), at, 10);
        assert_eq!(stored, Response::KvStored { revision: at });
    }
    assert_eq!(kv.put(put("one more".into(), &value, None), at, 10), refused(KvRefusal::TooManyEntries));
}

#[test]
fn a_page_is_bounded_in_bytes_and_shows_at_least_one() {
    let mut world = World::new();
    for number in 0..6 {
        let value = Bytes::from(vec![0; limits::KV_VALUE_BYTES_MAX]);
        let response = world.node(Command::KvPut(put(format!("k{number}"), &value, None)));
        assert!(matches!(response, Response::KvStored { .. }));
    }
    let page = world.state.kv_list("k", None, 100);
    assert_eq!((page.entries.len(), page.next.as_deref()), (3, Some("k2")));
}
