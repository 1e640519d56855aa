"""test_model_memory.py - a model that eats memory at run time is held to its bound, and the others live on."""
import concurrent.futures
import numpy as np
import onnx
import pytest
from conftest import run_proa, until
from models import model
from onnx import TensorProto as T, helper as h


def hungry():
    """n zeros, which only the run knows."""
    return model([h.make_node("ConstantOfShape", ["n"], ["y"])], [("n", T.INT64, [1])], [("y", T.FLOAT, ["m"])])


@pytest.fixture
def repository(tmp_path):
    for name, config in (("hungry", ""), ("own", 'parameters { key: "model_memory_max" value { string_value: "1048576" } }')):
        (tmp_path / name / "1").mkdir(parents=True)
        onnx.save(hungry(), tmp_path / name / "1/model.onnx")
        (tmp_path / name / "config.pbtxt").write_text(config)
    return tmp_path


def ask(server, name, n):
    return server.post(f"/v2/models/{name}/infer", {"inputs": [{"name": "n", "datatype": "INT64", "shape": [1], "data": [n]}],
                                                    "outputs": [{"name": "y", "parameters": {"binary_data": True}}]})


def test_one_model_is_refused_and_the_others_live_on(serve, repository):
    server = serve("--model-repository", repository, "--model-memory-max", "8Mi")
    assert ask(server, "hungry", 1 << 20).status == 200
    refused = ask(server, "own", 1 << 20)
    assert refused.status in (413, 429)
    assert "memory of the model's executions: expected at most 1048576 bytes in all, got more" in refused.json()["error"]
    refused = ask(server, "hungry", 1 << 24)
    assert refused.status in (413, 429) and "expected at most 8388608 bytes in all" in refused.json()["error"]
    assert ask(server, "own", 1000).status == 200 and ask(server, "hungry", 1000).status == 200
    page = server.get("/metrics").body.decode().splitlines()
    for name in ("hungry", "own"):
        values = {l.split("{")[0]: float(l.split()[1]) for l in page if f'model_name="{name}"' in l and l.startswith("proa_model_")}
        assert values["proa_model_executions_refused"] == 1 and 0 < values["proa_model_executions_bytes"] <= 8 << 20


def test_many_at_once_stay_within_it(serve, repository):
    server = serve("--model-repository", repository, "--model-memory-max", "8Mi", "--threads", "4")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(lambda i: ask(server, "hungry", 1 << 20).status, range(60)))
    assert set(codes) <= {200, 413, 429} and 200 in codes
    until(lambda: ask(server, "hungry", 1 << 20).status == 200)   # an answer's memory comes back behind it


def test_a_bound_that_is_none_is_refused(tmp_path, repository):
    (repository / "own/config.pbtxt").write_text('parameters { key: "model_memory_max" value { string_value: "much" } }')
    done = run_proa("serve", "--port", "0", "--model-repository", repository)
    assert done.returncode == 1
    assert "parameter 'model_memory_max': expected bytes, 1 or more, got 'much'" in done.stderr
