"""graphs.py - random small ONNX graphs: chains and DAGs with shared intermediates, several outputs, symbolic dimensions.

random_graph(seed) gives a model that ONNX's own checker accepts. What it computes is not the point; that an optimiser and a
memory planner must keep it is. So values are read twice, intermediates are outputs of the graph, outputs of nodes go unread,
constants sit on either side, and whatever is fused in a real net (Conv and what follows, MatMul and Add, views, Split) is
frequent here. Dimensions are numbers or symbols; shapes(model, sizes) and inputs(model, sizes, seed) fill symbols in.

Run as a program it compares the two for a range of seeds and keeps what differs:
    graphs.py [--proa build/proa] [--from 0] [--count 1000] [--keep FOLDER]
"""
import argparse, os, pathlib, subprocess, sys, tempfile, warnings
import numpy as np
import onnx
from onnx import TensorProto as T, helper as h, numpy_helper

F, I, B = T.FLOAT, T.INT64, T.BOOL
NUMPY = {F: np.float32, I: np.int64, B: np.bool_}
OPSETS = (8, 11, 12, 13, 15, 17, 18, 21)
NODES_MAX, ELEMENTS_MAX = 14, 6000


class Value:
    def __init__(self, name, kind, dims):
        self.name, self.kind, self.dims, self.reads = name, kind, tuple(dims), 0

    @property
    def rank(self):
        return len(self.dims)

    def size(self):
        return int(np.prod([d if isinstance(d, int) else 3 for d in self.dims], dtype=np.int64))


class Graph:
    """A graph while it grows: the values that a new node may read, and what has been written."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.opset = int(self.pick(OPSETS))
        self.room, self.features = ELEMENTS_MAX, (1, 2, 5, 16, 17)
        self.nodes, self.weights, self.values, self.inputs, self.lates, self.count, self.depth = [], [], [], [], [], 0, 0

    def inside(self, *more):
        """A graph inside this one, which sees what was made so far and the values in `more`."""
        g = object.__new__(Graph)
        g.rng, g.opset, g.room, g.features, g.inputs, g.count = self.rng, self.opset, self.room, self.features, self.inputs, self.count
        g.nodes, g.weights, g.lates, g.values, g.depth = [], [], [], self.values + list(more), self.depth + 1
        return g

    def pick(self, items):
        return items[int(self.rng.integers(len(items)))]

    def chance(self, p):
        return self.rng.random() < p

    def name(self, stem):
        self.count += 1
        return f"{stem}{self.count}"

    def constant(self, array):
        """An initializer, or now and then the same as a Constant node."""
        name = self.name("c")
        if self.chance(0.15):
            self.nodes.append(h.make_node("Constant", [], [name], value=numpy_helper.from_array(np.ascontiguousarray(array))))
        else:
            self.weights.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def floats(self, *dims, scale=1.0):
        return self.constant((self.rng.standard_normal(dims) * scale).astype(np.float32))

    def ints(self, *items):
        return self.constant(np.array(items, np.int64))

    def add(self, op, ins, outs, **attrs):
        """outs: (kind, dims) of each output. Returns the new values."""
        made = [Value(self.name("v"), kind, dims) for kind, dims in outs]
        self.nodes.append(h.make_node(op, [v.name if isinstance(v, Value) else v for v in ins], [v.name for v in made], **attrs))
        for v in ins:
            if isinstance(v, Value):
                v.reads += 1
        self.values += made
        return made

    def some(self, kind=F, ranks=range(0, 6), test=None):
        """A value to read: mostly one of the last, so that chains grow. None where there is none."""
        fit = [v for v in self.values if v.kind == kind and v.rank in ranks and (test is None or test(v))]
        if not fit:
            return None
        return fit[-1 - min(int(self.rng.geometric(0.45)) - 1, len(fit) - 1)]


# ---- nodes: each writes some, or nothing where no value fits --------------------------------------------------------

UNARY = ("Relu", "Sigmoid", "Tanh", "LeakyRelu", "HardSigmoid", "Abs", "Neg", "Elu", "Softplus", "Identity", "Exp", "Sin")


def unary(g):
    x = g.some()
    op = g.pick(UNARY + (("Erf",) if g.opset >= 9 else ()) + (("HardSwish",) if g.opset >= 14 else ()))
    attrs = {}
    if op == "LeakyRelu" and g.chance(0.5):
        attrs = {"alpha": 0.2}
    if op == "HardSigmoid" and g.chance(0.5):
        attrs = {"alpha": 1 / 6, "beta": 0.5}
    if op == "Exp":
        x = g.add("Tanh", [x], [(F, x.dims)])[0]
    g.add(op, [x], [(F, x.dims)], **attrs)


def clip(g):
    x = g.some()
    low, high = sorted(g.rng.standard_normal(2).astype(np.float32))
    if g.opset < 11:
        return g.add("Clip", [x], [(F, x.dims)], **g.pick([{"min": float(low)}, {"max": float(high)}, {"min": float(low), "max": float(high)}, {}]))
    return g.add("Clip", [x] + g.pick([[g.constant(low)], [g.constant(low), g.constant(high)], ["", g.constant(high)], []]), [(F, x.dims)])


def gate(g):
    x = g.some()
    s = g.add("Sigmoid", [x], [(F, x.dims)])[0] if g.chance(0.6) else \
        g.add("HardSigmoid", [x], [(F, x.dims)], alpha=1 / 6, beta=0.5)[0]
    g.add("Mul", [x, s] if g.chance(0.5) else [s, x], [(F, x.dims)])


def broadcast(a, b):
    """The dims of two values together; None where they do not fit for every size of the symbols."""
    n = max(len(a), len(b))
    a, b = (1,) * (n - len(a)) + a, (1,) * (n - len(b)) + b
    dims = [y if x == 1 else x for x, y in zip(a, b)]
    return tuple(dims) if all(x == y or 1 in (x, y) for x, y in zip(a, b)) else None


def constant_like(g, dims):
    """A constant that broadcasts with dims: a scalar, one value per channel, a whole row, or something wider."""
    shape = [d if isinstance(d, int) and g.chance(0.5) else 1 for d in dims]
    how = g.rng.integers(6)
    if how == 0:
        shape = []
    elif how == 1:
        shape = [1]
    elif how == 2 and len(dims) >= 2 and isinstance(dims[1], int):
        shape = [dims[1]] + [1] * (len(dims) - 2)
    elif how == 3 and dims and isinstance(dims[-1], int):
        shape = [dims[-1]]
    elif how == 4 and len(shape) < 5 and g.chance(0.3):
        shape = [g.pick([1, 2])] + shape
    return tuple(shape)


def binary(g):
    x = g.some()
    op = g.pick(("Add", "Add", "Add", "Mul", "Mul", "Sub", "Div", "Max", "Min", "Sum", "Mean"))
    y, dims = None, None
    if g.chance(0.5):
        y = g.some(test=lambda v: broadcast(x.dims, v.dims) is not None)
        dims = broadcast(x.dims, y.dims)
        if op == "Div":
            y = g.add("Add", [g.add("Softplus", [y], [(F, y.dims)])[0], g.constant(np.float32(0.5))], [(F, y.dims)])[0]
            return g.add("Div", [x, y], [(F, dims)])
    else:
        dims = constant_like(g, x.dims)
        a = g.rng.standard_normal(dims).astype(np.float32)
        if op == "Div":
            return g.add("Div", [x, g.constant(np.sign(a) * (np.abs(a) + np.float32(0.5)))], [(F, broadcast(x.dims, dims))])
        y, dims = g.constant(a), broadcast(x.dims, dims)
    if Value("", F, dims).size() > g.room:
        return None
    return g.add(op, [x, y] if g.chance(0.6) else [y, x], [(F, dims)])


def norm(g):
    x = g.some(ranks=range(2, 6), test=lambda v: isinstance(v.dims[1], int))
    if x is None:
        return None
    c = x.dims[1]
    parts = [g.floats(c), g.floats(c), g.floats(c), g.constant((g.rng.random(c) + 0.5).astype(np.float32))]
    if g.chance(0.75) or g.opset < 17:
        return g.add("BatchNormalization", [x] + parts, [(F, x.dims)], **g.pick([{}, {"epsilon": 0.01}]))
    if not isinstance(x.dims[-1], int) or x.dims[-1] < 2:
        return None
    n = x.dims[-1]
    return g.add("LayerNormalization", [x, g.floats(n)] + g.pick([[], [g.floats(n)]]), [(F, x.dims)], axis=-1, epsilon=0.01)


def window(g, length, kernel, stride, pads, dilation=1):
    return (length + pads[0] + pads[1] - dilation * (kernel - 1) - 1) // stride + 1


def conv(g):
    x = g.some(ranks=(3, 4), test=lambda v: all(isinstance(d, int) for d in v.dims[1:]) and v.dims[1] <= 80)
    if x is None:
        return None
    c, spatial = x.dims[1], x.dims[2:]
    groups = g.pick([n for n in (1, 1, 1, 2, 3, 4, c) if c % n == 0])
    out = groups * int(g.pick([1, 2, 3, 8 // groups + 1] if g.room == ELEMENTS_MAX else [1, 2, 64 // groups + 1, 37 // groups + 1]))
    kernel = [int(g.pick([1, 1, 2, 3, 5])) for _ in spatial]
    stride = [int(g.pick([1, 1, 1, 2])) for _ in spatial]
    dilation = [int(g.pick([1, 1, 1, 2])) for _ in spatial]
    pads = [[int(g.rng.integers(3)) for _ in "be"] for _ in spatial]
    size = [window(g, *a) for a in zip(spatial, kernel, stride, pads, dilation)]
    if min(size) < 1:
        return None
    w = g.floats(out, c // groups, *kernel, scale=1 / np.sqrt(c // groups * np.prod(kernel)))
    if g.chance(0.2):
        before = [0, 0] + [p[0] for p in pads] + [0, 0] + [p[1] for p in pads]
        if g.opset >= 11:
            x = g.add("Pad", [x, g.ints(*before)], [(F, x.dims[:2] + tuple(d + sum(p) for d, p in zip(spatial, pads)))])[0]
        else:
            x = g.add("Pad", [x], [(F, x.dims[:2] + tuple(d + sum(p) for d, p in zip(spatial, pads)))], pads=before)[0]
        pads = [[0, 0] for _ in spatial]
    attrs = dict(group=groups, kernel_shape=kernel, strides=stride, dilations=dilation, pads=[p[0] for p in pads] + [p[1] for p in pads])
    return g.add("Conv", [x, w] + g.pick([[], [g.floats(out)]]), [(F, (x.dims[0], out, *size))], **attrs)


def deconv(g):
    x = g.some(ranks=(4,), test=lambda v: all(isinstance(d, int) for d in v.dims[1:]) and v.dims[1] <= 12 and v.size() < 800)
    if x is None:
        return None
    c = x.dims[1]
    groups = g.pick([n for n in (1, 1, 2) if c % n == 0])
    per, kernel, stride = int(g.pick([1, 3])), [int(g.pick([1, 2, 3])) for _ in "hw"], [int(g.pick([1, 2])) for _ in "hw"]
    size = [(d - 1) * s + k for d, s, k in zip(x.dims[2:], stride, kernel)]
    return g.add("ConvTranspose", [x, g.floats(c, per, *kernel, scale=0.3)] + g.pick([[], [g.floats(per * groups)]]),
                 [(F, (x.dims[0], per * groups, *size))], group=groups, kernel_shape=kernel, strides=stride)


def pool(g):
    x = g.some(ranks=(3, 4), test=lambda v: all(isinstance(d, int) for d in v.dims[1:]))
    if x is None:
        return None
    if g.chance(0.2):
        return g.add(g.pick(["GlobalAveragePool", "GlobalMaxPool"]), [x], [(F, x.dims[:2] + (1,) * (x.rank - 2))])
    kernel = [int(g.pick([1, 2, 3])) for _ in x.dims[2:]]
    stride = [int(g.pick([1, 2])) for _ in kernel]
    pads = [[int(g.rng.integers(k)) for _ in "be"] for k in kernel]
    size = [window(g, *a) for a in zip(x.dims[2:], kernel, stride, pads)]
    if min(size) < 1:
        return None
    attrs = dict(kernel_shape=kernel, strides=stride, pads=[p[0] for p in pads] + [p[1] for p in pads])
    if g.chance(0.5):
        attrs["count_include_pad"] = int(g.rng.integers(2))
        return g.add("AveragePool", [x], [(F, x.dims[:2] + tuple(size))], **attrs)
    if g.chance(0.2):
        return g.add("MaxPool", [x], [(F, x.dims[:2] + tuple(size)), (I, x.dims[:2] + tuple(size))], **attrs)
    return g.add("MaxPool", [x], [(F, x.dims[:2] + tuple(size))], **attrs)


def gemm(g):
    turn_a = g.chance(0.2)
    x = g.some(ranks=(2,), test=lambda v: isinstance(v.dims[0 if turn_a else 1], int))
    if x is None:
        return None
    rows, inner = (x.dims[1], x.dims[0]) if turn_a else x.dims
    if inner == 0 or inner > 300:
        return None
    n, turn_b = int(g.pick(g.features)), g.chance(0.4)
    ins = [x, g.floats(*((n, inner) if turn_b else (inner, n)), scale=1 / np.sqrt(inner))]
    if g.opset < 11 or g.chance(0.7):
        shapes = [(n,), (1, n), (1,), ()] + ([(rows, n), (rows, 1)] if isinstance(rows, int) else [])
        ins.append(g.floats(*g.pick(shapes)))
    attrs = {k: v for k, v in (("alpha", 0.5), ("beta", -0.7), ("transA", int(turn_a)), ("transB", int(turn_b))) if v in (0, 1) or g.chance(0.3)}
    return g.add("Gemm", ins, [(F, (rows, n))], **attrs)


def matmul(g):
    x = g.some(ranks=range(1, 5), test=lambda v: isinstance(v.dims[-1], int) and 0 < v.dims[-1] < 300)
    if x is None:
        return None
    k, n = x.dims[-1], int(g.pick(g.features))
    if g.chance(0.1):
        return g.add("MatMul", [x, g.floats(k, scale=0.3)], [(F, x.dims[:-1])])
    if x.rank >= 2 and g.chance(0.15):
        turned = x.dims[:-2] + (k, x.dims[-2])
        t = g.add("Transpose", [x], [(F, turned)], perm=list(range(x.rank - 2)) + [x.rank - 1, x.rank - 2])[0]
        return g.add("MatMul", [x, t], [(F, x.dims[:-1] + (x.dims[-2],))])
    y = g.add("MatMul", [x, g.floats(k, n, scale=1 / np.sqrt(k))], [(F, x.dims[:-1] + (n,))])[0]
    if g.chance(0.5):
        dims = g.pick([(n,), (1,), (), (1,) * max(0, y.rank - 1) + (n,)])
        b = g.floats(*dims)
        y = g.add("Add", [y, b] if g.chance(0.7) else [b, y], [(F, broadcast(y.dims, dims))])[0]
    return y


def transpose(g):
    x = g.some(kind=g.pick([F, F, I]), ranks=range(1, 5))
    if x is None:
        return None
    perm = [int(i) for i in g.rng.permutation(x.rank)]
    y = g.add("Transpose", [x], [(x.kind, [x.dims[i] for i in perm])], perm=perm)[0]
    if g.chance(0.3):
        back = [int(i) for i in (np.argsort(perm) if g.chance(0.5) else g.rng.permutation(x.rank))]
        y = g.add("Transpose", [y], [(x.kind, [y.dims[i] for i in back])], perm=back)[0]
    return y


def reshape(g):
    x = g.some(kind=g.pick([F, F, I]), ranks=range(1, 5))
    if x is None:
        return None
    how = g.rng.integers(4)
    if how == 0 and all(isinstance(d, int) for d in x.dims[1:]):
        tail = int(np.prod(x.dims[1:]))
        if 0 in x.dims:
            return None
        return g.add("Flatten", [x], [(x.kind, (x.dims[0], tail))], axis=1) if g.chance(0.5) else \
            g.add("Reshape", [x, g.ints(0, -1)], [(x.kind, (x.dims[0], tail))])
    if how == 1 and x.rank < 5:
        at = int(g.rng.integers(x.rank + 1))
        dims = x.dims[:at] + (1,) + x.dims[at:]
        return g.add("Unsqueeze", [x, g.ints(at)], [(x.kind, dims)]) if g.opset >= 13 else g.add("Unsqueeze", [x], [(x.kind, dims)], axes=[at])
    if how == 2 and 1 in x.dims:
        at = x.dims.index(1)
        dims = x.dims[:at] + x.dims[at + 1:]
        return g.add("Squeeze", [x, g.ints(at - x.rank)], [(x.kind, dims)]) if g.opset >= 13 else g.add("Squeeze", [x], [(x.kind, dims)], axes=[at])
    if how == 3:
        s = g.add("Shape", [x], [(I, (x.rank,))])[0]
        first = g.add("Gather", [s, g.ints(0)], [(I, (1,))])[0]
        to = g.add("Concat", [first, g.ints(-1)], [(I, (2,))], axis=0)[0]
        if 0 in x.dims or not all(isinstance(d, int) for d in x.dims[1:]):
            return None
        return g.add("Reshape", [x, to], [(x.kind, (x.dims[0], int(np.prod(x.dims[1:]))))])
    return None


def split(g):
    x = g.some(kind=g.pick([F, F, I]), ranks=range(1, 5), test=lambda v: any(isinstance(d, int) and d >= 2 for d in v.dims))
    if x is None:
        return None
    axis = g.pick([i for i, d in enumerate(x.dims) if isinstance(d, int) and d >= 2])
    n = x.dims[axis]
    parts = [n // 2, n - n // 2] if g.chance(0.5) else [1, n - 1] if n < 3 or g.chance(0.5) else [1, n - 2, 1]
    equal = [k for k in (2, 3, 4) if n % k == 0]
    attrs, ins, outs = {"axis": int(axis)}, [x], len(parts)
    if equal and g.chance(0.5):
        outs = g.pick(equal)
        parts = [n // outs] * outs
        if g.opset >= 18:
            attrs["num_outputs"] = outs
    elif g.opset >= 13:
        ins.append(g.ints(*parts))
    else:
        attrs["split"] = parts
    return g.add("Split", ins, [(x.kind, x.dims[:axis] + (p,) + x.dims[axis + 1:]) for p in parts], **attrs)


def slice_(g):
    x = g.some(kind=g.pick([F, F, I]), ranks=range(1, 5), test=lambda v: any(isinstance(d, int) and d >= 1 for d in v.dims))
    if x is None:
        return None
    axis = g.pick([i for i, d in enumerate(x.dims) if isinstance(d, int) and d >= 1])
    n = x.dims[axis]
    start = int(g.rng.integers(n))
    end, step = int(g.rng.integers(start + 1, n + 1)), 1
    if g.opset >= 10 and g.chance(0.4):
        step = int(g.pick([-1, 2, -2]))
        start, end = (n - 1, -n - 1) if step < 0 else (start, 2**62)
    length = len(range(n)[start:end if end > -n else None:step])
    dims = x.dims[:axis] + (length,) + x.dims[axis + 1:]
    if g.opset < 10:
        return g.add("Slice", [x], [(x.kind, dims)], starts=[start], ends=[end], axes=[axis])
    return g.add("Slice", [x, g.ints(start), g.ints(end), g.ints(axis), g.ints(step)], [(x.kind, dims)])


def concat(g):
    x = g.some(kind=g.pick([F, F, I]), ranks=range(1, 5), test=lambda v: any(isinstance(d, int) for d in v.dims))
    if x is None:
        return None
    axis = g.pick([i for i, d in enumerate(x.dims) if isinstance(d, int)])
    parts = [x]
    for _ in range(int(g.rng.integers(1, 3))):
        parts.append(g.some(kind=x.kind, ranks=(x.rank,), test=lambda v: isinstance(v.dims[axis], int) and
                            all(a == b for i, (a, b) in enumerate(zip(v.dims, x.dims)) if i != axis)))
    total = sum(p.dims[axis] for p in parts)
    if Value("", F, x.dims[:axis] + (total,) + x.dims[axis + 1:]).size() > g.room:
        return None
    return g.add("Concat", parts, [(x.kind, x.dims[:axis] + (total,) + x.dims[axis + 1:])], axis=axis)


def gather(g):
    x = g.some(kind=g.pick([F, I]), ranks=range(1, 4), test=lambda v: any(isinstance(d, int) and d > 0 for d in v.dims))
    if x is None:
        return None
    axis = g.pick([i for i, d in enumerate(x.dims) if isinstance(d, int) and d > 0])
    dims = g.pick([(), (1,), (3,), (2, 2)])
    index = g.constant(g.rng.integers(-x.dims[axis], x.dims[axis], dims).astype(np.int64) if g.opset >= 11 else
                       g.rng.integers(0, x.dims[axis], dims).astype(np.int64))
    return g.add("Gather", [x, index], [(x.kind, x.dims[:axis] + dims + x.dims[axis + 1:])], axis=axis)


def reduce_(g):
    x = g.some(ranks=range(1, 5), test=lambda v: 0 not in v.dims)
    if x is None:
        return None
    op, keep = g.pick(["ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceL2"]), int(g.rng.integers(2))
    axes = sorted(int(a) for a in g.rng.choice(x.rank, int(g.rng.integers(1, x.rank + 1)), replace=False))
    dims = tuple(1 if i in axes else d for i, d in enumerate(x.dims) if keep or i not in axes)
    if g.opset >= (13 if op == "ReduceSum" else 18):
        return g.add(op, [x, g.ints(*axes)], [(F, dims)], keepdims=keep)
    return g.add(op, [x], [(F, dims)], keepdims=keep, axes=axes)


def softmax(g):
    x = g.some(ranks=range(1, 5), test=lambda v: 0 not in v.dims)
    if x is not None:
        g.add(g.pick(["Softmax", "LogSoftmax"]), [x], [(F, x.dims)], axis=int(g.rng.integers(x.rank)))


def where(g):
    x = g.some()
    if g.opset < 9:
        return None
    y = g.some(test=lambda v: broadcast(x.dims, v.dims) is not None)
    both = broadcast(x.dims, y.dims)
    if Value("", F, both).size() > g.room:
        return None
    test = g.add(g.pick(["Greater", "Less"]), [x, g.constant(np.float32(0.123))], [(B, x.dims)])[0]
    return g.add("Where", [test, x, y] if g.chance(0.5) else [test, y, x], [(F, both)])


def cast(g):
    x = g.some()
    if g.chance(0.3):
        return g.add("Cast", [x], [(F, x.dims)], to=F)
    r = g.add("Floor", [x], [(F, x.dims)])[0]
    i = g.add("Cast", [r], [(I, x.dims)], to=I)[0]
    return g.add("Cast", [i], [(F, x.dims)], to=F) if g.chance(0.5) else i


def whole(g):
    """Integers, which must stay exact to 64 bits."""
    x = g.some(kind=I)
    if x is None:
        return None
    if g.chance(0.5):
        dims = constant_like(g, x.dims)
        y = g.constant(g.rng.integers(-2**40, 2**40, dims).astype(np.int64))
        dims = broadcast(x.dims, dims)
    else:
        y = g.some(kind=I, test=lambda v: broadcast(x.dims, v.dims) is not None)
        dims = broadcast(x.dims, y.dims)
    if Value("", I, dims).size() > g.room:
        return None
    return g.add(g.pick(["Add", "Sub", "Mul"]), [x, y] if g.chance(0.5) else [y, x], [(I, dims)])


def dropout(g):
    x = g.some()
    if g.opset >= 13 or g.chance(0.8):
        return g.add("Dropout", [x], [(F, x.dims)])
    return g.add("Identity", [x], [(F, x.dims)])


def scalar_of(g, *more):
    """Nodes of a graph inside g that end in one number: (graph, its name)."""
    inner = g.inside(*more)
    grow(inner, int(g.rng.integers(1, 7)))
    made = [v for v in inner.values[len(g.values):] if v.kind == F and 0 not in v.dims] or [inner.some(test=lambda v: 0 not in v.dims)]
    last = inner.add("ReduceMean", [g.pick(made[-2:])], [(F, ())], keepdims=0)[0]
    g.count = inner.count
    return inner, inner.add("Tanh", [last], [(F, ())])[0].name


def branch(g):
    """If on a value of the run, with branches that see the values around them."""
    x = g.some(ranks=range(1, 4), test=lambda v: 0 not in v.dims)
    if x is None or g.opset < 13 or g.depth > 1:
        return None
    total = g.add("ReduceSum", [x], [(F, ())], keepdims=0)[0]
    test = g.add("Greater", [total, g.constant(np.float32(0.05))], [(B, ())])[0]
    graphs = {}
    for side in ("then_branch", "else_branch"):
        inner, name = scalar_of(g)
        graphs[side] = h.make_graph(inner.nodes, side, [], [h.make_tensor_value_info(name, F, [])], inner.weights)
    return g.add("If", [test], [(F, ())], **graphs)


def late(g):
    """What depends on the data: the rows that pass a test, found by NonZero, then brought to a known shape again."""
    x = g.some(ranks=(1, 2), test=lambda v: 0 not in v.dims)
    if x is None or g.opset < 11:
        return None
    flat = g.add("Reshape", [x, g.ints(-1)], [(F, ("?",))])[0]
    test = g.add("Greater", [flat, g.constant(np.float32(0.1))], [(B, ("?",))])[0]
    found = g.add("Compress", [flat, test], [(F, ("?",))])[0]
    again = g.add(g.pick(["Relu", "Neg", "Identity"]), [found], [(F, ("?",))])[0]
    if g.chance(0.5):
        again = g.add("Unsqueeze", [again, g.ints(0)], [(F, (1, "?"))])[0] if g.opset >= 13 else \
            g.add("Unsqueeze", [again], [(F, (1, "?"))], axes=[0])[0]
    if g.chance(0.5):
        g.add("ReduceSum", [again], [(F, ())], keepdims=0)
    for v in g.values:
        if "?" in v.dims and v is not again:
            v.reads += 1
    g.lates.append(again)
    g.values = [v for v in g.values if "?" not in v.dims]
    return None


def attention(g):
    """softmax(q k^T / sqrt(d) + mask) v, as exporters write it."""
    x = g.some(ranks=(2, 3), test=lambda v: isinstance(v.dims[-1], int) and 0 < v.dims[-1] <= 32)
    if x is None:
        return None
    d = x.dims[-1]
    q, k, v = (g.add("MatMul", [x, g.floats(d, d, scale=1 / np.sqrt(d))], [(F, x.dims)])[0] for _ in "qkv")
    t = g.add("Transpose", [k], [(F, x.dims[:-2] + (d, x.dims[-2]))], perm=list(range(x.rank - 2)) + [x.rank - 1, x.rank - 2])[0]
    s = g.add("MatMul", [q, t], [(F, x.dims[:-1] + (x.dims[-2],))])[0]
    s = g.add(*g.pick([("Div", [s, g.constant(np.float32(np.sqrt(d)))]), ("Mul", [s, g.constant(np.float32(1 / np.sqrt(d)))])]), [(F, s.dims)])[0]
    p = g.add("Softmax", [s], [(F, s.dims)], axis=-1 if g.opset >= 13 else x.rank - 1)[0]
    return g.add("MatMul", [p, v], [(F, x.dims)])


def rank_of(g):
    """The largest of a row and where they are."""
    x = g.some(ranks=range(1, 4), test=lambda v: isinstance(v.dims[-1], int) and v.dims[-1] > 1 and 0 not in v.dims)
    if x is None:
        return None
    noise = g.add("Add", [x, g.constant(np.arange(x.dims[-1], dtype=np.float32) / 7)], [(F, x.dims)])[0]
    if g.opset >= 10 and g.chance(0.6):
        k = int(g.rng.integers(1, x.dims[-1] + 1))
        dims = x.dims[:-1] + (k,)
        return g.add("TopK", [noise, g.ints(k)], [(F, dims), (I, dims)], axis=-1 if g.opset >= 11 else x.rank - 1)
    return g.add("ArgMax", [noise], [(I, x.dims[:-1] + (1,))], axis=x.rank - 1)


def quantized(g):
    """Quantised and back, from an input: what was computed may differ in its last bit, and with it be rounded elsewhere."""
    x = g.pick([v for v in g.inputs if v.kind == F])
    if g.opset < 13:
        return None
    scale, zero = g.constant(np.float32(0.0371)), g.constant(np.array(*g.pick([(3, np.int8), (131, np.uint8)])))
    q = g.add("QuantizeLinear", [x, scale, zero], [(None, x.dims)])[0]
    return g.add("DequantizeLinear", [q, scale, zero], [(F, x.dims)])


def recurrent(g):
    """A layer of an LSTM or GRU over the axis before the last; some of its outputs go unread."""
    x = g.some(ranks=(3,), test=lambda v: isinstance(v.dims[2], int) and 0 < v.dims[2] <= 24)
    if x is None or not isinstance(x.dims[0], (int, str)):
        return None
    op, gates = g.pick([("LSTM", 4), ("GRU", 3)])
    n, hidden, both = x.dims[2], int(g.pick([1, 4, 9])), g.pick([("forward", 1), ("reverse", 1), ("bidirectional", 2)])
    ins = [x, g.floats(both[1], gates * hidden, n, scale=0.4), g.floats(both[1], gates * hidden, hidden, scale=0.4)]
    if g.chance(0.6):
        ins.append(g.floats(both[1], 2 * gates * hidden, scale=0.4))
    last = (both[1], x.dims[1], hidden)
    outs = [(F, (x.dims[0], both[1], x.dims[1], hidden)), (F, last)] + ([(F, last)] if op == "LSTM" else [])
    return g.add(op, ins, outs[:int(g.rng.integers(1, len(outs) + 1))], hidden_size=hidden, direction=both[0])


def loop(g):
    """A Loop of a fixed number of trips that carries a number, sees the values around it, and stacks what it computed."""
    if g.opset < 13 or g.depth > 1:
        return None
    n, cond, again = g.name("l"), g.name("l"), g.name("l")
    carried = Value(g.name("l"), F, ())
    inner, name = scalar_of(g, carried)
    after = inner.add("Add", [inner.add("Mul", [carried, inner.constant(np.float32(0.5))], [(F, ())])[0], name], [(F, ())])[0]
    g.count = inner.count
    info = lambda v, kind: h.make_tensor_value_info(v, kind, [])
    body = h.make_graph(inner.nodes + [h.make_node("Identity", [cond], [again])], "body", [info(n, I), info(cond, B), info(carried.name, F)],
                        [info(again, B), info(after.name, F), info(name, F)], inner.weights)
    trips = int(g.rng.integers(0, 4))
    return g.add("Loop", [g.constant(np.array(trips, np.int64)), "", g.constant(np.float32(0.3))], [(F, ()), (F, (trips,))], body=body)


def other(g):
    """One of the rarer ones."""
    x = g.some(ranks=range(1, 5), test=lambda v: 0 not in v.dims)
    if x is None:
        return None
    axis = int(g.rng.integers(x.rank))
    known = isinstance(x.dims[axis], int)
    how = int(g.rng.integers(8))
    if how == 0 and known and x.size() * 2 < g.room:
        return g.add("Tile", [x, g.ints(*[2 if i == axis else 1 for i in range(x.rank)])], [(F, x.dims[:axis] + (2 * x.dims[axis],) + x.dims[axis + 1:])])
    if how == 1 and g.opset >= 11:
        return g.add("CumSum", [x, g.constant(np.array(axis, np.int64))], [(F, x.dims)], reverse=int(g.rng.integers(2)), exclusive=int(g.rng.integers(2)))
    if how == 2 and g.opset >= 8 and x.size() * 2 < g.room and x.rank < 5:
        return g.add("Expand", [x, g.ints(*([2] + [1] * x.rank))], [(F, (2,) + x.dims)])
    if how == 3 and known and x.dims[axis] > 2 and g.opset >= 11:
        mode = g.pick(["reflect", "edge", "constant"])
        return g.add("Pad", [x, g.ints(*([1 if i == axis else 0 for i in range(x.rank)] + [2 if i == axis else 0 for i in range(x.rank)]))],
                     [(F, x.dims[:axis] + (x.dims[axis] + 3,) + x.dims[axis + 1:])], mode=mode)
    if how == 4 and x.rank == 4 and all(isinstance(d, int) for d in x.dims[1:]) and x.size() < 1500 and g.opset >= 13:
        return g.add("Resize", [x, "", g.constant(np.array([1, 1, 2, 2], np.float32))], [(F, x.dims[:2] + (2 * x.dims[2], 2 * x.dims[3]))],
                     mode=g.pick(["nearest", "linear"]), coordinate_transformation_mode="asymmetric", nearest_mode="floor")
    if how == 5 and x.rank >= 3 and isinstance(x.dims[1], int) and all(isinstance(d, int) and d > 1 for d in x.dims[2:]):
        return g.add("InstanceNormalization", [x, g.floats(x.dims[1]), g.floats(x.dims[1])], [(F, x.dims)], epsilon=0.05)
    if how == 6 and isinstance(x.dims[-1], int):
        return g.add("PRelu", [x, g.floats(x.dims[-1])], [(F, x.dims)])
    if how == 7:
        return g.add("Cast", [g.add("Cast", [x], [(T.DOUBLE, x.dims)], to=T.DOUBLE)[0]], [(F, x.dims)], to=F)
    return None


STEPS = [(unary, 5), (clip, 2), (gate, 2), (binary, 8), (norm, 4), (conv, 6), (deconv, 1), (pool, 3), (gemm, 5), (matmul, 5), (transpose, 3), (reshape, 4),
         (split, 4), (slice_, 3), (concat, 3), (gather, 2), (reduce_, 2), (softmax, 2), (where, 2), (cast, 1), (whole, 2), (dropout, 1), (branch, 2), (late, 1), (attention, 2),
         (rank_of, 2), (quantized, 1), (recurrent, 2), (loop, 2), (other, 6)]

POOL = [s for s, weight in STEPS for _ in range(weight)]

SMALL = [(F, ("N", 6)), (F, ("N", 4, 7, 5)), (F, ("N", 3, 8)), (F, (2, 5)), (F, ("N", "M")), (F, (1, 4, 6, 6)), (F, ("M", 8)), (F, (5,)), (F, ()),
          (I, ("N", 4)), (I, (3,)), (F, ("N", 12, 4, 4)), (F, ("N", "M", 6))]


LARGE = [(F, ("N", 64)), (F, ("N", 16, 33, 29)), (F, ("N", 48, 14, 14)), (F, ("N", "M", 64)), (F, (1, 32, 40, 40)), (F, ("M", 96)), (F, ("N", 20, 130))]


def grow(g, nodes):
    for _ in range(4 * nodes):                            # now and then nothing fits
        if len(g.nodes) < nodes:
            g.pick(POOL)(g)


def random_graph(seed):
    g = Graph(seed)
    if seed % 8 == 7:                                     # shapes that fill vectors, blocks and threads
        g.room, g.features = 40 * ELEMENTS_MAX, (16, 33, 64, 80)
    chosen = [g.pick(SMALL if g.room == ELEMENTS_MAX else LARGE) for _ in range(int(g.rng.integers(1, 4)))]
    if all(kind != F for kind, _ in chosen):
        chosen.append(SMALL[0])
    for kind, dims in chosen:
        g.inputs.append(Value(g.name("x"), kind, dims))
    g.values += g.inputs
    grow(g, int(g.rng.integers(4, NODES_MAX + 3)))
    made = [v for v in g.values if v not in g.inputs and v.kind in NUMPY]
    outs = [v for v in made if v.reads == 0 and g.chance(0.8)] + [v for v in made if v.reads and g.chance(0.12)] + g.lates
    outs = outs or [made[-1] if made else g.add("Identity", [g.inputs[0]], [(g.inputs[0].kind, g.inputs[0].dims)])[0]]
    info = lambda v: h.make_tensor_value_info(v.name, v.kind, [None if d == "?" else d for d in v.dims])
    graph = h.make_graph(g.nodes, f"seed{seed}", [info(v) for v in g.inputs], [info(v) for v in outs], g.weights)
    m = h.make_model(graph, opset_imports=[h.make_opsetid("", g.opset)], ir_version=8)
    onnx.checker.check_model(m)
    return m


def inputs(m, sizes, seed):
    """Arrays by name; sizes: {symbol: number}."""
    rng = np.random.default_rng(seed)
    made = {}
    for v in m.graph.input:
        t = v.type.tensor_type
        dims = [sizes[d.dim_param] if d.dim_param else d.dim_value for d in t.shape.dim]
        made[v.name] = rng.standard_normal(dims).astype(np.float32) if t.elem_type == F else rng.integers(-9, 10, dims).astype(np.int64)
    return made


def expected(m, arrays):
    """What ONNX Runtime says, not optimised; None where it cannot run the model itself."""
    import onnxruntime as ort
    o = ort.SessionOptions()
    o.log_severity_level, o.intra_op_num_threads, o.graph_optimization_level = 4, 1, ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = ort.InferenceSession(m.SerializeToString(), o, providers=["CPUExecutionProvider"])
        return dict(zip([v.name for v in m.graph.output], session.run(None, arrays)))
    except Exception as e:                                # its own bugs and gaps are not ours to judge
        return str(e)


def difference(want, got):
    """None where two arrays agree, else what is wrong in a few words."""
    if want.shape != got.shape or want.dtype != got.dtype:
        return f"expected {want.dtype}{list(want.shape)}, got {got.dtype}{list(got.shape)}"
    if want.dtype != np.float32:
        return None if (want == got).all() else f"{int((want != got).sum())} of {want.size} elements differ"
    with np.errstate(all="ignore"):
        scale = max(1.0, float(np.nanmax(np.abs(np.where(np.isfinite(want), want, 0)), initial=0)))
        close = np.isclose(got, want, rtol=1e-3, atol=1e-4 * scale, equal_nan=True)
    return None if close.all() else f"{int((~close).sum())} of {want.size} elements differ, largest by {np.nanmax(np.abs(got - want)):.3g}"


def run(proa, folder, m, arrays, *flags):
    """(message or None, outputs by name) of `proa model run`."""
    folder = pathlib.Path(folder)
    onnx.save(m, folder / "m.onnx")
    np.savez(folder / "in.npz", **arrays)
    done = subprocess.run([proa, "model", "run", folder / "m.onnx", "--inputs", folder / "in.npz", "--outputs", folder / "out.npz", *flags],
                          capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    if done.returncode:
        return f"status {done.returncode}: {done.stderr.strip()}", {}
    with np.load(folder / "out.npz", allow_pickle=False) as z:
        return None, {n: z[n] for n in z.files}


SIZES = ({"N": 3, "M": 4}, {"N": 1, "M": 1}, {"N": 2, "M": 7})


def compare(proa, folder, seed, flags=()):
    """Runs one seed with every set of sizes. Returns ([what differs], how many runs ONNX Runtime could judge)."""
    m, wrong, judged = random_graph(seed), [], 0
    for k, sizes in enumerate(SIZES):
        arrays = inputs(m, sizes, seed * 10 + k)
        want = expected(m, arrays)
        if isinstance(want, str):
            continue
        judged += 1
        message, got = run(proa, folder, m, arrays, *flags)
        if message:
            wrong.append(f"{sizes}: {message}")
            continue
        wrong += [f"{sizes}: output {n}: {d}" for n in want if (d := difference(want[n], got[n]))]
    return wrong, judged


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--proa", default="build/proa")
    a.add_argument("--from", dest="first", type=int, default=0)
    a.add_argument("--count", type=int, default=1000)
    a.add_argument("--keep")
    o = a.parse_args()
    bad = judged = 0
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(o.first, o.first + o.count):
            wrong, n = compare(os.path.abspath(o.proa), folder, seed)
            judged += n
            if not wrong:
                continue
            bad += 1
            plain = compare(os.path.abspath(o.proa), folder, seed, ["--no-passes"])[0]
            print(f"seed {seed}{'' if plain else ' (right without passes)'}: " + "; ".join(wrong)[:400], flush=True)
            if o.keep:
                onnx.save(random_graph(seed), pathlib.Path(o.keep) / f"seed{seed}.onnx")
    print(f"{o.count} graphs, {judged} runs compared, {bad} graphs differ")
    return bad > 0


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sys.exit(main())
