"""test_tracing.py - spans reach a collector that decodes them with protobuf's own reader; a bad collector costs no request anything."""
import http.server, json, socket, threading, time
import grpc
import pytest
from conftest import Answerer, logged, rests, until
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from models import X
from test_grpc import SERVICE, pb, request  # noqa: F401
from test_metrics import ask, value

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"

# opentelemetry/proto: message: {field: (number, type, label or message)}
STRING, BYTES, INT64, FIXED64, FIXED32, ENUM, BOOL, DOUBLE, UINT32 = 9, 12, 3, 6, 7, 5, 8, 1, 13
PROTO = {
    "AnyValue": {"string_value": (1, STRING), "bool_value": (2, BOOL), "int_value": (3, INT64), "double_value": (4, DOUBLE)},
    "KeyValue": {"key": (1, STRING), "value": (2, "AnyValue")},
    "Resource": {"attributes": (1, ["KeyValue"]), "dropped_attributes_count": (2, UINT32)},
    "Scope": {"name": (1, STRING), "version": (2, STRING)},
    "Status": {"message": (2, STRING), "code": (3, ENUM)},
    "Span": {"trace_id": (1, BYTES), "span_id": (2, BYTES), "trace_state": (3, STRING), "parent_span_id": (4, BYTES), "name": (5, STRING),
             "kind": (6, ENUM), "start_time_unix_nano": (7, FIXED64), "end_time_unix_nano": (8, FIXED64), "attributes": (9, ["KeyValue"]),
             "status": (15, "Status"), "flags": (16, FIXED32)},
    "ScopeSpans": {"scope": (1, "Scope"), "spans": (2, ["Span"])},
    "ResourceSpans": {"resource": (1, "Resource"), "scope_spans": (2, ["ScopeSpans"])},
    "Request": {"resource_spans": (1, ["ResourceSpans"])},
}


def decoder():
    file = descriptor_pb2.FileDescriptorProto(name="otlp_test.proto", package="otlp_test", syntax="proto3")
    for name, fields in PROTO.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            f = message.field.add(name=field, number=number, label=3 if isinstance(kind, list) else 1)
            kind = kind[0] if isinstance(kind, list) else kind
            if isinstance(kind, str):
                f.type, f.type_name = 11, f".otlp_test.{kind}"
            else:
                f.type = kind
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("otlp_test.Request"))


Request = decoder()


def unknown(message):
    """Names of messages that hold what PROTO has not."""
    from google.protobuf.unknown_fields import UnknownFieldSet
    found = [message.DESCRIPTOR.name] if len(UnknownFieldSet(message)) else []
    for f, v in message.ListFields():
        if f.message_type:
            for x in (v if hasattr(v, "__len__") and not hasattr(v, "DESCRIPTOR") else [v]):
                found += unknown(x)
    return found


def attributes(span):
    return {a.key: a.value.string_value or a.value.int_value for a in span.attributes}


class Collector:
    """answers: statuses to give, the last one for ever."""

    def __init__(self, answers=(200,), body=b""):
        self.spans, self.resources, self.bodies, self.paths = [], [], [], set()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                data = self.rfile.read(int(self.headers["Content-Length"]))
                status = answers[min(len(outer.bodies), len(answers) - 1)]
                outer.bodies.append(data)
                outer.paths.add((self.path, self.headers["Content-Type"]))
                if status == 200:
                    r = Request.FromString(data)
                    assert not unknown(r)
                    outer.resources += [x.resource for x in r.resource_spans]
                    outer.spans += [s for x in r.resource_spans for y in x.scope_spans for s in y.spans]
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = Answerer(Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def wait(self, servers):
        """The spans of requests, once there are so many."""
        return until(lambda: len(found := [s for s in self.spans if s.kind == 2]) >= servers and found, what=f"that {servers} spans come")


@pytest.fixture
def collector():
    made = []

    def start(*args, **kw):
        made.append(Collector(*args, **kw))
        return made[-1]
    yield start
    for c in made:
        c.server.end()


def test_a_request_is_a_span_with_its_parts(serve, zoo, collector):
    c = collector()
    s = serve(f"tiny={zoo['tiny']}", "--otlp-endpoint", c.url, env={"OTEL_SERVICE_NAME": "shop"})
    before = time.time_ns()
    reply = s.post("/v2/models/tiny/infer", {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": X}]},
                   headers={"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "rojo=1,congo=2"})
    assert reply.status == 200 and "traceparent" not in reply.headers
    span = c.wait(1)[0]
    assert c.paths == {("/v1/traces", "application/x-protobuf")}
    assert (span.trace_id.hex(), span.parent_span_id.hex(), span.trace_state) == (TRACE, PARENT, "rojo=1,congo=2")
    assert span.name == "POST /v2/models/{model}/infer" and span.flags == 0x301 and not span.HasField("status")
    assert before - 10**9 < span.start_time_unix_nano < span.end_time_unix_nano < time.time_ns() + 10**9
    a = attributes(span)
    assert a["http.request.method"] == "POST" and a["http.route"] == "/v2/models/{model}/infer" and a["url.path"] == "/v2/models/tiny/infer"
    assert a["http.response.status_code"] == 200 and a["server.address"] == "127.0.0.1" and a["server.port"] == s.port
    assert a["proa.model.name"] == "tiny" and a["proa.request.id"] == reply.headers["x-request-id"]
    assert {x.key: x.value.string_value for x in c.resources[0].attributes}["service.name"] == "shop"
    parts = [p for p in c.spans if p.kind == 1]
    assert [p.name for p in parts] == ["read", "queue", "compute", "write"]
    for p in parts:
        assert p.parent_span_id == span.span_id and p.trace_id == span.trace_id and len({x.span_id for x in c.spans}) == 5
        assert span.start_time_unix_nano - 10**6 <= p.start_time_unix_nano <= p.end_time_unix_nano <= span.end_time_unix_nano


def test_the_caller_decides_and_a_wrong_traceparent_is_no_caller(serve, zoo, collector):
    c = collector()
    s = serve(f"tiny={zoo['tiny']}", "--otlp-endpoint", c.url, "--trace-sample", "0")
    body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": X}]}
    for parent in (f"00-{TRACE}-{PARENT}-00", f"00-{TRACE.upper()}-{PARENT}-01", f"00-{TRACE}-{PARENT}-01-", f"00-{TRACE}-{PARENT}-01"):
        assert s.post("/v2/models/tiny/infer", body, headers={"traceparent": parent}).status == 200
    assert [x.parent_span_id.hex() for x in c.wait(1)] == [PARENT]
    assert until(lambda: value(s, "proa_trace_requests_total", result="sent")) == 1


def test_grpc_calls_are_spans(serve, zoo, collector, pb):
    c = collector()
    s = serve(f"tiny={zoo['tiny']}", "--otlp-endpoint", c.url)
    with grpc.insecure_channel(f"{s.host}:{s.port}") as channel:
        call = channel.unary_unary(SERVICE + "ModelInfer", request_serializer=lambda m: m.SerializeToString())
        call(request(pb), timeout=20, metadata=[("traceparent", f"00-{TRACE}-{PARENT}-01")])
        with pytest.raises(grpc.RpcError):
            call(request(pb, "none"), timeout=20)
    good, bad = sorted(c.wait(2), key=lambda x: attributes(x).get("rpc.grpc.status_code", 0))
    assert good.name == "inference.GRPCInferenceService/ModelInfer" and good.trace_id.hex() == TRACE
    a = attributes(good)
    assert a["rpc.system"] == "grpc" and a["rpc.service"] == "inference.GRPCInferenceService" and a["rpc.method"] == "ModelInfer"
    assert a.get("rpc.grpc.status_code", 0) == 0 and a["proa.model.name"] == "tiny"
    assert attributes(bad)["rpc.grpc.status_code"] == 5 and not bad.HasField("status") and not bad.parent_span_id


def test_trace_ids_are_in_the_log(serve, zoo):
    s = serve(f"tiny={zoo['tiny']}", "--log-format", "json", "--log-requests", "true")
    s.get("/v2/health/live", headers={"traceparent": f"00-{TRACE}-{PARENT}-00"})
    s.get("/v2/health/live", headers={"traceparent": f"00-{TRACE}-{PARENT}-00-"})
    s.stop()
    lines = [json.loads(x) for x in s.log().splitlines() if '"answered"' in x]
    assert [x.get("trace") for x in lines] == [TRACE, None]


@pytest.mark.parametrize("answers, sent", [((503, 429, 200), True), ((500,), False), ((400,), False)])
def test_what_may_pass_is_tried_again_and_the_rest_is_not(serve, zoo, collector, answers, sent):
    c = collector(answers)
    s = serve(f"tiny={zoo['tiny']}", "--otlp-endpoint", c.url)
    ask(s, 3)
    until(lambda: value(s, "proa_trace_requests_total", result="sent" if sent else "failed") >= 3)
    assert value(s, "proa_trace_requests_total") == 3 and len([x for x in c.spans if x.kind == 2]) == (3 if sent else 0)
    first, others = c.bodies[:len(answers)], c.bodies[len(answers):]     # others: what was asked for too late for the first batch
    assert len(first) == len(answers) and len(set(first)) == 1 and len({*first, *others}) == 1 + len(others)
    assert logged(s, "takes spans again" if sent else "spans are lost").count("spans are lost") == 1 and s.log().count("takes spans again") == int(sent)


def test_a_collector_that_refuses_a_part_is_believed(serve, zoo, collector):
    c = collector(body=b"\x0a\x02\x08\x02")
    s = serve(f"tiny={zoo['tiny']}", "--otlp-endpoint", c.url)
    ask(s, 3)
    until(lambda: value(s, "proa_trace_requests_total") >= 3)
    batches = [sum(x.kind == 2 for r in Request.FromString(b).resource_spans for y in r.scope_spans for x in y.spans) for b in c.bodies]
    assert sum(batches) == 3 == value(s, "proa_trace_requests_total")
    assert value(s, "proa_trace_requests_total", result="failed") == sum(min(n, 2) for n in batches)


class Silent:
    """Takes connections and says nothing, or garbage without end."""

    def __init__(self, garbage):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.garbage, self.kept = garbage, []
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                c = self.socket.accept()[0]
            except OSError:
                return
            self.kept.append(c)
            try:
                while self.garbage:
                    c.sendall(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 65536)
            except OSError:
                pass


@pytest.mark.parametrize("how", ["nobody", "silent", "garbage"])
def test_a_dead_collector_costs_no_request_anything(serve, zoo, how):
    if how == "nobody":
        mine = socket.socket()                              # bound, and it does not listen
        mine.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{mine.getsockname()[1]}"
    else:
        silent = Silent(how == "garbage")
        url = silent.url
    s = serve(f"tiny={zoo['tiny']}", "--otlp-endpoint", url, "--loops", "1")
    ask(s)
    if how == "nobody":
        logged(s, "spans are lost")
    else:
        until(lambda: silent.kept, what="a call to the collector")
    for _ in range(800):                                    # more than there are places; the thread hangs in its call, or backs off
        ask(s)
    assert how == "nobody" or len(silent.kept) < 100, "requests must not wait for calls"
    assert value(s, "proa_requests_total", model_name="tiny", code="200") == 801
    gone = sum(value(s, "proa_trace_requests_total", result=r) for r in ("dropped", "failed"))
    assert how == "garbage" or gone >= 200
    assert s.stop() == 0


def test_what_waits_at_the_end_is_sent(serve, zoo, collector):
    """They have a second; a collector that stalls for longer loses them, which is logged: then that was no test."""
    def sent():
        c = collector()
        s = serve(f"tiny={zoo['tiny']}", "--otlp-endpoint", c.url)
        ask(s, 5)
        assert s.stop() == 0
        spans = len([x for x in c.spans if x.kind == 2])
        assert spans == 5 or "spans are lost" in s.log(), (spans, s.log())
        return spans == 5
    until(sent)


def test_an_idle_server_that_traces_never_wakes(serve, zoo, collector):
    c = collector()
    s = serve(f"tiny={zoo['tiny']}", "--otlp-endpoint", c.url)
    ask(s, 3)
    c.wait(3)
    rests(s.pid)


def test_a_wrong_option_is_refused():
    from conftest import run_proa
    for args, text in ((("--trace-sample", "2"), "trace-sample: expected a number in 0..1, got '2'"),
                       (("--otlp-endpoint", "ftp://x:4318"), "otlp-endpoint: ")):
        r = run_proa("serve", "x=/nothing", *args)
        assert r.returncode != 0 and text in r.stderr, r.stderr
