"""test_ensemble.py - Triton's ensembles: models joined by a configuration, as unmodified tritonclient sees them over REST and gRPC."""
import json, shutil, threading, time
import numpy as np
import onnx
import pytest
from conftest import until
from models import model
from test_tracing import attributes, collector  # noqa: F401
from onnx import TensorProto as T, helper as h


def op(kind, ins, dims=("n", 4), outs=("y",), t=T.FLOAT):
    return model([h.make_node(kind, list(ins), list(outs))], [(i, t, list(dims)) for i in dict.fromkeys(ins)], [(o, t, list(dims)) for o in outs])


def put(repository, name, made, config=None):
    (repository / name / "1").mkdir(parents=True, exist_ok=True)
    if made:
        onnx.save(made, repository / name / "1" / "model.onnx")
    if config:
        (repository / name / "config.pbtxt").write_text(config)


def io(name, dims="4", kind="FP32"):
    return f'{{ name: "{name}" data_type: TYPE_{kind} dims: [ {dims} ] }}'


def ensemble(inputs, outputs, steps, batch=8):
    """steps: (model, {its input: tensor}, {its output: tensor})."""
    pairs = lambda field, m: "".join(f'{field} {{ key: "{k}" value: "{v}" }} ' for k, v in m.items())
    rows = ", ".join(f'{{ model_name: "{m}" model_version: -1 {pairs("input_map", i)}{pairs("output_map", o)}}}' for m, i, o in steps)
    return (f'platform: "ensemble"\nmax_batch_size: {batch}\ninput [ {", ".join(inputs)} ]\noutput [ {", ".join(outputs)} ]\n'
            f"ensemble_scheduling {{ step [ {rows} ] }}\n")


BATCHED = 'max_batch_size: 8\ndynamic_batching { max_queue_delay_microseconds: 1000 }\n'


@pytest.fixture
def repository(tmp_path, serve):
    folder = tmp_path / "repository"
    put(folder, "add", op("Add", ["x", "w"]), BATCHED)                        # named so that ensembles come before their members
    put(folder, "neg", op("Neg", ["x"]), BATCHED)
    put(folder, "zsame", op("Identity", ["x"]), BATCHED)
    # sum = a + b; twice = sum + sum; minus = -sum, side by side; same = a view of minus
    put(folder, "a_pipe", None, ensemble([io("a"), io("b")], [io("twice"), io("same")], [
        ("zsame", {"x": "minus"}, {"y": "same"}), ("add", {"x": "sum", "w": "sum"}, {"y": "twice"}),
        ("neg", {"x": "sum"}, {"y": "minus"}), ("add", {"x": "a", "w": "b"}, {"y": "sum"})]))
    put(folder, "a_nest", None, ensemble([io("p")], [io("q")], [
        ("a_pipe", {"a": "p", "b": "p"}, {"twice": "t", "same": "s"}), ("add", {"x": "t", "w": "s"}, {"y": "q"})]))
    return folder, serve("--model-repository", folder, "--model-control", "explicit", "--metrics-names", "both")


def clients(server):
    import tritonclient.grpc as grpc_lib
    import tritonclient.http as http_lib
    at = f"{server.host}:{server.port}"
    return (http_lib.InferenceServerClient(at, concurrency=8), http_lib), (grpc_lib.InferenceServerClient(at), grpc_lib)


def ask(client, lib, name, arrays):
    inputs = []
    for n, a in arrays.items():
        inputs.append(lib.InferInput(n, list(a.shape), "FP32"))
        inputs[-1].set_data_from_numpy(a)
    return client.infer(name, inputs)


@pytest.mark.apart
def test_an_ensemble_is_a_model_to_its_clients(repository):
    a, b = np.arange(12, dtype=np.float32).reshape(3, 4), np.ones((3, 4), np.float32)
    for client, lib in clients(repository[1]):
        got = ask(client, lib, "a_pipe", {"a": a, "b": b})
        assert np.array_equal(got.as_numpy("twice"), 2 * (a + b)) and np.array_equal(got.as_numpy("same"), -(a + b))
        assert np.array_equal(ask(client, lib, "a_nest", {"p": a}).as_numpy("q"), 2 * a)
        assert client.is_model_ready("a_pipe")
    http, grpc = [c for c, _ in clients(repository[1])]
    meta = http.get_model_metadata("a_pipe")
    assert meta["platform"] == "ensemble" and meta["inputs"][0] == {"name": "a", "datatype": "FP32", "shape": [-1, 4]}
    assert grpc.get_model_metadata("a_pipe").platform == "ensemble"
    config = grpc.get_model_config("a_pipe").config
    assert config.platform == "ensemble" and [s.model_name for s in config.ensemble_scheduling.step] == ["zsame", "add", "neg", "add"]
    assert http.get_model_config("a_pipe")["ensemble_scheduling"]["step"][0]["input_map"] == {"x": "minus"}
    assert {m["name"]: m["state"] for m in http.get_model_repository_index()} == dict.fromkeys(("add", "neg", "zsame", "a_pipe", "a_nest"), "READY")


@pytest.mark.apart
def test_requests_of_many_clients_get_their_own_rows(repository):
    wrong = []

    def one(k):
        client, lib = clients(repository[1])[k % 2]
        for i in range(20):
            a = np.full((1 + (k + i) % 3, 4), k * 100 + i, np.float32)
            got = ask(client, lib, "a_nest", {"p": a}).as_numpy("q")
            if not np.array_equal(got, 2 * a):
                wrong.append((k, i, got))
    threads = [threading.Thread(target=one, args=(k,)) for k in range(8)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert not wrong


@pytest.mark.apart
def test_members_count_what_an_ensemble_asks_of_them(repository):
    http, lib = clients(repository[1])[0]
    for _ in range(3):
        ask(http, lib, "a_nest", {"p": np.ones((2, 4), np.float32)})
    counted = {m["name"]: m for m in http.get_inference_statistics()["model_stats"]}
    stats = {n: m["inference_stats"]["success"]["count"] for n, m in counted.items()}
    assert stats == {"a_nest": 3, "a_pipe": 3, "add": 9, "neg": 3, "zsame": 3}
    page = repository[1].get("/metrics").body.decode()
    assert 'nv_inference_request_success{model="add",version="1"} 9' in page


@pytest.mark.apart
def test_members_count_what_they_refused_as_they_do_directly(tmp_path, serve):
    folder = tmp_path / "r"
    put(folder, "full", op("Neg", ["x"]), """max_batch_size: 8
dynamic_batching { preferred_batch_size: 8 max_queue_delay_microseconds: 2000000 default_queue_policy { max_queue_size: 1 } }""")
    put(folder, "seq", op("Identity", ["x"]), f"max_batch_size: 8 input {io('x')} output {io('y')} sequence_batching {{ }}")
    for m in ("full", "seq"):
        put(folder, "e_" + m, None, ensemble([io("x")], [io("y")], [(m, {"x": "x"}, {"y": "y"})]))
    server = serve("--model-repository", folder, "--metrics-names", "both", "--inline-us", "0")
    body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}], "parameters": {"sequence_id": 5}}
    infer = lambda m: server.post(f"/v2/models/{m}/infer", body).status

    def counted(m):
        page = server.get("/metrics").body.decode().splitlines()
        reasons = {r: int(line.split()[-1]) for r in ("REJECTED", "CANCELED", "BACKEND", "OTHER") for line in page
                   if line.startswith("nv_inference_request_failure{") and f'model="{m}"' in line and f'reason="{r}"' in line}
        stats = server.get(f"/v2/models/{m}/stats").json()["model_stats"][0]["inference_stats"]
        return {r: n for r, n in reasons.items() if n}, stats["fail"]["count"], stats["success"]["count"]
    waiting = lambda: any(line.startswith('proa_queue_waiting{model_name="full"') and line.endswith(" 1")
                          for line in server.get("/metrics").body.decode().splitlines())
    for k, name in enumerate(("full", "e_full")):
        first = threading.Thread(target=infer, args=(name,))
        first.start()
        until(waiting, 5)
        assert infer(name) == 429
        first.join(30)
        assert counted("full") == ({"REJECTED": k + 1}, k + 1, k + 1)
    assert counted("e_full") == ({"REJECTED": 1}, 1, 1)
    for k, name in enumerate(("seq", "e_seq")):
        assert infer(name) == 400                                          # no START
        assert counted("seq") == ({"OTHER": k + 1}, k + 1, 0)


@pytest.mark.apart
def test_what_is_wrong_names_the_step(repository):
    from tritonclient.utils import InferenceServerException
    folder, server = repository
    put(folder, "wide", op("Add", ["x", "w"], dims=("n", "k")), BATCHED)
    put(folder, "loose", None, ensemble([io("a", "-1"), io("b", "-1")], [io("c", "-1")], [
        ("neg", {"x": "a"}, {"y": "d"}), ("wide", {"x": "d", "w": "b"}, {"y": "c"})]))
    for client, lib in clients(server):
        client.load_model("loose")
        with pytest.raises(InferenceServerException) as e:
            ask(client, lib, "loose", {"a": np.ones((1, 4), np.float32), "b": np.ones((1, 3), np.float32)})
        assert e.value.message().startswith("in ensemble 'loose', step 1 'wide': ")
        ask(client, lib, "loose", {"a": np.ones((1, 4), np.float32), "b": np.ones((1, 4), np.float32)})


@pytest.mark.apart
def test_an_ensemble_leaves_with_its_member_and_comes_back_with_it(repository):
    from tritonclient.utils import InferenceServerException
    folder, server = repository
    one = np.ones((1, 4), np.float32)
    (http, http_lib), (grpc, grpc_lib) = clients(server)
    reason = {"a_pipe": "unloaded: ensemble a_pipe contains models that are not available: neg",
              "a_nest": "unloaded: ensemble a_nest contains models that are not available: a_pipe", "neg": "unloaded"}
    for client, lib in clients(server):
        client.unload_model("neg")
        assert [n for n in ("add", "neg", "zsame", "a_pipe", "a_nest") if client.is_model_ready(n)] == ["add", "zsame"]
        until(lambda: {m["name"]: m.get("reason") for m in http.get_model_repository_index() if m["state"] == "UNAVAILABLE"} == reason)   # UNLOADING before
        assert {m.name: m.reason for m in grpc.get_model_repository_index().models if m.state == "UNAVAILABLE"} == reason
        with pytest.raises(InferenceServerException, match="Request for unknown model: 'a_nest' has no available versions"):
            ask(client, lib, "a_nest", {"p": one})
        assert "proa_ensembles_without_members 2" in server.get("/metrics").body.decode()
        assert 'model="a_pipe"' not in server.get("/metrics").body.decode()
        client.load_model("neg")
        assert all(client.is_model_ready(n) for n in ("a_pipe", "a_nest"))
        assert np.array_equal(ask(client, lib, "a_nest", {"p": one}).as_numpy("q"), 2 * one)
    http.unload_model("neg", unload_dependents=True)      # which is what the member brought: nothing
    http.unload_model("a_nest")                           # while it waits
    http.load_model("neg")
    assert http.is_model_ready("a_pipe") and not grpc.is_model_ready("a_nest")


@pytest.mark.apart
def test_members_that_come_and_go_in_the_folder_take_their_ensemble_along(repository, serve):
    folder = repository[0]
    repository[1].stop()
    server = serve("--model-repository", folder, "--model-control", "poll")
    (http, lib), _ = clients(server)
    one = np.ones((1, 4), np.float32)

    ready = lambda: [n for n in ("a_nest", "a_pipe", "add", "neg", "zsame") if http.is_model_ready(n)]
    assert len(ready()) == 5
    shutil.move(folder / "neg", folder.parent / "neg")
    until(lambda: ready() == ["add", "zsame"])
    shutil.move(folder.parent / "neg", folder / "neg")
    until(lambda: len(ready()) == 5)
    assert np.array_equal(ask(http, lib, "a_nest", {"p": one}).as_numpy("q"), 2 * one)
    shutil.move(folder / "neg", folder.parent / "neg")
    shutil.rmtree(folder / "a_nest")
    until(lambda: ready() == ["add", "zsame"])
    time.sleep(1)                                         # the folder is quiet by then
    shutil.move(folder.parent / "neg", folder / "neg")
    until(lambda: ready() == ["a_pipe", "add", "neg", "zsame"])
    put(folder, "b_early", None, ensemble([io("a")], [io("b")], [("late", {"x": "a"}, {"y": "b"})]))
    time.sleep(1)
    put(folder, "late", op("Neg", ["x"]), BATCHED)        # its member comes behind it
    until(lambda: http.is_model_ready("b_early"))


@pytest.mark.apart
def test_what_contradicts_its_members_is_not_loaded(repository):
    from tritonclient.utils import InferenceServerException
    folder, server = repository
    http, lib = clients(server)[0]
    same = {"x": "a"}, {"y": "b"}
    for config, why in (
            (ensemble([io("a")], [io("b")], [("nobody", *same)]), "ensemble bad contains models that are not available: nobody"),
            (ensemble([io("a")], [io("b")], [("bad", *same)]), "circular dependency between ensembles: bad -> bad"),
            (ensemble([io("a", kind="INT32")], [io("b")], [("neg", *same)]),
             "in ensemble bad, ensemble tensor a: inconsistent data type: TYPE_INT32 is inferred from model bad while TYPE_FP32 is inferred from model neg"),
            (ensemble([io("a", "5")], [io("b")], [("neg", *same)]),
             "in ensemble bad, ensemble tensor a: inconsistent shape: [-1,5] is inferred from model bad while [-1,4] is inferred from model neg"),
            (ensemble([io("a")], [io("b")], [("neg", {"z": "a"}, {"y": "b"})]),
             "in ensemble bad, ensemble tensor a is mapping to non-existing input z in model neg"),
            (ensemble([io("a")], [io("b")], [("add", {"x": "a"}, {"y": "b"})]), "in ensemble bad, input w in model add is not mapped to any ensemble tensors"),
            (ensemble([io("a")], [io("b")], [("neg", {"x": "a"}, {"z": "b"})]),
             "in ensemble bad, ensemble tensor b is mapped from non-existing output z in model neg"),
            (ensemble([io("a")], [io("b")], [("neg", *same)], batch=9),
             "ensemble bad allows maximum batch size 9, but it contains model neg which only allows maximum batch size to be 8"),
            (ensemble([io("a")], [io("b")], [("neg", {"x": "c"}, {"y": "b"}), ("neg", {"x": "b"}, {"y": "c"})]), "is not used")):
        put(folder, "bad", None, config)
        with pytest.raises(InferenceServerException) as e:
            http.load_model("bad")
        assert why in e.value.message()
    assert not http.is_model_ready("bad")
    put(folder, "bad", None, ensemble([io("a")], [io("b")], [("neg", *same)]))
    http.load_model("bad")
    assert np.array_equal(ask(http, lib, "bad", {"a": np.ones((2, 4), np.float32)}).as_numpy("b"), -np.ones((2, 4), np.float32))


@pytest.mark.apart
def test_an_ensemble_brings_its_members_and_keeps_what_it_began_with(repository):
    http, lib = clients(repository[1])[0]
    for name in ("a_nest", "a_pipe", "add"):
        http.unload_model(name)
    http.load_model("a_nest")                           # members first: add, then a_pipe
    assert all(http.is_model_ready(n) for n in ("add", "a_pipe", "a_nest"))
    one, bad, stop = np.ones((1, 4), np.float32), [], threading.Event()

    def go():
        client = clients(repository[1])[0][0]
        while not stop.is_set():
            if not np.array_equal(ask(client, lib, "a_nest", {"p": one}).as_numpy("q"), 2 * one):
                bad.append(1)
    threads = [threading.Thread(target=go) for _ in range(4)]
    [t.start() for t in threads]
    try:
        for _ in range(10):
            for name in ("add", "a_pipe", "neg"):
                http.load_model(name)                   # exchanged under the requests
    finally:
        stop.set()
        [t.join() for t in threads]
    assert not bad


@pytest.mark.apart
def test_a_batch_of_one_is_put_around_and_taken_off(tmp_path, serve):
    folder = tmp_path / "repository"
    put(folder, "plain", op("Neg", ["x"], dims=(4,)), f'input {io("x")}\noutput {io("y")}\n')
    put(folder, "rows", op("Neg", ["x"]), BATCHED)
    put(folder, "out", None, ensemble([io("a")], [io("b")], [("plain", {"x": "a"}, {"y": "m"}), ("rows", {"x": "m"}, {"y": "b"})]))
    put(folder, "in", None, ensemble([io("a")], [io("b")], [("rows", {"x": "a"}, {"y": "m"}), ("plain", {"x": "m"}, {"y": "b"})], batch=0))
    client, lib = clients(serve("--model-repository", folder))[0]
    row = np.arange(4, dtype=np.float32)
    assert np.array_equal(ask(client, lib, "out", {"a": row[None]}).as_numpy("b"), row[None])
    assert np.array_equal(ask(client, lib, "in", {"a": row}).as_numpy("b"), row)


def counts(http):
    return {m["name"]: m["inference_stats"]["success"]["count"] for m in http.get_inference_statistics()["model_stats"]}


@pytest.mark.apart
def test_only_what_leads_to_the_outputs_that_are_asked_for_is_run(repository):
    http = clients(repository[1])[0][0]
    a = np.arange(8, dtype=np.float32).reshape(2, 4)
    for client, lib in clients(repository[1]):
        for name, want, more in (("twice", 4 * a, {"add": 2}), ("same", -2 * a, {"add": 1, "neg": 1, "zsame": 1})):
            inputs = [lib.InferInput(n, list(a.shape), "FP32") for n in "ab"]
            [i.set_data_from_numpy(a) for i in inputs]
            before = counts(http)
            got = client.infer("a_pipe", inputs, outputs=[lib.InferRequestedOutput(name)])
            after = counts(http)
            assert np.array_equal(got.as_numpy(name), want)
            assert {n: after[n] - before[n] for n in after if after[n] > before[n]} == {**more, "a_pipe": 1}


@pytest.mark.apart
def test_an_unload_takes_along_what_nobody_else_needs(repository):
    folder, server = repository
    put(folder, "b_one", None, ensemble([io("a")], [io("b")], [("late", {"x": "a"}, {"y": "t"}), ("zsame", {"x": "t"}, {"y": "b"})]))
    put(folder, "b_two", None, ensemble([io("a")], [io("b")], [("late", {"x": "a"}, {"y": "b"})]))
    put(folder, "late", op("Neg", ["x"]), BATCHED)
    ready = lambda c: {n for n in ("b_one", "b_two", "late", "zsame") if c.is_model_ready(n)}
    for client, _ in clients(server):
        client.load_model("b_one")
        client.load_model("b_two")
        assert ready(client) == {"b_one", "b_two", "late", "zsame"}
        client.unload_model("b_one", unload_dependents=True)       # b_two needs late; zsame was loaded at the start
        assert ready(client) == {"b_two", "late", "zsame"}
        client.unload_model("b_two")
        assert ready(client) == {"late", "zsame"}                  # as Triton: without the flag members stay
        client.load_model("b_two")
        client.unload_model("b_two", unload_dependents=True)
        assert ready(client) == {"zsame"}


@pytest.mark.apart
def test_load_model_says_what_is_loaded_at_the_start(repository, serve):
    folder = repository[0]
    http, _ = clients(serve("--model-repository", folder, "--model-control-mode=explicit", "--load-model=a_pipe", "--load-model", "neg"))[0]
    index = {m["name"]: m["state"] for m in http.get_model_repository_index()}
    assert index == {"a_pipe": "READY", "neg": "READY", "zsame": "READY", "add": "READY", "a_nest": "UNAVAILABLE"}
    http.load_model("a_nest")
    assert http.is_model_ready("a_nest")
    http.unload_model("a_nest")
    http.unload_model("a_pipe", unload_dependents=True)            # neg was asked for by its name
    assert [n for n in ("add", "neg", "zsame") if http.is_model_ready(n)] == ["neg"]


@pytest.mark.apart
def test_each_step_is_a_span_below_the_request(repository, serve, collector):
    c = collector()
    s = serve("--model-repository", repository[0], "--otlp-endpoint", c.url)
    for k, (client, lib) in enumerate(clients(s)):
        ask(client, lib, "a_nest", {"p": np.ones((1, 4), np.float32)})
        top = c.wait(k + 1)[k]
        mine = [x for x in c.spans if x.trace_id == top.trace_id]
        steps = [x for x in mine if x.name.startswith("step ")]
        assert sorted(x.name for x in steps) == ["step a_pipe", "step add", "step add", "step add", "step neg", "step zsame"]
        below = lambda parent: sorted(x.name for x in mine if x.parent_span_id == parent.span_id)
        assert [n for n in below(top) if n.startswith("step")] == ["step a_pipe", "step add"]
        pipe = next(x for x in steps if x.name == "step a_pipe")
        assert below(pipe) == ["compute", "queue", "step add", "step add", "step neg", "step zsame"]
        for x in steps:
            assert attributes(x) == {"proa.model.name": x.name[5:], "proa.model.version": "1"}
            assert top.start_time_unix_nano <= x.start_time_unix_nano <= x.end_time_unix_nano <= top.end_time_unix_nano
            assert "compute" in below(x) and "queue" in below(x)


@pytest.mark.apart
def test_each_step_is_a_trace_with_a_parent(repository, serve, tmp_path):
    file = tmp_path / "trace.json"
    s = serve("--model-repository", repository[0], "--trace-file", file, "--trace-level", "TIMESTAMPS", "--trace-rate", "1")
    client, lib = clients(s)[0]
    ask(client, lib, "a_nest", {"p": np.ones((1, 4), np.float32)})
    client.close()
    assert s.stop() == 0
    entries = json.loads(file.read_text())
    models = {e["id"]: e["model_name"] for e in entries if "model_name" in e}
    parents = {e["id"]: e.get("parent_id") for e in entries if "model_name" in e}
    top = next(i for i, p in parents.items() if p is None)
    assert models[top] == "a_nest" and len(models) == 7
    assert sorted(models[i] for i, p in parents.items() if p == top) == ["a_pipe", "add"]
    pipe = next(i for i, m in models.items() if m == "a_pipe")
    assert sorted(models[i] for i, p in parents.items() if p == pipe) == ["add", "add", "neg", "zsame"]
    for i in set(models) - {top}:
        times = {t["name"]: t["ns"] for e in entries if e["id"] == i for t in e.get("timestamps", [])}
        assert list(times) == ["REQUEST_START", "QUEUE_START", "COMPUTE_START", "COMPUTE_INPUT_END", "COMPUTE_OUTPUT_START", "COMPUTE_END", "REQUEST_END"]
        assert list(times.values()) == sorted(times.values())
