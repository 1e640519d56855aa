#!/usr/bin/env python3
"""seeds_onnx.py FOLDER - tiny models of many kinds, as seeds for fuzz_onnx and test_onnx.  Needs onnx and numpy."""
import pathlib
import sys

import numpy as np
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh

OPSET = 17
out = pathlib.Path(sys.argv[1])


def value(name, kind, *dims):
    return h.make_tensor_value_info(name, kind, dims)


def save(name, nodes, ins, outs, weights=(), opset=OPSET, functions=(), extra=(), ir=8):
    graph = h.make_graph(nodes, name, ins, outs, [nh.from_array(np.asarray(w), n) for n, w in weights])
    imports = [h.make_opsetid("", opset)] + [h.make_opsetid(*e) for e in extra]
    model = h.make_model(graph, opset_imports=imports, functions=list(functions), ir_version=ir, producer_name="")
    (out / name).write_bytes(model.SerializeToString())


def floats(*shape):
    return (np.arange(int(np.prod(shape))).reshape(shape) % 7 - 3).astype(np.float32) / 4


def nets():
    save("conv", [h.make_node("Pad", ["x", "p"], ["q"]), h.make_node("Conv", ["q", "w"], ["c"]),
                  h.make_node("BatchNormalization", ["c", "s", "b", "m", "v"], ["n"]), h.make_node("Relu", ["n"], ["r"]),
                  h.make_node("MaxPool", ["r"], ["y"], kernel_shape=[2, 2])],
         [value("x", T.FLOAT, "N", 1, 4, 4)], [value("y", T.FLOAT, "N", 2, "h", "w")],
         [("p", np.array([0, 0, 1, 1, 0, 0, 1, 1])), ("w", floats(2, 1, 3, 3)), ("s", floats(2)), ("b", floats(2)),
          ("m", floats(2)), ("v", np.ones(2, np.float32))])
    save("mlp", [h.make_node("MatMul", ["x", "w"], ["a"]), h.make_node("Add", ["a", "b"], ["c"]),
                 h.make_node("Sigmoid", ["c"], ["s"]), h.make_node("Mul", ["c", "s"], ["d"]),
                 h.make_node("Gemm", ["d", "w2"], ["e"], transB=1, alpha=0.5), h.make_node("Softmax", ["e"], ["y"], axis=-1)],
         [value("x", T.FLOAT, "N", 3)], [value("y", T.FLOAT, "N", 2)], [("w", floats(3, 4)), ("b", floats(4)), ("w2", floats(2, 4))])
    save("lstm", [h.make_node("LSTM", ["x", "w", "r"], ["y", "h", "c"], hidden_size=2)], [value("x", T.FLOAT, "L", 1, 3)],
         [value("y", T.FLOAT, "L", 1, 1, 2), value("h", T.FLOAT, 1, 1, 2)], [("w", floats(1, 8, 3)), ("r", floats(1, 8, 2))])
    save("quant", [h.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]), h.make_node("DequantizeLinear", ["q", "s", "z"], ["y"])],
         [value("x", T.FLOAT, "N", 3)], [value("y", T.FLOAT, "N", 3)], [("s", np.float32(0.5)), ("z", np.uint8(3))])


def shapes():
    save("shape", [h.make_node("Shape", ["x"], ["s"]), h.make_node("Gather", ["s", "i"], ["d"]),
                   h.make_node("Unsqueeze", ["d", "zero"], ["u"]), h.make_node("Concat", ["u", "minus"], ["t"], axis=0),
                   h.make_node("Reshape", ["x", "t"], ["r"]), h.make_node("Transpose", ["r"], ["y"])],
         [value("x", T.FLOAT, "N", 2, 3)], [value("y", T.FLOAT, "a", "b")],
         [("i", np.array(0)), ("zero", np.array([0])), ("minus", np.array([-1]))])
    save("late", [h.make_node("NonZero", ["x"], ["i"]), h.make_node("Cast", ["i"], ["f"], to=T.FLOAT),
                  h.make_node("ReduceSum", ["f"], ["s"], keepdims=0), h.make_node("Slice", ["x", "a", "b"], ["t"]),
                  h.make_node("Add", ["t", "s"], ["y"])],
         [value("x", T.FLOAT, "N")], [value("y", T.FLOAT, "m")], [("a", np.array([0])), ("b", np.array([-1]))])
    save("resize", [h.make_node("Resize", ["x", "", "s"], ["r"], mode="linear"), h.make_node("Split", ["r"], ["a", "b"], axis=1),
                    h.make_node("Tile", ["a", "t"], ["y"])],
         [value("x", T.FLOAT, 1, 2, 2, 2)], [value("y", T.FLOAT, "n", "c", "h", "w")],
         [("s", np.array([1, 1, 2, 1.5], np.float32)), ("t", np.array([1, 2, 1, 1]))])
    save("ints", [h.make_node("TopK", ["x", "k"], ["v", "i"]), h.make_node("GatherElements", ["x", "i"], ["g"]),
                  h.make_node("Where", ["c", "v", "g"], ["w"]), h.make_node("CumSum", ["w", "ax"], ["y"])],
         [value("x", T.INT64, 2, 4), value("c", T.BOOL, 1, 2)], [value("y", T.INT64, 2, 2)], [("k", np.array([2])), ("ax", np.array(1))])


def structure():
    body = h.make_function("local", "Twice", ["a"], ["b"], [h.make_node("Mul", ["a", "c"], ["b"]),
                           h.make_node("Constant", [], ["c"], value_float=2.0)][::-1], [h.make_opsetid("", OPSET)])
    save("function", [h.make_node("Twice", ["x"], ["t"], domain="local"), h.make_node("Twice", ["t"], ["y"], domain="local")],
         [value("x", T.FLOAT, 2)], [value("y", T.FLOAT, 2)], functions=[body], extra=[("local", 1)])
    then = h.make_graph([h.make_node("Relu", ["x"], ["t"])], "then", [], [value("t", T.FLOAT, "n")])
    other = h.make_graph([h.make_node("Neg", ["x"], ["e"])], "else", [], [value("e", T.FLOAT, "n")])
    save("if", [h.make_node("If", ["c"], ["y"], then_branch=then, else_branch=other)],
         [value("c", T.BOOL), value("x", T.FLOAT, "n")], [value("y", T.FLOAT, "n")])
    loop = h.make_graph([h.make_node("Add", ["s", "x"], ["o"]), h.make_node("Identity", ["c"], ["d"]),
                         h.make_node("Identity", ["o"], ["scan"])], "body",
                        [value("i", T.INT64), value("c", T.BOOL), value("s", T.FLOAT, 2)],
                        [value("d", T.BOOL), value("o", T.FLOAT, 2), value("scan", T.FLOAT, 2)])
    save("loop", [h.make_node("Loop", ["n", "", "x"], ["y", "all"], body=loop)], [value("n", T.INT64), value("x", T.FLOAT, 2)],
         [value("y", T.FLOAT, 2), value("all", T.FLOAT, "k", 2)])
    save("old", [h.make_node("Add", ["x", "b"], ["a"], broadcast=1, axis=1), h.make_node("Reshape", ["a"], ["y"], shape=[-1])],
         [value("x", T.FLOAT, 1, 2, 2)], [value("y", T.FLOAT, 4)], [("b", floats(2))], opset=1, ir=3)
    save("zipmap", [h.make_node("ZipMap", ["x"], ["y"], domain="ai.onnx.ml", classlabels_int64s=[1, 2])],
         [value("x", T.FLOAT, "N", 2)], [h.make_tensor_value_info("y", T.FLOAT, None)], extra=[("ai.onnx.ml", 1)])
    save("strings", [h.make_node("Identity", ["x"], ["y"])], [value("x", T.STRING, 2)], [value("y", T.STRING, 2)])


def one(name, op, ins, outs=("y",), opset=21, most=None, **attrs):
    """A node whose inputs are constants, but for those that are (kind, dims): these are the graph's."""
    names, graph_ins, weights = [], [], []
    for i, x in enumerate(ins):
        names.append(f"i{i}")
        if isinstance(x, tuple):
            graph_ins.append(value(names[i], x[0], *x[1]))
        else:
            weights.append((names[i], x))
    results = [h.make_tensor_value_info(o, most or T.FLOAT, None) for o in outs if o]
    save(name, [h.make_node(op, names, list(outs), **attrs)], graph_ins, results, weights, opset=opset, ir=10)


def numbers():
    """What once overflowed, trapped or left its tensor: attributes and constants at the ends of their types."""
    least, largest, no = -2**63, 2**63 - 1, np.zeros
    one("range_ends", "Range", [np.int64(0), np.int64(least), np.int64(-1)], most=T.INT64)
    one("slice_step", "Slice", [floats(2, 3), np.array([0]), np.array([2]), np.array([0]), np.array([largest])])
    one("pad_ends", "Pad", [floats(2), np.array([least, largest])])
    one("trilu_no_k", "Trilu", [floats(2, 2), no(0, np.int64)])
    one("one_hot_half", "OneHot", [np.array([-0.5], np.float32), np.array([2]), floats(2)])
    one("col2im_taps", "Col2Im", [floats(1, 1, 1), np.array([1] * 3), np.array([2**24] * 3)], pads=[2**23] * 6)
    one("deconv_stride", "ConvTranspose", [(T.FLOAT, (0, 1, 2**40)), floats(1, 1, 1)], strides=[2**24])
    one("unpool_stride", "MaxUnpool", [(T.FLOAT, (0, 1, 2**40)), (T.INT64, (0, 1, 2**40))], kernel_shape=[1], strides=[2**24])
    one("pool_nothing", "MaxPool", [(T.FLOAT, (1, 1, 2**22, 2**16, 0))], kernel_shape=[2**22, 2**16, 1], pads=[0, 0, 1, 0, 0, 0])
    one("blocks", "SpaceToDepth", [(T.FLOAT, (1, 2**40, 0, 0))], blocksize=2**14)
    one("deform_groups", "DeformConv", [floats(1, 2, 2, 2), (T.FLOAT, (0, 2, 1, 1)), (T.FLOAT, (1, 0, 2, 2))], group=largest)
    one("heads", "Attention", [(T.FLOAT, (1, 1, 0)), (T.FLOAT, (1, 1, 0)), floats(1, 1, 2)], opset=23, q_num_heads=largest, kv_num_heads=1)
    one("linear_heads", "LinearAttention", [(T.FLOAT, (1, 1, 0)), (T.FLOAT, (1, 1, 0)), floats(1, 1, 4)], opset=27,
        q_num_heads=2**62 + 1, kv_num_heads=1, update_rule="linear")
    one("einsum_nothing", "Einsum", [(T.FLOAT, (0, 2**40))] * 2 + [(T.FLOAT, (2**40, 0))] * 2, equation="ab,cd,ba,da->")
    one("einsum_wide", "Einsum", [(T.FLOAT, (0, 2**40))] * 2 + [(T.FLOAT, (2**40, 0))] * 2, equation="eb,cd,ba,dc->")
    one("gemm_alpha", "Gemm", [np.array([[3]]), np.array([[5]])], most=T.INT64, alpha=1e30)
    one("shrink_bias", "Shrink", [np.array([-2, 2])], most=T.INT64, bias=float("inf"))
    one("quant_block", "QuantizeLinear", [floats(3), np.array([0.5], np.float32)], most=T.UINT8, axis=0, block_size=largest)
    one("mel_no_rate", "MelWeightMatrix", [np.int64(2), np.int64(8), np.int64(0), np.float32(0), np.float32(4000)])
    one("crop_far", "Resize", [floats(1, 4), np.array([0, 0, 1, 1e30], np.float32), np.ones(2, np.float32)],
        coordinate_transformation_mode="tf_crop_and_resize")
    one("resize_keeps", "Resize", [floats(1, 4), no(0, np.float32), no(0, np.float32), np.array([largest, 1])],
        keep_aspect_ratio_policy="not_smaller")
    one("layer_nothing", "LayerNormalization", [(T.FLOAT, (2, 0)), (T.FLOAT, (0,))], outs=("y", "mean"))
    one("first_left_out", "MaxPool", [(T.FLOAT, (1, 1, 4))], outs=("", "i"), most=T.INT64, kernel_shape=[2])
    save("pad_string", [h.make_node("Pad", ["x", "p", "v"], ["q"]), h.make_node("Conv", ["q", "w"], ["y"])],
         [value("x", T.FLOAT, 1, 1, 4)], [h.make_tensor_value_info("y", T.FLOAT, None)],
         [("p", np.array([0, 0, 1, 0, 0, 1])), ("v", np.array(["ab"], object)), ("w", floats(1, 1, 1))])


out.mkdir(parents=True, exist_ok=True)
nets()
shapes()
structure()
numbers()
