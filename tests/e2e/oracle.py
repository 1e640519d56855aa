"""oracle.py - seeded inputs for other people's models, and what ONNX Runtime makes of them, kept as small samples.

    python tests/e2e/oracle.py [SHARED]         writes tests/e2e/goldens.json again; needs onnxruntime

A golden holds, per output, the shape, the largest magnitude, and SAMPLES values at seeded places (all, where there are
fewer). Where onnxruntime can be imported, the tests compare every element instead.
"""
import json, pathlib, sys
import numpy as np
import onnx

SEED, SAMPLES = 20260101, 48
GOLDENS = pathlib.Path(__file__).with_name("goldens.json")
MODELS = ["mnist", "mnist_pytorch", "squeezenet_tensor_input", "RFB-320", "yunet_n_640", "dtln_1"]
SCALES = {"mnist": (0, 255), "mnist_pytorch": (0, 1), "squeezenet_tensor_input": (0, 255), "RFB-320": (-1, 1), "yunet_n_640": (0, 255),
          "dtln_1": (0, 1)}


def inputs(name, path):
    """Seeded values for every input, in the range that the model was trained for; smooth where it is an image."""
    r = np.random.default_rng([SEED] + list(name.encode()))
    m = onnx.load(path, load_external_data=False)
    constants = {i.name for i in m.graph.initializer}
    feeds, (low, high) = {}, SCALES[name]
    for v in m.graph.input:
        if v.name in constants:
            continue
        dims = [d.dim_value or 1 for d in v.type.tensor_type.shape.dim]
        if len(dims) == 4 and dims[2] == dims[3] or dims[-1] == 320:
            cells = r.random(dims[:2] + [d // 8 + 1 for d in dims[2:]])
            x = cells.repeat(8, 2).repeat(8, 3)[:, :, :dims[2], :dims[3]] * 0.8 + 0.2 * r.random(dims)
        else:
            x = r.random(dims)
        feeds[v.name] = (low + (high - low) * x).astype(np.float32)
    return feeds


def run(path, feeds):
    """{output: array} by ONNX Runtime; a list of maps (ZipMap) becomes an array in the order of the labels, and the labels."""
    import onnxruntime as ort
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    found, labels = {}, {}
    for o, v in zip(session.get_outputs(), session.run(None, feeds)):
        if isinstance(v, list):
            zipmap = next(n for n in onnx.load(path).graph.node if n.op_type == "ZipMap" and n.output[0] == o.name)
            labels[o.name] = [s.decode() for a in zipmap.attribute for s in a.strings]
            v = np.array([[row[k] for k in labels[o.name]] for row in v], np.float32)
        found[o.name] = v
    return found, labels


def places(name, output, size):
    r = np.random.default_rng([SEED] + list((name + "/" + output).encode()))
    return np.arange(size) if size <= SAMPLES else np.sort(r.choice(size, SAMPLES, replace=False))


def golden(name, arrays, labels):
    entry = {}
    for k, v in arrays.items():
        flat = v.reshape(-1)
        values = [str(x) for x in flat] if v.dtype == object else [float(f"{x:.7g}") for x in flat[places(name, k, flat.size)]]
        entry[k] = {"shape": list(v.shape), "largest": None if v.dtype == object else float(f"{np.abs(flat).max():.7g}"), "values": values}
        if k in labels:
            entry[k]["labels"] = labels[k]
    return entry


def main():
    shared = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parents[3] / "shared")
    table = {}
    for name in MODELS:
        path = shared / "data" / "models" / f"{name}.onnx"
        table[name] = golden(name, *run(path, inputs(name, path)))
    text = json.dumps(table, indent=1)
    GOLDENS.write_text(text + "\n")
    print(f"{GOLDENS}: {len(table)} models, {len(text)} bytes")


if __name__ == "__main__":
    main()
