"""test_models.py - models that others trained answer over HTTP as ONNX Runtime does: relative error 1e-3, labels identical."""
import importlib.util, json
import numpy as np
import pytest
import oracle
from conftest import run_proa, Server
from test_v2 import binary, outputs

RELATIVE, FLOOR = 1e-3, 1e-5            # of the value; of the largest value, for those near zero
GOLDENS = json.loads(oracle.GOLDENS.read_text())


@pytest.fixture(scope="module")
def published(shared, tmp_path_factory):
    """(server with all six models, folder of the models)."""
    folder = shared / "data" / "models"
    s = Server(tmp_path_factory.mktemp("published"), *(f"{n}={folder / (n + '.onnx')}" for n in oracle.MODELS))
    yield s, folder
    assert s.stop() == 0


def ask(server, name, feeds):
    reply = binary(server, name, [(k, "FP32", list(v.shape), v.tobytes()) for k, v in feeds.items()])
    assert len(json.loads(reply.body).get("outputs", [])) > 0, reply
    return reply, outputs(reply)


def near(got, want, largest):
    off = np.abs(np.asarray(got, np.float64) - np.asarray(want, np.float64)) - RELATIVE * np.abs(want) - FLOOR * largest
    assert off.max(initial=-1) <= 0, f"{int((off > 0).sum())} of {off.size} values off, worst by {off.max():.3g} of {largest:.3g}"


@pytest.mark.parametrize("name", oracle.MODELS)
def test_answers_are_the_golden_ones(published, name):
    server, folder = published
    reply, got = ask(server, name, oracle.inputs(name, folder / f"{name}.onnx"))
    assert list(got) == list(GOLDENS[name])
    for k, want in GOLDENS[name].items():
        datatype, shape, data = got[k]
        assert shape == want["shape"] and len(data) == np.prod(shape)
        if datatype == "BYTES":
            assert data == want["values"]
            continue
        near([data[i] for i in oracle.places(name, k, len(data))], want["values"], want["largest"])
        if "labels" in want:                # a ZipMap: the probability tensor, its labels in the parameters
            said = next(o for o in reply.json()["outputs"] if o["name"] == k)["parameters"]
            assert any(v == want["labels"] or (isinstance(v, str) and json.loads(v) == want["labels"]) for v in said.values()), said


@pytest.mark.skipif(not importlib.util.find_spec("onnxruntime"), reason="onnxruntime is not installed: goldens only")
@pytest.mark.parametrize("name", oracle.MODELS)
def test_every_element_is_as_onnx_runtime_has_it(published, name):
    server, folder = published
    path = folder / f"{name}.onnx"
    r = np.random.default_rng(99)
    for _ in range(2):
        feeds = {k: v * r.uniform(0.5, 1) for k, v in oracle.inputs(name, path).items()}
        feeds = {k: np.ascontiguousarray(v, np.float32) for k, v in feeds.items()}
        want, _ = oracle.run(path, feeds)
        _, got = ask(server, name, feeds)
        for k, v in want.items():
            if v.dtype == object:
                assert got[k][2] == list(v.reshape(-1))
            else:
                near(got[k][2], v.reshape(-1), float(np.abs(v).max()))
                if v.ndim == 2:
                    assert int(np.argmax(got[k][2])) == int(v.argmax())


@pytest.mark.parametrize("name,shape,datatype", [("super_resolution", [1, 1, 224, 224], "FP32"), ("starry-night-fp16", [1, 3, 224, 224], "FP16")])
def test_models_that_onnx_runtime_refuses_run_or_are_refused_in_one_line(shared, serve, name, shape, datatype):
    path = shared / "data" / "models" / f"{name}.onnx"
    seen = run_proa("model", "inspect", path)
    if seen.returncode != 0:
        lines = [x for x in seen.stderr.splitlines() if x.strip()]
        assert seen.returncode in (1, 3) and len(lines) == 1 and str(path) in lines[0], seen
        started = run_proa("serve", f"m={path}", "--port", "0")
        assert started.returncode != 0 and str(path) in started.stderr
        return
    s = serve(f"m={path}")
    io = s.get("/v2/models/m").json()
    x = np.random.default_rng(1).random(shape).astype({"FP32": np.float32, "FP16": np.float16}[datatype])
    got = outputs(binary(s, "m", [(io["inputs"][0]["name"], datatype, shape, x.tobytes())], parameters={"binary_data_output": True}))
    y = np.frombuffer(got[io["outputs"][0]["name"]][2], x.dtype).astype(np.float64)
    assert np.isfinite(y).all() and y.std() > 0
