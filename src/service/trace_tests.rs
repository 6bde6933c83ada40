//! What is concluded from what the nodes say: what is certain, and who said so.

use super::*;

const STARTED: LogPosition = LogPosition::new(5, 0);

fn at(index: u64) -> LogPosition {
    LogPosition::new(index, 0)
}

fn node(name: &str, memory: NodeMemory) -> NodeTrace {
    NodeTrace { node: name.to_owned(), silent: None, memory }
}

fn socket(epoch: Epoch, index: u64) -> NodeMemory {
    let socket =
        TracedSocket { epoch, handed_up_to: at(index), waiting_events: 0, waiting_bytes: 0, catches_up: false };
    NodeMemory { socket: Some(socket), ..NodeMemory::default() }
}

fn departed(epoch: Epoch, index: u64) -> NodeMemory {
    let gone = Departed { at_unix_ms: 0, epoch, handed: at(index), cause: None };
    NodeMemory { departures: vec![gone.into()], ..NodeMemory::default() }
}

fn resumed(epoch: Epoch, index: u64) -> NodeMemory {
    let resumed = Resumed {
        at_unix_ms: 0,
        from: Some(at(index)),
        outcome: ResumeOutcome::Recovered,
        recovered: Some((epoch, at(90), at(index))),
        took_ms: 1,
    };
    NodeMemory { resumes: vec![resumed.into()], ..NodeMemory::default() }
}

#[test]
fn the_last_owners_word_counts_whether_its_socket_is_there_or_has_gone() {
    let by = |name: &str| Some(name.to_owned());
    let nodes = [node("a", departed(1, 40)), node("b", socket(2, 30))];
    assert_eq!(handed(2, STARTED, &nodes), (at(30), true, by("b")), "a client may have less than it was handed");
    let nodes = [node("a", departed(2, 40)), node("b", resumed(2, 30))];
    assert_eq!(handed(2, STARTED, &nodes), (at(40), true, by("a")));
}

#[test]
fn without_it_what_is_certain_is_said_to_be_no_more_than_that() {
    assert_eq!(handed(1, STARTED, &[]), (STARTED, false, None));
    let nodes = [node("a", resumed(2, 30)), node("b", departed(1, 40))];
    assert_eq!(handed(2, STARTED, &nodes), (at(30), false, Some("a".to_owned())));
    assert_eq!(handed(3, STARTED, &nodes), (at(30), false, Some("a".to_owned())));
    let newer = [node("a", socket(3, 70)), node("b", departed(2, 20))];
    assert_eq!(handed(2, STARTED, &newer), (at(20), true, Some("b".to_owned())), "this replica is behind");
}

#[test]
fn a_question_of_another_node_is_told_from_a_forwarded_request() {
    let pid = PidHash([7; 16]);
    let header = [&HEADER[..], &pid.0].concat();
    assert_eq!(parse_header(&header), Some(pid));
    for other in [&header[..17], &[header.clone(), vec![0]].concat(), &[&[1, 3], &header[2..]].concat(), &[]] {
        assert_eq!(parse_header(other), None, "{other:?}");
    }
}

#[test]
fn an_event_is_listed_by_its_name_and_nothing_that_is_in_it() {
    let payload = vedfolnir_cluster::state::Payload {
        text: Bytes::from_static(br#"["greeting","a secret",{"b":"another"}]"#),
        attachments: vec![Bytes::from_static(b"a third")],
    };
    let record = Record { namespace: "/chat".into(), rooms: vec!["r".into()], except: Vec::new(), payload };
    let line = serde_json::to_string(&listed(at(9), &record, at(8), true)).unwrap();
    assert_eq!(
        line,
        r#"{"position":{"index":9,"ordinal":0},"event":"greeting","namespace":"/chat","rooms":["r"],"handed":false}"#
    );
    assert_eq!(listed(at(9), &record, at(8), false).handed, None);
    assert_eq!(listed(at(9), &record, at(9), false).handed, Some(true));
}
