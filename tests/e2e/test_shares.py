"""test_shares.py - what each model gets: of the compute threads where several compete, of requests per second, of resources, of runs at a time.

Counted in runs, never in milliseconds: the machine that tests run on may be as slow as it likes."""
import json
import threading

import numpy as np
import onnx
import pytest
from conftest import until

pytestmark = pytest.mark.apart   # tritonclient.grpc is used in a test itself
TINY = ["x", "FP32", [1, 4], [1, 2, 3, 4]]


def slow_body(rows):
    """(head, all) of a request for the slow model; made once: clients should not be what is slow."""
    head = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [rows, 384], "parameters": {"binary_data_size": 4 * rows * 384}}]}).encode()
    return head, head + np.full([rows, 384], 0.5, np.float32).tobytes()


SLOW_HEAD, SLOW_BODY = slow_body(384)
SHORT_HEAD, SHORT_BODY = slow_body(32)
ONE = ("--threads", "1", "--inline-us", "0", "--batch-mode", "off")


def runs(server, model):
    return server.get(f"/v2/models/{model}/stats").json()["model_stats"][0]["execution_count"]


class Flood:
    """So many clients who ask again as soon as they are answered, until the end of the block; nobody is refused."""

    def __init__(self, server, model, clients):
        self.ends, self.wrong = threading.Event(), []
        self.threads = [threading.Thread(target=self.ask) for _ in range(clients)]
        self.server, self.model = server, model

    def ask(self):
        while not self.ends.is_set():
            reply = self.server.post(f"/v2/models/{self.model}/infer", SLOW_BODY, headers={"Inference-Header-Content-Length": str(len(SLOW_HEAD))}, timeout=200)
            if reply.status != 200:
                self.wrong.append(reply)

    def __enter__(self):
        before = runs(self.server, self.model)
        for t in self.threads:
            t.start()
        until(lambda: runs(self.server, self.model) >= before + 2)
        return self

    def __exit__(self, *_):
        self.ends.set()
        for t in self.threads:
            t.join()
        assert not self.wrong, self.wrong[0]


def written(file):
    """What the server has written down of each request: its model, and times by name."""
    times = {}
    for entry in json.loads(file.read_text()):
        times.setdefault(entry["id"], {}).update({t["name"]: t["ns"] for t in entry.get("timestamps", [])}, **{k: entry[k] for k in ("model_name",) if k in entry})
    return list(times.values())


def crowd(server, wire, a, b):
    """So many requests for a and for b, which wait together."""
    def body(model):
        return b"POST /v2/models/%s/infer HTTP/1.1\r\nHost: h\r\nInference-Header-Content-Length: %d\r\nContent-Length: %d\r\n\r\n" % \
            (model, len(SHORT_HEAD), len(SHORT_BODY)) + SHORT_BODY
    wires = [wire(server, 200) for _ in range(a + b)]
    for k, w in enumerate(wires):
        w.send(body(b"a" if k * a % (a + b) < a else b"b"))
    for w in wires:
        assert w.reply().status == 200
        w.socket.close()


def contested(runs):
    """Of runs in their order the longest part at each of whose beginnings requests for both models waited."""
    longest, part = [], []
    for r in runs:
        at = r["COMPUTE_START"]
        if len({q["model_name"] for q in runs if q["QUEUE_START"] < at <= q["COMPUTE_START"]}) == 2:
            part.append(r)
            longest = max(longest, part, key=len)
        else:
            part = []
    return longest


def test_a_flood_on_one_model_delays_another_by_a_run(serve, zoo, tmp_path):
    """Twelve wait for the slow model all the while; who asks for the other one waits for the run that has begun, and for none of the eleven behind it.
    When a request was queued and its run began, the server itself has written down."""
    file = tmp_path / "trace.json"
    server = serve(f"slow={zoo['slow']}", f"tiny={zoo['tiny']}", *ONE, "--trace-file", file, "--trace-level", "TIMESTAMPS", "--trace-rate", "1")
    with Flood(server, "slow", 12):
        for _ in range(11):
            assert server.infer("tiny", [TINY]).status == 200
    assert server.stop() == 0
    times = written(file)
    begun = [t["COMPUTE_START"] for t in times if t["model_name"] == "slow"]
    asked = [t for t in times if t["model_name"] == "tiny"]
    passed = sorted(sum(t["QUEUE_START"] < b < t["COMPUTE_START"] for b in begun) for t in asked)
    assert len(passed) == 11 and passed[5] <= 1 and passed[-1] < 10, passed


def test_two_floods_share_time_by_weight(serve, zoo, wire, tmp_path):
    """While both have requests that wait, neither is ahead of its part of the time by more than a run of each; each end of what is looked at
    may cut off as much.  Runs that a stalled machine made long prove nothing: then it is tried again."""
    def shared():
        file = tmp_path / "trace.json"
        file.unlink(missing_ok=True)
        server = serve(f"a={zoo['slow']}", f"b={zoo['slow']}", *ONE, "--model-weights", "a=1,b=4", "--trace-file", file, "--trace-level", "TIMESTAMPS", "--trace-rate", "1")
        crowd(server, wire, 60, 100)
        assert server.stop() == 0
        part = contested(sorted(written(file), key=lambda t: t["COMPUTE_START"]))
        took = {m: [t["COMPUTE_OUTPUT_START"] - t["COMPUTE_START"] for t in part if t["model_name"] == m] for m in "ab"}
        a, b, most = sum(took["a"]), sum(took["b"]), 2 * (4 * max(took["a"], default=0) + max(took["b"], default=0))
        assert abs(4 * a - b) <= most, (a, b, most)
        return len(took["b"]) >= 24 and most < b
    until(shared, 300)


def put(folder, name, source, text):
    (folder / name / "1").mkdir(parents=True)
    onnx.save(onnx.load(source), folder / name / "1" / "model.onnx")
    (folder / name / "config.pbtxt").write_text(text)


def test_a_rate_is_429_and_resource_exhausted_that_say_when_to_come_again(serve, zoo, tmp_path):
    import grpc
    import tritonclient.grpc as tg
    put(tmp_path / "r", "own", zoo["tiny"], 'parameters { key: "requests_per_second" value { string_value: "1" } }')
    server = serve("--model-repository", tmp_path / "r", f"tiny={zoo['tiny']}", "--model-rates", "tiny=1:2")
    for model, burst in (("tiny", 2), ("own", 1)):
        replies = [server.infer(model, [TINY]) for _ in range(burst)]
        until(lambda: replies.append(server.infer(model, [TINY])) or replies[-1].status != 200)
        assert [r.status for r in replies[:burst]] == [200] * burst
        refused = [r for r in replies if r.status != 200]
        assert refused and all(r.status == 429 and r.headers["retry-after"] == "1" for r in refused)
        assert "requests per second: the limit is 1, got 2" in refused[0].json()["error"]
    ask = tg.service_pb2.ModelInferRequest(model_name="tiny", raw_input_contents=[np.ones([1, 4], np.float32).tobytes()])
    ask.inputs.add(name="x", datatype="FP32", shape=[1, 4])
    with grpc.insecure_channel(f"{server.host}:{server.port}") as channel, pytest.raises(grpc.RpcError) as refusal:
        for _ in range(20):
            tg.service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(ask)
    assert refusal.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert b"google.rpc.RetryInfo" in dict(refusal.value.trailing_metadata())["grpc-status-details-bin"]


def limited(count, resources, priority=1):
    needs = " ".join(f'resources {{ name: "{n}" count: {c} }}' for n, c in resources.items())
    return f"instance_group {{ count: {count} kind: KIND_CPU rate_limiter {{ {needs} priority: {priority} }} }}"


def test_resources_are_tritons(serve, zoo, wire, tmp_path):
    """Two models that need the same one never run at once; by runs, priority 3 gets a third of what 1 gets, as long as both have requests that wait."""
    put(tmp_path / "r", "a", zoo["slow"], limited(2, {"R": 2}))
    put(tmp_path / "r", "b", zoo["slow"], limited(2, {"R": 2}, priority=3))

    def shared():
        file = tmp_path / "trace.json"
        file.unlink(missing_ok=True)
        server = serve("--model-repository", tmp_path / "r", "--threads", "4", "--inline-us", "0", "--batch-mode", "off", "--rate-limit", "execution_count",
                       "--rate-limit-resource", "R:3", "--rate-limit-resource", "unused:1:0", "--trace-file", file, "--trace-level", "TIMESTAMPS", "--trace-rate", "1")
        crowd(server, wire, 75, 35)
        assert server.stop() == 0
        times = sorted(written(file), key=lambda t: t["COMPUTE_START"])
        assert len(times) == 110 and all(t["COMPUTE_OUTPUT_START"] <= u["COMPUTE_START"] for t, u in zip(times, times[1:])), "two ran at once"
        part = contested(times)
        a, b = (sum(t["model_name"] == m for t in part) for m in "ab")
        assert abs(a - 3 * b) <= 8, (a, b)
        return a >= 40                                      # else they did not wait together
    until(shared, 300)


@pytest.mark.parametrize("config, arguments, why", [
    (limited(1, {"R": 4}), ["--rate-limit", "execution_count", "--rate-limit-resource", "R:3"],
     'Resource count for "R" is limited to 3 which will prevent scheduling of one or more model instances, the minimum required count is 4'),
    (limited(1, {"R": 4}), ["--rate-limit", "execution_count", "--rate-limit-resource", "S:9"], 'Resource count for "R" is limited to 0'),
    (limited(1, {"R": 4}) + limited(1, {"R": 5}), ["--rate-limit", "execution_count"],
     "instance_group.rate_limiter of model m: expected the same in each group, got several"),
    ('parameters { key: "fair_weight" value { string_value: "0" } }', [], "parameter 'fair_weight': expected an integer in 1..1000, got '0'"),
    ('parameters { key: "requests_per_second" value { string_value: "-1" } }', [],
     "parameter 'requests_per_second': expected an integer in 1..1000000, got '-1'"),
])
def test_what_is_wrong_is_refused_with_one_line(zoo, tmp_path, config, arguments, why):
    from conftest import run_proa
    put(tmp_path / "r", "m", zoo["tiny"], config)
    ended = run_proa("serve", "--port", "0", "--model-repository", tmp_path / "r", *arguments)
    assert ended.returncode != 0 and why in ended.stderr, ended.stderr


@pytest.mark.parametrize("inline", ["0", "500"])
@pytest.mark.parametrize("more", ["", "dynamic_batching { }"])
def test_instances_are_the_runs_at_once(serve, zoo, tmp_path, inline, more):
    put(tmp_path / "r", "two", zoo["slow"], "instance_group { count: 1 } instance_group { count: 1 } " + more)
    server = serve("--model-repository", tmp_path / "r", "--threads", "4", "--loops", "4", "--inline-us", inline)
    most, later, metric = 0, 0, lambda name: int(next(line for line in server.get("/metrics").body.decode().splitlines() if line.startswith(name + "{")).split()[-1])
    assert metric("proa_model_instances") == 2
    assert [line.split()[-5] for line in server.log().splitlines() if line.startswith("two ")] in ([], ["2"])
    with Flood(server, "two", 8):
        def seen():
            nonlocal most, later
            most, later = max(most, metric("proa_inference_running")), later + (most >= 2)
            return later == 20
        until(seen, 200)
    assert most == 2
