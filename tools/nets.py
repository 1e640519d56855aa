#!/usr/bin/env python3
"""nets.py - the nine full-size topologies of the ONNX backend tests, with weights that look trained.

    python3 tools/nets.py OUT --data ../shared/data/onnx          needs numpy and onnx; about 2 minutes, 1.5 GB
    python3 tools/nets.py OUT --data FOLDER_WITH_LIGHT_NETS --only resnet50,vgg19

Upstream's own files (light_*.onnx) hold one constant in every weight: all channels compute the same, so a wrong channel
order, group or stride passes. Here every weight is drawn seeded and He-normal, batch norms get the statistics of a seeded
batch (measured by the small executor below), the batch is symbolic, and the output is the tensor before the softmax, which
would flatten differences. Written per net, in the format that bench/engine.py reads:

    NAME.onnx  NAME.b1.in.npz  NAME.b1.out.npz  NAME.b3.in.npz  NAME.b3.out.npz   and models.json, the list of all

The outputs are ONNX Runtime's where it can be imported, else those of the executor; models.json says which. With both
there, they are compared: two independent readings of the specification must agree.
"""
import argparse, json, math, os, pathlib, subprocess, sys, tarfile, tempfile, time
import numpy as np
import onnx
from onnx import numpy_helper

SEED = 20260101
SIZE = 224
BATCHES = (1, 3)
CALIBRATION_BATCH = 4
TOLERANCE = {"rtol": 1e-3, "atol": 1e-4}
AGREE_MAX = 1e-3                # executor against ONNX Runtime, relative to the largest logit
DENORMAL = 1.2e-38
SPREAD = (0.05, 50.0)           # standard deviation of the logits of a net that looks trained


def rng(tag):
    return np.random.default_rng([SEED] + list(tag.encode()))


def image(tag, batch):
    """Smooth noise plus grain, mean 0, deviation about 1: closer to a normalised photograph than white noise."""
    r = rng(tag)
    coarse = r.standard_normal((batch, 3, SIZE // 16, SIZE // 16))
    smooth = coarse.repeat(16, axis=2).repeat(16, axis=3)
    return (0.8 * smooth + 0.6 * r.standard_normal((batch, 3, SIZE, SIZE))).astype(np.float32)


# ---- executor: the operators of these nets in numpy, straight from the specification -----------------------------

def windows(x, a, fill):
    """[n,c,h,w] -> a view [n,c,oh,ow,kh,kw] of the padded input, one window per output pixel."""
    kernel, strides, pads = a["kernel_shape"], a.get("strides", [1, 1]), a.get("pads", [0, 0, 0, 0])
    x = np.pad(x, ((0, 0), (0, 0), (pads[0], pads[2]), (pads[1], pads[3])), constant_values=fill)
    return np.lib.stride_tricks.sliding_window_view(x, kernel, (2, 3))[:, :, ::strides[0], ::strides[1]]


def conv(a, x, weight, bias=None):
    groups, outs = a.get("group", 1), len(weight)
    view = windows(x, a, 0)
    n, c, oh, ow, kh, kw = view.shape
    y = np.empty((n, outs, oh, ow), np.float32)
    ci, co = c // groups, outs // groups
    if ci == 1 and co == 1:                     # depthwise: a sum over the taps beats many tiny products
        y[:] = sum(view[..., i, j] * weight[None, :, 0, i, j, None, None] for i in range(kh) for j in range(kw))
    else:
        for b in range(n):                      # one image at a time: 224x224x64 patches are 115 MB
            cols = view[b].transpose(0, 3, 4, 1, 2).reshape(groups, ci * kh * kw, oh * ow)
            for g in range(groups):
                flat = weight[g * co:(g + 1) * co].reshape(co, -1)
                y[b, g * co:(g + 1) * co] = (flat @ cols[g]).reshape(co, oh, ow)
    return y if bias is None else y + bias[None, :, None, None]


def average_pool(a, x):
    inside = windows(np.ones((1, 1) + x.shape[2:], np.float32), a, 1 if a.get("count_include_pad") else 0).sum((4, 5))
    return windows(x, a, 0).sum((4, 5), dtype=np.float32) / inside


def lrn(a, x):
    size, c = a["size"], x.shape[1]
    before = (size - 1) // 2
    square = np.pad(x * x, ((0, 0), (before, size - 1 - before), (0, 0), (0, 0)))
    total = sum(square[:, i:i + c] for i in range(size))
    return x / (a.get("bias", 1.0) + a.get("alpha", 1e-4) / size * total) ** np.float32(a.get("beta", 0.75))


def batch_norm(a, x, scale, shift, mean, var):
    factor = scale / np.sqrt(var + np.float32(a.get("epsilon", 1e-5)))
    return x * factor[None, :, None, None] + (shift - mean * factor)[None, :, None, None]


def gemm(a, x, weight, bias):
    return x @ (weight.T if a.get("transB") else weight) + bias


def reshape(a, x, shape):
    return x.reshape([x.shape[i] if d == 0 else int(d) for i, d in enumerate(shape)])


def unsqueeze(a, x):
    for axis in sorted(a["axes"]):
        x = np.expand_dims(x, axis)
    return x


OPS = {"Conv": conv, "AveragePool": average_pool, "LRN": lrn, "BatchNormalization": batch_norm, "Gemm": gemm, "Reshape": reshape,
       "Unsqueeze": unsqueeze, "Relu": lambda a, x: np.maximum(x, 0), "MaxPool": lambda a, x: windows(x, a, -np.inf).max((4, 5)),
       "Mul": lambda a, x, y: x * y, "Add": lambda a, x, y: x + y, "Sum": lambda a, *x: sum(x[1:], x[0]), "Dropout": lambda a, x: x,
       "Concat": lambda a, *x: np.concatenate(x, a["axis"]), "Transpose": lambda a, x: x.transpose(a["perm"]),
       "GlobalAveragePool": lambda a, x: x.mean((2, 3), keepdims=True)}


def execute(graph, weights, x, calibrate=False):
    """Run the graph on x. With calibrate, every batch norm first takes the statistics of what reaches it.
    Returns the output and the largest magnitude; raises on NaN, infinity and denormals."""
    last = {name: i for i, node in enumerate(graph.node) for name in node.input}
    values, largest = {graph.input[0].name: x}, 0.0
    for i, node in enumerate(graph.node):
        ins = [values[name] if name in values else weights[name] for name in node.input]
        if node.op_type == "BatchNormalization" and calibrate:
            for k, v in ((3, ins[0].mean((0, 2, 3))), (4, ins[0].var((0, 2, 3)))):
                ins[k] = weights[node.input[k]] = v.astype(np.float32)
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        y = OPS[node.op_type](attributes, *ins).astype(np.float32, copy=False)
        size = np.abs(y)
        if not np.isfinite(size).all():
            raise ValueError(f"{node.op_type} {node.output[0]}: expected finite values")
        if ((size > 0) & (size < DENORMAL)).any():
            raise ValueError(f"{node.op_type} {node.output[0]}: expected no denormals")
        largest = max(largest, float(size.max()))
        values[node.output[0]] = y
        for name in node.input:
            if last[name] == i:
                values.pop(name, None)
    return values[graph.output[0].name], largest


# ---- making a net ------------------------------------------------------------------------------------------------

def roles(graph):
    """weight name -> (operator, input index, shape that the operator sees or None), through Reshape and Unsqueeze of weights."""
    constants = {i.name: numpy_helper.to_array(i) for i in graph.initializer if i.data_type == onnx.TensorProto.INT64}
    origin, found = {}, {}
    for node in graph.node:
        if node.op_type == "ConstantOfShape":
            origin[node.output[0]] = (node.output[0], None)
    for i in graph.initializer:
        if i.data_type == onnx.TensorProto.FLOAT:
            origin[i.name] = (i.name, None)
    for node in graph.node:
        if node.op_type in ("Reshape", "Unsqueeze") and node.input[0] in origin:
            shape = constants.get(node.input[1]) if node.op_type == "Reshape" else None
            origin[node.output[0]] = (origin[node.input[0]][0], shape)
            continue
        for k, name in enumerate(node.input):
            if name in origin:
                found[origin[name][0]] = (node.op_type, k, origin[name][1])
    return found


def draw(r, role, shape):
    """One weight: He-normal kernels, scales near 1, small shifts; means and variances are calibrated later."""
    op, index, seen = role
    if op in ("Conv", "Gemm") and index == 1:
        fan = math.prod(int(d) for d in (shape if seen is None else seen)[1:])
        v = r.standard_normal(shape) * math.sqrt(2.0 / fan)
    elif (op == "BatchNormalization" and index == 1) or op == "Mul":
        v = 1 + 0.1 * r.standard_normal(shape)
    elif op == "BatchNormalization" and index == 4:
        v = np.ones(shape)
    else:
        v = 0.05 * r.standard_normal(shape)
    return v.astype(np.float32)


def make(path, name):
    """Returns (model without weights, {weight: array}); the graph takes any batch and ends before its softmax."""
    m = onnx.load(path)
    g, r = m.graph, rng(name)
    inits = {i.name: i for i in g.initializer}
    used, weights = roles(g), {}
    for node in g.node:
        if node.op_type == "ConstantOfShape" and node.output[0] in used:
            shape = [int(d) for d in numpy_helper.to_array(inits[node.input[0]])]
            weights[node.output[0]] = draw(r, used[node.output[0]], shape)
    for i in g.initializer:
        if i.data_type == onnx.TensorProto.FLOAT and i.name in used:
            weights[i.name] = draw(r, used[i.name], list(i.dims))
    nodes = [n for n in g.node if n.op_type != "ConstantOfShape"]
    if nodes[-1].op_type == "Softmax":
        del g.output[:]
        g.output.append(onnx.helper.make_tensor_value_info(nodes.pop().input[0], onnx.TensorProto.FLOAT, None))
    for node in nodes:
        if node.op_type == "Reshape":           # [1, ...] was the batch: 0 copies it from the input
            shape = numpy_helper.to_array(inits[node.input[1]]).copy()
            if node.input[0] not in weights:
                shape[0] = 0
            weights[node.input[1]] = shape
    data = next(v for v in g.input if v.name not in inits)
    data.type.tensor_type.shape.dim[0].dim_param = "N"
    for field, items in ((g.node, nodes), (g.input, [data]), (g.initializer, [])):
        kept = list(items)
        del field[:]
        field.extend(kept)
    m.ir_version = 8
    return m, weights


def reference(path, model, weights, feeds):
    """(name of the reference, {case: output}) and the executor's largest relative difference from it, where both ran."""
    own = {case: execute(model.graph, weights, x)[0] for case, x in feeds.items()}
    try:
        import onnxruntime as ort
    except ImportError:
        return "numpy executor of tools/nets.py", own, None
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    theirs = {case: session.run(None, {session.get_inputs()[0].name: x})[0] for case, x in feeds.items()}
    off = max(float(np.abs(theirs[c] - own[c]).max() / np.abs(theirs[c]).max()) for c in feeds)
    return f"onnxruntime {ort.__version__}", theirs, off


def build(source, name, out):
    """Make one net with its cases; returns its entry in models.json."""
    m, weights = make(source, name)
    probe, _ = execute(m.graph, weights, image(f"{name}.norm", CALIBRATION_BATCH), calibrate=True)
    spread = float(probe.std(axis=tuple(range(1, probe.ndim))).mean())
    if not SPREAD[0] <= spread <= SPREAD[1]:
        raise ValueError(f"{name}: logits: expected a deviation of {SPREAD[0]} to {SPREAD[1]}, got {spread:.3g}")
    output = m.graph.output[0].name
    info = onnx.helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, ["N"] + list(probe.shape[1:]))
    m.graph.output[0].CopyFrom(info)
    bare = onnx.ModelProto()
    bare.CopyFrom(m)                            # the executor's copy stays without weights
    m.graph.initializer.extend(numpy_helper.from_array(v, k) for k, v in weights.items())
    onnx.checker.check_model(m)
    path = out / f"{name}.onnx"
    onnx.save(m, path)
    feeds = {f"b{b}": image(f"{name}.b{b}", b) for b in BATCHES}
    by, results, off = reference(path, bare, weights, feeds)
    if off is not None and off > AGREE_MAX:
        raise ValueError(f"{name}: executor and {by}: expected a difference of at most {AGREE_MAX}, got {off:.2g}")
    cases = {}
    for case, x in feeds.items():
        cases[case] = {"inputs": f"{name}.{case}.in.npz", "outputs": f"{name}.{case}.out.npz"}
        np.savez(out / cases[case]["inputs"], **{m.graph.input[0].name: x})
        np.savez(out / cases[case]["outputs"], **{output: results[case]})
    return {"name": name, "kind": "given", "onnx": path.name, "cases": cases, **TOLERANCE, "bytes": path.stat().st_size,
            "seed": SEED, "reference": by, "logit_deviation": round(spread, 3), "executor_off": off}


def unpack(archive, folder):
    """With the zstandard package where it is installed, else with the zstd program."""
    try:
        import zstandard
    except ImportError:
        subprocess.run(["tar", "--zstd", "-xf", archive, "-C", folder], check=True)
        return
    with open(archive, "rb") as f, tarfile.open(fileobj=zstandard.ZstdDecompressor().stream_reader(f), mode="r|") as tar:
        for member in tar:
            if member.isfile() and os.path.basename(member.name).startswith("light_") and member.name.endswith(".onnx"):
                pathlib.Path(folder, os.path.basename(member.name)).write_bytes(tar.extractfile(member).read())


def sources(data, scratch):
    """{net name: path of light_NAME.onnx} from a folder of nets or from the archive of the backend tests in it."""
    found = sorted(data.rglob("light_*.onnx"))
    if not found:
        for archive in data.glob("*.tar.zst"):
            unpack(archive, scratch)
        found = sorted(pathlib.Path(scratch).rglob("light_*.onnx"))
    if not found:
        sys.exit(f"nets.py: {data}: expected light_*.onnx or an archive *.tar.zst that holds them")
    return {p.stem[len("light_"):]: p for p in found}


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("out", type=pathlib.Path)
    shared = pathlib.Path(os.environ.get("PROA_SHARED") or pathlib.Path(__file__).resolve().parents[2] / "shared")
    ap.add_argument("--data", type=pathlib.Path, default=shared / "data" / "onnx", help="default: $PROA_SHARED or ../shared, data/onnx")
    ap.add_argument("--only", help="comma separated names")
    ap.add_argument("--force", action="store_true", help="make again what OUT already has")
    a = ap.parse_args()
    a.out.mkdir(parents=True, exist_ok=True)
    index = a.out / "models.json"
    entries = {e["name"]: e for e in json.loads(index.read_text())} if index.exists() else {}
    failed = False
    with tempfile.TemporaryDirectory() as scratch:
        nets = sources(a.data, scratch)
        wanted = a.only.split(",") if a.only else list(nets)
        unknown = sorted(set(wanted) - set(nets))
        if unknown:
            sys.exit(f"nets.py: --only: expected names among {', '.join(nets)}, got '{', '.join(unknown)}'")
        for name in wanted:
            e = entries.get(name)
            if e and e.get("seed") == SEED and not a.force and (a.out / e["onnx"]).exists():
                print(f"{name}: kept", flush=True)
                continue
            since = time.time()
            try:
                e = entries[name] = build(nets[name], name, a.out)
            except (ValueError, onnx.checker.ValidationError) as error:
                failed = True
                print(f"nets.py: {error}", file=sys.stderr, flush=True)
                continue
            off = "" if e["executor_off"] is None else f", executor within {e['executor_off']:.1g}"
            print(f"{name}: {e['bytes'] / 1e6:.1f} MB, logit deviation {e['logit_deviation']}, outputs by {e['reference']}{off}, "
                  f"{time.time() - since:.0f} s", flush=True)
            index.write_text(json.dumps(list(entries.values()), indent=1) + "\n")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
