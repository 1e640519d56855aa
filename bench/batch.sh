#!/bin/bash
# batch.sh [seconds] - what batching brings, and what the queue costs whom it brings nothing.
#
# Three dense layers of 1024x1024, requests of one row, binary V2: answers per second of 32 clients with batches (the default) and with
# --batch-mode off, in turns, on the same cores.  Then one client of a model of some 20 ms: its median beside that of the bare engine
# (proa model bench), in turns.  Needs wrk and the test environment build/venv.
set -eu -o pipefail
cd "$(dirname "$0")/.."
make -s all build/venv/.ready > /dev/null
build/venv/bin/python - "${1:-4}" <<'PYTHON'
import json, os, re, statistics, subprocess, sys, tempfile
import numpy as np, onnx
sys.path.insert(0, "tests/e2e")
import models

seconds, rounds = int(sys.argv[1]), 3
rng = np.random.default_rng(1)


def dense(layers, width):
    weights = [(f"w{i}", (rng.standard_normal((width, width)) / width ** 0.5).astype(np.float32)) for i in range(layers)]
    nodes = [node for i in range(layers) for node in (
        onnx.helper.make_node("MatMul", ["x" if i == 0 else f"r{i}", f"w{i}"], [f"t{i}"]),
        onnx.helper.make_node("Relu", [f"t{i}"], [f"r{i + 1}" if i < layers - 1 else "y"]))]
    return models.model(nodes, [("x", onnx.TensorProto.FLOAT, ["n", width])], [("y", onnx.TensorProto.FLOAT, ["n", width])], weights)


def convolutions(count, channels, size):
    weights = [(f"w{i}", (rng.standard_normal((channels, channels, 3, 3)) / (9 * channels) ** 0.5).astype(np.float32)) for i in range(count)]
    nodes = [node for i in range(count) for node in (
        onnx.helper.make_node("Conv", ["x" if i == 0 else f"r{i}", f"w{i}"], [f"t{i}"], pads=[1, 1, 1, 1]),
        onnx.helper.make_node("Relu", [f"t{i}"], [f"r{i + 1}" if i < count - 1 else "last"]))]
    nodes.append(onnx.helper.make_node("GlobalAveragePool", ["last"], ["y"]))
    return models.model(nodes, [("x", onnx.TensorProto.FLOAT, ["n", channels, size, size])],
                        [("y", onnx.TensorProto.FLOAT, ["n", channels, 1, 1])], weights)


def script(folder, name, x):
    """wrk's script: one request over and over, and its figures as JSON."""
    head = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": list(x.shape), "parameters": {"binary_data_size": x.nbytes}}],
                       "parameters": {"binary_data_output": True}}).encode()
    open(f"{folder}/{name}.body", "wb").write(head + x.tobytes())
    path = f"{folder}/{name}.lua"
    open(path, "w").write(f"""
local f = io.open("{folder}/{name}.body", "rb")
wrk.method, wrk.body = "POST", f:read("*a")
wrk.headers["Inference-Header-Content-Length"] = "{len(head)}"
function done(summary, latency, requests)
  io.write(string.format("RESULT %f %f %d\\n", summary.requests * 1e6 / summary.duration, latency:percentile(50) / 1000,
           summary.errors.status + summary.errors.read + summary.errors.timeout + summary.errors.connect))
end
""")
    return path


class Server:
    def __init__(self, *args):
        self.process = subprocess.Popen(["build/proa", "serve", "--port", "0", "--log-level", "warn", *args], stdout=subprocess.PIPE, text=True)
        self.port = re.search(r":(\d+)", self.process.stdout.readline())[1]

    def load(self, name, lua, clients, time):
        out = subprocess.run(["wrk", "-t1", f"-c{clients}", f"-d{time}s", "-s", lua, f"http://127.0.0.1:{self.port}/v2/models/{name}/infer"],
                             capture_output=True, text=True, check=True).stdout
        rate, p50_ms, errors = re.search(r"RESULT (\S+) (\S+) (\d+)", out).groups()
        assert errors == "0", out
        return float(rate), float(p50_ms)

    def counted(self, name):
        text = subprocess.run(["curl", "-s", f"http://127.0.0.1:{self.port}/metrics"], capture_output=True, text=True, check=True).stdout
        return [float(re.search(rf"^proa_batch_{what}\{{model_name=\"{name}\".*\}} (\S+)$", text, re.M)[1])
                for what in ("rows_sum", "rows_count", "padding_rows_total")]

    def stop(self):
        self.process.terminate()
        self.process.wait()


with tempfile.TemporaryDirectory() as folder:
    onnx.save(dense(3, 1024), f"{folder}/dense.onnx")
    onnx.save(convolutions(6, 64, 56), f"{folder}/conv.onnx")
    lua = script(folder, "dense", rng.standard_normal((1, 1024)).astype(np.float32))
    servers = {mode: Server(f"dense={folder}/dense.onnx", "--batch-mode", mode) for mode in ("adaptive", "off")}
    for s in servers.values():
        s.load("dense", lua, 32, 1)
    rates = {mode: [] for mode in servers}
    for _ in range(rounds):
        for mode, s in servers.items():
            rates[mode].append(s.load("dense", lua, 32, seconds))
    for mode, s in servers.items():
        rows, runs, padding = s.counted("dense")
        print(f"dense x3, 32 clients, {mode:8}: {statistics.median(r for r, _ in rates[mode]):8.0f} answers/s, "
              f"p50 {statistics.median(p for _, p in rates[mode]):6.2f} ms, {rows / runs:5.1f} rows a run, {100 * padding / rows:4.1f} % padding")
        s.stop()
    gain = statistics.median(r for r, _ in rates["adaptive"]) / statistics.median(r for r, _ in rates["off"])
    print(f"gain: {gain:.2f}x (at least 4x is asked for)")

    x = rng.standard_normal((1, 64, 56, 56)).astype(np.float32)
    lua = script(folder, "conv", x)
    np.savez(f"{folder}/x.npz", x=x)
    server, served, bare = Server(f"conv={folder}/conv.onnx"), [], []
    server.load("conv", lua, 1, 1)
    for _ in range(rounds):
        served.append(server.load("conv", lua, 1, seconds)[1])
        out = subprocess.run(["build/proa", "model", "bench", f"{folder}/conv.onnx", "--inputs", f"{folder}/x.npz", "--runs", "100",
                              "--threads", str(os.cpu_count()), "--json"], capture_output=True, text=True, check=True).stdout
        bare.append(json.loads(out)["median_ms"])
    server.stop()
    print(f"one client: served p50 {statistics.median(served):.2f} ms, bare {statistics.median(bare):.2f} ms: "
          f"{statistics.median(served) / statistics.median(bare):.3f}x (at most 1.05x is asked for)")
PYTHON
