#!/usr/bin/env python3
"""digits.py - trains the model that `proa serve` ships with: a small CNN on scikit-learn's handwritten digits.

    pip install numpy==2.4.6 scikit-learn==1.9.1 onnx==1.23.2
    python3 tools/train/digits.py                 writes examples/digits/{digits.onnx,heldout.json,metrics.json}

The data are the 1,797 8x8 images inside scikit-learn (nothing is downloaded); one in five is held out before training and
never looked at until the end. Everything is drawn from one seed and computed by one thread, so that the same numpy on the
same kind of processor writes the same bytes; another BLAS rounds differently and ends at another model of equal accuracy.
The script fails, and writes nothing, when the held-out accuracy is under 98 %.
"""
import os
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"   # a sum's order is its value
import argparse, json, pathlib, sys, time
import numpy as np

SEED = 1
EPOCHS, BATCH, RATE, DECAY = 60, 32, 2e-3, 1e-4
WIDTHS = (16, 32, 64)               # channels of the two convolutions, units of the hidden layer
SHOWN_PER_LABEL = 2                 # held-out images kept for the demo
ACCURACY_MIN, BYTES_MAX = 0.98, 300 * 1024


# ---- layers: forward returns what backward needs -----------------------------------------------------------------

def patches(x):
    """[n,c,h,w] -> [n,h,w,c*9]: the 3x3 neighbourhood of every pixel, zeros outside."""
    n, c, h, w = x.shape
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    return np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (2, 3)).transpose(0, 2, 3, 1, 4, 5).reshape(n, h, w, c * 9)


def conv(x, weight, bias):
    """3x3 convolution, padding 1. weight [out,in,3,3]."""
    cols = patches(x)
    y = cols @ weight.reshape(len(weight), -1).T + bias
    return y.transpose(0, 3, 1, 2), cols


def conv_back(dy, cols, weight, wants_dx):
    """Gradients of weight, bias and, where wanted, of the input."""
    flat = dy.transpose(0, 2, 3, 1).reshape(-1, len(weight))
    dw = (flat.T @ cols.reshape(len(flat), -1)).reshape(weight.shape)
    dx = None
    if wants_dx:                    # a convolution with the kernel turned round
        turned = weight[:, :, ::-1, ::-1].transpose(1, 0, 2, 3)
        dx = conv(dy, turned, 0)[0]
    return dw, flat.sum(0), dx


def pool(x):
    """2x2 maximum. Returns the mask of the winners too."""
    n, c, h, w = x.shape
    tiles = x.reshape(n, c, h // 2, 2, w // 2, 2)
    y = tiles.max((3, 5))
    won = tiles == y[:, :, :, None, :, None]
    return y, won


def softmax(z):
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


# ---- network -----------------------------------------------------------------------------------------------------

def start(rng):
    """He-normal weights."""
    c1, c2, hidden = WIDTHS
    shapes = {"conv1": (c1, 1, 3, 3), "conv2": (c2, c1, 3, 3), "dense1": (hidden, c2 * 16), "dense2": (10, hidden)}
    p = {}
    for name, shape in shapes.items():
        fan = int(np.prod(shape[1:]))
        p[name + ".weight"] = (rng.standard_normal(shape) * np.sqrt(2 / fan)).astype(np.float32)
        p[name + ".bias"] = np.zeros(shape[0], np.float32)
    return p


def forward(p, x, drop=None):
    """x [n,1,8,8] raw 0..16. Returns logits [n,10] and the tape for backward. drop: mask of the hidden layer."""
    a, cols1 = conv(x * np.float32(1 / 16), p["conv1.weight"], p["conv1.bias"])
    ra = np.maximum(a, 0)
    b, cols2 = conv(ra, p["conv2.weight"], p["conv2.bias"])
    rb = np.maximum(b, 0)
    m, won = pool(rb)
    flat = m.reshape(len(x), -1)
    h = np.maximum(flat @ p["dense1.weight"].T + p["dense1.bias"], 0)
    kept = h if drop is None else h * drop
    return kept @ p["dense2.weight"].T + p["dense2.bias"], (cols1, a, cols2, b, won, m.shape, flat, h, kept)


def gradients(p, x, target, drop):
    """Gradient of the mean cross-entropy against target [n,10]."""
    logits, (cols1, a, cols2, b, won, pooled, flat, h, kept) = forward(p, x, drop)
    dz = (softmax(logits) - target) / np.float32(len(x))
    g = {"dense2.weight": dz.T @ kept, "dense2.bias": dz.sum(0)}
    dh = (dz @ p["dense2.weight"]) * drop * (h > 0)
    g["dense1.weight"], g["dense1.bias"] = dh.T @ flat, dh.sum(0)
    dm = (dh @ p["dense1.weight"]).reshape(pooled)
    db = (won * dm[:, :, :, None, :, None]).reshape(b.shape) * (b > 0)
    g["conv2.weight"], g["conv2.bias"], da = conv_back(db, cols2, p["conv2.weight"], True)
    g["conv1.weight"], g["conv1.bias"], _ = conv_back(da * (a > 0), cols1, p["conv1.weight"], False)
    return g


def jitter(rng, x):
    """Shift every image by up to one pixel and scale its ink: writers differ by more than that."""
    out = np.zeros_like(x)
    for i, (dy, dx) in enumerate(rng.integers(-1, 2, (len(x), 2))):
        out[i, 0, max(dy, 0):8 + min(dy, 0), max(dx, 0):8 + min(dx, 0)] = \
            x[i, 0, max(-dy, 0):8 + min(-dy, 0), max(-dx, 0):8 + min(-dx, 0)]
    ink = rng.uniform(0.85, 1.15, (len(x), 1, 1, 1)).astype(np.float32)
    return np.minimum(out * ink, np.float32(16))


def train(images, labels, rng, say):
    """Adam with a cosine rate and decoupled weight decay; returns the running average of the weights."""
    p = start(rng)
    first, second, mean = ({k: np.zeros_like(v) for k, v in p.items()} for _ in range(3))
    target = (np.eye(10, dtype=np.float32)[labels] * np.float32(0.95) + np.float32(0.005))      # smoothed: keeps confidence honest
    steps, t = EPOCHS * (len(images) // BATCH), 0
    for epoch in range(EPOCHS):
        order = rng.permutation(len(images))
        for at in range(0, len(images) - BATCH + 1, BATCH):
            pick = order[at:at + BATCH]
            drop = (rng.random((BATCH, WIDTHS[2])) < 0.7).astype(np.float32) / np.float32(0.7)
            g = gradients(p, jitter(rng, images[pick]), target[pick], drop)
            t += 1
            rate = RATE * 0.5 * (1 + np.cos(np.pi * t / steps))
            keep = min(0.998, t / (t + 10))
            for k in p:
                first[k] += np.float32(0.1) * (g[k] - first[k])
                second[k] += np.float32(0.001) * (g[k] * g[k] - second[k])
                step = (first[k] / (1 - 0.9 ** t)) / (np.sqrt(second[k] / (1 - 0.999 ** t)) + 1e-8)
                p[k] = (p[k] - rate * (step + DECAY * p[k])).astype(np.float32)
                mean[k] += np.float32(1 - keep) * (p[k] - mean[k])
        say(epoch)
    return mean


# ---- export ------------------------------------------------------------------------------------------------------

def export(p, path):
    """The network as ONNX: opset 17, IR 8, symbolic batch, raw 0..16 in, probabilities and label out."""
    import onnx
    from onnx import TensorProto as T, helper as h, numpy_helper
    node = h.make_node
    nodes = [node("Mul", ["image", "scale"], ["scaled"], name="scale"),
             node("Conv", ["scaled", "conv1.weight", "conv1.bias"], ["conv1"], name="conv1", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
             node("Relu", ["conv1"], ["relu1"], name="relu1"),
             node("Conv", ["relu1", "conv2.weight", "conv2.bias"], ["conv2"], name="conv2", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
             node("Relu", ["conv2"], ["relu2"], name="relu2"),
             node("MaxPool", ["relu2"], ["pooled"], name="pool", kernel_shape=[2, 2], strides=[2, 2]),
             node("Flatten", ["pooled"], ["flat"], name="flatten", axis=1),
             node("Gemm", ["flat", "dense1.weight", "dense1.bias"], ["dense1"], name="dense1", transB=1),
             node("Relu", ["dense1"], ["relu3"], name="relu3"),
             node("Gemm", ["relu3", "dense2.weight", "dense2.bias"], ["logits"], name="dense2", transB=1),
             node("Softmax", ["logits"], ["probabilities"], name="softmax", axis=1),
             node("ArgMax", ["logits"], ["label"], name="argmax", axis=1, keepdims=0)]
    weights = [numpy_helper.from_array(np.float32(1 / 16), "scale")]
    weights += [numpy_helper.from_array(np.ascontiguousarray(v), k) for k, v in p.items()]
    graph = h.make_graph(nodes, "digits", [h.make_tensor_value_info("image", T.FLOAT, ["n", 1, 8, 8])],
                         [h.make_tensor_value_info("probabilities", T.FLOAT, ["n", 10]),
                          h.make_tensor_value_info("label", T.INT64, ["n"])], weights)
    m = h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8, producer_name="proa tools/train/digits.py")
    onnx.checker.check_model(m, full_check=True)
    path.write_bytes(m.SerializeToString(deterministic=True))


def heldout_json(images, labels, picks, rows):
    """The shown images, one image row a line, so that a person sees the digit in the diff."""
    parts = []
    for i in picks:
        grid = ",\n    ".join("[" + ", ".join(f"{int(v):2}" for v in row) + "]" for row in images[i, 0])
        parts.append(f'  {{"row": {rows[i]}, "label": {labels[i]}, "image": [\n    {grid}]}}')
    return "[\n" + ",\n".join(parts) + "\n]\n"


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--seed", type=int, default=SEED, help="another split, other first weights (default %(default)s: the committed model)")
    ap.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parents[2] / "examples" / "digits")
    a = ap.parse_args()
    from sklearn.datasets import load_digits
    since = time.time()
    data = load_digits()
    rng = np.random.default_rng(a.seed)
    order = rng.permutation(len(data.target))
    images, labels = data.images[order].astype(np.float32)[:, None], data.target[order]
    held = len(labels) // 5
    test_x, test_y, train_x, train_y = images[:held], labels[:held], images[held:], labels[held:]
    bar = sys.stderr.isatty()

    def say(epoch):
        done = 30 * (epoch + 1) // EPOCHS
        if bar:
            print(f"\r[{'#' * done}{'.' * (30 - done)}] epoch {epoch + 1}/{EPOCHS} {time.time() - since:.0f} s", end="", file=sys.stderr)

    p = train(train_x, train_y, rng, say)
    if bar:
        print(file=sys.stderr)
    probability = softmax(forward(p, test_x)[0])
    right = int((probability.argmax(1) == test_y).sum())
    train_right = int((forward(p, train_x)[0].argmax(1) == train_y).sum())
    print(f"held out: {right} of {held} right ({100 * right / held:.2f} %), training: {train_right} of {len(train_y)}, "
          f"{sum(v.size for v in p.values())} weights, {time.time() - since:.0f} s")
    if right < ACCURACY_MIN * held:
        sys.exit(f"digits.py: held-out accuracy: expected at least {ACCURACY_MIN:.0%}, got {right / held:.2%}")

    a.out.mkdir(parents=True, exist_ok=True)
    fresh = a.out / "digits.onnx.new"
    export(p, fresh)
    if fresh.stat().st_size > BYTES_MAX:
        sys.exit(f"digits.py: {fresh}: expected at most {BYTES_MAX} bytes, got {fresh.stat().st_size}")
    fresh.replace(a.out / "digits.onnx")
    picks = [np.flatnonzero(test_y == label)[k] for k in range(SHOWN_PER_LABEL) for label in range(10)]
    (a.out / "heldout.json").write_text(heldout_json(test_x, test_y, picks, order))
    metrics = {"heldout_images": held, "heldout_right": right, "heldout_accuracy": round(right / held, 4),
               "training_images": len(train_y), "training_right": train_right, "weights": sum(v.size for v in p.values()),
               "bytes": (a.out / "digits.onnx").stat().st_size, "seed": a.seed}
    (a.out / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n")
    print(f"wrote {a.out}/digits.onnx ({metrics['bytes']} bytes), heldout.json ({len(picks)} images), metrics.json")


if __name__ == "__main__":
    main()
