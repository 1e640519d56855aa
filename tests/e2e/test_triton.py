"""test_triton.py - Triton's extensions over REST, as unmodified tritonclient.http and http.aio call them, and curl."""
import asyncio, gzip, json, pathlib, shutil, subprocess, sys, threading, time, zlib
import numpy as np
import pytest
from conftest import until
from models import X, Y


@pytest.fixture
def triton(server):
    import tritonclient.http as http
    client = http.InferenceServerClient(f"{server.host}:{server.port}")
    yield http, client
    client.close()


def fails(call, status, text):
    from tritonclient.utils import InferenceServerException
    with pytest.raises(InferenceServerException) as e:
        call()
    assert e.value.status() == str(status) and text in e.value.message(), (e.value.status(), e.value.message())


def x_input(http, values=(X,)):
    i = http.InferInput("x", [len(values), len(values[0])], "FP32")
    return [i.set_data_from_numpy(np.array(values, np.float32))]


def test_statistics(triton):
    http, client = triton
    stats = lambda *a: client.get_inference_statistics(*a)["model_stats"]
    before = stats("tiny")[0]
    client.infer("tiny", x_input(http))
    fails(lambda: client.infer("tiny", x_input(http, [X[:3]])), 400, "")
    after = stats("tiny", "1")[0]
    assert (after["name"], after["version"]) == ("tiny", "1")
    assert after["inference_count"] == before["inference_count"] + 1 and after["execution_count"] == before["execution_count"] + 1
    old, new = before["inference_stats"], after["inference_stats"]
    assert new["success"]["count"] == old["success"]["count"] + 1 and new["fail"]["count"] == old["fail"]["count"] + 1
    assert new["success"]["ns"] >= new["compute_infer"]["ns"] > old["compute_infer"]["ns"]
    assert set(new) == {"success", "fail", "queue", "compute_input", "compute_infer", "compute_output", "cache_hit", "cache_miss"}
    assert abs(after["last_inference"] / 1000 - time.time()) < 60
    assert {m["name"] for m in stats()} == {m["name"] for m in client.get_model_repository_index()}
    fails(lambda: stats("none"), 404, "does not exist")
    fails(lambda: stats("tiny", "9"), 404, "does not exist")


def test_index_and_config(triton, server):
    _, client = triton
    index = {m["name"]: m for m in client.get_model_repository_index()}
    assert index["tiny"] == {"name": "tiny", "version": "1", "state": "READY"}
    assert server.post("/v2/repository/index", {"ready": True}).json() == server.post("/v2/repository/index").json()
    assert server.post("/v2/repository/index", {"ready": "x"}).status == 400
    assert server.get("/v2/repository/index").status == 405
    config = client.get_model_config("tiny", "1")
    assert config["name"] == "tiny" and config["max_batch_size"] == 0 and config["backend"] == "onnxruntime"
    assert [(i["name"], i["data_type"], i["dims"]) for i in config["input"]] == [("x", "TYPE_FP32", [-1, 4])]
    assert [(o["name"], o["data_type"], o["dims"]) for o in config["output"]] == [("y", "TYPE_FP32", [-1, 4])]
    assert client.get_model_config("id_bytes")["input"][0]["data_type"] == "TYPE_STRING"
    fails(lambda: client.get_model_config("none"), 404, "does not exist")
    assert {"statistics", "model_repository", "model_configuration", "trace", "logging"} <= set(client.get_server_metadata()["extensions"])


def test_trace_settings(triton):
    _, client = triton
    assert client.get_trace_settings() == {"trace_level": ["OFF"], "trace_rate": "1000", "trace_count": "-1", "log_frequency": "0",
                                           "trace_file": "", "trace_mode": "triton"}
    assert client.update_trace_settings("tiny", {"trace_rate": "7", "trace_count": "3"})["trace_rate"] == "7"
    assert client.update_trace_settings(settings={"trace_rate": "9"})["trace_rate"] == "9"
    assert [client.get_trace_settings(m)["trace_rate"] for m in ("tiny", "pair", None)] == ["7", "9", "9"]
    assert client.update_trace_settings("tiny", {"trace_rate": None, "trace_count": None})["trace_rate"] == "9"
    assert client.update_trace_settings(settings={"trace_rate": None})["trace_rate"] == "1000"
    fails(lambda: client.update_trace_settings(settings={"trace_level": ["TIMESTAMPS"]}), 400, "trace file name is not given")
    fails(lambda: client.update_trace_settings(settings={"trace_file": "/tmp/x"}), 501, "trace file location can not be updated")
    fails(lambda: client.update_trace_settings(settings={"trace_rate": "x"}), 400, "Unable to parse 'trace_rate', got: x")
    fails(lambda: client.get_trace_settings("none"), 404, "does not exist")


def test_log_settings(serve, zoo):
    import tritonclient.http as http
    server = serve(f"tiny={zoo['tiny']}", "--log-requests")
    client = http.InferenceServerClient(f"{server.host}:{server.port}")
    first = {"log_file": "", "log_info": True, "log_warning": True, "log_error": True, "log_verbose_level": 0, "log_format": "default"}
    assert client.get_log_settings() == first
    asked = lambda: server.log().count("/v2/health/live")
    client.is_server_live()
    until(lambda: asked() == 1)
    assert client.update_log_settings({"log_info": False, "log_verbose_level": 2}) == {**first, "log_info": False, "log_verbose_level": 2}
    assert client.update_log_settings({"log_verbose_level": 0})["log_verbose_level"] == 0
    for _ in range(5):
        client.is_server_live()
    assert client.update_log_settings({"log_info": True, "log_format": "ISO8601"})["log_format"] == "ISO8601"
    client.is_server_live()
    until(lambda: asked() > 1)
    assert asked() == 2, "lines come in order: those five were not written"
    fails(lambda: client.update_log_settings({"log_file": "x.log"}), 501, "log file location can not be updated through network protocol")
    fails(lambda: client.update_log_settings({"log_format": "x"}), 503, "invalid argument for --log_format, got: x")
    fails(lambda: client.update_log_settings({"log_info": 5}), 400, "expect boolean for 'log_info'")
    client.close()


def test_request_parameters(triton, server):
    http, client = triton
    for more in ({"sequence_id": 7, "sequence_start": True, "sequence_end": True}, {"sequence_id": "a", "sequence_start": True},
                 {"priority": 3}, {"timeout": 60_000_000}, {"parameters": {"p": "v", "q": 1, "r": True}}):
        assert np.allclose(client.infer("tiny", x_input(http), **more).as_numpy("y"), [Y], rtol=1e-6)
    for wrong in ({"triton_x": 1}, {"timeout": -1}, {"priority": "high"}, {"sequence_id": True}, {"sequence_end": 1}):
        r = server.infer("tiny", [["x", "FP32", [1, 4], X]], parameters=wrong)
        assert r.status == 400 and next(iter(wrong)).split("_x")[0] in r.json()["error"], r


def test_cuda_shared_memory_is_refused_by_name(triton):
    _, client = triton
    assert client.get_cuda_shared_memory_status() == []
    client.unregister_cuda_shared_memory()
    fails(lambda: client.register_cuda_shared_memory("r", b"x", 0, 64), 501, "CUDA shared memory is not supported")


def test_aio(server):
    import tritonclient.http.aio as aio

    async def go():
        async with aio.InferenceServerClient(f"{server.host}:{server.port}") as client:
            assert (await client.get_inference_statistics("tiny"))["model_stats"][0]["name"] == "tiny"
            assert {"tiny", "pair"} <= {m["name"] for m in await client.get_model_repository_index()}
            assert (await client.get_model_config("tiny"))["output"][0]["name"] == "y"
            assert (await client.update_trace_settings("pair", {"trace_rate": "5"}))["trace_rate"] == "5"
            assert (await client.update_trace_settings("pair", {"trace_rate": None}))["trace_rate"] == "1000"
            assert (await client.get_trace_settings())["trace_level"] == ["OFF"]
            assert (await client.update_log_settings({"log_info": True}))["log_info"] is True
            assert (await client.get_log_settings())["log_error"] is True
    asyncio.run(go())


def curl(server, path, body):
    done = subprocess.run(["curl", "-s", "-i", "-d", json.dumps(body), f"{server.url}{path}"], capture_output=True, timeout=60, check=True)
    head, body = done.stdout.split(b"\r\n\r\n", 1)
    return int(head.split()[1]), head.decode().lower(), body.decode()


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is absent")
def test_generate(server):
    status, head, body = curl(server, "/v2/models/tiny/generate", {"x": X, "id": "7", "stream": False, "parameters": {"temperature": 0}})
    got = json.loads(body)
    assert status == 200 and "content-type: application/json" in head
    assert (got["id"], got["model_name"], got["model_version"]) == ("7", "tiny", "1") and np.allclose(got["y"], Y, rtol=1e-6)
    status, head, body = curl(server, "/v2/models/tiny/versions/1/generate_stream", {"parameters": {"x": X}})
    assert status == 200 and "content-type: text/event-stream; charset=utf-8" in head
    assert body.startswith("data: {") and body.endswith("}\n\n") and np.allclose(json.loads(body[6:])["y"], Y, rtol=1e-6)
    status, _, body = curl(server, "/v2/models/id_bytes/generate", {"x": "gr\u00fcn"})
    assert status == 200 and json.loads(body)["y"] == "gr\u00fcn"
    status, _, body = curl(server, "/v2/models/id_fp32/generate", {"x": [float("nan"), 1, float("-inf")]})
    assert status == 200 and '"y":[NaN,1.0,-Infinity]' in body
    status, _, body = curl(server, "/v2/models/id_fp32/generate_stream", {"x": [1], "p": float("inf")})
    assert (status, json.loads(body)["error"]) == (400, "parameter 'p' has invalid type. It should be either 'int', 'bool', or 'string'")
    status, _, body = curl(server, "/v2/models/tiny/generate", {"x": X[:3]})
    assert (status, json.loads(body)["error"]) == (400, "The schema can not convert input 'x' to tensor with proper shape")
    status, head, body = curl(server, "/v2/models/none/generate_stream", {"x": X})
    assert status == 404 and "application/json" in head and "does not exist" in body


# ---- the raw binary request --------------------------------------------------------------------------------------

RAW = {"Inference-Header-Content-Length": "0"}
TEXT = """max_batch_size: 4
input { name: "x" data_type: TYPE_STRING dims: [ 1 ] }
output { name: "y" data_type: TYPE_STRING dims: [ -1 ] }"""
ROWS = """max_batch_size: 4
input { name: "x" data_type: TYPE_FP32 dims: [ 4 ] }
output { name: "y" data_type: TYPE_FP32 dims: [ 4 ] }"""


def raw(server, model, body, path="/v2/models/%s/infer", **headers):
    """The answer as tritonclient reads it."""
    import requests, tritonclient.http as http
    reply = requests.post(server.url + path % model, data=body, headers=RAW | {k.replace("_", "-"): v for k, v in headers.items()})
    assert reply.status_code == 200 and reply.headers["content-type"] == "application/octet-stream", reply.content
    return http.InferResult.from_response_body(reply.content, header_length=int(reply.headers["inference-header-content-length"]))


def not_raw(server, model, body, status=400, **headers):
    import requests
    reply = requests.post(f"{server.url}/v2/models/{model}/infer", data=body, headers=RAW | headers)
    assert reply.status_code == status, reply.content
    return reply.json()["error"]


def test_a_raw_request_is_the_tensor_itself(server):
    one = np.array(X, np.float32).tobytes()
    for body in (one, one * 3, one * 100_000):                          # the last is a worker's
        result = raw(server, "tiny", body)
        assert result.get_response()["outputs"] == [{"name": "y", "datatype": "FP32", "shape": [len(body) // 16, 4], "parameters": {"binary_data_size": len(body)}}]
        assert np.allclose(result.as_numpy("y"), Y, rtol=1e-6)
    assert raw(server, "tiny", b"").as_numpy("y").shape == (0, 4)
    for kind in ("application/json", "application/octet-stream", "text/plain"):
        assert np.allclose(raw(server, "tiny", one, Content_Type=kind).as_numpy("y"), [Y], rtol=1e-6)
    assert np.allclose(raw(server, "tiny", iter((one[:5], one[5:])), "/v2/models/%s/versions/1/infer").as_numpy("y"), [Y], rtol=1e-6)     # chunked
    assert raw(server, "scalar", np.float32(3).tobytes()).as_numpy("y") == 6


@pytest.mark.parametrize("coding, pack", [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_raw_request_may_be_compressed(server, coding, pack):
    one = np.array(X, np.float32).tobytes()
    for rows in (1, 1000):
        result = raw(server, "tiny", pack(one * rows), Content_Encoding=coding)
        assert result.as_numpy("y").shape == (rows, 4) and np.allclose(result.as_numpy("y"), Y, rtol=1e-6)
    assert "expected a multiple of 16 bytes" in not_raw(server, "tiny", pack(one + b"x"), **{"Content-Encoding": coding})


def test_a_raw_request_is_one_row_of_a_model_with_a_batch_size(serve, zoo, tmp_path):
    for name, config, of in (("text", TEXT, "id_bytes"), ("rows", ROWS, "tiny")):
        (tmp_path / "r" / name / "1").mkdir(parents=True)
        (tmp_path / "r" / name / "config.pbtxt").write_text(config)
        shutil.copy(zoo[of], tmp_path / "r" / name / "1" / "model.onnx")
    server = serve("--model-repository", tmp_path / "r")
    one = np.array(X, np.float32).tobytes()
    assert np.allclose(raw(server, "rows", one).as_numpy("y"), [Y], rtol=1e-6)
    for text in (b"427", b"", b"\5\0\0\0a", "gr\u00fcn".encode(), b"a" * 100_000):
        assert raw(server, "text", text).as_numpy("y").tolist() == [[text]]
    size = "input 'x': raw request: expected 16 bytes for its shape and datatype, got "
    assert not_raw(server, "rows", one * 2) == size + "32" and not_raw(server, "rows", b"") == size + "0"


def test_a_raw_request_that_cannot_be_deduced_is_refused_in_tritons_words(server):
    assert not_raw(server, "pair", bytes(24)) == "Raw request must only have 1 input (found 1) to be deduced but got 3 inputs in 'pair' model configuration"
    more = "The shape of the raw input 'x' can not be deduced because there are more than one variable-sized dimension"
    assert not_raw(server, "id_fp16", bytes(8)) == more and not_raw(server, "id_bytes", b"427") == more
    assert not_raw(server, "tiny", bytes(15)) == "input 'x': raw request: expected a multiple of 16 bytes for FP32 [-1,4], got 15"
    assert not_raw(server, "scalar", b"") == "input 'x': raw request: expected 4 bytes for its shape and datatype, got 0"
    assert not_raw(server, "none", bytes(16), 404) == "Model with name none does not exist."
    assert np.allclose(raw(server, "tiny", np.array(X, np.float32).tobytes()).as_numpy("y"), [Y], rtol=1e-6)


# ---- loading and unloading ---------------------------------------------------------------------------------------

@pytest.fixture
def explicit(serve, zoo, tmp_path):
    """A server whose models clients may change, with a model repository of the test's own."""
    folder = tmp_path / "models"
    for name in ("tiny", "pair"):
        (folder / name / "1").mkdir(parents=True)
        shutil.copy(zoo[name], folder / name / "1" / "model.onnx")
    return serve("--model-repository", folder, "--model-control", "explicit"), folder


def test_unload_and_load(explicit):
    import tritonclient.http as http
    server, folder = explicit
    client = http.InferenceServerClient(f"{server.host}:{server.port}")
    entry = lambda v="1": {(m["name"], m["version"]): m for m in client.get_model_repository_index()}["tiny", v]
    client.unload_model("tiny", unload_dependents=True)
    assert not client.is_model_ready("tiny") and client.is_model_ready("pair") and client.is_server_ready()
    until(lambda: entry() == {"name": "tiny", "version": "1", "state": "UNAVAILABLE", "reason": "unloaded"})
    fails(lambda: client.infer("tiny", x_input(http)), 404, "Request for unknown model: 'tiny' has no available versions")
    assert [m["name"] for m in server.post("/v2/repository/index", {"ready": True}).json()] == ["pair"]
    client.load_model("tiny")
    assert client.is_model_ready("tiny") and entry() == {"name": "tiny", "version": "1", "state": "READY"}
    assert np.allclose(client.infer("tiny", x_input(http)).as_numpy("y"), [Y], rtol=1e-6)
    (folder / "tiny" / "2").mkdir()
    (folder / "tiny" / "2" / "model.onnx").write_bytes(b"no model")
    fails(lambda: client.load_model("tiny"), 400, "failed to load 'tiny': ")
    assert client.is_model_ready("tiny", "1") and entry() == {"name": "tiny", "version": "1", "state": "READY"}
    assert "not an ONNX model" in entry("2")["reason"] and entry("2")["state"] == "UNAVAILABLE"
    new = folder / "tiny" / "2" / "new"
    shutil.copy(folder / "tiny" / "1" / "model.onnx", new)
    new.rename(folder / "tiny" / "2" / "model.onnx")
    client.load_model("tiny")
    assert entry("2") == {"name": "tiny", "version": "2", "state": "READY"} and not client.is_model_ready("tiny", "1")
    assert client.infer("tiny", x_input(http)).get_response()["model_version"] == "2"
    fails(lambda: client.load_model("none"), 404, "failed to load 'none', failed to poll from model repository")
    shutil.copytree(folder / "tiny", folder / "later")
    client.load_model("later")
    assert client.is_model_ready("later") and {m["name"] for m in client.get_model_repository_index()} == {"tiny", "pair", "later"}
    fails(lambda: client.load_model("tiny", config="{"), 400, "failed to load 'tiny': config: ")
    fails(lambda: client.load_model("tiny", files={"file:1/model.onnx": b"x"}, config="{}"), 501, "is not supported")
    client.close()


def test_without_explicit_control_models_stay(server, triton):
    _, client = triton
    for call in (client.load_model, client.unload_model):
        fails(lambda: call("tiny"), 503, "explicit model load / unload is not allowed if polling is enabled")
    assert client.is_model_ready("tiny")


def test_memory_of_an_unloaded_model_goes_back(serve, tmp_path):
    import onnx
    from models import model
    from onnx import TensorProto as T, helper as h
    rng = np.random.default_rng(1)
    wide = model([h.make_node("MatMul", ["x", "w"], ["y"])], [("x", T.FLOAT, ["n", 2500])], [("y", T.FLOAT, ["n", 2500])],
                 [("w", rng.standard_normal((2500, 2500)).astype(np.float32))])
    onnx.save(wide, tmp_path / "wide.onnx")
    server = serve(f"wide={tmp_path / 'wide.onnx'}", "--model-control", "explicit")
    resident = lambda: int(next(x for x in server.get("/metrics").body.decode().splitlines() if x.startswith("process_resident")).split()[1])
    ready = resident()
    for _ in range(3):
        assert server.post("/v2/repository/models/wide/unload").status == 200
        until(lambda: server.post("/v2/repository/index").json()[0]["state"] == "UNAVAILABLE")
        until(lambda: resident() < ready - 18e6)
        assert server.post("/v2/repository/models/wide/load").status == 200
    until(lambda: resident() < ready + 8e6)


def test_a_model_that_is_loaded_again_under_load_loses_no_request(explicit):
    """Reloads answer every request; between unload and load only 404 in Triton's words is seen."""
    import tritonclient.http as http
    server, _ = explicit
    stop, seen, errors = [], [0] * 3, []

    def ask(k):
        from tritonclient.utils import InferenceServerException
        client = http.InferenceServerClient(f"{server.host}:{server.port}")
        while not stop:
            try:
                assert np.allclose(client.infer("tiny", x_input(http)).as_numpy("y"), [Y], rtol=1e-6)
                seen[k] += 1
            except InferenceServerException as e:
                errors.append(e.message())
            except Exception as e:
                errors.append(repr(e))
                return
        client.close()
    threads = [threading.Thread(target=ask, args=(k,)) for k in range(3)]
    for t in threads:
        t.start()
    try:
        for _ in range(40):
            assert server.post("/v2/repository/models/tiny/load").status == 200
        until(lambda: errors or all(n > 20 for n in seen))
        assert errors == []
        for _ in range(10):
            before = len(errors)
            assert server.post("/v2/repository/models/tiny/unload").status == 200
            until(lambda: len(errors) > before)
            assert server.post("/v2/repository/models/tiny/load").status == 200
    finally:
        stop.append(1)
        for t in threads:
            t.join()
    assert set(errors) <= {"Request for unknown model: 'tiny' has no available versions"}, set(errors)
    until(lambda: server.log().count(": unloaded") == 50)


def test_aio_loads_and_unloads(explicit):
    import tritonclient.http.aio as aio
    server, _ = explicit

    async def go():
        async with aio.InferenceServerClient(f"{server.host}:{server.port}") as client:
            await client.unload_model("tiny")
            assert not await client.is_model_ready("tiny")
            await client.load_model("tiny")
            assert await client.is_model_ready("tiny")
    asyncio.run(go())


def test_grpc_loads_and_unloads(explicit):
    server, _ = explicit
    script = pathlib.Path(__file__).with_name("grpc_triton.py")
    done = subprocess.run([sys.executable, script, "load_and_unload_models", f"{server.host}:{server.port}"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-4000:]


def test_only_a_key_for_every_model_loads_and_unloads(serve, zoo, tmp_path):
    import grpc
    from conftest import run_proa
    keys = [run_proa("key", "--name", name, *models) for name, models in (("ops", []), ("team", ["ti*"]))]
    (tmp_path / "keys").write_text("".join(k.stdout for k in keys))
    every, tiny = ({"authorization": "Bearer " + k.stderr.strip()} for k in keys)
    s = serve(f"tiny={zoo['tiny']}", f"pair={zoo['pair']}", "--model-control", "explicit", "--api-keys", tmp_path / "keys")
    with grpc.insecure_channel(f"{s.host}:{s.port}") as channel:
        def call(action, headers):
            method = channel.unary_unary(f"/inference.GRPCInferenceService/RepositoryModel{action}")
            return method(b"\x12\x04tiny", metadata=tuple(headers.items()), timeout=20)
        for action in ("load", "unload"):
            assert s.post(f"/v2/repository/models/tiny/{action}").status == 401
            assert s.post(f"/v2/repository/models/tiny/{action}", headers=tiny).status == 403
            with pytest.raises(grpc.RpcError) as e:
                call(action.title(), tiny)
            assert e.value.code() == grpc.StatusCode.PERMISSION_DENIED
            assert s.post(f"/v2/repository/models/tiny/{action}", headers=every).status == 200
        assert [m["name"] for m in s.post("/v2/repository/index", headers=tiny).json()] == ["tiny"]
        assert call("Load", every) == b"" and s.get("/v2/models/tiny/ready", headers=tiny).status == 200
