"""versions.py - the model of rows.py in any version, written without ONNX's package, and what it answers.

Version V computes y = V * relu(x W) U for any number of rows: an answer shows by its numbers which version gave it. Python's standard
library only.
"""
import random, struct
from talk import field, varint

WIDTH, OUT = 64, 8
FLOAT = 1


def numbers(seed, count, size):
    """Such as a float of 32 bits holds exactly."""
    r = random.Random(seed)
    return struct.unpack(f"<{count}f", struct.pack(f"<{count}f", *(r.gauss(0, size) for _ in range(count))))


W, U = numbers("W", WIDTH * WIDTH, WIDTH ** -0.5), numbers("U", WIDTH * OUT, WIDTH ** -0.5)


def number(n, value):
    """A protobuf field of a whole number."""
    return varint(n << 3) + varint(value)


def text(n, value):
    return field(n, value.encode())


def tensor(name, dims, values):
    return b"".join(number(1, d) for d in dims) + number(2, FLOAT) + text(8, name) + field(9, struct.pack(f"<{len(values)}f", *values))


def node(op, inputs, output):
    return b"".join(text(1, i) for i in inputs) + text(2, output) + text(4, op)


def value(name, width):
    shape = field(1, text(2, "n")) + field(1, number(1, width))
    return text(1, name) + field(2, field(1, number(1, FLOAT) + field(2, shape)))


def model(version):
    """An ONNX file's bytes."""
    nodes = [node("MatMul", ("x", "W"), "a"), node("Relu", ("a",), "b"), node("MatMul", ("b", "U"), "c"), node("Mul", ("c", "V"), "y")]
    weights = [tensor("W", (WIDTH, WIDTH), W), tensor("U", (WIDTH, OUT), U), tensor("V", (1,), (float(version),))]
    graph = b"".join(field(1, n) for n in nodes) + text(2, "g") + b"".join(field(5, w) for w in weights)
    graph += field(11, value("x", WIDTH)) + field(12, value("y", OUT))
    return number(1, 8) + field(8, text(1, "") + number(2, 13)) + field(7, graph)


def answer(x):
    """Of version 1."""
    hidden = [max(0.0, sum(x[i] * W[i * WIDTH + j] for i in range(WIDTH))) for j in range(WIDTH)]
    return [sum(hidden[i] * U[i * OUT + j] for i in range(WIDTH)) for j in range(OUT)]


def publish(folder, version, data=None):
    """The version's folder, there at once."""
    made = folder / f".{version}.part"
    made.mkdir(parents=True)
    (made / "model.onnx").write_bytes(model(version) if data is None else data)
    made.rename(folder / str(version))
