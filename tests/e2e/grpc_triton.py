"""grpc_triton.py NAME ADDRESS - one scenario with tritonclient.grpc, in a process of its own.

tritonclient.grpc and kserve register the same protobuf names, so the two cannot be imported into one process: test_grpc.py
runs each function below as a program and expects status 0."""
import asyncio, os, queue, sys, time
import numpy as np
import tritonclient.grpc as grpc_client
import tritonclient.grpc.aio as aio
import tritonclient.utils.shared_memory as shm
from tritonclient.utils import InferenceServerException, serialize_byte_tensor
from models import TYPES, X, Y

WANT = np.array([Y], np.float32)


def make_input(values, datatype="FP32", name="x"):
    array = np.array(values, TYPES[datatype][1])
    i = grpc_client.InferInput(name, list(array.shape), datatype)
    i.set_data_from_numpy(array)
    return i


def close(result, want=WANT):
    assert np.allclose(result.as_numpy("y"), want, rtol=1e-6), result.get_response()


def fails(call, status, text):
    try:
        call()
    except InferenceServerException as e:
        assert e.status() == f"StatusCode.{status}" and text in e.message(), (e.status(), e.message())
    else:
        raise AssertionError(f"expected {status}, got an answer")


def health_and_metadata(client, _):
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("tiny") and client.is_model_ready("tiny", "1")
    assert not client.is_model_ready("none") and not client.is_model_ready("tiny", "7")
    assert client.get_server_metadata().name == "proa"
    meta = client.get_model_metadata("pair", as_json=True)
    assert meta["versions"] == ["1"] and [i["name"] for i in meta["inputs"]] == ["a", "b", "i"]
    assert meta["inputs"][0] == {"name": "a", "datatype": "FP32", "shape": ["-1", "3"]}
    fails(lambda: client.get_model_metadata("none"), "NOT_FOUND", "Model with name none does not exist.")
    fails(lambda: client.get_model_metadata("tiny", "7"), "NOT_FOUND", "Model with name tiny and version 7 does not exist.")
    config = client.get_model_config("tiny").config
    assert config.name == "tiny" and config.backend == "onnxruntime" and list(config.input[0].dims) == [-1, 4]


def infer(client, _):
    result = client.infer("tiny", [make_input([X])], request_id="r1")
    close(result)
    response = result.get_response()
    assert response.id == "r1" and response.model_name == "tiny" and response.model_version == "1"
    assert len(response.raw_output_contents) == 1 and not response.outputs[0].HasField("contents")
    close(client.infer("tiny", [make_input([X])], outputs=[grpc_client.InferRequestedOutput("y")]))


def infer_with_everything(client, _):
    close(client.infer("tiny", [make_input([X])], model_version="1", request_id="r1", sequence_id="s", sequence_start=True, sequence_end=True,
                       priority=2, timeout=60_000_000, client_timeout=60, headers={"x-a": "b"}, parameters={"p": "v", "d": 0.5, "n": 3, "t": True}))


def every_datatype(client, _):
    values = {"BOOL": [[True, False]], "UINT8": [[0, 255]], "UINT16": [[0, 65535]], "UINT32": [[0, 2**32 - 1]], "UINT64": [[0, 2**64 - 1]],
              "INT8": [[-128, 127]], "INT16": [[-2**15, 2**15 - 1]], "INT32": [[-2**31, 2**31 - 1]], "INT64": [[-2**63, 2**63 - 1]],
              "FP16": [[1.5, -2.25]], "FP32": [[1.5, float("inf")]], "FP64": [[1e300, -0.0]], "BYTES": [[b"", b"gr\xc3\xbcn\x00\xff"]]}
    assert set(values) == set(TYPES)
    for datatype, v in values.items():
        want = np.array(v, TYPES[datatype][1])
        got = client.infer(f"id_{datatype.lower()}", [make_input(v, datatype)]).as_numpy("y")
        assert got.dtype == want.dtype and got.tobytes() == want.tobytes() if datatype != "BYTES" else got.tolist() == want.tolist(), (datatype, got)


def several_inputs_and_outputs(client, _):
    inputs = [make_input([4], "INT64", "i"), make_input([[1, 2, 3]], name="b"), make_input([[1, 2, 3]], name="a")]
    wanted = [grpc_client.InferRequestedOutput(n) for n in ("count", "sum")]
    result = client.infer("pair", inputs, outputs=wanted)
    assert [o.name for o in result.get_response().outputs] == ["count", "sum"]
    assert result.as_numpy("sum").tolist() == [[2, 4, 6]] and result.as_numpy("count").tolist() == [8]


def large_tensors(client, _):
    image = np.random.default_rng(1).standard_normal((8, 3, 224, 224)).astype(np.float32)
    i = grpc_client.InferInput("x", list(image.shape), "FP32")
    i.set_data_from_numpy(image)
    assert np.allclose(client.infer("image", [i]).as_numpy("y")[:, :, 0, 0], image.mean(axis=(2, 3)), atol=1e-4)
    wide = np.arange(2_000_000, dtype=np.float32).reshape(2, -1)
    i = grpc_client.InferInput("x", list(wide.shape), "FP32")
    i.set_data_from_numpy(wide)
    for algorithm in (None, "gzip"):
        assert (client.infer("id_fp32", [i], compression_algorithm=algorithm).as_numpy("y") == wide).all()


def compression(client, _):
    for algorithm in ("gzip", "deflate"):
        close(client.infer("tiny", [make_input([X])], compression_algorithm=algorithm))
        close(client.infer("tiny", [make_input([X] * 500)], compression_algorithm=algorithm), np.repeat(WANT, 500, 0))


def errors_have_status_and_text(client, _):
    fails(lambda: client.infer("none", [make_input([X])]), "NOT_FOUND", "Model with name none does not exist.")
    fails(lambda: client.infer("tiny", [make_input([X], "FP64")]), "INVALID_ARGUMENT", "input 'x': datatype: expected FP32, got 'FP64'")
    fails(lambda: client.infer("tiny", [make_input([X[:3]])]), "INVALID_ARGUMENT", "input 'x': shape: expected [-1,4], got '[1,3]'")
    fails(lambda: client.infer("tiny", [make_input([X], name="z")]), "INVALID_ARGUMENT", "inputs[0]: name: expected an input of the model ('x')")
    fails(lambda: client.infer("tiny", []), "INVALID_ARGUMENT", "'x' is missing")
    fails(lambda: client.infer("tiny", [make_input([X])], outputs=[grpc_client.InferRequestedOutput("z")]), "INVALID_ARGUMENT", "unexpected inference output 'z' for model 'tiny'")


def deadlines(client, _):
    slow = make_input(np.ones((384, 384)))
    fails(lambda: client.infer("slow", [slow], client_timeout=0.005), "DEADLINE_EXCEEDED", "")
    assert client.infer("slow", [slow], client_timeout=60).as_numpy("y").shape == (1, 1)


def asynchronous(client, _):
    answers = queue.Queue()
    for _ in range(50):
        client.async_infer("tiny", [make_input([X])], lambda result, error: answers.put((result, error)))
    for _ in range(50):
        result, error = answers.get(timeout=60)
        assert error is None
        close(result)
    for _ in range(20):                                    # unless it is answered before we come to cancel it
        call = client.async_infer("slow", [make_input(np.ones((384, 384)))], lambda result, error: answers.put((result, error)))
        call.cancel()
        result, error = answers.get(timeout=60)
        if error:
            break
    assert result is None and "cancel" in str(error).lower()


def stream(client, _):
    answers = queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)))
    for k in range(40):
        client.async_stream_infer("none" if k % 5 == 3 else "tiny", [make_input([X])], request_id=str(k), enable_empty_final_response=k % 2 == 0)
    for k in range(40):
        result, error = answers.get(timeout=60)
        if k % 5 == 3:
            assert result is None and "Model with name none does not exist." in str(error)
            continue
        assert error is None and result.get_response().id == str(k)
        assert result.get_response().parameters["triton_final_response"].bool_param
        close(result)
    client.stop_stream()


def stream_that_ends_with_an_error(client, _):
    answers = queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)), headers={"triton_grpc_error": "true"})
    client.async_stream_infer("none", [make_input([X])])
    result, error = answers.get(timeout=60)
    assert result is None and error.status() == "StatusCode.NOT_FOUND"
    client.stop_stream()


def stream_of_large_tensors(client, _):
    answers = queue.Queue()
    wide = np.arange(300_000, dtype=np.float32).reshape(1, -1)
    client.start_stream(lambda result, error: answers.put((result, error)))
    for k in range(20):
        i = grpc_client.InferInput("x", list(wide.shape), "FP32")
        i.set_data_from_numpy(wide + k)
        client.async_stream_infer("id_fp32", [i])
    for k in range(20):
        result, error = answers.get(timeout=60)
        assert error is None and (result.as_numpy("y") == wide + k).all()
    client.stop_stream()


def repository_statistics_and_settings(client, _):
    index = {m.name: m for m in client.get_model_repository_index().models}
    assert index["tiny"].state == "READY" and index["tiny"].version == "1"
    before = client.get_inference_statistics("tiny").model_stats[0]
    close(client.infer("tiny", [make_input([X])]))
    fails(lambda: client.infer("tiny", [make_input([X[:3]])]), "INVALID_ARGUMENT", "")
    after = client.get_inference_statistics("tiny").model_stats[0]
    assert after.inference_count == before.inference_count + 1 and after.execution_count == before.execution_count + 1
    assert after.inference_stats.success.count == before.inference_stats.success.count + 1
    assert after.inference_stats.fail.count == before.inference_stats.fail.count + 1
    assert after.inference_stats.success.ns >= after.inference_stats.compute_infer.ns > 0
    assert abs(after.last_inference / 1000 - time.time()) < 60
    assert len(client.get_inference_statistics().model_stats) == len(index)
    fails(lambda: client.get_inference_statistics("none"), "NOT_FOUND", "does not exist")
    fails(lambda: client.load_model("tiny"), "UNAVAILABLE", "explicit model load / unload is not allowed if polling is enabled")
    fails(lambda: client.unload_model("tiny"), "UNAVAILABLE", "explicit model load / unload is not allowed if polling is enabled")
    rate = lambda reply: reply["settings"]["trace_rate"]["value"]
    assert client.get_trace_settings(as_json=True)["settings"]["trace_level"]["value"] == ["OFF"]
    assert rate(client.update_trace_settings("tiny", {"trace_rate": "7"}, as_json=True)) == ["7"]
    assert rate(client.get_trace_settings("tiny", as_json=True)) == ["7"] and rate(client.get_trace_settings(as_json=True)) == ["1000"]
    assert rate(client.update_trace_settings("tiny", {"trace_rate": None}, as_json=True)) == ["1000"]
    fails(lambda: client.update_trace_settings(settings={"trace_rate": "x"}), "INVALID_ARGUMENT", "Unable to parse 'trace_rate', got: x")
    fails(lambda: client.update_trace_settings(settings={"trace_file": "/tmp/x"}), "UNIMPLEMENTED", "trace file location can not be updated")
    settings = client.get_log_settings(as_json=True)["settings"]
    assert settings["log_error"] == {"bool_param": True} and settings["log_format"] == {"string_param": "default"}
    assert client.update_log_settings({"log_verbose_level": 1}, as_json=True)["settings"]["log_verbose_level"] == {"uint32_param": 1}
    changed = client.update_log_settings({"log_verbose_level": 0, "log_info": True}, as_json=True)["settings"]
    assert changed["log_verbose_level"] == {"uint32_param": 0} and changed["log_info"] == {"bool_param": True}
    fails(lambda: client.update_log_settings({"log_file": "/tmp/x"}), "UNIMPLEMENTED", "log file location can not be updated")
    fails(lambda: client.update_log_settings({"log_nothing": True}), "INVALID_ARGUMENT", "unknown setting 'log_nothing'")


def load_and_unload_models(client, *_):
    """Of a server of its own: the others share theirs."""
    state = lambda: next((m.state, m.reason) for m in client.get_model_repository_index().models if m.name == "tiny")
    client.unload_model("tiny", unload_dependents=False)
    assert not client.is_model_ready("tiny")
    fails(lambda: client.infer("tiny", [make_input([X])]), "NOT_FOUND", "Request for unknown model: 'tiny' has no available versions")
    end = time.monotonic() + 60
    while state() != ("UNAVAILABLE", "unloaded") and time.monotonic() < end:
        time.sleep(0.02)
    assert state() == ("UNAVAILABLE", "unloaded")
    client.load_model("tiny")
    assert client.is_model_ready("tiny") and state() == ("READY", "")
    close(client.infer("tiny", [make_input([X])]))
    fails(lambda: client.load_model("none"), "NOT_FOUND", "failed to load 'none', failed to poll from model repository")
    fails(lambda: client.load_model("tiny", config="{"), "INVALID_ARGUMENT", "failed to load 'tiny': config: ")
    fails(lambda: client.load_model("tiny", config="{}", files={"file:1/model.onnx": b"x"}), "UNIMPLEMENTED", "'file:1/model.onnx' is not supported")


def classification(client, _):
    for count, want in ((2, ["1.008594:2", "0.267187:1"]), (9, ["1.008594:2", "0.267187:1", "-0.789062:3", "-1.764063:0"])):
        got = client.infer("tiny", [make_input([X])], outputs=[grpc_client.InferRequestedOutput("y", class_count=count)]).as_numpy("y")
        assert [v.decode() for v in got] == want, got
    got = client.infer("tiny", [make_input([X, X])], outputs=[grpc_client.InferRequestedOutput("y", class_count=1)]).as_numpy("y")
    assert got.tolist() == [[b"1.008594:2"]] * 2


def system_shared_memory(client, _):
    key = f"/proa-grpc-{os.getpid()}"
    region = shm.create_shared_memory_region("r", key, 4096)
    try:
        client.unregister_system_shared_memory()
        client.register_system_shared_memory("r", key, 4096)
        status = client.get_system_shared_memory_status().regions["r"]
        assert status.key == key and status.byte_size == 4096
        fails(lambda: client.register_system_shared_memory("r", key, 4096), "ABORTED", "already in manager")
        fails(lambda: client.register_system_shared_memory("s", key, 1 << 30), "INVALID_ARGUMENT", "Unable to open shared memory region")
        fails(lambda: client.register_system_shared_memory("s", "/proa-none", 64), "NOT_FOUND", "Unable to open shared memory region: '/proa-none'")
        shm.set_shared_memory_region(region, [np.array([X], np.float32)])
        i = grpc_client.InferInput("x", [1, 4], "FP32")
        i.set_shared_memory("r", 16)
        close(client.infer("tiny", [i]))
        o = grpc_client.InferRequestedOutput("y")
        o.set_shared_memory("r", 16, offset=64)
        result = client.infer("tiny", [i], outputs=[o])
        assert np.allclose(shm.get_contents_as_numpy(region, np.float32, [1, 4], offset=64), WANT, rtol=1e-6)
        assert result.get_output("y").parameters["shared_memory_byte_size"].int64_param == 16
        words = np.array([["plain", "gr\u00fcn"]], object)
        data = serialize_byte_tensor(words)
        shm.set_shared_memory_region(region, [data], offset=128)
        i = grpc_client.InferInput("x", [1, 2], "BYTES")
        i.set_shared_memory("r", len(data.item()), offset=128)
        o = grpc_client.InferRequestedOutput("y")
        o.set_shared_memory("r", 256, offset=512)
        client.infer("id_bytes", [i], outputs=[o])
        got = shm.get_contents_as_numpy(region, np.object_, [1, 2], offset=512)
        assert [[w.decode() for w in row] for row in got] == words.tolist()
        i = grpc_client.InferInput("x", [1, 4], "FP32")
        i.set_shared_memory("r", 16, offset=4090)
        fails(lambda: client.infer("tiny", [i]), "INVALID_ARGUMENT", "shared memory region 'r': expected at most 4096 bytes")
        with open(f"/dev/shm{key}", "r+b") as f:          # its owner cuts it under us
            f.truncate(8)
        i = grpc_client.InferInput("x", [1, 4], "FP32")
        i.set_shared_memory("r", 16)
        fails(lambda: client.infer("tiny", [i]), "INVALID_ARGUMENT", "the object has been cut to 8 bytes")
        client.unregister_system_shared_memory("r")
        fails(lambda: client.infer("tiny", [i]), "NOT_FOUND", "Unable to find shared memory region: 'r'")
        assert not client.get_cuda_shared_memory_status().regions
        client.unregister_cuda_shared_memory()
    finally:
        shm.destroy_shared_memory_region(region)


def large_tensors_in_shared_memory(client, _):
    key = f"/proa-grpc-large-{os.getpid()}"
    wide = np.arange(3_000_000, dtype=np.float32).reshape(1, -1)
    region = shm.create_shared_memory_region("large", key, 2 * wide.nbytes)
    try:
        client.register_system_shared_memory("large", key, 2 * wide.nbytes)
        shm.set_shared_memory_region(region, [wide])
        i = grpc_client.InferInput("x", list(wide.shape), "FP32")
        i.set_shared_memory("large", wide.nbytes)
        o = grpc_client.InferRequestedOutput("y")
        o.set_shared_memory("large", wide.nbytes, offset=wide.nbytes)
        for _ in range(3):
            client.infer("id_fp32", [i], outputs=[o])
        assert (shm.get_contents_as_numpy(region, np.float32, wide.shape, offset=wide.nbytes) == wide).all()
        client.unregister_system_shared_memory("large")
    finally:
        shm.destroy_shared_memory_region(region)


def keepalive(_, address):
    """A ping that is not answered within a second ends the connection: a server that answers none never gets through."""
    for left in reversed(range(20)):
        try:
            return pinged(address)
        except InferenceServerException as e:              # this machine may have held up the one or the other of us
            if not left or e.status() != "StatusCode.UNAVAILABLE":
                raise


def pinged(address):
    options = grpc_client.KeepAliveOptions(keepalive_time_ms=200, keepalive_timeout_ms=1000, keepalive_permit_without_calls=True,
                                           http2_max_pings_without_data=0)
    client = grpc_client.InferenceServerClient(address, keepalive_options=options)
    for _ in range(4):
        assert client.is_server_live()
        time.sleep(0.5)
    client.close()


def aio_client(_, address):
    async def go():
        async with aio.InferenceServerClient(address) as client:
            assert await client.is_server_live() and await client.is_model_ready("tiny")
            for result in await asyncio.gather(*(client.infer("tiny", [make_input([X])], request_id=str(k)) for k in range(100))):
                close(result)

            async def ask():
                for k in range(10):
                    yield {"model_name": "tiny", "inputs": [make_input([X])], "request_id": str(k)}
            ids = []
            async for result, error in client.stream_infer(ask()):
                assert error is None
                close(result)
                ids.append(result.get_response().id)
            assert ids == [str(k) for k in range(10)]
            try:
                await client.infer("none", [make_input([X])])
                raise AssertionError("expected NOT_FOUND")
            except InferenceServerException as e:
                assert e.status() == "StatusCode.NOT_FOUND"
    asyncio.run(go())


SCENARIOS = [f for n, f in list(globals().items()) if getattr(f, "__module__", "") == __name__ and f.__code__.co_argcount == 2
             and n not in ("fails", "close")]

if __name__ == "__main__":
    name, address = sys.argv[1:]
    client = grpc_client.InferenceServerClient(address)
    globals()[name](client, address)
    client.close()
