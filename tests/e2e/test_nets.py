"""test_nets.py - full-size topologies with seeded weights: the logits are within 1e-3 of the reference's, at batch 1 and 3.

Three small nets are made here (tools/nets.py, from ../shared/data/onnx). PROA_NETS=FOLDER names a folder that `tools/nets.py
FOLDER` has filled, and then every net in it is tested: `make deep` does that with all nine.
"""
import json, os, pathlib, subprocess, sys
import numpy as np
import pytest
from conftest import ROOT, SHARED, Server, run_proa
from test_v2 import binary, outputs

RELATIVE = 1e-3
SMALL = ["densenet121", "shufflenet", "squeezenet"]
NAMES = ([e["name"] for e in json.loads(pathlib.Path(os.environ["PROA_NETS"], "models.json").read_text())] if "PROA_NETS" in os.environ else SMALL)


@pytest.fixture(scope="module")
def nets(request, tmp_path_factory):
    if "PROA_NETS" in os.environ:
        folder = pathlib.Path(os.environ["PROA_NETS"])
    else:
        shared = request.getfixturevalue("shared")
        folder = tmp_path_factory.mktemp("nets")
        subprocess.run([sys.executable, str(ROOT / "tools" / "nets.py"), str(folder), "--data", str(shared / "data" / "onnx"), "--only", ",".join(SMALL)],
                       check=True, capture_output=True)
    return folder, {e["name"]: e for e in json.loads((folder / "models.json").read_text())}


def near(got, want):
    """Relative to each value, with the floor that float32 sums of this length need: 1e-3 of the deviation of the logits."""
    off = np.abs(got.astype(np.float64) - want) - RELATIVE * np.abs(want) - RELATIVE * want.std()
    assert got.shape == want.shape and off.max() <= 0, f"worst by {off.max():.3g}, deviation of the logits {want.std():.3g}"
    rows = len(want)
    assert (got.reshape(rows, -1).argmax(1) == want.reshape(rows, -1).argmax(1)).all()


@pytest.mark.parametrize("case", ["b1", "b3"])
@pytest.mark.parametrize("name", NAMES)
def test_logits_are_the_reference_ones(nets, tmp_path, name, case):
    folder, entries = nets
    e = entries[name]
    done = run_proa("model", "bench", folder / e["onnx"], "--inputs", folder / e["cases"][case]["inputs"], "--threads", "1", "--runs", "1", "--json",
                    "--out", tmp_path / "out.npz", timeout=120)
    assert done.returncode == 0, done
    with np.load(folder / e["cases"][case]["outputs"]) as want, np.load(tmp_path / "out.npz") as got:
        assert got.files == want.files
        near(got[want.files[0]], want[want.files[0]])


@pytest.mark.parametrize("name", ["shufflenet", "squeezenet"])
def test_logits_over_http(nets, serve, name):
    folder, entries = nets
    e = entries[name]
    s = serve(f"net={folder / e['onnx']}")
    for case in ("b1", "b3"):
        with np.load(folder / e["cases"][case]["inputs"]) as x, np.load(folder / e["cases"][case]["outputs"]) as want:
            feeds = [(k, "FP32", list(x[k].shape), x[k].tobytes()) for k in x.files]
            datatype, shape, data = outputs(binary(s, "net", feeds, parameters={"binary_data_output": True}))[want.files[0]]
            near(np.frombuffer(data, np.float32).reshape(shape), want[want.files[0]])
