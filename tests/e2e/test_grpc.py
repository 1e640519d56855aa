"""test_grpc.py - gRPC as its users' clients speak it: tritonclient.grpc, the KServe SDK, grpcio with health and reflection."""
import asyncio, io, os, pathlib, re, shutil, struct, subprocess, sys, tarfile, tempfile, threading
import grpc, numpy as np, pytest, zstandard
from conftest import Heard
from models import X, Y

HERE = pathlib.Path(__file__).resolve().parent
WANT = np.array([Y], np.float32)
SERVICE = "/inference.GRPCInferenceService/"


def scenarios():
    """The scenarios of grpc_triton.py, without importing it: see there."""
    return re.findall(r"^def (\w+)\((?:client|_), (?:_|address)\):", (HERE / "grpc_triton.py").read_text(), re.M)


@pytest.mark.parametrize("scenario", scenarios())
def test_tritonclient(server, scenario):
    done = subprocess.run([sys.executable, HERE / "grpc_triton.py", scenario, f"{server.host}:{server.port}"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-4000:]


# ---- the KServe SDK ----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("raw", [True, False])
def test_kserve(server, raw):
    from kserve import InferenceGRPCClient, InferInput, InferRequest

    async def go():
        async with InferenceGRPCClient(f"{server.host}:{server.port}") as client:
            assert await client.is_server_live() and await client.is_server_ready() and await client.is_model_ready("tiny")
            i = InferInput("x", [1, 4], "FP32")
            i.set_data_from_numpy(np.array([X], np.float32), binary_data=raw)
            result = await client.infer(InferRequest(model_name="tiny", infer_inputs=[i], request_id="q1", parameters={"a": 1, "b": "c"}))
            assert result.id == "q1" and result.model_name == "tiny"
            assert np.allclose(result.outputs[0].as_numpy(), WANT, rtol=1e-6)
            if not raw:
                assert np.allclose(result.outputs[0].data, Y, rtol=1e-6)
            with pytest.raises(grpc.RpcError) as e:
                await client.infer(InferRequest(model_name="none", infer_inputs=[i]))
            assert e.value.code() == grpc.StatusCode.NOT_FOUND and e.value.details() == "Model with name none does not exist."
    asyncio.run(go())


@pytest.mark.parametrize("datatype,values", [("BOOL", [[True, False]]), ("INT8", [[-128, 127]]), ("INT64", [[-2**63, 2**63 - 1]]),
                                             ("UINT16", [[0, 65535]]), ("UINT64", [[0, 2**64 - 1]]), ("FP64", [[0.1, -1e300]]),
                                             ("BYTES", [["", "grün"]])])
def test_kserve_typed_contents_of_every_kind(server, datatype, values):
    from kserve import InferenceGRPCClient, InferInput, InferRequest

    async def go():
        async with InferenceGRPCClient(f"{server.host}:{server.port}") as client:
            flat = [v.encode() if isinstance(v, str) else v for v in values[0]]
            i = InferInput("x", [1, 2], datatype, data=flat)
            result = await client.infer(InferRequest(model_name=f"id_{datatype.lower()}", infer_inputs=[i]))
            assert result.outputs[0].data == flat and result.outputs[0].datatype == datatype
    asyncio.run(go())


# ---- grpcio ------------------------------------------------------------------------------------------------------

@pytest.fixture
def channel(server):
    with grpc.insecure_channel(f"{server.host}:{server.port}") as c:
        yield c


@pytest.fixture(scope="module")
def pb():
    """The messages of proto/inference.proto, in a pool of their own."""
    return messages((HERE.parents[1] / "proto" / "inference.proto").read_text())


def messages(proto):
    import grpc_tools.protoc
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder)
        (path / "x.proto").write_text(proto)
        assert grpc_tools.protoc.main(["protoc", f"-I{path}", f"--descriptor_set_out={path / 'out'}", "x.proto"]) == 0
        pool = descriptor_pool.DescriptorPool()
        for f in descriptor_pb2.FileDescriptorSet.FromString((path / "out").read_bytes()).file:
            pool.Add(f)

    class Messages:
        def __getattr__(self, name):
            return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"inference.{name}"))
    return Messages()


def request(pb, model="tiny", values=X, typed=False):
    r = pb.ModelInferRequest(model_name=model, id="a")
    i = r.inputs.add(name="x", datatype="FP32", shape=[1, 4])
    if typed:
        i.contents.fp32_contents.extend(values)
    else:
        r.raw_input_contents.append(struct.pack(f"<{len(values)}f", *values))
    return r


def unary(channel, method, message, **kw):
    raw = lambda m: m if isinstance(m, bytes) else m.SerializeToString()
    return channel.unary_unary(method, request_serializer=raw, response_deserializer=lambda b: b)(message, timeout=60, **kw)


def fails(call, code, text):
    with pytest.raises(grpc.RpcError) as e:
        call()
    assert e.value.code() == code and text in e.value.details(), (e.value.code(), e.value.details())
    return e.value


def test_upstream_document(server, channel, shared):
    """The Open Inference Protocol's own proto reads what we write, without unknown fields, and we read what it writes."""
    raw = (shared / "data" / "manifests" / "open-inference-protocol.tar.zst").read_bytes()
    with tarfile.open(fileobj=io.BytesIO(zstandard.ZstdDecompressor().stream_reader(raw).read())) as tar:
        upstream = messages(tar.extractfile(next(m for m in tar.getmembers() if m.name.endswith("open_inference_grpc.proto"))).read().decode())
    from google.protobuf import unknown_fields

    def read(name, data):
        m = getattr(upstream, name).FromString(data)
        assert len(unknown_fields.UnknownFieldSet(m)) == 0, m
        return m
    assert read("ServerLiveResponse", unary(channel, SERVICE + "ServerLive", b"")).live
    assert read("ServerReadyResponse", unary(channel, SERVICE + "ServerReady", b"")).ready
    assert read("ServerMetadataResponse", unary(channel, SERVICE + "ServerMetadata", b"")).name == "proa"
    named = upstream.ModelReadyRequest(name="tiny", version="1")
    assert read("ModelReadyResponse", unary(channel, SERVICE + "ModelReady", named)).ready
    meta = read("ModelMetadataResponse", unary(channel, SERVICE + "ModelMetadata", named))
    assert meta.name == "tiny" and list(meta.inputs[0].shape) == [-1, 4]
    for typed in (False, True):
        r = request(upstream, typed=typed)
        r.parameters["d"].double_param = 0.5
        r.parameters["u"].uint64_param = 2**63
        got = read("ModelInferResponse", unary(channel, SERVICE + "ModelInfer", r))
        values = got.outputs[0].contents.fp32_contents if typed else struct.unpack("<4f", got.raw_output_contents[0])
        assert got.id == "a" and np.allclose(values, Y, rtol=1e-6)


def test_contents_and_raw_contents_together_are_refused(channel, pb):
    r = request(pb, typed=True)
    r.raw_input_contents.append(struct.pack("<4f", *X))
    fails(lambda: unary(channel, SERVICE + "ModelInfer", r), grpc.StatusCode.INVALID_ARGUMENT,
          "contents field must not be specified when using raw_input_contents for input 'x' for model 'tiny'")


def test_unknown_methods_and_broken_messages(channel, pb):
    fails(lambda: unary(channel, SERVICE + "Nothing", b""), grpc.StatusCode.UNIMPLEMENTED, "unknown method")
    fails(lambda: unary(channel, "/other.Service/Call", b""), grpc.StatusCode.UNIMPLEMENTED, "unknown method /other.Service/Call")
    fails(lambda: unary(channel, SERVICE + "ModelInfer", b"\x0a\x05x"), grpc.StatusCode.INVALID_ARGUMENT, "ModelInferRequest: byte 1")
    fails(lambda: unary(channel, SERVICE + "ServerMetadata", b"", metadata=[("grpc-internal-encoding-request", "gzip")]) and None
          or unary(channel, SERVICE + "ModelReady", b"\xff"), grpc.StatusCode.INVALID_ARGUMENT, "ModelReadyRequest")


def test_an_error_carries_its_reason(channel, pb):
    e = fails(lambda: unary(channel, SERVICE + "ModelInfer", request(pb, "none")), grpc.StatusCode.NOT_FOUND, "none")
    details = dict(e.trailing_metadata())["grpc-status-details-bin"]
    assert b"google.rpc.ErrorInfo" in details and b"NotFound" in details


def test_a_message_over_the_limit_is_resource_exhausted(serve, zoo, pb):
    server = serve(f"tiny={zoo['tiny']}", "--body-bytes-max", "1Mi")
    with grpc.insecure_channel(f"{server.host}:{server.port}") as channel:
        r = request(pb)
        r.raw_input_contents[0] = bytes(2 << 20)
        fails(lambda: unary(channel, SERVICE + "ModelInfer", r), grpc.StatusCode.RESOURCE_EXHAUSTED, "expected at most 1048576 bytes")
        r.raw_input_contents[0] = bytes(64 << 20)      # packs to 64 KB
        call = channel.unary_unary(SERVICE + "ModelInfer", request_serializer=lambda m: m.SerializeToString())
        fails(lambda: call(r, timeout=60, compression=grpc.Compression.Gzip), grpc.StatusCode.RESOURCE_EXHAUSTED, "unpacked")
        assert struct.unpack("<4f", pb.ModelInferResponse.FromString(unary(channel, SERVICE + "ModelInfer", request(pb))).raw_output_contents[0])


def test_an_answer_over_the_limit_is_resource_exhausted_but_not_what_shared_memory_takes(serve, zoo, pb):
    server = serve(f"id_uint8={zoo['id_uint8']}", "--reply-bytes-max", "1Mi")
    data, region, over = bytes(2 << 20), f"/proa-test-answer-{os.getpid()}", "answer: expected at most 1048576 bytes, got 2097"
    r = pb.ModelInferRequest(model_name="id_uint8", raw_input_contents=[data])
    r.inputs.add(name="x", datatype="UINT8", shape=[1, len(data)])
    head = b'{"inputs":[{"name":"x","datatype":"UINT8","shape":[1,%d],"parameters":{"binary_data_size":%d}}],"parameters":{"binary_data_output":true}}' % (
        len(data), len(data))
    rest = server.post("/v2/models/id_uint8/infer", head + data, headers={"Inference-Header-Content-Length": str(len(head))})
    assert rest.status == 413 and over in rest.json()["error"]
    with grpc.insecure_channel(f"{server.host}:{server.port}", options=[("grpc.max_receive_message_length", -1)]) as channel:
        fails(lambda: unary(channel, SERVICE + "ModelInfer", r), grpc.StatusCode.RESOURCE_EXHAUSTED, over)
        streams = channel.stream_stream(SERVICE + "ModelStreamInfer", request_serializer=lambda m: m.SerializeToString(),
                                        response_deserializer=pb.ModelStreamInferResponse.FromString)
        assert "answer: expected at most 1048576 bytes" in next(streams(iter([r]))).error_message
        with open(f"/dev/shm{region}", "wb") as f:
            f.truncate(len(data))
        try:
            unary(channel, SERVICE + "SystemSharedMemoryRegister", pb.SystemSharedMemoryRegisterRequest(name="r", key=region, byte_size=len(data)))
            o = r.outputs.add(name="y")
            o.parameters["shared_memory_region"].string_param = "r"
            o.parameters["shared_memory_byte_size"].int64_param = len(data)
            got = pb.ModelInferResponse.FromString(unary(channel, SERVICE + "ModelInfer", r))
            assert list(got.outputs[0].shape) == [1, len(data)] and list(got.raw_output_contents) == [b""]
        finally:
            os.unlink(f"/dev/shm{region}")


def test_a_full_queue_is_resource_exhausted_and_everybody_is_answered(serve, zoo, pb):
    server = serve(f"slow={zoo['slow']}", "--queue-max", "2", "--threads", "1")
    with grpc.insecure_channel(f"{server.host}:{server.port}") as channel:
        r = pb.ModelInferRequest(model_name="slow")
        r.inputs.add(name="x", datatype="FP32", shape=[384, 384])
        r.raw_input_contents.append(bytes(4 * 384 * 384))
        call = channel.unary_unary(SERVICE + "ModelInfer", request_serializer=lambda m: m.SerializeToString())
        codes = set()
        for _ in range(20):                                # twelve that come as slowly as they are computed fill no queue
            codes |= {f.code() for f in [call.future(r, timeout=60) for _ in range(12)]}
            if len(codes) > 1:
                break
    assert codes == {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED}, codes


def test_work_whose_deadline_passed_is_not_computed(serve, zoo, pb):
    server = serve(f"slow={zoo['slow']}", "--threads", "1")
    code = grpc.StatusCode

    def made(rows):
        r = pb.ModelInferRequest(model_name="slow")
        r.inputs.add(name="x", datatype="FP32", shape=[rows, 384])
        r.raw_input_contents.append(bytes(4 * rows * 384))
        return r

    def ran():
        text = server.get("/metrics").body.decode()
        return float(re.search(r'request_predict_seconds_count{model_name="slow",model_version="1"} (\S+)', text)[1])
    with grpc.insecure_channel(f"{server.host}:{server.port}") as channel, \
            grpc.insecure_channel(f"{server.host}:{server.port}", [("grpc.use_local_subchannel_pool", 1)]) as other:
        call, hasty = (c.unary_unary(SERVICE + "ModelInfer", request_serializer=lambda m: m.SerializeToString()) for c in (channel, other))
        assert call(made(8), timeout=60) and hasty(made(8), timeout=60)
        computed = []
        for _ in range(10):                                 # where this machine held us up the late ones wait for nobody
            before = ran()
            ahead = [call.future(made(1500), timeout=60) for _ in range(5)]
            late = [hasty.future(made(8), timeout=0.02) for _ in range(20)]
            assert {f.code() for f in late} <= {code.DEADLINE_EXCEEDED, code.RESOURCE_EXHAUSTED, code.OK}
            assert {f.code() for f in ahead} == {code.OK} and call(made(8), timeout=60)
            computed.append(ran() - before - 6)
            if computed[-1] < 10:
                break
    assert computed[-1] < 10, f"of 20 whose deadline passed were computed: {computed}"


def test_where_the_time_went_is_told_in_a_trailer(channel, pb):
    call = channel.unary_unary(SERVICE + "ModelInfer", request_serializer=lambda m: m.SerializeToString())
    _, told = call.with_call(request(pb), timeout=60, metadata=[("x-proa-timing", "1")])
    timing = dict(told.trailing_metadata())["server-timing"]
    parts = {k: float(v) for k, v in re.findall(r"(\w+);dur=([\d.]+)", timing)}
    assert list(parts) == ["read", "queue", "compute", "write", "total"] and max(parts.values()) == parts["total"] > 0
    assert "server-timing" not in dict(call.with_call(request(pb), timeout=60)[1].trailing_metadata())


def test_health(server, channel):
    from grpc_health.v1 import health_pb2, health_pb2_grpc
    stub = health_pb2_grpc.HealthStub(channel)
    for service in ("", "inference.GRPCInferenceService", "tiny"):
        assert stub.Check(health_pb2.HealthCheckRequest(service=service)).status == health_pb2.HealthCheckResponse.SERVING
    fails(lambda: stub.Check(health_pb2.HealthCheckRequest(service="none")), grpc.StatusCode.NOT_FOUND, "unknown service none")
    watch = stub.Watch(health_pb2.HealthCheckRequest(service="none"))
    assert next(watch).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    watch.cancel()


def test_health_is_watched_until_the_server_leaves(serve, zoo):
    from grpc_health.v1 import health_pb2, health_pb2_grpc
    server = serve(f"tiny={zoo['tiny']}", "--drain-notice-ms", "300")
    with grpc.insecure_channel(f"{server.host}:{server.port}") as channel:
        watches = [health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest()) for _ in range(3)]
        assert [next(w).status for w in watches] == [health_pb2.HealthCheckResponse.SERVING] * 3
        server.terminate()
        assert [next(w).status for w in watches] == [health_pb2.HealthCheckResponse.NOT_SERVING] * 3
    assert server.wait() == 0


def test_health_is_watched_while_models_come_and_go(serve, zoo, pb, tmp_path):
    """Several loops, several watchers; a name that is not there yet is SERVICE_UNKNOWN until its model comes."""
    from grpc_health.v1 import health_pb2, health_pb2_grpc
    status = health_pb2.HealthCheckResponse
    for name in ("one", "two"):
        (tmp_path / "models" / name / "1").mkdir(parents=True)
        shutil.copy(zoo["tiny"], tmp_path / "models" / name / "1" / "model.onnx")
    server = serve("--model-repository", tmp_path / "models", "--model-control", "explicit", "--loops", "2")
    channels = [grpc.insecure_channel(f"{server.host}:{server.port}", options=[("grpc.use_local_subchannel_pool", 1)]) for _ in range(4)]

    def control(what, name):
        unary(channels[0], f"/inference.GRPCInferenceService/RepositoryModel{what}", getattr(pb, f"RepositoryModel{what}Request")(model_name=name))

    def watch(name):
        return [health_pb2_grpc.HealthStub(c).Watch(health_pb2.HealthCheckRequest(service=name), timeout=600) for c in channels]
    one, late = watch("one"), watch("late")
    expect = lambda watches, want: [next(w).status for w in watches] == [want] * len(channels)
    assert expect(one, status.SERVING) and expect(late, status.SERVICE_UNKNOWN)
    control("Unload", "one")
    assert expect(one, status.NOT_SERVING)
    control("Unload", "two")
    control("Load", "one")
    assert expect(one, status.SERVING), "the other model is none of its business"
    (tmp_path / "models" / "two").rename(tmp_path / "models" / "late")
    control("Load", "late")
    assert expect(late, status.SERVING)
    control("Load", "one")                                                                  # anew, and healthy all the time
    control("Unload", "late")
    assert expect(late, status.NOT_SERVING)
    server.terminate()
    assert expect(one, status.NOT_SERVING)
    for c in channels:
        c.close()
    assert server.wait() == 0


def test_an_idle_stream_does_not_hold_the_drain(serve, zoo, pb):
    server = serve(f"tiny={zoo['tiny']}", "--drain-wait-ms", "60000")
    with grpc.insecure_channel(f"{server.host}:{server.port}") as channel:
        done, message, answer = threading.Event(), request(pb), pb.ModelStreamInferResponse

        def asks():
            yield message
            done.wait(60)
        call = channel.stream_stream(SERVICE + "ModelStreamInfer", request_serializer=lambda m: m.SerializeToString(),
                                     response_deserializer=answer.FromString)(asks())
        assert not next(call).error_message
        server.terminate()
        fails(lambda: next(call), grpc.StatusCode.UNAVAILABLE, "the server is leaving")
        done.set()
        assert server.wait() == 0


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_reflection(server, channel, version):
    """As grpcurl does it: services, then the file of a symbol, then a call with nothing but what the file says."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
    from grpc_reflection.v1alpha import reflection_pb2
    path = f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
    call = channel.stream_stream(path, request_serializer=lambda m: m.SerializeToString(),
                                 response_deserializer=reflection_pb2.ServerReflectionResponse.FromString)
    ask = lambda **kw: reflection_pb2.ServerReflectionRequest(**kw)
    services, file, by_name, missing = call(iter([ask(list_services="*"), ask(file_containing_symbol="inference.GRPCInferenceService.ModelInfer"),
                                                  ask(file_by_filename="health.proto"), ask(file_containing_symbol="no.Such")]), timeout=60)
    assert {s.name for s in services.list_services_response.service} == {"grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
                                                                         "grpc.reflection.v1alpha.ServerReflection", "inference.GRPCInferenceService"}
    assert missing.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0] and "no.Such" in missing.error_response.error_message
    assert descriptor_pb2.FileDescriptorProto.FromString(by_name.file_descriptor_response.file_descriptor_proto[0]).package == "grpc.health.v1"
    pool = descriptor_pool.DescriptorPool()
    for data in file.file_descriptor_response.file_descriptor_proto:
        pool.Add(descriptor_pb2.FileDescriptorProto.FromString(data))
    method = pool.FindServiceByName("inference.GRPCInferenceService").FindMethodByName("ModelMetadata")
    message = message_factory.GetMessageClass(method.input_type)(name="tiny")
    answer = message_factory.GetMessageClass(method.output_type).FromString(unary(channel, SERVICE + "ModelMetadata", message))
    assert answer.name == "tiny" and answer.outputs[0].name == "y"


def test_the_table_of_reflection_is_what_proto_says():
    done = subprocess.run([sys.executable, HERE.parents[1] / "tools" / "proto.py", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_rest_and_grpc_share_a_port_and_give_the_same_answers(server, channel, pb):
    rest = server.infer("tiny", [["x", "FP32", [1, 4], X]]).json()["outputs"][0]["data"]
    got = pb.ModelInferResponse.FromString(unary(channel, SERVICE + "ModelInfer", request(pb)))
    assert np.array(rest, np.float32).tobytes() == got.raw_output_contents[0]
    text = server.infer("tiny", [["x", "FP32", [1, 3], X[:3]]]).json()["error"]
    r = request(pb, values=X[:3])
    r.inputs[0].shape[:] = [1, 3]
    fails(lambda: unary(channel, SERVICE + "ModelInfer", r), grpc.StatusCode.INVALID_ARGUMENT, text)


def test_many_threads_on_one_channel(server, channel, pb):
    failed = []

    def go():
        for _ in range(100):
            got = pb.ModelInferResponse.FromString(unary(channel, SERVICE + "ModelInfer", request(pb)))
            if not np.allclose(struct.unpack("<4f", got.raw_output_contents[0]), Y, rtol=1e-6):
                failed.append(got)
    threads = [threading.Thread(target=go) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failed


def test_calls_in_flight_at_sigterm_are_answered(serve, zoo, pb):
    server = serve(f"slow={zoo['slow']}", "--threads", "1", "--drain-wait-ms", "600000")
    with grpc.insecure_channel(f"{server.host}:{server.port}") as channel:
        r = pb.ModelInferRequest(model_name="slow")
        r.inputs.add(name="x", datatype="FP32", shape=[384, 384])
        r.raw_input_contents.append(bytes(4 * 384 * 384))
        call = channel.unary_unary(SERVICE + "ModelInfer", request_serializer=lambda m: m.SerializeToString())
        call(r, timeout=60)
        heard = Heard(server)
        futures = [call.future(r, timeout=60) for _ in range(8)]
        heard.all_of(8 * len(r.raw_input_contents[0]))
        server.terminate()
        assert {f.code() for f in futures} == {grpc.StatusCode.OK}
    assert server.wait() == 0


def test_a_timeout_in_the_queue_is_tritons(serve, zoo, pb):
    """The request's own parameter, in microseconds; a deadline of the call is DEADLINE_EXCEEDED, as everywhere."""
    server = serve(f"tiny={zoo['tiny']}", "--inline-us", "0")
    message = request(pb)
    message.parameters["timeout"].int64_param = 1
    with grpc.insecure_channel(f"{server.host}:{server.port}") as channel:
        fails(lambda: unary(channel, "/inference.GRPCInferenceService/ModelInfer", message), grpc.StatusCode.UNAVAILABLE, "Request timeout expired")
        message.parameters["timeout"].int64_param = 60_000_000
        assert unary(channel, "/inference.GRPCInferenceService/ModelInfer", message)
    reply = server.infer("tiny", [["x", "FP32", [1, 4], X]], parameters={"timeout": 1})
    assert (reply.status, reply.json()) == (503, {"error": "Request timeout expired"})
