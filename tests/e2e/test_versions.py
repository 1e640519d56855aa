"""test_versions.py - several versions of a model, exchanged under the requests of unmodified tritonclient."""
import contextlib, os, pathlib, shutil, threading, time
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from conftest import run_proa, until
from models import slow

pytestmark = pytest.mark.apart   # tritonclient.grpc is used in the test itself

POLICY = "version_policy { latest { num_versions: %d } }"


def version_make(folder, number, policy=None):
    """y = number * x; in the folder at once, as whoever publishes a model should do it."""
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [None, 2]) for n in "xy")
    k = helper.make_tensor("k", TensorProto.FLOAT, [1], [float(number)])
    graph = helper.make_graph([helper.make_node("Mul", ["x", "k"], ["y"])], "g", [x], [y], [k])
    made = folder / f".{number}.part"
    made.mkdir(parents=True)
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 13)]), made / "model.onnx")
    if policy:
        (folder / "config.pbtxt").write_text(policy)
    made.rename(folder / str(number))


def clients(server):
    import tritonclient.grpc as grpc
    import tritonclient.http as http
    return [(lib, lib.InferenceServerClient(f"{server.host}:{server.port}")) for lib in (http, grpc)]


def ask(lib, client, version=""):
    """The factor of the version that answers, and what it says that it is."""
    i = lib.InferInput("x", [1, 2], "FP32").set_data_from_numpy(np.ones((1, 2), np.float32))
    r = client.infer("m", [i], model_version=version)
    said = r.get_response()
    return r.as_numpy("y")[0, 0], said["model_version"] if isinstance(said, dict) else said.model_version


def whole(factor, version):
    """An answer is of one version."""
    return str(int(factor)) == version


@contextlib.contextmanager
def asking(server, count, told):
    """Meanwhile `count` clients, REST and gRPC in turn, ask without a pause: told(k, factor, version).  What fails is in the list that it gives."""
    stop, wrong = [], []

    def asker(k):
        lib, client = clients(server)[k % 2]
        try:
            while not stop:
                told(k, *ask(lib, client))
        except Exception as e:
            wrong.append(repr(e))
        client.close()
    threads = [threading.Thread(target=asker, args=(k,)) for k in range(count)]
    for t in threads:
        t.start()
    try:
        yield wrong
    finally:
        stop.append(1)
        for t in threads:
            t.join()


@pytest.fixture
def versions(serve, tmp_path):
    folder = tmp_path / "models" / "m"
    for n in (1, 2, 3):
        version_make(folder, n, POLICY % 2)
    return serve("--model-repository", folder.parent, "--model-control", "explicit", "--drain-wait-ms", 500), folder


def test_each_version_is_asked_by_name(versions):
    from tritonclient.utils import InferenceServerException
    server, _ = versions
    for lib, client in clients(server):
        assert ask(lib, client) == (3, "3") and ask(lib, client, "2") == (2, "2")
        with pytest.raises(InferenceServerException, match="version 1 does not exist"):
            ask(lib, client, "1")
        assert client.is_model_ready("m", "2") and not client.is_model_ready("m", "1")
        metadata, one = client.get_model_metadata("m"), client.get_model_metadata("m", "2")
        listed = lambda m: list(m["versions"] if isinstance(m, dict) else m.versions)
        assert listed(metadata) == ["2", "3"] and listed(one) == ["2"]
        client.close()
    http, grpc = clients(server)
    assert [(m["version"], m["state"]) for m in http[1].get_model_repository_index()] == [("2", "READY"), ("3", "READY")]
    assert [(m.version, m.state) for m in grpc[1].get_model_repository_index().models] == [("2", "READY"), ("3", "READY")]
    counts = {m["version"]: m["inference_count"] for m in http[1].get_inference_statistics("m")["model_stats"]}
    assert counts == {"2": 2, "3": 2}
    assert [m.version for m in grpc[1].get_inference_statistics("m").model_stats] == ["2", "3"]
    page = server.get("/metrics").body.decode()
    assert all(f'proa_inference_success_total{{model_name="m",model_version="{v}"}} 2' in page for v in (2, 3))
    http[1].close(), grpc[1].close()


def test_versions_come_go_and_come_back_under_load_without_a_lost_request(versions):
    """Swaps, roll-backs and a version that does not load: every request of REST and gRPC is answered by a whole version."""
    server, folder = versions
    seen = [0] * 4

    def told(k, factor, version):
        assert whole(factor, version)
        seen[k] += 1
    lib, client = clients(server)[0]
    with asking(server, 4, told) as wrong:
        for n in range(4, 12):
            version_make(folder, n)
            assert server.post("/v2/repository/models/m/load").status == 200
            assert ask(lib, client) == (n, str(n))
            assert server.post(f"/v2/repository/models/m/versions/{n - 1}/activate").status == 200
            assert ask(lib, client) == (n - 1, str(n - 1))
            assert server.post("/v2/repository/models/m/versions/1/activate").status == 200
            assert ask(lib, client) == (1, "1")
            (folder / "99").mkdir()
            (folder / "99" / "model.onnx").write_bytes(b"no model")
            r = server.post("/v2/repository/models/m/load")
            assert r.status == 400 and "failed to load 'm'" in r.body.decode()
            shutil.rmtree(folder / "99")
            assert server.post("/v2/repository/models/m/versions/latest/activate").status == 200
        until(lambda: wrong or all(n > 20 for n in seen))
    client.close()
    assert not wrong and all(n > 20 for n in seen), (wrong[:3], seen)
    index = {m["version"]: m for m in server.post("/v2/repository/index").json()}
    assert index["99"]["state"] == "UNAVAILABLE" and "99" in index["99"]["reason"]
    assert {v for v, m in index.items() if m["state"] == "READY"} == {"10", "11"}
    until(lambda: index_states(server) <= {"READY", "UNAVAILABLE"})
    page = server.get("/metrics").body.decode()
    assert 'proa_model_loads_total{result="failed"} 8' in page


def index_states(server):
    return {m["state"] for m in server.post("/v2/repository/index").json()}


def test_a_load_that_does_not_end_does_not_keep_the_server(versions):
    """It runs samples for minutes: other models load, the unload works, SIGTERM ends the server."""
    server, folder = versions
    version_make(folder.parent / "n", 1)
    version_make(folder, 4)
    (folder / "config.pbtxt").write_text("""max_batch_size: 4194304 model_warmup { name: "w" batch_size: 4194304 count: 65536
        inputs { key: "x" value { data_type: TYPE_FP32 dims: [2] zero_data: true } } }""")
    hung = threading.Thread(target=lambda: gone(lambda: server.post("/v2/repository/models/m/load")))
    hung.start()
    until(lambda: "LOADING" in index_states(server), what="that version 4 is being read")
    assert server.post("/v2/repository/models/n/load").status == 200
    assert server.post("/v2/repository/models/m/unload").status == 200
    assert server.post("/v2/repository/models/m/versions/1/infer").status == 404
    assert server.stop() == 0 and "left behind" in server.log()
    hung.join()


def test_what_leaves_behind_a_long_run_holds_up_no_load(serve, tmp_path):
    """The only worker is busy with another model, and is still to look into the queue of one that is unloaded meanwhile."""
    import tritonclient.http as http
    from tritonclient.utils import InferenceServerException
    for name in ("m", "n"):
        version_make(tmp_path / name, 1)
    (tmp_path / "m" / "config.pbtxt").write_text("max_batch_size: 8 dynamic_batching { default_queue_policy { timeout_action: REJECT "
                                                 "default_timeout_microseconds: 100000 } }")
    (tmp_path / "slow" / "1").mkdir(parents=True)
    onnx.save(slow(), tmp_path / "slow" / "1" / "model.onnx")
    server = serve("--model-repository", tmp_path, "--model-control", "explicit", "--load-model", "*", "--threads", "1", "--inline-us", "0")
    client = http.InferenceServerClient(f"{server.host}:{server.port}")
    got = []

    def run_long(rows=30000):
        i = http.InferInput("x", [rows, 384], "FP32").set_data_from_numpy(np.ones((rows, 384), np.float32))
        got.append(http.InferenceServerClient(f"{server.host}:{server.port}", network_timeout=300).infer("slow", [i]))
    long = threading.Thread(target=run_long)
    long.start()
    until(lambda: 'proa_inference_running{model_name="slow",model_version="1"} 1\n' in server.get("/metrics").body.decode())
    with pytest.raises(InferenceServerException, match="timeout"):
        ask(http, client)
    assert server.post("/v2/repository/models/m/unload").status == 200
    for _ in range(3):
        assert server.post("/v2/repository/models/n/unload").status == 200 and server.post("/v2/repository/models/n/load").status == 200
    assert 'proa_inference_running{model_name="slow",model_version="1"} 1\n' in server.get("/metrics").body.decode()   # it still runs
    long.join()
    assert got
    until(lambda: "model 'm' version 1: unloaded" in server.log())


def gone(call):
    """The server ends before it answers."""
    try:
        call()
    except Exception:
        pass


def test_poll_follows_what_is_published_under_load(serve, tmp_path):
    """Versions and models come and go in the folder alone; no request of REST or gRPC is lost, and load by call is refused."""
    folder = tmp_path / "models" / "m"
    folder.parent.mkdir()
    server = serve("--model-repository", folder.parent, "--model-control", "poll")   # nothing there yet
    version_make(folder, 1)
    until(lambda: server.get("/v2/models/m/ready").status == 200)
    lib, client = clients(server)[0]

    def told(_, factor, version):
        assert whole(factor, version)
    with asking(server, 2, told) as wrong:
        for n in range(2, 6):
            version_make(folder, n)
            until(lambda: ask(lib, client) == (n, str(n)))
        shutil.rmtree(folder / "5")   # back to the one before
        until(lambda: ask(lib, client) == (4, "4"))
    client.close()
    assert not wrong, wrong[:3]
    assert server.post("/v2/repository/models/m/load").status == 503
    shutil.rmtree(folder)
    until(lambda: server.get("/v2/models/m/ready").status == 404)
    assert server.get("/v2/health/ready").status == 200


@pytest.mark.parametrize("way", ["cur/models", "models"])   # a link on the path, and the path itself, behind another
def test_poll_follows_a_link_on_the_path_that_is_switched_under_load(serve, tmp_path, way):
    """As git-sync publishes: m has one version, and other weights in each revision. No request is lost, also while the link leads
    nowhere; the revision before may be deleted at once."""
    def published(n):
        version_make(tmp_path / f"rev{n}" / "models" / "m", n)
        (tmp_path / f"rev{n}" / "models" / "m" / str(n)).rename(tmp_path / f"rev{n}" / "models" / "m" / "1")

    def switch(to):
        (tmp_path / "t").symlink_to(to)
        (tmp_path / "t").rename(tmp_path / "cur")
    published(2)
    switch("rev2")
    (tmp_path / "models").symlink_to("cur/models")
    server = serve("--model-repository", tmp_path / way, "--model-control", "poll", "--poll-secs", 3600)
    seen = set()
    lib, client = clients(server)[0]
    with asking(server, 2, lambda _, factor, version: seen.add(factor)) as wrong:
        until(lambda: 2 in seen)
        for n in range(3, 6):
            published(n)
            switch(f"rev{n}" if n % 2 else tmp_path / f"rev{n}")
            shutil.rmtree(tmp_path / f"rev{n - 1}")
            until(lambda: ask(lib, client) == (n, "1"), seconds=5)
        switch("rev6")   # not there yet
        until(lambda: "what serves goes on" in server.log())
        assert ask(lib, client) == (5, "1")
        published(6)
        until(lambda: ask(lib, client) == (6, "1"), seconds=5)
        until(lambda: 6 in seen)
    client.close()
    assert not wrong and seen == {2, 3, 4, 5, 6}, (wrong[:3], seen)
    assert server.log().count("what serves goes on") == 1


@pytest.mark.parametrize("mode", ["none", "explicit", "poll"])
def test_versions_do_not_begin_with_0(serve, tmp_path, mode):
    """Neither at the start, nor as KServe mounts a model, nor when it is loaded again; they may not be read at all."""
    folder = tmp_path / "models" / "m"
    version_make(folder, 2, "version_policy { all { } }")
    for name in ("0", "03", "007", "00"):
        (folder / name).mkdir()
        (folder / name / "model.onnx").write_bytes(b"no model")
    source = ("--model-repository", folder.parent, "--model-control", mode) if mode != "none" else ("--model-dir", folder, "--model-name", "m")
    server = serve(*source)
    index = lambda: [(m["name"], m["version"], m["state"]) for m in server.post("/v2/repository/index").json()]
    assert index() == [("m", "2", "READY")]
    assert server.get("/v2/models/m/versions/03").status == 404
    if mode == "none":
        return
    version_make(folder, 1)
    if mode == "explicit":
        assert server.post("/v2/repository/models/m/load").status == 200
    until(lambda: index() == [("m", "1", "READY"), ("m", "2", "READY")])


def test_a_file_beside_the_versions_replaces_none(serve, tmp_path):
    """A backup that somebody lays there is passed over, which the log says; an older version that nobody chose may be anything."""
    folder = tmp_path / "models" / "m"
    version_make(folder, 1)
    version_make(folder, 2)
    for name in ("a.onnx", "b.onnx"):
        shutil.copy(folder / "1" / "model.onnx", folder / "1" / name)
    (folder / "1" / "model.onnx").unlink()
    server = serve("--model-repository", folder.parent, "--model-control", "poll")
    shutil.copy(folder / "2" / "model.onnx", folder / "backup.onnx")
    until(lambda: f"{folder}/backup.onnx: passed over: the folder has versions" in server.log())
    lib, client = clients(server)[0]
    assert ask(lib, client) == (2, "2")
    client.close()


def test_poll_takes_up_weights_in_a_folder_of_the_version(serve, tmp_path):
    """External data that is copied long after the model's file, and exchanged later: the model comes, and is the new one."""
    version, part = tmp_path / "models" / "m" / "1", tmp_path / "models" / "m" / ".part"
    (version / "weights").mkdir(parents=True)
    server = serve("--model-repository", tmp_path / "models", "--model-control", "poll", "--poll-secs", 3600, "--exit-on-error", "false")
    version_make(tmp_path / "made", 3)
    model = onnx.load(tmp_path / "made" / "3" / "model.onnx")
    model.graph.initializer[0].raw_data = np.float32([3]).tobytes()
    model.graph.initializer[0].ClearField("float_data")
    onnx.save(model, version / "model.onnx", save_as_external_data=True, location="w", size_threshold=0)
    (version / "w").rename(part)
    model = onnx.load(version / "model.onnx", load_external_data=False)
    next(e for e in model.graph.initializer[0].external_data if e.key == "location").value = "weights/w"
    onnx.save(model, version / "model.onnx")
    until(lambda: "weights/w" in server.log())   # refused without them
    part.rename(version / "weights" / "w")
    until(lambda: server.get("/v2/models/m/ready").status == 200)
    lib, client = clients(server)[0]
    assert ask(lib, client) == (3, "1")
    part.write_bytes(np.float32([5]).tobytes())
    part.rename(version / "weights" / "w")
    until(lambda: ask(lib, client) == (5, "1"))
    client.close()


MATMUL, ADD, RELU = ("MatMul", ["x", "w"]), ("Add", ["x", "w"]), ("Relu", ["x"])
CONTRADICTIONS = [   # node, attributes, type of x, w: ONNX Runtime refuses all of them, too
    (MATMUL, {}, np.float32, np.ones((2, 2)), "(MatMul, ai.onnx 13): input 1 'w': expected float32 like input 0, got float64"),
    (MATMUL, {}, np.float32, np.ones((3, 2), np.float32), "(MatMul, ai.onnx 13): shapes [1,2] and [3,2] do not fit; sizes that the model leaves open were 1"),
    (ADD, {}, np.float32, np.ones(2, np.int64), "(Add, ai.onnx 13): input 1 'w': expected float32 like input 0, got int64"),
    (("Softmax", ["x"]), {"axis": 7}, np.float32, None, "(Softmax, ai.onnx 13): axis: expected an axis in -2..1, got 7"),
    (RELU, {}, object, None, "(Relu, ai.onnx 13): input 0 'x': expected float32 or int8"),
]


def contradiction_make(folder, number, case):
    (op, ins), attrs, dtype, w, _ = case
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    x, y = (helper.make_tensor_value_info(n, kind, [None, 2]) for n in "xy")
    graph = helper.make_graph([helper.make_node(op, ins, ["y"], **attrs)], "g", [x], [y], [] if w is None else [onnx.numpy_helper.from_array(w, "w")])
    made = folder / f".{number}.part"
    made.mkdir()
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 13)]), made / "model.onnx")
    made.rename(folder / str(number))


def test_a_version_that_contradicts_itself_leaves_the_good_one_serving(serve, tmp_path):
    """Its types or shapes fit for no request: refused at load by one line, which the index and the command line tell, too."""
    folder = tmp_path / "models" / "m"
    version_make(folder, 1)
    server = serve("--model-repository", folder.parent, "--model-control", "poll")
    lib, client = clients(server)[0]
    assert ask(lib, client) == (1, "1")

    def row(number):
        return next((m for m in server.post("/v2/repository/index").json() if m.get("version") == str(number)), {})
    for number, case in enumerate(CONTRADICTIONS, 2):
        contradiction_make(folder, number, case)
        until(lambda: row(number).get("state") == "UNAVAILABLE", what=f"that {case[-1]} is refused")
        assert f"{number}/model.onnx: node" in row(number)["reason"] and case[-1] in row(number)["reason"]
        assert ask(lib, client) == (1, "1") and row(1)["state"] == "READY" and case[-1] in server.log()
        seen = run_proa("model", "inspect", folder / str(number) / "model.onnx")
        assert seen.returncode != 0 and case[-1] in seen.stderr and len(seen.stderr.splitlines()) == 1
        shutil.rmtree(folder / str(number))
    version_make(folder, 9)
    until(lambda: ask(lib, client) == (9, "9"))
    client.close()


def test_only_who_may_change_the_server_activates(serve, tmp_path):
    folder = tmp_path / "models" / "m"
    version_make(folder, 1)
    server = serve("--model-repository", folder.parent)
    r = server.post("/v2/repository/models/m/versions/1/activate")
    assert r.status == 503 and "not allowed" in r.body.decode()


def labelled(lib, client, name):
    i = lib.InferInput("x", [1, 2], "FP32").set_data_from_numpy(np.ones((1, 2), np.float32))
    return client.infer(name, [i]).as_numpy("y")[0, 0]


def test_names_that_stand_for_models_are_models_to_their_clients(serve, tmp_path):
    from tritonclient.utils import InferenceServerException
    folder = tmp_path / "models" / "m"
    for n in (1, 2, 3):
        version_make(folder, n, "version_policy { all { } }")
    server = serve("--model-repository", folder.parent, "--model-control", "explicit", "--alias", "prod=m:1", "--alias", "best=prod,m:stable=m:2")
    pairs = clients(server)
    for lib, client in pairs:
        assert [labelled(lib, client, n) for n in ("m", "prod", "best", "m:stable" if "grpc" in lib.__name__ else "prod")] == [3, 1, 1, 2 if "grpc" in lib.__name__ else 1]
        assert client.is_model_ready("prod") and client.is_model_ready("best", "1") and not client.is_model_ready("best", "2")
    http, grpc = pairs
    index = {m["name"]: (m["version"], m.get("reason")) for m in http[1].get_model_repository_index() if m["name"] != "m"}
    assert index == {"prod": ("1", "alias of m"), "best": ("1", "alias of m"), "m:stable": ("2", "label of m")}
    assert {m.name for m in grpc[1].get_model_repository_index().models} == {"m", "prod", "best", "m:stable"}
    assert http[1].get_model_metadata("m")["version_labels"] == {"stable": "2"}
    assert grpc[1].get_model_metadata("prod").versions == ["1"]
    # TensorFlow Serving's paths
    predict = lambda at: server.post(f"/v1/models/{at}:predict", {"instances": [[1.0, 1.0]]})
    assert predict("m/labels/stable").json() == {"predictions": [[2.0, 2.0]]} and predict("m/versions/3").json() == {"predictions": [[3.0, 3.0]]}
    assert server.get("/v1/models/m/labels/stable").json()["model_version_status"][0]["version"] == "2"
    assert predict("m/labels/canary").status == 404
    # one call each
    at = "/v2/repository/models/m/versions"
    assert server.post(f"{at}/3/aliases/prod", {}).status == 200 and labelled(*http, "best") == 3
    assert server.post(f"{at}/3/labels/stable", {}).status == 200 and predict("m/labels/stable").json() == {"predictions": [[3.0, 3.0]]}
    r = server.post(f"{at}/9/aliases/prod", {})
    assert r.status == 400 and r.json()["error"] == "alias 'prod': expected a version of 'm' that is served, got '9'" and labelled(*http, "prod") == 3
    assert server.request("DELETE", "/v2/repository/aliases/best").status == 200
    with pytest.raises(InferenceServerException, match="Model with name best does not exist"):
        labelled(*http, "best")
    page = server.get("/metrics").body.decode()
    assert 'model_name="m",model_version="3"' in page and "prod" not in page      # counted as the model that it is
    [c.close() for _, c in pairs]


def test_a_name_is_switched_under_load_without_a_lost_request(serve, tmp_path):
    folder = tmp_path / "models" / "m"
    for n in (1, 2):
        version_make(folder, n, "version_policy { all { } }")
    server = serve("--model-repository", folder.parent, "--model-control", "explicit", "--alias", "prod=m:1")
    stop, seen, wrong = threading.Event(), set(), []

    def run(k):
        lib, client = clients(server)[k % 2]
        while not stop.is_set():
            try:
                seen.add(float(labelled(lib, client, "prod")))
            except Exception as e:  # noqa: BLE001
                wrong.append(repr(e))
        client.close()
    threads = [threading.Thread(target=run, args=(k,)) for k in range(6)]
    [t.start() for t in threads]
    late, i = time.monotonic() + 200, 0
    while i < 60 or (seen != {1.0, 2.0} and not wrong and time.monotonic() < late):   # until clients have come, too
        assert server.post(f"/v2/repository/models/m/versions/{1 + i % 2}/aliases/prod", {}).status == 200
        i += 1
    stop.set()
    [t.join() for t in threads]
    assert not wrong and seen == {1.0, 2.0}
