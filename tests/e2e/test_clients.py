"""test_clients.py - the users' own clients, unmodified: tritonclient, the KServe SDK, requests, curl."""
import asyncio, json, os, shutil, subprocess
import numpy as np
import pytest
from models import X, Y

WANT = np.array([Y], np.float32)


def close(array):
    assert np.allclose(np.asarray(array, np.float32).reshape(WANT.shape), WANT, rtol=1e-6), array


# ---- tritonclient.http -------------------------------------------------------------------------------------------

@pytest.fixture
def triton(server):
    import tritonclient.http as http
    client = http.InferenceServerClient(f"{server.host}:{server.port}")
    yield http, client
    client.close()


def triton_input(http, binary, name="x", values=(X,), datatype="FP32"):
    array = np.array(values, {"FP32": np.float32, "INT64": np.int64, "BYTES": object}[datatype])
    i = http.InferInput(name, list(array.shape), datatype)
    i.set_data_from_numpy(array, binary_data=binary)
    return i


def test_triton_health_and_metadata(triton):
    _, client = triton
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("tiny") and client.is_model_ready("tiny", "1") and not client.is_model_ready("none")
    assert client.get_server_metadata()["name"]
    meta = client.get_model_metadata("tiny")
    assert meta["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}] and meta["versions"] == ["1"]


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False, None])
def test_triton_infer(triton, binary_in, binary_out):
    http, client = triton
    outputs = None if binary_out is None else [http.InferRequestedOutput("y", binary_data=binary_out)]
    result = client.infer("tiny", [triton_input(http, binary_in)], outputs=outputs, request_id="r1")
    close(result.as_numpy("y"))
    assert result.get_response()["id"] == "r1"


@pytest.mark.parametrize("datatype", ["FP32", "FP64"])
@pytest.mark.parametrize("binary_in", [True, False])
def test_triton_reads_and_writes_nan_and_infinity_as_json(triton, datatype, binary_in):
    http, client = triton
    values = np.array([[np.nan, np.inf, -np.inf, 0.5]], {"FP32": np.float32, "FP64": np.float64}[datatype])
    i = http.InferInput("x", [1, 4], datatype)
    i.set_data_from_numpy(values, binary_data=binary_in)
    result = client.infer(f"id_{datatype.lower()}", [i], outputs=[http.InferRequestedOutput("y", binary_data=False)])
    assert "data" in result.get_response()["outputs"][0]
    np.testing.assert_array_equal(result.as_numpy("y"), values)


def test_triton_infer_with_everything(triton):
    http, client = triton
    result = client.infer("tiny", [triton_input(http, True)], model_version="1", request_id="r1", sequence_id=7, sequence_start=True,
                          sequence_end=True, priority=2, timeout=5_000_000, headers={"X-A": "b"}, query_params={"q": 1}, parameters={"p": "v"})
    close(result.as_numpy("y"))


def test_triton_mixed_inputs_and_strings(triton):
    http, client = triton
    inputs = [triton_input(http, True, "a", [[1, 2, 3]]), triton_input(http, False, "b", [[1, 2, 3]]), triton_input(http, True, "i", [4], "INT64")]
    result = client.infer("pair", inputs)
    assert result.as_numpy("sum").tolist() == [[2, 4, 6]] and result.as_numpy("count").tolist() == [8]
    for binary in (True, False):
        words = [["plain", "grün", ""]]
        got = client.infer("id_bytes", [triton_input(http, binary, values=words, datatype="BYTES")]).as_numpy("y")
        assert [[w.decode() for w in row] for row in got] == words


def test_triton_fp16(triton):
    http, client = triton
    x = np.array([[1.5, -2.25]], np.float16)
    i = http.InferInput("x", [1, 2], "FP16")
    i.set_data_from_numpy(x)
    got = client.infer("id_fp16", [i]).as_numpy("y")
    assert got.dtype == np.float16 and (got == x).all()


def test_triton_classification(triton):
    http, client = triton
    for binary in (True, False):
        wanted = [http.InferRequestedOutput("y", binary_data=binary, class_count=2)]
        got = client.infer("tiny", [triton_input(http, True)], outputs=wanted).as_numpy("y")
        assert [v.decode() if isinstance(v, bytes) else v for v in got] == ["1.008594:2", "0.267187:1"]


def test_triton_system_shared_memory(triton):
    import tritonclient.utils.shared_memory as shm
    from tritonclient.utils import InferenceServerException
    http, client = triton
    key = f"/proa-http-{os.getpid()}"
    region = shm.create_shared_memory_region("h", key, 256)
    try:
        client.register_system_shared_memory("h", key, 256)
        assert client.get_system_shared_memory_status("h") == [{"name": "h", "key": key, "offset": 0, "byte_size": 256}]
        shm.set_shared_memory_region(region, [np.array([X], np.float32)], offset=32)
        i = http.InferInput("x", [1, 4], "FP32")
        i.set_shared_memory("h", 16, offset=32)
        close(client.infer("tiny", [i]).as_numpy("y"))
        o = http.InferRequestedOutput("y")
        o.set_shared_memory("h", 16, offset=64)
        result = client.infer("tiny", [i], outputs=[o])
        assert result.get_output("y")["parameters"] == {"shared_memory_region": "h", "shared_memory_offset": 64, "shared_memory_byte_size": 16}
        close(shm.get_contents_as_numpy(region, np.float32, [1, 4], offset=64))
        with pytest.raises(InferenceServerException, match="already in manager"):
            client.register_system_shared_memory("h", key, 256)
        with pytest.raises(InferenceServerException, match="Unable to open shared memory region: '/proa-none'"):
            client.register_system_shared_memory("n", "/proa-none", 256)
        client.unregister_system_shared_memory("h")
        client.unregister_system_shared_memory()
        with pytest.raises(InferenceServerException, match="Unable to find shared memory region: 'h'"):
            client.infer("tiny", [i])
    finally:
        shm.destroy_shared_memory_region(region)


def test_triton_errors_carry_status_and_text(triton):
    http, client = triton
    from tritonclient.utils import InferenceServerException
    with pytest.raises(InferenceServerException, match="Model with name none does not exist") as e:
        client.infer("none", [triton_input(http, True)])
    assert e.value.status() == "404"
    with pytest.raises(InferenceServerException, match="x") as e:
        client.infer("tiny", [triton_input(http, True, values=[[1, 2, 3]])])
    assert e.value.status() == "400"


def test_triton_async_infer(triton):
    http, client = triton
    for call in [client.async_infer("tiny", [triton_input(http, True)]) for _ in range(20)]:
        close(call.get_result().as_numpy("y"))


def test_triton_aio(server):
    import tritonclient.http.aio as http

    async def go():
        async with http.InferenceServerClient(f"{server.host}:{server.port}") as client:
            assert await client.is_server_ready() and await client.is_model_ready("tiny")
            for binary in (True, False):
                calls = [client.infer("tiny", [triton_input(http, binary)]) for _ in range(10)]
                for result in await asyncio.gather(*calls):
                    close(result.as_numpy("y"))
    asyncio.run(go())


# ---- KServe's InferenceRESTClient --------------------------------------------------------------------------------

def kserve_client(protocol):
    from kserve import InferenceRESTClient, RESTConfig
    return InferenceRESTClient(RESTConfig(protocol=protocol))


@pytest.mark.parametrize("binary", [True, False])
def test_kserve_v2(server, binary):
    from kserve import InferInput, InferRequest

    async def go():
        client = kserve_client("v2")
        assert await client.is_server_live(server.url) and await client.is_server_ready(server.url)
        assert await client.is_model_ready(server.url, "tiny")
        i = InferInput("x", [1, 4], "FP32")
        i.set_data_from_numpy(np.array([X], np.float32), binary_data=binary)
        result = await client.infer(server.url, InferRequest(model_name="tiny", infer_inputs=[i], request_id="q1"), model_name="tiny")
        close(result.outputs[0].as_numpy())
        assert result.id == "q1" and result.model_name == "tiny"
        await client.close()
    asyncio.run(go())


def test_kserve_v2_dictionary_and_binary_output(server):
    from kserve import InferInput, InferRequest
    from kserve.protocol.infer_type import RequestedOutput

    async def go():
        client = kserve_client("v2")
        result = await client.infer(server.url, {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [X]}]}, model_name="tiny")
        close(result.outputs[0].as_numpy())
        i = InferInput("x", [1, 4], "FP32")
        i.set_data_from_numpy(np.array([X], np.float32), binary_data=True)
        wanted = RequestedOutput("y", parameters={"binary_data": True})
        result = await client.infer(server.url, InferRequest(model_name="tiny", infer_inputs=[i], request_outputs=[wanted]), model_name="tiny")
        close(result.outputs[0].as_numpy())
        await client.close()
    asyncio.run(go())


def test_kserve_v1(server):
    async def go():
        client = kserve_client("v1")
        assert await client.is_server_live(server.url)
        assert await client.is_model_ready(server.url, "tiny")
        result = await client.infer(server.url, {"instances": [X, X]}, model_name="tiny")
        assert np.allclose(result["predictions"], [Y, Y], rtol=1e-6)
        await client.close()
    asyncio.run(go())


@pytest.mark.parametrize("protocol", ["v1", "v2"])
def test_kserve_errors_carry_our_text(server, protocol):
    import httpx

    async def go():
        client = kserve_client(protocol)
        with pytest.raises(httpx.HTTPStatusError, match="Model with name none does not exist"):
            await client.infer(server.url, {"instances": [X]}, model_name="none")
        with pytest.raises(httpx.HTTPStatusError, match="400"):
            await client.infer(server.url, {"instances": [[1]], "inputs": []}, model_name="tiny")
        await client.close()
    asyncio.run(go())


# ---- requests and curl -------------------------------------------------------------------------------------------

def test_requests(server):
    import requests
    with requests.Session() as session:
        for _ in range(3):
            r = session.post(f"{server.url}/v2/models/tiny/infer", json={"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": X}]})
            assert r.status_code == 200 and r.headers["content-type"].startswith("application/json")
            close(r.json()["outputs"][0]["data"])

        def parts():                                        # a generator makes requests send chunks
            text = json.dumps({"instances": [X]}).encode()
            yield text[:10]
            yield text[10:]
        close(session.post(f"{server.url}/v1/models/tiny:predict", data=parts()).json()["predictions"])
        r = session.get(f"{server.url}/v2/models/none")
        assert r.status_code == 404 and r.json()["error"]


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_curl(server, tmp_path):
    def curl(*args):
        return subprocess.run(["curl", "-sS", "--max-time", "60", *args], capture_output=True, text=True, check=True).stdout
    body = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": X}]})
    for more in ([], ["-H", "Expect: 100-continue"], ["-H", "Transfer-Encoding: chunked"], ["--http1.0"], ["-H", "Content-Type: application/json"]):
        close(json.loads(curl(f"{server.url}/v2/models/tiny/infer", "-d", body, *more))["outputs"][0]["data"])
    large = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [5000, 4], "data": X * 5000}]}
    (tmp_path / "large.json").write_text(json.dumps(large))         # curl asks with Expect over 1 MB, and chunks from stdin
    assert json.loads(curl(f"{server.url}/v2/models/tiny/infer", "--data-binary", f"@{tmp_path / 'large.json'}"))["outputs"][0]["shape"] == [5000, 4]
    assert json.loads(curl(f"{server.url}/v2/models/tiny/infer", "-T", str(tmp_path / "large.json"), "-X", "POST"))["outputs"][0]["shape"] == [5000, 4]
    two = curl(f"{server.url}/v2/health/live", f"{server.url}/v2/health/ready")
    assert two == '{"live":true}{"ready":true}'
    assert "404" in curl("-o", "/dev/null", "-w", "%{http_code}", f"{server.url}/v2/models/none")
