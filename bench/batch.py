"""batch.py SECONDS - run by batch.sh: batches beside --batch-mode off, in turns, on the same cores.

1. Three dense layers of 1024x1024, 32 clients, requests of one row: answers per second, at least 4 times as many. Told beside it: the same
   of 2048x2048: where a cache holds the 12.6 MB of the first, single rows lose little by reading them; the 50 MB of these come from memory.
2. Unequal lengths: an encoder of 4 layers of 512 with attention and a mask, 32 clients, lengths as in a recorded service: padded to the
   longest of a run (the input is called a mask), and grouped by equal lengths (it is not); the first must gain.
3. One client of a model of some 20 ms: its median beside that of the bare engine (proa model bench), at most 1.05 times as long.
"""
import atexit, json, os, pathlib, re, statistics, subprocess, sys, tempfile
import numpy as np, onnx
from onnx import TensorProto, helper
sys.path.insert(0, "tests/e2e")
import models

SHARED = pathlib.Path(os.environ.get("PROA_SHARED", "../shared"))
TRACE = SHARED / "data" / "traces" / "AzureLLMInferenceTrace_code.csv.zst"
ROUNDS, CLIENTS, LENGTH_MAX, LENGTHS = 9, 32, 128, 512
GAIN_MIN, SERVED_MAX = 4, 1.05
rng = np.random.default_rng(1)


# ---- models ------------------------------------------------------------------------------------------------------

def weight(*dims):
    return (rng.standard_normal(dims) / np.prod(dims[:-1]) ** 0.5).astype(np.float32)


def dense(layers, width):
    weights = [(f"w{i}", weight(width, width)) for i in range(layers)]
    nodes = [node for i in range(layers) for node in (
        helper.make_node("MatMul", ["x" if i == 0 else f"r{i}", f"w{i}"], [f"t{i}"]),
        helper.make_node("Relu", [f"t{i}"], [f"r{i + 1}" if i < layers - 1 else "y"]))]
    return models.model(nodes, [("x", TensorProto.FLOAT, ["n", width])], [("y", TensorProto.FLOAT, ["n", width])], weights)


def convolutions(count, channels, size):
    weights = [(f"w{i}", weight(channels, channels, 3, 3) / 9 ** 0.5) for i in range(count)]
    nodes = [node for i in range(count) for node in (
        helper.make_node("Conv", ["x" if i == 0 else f"r{i}", f"w{i}"], [f"t{i}"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", [f"t{i}"], [f"r{i + 1}" if i < count - 1 else "last"]))]
    nodes.append(helper.make_node("GlobalAveragePool", ["last"], ["y"]))
    return models.model(nodes, [("x", TensorProto.FLOAT, ["n", channels, size, size])],
                        [("y", TensorProto.FLOAT, ["n", channels, 1, 1])], weights)


def encoder(layers, width, vocabulary, mask):
    """Texts of any length to one vector: embedding, attention among what `mask` does not hide, a mean over the same."""
    weights = [("table", weight(vocabulary, width)), ("one", np.float32(1)), ("far", np.float32(1e4)), ("scale", np.float32(width ** -0.5)),
               ("first", np.array([1])), ("second", np.array([2])), ("last", weight(width, 16))]
    nodes, made = [], 0

    def node(op, *inputs, **attributes):
        nonlocal made
        made += 1
        nodes.append(helper.make_node(op, inputs, [f"v{made}"], **attributes))
        return f"v{made}"

    def product(x, rows, columns):
        weights.append((f"w{len(weights)}", weight(rows, columns) / 2))
        return node("MatMul", x, weights[-1][0])
    seen = node("Cast", mask, to=TensorProto.FLOAT)
    hidden = node("Unsqueeze", node("Mul", node("Sub", seen, "one"), "far"), "first")
    h = node("Gather", "table", "ids")
    for _ in range(layers):
        q, k, v = (product(h, width, width) for _ in range(3))
        scores = node("Mul", node("MatMul", q, node("Transpose", k, perm=[0, 2, 1])), "scale")
        told = node("MatMul", node("Softmax", node("Add", scores, hidden), axis=-1), v)
        h = node("Add", h, product(told, width, width))
        h = node("Add", h, product(node("Relu", product(h, width, 4 * width)), 4 * width, width))
    total = node("ReduceSum", node("Mul", h, node("Unsqueeze", seen, "second")), "first", keepdims=0)
    mean = node("Div", total, node("ReduceSum", seen, "first", keepdims=1))
    nodes.append(helper.make_node("MatMul", [mean, "last"], ["y"]))
    return models.model(nodes, [("ids", TensorProto.INT64, ["n", "length"]), (mask, TensorProto.INT64, ["n", "length"])],
                        [("y", TensorProto.FLOAT, ["n", 16])], weights)


# ---- requests ----------------------------------------------------------------------------------------------------

def binary(inputs):
    """(head, body) of V2 with binary tensors: head = how long the JSON is."""
    names = {np.dtype("float32"): "FP32", np.dtype("int64"): "INT64"}
    head = json.dumps({"inputs": [{"name": name, "datatype": names[x.dtype], "shape": list(x.shape), "parameters": {"binary_data_size": x.nbytes}}
                                  for name, x in inputs],
                       "parameters": {"binary_data_output": True}}).encode()
    return len(head), head + b"".join(x.tobytes() for _, x in inputs)


def script(folder, name, requests):
    """wrk's script: the requests in turn, and its figures in one line."""
    at, table = 0, []
    with open(f"{folder}/{name}.bodies", "wb") as f:
        for head, body in requests:
            f.write(body)
            table.append(f"{{{at + 1},{at + len(body)},{head}}}")
            at += len(body)
    path = f"{folder}/{name}.lua"
    open(path, "w").write(f"""
local f, made, next = io.open("{folder}/{name}.bodies", "rb"), {{}}, 0
local bytes, rows = f:read("*a"), {{{",".join(table)}}}
function init(args)
  for i, row in ipairs(rows) do
    made[i] = wrk.format("POST", nil, {{["Inference-Header-Content-Length"] = row[3]}}, bytes:sub(row[1], row[2]))
  end
end
function request()
  next = next % #made + 1
  return made[next]
end
function done(summary, latency, requests)
  io.write(string.format("RESULT %f %f %d\\n", summary.requests * 1e6 / summary.duration, latency:percentile(50) / 1000,
           summary.errors.status + summary.errors.read + summary.errors.timeout + summary.errors.connect))
end
""")
    return path


def lengths():
    """Of generated texts of a recorded service, in their order; None where the recording is missing."""
    if not TRACE.exists():
        return None
    rows = subprocess.run(["zstd", "-dc", TRACE], capture_output=True, text=True, check=True).stdout.splitlines()[1:LENGTHS + 1]
    return [min(int(row.split(",")[2]), LENGTH_MAX) for row in rows]


# ---- the server --------------------------------------------------------------------------------------------------

class Server:
    def __init__(self, *args):
        self.process = subprocess.Popen(["build/proa", "serve", "--port", "0", "--log-level", "warn", *map(str, args)], stdout=subprocess.PIPE, text=True)
        atexit.register(self.process.kill)      # where a bench fails half way
        self.port = re.search(r":(\d+)", self.process.stdout.readline())[1]

    def cpu_ms(self):
        fields = open(f"/proc/{self.process.pid}/stat").read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")

    def load(self, name, lua, clients, seconds):
        """Answers per second, their median in ms, and the server's CPU for each in ms."""
        before = self.cpu_ms()
        out = subprocess.run(["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", "30s", "-s", lua, f"http://127.0.0.1:{self.port}/v2/models/{name}/infer"],
                             capture_output=True, text=True, check=True).stdout
        rate, p50_ms, errors = re.search(r"RESULT (\S+) (\S+) (\d+)", out).groups()
        assert errors == "0", out
        return float(rate), float(p50_ms), (self.cpu_ms() - before) / max(1, float(rate) * seconds)

    def counted(self, name, *what):
        """Of the model's metrics, without their common prefix."""
        text = subprocess.run(["curl", "-s", f"http://127.0.0.1:{self.port}/metrics"], capture_output=True, text=True, check=True).stdout
        return [float(re.search(rf"^proa_batch_{w}\{{model_name=\"{name}\".*\}} (\S+)$", text, re.M)[1]) for w in what]

    def stop(self):
        self.process.terminate()
        self.process.wait()


def interleaved(seconds, *loads):
    """Medians of (rate, p50, CPU) of each of (server, model, script, clients)."""
    figures = [[] for _ in loads]
    for server, name, lua, clients in loads:
        server.load(name, lua, clients, 1)
    for _ in range(ROUNDS):
        for f, (server, name, lua, clients) in zip(figures, loads):
            f.append(server.load(name, lua, clients, seconds))
    return [tuple(map(statistics.median, zip(*f))) for f in figures]


# ---- what is measured --------------------------------------------------------------------------------------------

def say(what, figures, server, name):
    rate, p50, cpu = figures
    rows, runs, more = server.counted(name, "rows_sum", "rows_count", "padding_rows_total")
    print(f"{what}: {rate:8.0f} answers/s, p50 {p50:6.2f} ms, {cpu:6.2f} ms of CPU each, {rows / runs:5.1f} rows a run, {100 * more / rows:4.1f} % rows added", flush=True)


def dense_gain(folder, seconds, width):
    onnx.save(dense(3, width), f"{folder}/dense.onnx")
    lua = script(folder, "dense", [binary([("x", weight(1, width))])])
    servers = {mode: Server(f"dense={folder}/dense.onnx", "--batch-mode", mode) for mode in ("adaptive", "off")}
    figures = interleaved(seconds, *((s, "dense", lua, CLIENTS) for s in servers.values()))
    for (mode, s), f in zip(servers.items(), figures):
        say(f"dense x3 of {width}, {CLIENTS} clients, {mode:8}", f, s, "dense")
        s.stop()
    return figures[0][0] / figures[1][0]


def gain_of_dense(folder, seconds):
    small, large = (dense_gain(folder, seconds, width) for width in (1024, 2048))
    print(f"gain: {small:.2f}x (at least {GAIN_MIN}x is asked for); of the weights beyond the caches {large:.2f}x", flush=True)
    return small >= GAIN_MIN


def gain_of_lengths(folder, seconds):
    drawn = lengths()
    if not drawn:
        print(f"unequal lengths: skipped: expected {TRACE}, got none")
        return True
    loads, servers = [], {}
    for name, mask, mode in (("padded", "mask", "adaptive"), ("grouped", "shown", "adaptive"), ("alone", "mask", "off")):
        onnx.save(encoder(4, 512, 1000, mask), f"{folder}/{name}.onnx")
        servers[name] = Server(f"{name}={folder}/{name}.onnx", "--batch-mode", mode)
        requests = [binary([("ids", rng.integers(1, 1000, (1, n))), (mask, np.ones((1, n), np.int64))]) for n in drawn]
        loads.append((servers[name], name, script(folder, name, requests), CLIENTS))
    rates = interleaved(seconds, *loads)
    print(f"lengths of {LENGTHS} recorded texts: median {statistics.median(drawn):.0f}, mean {statistics.mean(drawn):.1f}, longest {max(drawn)}")
    for (name, s), f in zip(servers.items(), rates):
        say(f"encoder, {CLIENTS} clients, {name:8}", f, s, name)
    full, padding = servers["padded"].counted("padded", "entries_total", "padding_entries_total")
    print(f"padded: {100 * padding / full:.1f} % of what its runs computed was padding")
    for s in servers.values():
        s.stop()
    padded, grouped = (rates[i][0] / rates[2][0] for i in range(2))
    print(f"gain: padded {padded:.2f}x, grouped {grouped:.2f}x (more than 1x is asked for)", flush=True)
    return padded > 1


def cost_of_serving(folder, seconds):
    x = weight(1, 64, 56, 56)
    onnx.save(convolutions(16, 64, 56), f"{folder}/conv.onnx")
    lua = script(folder, "conv", [binary([("x", x)])])
    np.savez(f"{folder}/x.npz", x=x)
    server, served, bare = Server(f"conv={folder}/conv.onnx"), [], []
    server.load("conv", lua, 1, 1)
    for _ in range(ROUNDS):
        served.append(server.load("conv", lua, 1, seconds)[1])
        out = subprocess.run(["build/proa", "model", "bench", f"{folder}/conv.onnx", "--inputs", f"{folder}/x.npz", "--runs", "100",
                              "--threads", str(os.cpu_count()), "--json"], capture_output=True, text=True, check=True).stdout
        bare.append(json.loads(out)["median_ms"])
    server.stop()
    times = statistics.median(served) / statistics.median(bare)
    print(f"one client: served p50 {statistics.median(served):.2f} ms, bare {statistics.median(bare):.2f} ms: {times:.3f}x (at most {SERVED_MAX}x is asked for)")
    return times <= SERVED_MAX


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as work:
        held = [measure(work, int(sys.argv[1])) for measure in (gain_of_dense, gain_of_lengths, cost_of_serving)]
    sys.exit(0 if all(held) else 1)
