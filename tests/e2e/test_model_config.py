"""test_model_config.py - Triton's config.pbtxt: read, completed and obeyed, as unmodified tritonclient sees it over REST and gRPC."""
import subprocess
import numpy as np
import onnx
import pytest
from conftest import PROA, logged
from models import model
from onnx import TensorProto as T, helper as h


def sums():
    """Two inputs that batch, two outputs: y = x + x FP32 [n,4], z = w + w INT32 [n,m]."""
    return model([h.make_node("Add", ["x", "x"], ["y"]), h.make_node("Add", ["w", "w"], ["z"])],
                 [("x", T.FLOAT, ["n", 4]), ("w", T.INT32, ["n", "m"])], [("y", T.FLOAT, ["n", 4]), ("z", T.INT32, ["n", "m"])])


def put(repository, name, config, versions=("1",), file="model.onnx"):
    for v in versions:
        (repository / name / v).mkdir(parents=True, exist_ok=True)
        onnx.save(sums(), repository / name / v / file)
    if config is not None:
        (repository / name / "config.pbtxt").write_text(config)


WHOLE = """
# as Triton's own documents write them
name: "whole"
platform: "onnxruntime_onnx"
max_batch_size: 8
input [
  { name: "x" data_type: TYPE_FP32 dims: [ 2, 2 ] reshape { shape: [ 4 ] } },
  { name: "w" data_type: TYPE_INT32 dims: [ -1 ] }
]
output [
  { name: "y" data_type: TYPE_FP32 dims: [ 2, 2 ] reshape: { shape: [ 4 ] } },
  { name: "z" data_type: TYPE_INT32 dims: [ -1 ] }
]
version_policy: { specific { versions: [ 2, 3 ] } }
instance_group [ { count: 2 kind: KIND_CPU } ]
dynamic_batching { preferred_batch_size: [ 4, 8 ] max_queue_delay_microseconds: 100 }
parameters { key: "threads" value: { string_value: "4" } }
"""


@pytest.fixture
def repository(tmp_path, serve):
    folder = tmp_path / "repository"
    put(folder, "whole", WHOLE, versions="1234")
    put(folder, "filled", 'parameters { key: "k" value { string_value: "v" } }')
    put(folder, "bare", None)
    put(folder, "named", 'default_model_filename: "net.onnx"', file="net.onnx")
    return folder, serve("--model-repository", folder, "--model-control", "explicit")


def clients(server):
    import tritonclient.grpc as grpc_client
    import tritonclient.http as http_client
    return http_client.InferenceServerClient(f"{server.host}:{server.port}"), grpc_client.InferenceServerClient(f"{server.host}:{server.port}")


@pytest.mark.apart
def test_both_protocols_give_the_same_configuration(repository):
    from google.protobuf import json_format
    http, grpc = clients(repository[1])
    for name in ("whole", "filled", "bare", "named"):
        config = grpc.get_model_config(name).config
        said = json_format.ParseDict(http.get_model_config(name), type(config)())
        assert said == config, name
    whole = http.get_model_config("whole")
    assert whole["max_batch_size"] == 8 and whole["version_policy"] == {"specific": {"versions": [2, 3]}}
    assert whole["input"][0]["reshape"] == {"shape": [4]} and whole["input"][1]["dims"] == [-1]
    assert whole["dynamic_batching"]["preferred_batch_size"] == [4, 8] and whole["dynamic_batching"]["max_queue_delay_microseconds"] == 100
    assert whole["instance_group"][0]["name"] == "whole_0" and whole["instance_group"][0]["count"] == 2
    assert whole["parameters"] == {"threads": {"string_value": "4"}} and whole["backend"] == "onnxruntime"
    http.close()


@pytest.mark.apart
def test_what_a_file_leaves_out_comes_from_the_model(repository):
    http, grpc = clients(repository[1])
    filled = grpc.get_model_config("filled").config
    assert filled.max_batch_size == 4 and list(filled.dynamic_batching.preferred_batch_size) == [4]
    assert [(i.name, i.data_type, list(i.dims)) for i in filled.input] == [("x", 11, [4]), ("w", 8, [-1])]
    assert [(o.name, o.data_type, list(o.dims)) for o in filled.output] == [("y", 11, [4]), ("z", 8, [-1])]
    bare = http.get_model_config("bare")                # no file: no limit of Triton's either
    assert bare["max_batch_size"] == 0 and bare["input"][0]["dims"] == [-1, 4] and "dynamic_batching" not in bare
    assert http.get_model_config("named")["default_model_filename"] == "net.onnx"
    http.close()


@pytest.mark.apart
def test_the_version_policy_chooses_the_version(repository):
    http, _ = clients(repository[1])
    index = {m["name"]: m["version"] for m in http.get_model_repository_index()}
    assert index == {"whole": "3", "filled": "1", "bare": "1", "named": "1"}
    assert not http.is_model_ready("whole", "4") and http.is_model_ready("whole", "3")
    http.close()


def ask(client, lib, name, x, w):
    inputs = [lib.InferInput("x", list(x.shape), "FP32"), lib.InferInput("w", list(w.shape), "INT32")]
    inputs[0].set_data_from_numpy(x)
    inputs[1].set_data_from_numpy(w)
    return client.infer(name, inputs)


@pytest.mark.apart
def test_clients_bring_and_get_the_shapes_of_the_configuration(repository):
    import tritonclient.grpc as grpc_lib
    import tritonclient.http as http_lib
    from tritonclient.utils import InferenceServerException
    http, grpc = clients(repository[1])
    x, w = np.arange(12, dtype=np.float32).reshape(3, 2, 2), np.arange(15, dtype=np.int32).reshape(3, 5)
    for client, lib in ((http, http_lib), (grpc, grpc_lib)):
        got = ask(client, lib, "whole", x, w)
        assert np.array_equal(got.as_numpy("y"), 2 * x) and np.array_equal(got.as_numpy("z"), 2 * w)
        for bad, why in ((np.zeros((9, 2, 2), np.float32), "inference request batch-size must be <= 8 for 'whole'"),
                         (np.zeros((3, 4), np.float32), "unexpected shape for input 'x' for model 'whole'. Expected [-1,2,2], got [3,4]")):
            with pytest.raises(InferenceServerException) as e:
                ask(client, lib, "whole", bad, np.zeros((len(bad), 5), np.int32))
            assert why in e.value.message()
        with pytest.raises(InferenceServerException) as e:       # nothing is broadcast from one row to three
            ask(client, lib, "whole", x, w[:1])
        assert "input 'w' batch size does not match other inputs for 'whole'" in e.value.message()
    meta = http.get_model_metadata("whole")
    assert [i["shape"] for i in meta["inputs"]] == [[-1, 2, 2], [-1, -1]] and [o["shape"] for o in meta["outputs"]] == [[-1, 2, 2], [-1, -1]]
    assert [list(i.shape) for i in grpc.get_model_metadata("whole").inputs] == [[-1, 2, 2], [-1, -1]]
    assert ask(http, http_lib, "bare", np.zeros((50, 4), np.float32), np.zeros((50, 1), np.int32)).as_numpy("y").shape == (50, 4)
    http.close()


@pytest.mark.apart
def test_the_others_are_served_without_what_cannot_be_loaded(tmp_path, serve):
    from conftest import until
    put(tmp_path / "r", "good", None)
    put(tmp_path / "r", "bad", "max_batch_size: banana")
    ended = subprocess.run([PROA, "serve", "--port", "0", "--model-repository", tmp_path / "r"], capture_output=True, text=True, timeout=30)
    assert ended.returncode == 1 and "bad/config.pbtxt:1:17: expected a whole number" in ended.stderr
    server = serve("--model-repository", tmp_path / "r", "--exit-on-error", "false", "--model-control", "poll")
    index = {m["name"]: m for m in server.post("/v2/repository/index").json()}
    assert index["good"]["state"] == "READY" and index["bad"]["state"] == "UNAVAILABLE" and "banana" in index["bad"]["reason"]
    assert server.get("/v2/models/good/ready").status == 200 and server.get("/v2/models/bad/ready").status == 404
    (tmp_path / "r" / "bad" / "config.pbtxt").write_text("")
    until(lambda: server.get("/v2/models/bad/ready").status == 200)


@pytest.mark.apart
def test_a_model_said_to_take_no_batches_has_no_rows(tmp_path, serve):
    """Statistics count runs, classification ranks the whole, and nothing is refused for its first dimension."""
    import tritonclient.http as http_lib
    put(tmp_path / "r", "m", IO.replace("dims: 4", "dims: [ -1, 4 ]").replace("dims: -1", "dims: [ -1, -1 ]").replace("max_batch_size: 8", ""))
    http, grpc = clients(serve("--model-repository", tmp_path / "r"))
    x, w = np.arange(8, dtype=np.float32).reshape(2, 4), np.ones((3, 1), np.int32)
    assert np.array_equal(ask(http, http_lib, "m", x, w).as_numpy("y"), 2 * x)
    stats = http.get_inference_statistics("m")["model_stats"][0]
    assert stats["inference_count"] == 1 and [b["batch_size"] for b in stats["batch_stats"]] == [1]
    http.close()


@pytest.mark.apart
def test_classes_have_the_names_of_the_file(tmp_path, serve):
    import tritonclient.grpc as grpc_lib
    import tritonclient.http as http_lib
    put(tmp_path / "r", "m", IO.replace("TYPE_FP32 dims: 4 } max", 'TYPE_FP32 dims: 4 label_filename: "names.txt" } max'))
    (tmp_path / "r" / "m" / "names.txt").write_text("ant\nbee\ncat\ndog\n")
    http, grpc = clients(serve("--model-repository", tmp_path / "r"))
    x, w = np.array([[1, 4, 3, 2]], np.float32), np.zeros((1, 1), np.int32)
    for client, lib in ((http, http_lib), (grpc, grpc_lib)):
        inputs = [lib.InferInput("x", [1, 4], "FP32").set_data_from_numpy(x), lib.InferInput("w", [1, 1], "INT32").set_data_from_numpy(w)]
        got = client.infer("m", inputs, outputs=[lib.InferRequestedOutput("y", class_count=2)]).as_numpy("y")
        assert [bytes(v) for v in got.flatten()] == [b"8.000000:1:bee", b"6.000000:2:cat"]
    http.close()


@pytest.mark.apart
def test_a_load_may_bring_another_configuration(repository):
    from tritonclient.utils import InferenceServerException
    http, grpc = clients(repository[1])
    http.load_model("bare", config='{"max_batch_size": 2, "parameters": {"a": {"string_value": "b"}}}')
    config = http.get_model_config("bare")
    assert config["max_batch_size"] == 2 and config["parameters"] == {"a": {"string_value": "b"}} and config["input"][0]["dims"] == [4]
    grpc.load_model("bare", config='{"maxBatchSize": "3"}')
    assert grpc.get_model_config("bare").config.max_batch_size == 3
    for client in (http, grpc):
        with pytest.raises(InferenceServerException) as e:
            client.load_model("bare", config='{"max_bach_size": 2}')
        assert "failed to load 'bare': config: unknown field 'max_bach_size', did you mean 'max_batch_size'?" in e.value.message()
    assert http.get_model_config("bare")["max_batch_size"] == 3          # what failed changed nothing
    http.load_model("bare")
    assert http.get_model_config("bare")["max_batch_size"] == 0
    http.close()


@pytest.mark.apart
def test_a_changed_file_is_read_at_the_next_load(repository):
    folder, server = repository
    http, _ = clients(server)
    (folder / "filled" / "config.pbtxt").write_text("max_batch_size: 16")
    assert http.get_model_config("filled")["max_batch_size"] == 4
    http.load_model("filled")
    assert http.get_model_config("filled")["max_batch_size"] == 16
    (folder / "filled" / "config.pbtxt").write_text("max_batch_size: {")
    assert server.post("/v2/repository/models/filled/load").status == 400
    assert http.get_model_config("filled")["max_batch_size"] == 16 and http.is_model_ready("filled")
    reason = next(m for m in http.get_model_repository_index() if m["name"] == "filled")["reason"]
    assert reason.endswith("filled/config.pbtxt:1:17: expected a whole number from -2147483648 to 2147483647, got '{'")
    http.close()


IO = 'input [{ name: "x" data_type: TYPE_FP32 dims: 4 }, { name: "w" data_type: TYPE_INT32 dims: -1 }] ' \
     'output { name: "y" data_type: TYPE_FP32 dims: 4 } max_batch_size: 8 '


@pytest.mark.parametrize("config, why", [
    ("max_bach_size: 8", "config.pbtxt:1:1: unknown field 'max_bach_size', did you mean 'max_batch_size'?"),
    ('name: "other"', "unexpected directory name 'm' for model 'other', directory name must equal model name"),
    ('platform: "tensorrt_plan"', "unexpected platform type 'tensorrt_plan' for m"),
    ('backend: "pytorch"', "backend 'pytorch' of model m is not supported: expected onnxruntime, or platform ensemble"),
    ("max_batch_size: -1", "'max_batch_size' must be non-negative value for m"),
    (IO + 'input { name: "v" data_type: TYPE_FP32 dims: 4 }', "unable to load model 'm', configuration expects 3 inputs, model provides 2"),
    (IO.replace('"x"', '"v"'), "unexpected inference input 'v', allowed inputs are: w, x"),
    (IO.replace('"y"', '"v"'), "unexpected inference output 'v', allowed outputs are: y, z"),
    (IO.replace("TYPE_INT32", "TYPE_INT64"),
     "unable to load model 'm', configuration expects datatype TYPE_INT64 for input 'w', model provides TYPE_INT32"),
    (IO.replace('TYPE_FP32 dims: 4 }, {', 'TYPE_FP32 dims: 5 }, {'),
     "model 'm', tensor 'x': the model expects 2 dimensions (shape [-1,4]) but the model configuration specifies 2 dimensions"),
    (IO + "instance_group { kind: KIND_GPU }", "instance group m_0 of model m has kind KIND_GPU but server does not support GPUs"),
    (IO + "dynamic_batching { preferred_batch_size: 9 }", "dynamic batching preferred size must be <= max batch size for m"),
    (IO + "sequence_batching { control_input { } }", "sequence batching control tensor must have a name for m"),
    ('platform: "ensemble" ensemble_scheduling { }', "must specify 'step' for ensemble 'm'"),
    ("version_policy { specific { versions: 7 } }", "at least one version must be available under the version policy of model 'm'"),
    (IO.replace("TYPE_FP32 dims: 4 } max", 'TYPE_FP32 dims: 4 label_filename: "none" } max'), "m/none: "),
    (IO.replace("TYPE_FP32 dims: 4 } max", 'TYPE_FP32 dims: 4 label_filename: "../x" } max'), "label_filename: expected the name of a file, got '../x'"),
    ('default_model_filename: "net.onnx"', "expected VERSION/net.onnx, as default_model_filename says, got none"),
])
def test_a_bad_configuration_is_refused_with_one_line(tmp_path, config, why):
    put(tmp_path / "r", "m", config)
    done = subprocess.run([PROA, "serve", "--model-repository", tmp_path / "r", "--port", "0"], capture_output=True, text=True, timeout=60)
    assert done.returncode != 0 and why in done.stderr, done.stderr
    assert len([line for line in done.stderr.splitlines() if why in line]) == 1


SAMPLE = """max_batch_size: 8
model_warmup { name: "first" batch_size: 3 inputs { key: "x" value { data_type: TYPE_FP32 dims: [ 4 ] random_data: true } }
                                           inputs { key: "w" value { data_type: TYPE_INT32 dims: [ %s ] input_data_file: "w.raw" } } }"""


@pytest.mark.apart
def test_clients_get_the_outputs_that_the_file_lists(tmp_path, serve):
    import tritonclient.grpc as grpc_lib
    import tritonclient.http as http_lib
    from tritonclient.utils import InferenceServerException
    folder = tmp_path / "repository"
    put(folder, "m", IO)
    flow = 'output_map { key: "%s" value: "y" }'
    ensemble = 'platform: "ensemble" ' + IO + 'ensemble_scheduling { step { model_name: "m" model_version: -1 ' \
               'input_map { key: "x" value: "x" } input_map { key: "w" value: "w" } ' + flow + ' } }'
    for name, output in (("listed", "y"), ("hidden", "z")):
        (folder / name / "1").mkdir(parents=True)
        (folder / name / "config.pbtxt").write_text(ensemble % output)
    server = serve("--model-repository", folder, "--model-control", "explicit", "--load-model", "m")
    http, grpc = clients(server)
    x, w = np.ones((1, 4), np.float32), np.ones((1, 2), np.int32)
    for client, lib in ((http, http_lib), (grpc, grpc_lib)):
        got = ask(client, lib, "m", x, w)
        assert np.array_equal(got.as_numpy("y"), 2 * x) and got.as_numpy("z") is None
        with pytest.raises(InferenceServerException) as e:
            inputs = [lib.InferInput("x", [1, 4], "FP32"), lib.InferInput("w", [1, 2], "INT32")]
            inputs[0].set_data_from_numpy(x), inputs[1].set_data_from_numpy(w)
            client.infer("m", inputs, outputs=[lib.InferRequestedOutput("z")])
        assert e.value.message() == "unexpected inference output 'z' for model 'm'" and e.value.status() in ("400", "StatusCode.INVALID_ARGUMENT")
    assert [o["name"] for o in http.get_model_metadata("m")["outputs"]] == [o.name for o in grpc.get_model_metadata("m").outputs] == ["y"]
    assert server.post("/v2/models/m/generate", {"x": [1, 1, 1, 1], "w": [1, 1]}).json().keys() == {"model_name", "model_version", "y"}
    assert server.post("/v1/models/m:predict", {"instances": [{"x": [1, 1, 1, 1], "w": [1, 1]}]}).json()["predictions"] == [[2, 2, 2, 2]]
    http.load_model("listed")
    assert np.array_equal(ask(http, http_lib, "listed", x, w).as_numpy("y"), 2 * x)
    with pytest.raises(InferenceServerException, match="ensemble tensor y is mapped from non-existing output z in model m"):
        http.load_model("hidden")
    http.close()


@pytest.mark.apart
def test_samples_are_run_before_a_model_is_ready(tmp_path, serve):
    folder = tmp_path / "repository"
    put(folder, "m", SAMPLE % 2)
    (folder / "m/warmup").mkdir()
    (folder / "m/warmup/w.raw").write_bytes(np.array([5, 6], np.int32).tobytes())
    server = serve("--model-repository", folder, "--model-control", "explicit")
    http, _ = clients(server)
    assert http.is_model_ready("m") and "model_warmup" not in server.log()
    (folder / "m/warmup/w.raw").write_bytes(b"1234567")
    with pytest.raises(Exception) as failed:
        http.load_model("m")
    why = "failed to run warmup sample 'first': input 'w': warmup setting expects 8 bytes, but the data provided from w.raw only has 7 bytes"
    assert why in str(failed.value)
    assert http.is_model_ready("m")   # the one before goes on
    with pytest.raises(Exception) as failed:
        http.load_model("m", config='{"max_batch_size": 8, "model_warmup": [{"name": "s", "batch_size": 1, "inputs": '
                                    '{"x": {"data_type": "TYPE_FP32", "dims": [-1], "zero_data": true}}}]}')
    assert "failed to run warmup sample 's': warmup setting expects all variable-size dimensions are specified for input 'x'" in str(failed.value)
    with pytest.raises(Exception) as failed:
        http.load_model("m", config='{"max_batch_size": 8, "model_warmup": [{"name": "s", "batch_size": 1, "inputs": '
                                    '{"x": {"data_type": "TYPE_FP32", "dims": [4]}}}]}')
    assert "failed to run warmup sample 's': warmup setting expects input 'x' to have input_data_type set" in str(failed.value)


def test_a_sample_that_fails_keeps_the_server_from_starting(tmp_path):
    put(tmp_path / "repository", "m", SAMPLE % 2)
    done = subprocess.run([PROA, "serve", "--port", "0", "--model-repository", tmp_path / "repository"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and done.stdout == ""
    assert "failed to run warmup sample 'first': input 'w': " in done.stderr and "w.raw" in done.stderr


def test_zeros_warm_what_has_no_samples(tmp_path, serve):
    put(tmp_path / "repository", "open", None)
    server = serve("--model-repository", tmp_path / "repository", "--warm-up", "2")
    logged(server, "model 'open': no warm-up with zeros: expected fixed shapes, or model_warmup in its config.pbtxt")
    assert server.get("/v2/models/open/ready").status == 200
