"""test_triton.py - Triton's extensions over REST, as unmodified tritonclient.http and http.aio call them, and curl."""
import asyncio, json, shutil, subprocess, time
import numpy as np
import pytest
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
    written = lambda: len(server.log().splitlines())
    client.is_server_live()
    time.sleep(0.3)
    loud = written()
    assert client.update_log_settings({"log_info": False, "log_verbose_level": 2}) == {**first, "log_info": False, "log_verbose_level": 2}
    assert client.update_log_settings({"log_verbose_level": 0})["log_verbose_level"] == 0
    time.sleep(0.3)
    quiet = written()
    for _ in range(5):
        client.is_server_live()
    time.sleep(0.3)
    assert loud > 1 and written() == quiet
    assert client.update_log_settings({"log_info": True, "log_format": "ISO8601"})["log_format"] == "ISO8601"
    client.is_server_live()
    time.sleep(0.3)
    assert written() > quiet
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
    done = subprocess.run(["curl", "-s", "-i", "-d", json.dumps(body), f"{server.url}{path}"], capture_output=True, timeout=30, check=True)
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
    status, _, body = curl(server, "/v2/models/tiny/generate", {"x": X[:3]})
    assert (status, json.loads(body)["error"]) == (400, "The schema can not convert input 'x' to tensor with proper shape")
    status, head, body = curl(server, "/v2/models/none/generate_stream", {"x": X})
    assert status == 404 and "application/json" in head and "does not exist" in body
