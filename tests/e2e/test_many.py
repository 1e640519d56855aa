"""test_many.py - more models than memory: each is loaded when it is asked for and leaves when others need the room, as users of ModelMesh expect.

Every model answers differently, so an answer of the wrong one is seen.  Clients are unmodified tritonclient, over REST and gRPC."""
import json
import random
import threading
import time
import numpy as np
import onnx
import pytest
from conftest import rests, until
from models import model
from onnx import TensorProto as T, helper as h

pytestmark = pytest.mark.apart   # tritonclient.grpc is used in the test itself

WIDTH = 48


def times(n):
    """y = n x + n: 9 kB of weights of its own."""
    return model([h.make_node("MatMul", ["x", "w"], ["h"]), h.make_node("Add", ["h", "b"], ["y"])], [("x", T.FLOAT, ["n", WIDTH])], [("y", T.FLOAT, ["n", WIDTH])],
                 [("w", np.eye(WIDTH, dtype=np.float32) * n), ("b", np.full(WIDTH, n, np.float32))])


def put(folder, name, made, config=""):
    (folder / name / "1").mkdir(parents=True)
    (folder / name / "1" / "model.onnx").write_bytes(made.SerializeToString())
    if config:
        (folder / name / "config.pbtxt").write_text(config)


@pytest.fixture(scope="module")
def thousand(tmp_path_factory):
    folder = tmp_path_factory.mktemp("thousand")
    for n in range(1000):
        put(folder, f"m{n}", times(n + 1))
    return folder


@pytest.fixture
def few(tmp_path):
    folder = tmp_path / "few"
    for n in range(6):
        put(folder, f"m{n}", times(n + 1))
    return folder


def pss(server):
    """Of all but programs and libraries, whose share depends on who else runs them. A heap that grows between two reads of the file is listed
    in it twice: what begins again within the piece before counts instead of it."""
    total = last = end = 0
    program = False
    with open(f"/proc/{server.pid}/smaps") as f:
        for line in f:
            first = line.split(None, 1)[0]
            if not first.endswith(":"):
                path = line.rsplit(" ", 1)[-1].strip()
                program = ".so" in path or path.endswith("/proa")
                begins, ends = (int(at, 16) for at in first.split("-"))
                total += 0 if begins < end else last
                last, end = 0, ends
            elif first == "Pss:" and not program:
                last = int(line.split()[1]) * 1024
    return total + last


def figure(server, name):
    return next(float(line.split()[-1]) for line in server.get("/metrics").body.decode().splitlines() if line.startswith(name + " "))


sizes = []


def size_of_one(thousand, serve):
    """What a model that has answered takes, as the server measures it a second later; the same for all tests here."""
    if sizes:
        return sizes[0]
    server = serve("--model-repository", thousand, "--models-memory-max", "1Gi")
    for n in range(20):
        assert server.infer(f"m{n}", [["x", "FP32", [1, WIDTH], [1.0] * WIDTH]]).status == 200
    rests(server.pid, 1.2)
    assert figure(server, "proa_models_in_memory") == 20
    sizes.append(figure(server, "proa_models_memory_bytes") / 20)
    server.stop()
    return sizes[0]


def right(n, x, y):
    assert np.array_equal(y, x * (n + 1) + (n + 1)), (n, x, y)


class Caller(threading.Thread):
    """One connection that asks models by chance, so many times."""

    def __init__(self, server, seed, kind, times, models):
        super().__init__(daemon=True)
        self.random, self.kind, self.times, self.models = random.Random(seed), kind, times, models
        self.at, self.count, self.failure, self.slowest = f"{server.host}:{server.port}", 0, None, []

    def run(self):
        import tritonclient.grpc as g
        import tritonclient.http as t
        lib = t if self.kind == "rest" else g
        try:
            with lib.InferenceServerClient(self.at) as client:
                for _ in range(self.times):
                    n = self.random.randrange(self.models)
                    x = np.full([1, WIDTH], self.random.randrange(1000), np.float32)
                    i = lib.InferInput("x", [1, WIDTH], "FP32")
                    i.set_data_from_numpy(x)
                    since = time.monotonic()
                    y = client.infer(f"m{n}", [i]).as_numpy("y")
                    self.slowest.append(time.monotonic() - since)
                    right(n, x, y)
                    self.count += 1
        except Exception as e:   # noqa: BLE001  (the test shows it)
            self.failure = e


def answered(server, times, threads, kinds=("rest", "grpc")):
    """(the callers, most memory meanwhile) of so many connections that ask models by chance, each so many times."""
    most = 0
    callers = [Caller(server, seed, kinds[seed % len(kinds)], times, 1000) for seed in range(threads)]
    for c in callers:
        c.start()
    while any(c.is_alive() for c in callers):
        most = max(most, pss(server))
        time.sleep(0.05)
    assert [c.failure for c in callers if c.failure] == []
    return callers, most


def test_a_thousand_models_in_the_memory_of_a_hundred(thousand, serve):
    budget = int(100 * size_of_one(thousand, serve))
    server = serve("--model-repository", thousand, "--models-memory-max", budget)
    callers, _ = answered(server, 200, 32)
    asked, waits = sum(c.count for c in callers), sorted(w for c in callers for w in c.slowest)
    buckets = [line for line in server.get("/metrics").body.decode().splitlines() if line.startswith("proa_model_miss_seconds_bucket")]
    misses = figure(server, "proa_model_miss_seconds_count")
    p99 = next(line.split('le="')[1].split('"')[0] for line in buckets if float(line.split()[-1]) >= 0.99 * misses)
    print(f"\n{asked} answers, {misses:.0f} misses, {figure(server, 'proa_model_evictions_total'):.0f} evictions; a miss waits p99 <= {p99} s; "
          f"32 Python clients see p50 {waits[len(waits) // 2] * 1e3:.1f} ms, p99 {waits[int(0.99 * len(waits))] * 1e3:.1f} ms")
    assert asked == 6400 and misses > asked / 2
    assert 80 <= figure(server, "proa_models_in_memory") <= 101
    assert figure(server, "proa_models_memory_bytes") <= budget
    states = {}
    for row in server.post("/v2/repository/index", {}).json():
        states.setdefault((row["state"], row.get("reason", "")), []).append(row["name"])
    assert 80 <= len(states[("READY", "")]) <= 101
    assert {reason for _, reason in states} <= {"", "unloaded: evicted, memory", "not loaded yet: on demand"}


def test_memory_is_within_the_budget(thousand, serve):
    """The same server with room for ten of the models, and for a hundred: what lies between is the difference of the budgets."""
    size, taken = size_of_one(thousand, serve), {}
    for room in (10, 100):
        server = serve("--model-repository", thousand, "--models-memory-max", int(room * size))
        _, most = answered(server, 500, 8, ["rest"])
        rests(server.pid)   # free memory has gone back to the kernel
        taken[room] = pss(server), most
        assert figure(server, "proa_models_memory_bytes") <= room * size
        server.stop()
    print(f"\n{size:.0f} bytes a model; with room for 10: {taken[10][0] >> 10} kB (most {taken[10][1] >> 10}), for 100: {taken[100][0] >> 10} kB (most {taken[100][1] >> 10})")
    assert taken[100][0] <= (taken[10][0] + 90 * size) * 1.05
    assert taken[100][1] <= (taken[10][1] + 90 * size) * 1.05


def ask(server, name, n, **kw):
    reply = server.infer(name, [["x", "FP32", [1, WIDTH], [2.0] * WIDTH]], **kw)
    assert reply.status == 200, reply
    assert reply.json()["outputs"][0]["data"] == [float(3 * n)] * WIDTH
    return reply


ENSEMBLE = """
platform: "ensemble"
input { name: "x" data_type: TYPE_FP32 dims: [ -1, 48 ] }
output { name: "y" data_type: TYPE_FP32 dims: [ -1, 48 ] }
ensemble_scheduling { step [
  { model_name: "m0" model_version: -1 input_map { key: "x" value: "x" } output_map { key: "y" value: "t" } },
  { model_name: "m1" model_version: -1 input_map { key: "x" value: "t" } output_map { key: "y" value: "y" } } ] }
"""


def test_an_ensemble_comes_with_its_members_and_they_stay_with_it(few, thousand, serve):
    import tritonclient.grpc as g
    (few / "both" / "1").mkdir(parents=True)
    (few / "both" / "config.pbtxt").write_text(ENSEMBLE)
    size = size_of_one(thousand, serve)
    server = serve("--model-repository", few, "--models-memory-max", int(3.8 * size), "--models-stay-ms", 0)
    for _ in range(5):
        for n in range(6):
            ask(server, f"m{n}", n + 1)
        reply = server.infer("both", [["x", "FP32", [1, WIDTH], [2.0] * WIDTH]])
        assert reply.status == 200 and reply.json()["outputs"][0]["data"] == [(2.0 + 1) * 2 + 2] * WIDTH
        for n in range(6):
            ask(server, f"m{n}", n + 1)
        x = g.InferInput("x", [1, WIDTH], "FP32")
        x.set_data_from_numpy(np.full([1, WIDTH], 2, np.float32))
        with g.InferenceServerClient(f"{server.host}:{server.port}") as grpc:
            assert grpc.is_model_ready("both")
            assert grpc.infer("both", [x]).as_numpy("y")[0].tolist() == [(2.0 + 1) * 2 + 2] * WIDTH
    small = serve("--model-repository", few, "--models-memory-max", int(1.5 * size))
    reply = small.infer("both", [["x", "FP32", [1, WIDTH], [2.0] * WIDTH]])   # it never fits: one line says so
    assert reply.status == 503 and "models-memory-max: expected at most" in reply.json()["error"]
    ask(small, "m0", 1)


def test_pinned_models_are_there_and_stay(few, thousand, serve):
    (few / "m5" / "config.pbtxt").write_text('parameters { key: "pinned" value { string_value: "true" } }')
    size = size_of_one(thousand, serve)
    server = serve("--model-repository", few, "--models-memory-max", int(3.5 * size), "--pin-models", "m4", "--models-stay-ms", 0)

    def ready():
        return {row["name"] for row in server.post("/v2/repository/index", {"ready": True}).json()}
    assert ready() == {"m4", "m5"}
    for n in (0, 1, 2, 3, 0, 1, 2, 3):
        ask(server, f"m{n}", n + 1)
        assert {"m4", "m5", f"m{n}"} <= ready()


def test_who_asks_over_rest_waits_no_longer_than_it_says(few, serve):
    s = serve("--model-repository", str(few), "--models-memory-max", "1Gi")
    body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, WIDTH], "data": [1.0] * WIDTH}]}
    assert s.post("/v2/models/m3/infer", body, headers={"grpc-timeout": "1n"}).status == 504
    assert s.post("/v2/models/m3/infer", body, headers={"x-envoy-expected-rq-timeout-ms": "soon"}).status == 400
    assert s.post("/v2/models/m3/infer", body, headers={"grpc-timeout": "20S"}).status == 200


def test_bad_budgets_say_so(few, tmp_path, serve):
    import subprocess
    from conftest import PROA

    def refused(*args):
        run = subprocess.run([PROA, "serve", "--port", "0", "--model-repository", str(few), *args], capture_output=True, text=True, timeout=60)
        assert run.returncode != 0
        return run.stderr.strip().splitlines()[-1]
    assert "pin-models: expected models-memory-max with it, got none" in refused("--pin-models", "m1")
    assert "pin-models: expected the name of a model, got 'nobody'" in refused("--pin-models", "m1,nobody", "--models-memory-max", "1Gi")
    assert "models-memory-max: expected at most 40000 bytes with what it needs and what is pinned, got" in refused("--pin-models", "m1", "--models-memory-max", "40000")
    (few / "m2" / "config.pbtxt").write_text('parameters { key: "pinned" value { string_value: "always" } }')
    assert "parameter 'pinned': expected true or false, got 'always'" in refused("--models-memory-max", "1Gi")


def test_clients_see_ready_models_and_what_is_unloaded_stays_away(few, serve):
    import tritonclient.grpc as g
    import tritonclient.http as t
    server = serve("--model-repository", few, "--models-memory-max", "1Gi", "--model-control", "explicit")
    at = f"{server.host}:{server.port}"
    for lib in (t, g):
        client = lib.InferenceServerClient(at)
        assert client.is_model_ready("m0") and client.is_model_ready("m3") and not client.is_model_ready("nobody")
    client = g.InferenceServerClient(at)
    assert figure(server, "proa_models_in_memory") == 0
    assert client.get_model_metadata("m0").inputs[0].name == "x"
    assert client.get_model_config("m1").config.name == "m1"
    until(lambda: figure(server, "proa_models_in_memory") == 2)      # who waited is told before it is counted
    client.unload_model("m0")
    assert not client.is_model_ready("m0")
    with pytest.raises(g.InferenceServerException if hasattr(g, "InferenceServerException") else Exception, match="m0"):
        client.get_model_metadata("m0")
    client.load_model("m0")
    ask(server, "m0", 1)
    # A stream asks for a model that is not there: it waits, and the answers are each model's own.
    answers = []
    client.start_stream(lambda result, error: answers.append(error or result.as_numpy("y")[0, 0]))
    i = g.InferInput("x", [1, WIDTH], "FP32")
    i.set_data_from_numpy(np.full([1, WIDTH], 2, np.float32))
    for n in (4, 0, 5):
        client.async_stream_infer(f"m{n}", [i])
    client.stop_stream()
    assert sorted(answers) == [3, 15, 18]


def test_the_configuration_that_a_client_gave_outlives_an_eviction(thousand, few, serve):
    budget = int(3.8 * size_of_one(thousand, serve))
    (few / "both" / "1").mkdir(parents=True)
    (few / "both" / "config.pbtxt").write_text(ENSEMBLE)
    (few / "m0" / "2").mkdir()
    (few / "m0" / "2" / "model.onnx").write_bytes(times(50).SerializeToString())
    server = serve("--model-repository", few, "--models-memory-max", budget, "--models-stay-ms", 0, "--model-control", "explicit")
    load, given = "/v2/repository/models/m0/load", {"max_batch_size": 2, "version_policy": {"specific": {"versions": [1]}}}
    version = lambda v: next(m for m in server.post("/v2/repository/index").json() if (m["name"], m["version"]) == ("m0", v))

    def evicted():
        for n in range(1, 6):
            ask(server, f"m{n}", n + 1)
        until(lambda: version("1").get("reason") == "unloaded: evicted, memory")

    def config():
        return server.get("/v2/models/m0/config").json()["max_batch_size"], server.get("/v2/models/m0").json()["versions"]
    assert server.post(load, {"parameters": {"config": json.dumps(given)}}).status == 200 and config() == (2, ["1"])
    for _ in range(2):
        evicted()
        assert server.get("/v2/models/m0/versions/1/ready").status == 200 and server.get("/v2/models/m0/versions/2/ready").status == 404
        assert version("2") == {"name": "m0", "version": "2", "state": "UNAVAILABLE", "reason": "unloaded"}
        ask(server, "m0", 1)
        assert config() == (2, ["1"])
    evicted()
    assert server.post("/v2/repository/models/both/load").status == 200 and config() == (2, ["1"])   # which brings its members
    evicted()
    assert server.post("/v2/repository/models/m0/unload").status == 200      # what was said of it is forgotten, also while it is not in memory
    assert server.post(load).status == 200 and config() == (0, ["2"])
    assert server.post(load, {"parameters": {"config": json.dumps(given)}}).status == 200
    evicted()
    assert server.post(load).status == 200 and config() == (0, ["2"])


def test_a_thousand_requests_for_one_model_are_one_load(few, serve):
    server = serve("--model-repository", few, "--models-memory-max", "1Gi")
    connections = [server.connect() for _ in range(200)]
    body = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, WIDTH], "data": [2.0] * WIDTH}]}).encode()
    one = b"POST /v2/models/m3/infer HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    for c in connections:
        c.sendall(one * 5)
    for c in connections:
        got = b""
        while got.count(b"HTTP/1.1 200 OK") < 5 or got.count(b"]}]}") < 5:
            piece = c.recv(1 << 16)
            assert piece, got
            got += piece
        assert got.count(b"12.0,12.0") > 0
    assert figure(server, 'proa_model_loads_total{result="ok"}') == 1


def test_models_come_into_the_folder_and_go_from_it(few, serve):
    import shutil
    server = serve("--model-repository", few, "--models-memory-max", "1Gi", "--model-control", "poll", "--poll-secs", 1)
    ask(server, "m1", 2)
    until(lambda: figure(server, "proa_models_in_memory") == 1)      # who waited is told before it is counted
    put(few, "late", times(20))
    until(lambda: server.get("/v2/models/late/ready").status == 200)
    assert figure(server, "proa_models_in_memory") == 1   # it was not read for that
    ask(server, "late", 20)
    shutil.rmtree(few / "m0")
    shutil.rmtree(few / "m1")
    until(lambda: server.get("/v2/models/m0/ready").status == 404 and server.get("/v2/models/m1/ready").status == 404)
    put(few, "m0", times(7))
    until(lambda: server.get("/v2/models/m0/ready").status == 200)
    ask(server, "m0", 7)


# ---- every door, each time to a model that is not in memory -------------------------------------------------------

@pytest.fixture
def cold(few, thousand, serve, tmp_path):
    """A function that makes sure of m0 in memory, and of nothing else; there is room for one model."""
    size = size_of_one(thousand, serve)
    for n in range(6):   # two of each: latest serves who names none
        (few / f"m{n}" / "3").mkdir()
        (few / f"m{n}" / "3" / "model.onnx").write_bytes(times(n + 1).SerializeToString())
    server = serve("--model-repository", few, "--models-memory-max", int(1.5 * size), "--models-stay-ms", 0, "--jobs-dir", tmp_path / "jobs", "--alias", "prod=m1", "--alias", "m1:stable=m1:3",
                   "--alias", "old=m1:3", "--alias", "none=m1:1", "--model-control", "explicit")

    def freeze():
        ask(server, "m0", 1)
        assert in_memory(server) == {"m0"}
    server.freeze = freeze
    return server


def in_memory(server):
    return {row["name"] for row in server.post("/v2/repository/index", {"ready": True}).json() if row.get("reason", "") == ""}


X = [2.0] * WIDTH
Y = [6.0] * WIDTH   # of m1


def rest_doors(server):
    """(what it is, a function that asks and checks the answer), of REST."""
    inputs = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, WIDTH], "data": X}]}
    raw = np.full([1, WIDTH], 2, np.float32).tobytes()
    head = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, WIDTH], "parameters": {"binary_data_size": len(raw)}}]}).encode()
    event = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/t", "ce-type": "t"}

    def answers(path, body, what, **kw):
        def go():
            reply = server.post(path, body, **kw)
            assert reply.status == 200, reply
            assert what(reply) in (Y, [Y]), reply
        return go
    v1, v2 = lambda r: r.json()["predictions"], lambda r: r.json()["outputs"][0]["data"]

    def stream(reply):
        assert reply.headers["content-type"].startswith("text/event-stream")
        return json.loads(reply.body.decode().removeprefix("data: "))["y"]

    def structured(reply):
        assert reply.headers["content-type"].startswith("application/cloudevents+json")
        return reply.json()["data"]["outputs"][0]["data"]
    yield "V1", answers("/v1/models/m1:predict", {"instances": [X]}, v1)
    yield "V1, columns", answers("/v1/models/m1:predict", {"inputs": {"x": [X]}}, lambda r: r.json()["outputs"])
    yield "V1, a label", answers("/v1/models/m1/labels/stable:predict", {"instances": [X]}, v1)
    yield "V1, a version", answers("/v1/models/m1/versions/3:predict", {"instances": [X]}, v1)
    yield "V2", answers("/v2/models/m1/infer", inputs, v2)
    yield "V2, a version", answers("/v2/models/m1/versions/3/infer", inputs, v2)
    yield "V2, an alias", answers("/v2/models/prod/infer", inputs, v2)
    yield "V2, an alias of a version", answers("/v2/models/old/infer", inputs, v2)
    yield "a plain POST", answers("/v2/models/m1/infer", json.dumps(inputs).encode(), v2)
    yield "tensors behind JSON", answers("/v2/models/m1/infer", head + raw, v2, headers={"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(head))})
    yield "generate", answers("/v2/models/m1/generate", {"x": X}, lambda r: r.json()["y"])
    yield "generate_stream", answers("/v2/models/m1/generate_stream", {"x": X}, stream)
    yield "CloudEvent, binary", answers("/v2/models/m1/infer", inputs, v2, headers={**event, "Content-Type": "application/json"})
    yield "CloudEvent, structured", answers("/v2/models/m1/infer", {"specversion": "1.0", "id": "1", "source": "/t", "type": "t", "data": inputs}, structured,
                                            headers={"Content-Type": "application/cloudevents+json"})


def test_each_door_of_rest_brings_the_model(cold):
    for what, go in rest_doors(cold):
        cold.freeze()
        misses = figure(cold, "proa_model_misses_total")
        go()
        assert in_memory(cold) == {"m1"}, what
        assert figure(cold, "proa_model_misses_total") > misses, what
    cold.freeze()
    wrong = cold.post("/v2/models/m1/versions/2/infer", {"inputs": []})
    assert wrong.status == 404 and "Model with name m1 and version 2 does not exist." in wrong.json()["error"]
    assert cold.post("/v2/models/none/infer", {"inputs": []}).status == 404


def test_jobs_are_accepted_before_their_model_is_there(cold):
    cold.freeze()
    body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, WIDTH], "data": X}]}
    places = []
    for path in ("/v2/models/m1/infer", "/v1/models/m1:predict", "/v2/models/prod/infer", "/v2/models/m2/infer"):
        asked = {"instances": [X]} if ":predict" in path else body
        reply = cold.post(path, asked, headers={"Prefer": "respond-async"})
        assert reply.status == 202, reply
        places.append(reply.headers["location"])
    assert cold.post("/v2/models/nobody/infer", body, headers={"Prefer": "respond-async"}).status == 404
    assert cold.post("/v2/models/m1/versions/2/infer", body, headers={"Prefer": "respond-async"}).status == 404
    until(lambda: all(cold.get(p).json()["status"] in ("done", "failed") for p in places))
    results = [cold.get(p + "/result") for p in places]
    assert [r.status for r in results] == [200] * 4, results
    assert results[0].json()["outputs"][0]["data"] == Y and results[1].json()["predictions"] == [Y]
    assert results[2].json()["outputs"][0]["data"] == Y and results[3].json()["outputs"][0]["data"] == [9.0] * WIDTH


def test_a_model_with_a_live_sequence_stays(thousand, few, serve):
    """Its state would go with it: others wait for room until the sequence has ended."""
    import tritonclient.grpc as g
    import tritonclient.http as t
    from test_sequence import accumulator, config
    put(few, "seq", accumulator(), config("direct { }", idle_us=60000000))
    size = size_of_one(thousand, serve)
    server = serve("--model-repository", few, "--models-memory-max", int(2.4 * size), "--models-stay-ms", 0, "--models-wait-ms", 300)
    at = f"{server.host}:{server.port}"
    with t.InferenceServerClient(at) as http, g.InferenceServerClient(at) as grpc:
        def send(lib, client, value, **kw):
            i = lib.InferInput("INPUT", [1, 1], "INT32")
            i.set_data_from_numpy(np.full([1, 1], value, np.int32))
            return int(client.infer("seq", [i], sequence_id=7, **kw).as_numpy("OUTPUT")[0, 0])
        for lib, client in ((t, http), (g, grpc)):
            assert send(lib, client, 1, sequence_start=True) == 1
            for n in (0, 1, 2, 3, 0, 1):   # they take turns in what room is left, or find none
                reply = server.infer(f"m{n}", [["x", "FP32", [1, WIDTH], X]])
                assert reply.status == 200 or "has to wait for others to leave" in reply.json()["error"], reply
                assert "seq" in in_memory(server)
            assert send(lib, client, 2) == 3
            assert send(lib, client, 3, sequence_end=True) == 6
        for n in (0, 1, 2, 3):   # now they find room, even if others take longer to leave than who asks may wait
            until(lambda: server.infer(f"m{n}", [["x", "FP32", [1, WIDTH], X]]).status == 200)
            ask(server, f"m{n}", n + 1)
        assert "seq" not in in_memory(server)


def test_each_door_of_grpc_brings_the_model(cold):
    import queue
    import tritonclient.grpc as g
    import tritonclient.http as t
    at = f"{cold.host}:{cold.port}"
    with t.InferenceServerClient(at) as http, g.InferenceServerClient(at) as grpc:
        def given(lib):
            i = lib.InferInput("x", [1, WIDTH], "FP32")
            i.set_data_from_numpy(np.full([1, WIDTH], 2, np.float32))
            return [i]
        for name, version in (("m1", ""), ("m1", "3"), ("prod", ""), ("old", ""), ("m1:stable", "")):
            for client, lib in ((http, t), (grpc, g)):
                if lib is t and ":" in name:
                    continue
                cold.freeze()
                assert client.infer(name, given(lib), model_version=version).as_numpy("y")[0].tolist() == Y, (name, version)
                assert in_memory(cold) == {"m1"}
        cold.freeze()
        got = queue.Queue()
        grpc.async_infer("m1", given(g), lambda result, error: got.put(error or result.as_numpy("y")[0].tolist()))
        assert got.get(timeout=20) == Y
        cold.freeze()
        grpc.start_stream(lambda result, error: got.put(error or result.as_numpy("y")[0].tolist()))
        for name in ("m1", "prod", "m1"):
            grpc.async_stream_infer(name, given(g))
        grpc.stop_stream()
        assert [got.get(timeout=20) for _ in range(3)] == [Y] * 3


def test_readiness_and_statistics_load_nothing_metadata_and_configuration_do(cold):
    import grpc as rpc
    import tritonclient.grpc as g
    import tritonclient.http as t
    from grpc_health.v1 import health_pb2, health_pb2_grpc
    at = f"{cold.host}:{cold.port}"
    with t.InferenceServerClient(at) as http, g.InferenceServerClient(at) as grpc, rpc.insecure_channel(at) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        cold.freeze()
        misses = figure(cold, "proa_model_misses_total")
        for client in (http, grpc):
            for name in ("m1", "prod", "old"):
                assert client.is_model_ready(name), name
                assert client.get_inference_statistics(name) is not None
            assert not client.is_model_ready("none") and not client.is_model_ready("nobody")
            assert client.is_model_ready("m1", "3") and not client.is_model_ready("m1", "2") and not client.is_model_ready("m1", "1")
            assert client.get_trace_settings("m1") is not None
        for path in ("/v1/models/m1", "/v1/models/prod", "/v2/models/m1/ready", "/v2/models/m1/versions/3/ready", "/v2/models/m1/stats", "/v2/models/m1/versions/3/stats",
                     "/v1/models/m1/versions/3", "/v1/models/m1/labels/stable"):
            assert cold.get(path).status == 200, path
        assert cold.get("/v2/models/m1/versions/2/ready").status == 404
        for name in ("m1", "prod"):
            assert health.Check(health_pb2.HealthCheckRequest(service=name)).status == health_pb2.HealthCheckResponse.SERVING
        rows = {(row["name"], row.get("version"), row["state"], row.get("reason")) for row in cold.post("/v2/repository/index", {}).json()}
        assert ("prod", "", "READY", "alias of m1") in rows and ("m1:stable", "3", "READY", "label of m1") in rows, rows
        assert ("none", "1", "UNAVAILABLE", "Model with name m1 and version 1 does not exist.") in rows
        rows = {(row.name, row.version, row.state, row.reason) for row in grpc.get_model_repository_index().models}
        assert ("m1:stable", "3", "READY", "label of m1") in rows and ("old", "3", "READY", "alias of m1") in rows
        assert cold.get("/v2/models").json()["models"][-2:] == ["old", "prod"]
        assert figure(cold, "proa_model_misses_total") == misses and in_memory(cold) == {"m0"}
        for name in ("m1", "prod"):
            for what in ("get_model_metadata", "get_model_config"):
                for client in (http, grpc):
                    cold.freeze()
                    answer = getattr(client, what)(name)
                    assert in_memory(cold) == {"m1"}, (name, what)
                    if client is http and what == "get_model_metadata":
                        assert answer["name"] == "m1" and answer["version_labels"] == {"stable": "3"}, answer
