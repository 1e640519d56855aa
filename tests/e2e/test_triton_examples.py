"""test_triton_examples.py - what each of Triton's example clients does, done here by unmodified tritonclient against models of the same form.

Each test names the examples (src/python/examples of Triton's client repository) whose steps it takes, with their options:
calls, headers, timeouts, compression, order. docs/triton.md has the table of them all.
"""
import asyncio, base64, queue, uuid
from functools import partial
import numpy as np
import onnx
import pytest
from conftest import until
from models import model
from onnx import TensorProto as T, helper as h
from test_pictures import mean_colour, photo

pytestmark = pytest.mark.apart   # tritonclient.grpc is used in the tests themselves

VALUES = [11, 7, 5, 3, 2, 0, 1]
A, B = np.arange(16, dtype=np.int32).reshape(1, 16), np.ones((1, 16), np.int32)


# ---- the models of the examples ----------------------------------------------------------------------------------

def simple(t=T.INT32):
    """OUTPUT0 = INPUT0 + INPUT1, OUTPUT1 = INPUT0 - INPUT1."""
    return model([h.make_node("Add", ["INPUT0", "INPUT1"], ["OUTPUT0"]), h.make_node("Sub", ["INPUT0", "INPUT1"], ["OUTPUT1"])],
                 [(n, t, ["n", 16]) for n in ("INPUT0", "INPUT1")], [(n, t, ["n", 16]) for n in ("OUTPUT0", "OUTPUT1")], opset=14)


def simple_string():
    """The same of numbers written as texts."""
    number = [h.make_node("Cast", [n], [n + "i"], to=T.INT32) for n in ("INPUT0", "INPUT1")]
    sums = [h.make_node(op, ["INPUT0i", "INPUT1i"], [o + "i"]) for op, o in (("Add", "OUTPUT0"), ("Sub", "OUTPUT1"))]
    texts = [h.make_node("Cast", [o + "i"], [o], to=T.STRING) for o in ("OUTPUT0", "OUTPUT1")]
    return model(number + sums + texts, [(n, T.STRING, ["n", 16]) for n in ("INPUT0", "INPUT1")], [(n, T.STRING, ["n", 16]) for n in ("OUTPUT0", "OUTPUT1")])


def sequence(corrid=None):
    """OUTPUT = INPUT + START, and, where the model asks for it, the correlation id with the last request."""
    ins = [(n, T.INT32, ["n", 1]) for n in ("INPUT", "START", "READY")]
    nodes = [h.make_node("Add", ["INPUT", "START"], ["sum"]), h.make_node("Mul", ["READY", "zero"], ["none"])]
    if corrid:
        ins += [("END", T.INT32, ["n", 1]), ("CORRID", corrid, ["n", 1])]
        nodes += [h.make_node("Cast", ["CORRID"], ["id"], to=T.INT32), h.make_node("Mul", ["id", "END"], ["last"]), h.make_node("Add", ["sum", "last"], ["both"])]
    nodes.append(h.make_node("Add", ["both" if corrid else "sum", "none"], ["OUTPUT"]))
    return model(nodes, ins, [("OUTPUT", T.INT32, ["n", 1])], [("zero", np.array([0], np.int32))], opset=14)


def identity(t, dims):
    return model([h.make_node("Identity", ["INPUT0"], ["OUTPUT0"])], [("INPUT0", t, ["n", *dims])], [("OUTPUT0", t, ["n", *dims])])


CONTROL = '{{ name: "{0}" control {{ kind: CONTROL_SEQUENCE_{0} int32_false_true: [ 0, 1 ] }} }}'
OF_SEQUENCE = 'max_batch_size: 8\ninput {{ name: "INPUT" data_type: TYPE_INT32 dims: 1 }}\noutput {{ name: "OUTPUT" data_type: TYPE_INT32 dims: 1 }}\n' \
    "sequence_batching {{ max_sequence_idle_microseconds: 10000000 {} control_input [ {} ] }}\ninstance_group {{ kind: KIND_CPU }}\n"
CORRID = '{{ name: "CORRID" control {{ kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_{} }} }}'
OF_PICTURES = 'max_batch_size: 4\ninput { name: "x" data_type: TYPE_FP32 format: FORMAT_NCHW dims: [ 3, 16, 16 ] }\n' \
    'output { name: "y" data_type: TYPE_FP32 dims: [ 3 ] label_filename: "labels.txt" }\n'


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "repository"

    def put(name, made, config="max_batch_size: 8\n"):
        (folder / name / "1").mkdir(parents=True)
        onnx.save(made, folder / name / "1" / "model.onnx")
        (folder / name / "config.pbtxt").write_text(f'name: "{name}"\nplatform: "onnxruntime_onnx"\n{config}')
    put("simple", simple())
    put("simple_int8", simple(T.INT8))
    put("simple_string", simple_string())
    put("simple_identity", identity(T.STRING, [-1]))
    put("custom_identity_int32", identity(T.INT32, [16]))
    put("simple_sequence", sequence(), OF_SEQUENCE.format("", ", ".join(map(CONTROL.format, ("START", "READY")))))
    for name, kind, corrid in (("simple_dyna_sequence", "UINT64", T.UINT64), ("simple_string_dyna_sequence", "STRING", T.STRING)):
        put(name, sequence(corrid), OF_SEQUENCE.format("oldest { max_candidate_sequences: 1024 max_queue_delay_microseconds: 10000 }",
                                                       ", ".join([*map(CONTROL.format, ("START", "END", "READY")), CORRID.format(kind)])))
    put("pictures", mean_colour(), OF_PICTURES)
    (folder / "pictures" / "labels.txt").write_text("red\ngreen\nblue\n")
    return folder


@pytest.fixture
def server(repository, serve):
    return serve("--model-repository", repository, "--model-control", "explicit")


def libs():
    import tritonclient.grpc as grpc_lib
    import tritonclient.http as http_lib
    return http_lib, grpc_lib


def at(server):
    return f"{server.host}:{server.port}"


def is_http(lib):
    return lib.__name__.endswith("http")


def tensors(lib, *arrays, names=("INPUT0", "INPUT1"), kind="INT32", binary=(True, True)):
    made = []
    for name, a, b in zip(names, arrays, binary):
        made.append(lib.InferInput(name, list(a.shape), kind))
        made[-1].set_data_from_numpy(a, **({"binary_data": b} if is_http(lib) else {}))
    return made


def wanted(lib, *names, binary=(True, True), **kw):
    return [lib.InferRequestedOutput(n, **({"binary_data": b} if is_http(lib) else {}), **kw) for n, b in zip(names, binary)]


def adds_up(result, a=A, b=B):
    assert (result.as_numpy("OUTPUT0") == a + b).all() and (result.as_numpy("OUTPUT1") == a - b).all(), result.get_response()


def refuses(call, text):
    from tritonclient.utils import InferenceServerException
    with pytest.raises(InferenceServerException) as e:
        call()
    assert text in e.value.message(), e.value.message()


# ---- infer -------------------------------------------------------------------------------------------------------

def test_infer(server):
    """simple_http_infer_client, simple_grpc_infer_client: outputs named or not, JSON beside binary, query, headers, compression, timeout, statistics."""
    for lib in libs():
        with lib.InferenceServerClient(at(server)) as client:
            packings = [{}, {"headers": {"test": "1"}}]
            packings += [{"request_compression_algorithm": p, "response_compression_algorithm": p} for p in ("gzip", "deflate")] if is_http(lib) else \
                [{"compression_algorithm": p} for p in ("gzip", "deflate")] + [{"client_timeout": 60.0}]
            for more in packings:
                if is_http(lib):
                    more = {**more, "query_params": {"test_1": 1, "test_2": 2}}
                inputs = tensors(lib, A, -B, binary=(False, True))
                adds_up(client.infer("simple", inputs, outputs=wanted(lib, "OUTPUT0", "OUTPUT1", binary=(True, False)), **more), A, -B)
                adds_up(client.infer("simple", inputs, outputs=None, **more), A, -B)
            stats = client.get_inference_statistics(model_name="simple")
            assert len(stats["model_stats"] if is_http(lib) else stats.model_stats) == 1
            # Triton's text begins with "Request for unknown model"; ours is KServe's.
            refuses(lambda: client.infer("wrong_model_name", tensors(lib, A, B)), "Model with name wrong_model_name does not exist.")


def test_async_infer(server):
    """simple_http_async_infer_client, simple_grpc_async_infer_client: handles waited for in order, and callbacks."""
    http_lib, grpc_lib = libs()
    with http_lib.InferenceServerClient(at(server), concurrency=8) as client:
        handles = [client.async_infer("simple", tensors(http_lib, A, B), outputs=wanted(http_lib, "OUTPUT0", "OUTPUT1")) for _ in range(8)]
        for handle in handles:
            adds_up(handle.get_result())
    with grpc_lib.InferenceServerClient(at(server)) as client:
        got = queue.Queue()
        for _ in range(8):
            client.async_infer("simple", tensors(grpc_lib, A, B), partial(lambda q, result, error: q.put(error or result), got),
                               outputs=wanted(grpc_lib, "OUTPUT0", "OUTPUT1"), client_timeout=20.0)
        for _ in range(8):
            adds_up(got.get(timeout=20))


def test_aio_infer(server):
    """simple_http_aio_infer_client, simple_grpc_aio_infer_client: two requests at once, compressed; statistics; a wrong name."""
    import tritonclient.grpc.aio as grpc_aio
    import tritonclient.http.aio as http_aio

    async def go(lib, aio):
        async with aio.InferenceServerClient(at(server)) as client:
            more = [{}, {"request_compression_algorithm": "gzip", "response_compression_algorithm": "gzip"} if is_http(lib) else {"compression_algorithm": "gzip"}]
            for k in more:
                calls = (client.infer("simple", tensors(lib, A, B), outputs=wanted(lib, "OUTPUT0", "OUTPUT1"), headers={"test": "1"}, **k) for _ in range(2))
                for result in await asyncio.gather(*calls):
                    adds_up(result)
            assert await client.get_inference_statistics("simple")
            with pytest.raises(Exception, match="wrong_model_name"):
                await client.infer("wrong_model_name", tensors(lib, A, B))
    for lib, aio in zip(libs(), (http_aio, grpc_aio)):
        asyncio.run(go(lib, aio))


def test_channel_arguments_and_keepalive(server):
    """simple_grpc_custom_args_client, simple_grpc_keepalive_client and their aio twins."""
    import tritonclient.grpc.aio as grpc_aio
    grpc_lib = libs()[1]
    arguments = [("grpc.max_send_message_length", 1024 * 1024), ("grpc.max_receive_message_length", 1024 * 1024), ("grpc.keepalive_time_ms", 2**31 - 1),
                 ("grpc.keepalive_timeout_ms", 20000), ("grpc.keepalive_permit_without_calls", False), ("grpc.http2.max_pings_without_data", 2),
                 ("grpc.dns_enable_srv_queries", 1)]
    alive = grpc_lib.KeepAliveOptions(keepalive_time_ms=2**31 - 1, keepalive_timeout_ms=20000, keepalive_permit_without_calls=False, http2_max_pings_without_data=2)
    for how in ({"channel_args": arguments}, {"keepalive_options": alive}):
        with grpc_lib.InferenceServerClient(at(server), **how) as client:
            adds_up(client.infer("simple", tensors(grpc_lib, A, B), outputs=wanted(grpc_lib, "OUTPUT0", "OUTPUT1"), headers={"test": "1"}))

        async def go():
            async with grpc_aio.InferenceServerClient(at(server), **how) as client:
                adds_up(await client.infer("simple", tensors(grpc_lib, A, B), outputs=wanted(grpc_lib, "OUTPUT0", "OUTPUT1"), headers={"test": "1"}))
        asyncio.run(go())


# ---- health, metadata, model control -----------------------------------------------------------------------------

def test_health_and_metadata(server):
    """simple_http_health_metadata, simple_grpc_health_metadata and their aio twins."""
    import tritonclient.grpc.aio as grpc_aio
    import tritonclient.http.aio as http_aio
    name = lambda x: x["name"] if isinstance(x, dict) else x.name

    async def go(lib, aio):
        query = {"query_params": {"test_1": 1, "test_2": 2}} if is_http(lib) else {}
        async with aio.InferenceServerClient(at(server)) as client:
            assert await client.is_server_live(headers={"test": "1", "dummy": "2"}, **query)
            assert await client.is_server_ready() and await client.is_model_ready("simple")
            assert name(await client.get_server_metadata()) == "proa"
            assert name(await client.get_model_metadata("simple", headers={"test": "1", "dummy": "2"}, **query)) == "simple"
            config = await client.get_model_config("simple")
            assert name(config if is_http(lib) else config.config) == "simple"
    for lib, aio in zip(libs(), (http_aio, grpc_aio)):
        query = {"query_params": {"test_1": 1, "test_2": 2}} if is_http(lib) else {}
        with lib.InferenceServerClient(at(server)) as client:
            assert client.is_server_live(headers={"test": "1", "dummy": "2"}, **query) and client.is_server_ready() and client.is_model_ready("simple")
            assert name(client.get_server_metadata()) == "proa"
            assert name(client.get_model_metadata("simple", headers={"test": "1", "dummy": "2"}, **query)) == "simple"
            refuses(lambda: client.get_model_metadata("wrong_model_name"), "Model with name wrong_model_name does not exist.")
            config = client.get_model_config("simple")
            assert name(config if is_http(lib) else config.config) == "simple"
        asyncio.run(go(lib, aio))


def test_model_control(server, repository):
    """simple_http_model_control, simple_grpc_model_control and their aio twins."""
    import tritonclient.grpc.aio as grpc_aio
    import tritonclient.http.aio as http_aio
    batch = lambda c: c["max_batch_size"] if isinstance(c, dict) else c.config.max_batch_size

    async def go(aio):
        async with aio.InferenceServerClient(at(server)) as client:
            await client.load_model("simple")
            assert await client.is_model_ready("simple")
            await client.unload_model("simple")
            assert not await client.is_model_ready("simple")
            with pytest.raises(Exception, match="failed to load"):
                await client.load_model("wrong_model_name")
    for lib, aio in zip(libs(), (http_aio, grpc_aio)):
        with lib.InferenceServerClient(at(server)) as client:
            index = client.get_model_repository_index()
            assert len(index if is_http(lib) else index.models) == len(list(repository.iterdir()))
            client.load_model("simple")
            assert client.is_model_ready("simple") and batch(client.get_model_config("simple")) == 8
            refuses(lambda: client.load_model("simple", config='"parameters": {"config": {{"max_batch_size": "16"}}}'), "failed to load")
            client.load_model("simple", config='{"max_batch_size":"16"}')
            assert batch(client.get_model_config("simple")) == 16
            client.unload_model("simple")
            assert not client.is_model_ready("simple")
            refuses(lambda: client.load_model("simple", config="{}", files={"file:" + "A" * 256: b"a"}), "is not supported")
            assert client.is_server_live()
            refuses(lambda: client.load_model("wrong_model_name"), "failed to load")
        asyncio.run(go(aio))


# ---- strings, typed contents -------------------------------------------------------------------------------------

def texts(a):
    return np.array([[str(x).encode() for x in row] for row in a], np.object_)


def test_strings(server):
    """simple_http_string_infer_client, simple_grpc_string_infer_client and their aio twins; texts with a NUL through simple_identity."""
    import tritonclient.grpc.aio as grpc_aio
    import tritonclient.http.aio as http_aio

    def right(result):
        assert [[int(x) for x in row] for row in result.as_numpy("OUTPUT0")] == (A + B).tolist()
        assert [[int(x) for x in row] for row in result.as_numpy("OUTPUT1")] == (A - B).tolist()

    async def go(lib, aio):
        async with aio.InferenceServerClient(at(server)) as client:
            right(await client.infer("simple_string", tensors(lib, texts(A), texts(B), kind="BYTES"), outputs=wanted(lib, "OUTPUT0", "OUTPUT1")))
    for lib, aio in zip(libs(), (http_aio, grpc_aio)):
        with lib.InferenceServerClient(at(server)) as client:
            for binary in ((True, True), (False, True)):
                inputs = tensors(lib, texts(A), texts(B), kind="BYTES", binary=binary)
                right(client.infer("simple_string", inputs, outputs=wanted(lib, "OUTPUT0", "OUTPUT1", binary=binary)))
            nul = np.array([[b"a\0b", b"", "gr\u00fcn".encode(), b"\xff\0"]], np.object_)
            got = client.infer("simple_identity", tensors(lib, nul, kind="BYTES"), outputs=wanted(lib, "OUTPUT0")).as_numpy("OUTPUT0")
            assert got.tolist() == nul.tolist()
        asyncio.run(go(lib, aio))


def test_explicit_contents(server):
    """grpc_client, grpc_explicit_int_content_client, grpc_explicit_int8_content_client, grpc_explicit_byte_content_client: messages made by hand."""
    import grpc
    from tritonclient.grpc import service_pb2 as pb, service_pb2_grpc
    with grpc.insecure_channel(at(server)) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        assert stub.ServerLive(pb.ServerLiveRequest()).live and stub.ServerReady(pb.ServerReadyRequest()).ready
        assert stub.ModelReady(pb.ModelReadyRequest(name="simple", version="")).ready
        assert stub.ServerMetadata(pb.ServerMetadataRequest()).name and stub.ModelMetadata(pb.ModelMetadataRequest(name="simple")).name == "simple"
        assert stub.ModelConfig(pb.ModelConfigRequest(name="simple")).config.name == "simple"
        for name, kind, dtype, field, put in (("simple", "INT32", np.int32, "int_contents", int), ("simple_int8", "INT8", np.int8, "int_contents", int),
                                              ("simple_string", "BYTES", None, "bytes_contents", lambda x: str(x).encode())):
            request = pb.ModelInferRequest(model_name=name, id="my request id")
            for n, a in (("INPUT0", A), ("INPUT1", B)):
                i = request.inputs.add(name=n, datatype=kind, shape=[1, 16])
                getattr(i.contents, field)[:] = [put(int(x)) for x in a.ravel()]
            for n in ("OUTPUT0", "OUTPUT1"):
                request.outputs.add(name=n)
            answer = stub.ModelInfer(request)
            assert answer.id == "my request id" and [list(o.shape) for o in answer.outputs] == [[1, 16]] * 2
            for raw, want in zip(answer.raw_output_contents, (A + B, A - B), strict=True):
                if dtype:
                    assert np.frombuffer(raw, dtype).tolist() == want.ravel().tolist()
                else:
                    from tritonclient.utils import deserialize_bytes_tensor
                    assert [int(x) for x in deserialize_bytes_tensor(raw)] == want.ravel().tolist()
            request.raw_input_contents.append(A.tobytes())      # besides contents: an error
            with pytest.raises(grpc.RpcError) as e:
                stub.ModelInfer(request)
            assert "contents field must not be specified when using raw_input_contents for input 'INPUT0'" in e.value.details()


# ---- shared memory -----------------------------------------------------------------------------------------------

class Regions:
    """Four regions, registered, as the shm examples and reuse_infer_objects_client have them."""

    def __init__(self, client, sizes):
        import tritonclient.utils.shared_memory as shm
        self.shm, self.client, self.of = shm, client, {}
        client.unregister_system_shared_memory()
        client.unregister_cuda_shared_memory()
        for name, size in sizes.items():
            key = f"/{name}_{uuid.uuid4().hex}"
            self.of[name] = shm.create_shared_memory_region(name, key, size)
            client.register_system_shared_memory(name, key, size)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.unregister_system_shared_memory()
        for handle in self.of.values():
            self.shm.destroy_shared_memory_region(handle)

    def array(self, result, output, region):
        from tritonclient.utils import triton_to_np_dtype
        o = result.get_output(output)
        datatype, shape = (o["datatype"], o["shape"]) if isinstance(o, dict) else (o.datatype, o.shape)
        return self.shm.get_contents_as_numpy(self.of[region], triton_to_np_dtype(datatype), shape)


def test_shared_memory(server):
    """simple_http_shm_client, simple_grpc_shm_client, reuse_infer_objects_client: the same objects with regions, without, and with them again."""
    for lib in libs():
        with lib.InferenceServerClient(at(server)) as client, \
                Regions(client, {n: A.nbytes for n in ("input0_data", "input1_data", "output0_data", "output1_data")}) as regions:
            for name, a in (("input0_data", A), ("input1_data", B)):
                regions.shm.set_shared_memory_region(regions.of[name], [a])
            inputs, outputs = tensors(lib, A, B), wanted(lib, "OUTPUT0", "OUTPUT1")
            for shared in (True, False, True):
                for k in range(2):
                    if shared:
                        inputs[k].set_shared_memory(f"input{k}_data", A.nbytes)
                        outputs[k].set_shared_memory(f"output{k}_data", A.nbytes)
                    else:
                        inputs[k].set_data_from_numpy((A, 2 * B)[k])
                        outputs[k].unset_shared_memory()
                result = client.infer("simple", inputs, outputs=outputs)
                if shared:
                    assert (regions.array(result, "OUTPUT0", "output0_data") == A + B).all() and (regions.array(result, "OUTPUT1", "output1_data") == A - B).all()
                else:
                    adds_up(result, A, 2 * B)
            status = client.get_system_shared_memory_status()
            assert len(status if is_http(lib) else status.regions) == 4


def test_shared_memory_with_strings_and_aio(server):
    """simple_http_shm_string_client, simple_grpc_shm_string_client, simple_http_aio_shm_client, simple_grpc_aio_shm_client and the aio ones of strings."""
    import tritonclient.grpc.aio as grpc_aio
    import tritonclient.http.aio as http_aio
    from tritonclient.utils import serialize_byte_tensor
    packed = [serialize_byte_tensor(texts(a)) for a in (A, B)]
    sizes = {"input0_data": packed[0].item().__len__(), "input1_data": packed[1].item().__len__(), "output0_data": 512, "output1_data": 512}

    def filled(lib, regions):
        inputs, outputs = tensors(lib, texts(A), texts(B), kind="BYTES"), wanted(lib, "OUTPUT0", "OUTPUT1")
        for k in range(2):
            regions.shm.set_shared_memory_region(regions.of[f"input{k}_data"], [packed[k]])
            inputs[k].set_shared_memory(f"input{k}_data", sizes[f"input{k}_data"])
            outputs[k].set_shared_memory(f"output{k}_data", 512)
        return inputs, outputs

    def right(regions, result):
        for k, want in enumerate((A + B, A - B)):
            assert [[int(x) for x in row] for row in regions.array(result, f"OUTPUT{k}", f"output{k}_data")] == want.tolist()

    async def go(lib, aio, regions, inputs, outputs):
        async with aio.InferenceServerClient(at(server)) as client:
            right(regions, await client.infer("simple_string", inputs, outputs=outputs))
            assert await client.get_system_shared_memory_status()
    for lib, aio in zip(libs(), (http_aio, grpc_aio)):
        with lib.InferenceServerClient(at(server)) as client, Regions(client, sizes) as regions:
            inputs, outputs = filled(lib, regions)
            right(regions, client.infer("simple_string", inputs, outputs=outputs))
            asyncio.run(go(lib, aio, regions, inputs, outputs))


def test_cuda_shared_memory_is_refused_by_name(server):
    """simple_http_cudashm_client, simple_grpc_cudashm_client and their aio twins: the list is empty, registering is refused."""
    for lib in libs():
        with lib.InferenceServerClient(at(server)) as client:
            client.unregister_cuda_shared_memory()
            status = client.get_cuda_shared_memory_status()
            assert not (status if is_http(lib) else status.regions)
            refuses(lambda: client.register_cuda_shared_memory("input0_data", base64.b64encode(bytes(64)), 0, 64), "CUDA shared memory is not supported")


# ---- sequences ---------------------------------------------------------------------------------------------------

def due(start, values, dyna, number):
    """What a sequence answers: the first plus START, the last plus the correlation id where the model adds it."""
    got = [start + 1, *values]
    got[-1] += number if dyna else 0
    return got


@pytest.mark.parametrize("dyna", [False, True])
def test_sequences_sync(server, dyna):
    """simple_http_sequence_sync_infer_client, simple_grpc_sequence_sync_infer_client, their aio twins; -d for the dynamic model, -o for other ids."""
    import tritonclient.grpc.aio as grpc_aio
    import tritonclient.http.aio as http_aio
    name = lambda id_: ("simple_string_dyna_sequence" if isinstance(id_, str) else "simple_dyna_sequence") if dyna else "simple_sequence"
    rows = lambda offset: [(1000 + 2 * offset, 0, VALUES), (1001 + 2 * offset, 100, [-v for v in VALUES]),
                           (str(1002 + 2 * offset) if dyna else str(uuid.uuid4()), 20, [-v for v in VALUES])]
    one = lambda lib, v: {"inputs": tensors(lib, np.full((1, 1), v, np.int32), names=("INPUT",)), "outputs": wanted(lib, "OUTPUT")}
    steps = lambda id_, k, n: {"sequence_id": id_, "sequence_start": k == 0, "sequence_end": k == n - 1}

    async def go(lib, aio, id_, values):
        async with aio.InferenceServerClient(at(server)) as client:
            return [int((await client.infer(name(id_), **one(lib, v), **steps(id_, k, len(values)))).as_numpy("OUTPUT")[0][0]) for k, v in enumerate(values)]
    for offset, (lib, aio) in enumerate(zip(libs(), (http_aio, grpc_aio))):
        with lib.InferenceServerClient(at(server)) as client:
            for id_, start, values in rows(offset * 10):
                got = [int(client.infer(name(id_), **one(lib, v), **steps(id_, k, len(values) + 1)).as_numpy("OUTPUT")[0][0]) for k, v in enumerate([start, *values])]
                assert got == due(start, values, dyna, int(id_) if dyna else 0), (lib, id_)
                assert asyncio.run(go(lib, aio, id_, [start, *values])) == got


@pytest.mark.parametrize("dyna", [False, True])
def test_sequences_over_a_stream(server, dyna):
    """simple_grpc_sequence_stream_infer_client and its aio twin: three sequences in one stream, with a stream timeout."""
    import tritonclient.grpc as lib
    import tritonclient.grpc.aio as aio
    name = lambda id_: ("simple_string_dyna_sequence" if isinstance(id_, str) else "simple_dyna_sequence") if dyna else "simple_sequence"

    def requests(base):
        for id_, start, values in ((base, 0, VALUES), (base + 1, 100, [-v for v in VALUES]), (str(base + 2) if dyna else str(uuid.uuid4()), 20, [-v for v in VALUES])):
            for k, v in enumerate([start, *values], 1):
                yield {"model_name": name(id_), "inputs": tensors(lib, np.full((1, 1), v, np.int32), names=("INPUT",)), "outputs": wanted(lib, "OUTPUT"),
                       "request_id": f"{id_}_{k}", "sequence_id": id_, "sequence_start": k == 1, "sequence_end": k == len(values) + 1}

    def check(answers, asked):
        got = {}
        for r in answers:
            got.setdefault(r.get_response().id.split("_")[0], []).append(int(r.as_numpy("OUTPUT")[0][0]))
        ids = list(dict.fromkeys(str(q["sequence_id"]) for q in asked))
        for id_, start, values in zip(ids, (0, 100, 20), (VALUES, [-v for v in VALUES], [-v for v in VALUES])):
            assert got[id_] == due(start, values, dyna, int(id_) if dyna else 0), id_
    for timeout in (None, 30.0):
        got, asked = queue.Queue(), list(requests(2000 if timeout else 2010))
        with lib.InferenceServerClient(at(server)) as client:
            client.start_stream(callback=partial(lambda q, result, error: q.put(error or result), got), stream_timeout=timeout)
            for q in asked:
                client.async_stream_infer(**q)
            answers = [got.get(timeout=20) for _ in asked]
            check(answers, asked)

    async def go():
        asked = list(requests(2020))

        async def ask():
            for q in asked:
                yield q
        async with aio.InferenceServerClient(at(server)) as client:
            answers = []
            async for result, error in client.stream_infer(inputs_iterator=ask(), stream_timeout=30.0):
                assert error is None, error
                answers.append(result)
            check(answers, asked)
    asyncio.run(go())


def test_a_decoupled_model_is_refused_by_name(tmp_path):
    """simple_grpc_custom_repeat: a request with many answers is not served, and the load says so."""
    from conftest import run_proa
    (tmp_path / "r" / "repeat_int32" / "1").mkdir(parents=True)
    onnx.save(identity(T.INT32, [16]), tmp_path / "r" / "repeat_int32" / "1" / "model.onnx")
    (tmp_path / "r" / "repeat_int32" / "config.pbtxt").write_text("model_transaction_policy { decoupled: true }")
    done = run_proa("serve", "--model-repository", tmp_path / "r", "--port", "0")
    assert done.returncode != 0 and "model_transaction_policy.decoupled of model repeat_int32 is not supported" in done.stderr


# ---- pictures, memory --------------------------------------------------------------------------------------------

def prepared(file, scaling):
    """As image_client does: resized by Pillow, scaled, CHW."""
    from PIL import Image
    import io
    a = np.array(Image.open(io.BytesIO(file)).convert("RGB").resize((16, 16), Image.BILINEAR)).astype(np.float32)
    if scaling == "INCEPTION":
        a = (a / 127.5) - 1
    elif scaling == "VGG":
        a = a - np.asarray((123, 117, 104), np.float32)
    return a.transpose(2, 0, 1)


def of(x, *names):
    """A field of what gRPC gives as a message and REST as JSON."""
    for n in names:
        x = x[n] if isinstance(x, dict) or isinstance(n, int) else getattr(x, n)
    return x


@pytest.mark.parametrize("scaling", ["NONE", "INCEPTION", "VGG"])
def test_image_client(server, scaling):
    """image_client and grpc_image_client: metadata and configuration read, batches of Pillow's pixels, classes with labels; sync, -a, --streaming."""
    files = [photo(k, 40 + 7 * k, 30 + 5 * k) for k in range(4)]
    arrays = [prepared(f, scaling) for f in files]
    best = [f"{a.mean((1, 2)).max():.3f}" for a in arrays]
    labels = ["red", "green", "blue"]

    def right(result, batch):
        for row, k in zip(result.as_numpy("y"), batch, strict=True):
            score, index, label = row[0].decode().split(":")
            assert labels[int(index)] == label and int(index) == int(arrays[k].mean((1, 2)).argmax()) and abs(float(score) - float(best[k])) < 2e-3
    for lib in libs():
        http = is_http(lib)
        with lib.InferenceServerClient(at(server), **({"concurrency": 20} if http else {})) as client:
            meta, config = client.get_model_metadata(model_name="pictures", model_version=""), client.get_model_config(model_name="pictures", model_version="")
            config = config if http else config.config
            assert [int(d) for d in of(meta, "inputs", 0, "shape")] == [-1, 3, 16, 16] and of(config, "max_batch_size") == 4
            assert of(meta, "outputs", 0, "datatype") == "FP32" and of(config, "input", 0, "format") == ("FORMAT_NCHW" if http else 2)
            for size in (1, 2, 4):
                batches = [[(k + i) % len(files) for i in range(size)] for k in range(0, len(files), size)]
                asks = [(tensors(lib, np.stack([arrays[k] for k in b]), names=("x",), kind="FP32"), wanted(lib, "y", class_count=1)) for b in batches]
                for b, (i, o) in zip(batches, asks):
                    right(client.infer("pictures", i, request_id="1", model_version="", outputs=o), b)
                if http:
                    for b, handle in zip(batches, [client.async_infer("pictures", i, request_id="1", outputs=o) for i, o in asks]):
                        right(handle.get_result(), b)
                    continue
                for streaming in (False, True):
                    got = queue.Queue()
                    back = partial(lambda q, result, error: q.put(error or result), got)
                    if streaming:
                        client.start_stream(back)
                    for k, (i, o) in enumerate(asks):
                        if streaming:
                            client.async_stream_infer("pictures", i, request_id=str(k), outputs=o)
                        else:
                            client.async_infer("pictures", i, back, request_id=str(k), outputs=o)
                    for _ in asks:
                        result = got.get(timeout=20)
                        right(result, batches[int(result.get_response().id)])
                    if streaming:
                        client.stop_stream()


def test_ensemble_image_client(repository, serve):
    """ensemble_image_client: whole files as BYTES, a batch of them, classes of every output; here the model's own declaration prepares them."""
    (repository / "pictures" / "proa.yaml").write_text("inputs: {x: {image: {size: {height: 16, width: 16}, rescale_factor: 1, do_normalize: false}}}\n")
    server = serve("--model-repository", repository)
    files = sorted(photo(k, 16, 16, "PNG") for k in range(3))
    best = [int(prepared(f, "NONE").mean((1, 2)).argmax()) for f in files]
    for lib in libs():
        with lib.InferenceServerClient(at(server)) as client:
            meta, config = client.get_model_metadata(model_name="pictures"), client.get_model_config(model_name="pictures")
            config = config if is_http(lib) else config.config
            batched = np.stack([np.array([f], dtype=object) for f in files[:of(config, "max_batch_size")]])
            names = [of(o, "name") for o in of(meta, "outputs")]
            inputs = tensors(lib, batched, names=("image",), kind="BYTES")
            result = client.infer("pictures", inputs, outputs=wanted(lib, *names, class_count=1))
            for name in names:
                assert [int(r[0].decode().split(":")[1]) for r in result.as_numpy(name)] == best


def test_memory_growth(server):
    """memory_growth_test: a client of its own for each of 100 requests, then the other protocol; what the server holds stays flat."""
    def held():
        rows = dict(x.rsplit(" ", 1) for x in server.get("/metrics").body.decode().splitlines() if not x.startswith("#"))
        return float(rows["process_resident_memory_bytes"]), float(rows["process_open_fds"])

    def run(lib, count):
        for _ in range(count):
            client = lib.InferenceServerClient(at(server))
            result = client.infer("custom_identity_int32", tensors(lib, A), outputs=wanted(lib, "OUTPUT0"))
            got = result.as_numpy("OUTPUT0")
            assert got.dtype == A.dtype and got.shape == A.shape and (got == A).all()
            client.close()
    for lib in libs():
        run(lib, 20)
    before = held()
    for lib in libs():
        run(lib, 100)
    # One reading for both: the connection of the last one may still be open when the next comes.
    after = until(lambda: (now := held())[1] <= before[1] and now)
    assert after[0] < before[0] + 4e6, (before, after)
