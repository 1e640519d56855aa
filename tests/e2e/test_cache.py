"""test_cache.py - the response cache, as tritonclient sees it.

The model adds random numbers, so two answers that are the same are one answer.
"""
import concurrent.futures
import numpy as np
import onnx
import pytest
from conftest import logged, run_proa
from models import model
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
