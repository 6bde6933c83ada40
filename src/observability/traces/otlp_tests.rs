//! What a receiver reads of it; that all fields are the protocol's own is asked by the end-to-end test.

use vedfolnir_cluster::state::TraceContext;

use super::*;

fn span(kind: Kind, parent: Option<[u8; 8]>, error: Option<&str>) -> Span {
    Span {
        context: TraceContext { trace_id: [1; 16], span_id: [2; 8] },
        parent,
        name: "publish".into(),
        kind,
        began_unix_ns: 1_000,
        ended_unix_ns: 3_000,
        attributes: vec![("a", Attribute::from("text")), ("b", Attribute::from(7_u64))],
        error: error.map(str::to_owned),
    }
}

#[test]
fn a_request_says_who_tells_which_spans() {
    let resource = resource([("service.name".to_owned(), "vedfolnir".to_owned())]);
    let spans = [span(Kind::Producer, None, None), span(Kind::Consumer, Some([3; 8]), Some("no"))];
    let read = ExportTraceServiceRequest::decode(request(&resource, &spans).as_slice()).unwrap();
    let [group] = read.resource_spans.as_slice() else { panic!("one resource") };
    assert_eq!(group.resource.as_ref(), Some(&resource));
    let [first, second] = group.scope_spans[0].spans.as_slice() else { panic!("two spans") };
    assert_eq!((first.trace_id.as_slice(), first.span_id.as_slice()), ([1; 16].as_slice(), [2; 8].as_slice()));
    assert_eq!((first.parent_span_id.len(), first.status.clone(), first.kind), (0, None, 4));
    assert_eq!((first.start_time_unix_nano, first.end_time_unix_nano), (1_000, 3_000));
    assert_eq!((first.flags, second.flags), (0x101, 0x301));
    assert_eq!(second.parent_span_id, [3; 8]);
    assert_eq!(second.status, Some(Status { message: "no".to_owned(), code: STATUS_ERROR }));
    let keys: Vec<&str> = second.attributes.iter().map(|pair| pair.key.as_str()).collect();
    assert_eq!(keys, ["a", "b"]);
}

#[test]
fn what_was_thrown_away_is_read_and_garbage_is_survived() {
    let answer = |rejected_spans| {
        let partial_success = Some(PartialSuccess { rejected_spans, error_message: "full".to_owned() });
        ExportTraceServiceResponse { partial_success }.encode_to_vec()
    };
    assert_eq!(rejected(&answer(2)), Some((2, "full".to_owned())));
    // A warning only, by the specification.
    assert_eq!(rejected(&answer(0)), None);
    assert_eq!(rejected(&answer(-1)), None);
    assert_eq!(rejected(b""), None);
    assert_eq!(rejected(b"<html>"), None);
}
