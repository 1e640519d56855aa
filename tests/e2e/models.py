"""models.py - the tiny ONNX models that the end-to-end tests serve, made with the onnx package."""
import numpy as np
import onnx
from onnx import TensorProto as T, helper as h, numpy_helper

# V2 name -> (ONNX element type, numpy type)
TYPES = {"BOOL": (T.BOOL, np.bool_), "UINT8": (T.UINT8, np.uint8), "UINT16": (T.UINT16, np.uint16), "UINT32": (T.UINT32, np.uint32),
         "UINT64": (T.UINT64, np.uint64), "INT8": (T.INT8, np.int8), "INT16": (T.INT16, np.int16), "INT32": (T.INT32, np.int32),
         "INT64": (T.INT64, np.int64), "FP16": (T.FLOAT16, np.float16), "FP32": (T.FLOAT, np.float32), "FP64": (T.DOUBLE, np.float64),
         "BYTES": (T.STRING, object)}

# The 4-8-4 network of the recorded client traffic: its answer to X is known to the last digit.
X = [5.1, 3.5, 1.4, 0.2]
Y = [-1.7640625, 0.2671875, 1.00859375, -0.7890625]
W1 = [[(i * 7 % 15 - 7) / 16 for i in range(r * 8, r * 8 + 8)] for r in range(4)]
W2 = [[(i * 5 % 13 - 6) / 16 for i in range(r * 4, r * 4 + 4)] for r in range(8)]
B1, B2 = [(i - 4) / 16 for i in range(8)], [(i - 2) / 16 for i in range(4)]


def model(nodes, inputs, outputs, weights=(), opset=17):
    """inputs and outputs: (name, element type, dims); weights: (name, array)."""
    info = lambda rows: [h.make_tensor_value_info(n, t, d) for n, t, d in rows]
    graph = h.make_graph(nodes, "g", info(inputs), info(outputs), [numpy_helper.from_array(np.asarray(a), n) for n, a in weights])
    m = h.make_model(graph, opset_imports=[h.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(m)
    return m


def tiny():
    f = np.float32
    return model([h.make_node("Gemm", ["x", "w1", "b1"], ["h"]), h.make_node("Relu", ["h"], ["r"]), h.make_node("Gemm", ["r", "w2", "b2"], ["y"])],
                 [("x", T.FLOAT, ["n", 4])], [("y", T.FLOAT, ["n", 4])],
                 [("w1", np.array(W1, f)), ("b1", np.array(B1, f)), ("w2", np.array(W2, f)), ("b2", np.array(B2, f))])


def identity(datatype):
    """One input of any length and rank 2, given back."""
    t = TYPES[datatype][0]
    return model([h.make_node("Identity", ["x"], ["y"])], [("x", t, ["n", "m"])], [("y", t, ["n", "m"])])


def pair():
    """Two inputs of different types, two outputs: sum = a + b (FP32), count = i * 2 (INT64)."""
    return model([h.make_node("Add", ["a", "b"], ["sum"]), h.make_node("Add", ["i", "i"], ["count"])],
                 [("a", T.FLOAT, ["n", 3]), ("b", T.FLOAT, ["n", 3]), ("i", T.INT64, ["n"])],
                 [("sum", T.FLOAT, ["n", 3]), ("count", T.INT64, ["n"])])


def image():
    """Almost no arithmetic on a large tensor: what is tested is taking it in."""
    return model([h.make_node("GlobalAveragePool", ["x"], ["y"])], [("x", T.FLOAT, ["n", 3, 224, 224])], [("y", T.FLOAT, ["n", 3, 1, 1])])


def slow():
    """About 40 products of 384x384 matrices per request: tens of milliseconds, for tests of load and draining."""
    w = (np.random.default_rng(1).standard_normal((384, 384)) / 20).astype(np.float32)
    nodes = [h.make_node("MatMul", ["x" if i == 0 else f"t{i}", "w"], [f"u{i}"]) for i in range(40)]
    nodes = [n for i in range(40) for n in (nodes[i], h.make_node("Tanh", [f"u{i}"], [f"t{i + 1}"]))]
    nodes.append(h.make_node("ReduceMean", ["t40"], ["y"], axes=[0, 1], keepdims=1))
    return model(nodes, [("x", T.FLOAT, ["n", 384])], [("y", T.FLOAT, [1, 1])], [("w", w)], opset=13)


def scalar():
    """A rank-0 input and output."""
    return model([h.make_node("Add", ["x", "x"], ["y"])], [("x", T.FLOAT, [])], [("y", T.FLOAT, [])])


def write_all(folder):
    made = {"tiny": tiny(), "pair": pair(), "image": image(), "slow": slow(), "scalar": scalar()}
    made.update({f"id_{t.lower()}": identity(t) for t in TYPES})
    paths = {}
    for name, m in made.items():
        paths[name] = folder / f"{name}.onnx"
        onnx.save(m, paths[name])
    return paths
