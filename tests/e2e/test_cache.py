"""test_cache.py - the response cache, as tritonclient sees it.

The model adds random numbers, so two answers that are the same are one answer.
"""
import concurrent.futures, threading
import numpy as np
import onnx
import pytest
from conftest import logged, run_proa, until
from models import model
from test_ensemble import ensemble, io, put
from test_tracing import attributes, collector  # noqa: F401
from onnx import TensorProto as T, helper as h

pytestmark = pytest.mark.apart   # tritonclient.grpc is used in the test itself


def noisy():
    return model([h.make_node("RandomUniformLike", ["x"], ["r"]), h.make_node("Add", ["x", "r"], ["y"])],
                 [("x", T.FLOAT, ["n", "m"])], [("y", T.FLOAT, ["n", "m"])])


@pytest.fixture
def repository(tmp_path):
    for name, config in (("kept", "response_cache { enable: true }"), ("fresh", "")):
        (tmp_path / name / "1").mkdir(parents=True)
        onnx.save(noisy(), tmp_path / name / "1/model.onnx")
        (tmp_path / name / "config.pbtxt").write_text(config)
    return tmp_path


def clients(server):
    import tritonclient.grpc as grpc_client
    import tritonclient.http as http_client
    return (http_client, http_client.InferenceServerClient(f"{server.host}:{server.port}", concurrency=8)), \
        (grpc_client, grpc_client.InferenceServerClient(f"{server.host}:{server.port}"))


def ask(client, name, x, binary=None):
    module, connection = client
    given = module.InferInput("x", list(x.shape), "FP32")
    given.set_data_from_numpy(x, **({} if binary is None else {"binary_data": binary}))
    return connection.infer(name, [given]).as_numpy("y")


def test_the_same_request_has_the_same_answer(serve, repository):
    server = serve("--model-repository", repository, "--cache-config", "local,size=1048576", "--model-control", "explicit", "--metrics-names", "both")
    http, grpc = clients(server)
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    first = ask(http, "kept", x)
    for again in (ask(http, "kept", x), ask(http, "kept", x, binary=False), ask(grpc, "kept", x)):
        assert np.array_equal(first, again)
    for other in (ask(http, "kept", x + 1) - 1, ask(http, "kept", x.reshape(3, 2)).reshape(2, 3)):
        assert not np.array_equal(first, other)
    assert not np.array_equal(ask(http, "fresh", x), ask(http, "fresh", x))
    s = http[1].get_inference_statistics("kept")["model_stats"][0]
    parts = s["inference_stats"]
    assert (s["inference_count"], s["execution_count"]) == (7, 3)   # rows; what was kept counts in neither
    assert (parts["success"]["count"], parts["cache_hit"]["count"], parts["cache_miss"]["count"]) == (6, 3, 3)
    assert parts["queue"]["count"] == 6                             # as in Triton, hits among them
    assert parts["compute_infer"]["count"] == 3 and parts["cache_hit"]["ns"] > 0 and parts["cache_miss"]["ns"] > 0
    fresh = grpc[1].get_inference_statistics("fresh", as_json=True)["model_stats"][0]["inference_stats"]
    assert "count" not in fresh.get("cache_hit", {}) and "count" not in fresh.get("cache_miss", {})
    page = server.get("/metrics").body.decode()
    for line in ('nv_cache_num_hits_per_model{model="kept",version="1"} 3', 'nv_cache_num_misses_per_model{model="kept",version="1"} 3',
                 'nv_inference_count{model="kept",version="1"} 7', "proa_response_cache_entries 3"):
        assert line in page.splitlines(), line
    http[1].load_model("kept")   # another model, if of the same name
    assert not np.array_equal(first, ask(http, "kept", x))


def test_errors_are_not_kept(serve, repository):
    (repository / "picky/1").mkdir(parents=True)
    onnx.save(model([h.make_node("Gather", ["w", "i"], ["y"])], [("i", T.INT64, ["n"])], [("y", T.FLOAT, ["n"])],
                    [("w", np.array([1, 2], np.float32))]), repository / "picky/1/model.onnx")
    (repository / "picky/config.pbtxt").write_text("response_cache { enable: true }")
    server = serve("--model-repository", repository, "--cache-bytes-max", "1Mi")
    for _ in range(3):
        assert server.infer("picky", [["i", "INT64", [1, 1], [5]]]).status == 400
    assert "proa_response_cache_entries 0" in server.get("/metrics").body.decode().splitlines()
    good = server.infer("picky", [["i", "INT64", [1, 1], [1]]])
    assert good.status == 200 and good.json()["outputs"][0]["data"] == [2.0], good
    assert "proa_response_cache_entries 1" in server.get("/metrics").body.decode().splitlines()


def test_many_at_a_time_get_their_own(serve, repository):
    server = serve("--model-repository", repository, "--cache-bytes-max", "5Ki")

    def one(i):
        n = i % 40
        y = server.infer("kept", [["x", "FP32", [1, 1 + n], [n] * (1 + n)]]).json()["outputs"][0]
        assert y["shape"] == [1, 1 + n] and all(n <= v <= n + 1 for v in y["data"])
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(800)))
    page = server.get("/metrics").body.decode()
    kept = {l.split()[0]: float(l.split()[1]) for l in page.splitlines() if l.startswith("proa_response_cache")}
    assert 0 < kept["proa_response_cache_bytes"] <= 5 << 10 and kept["proa_response_cache_evictions_total"] > 0


KEPT = "response_cache { enable: true }\n"


def part(client, name, x, *outputs):
    module, connection = client
    given = module.InferInput("a", list(x.shape), "FP32")
    given.set_data_from_numpy(x)
    got = connection.infer(name, [given], outputs=[module.InferRequestedOutput(o) for o in outputs] or None)
    return [got.as_numpy(o) for o in outputs]


def counted(client, name):
    """(requests, runs, hits, misses)"""
    s = client[1].get_inference_statistics(name)["model_stats"][0]
    parts = s["inference_stats"]
    return parts["success"]["count"], s["execution_count"], parts["cache_hit"]["count"], parts["cache_miss"]["count"]


@pytest.fixture
def joined(tmp_path):
    """kept and fresh are noise; two: both of them side by side; over: two, and kept once more; bare as two, not kept."""
    put(tmp_path, "kept", noisy(), "max_batch_size: 8\n" + KEPT)
    put(tmp_path, "fresh", noisy(), "max_batch_size: 8\n")
    two = ensemble([io("a", "-1")], [io("k", "-1"), io("f", "-1")], [("kept", {"x": "a"}, {"y": "k"}), ("fresh", {"x": "a"}, {"y": "f"})])
    put(tmp_path, "two", None, two + KEPT)
    put(tmp_path, "bare", None, two)
    put(tmp_path, "over", None, ensemble([io("a", "-1")], [io("k", "-1")], [
        ("two", {"a": "a"}, {"k": "first"}), ("kept", {"x": "first"}, {"y": "k"})]))
    return tmp_path


def test_an_ensembles_answer_is_kept_whole_and_found_without_its_steps(serve, joined):
    server = serve("--model-repository", joined, "--cache-config", "local,size=1048576")
    http, grpc = clients(server)
    x = np.ones((1, 3), np.float32)
    k, = part(http, "two", x, "k")                      # what else it has is kept, too
    f, = part(grpc, "two", x, "f")
    for again in (part(http, "two", x, "k", "f"), part(grpc, "two", x, "k", "f")):
        assert np.array_equal(again, [k, f])
    assert counted(http, "two") == (4, 1, 3, 1)
    assert counted(http, "kept") == (1, 1, 0, 1) and counted(http, "fresh") == (1, 1, 0, 0)
    o, = part(http, "over", x, "k")                     # two is found in it, and its own step is not
    assert np.all(o >= k) and not np.array_equal(o, k)
    assert np.array_equal(part(http, "over", x, "k"), [o])
    assert counted(http, "over") == (2, 2, 0, 0) and counted(http, "two") == (6, 1, 5, 1)
    assert counted(http, "kept") == (3, 2, 1, 2) and counted(http, "fresh") == (1, 1, 0, 0)
    page = server.get("/metrics").body.decode().splitlines()
    assert "proa_response_cache_entries 3" in page


def test_an_ensemble_within_that_is_kept_runs_whole(serve, joined):
    http, _ = clients(serve("--model-repository", joined, "--cache-config", "local,size=1048576"))
    x = np.ones((1, 3), np.float32)
    part(http, "over", x, "k")                          # which does not look at f
    assert counted(http, "two") == (1, 1, 0, 1) and counted(http, "fresh") == (1, 1, 0, 0)
    first = part(http, "two", x, "k", "f")
    assert np.array_equal(first, part(http, "two", x, "k", "f")) and counted(http, "two") == (3, 1, 2, 1)


def test_a_step_finds_what_its_model_kept_whoever_asked_for_it(serve, joined):
    server = serve("--model-repository", joined, "--cache-config", "local,size=1048576")
    http, _ = clients(server)
    x = np.ones((2, 3), np.float32)
    direct = ask(http, "kept", x)
    k, f = part(http, "bare", x, "k", "f")
    again, other = part(http, "bare", x, "k", "f")
    assert np.array_equal(direct, k) and np.array_equal(k, again) and not np.array_equal(f, other)
    k, = part(http, "bare", x + 1, "k")
    assert np.array_equal(ask(http, "kept", x + 1), k)
    assert counted(http, "bare") == (3, 3, 0, 0) and counted(http, "kept") == (5, 2, 3, 2) and counted(http, "fresh") == (2, 2, 0, 0)
    s = http[1].get_inference_statistics("kept")["model_stats"][0]
    assert s["inference_count"] == 4 and s["inference_stats"]["queue"]["count"] == 5   # rows; what was found is in the queue's count alone


def test_spans_say_what_the_cache_answered(serve, joined, collector):  # noqa: F811
    c = collector()
    http, _ = clients(serve("--model-repository", joined, "--cache-config", "local,size=1048576", "--otlp-endpoint", c.url))
    x = np.ones((1, 3), np.float32)
    hits = []
    for k, name in enumerate(("bare", "bare", "two", "two")):    # each step found but fresh's; the last found whole
        part(http, name, x, "k", "f")
        top = c.wait(k + 1)[k]
        mine = [s for s in c.spans if s.trace_id == top.trace_id]
        hits.append(sorted(s.name.split(" ")[-1] for s in mine if attributes(s).get("proa.response_cache") == "hit"))
        for s in mine:
            assert top.start_time_unix_nano <= s.start_time_unix_nano <= s.end_time_unix_nano <= top.end_time_unix_nano
    assert hits == [[], ["kept"], ["kept"], ["/v2/models/{model}/infer"]]


def test_no_answer_is_given_of_a_member_that_was_exchanged(serve, joined):
    server = serve("--model-repository", joined, "--cache-config", "local,size=1048576", "--model-control", "explicit")
    http, _ = clients(server)
    x = np.ones((1, 3), np.float32)
    names = ("two", "bare", "over")
    before = {n: part(http, n, x, "k")[0] for n in names}
    for exchange in (lambda: http[1].load_model("kept"), lambda: (http[1].unload_model("kept"), http[1].load_model("kept"), http[1].load_model("two"), http[1].load_model("over"), http[1].load_model("bare"))):
        exchange()
        now = {n: part(http, n, x, "k")[0] for n in names}
        assert not any(np.array_equal(now[n], before[n]) for n in names)
        assert np.array_equal(part(http, "two", x, "k")[0], now["two"])
        before = now
    http[1].load_model("fresh")                         # a member that keeps nothing itself
    assert not np.array_equal(part(http, "two", x, "k", "f")[1], before["two"])
    for name in ("two", "over", "bare", "kept"):
        http[1].unload_model(name)
    until(lambda: "proa_response_cache_bytes 0" in server.get("/metrics").body.decode().splitlines())
    assert "proa_response_cache_entries 0" in server.get("/metrics").body.decode().splitlines()


def test_members_exchanged_under_requests_leave_nothing_of_theirs(serve, tmp_path):
    def adds(n):
        onnx.save(model([h.make_node("Add", ["x", "w"], ["y"])], [("x", T.FLOAT, ["n", 4])], [("y", T.FLOAT, ["n", 4])],
                        [("w", np.array(n, np.float32))]), tmp_path / "m/1/new")
        (tmp_path / "m/1/new").rename(tmp_path / "m/1/model.onnx")   # the one before is mapped
    put(tmp_path, "m", None, "max_batch_size: 8\n" + KEPT)
    adds(0)
    put(tmp_path, "e", None, ensemble([io("a")], [io("b")], [("m", {"x": "a"}, {"y": "t"}), ("m", {"x": "t"}, {"y": "b"})]) + KEPT)
    server = serve("--model-repository", tmp_path, "--cache-config", "local,size=1048576", "--model-control", "explicit")
    http, _ = clients(server)
    zero, stop, bad, least = np.zeros((1, 4), np.float32), threading.Event(), [], [0]

    def go():
        client = clients(server)[0]
        while not stop.is_set():
            after = least[0]
            got = part(client, "e", zero, "b")[0]
            if not np.all(got == got[0, 0]) or got[0, 0] % 2 or got[0, 0] < 2 * after:
                bad.append((after, got))
    threads = [threading.Thread(target=go) for _ in range(4)]
    [t.start() for t in threads]
    try:
        for n in range(1, 15):
            adds(n)
            http[1].load_model("m")
            least[0] = n                                # whoever asks from now on gets this or a later one
    finally:
        stop.set()
        [t.join() for t in threads]
    assert not bad
    assert counted(http, "e")[2] > 0


def test_what_keeps_a_sequence_is_not_kept(serve, tmp_path):
    io1 = lambda n: f'{{ name: "{n}" data_type: TYPE_FP32 dims: 1 }}'
    sums = model([h.make_node("Add", ["x", "in"], ["y"]), h.make_node("Identity", ["y"], ["out"])],
                 [("x", T.FLOAT, ["n", 1]), ("in", T.FLOAT, ["n", 1])], [("y", T.FLOAT, ["n", 1]), ("out", T.FLOAT, ["n", 1])])
    put(tmp_path, "sum", sums, f'max_batch_size: 4 input {io1("x")} output {io1("y")} sequence_batching {{ oldest {{ max_candidate_sequences: 4 }} '
                               'state { input_name: "in" output_name: "out" data_type: TYPE_FP32 dims: 1 } }\n')
    put(tmp_path, "keeps", None, ensemble([io("a", "1")], [io("b", "1")], [("sum", {"x": "a"}, {"y": "b"})], batch=4) + KEPT)
    put(tmp_path, "deep", None, ensemble([io("a", "1")], [io("b", "1")], [("keeps", {"a": "a"}, {"b": "b"})], batch=4) + KEPT)
    server = serve("--model-repository", tmp_path, "--cache-config", "local,size=1048576")
    (module, http), _ = clients(server)
    for name in ("keeps", "deep"):
        logged(server, f"model '{name}': response_cache: expected members without sequences: nothing is kept")
        given = module.InferInput("a", [1, 1], "FP32")
        given.set_data_from_numpy(np.ones((1, 1), np.float32))
        got = [http.infer(name, [given], sequence_id=7, sequence_start=i == 0, sequence_end=i == 2).as_numpy("b")[0, 0] for i in range(3)]
        assert got == [1, 2, 3]
    assert "proa_response_cache_entries 0" in server.get("/metrics").body.decode().splitlines()


def test_a_step_that_fails_is_not_kept_and_what_went_before_it_is(serve, tmp_path):
    put(tmp_path, "kept", noisy(), "max_batch_size: 8\n" + KEPT)
    put(tmp_path, "narrow", model([h.make_node("Reshape", ["x", "s"], ["y"])], [("x", T.FLOAT, ["n", "m"])], [("y", T.FLOAT, ["n", 2])],
                                  [("s", np.array([-1, 2], np.int64))]), "max_batch_size: 8\n" + KEPT)
    put(tmp_path, "e", None, ensemble([io("a", "-1")], [io("b", "2")], [("kept", {"x": "a"}, {"y": "t"}), ("narrow", {"x": "t"}, {"y": "b"})]) + KEPT)
    server = serve("--model-repository", tmp_path, "--cache-config", "local,size=1048576")
    http, _ = clients(server)
    for _ in range(2):
        with pytest.raises(Exception, match="in ensemble 'e', step 1 'narrow': "):
            part(http, "e", np.ones((1, 3), np.float32), "b")
    assert counted(http, "kept") == (2, 1, 1, 1) and counted(http, "narrow") == (0, 0, 0, 2)
    assert "proa_response_cache_entries 1" in server.get("/metrics").body.decode().splitlines()
    assert np.array_equal(part(http, "e", np.ones((1, 2), np.float32), "b"), part(http, "e", np.ones((1, 2), np.float32), "b"))


def test_without_memory_nothing_is_kept_and_one_line_says_so(serve, repository):
    server = serve("--model-repository", repository)
    http, _ = clients(server)
    x = np.ones((1, 1), np.float32)
    assert not np.array_equal(ask(http, "kept", x), ask(http, "kept", x))
    logged(server, "model 'kept': response_cache: expected --cache-bytes-max with it, got 0: nothing is kept")


@pytest.mark.parametrize("args, text", [
    (["--cache-config", "redis,host=a"], "cache-config: expected local,size=BYTES, got 'redis,host=a'"),
    (["--cache-config", "local,size=1", "--cache-bytes-max", "2"], "cache-config: expected the size of cache-bytes-max, 2, got '1'"),
])
def test_what_is_no_cache_is_refused(args, text):
    done = run_proa("serve", *args, "m=/m")
    assert done.returncode == 2 and done.stderr == f"proa serve: {text}\n"
