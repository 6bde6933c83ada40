//! Review.
use crate::*;
use bytes::Bytes;
use std::sync::Arc;
const LIFE: Incarnation = Incarnation { node: 1, generation: 1 };
struct W {
    s: State,
    index: u64,
    seq: u64,
}
impl W {
    fn new(bytes: u64, age: u64) -> Self {
        let mut w = W { s: State::default(), index: 0, seq: 1 };
        w.sys(Command::Configure(Configuration {
            history_id: 7,
            recovery_window_ms: 120_000,
            history_age_ms_max: age,
            history_bytes_max: bytes,
        }));
        w.sys(Command::NodeUp { incarnation: LIFE, info: NodeInfo::default() });
        w
    }
    fn sys(&mut self, c: Command) {
        self.index += 1;
        self.s.apply(self.index, &encode_proposal(&Proposal { origin: Origin::System, commands: vec![c] }));
    }
    fn run(&mut self, c: Command) -> Response {
        self.index += 1;
        let p = Proposal { origin: Origin::Node { incarnation: LIFE, first_sequence: self.seq }, commands: vec![c] };
        self.seq += 1;
        match self.s.apply(self.index, &encode_proposal(&p)).outcome {
            Outcome::Executed { mut responses, .. } => responses.remove(0),
            o => panic!("{o:?}"),
        }
    }
    fn reg(&mut self, n: u8) -> PidHash {
        let pid = PidHash([n; 16]);
        let r = self.run(Command::Register(Register {
            pid,
            sid: format!("S{n}").into(),
            namespace: "/".into(),
            user: None,
            data: Bytes::new(),
        }));
        assert!(matches!(r, Response::Registered { .. }), "{r:?}");
        pid
    }
    fn publish(&mut self, to: &[&str], except: &[&str], n: usize) -> Response {
        let f = |l: &[&str]| l.iter().map(|r| Arc::from(*r)).collect::<Vec<Arc<str>>>();
        self.run(Command::Publish(Publish {
            from: None,
            record: Arc::new(Record {
                namespace: "/".into(),
                rooms: f(to),
                except: f(except),
                payload: Payload { text: Bytes::from(vec![b'x'; n]), attachments: vec![] },
            }),
        }))
    }
}
#[test]
fn a_many_joins_and_leaves_in_a_quiet_cluster() {
    let mut w = W::new(1 << 20, 180_000);
    let pid = w.reg(1);
    for n in 0..5_000 {
        let room: Arc<str> = "r".into();
        assert_eq!(w.run(Command::Join { pid, epoch: 1, room: room.clone() }), Response::Done, "join {n}");
        w.run(Command::Leave { pid, epoch: 1, room });
    }
}
#[test]
fn a2_many_different_rooms_over_a_long_life() {
    let mut w = W::new(1 << 20, 1_000);
    let pid = w.reg(1);
    w.publish(&["elsewhere"], &[], 10);
    for n in 0..6_000 {
        if n % 10 == 0 {
            w.sys(Command::Tick { elapsed_ms: 10_000 });
        }
        let room: Arc<str> = format!("r{n}").into();
        assert_eq!(w.run(Command::Join { pid, epoch: 1, room: room.clone() }), Response::Done, "join {n}");
        w.run(Command::Leave { pid, epoch: 1, room });
    }
}
#[test]
fn b_a_client_that_only_sends_missed_nothing() {
    let mut w = W::new(2_000, 180_000);
    let pid = w.reg(1);
    w.reg(2);
    w.run(Command::Join { pid, epoch: 1, room: "r".into() });
    for _ in 0..20 {
        w.publish(&["r"], &["S1"], 100);
    }
    w.run(Command::Disconnect { pid, epoch: 1 });
    let r = w.run(Command::Resume(Resume {
        pid,
        namespace: "/".into(),
        user: None,
        expected_epoch: Some(1),
        offset: None,
    }));
    assert!(matches!(r, Response::Resumed { .. }), "{r:?}");
}
#[test]
fn c_memory_of_names_counts() {
    let mut w = W::new(1 << 20, 180_000);
    w.reg(1);
    let names: Vec<String> = (0..1024).map(|n| format!("{n:0>256}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for _ in 0..100 {
        w.publish(&names, &[], 1);
    }
    let mut bytes = Vec::new();
    w.s.encode_snapshot(&mut bytes).unwrap();
    assert!(bytes.len() < 4 << 20, "1 MiB of history takes {} bytes, counted {:?}", bytes.len(), w.s.history_size());
}
#[test]
fn d_a_long_sliding_history_with_clones_and_snapshots() {
    let mut w = W::new(300 * 3_000, 180_000);
    let pid = w.reg(1);
    let mut olds = Vec::new();
    for n in 0..30_000_usize {
        w.publish(if n % 3 == 0 { &["S1"] } else { &[] }, &[], 10);
        if n % 997 == 0 {
            olds.push(w.s.clone());
        }
        if n % 7_001 == 0 {
            let mut bytes = Vec::new();
            w.s.encode_snapshot(&mut bytes).unwrap();
            let back = State::decode_snapshot(bytes.as_slice()).unwrap();
            assert!(back == w.s);
            assert_eq!(back.state_hash(), w.s.state_hash());
            w.s = back;
        }
    }
    let (count, _) = w.s.history_size();
    let mut after = LogPosition::end_of(w.index - count as u64);
    let mut got = 0;
    loop {
        let r = w.s.replay(&pid, after, 5_000).unwrap();
        assert!(!r.hole);
        for (p, _) in &r.records {
            assert!(*p > after);
            after = *p;
            got += 1;
        }
        after = r.reached;
        if r.complete {
            break;
        }
    }
    assert_eq!(got, count);
}
#[test]
fn e_a_refused_join_changes_nothing() {
    let mut w = W::new(300, 180_000);
    let pid = w.reg(1);
    w.run(Command::Join { pid, epoch: 1, room: "r".into() });
    w.publish(&["r"], &[], 10);
    w.run(Command::Leave { pid, epoch: 1, room: "r".into() });
    w.publish(&["S1"], &[], 10);
    w.publish(&["S1"], &[], 10);
    w.run(Command::Leave { pid, epoch: 9, room: "zz".into() });
    let before = w.s.clone();
    w.run(Command::Join { pid, epoch: 99, room: "zz".into() });
    assert!(before.sessions == w.s.sessions, "a refused command changed a session");
}
