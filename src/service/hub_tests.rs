//! Rooms change by effects alone; sockets and effects meet in either order.

use std::collections::BTreeSet;

use bytes::Bytes;
use vedfolnir_cluster::state::Payload;

use super::*;

struct Fake(u8, Epoch);

impl Member for Fake {
    fn pid(&self) -> PidHash {
        pid(self.0)
    }

    fn epoch(&self) -> Epoch {
        self.1
    }
}

fn pid(number: u8) -> PidHash {
    PidHash([number; 16])
}

fn names(rooms: &[&str]) -> Vec<Arc<str>> {
    rooms.iter().map(|room| Arc::from(*room)).collect()
}

fn reached(hub: &Hub<Fake>, rooms: &[&str], except: &[&str]) -> BTreeSet<u8> {
    let payload = Payload { text: Bytes::from_static(b"[\"m\"]"), attachments: Vec::new() };
    let record = Record { namespace: "/".into(), rooms: names(rooms), except: names(except), payload };
    let mut reached = BTreeSet::new();
    hub.visit(&record, |socket| assert!(reached.insert(socket.0), "visited twice"));
    reached
}

fn open(hub: &mut Hub<Fake>, number: u8, epoch: Epoch, rooms: &[&str]) -> Arc<Fake> {
    hub.opened(pid(number), epoch, &"/".into(), &names(rooms));
    let socket = Arc::new(Fake(number, epoch));
    assert_eq!(hub.attach(&socket, 1), Attached::Yes);
    socket
}

#[test]
fn records_reach_rooms_without_the_excepted() {
    let mut hub = Hub::default();
    open(&mut hub, 1, 1, &["s1", "a"]);
    open(&mut hub, 2, 1, &["s2", "a", "b"]);
    open(&mut hub, 3, 1, &["s3", "b"]);
    assert_eq!(reached(&hub, &[], &[]), [1, 2, 3].into());
    assert_eq!(reached(&hub, &["a"], &[]), [1, 2].into());
    assert_eq!(reached(&hub, &["a", "b"], &[]), [1, 2, 3].into());
    assert_eq!(reached(&hub, &["a", "b"], &["s1", "nobody"]), [2, 3].into());
    assert_eq!(reached(&hub, &[], &["b"]), [1].into());
    assert_eq!(reached(&hub, &["nowhere"], &[]), [].into());
    hub.joined(pid(1), &"b".into());
    hub.left(pid(2), &"b".into());
    hub.left(pid(2), &"b".into());
    assert_eq!(reached(&hub, &["b"], &[]), [1, 3].into());
}

#[test]
fn a_socket_may_come_before_or_after_its_opening() {
    let mut hub = Hub::default();
    let early = Arc::new(Fake(1, 1));
    assert_eq!(hub.attach(&early, 7), Attached::Yes);
    assert_eq!(reached(&hub, &[], &[]), [].into());
    hub.complete(6);
    hub.opened(pid(1), 1, &"/".into(), &names(&["s1"]));
    assert_eq!(reached(&hub, &["s1"], &[]), [1].into());
    assert!(hub.complete(7).is_empty());
    hub.opened(pid(2), 1, &"/".into(), &names(&["s2"]));
    assert_eq!(hub.attach(&Arc::new(Fake(2, 1)), 8), Attached::Yes);
    assert_eq!(reached(&hub, &["s2"], &[]), [2].into());
}

#[test]
fn a_socket_whose_session_is_gone_already_is_told() {
    let mut hub = Hub::default();
    // Opened and fenced before the ticket was looked at.
    hub.opened(pid(1), 1, &"/".into(), &names(&["s1"]));
    hub.remove(pid(1), 1);
    hub.complete(5);
    assert_eq!(hub.attach(&Arc::new(Fake(1, 1)), 5), Attached::Gone);
    // The same inside one entry that is not completed yet: the sweep tells.
    hub.opened(pid(2), 1, &"/".into(), &names(&["s2"]));
    hub.remove(pid(2), 1);
    assert_eq!(hub.attach(&Arc::new(Fake(2, 1)), 6), Attached::Yes);
    assert_eq!(hub.complete(6).iter().map(|socket| socket.0).collect::<Vec<_>>(), [2]);
}

#[test]
fn a_newer_epoch_replaces_and_an_older_one_changes_nothing() {
    let mut hub = Hub::default();
    open(&mut hub, 1, 1, &["s1", "old"]);
    open(&mut hub, 1, 2, &["s1", "new"]);
    assert_eq!(reached(&hub, &["old"], &[]), [].into());
    assert_eq!(reached(&hub, &["new"], &[]), [1].into());
    assert!(hub.remove(pid(1), 1).is_none());
    hub.detach(pid(1), 1);
    assert_eq!(reached(&hub, &["s1"], &[]), [1].into());
    hub.detach(pid(1), 2);
    assert_eq!(reached(&hub, &[], &[]), [].into());
    assert!(hub.namespaces.is_empty() && hub.by_pid.is_empty() && hub.entries.is_empty());
}

#[test]
fn after_a_snapshot_an_opening_that_comes_again_keeps_its_socket() {
    let mut hub = Hub::default();
    open(&mut hub, 1, 3, &["s1"]);
    hub.opened(pid(1), 3, &"/".into(), &names(&["s1", "a"]));
    assert_eq!(reached(&hub, &["a"], &[]), [1].into());
    assert_eq!(hub.clear().len(), 1);
    assert!(hub.sockets().is_empty());
}
