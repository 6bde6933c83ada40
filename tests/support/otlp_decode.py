"""Reads requests of OTLP over HTTP (protobuf, one file each) and prints their spans as lines of JSON.

    otlp_decode.py FILE...

By OpenTelemetry's own definitions: what these do not know stays unknown and is told as an error.
"""

import json
import sys

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span


def attributes(pairs):
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


def main():
    for path in sys.argv[1:]:
        with open(path, "rb") as file:
            body = file.read()
        request = ExportTraceServiceRequest.FromString(body)
        known = request.SerializeToString()
        request.DiscardUnknownFields()
        if request.SerializeToString() != known:
            sys.exit(f"{path}: fields that the protocol does not have")
        for group in request.resource_spans:
            for scope in group.scope_spans:
                for span in scope.spans:
                    print(json.dumps({
                        "resource": attributes(group.resource.attributes),
                        "scope": scope.scope.name,
                        "traceId": span.trace_id.hex(),
                        "spanId": span.span_id.hex(),
                        "parentSpanId": span.parent_span_id.hex(),
                        "name": span.name,
                        "kind": Span.SpanKind.Name(span.kind),
                        "start": span.start_time_unix_nano,
                        "end": span.end_time_unix_nano,
                        "attributes": attributes(span.attributes),
                        "error": span.status.message,
                        "status": span.status.code,
                        "flags": span.flags,
                    }))


main()
