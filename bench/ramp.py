"""ramp.py SECONDS - run by ramp.sh: does the server hold a p99 objective while the load climbs from idle to beyond what it can do?

Arrivals are those of two recorded services put together (AzureLLMInferenceTrace), over and over; their gaps are scaled so that the rate
climbs steadily from RATE_FIRST to RATE_LAST times what the server can answer with batches, on the way through what it can answer without.
They are replayed by bench/ramp.c, an open loop: half by REST, half by gRPC, each on a connection of its own until it is answered;
latencies count from the instant that the recording asks for. The same ramp is run with adaptive batches under OBJECTIVE_MS and with fixed
delays; the adaptive one must hold the objective within 10 % at p99 in each of WINDOWS parts of the ramp, for what it accepts (429 and
RESOURCE_EXHAUSTED are counted beside it). A fixed delay that also does must cost a client alone more.
"""
import subprocess, sys, tempfile
import numpy as np, onnx
from batch import SHARED, Server, binary, dense, script, weight

TRACES = [SHARED / "data" / "traces" / f"AzureLLMInferenceTrace_{name}.csv.zst" for name in ("code", "conv")]
WIDTH, LAYERS, MAX_BATCH = 2048, 6, 16
OBJECTIVE_MS, SLACK = 60, 1.1
RATE_FIRST, RATE_LAST, WINDOWS = 0.05, 1.5, 12
DELAYS_US = (0, 2000, 10000, 40000)
ALONE_MAX = 1.2         # of adaptive's p50 for a client alone
GENERATOR_NICE = -10    # a client that has a machine of its own would not wait for the server's cores


def gaps():
    """Between the arrivals of both services, in their mean."""
    times = []
    for path in TRACES:
        rows = subprocess.run(["zstd", "-dc", path], capture_output=True, text=True, check=True).stdout.splitlines()[1:]
        times += [np.datetime64(r.split(",")[0][:26]) for r in rows]
    found = np.diff(np.sort(np.array(times))).astype("timedelta64[us]").astype(float)
    return found / found.mean()


def ramp(first, last, seconds):
    """Instants in microseconds: arrival number i comes when the integral of the rate has reached the sum of i gaps."""
    count = int(seconds * (first + last) / 2)
    sums = np.cumsum(np.resize(gaps(), count))
    climb = (last - first) / seconds
    at = (np.sqrt(first ** 2 + 2 * climb * sums) - first) / climb
    return (at[at < seconds] * 1e6).astype(np.int64)


def varint(n):
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def field(number, value):
    return varint(number << 3 | 2) + varint(len(value)) + value


def requests(folder, x):
    """The same request for both ways, in files as ramp.c takes them."""
    head, body = binary([("x", x)])
    text = f"POST /v2/models/m/infer HTTP/1.1\r\nHost: ramp\r\nInference-Header-Content-Length: {head}\r\nContent-Length: {len(body)}\r\n\r\n"
    shape = b"".join(varint(n) for n in x.shape)
    message = field(1, b"m") + field(5, field(1, b"x") + field(2, b"FP32") + field(3, shape)) + field(7, x.tobytes())
    files = [f"{folder}/rest", f"{folder}/grpc"]
    for path, data in zip(files, (text.encode() + body, message)):
        open(path, "wb").write(data)
    return files


class Run:
    """One ramp against one server: latencies in ms."""

    def __init__(self, name, folder, lua, files, at, flags):
        self.name = name
        server = Server(f"m={folder}/m.onnx", "--max-batch", MAX_BATCH, "--idle-wait-ms", 600000, *flags)
        self.alone = server.load("m", lua, 1, 2)[1]
        out = subprocess.run(["nice", "-n", str(GENERATOR_NICE), "build/bench/ramp", server.port, *files], capture_output=True, text=True, check=True,
                             input="\n".join(map(str, at))).stdout.splitlines()
        rows, runs = server.counted("m", "rows_sum", "rows_count")
        server.stop()
        self.rows = rows / runs
        self.cpu = float(out.pop().split()[1]) / (at[-1] - at[0])
        table = np.array([[int(v) for v in line.split()[1:]] for line in out])
        self.at, self.late = table[:, 0] / 1e6, table[:, 2] / 1e3
        self.ms, self.status = table[:, 1] / 1e3, table[:, 3]
        other = set(self.status) - {200, 429}
        if other:
            raise SystemExit(f"{name}: expected answers 200 and 429, got {other}")
        self.answered = self.status == 200

    def p99(self, since, until):
        """(answers, p50, p99, refused) of what came between."""
        inside = (self.at >= since) & (self.at < until)
        ms = self.ms[inside & self.answered]
        return len(ms), *(np.percentile(ms, [50, 99]) if len(ms) else (0, 0)), int((inside & ~self.answered).sum())

    def in_time(self):
        return int((self.answered & (self.ms <= OBJECTIVE_MS)).sum())


def tell(runs, at, seconds):
    """By window; returns the worst p99 of each run."""
    edges, worst = np.linspace(0, seconds, WINDOWS + 1), [0] * len(runs)
    print("asked/s  " + "  ".join(f"{r.name:>24}" for r in runs) + "    p50 / p99 ms, refused %")
    for since, until in zip(edges, edges[1:]):
        asked, cells = int(((at >= since * 1e6) & (at < until * 1e6)).sum()), []
        for k, r in enumerate(runs):
            count, p50, p99, refused = r.p99(since, until)
            worst[k] = max(worst[k], p99)
            cells.append(f"{p50:7.1f} /{p99:7.1f}, {100 * refused / max(1, count + refused):4.1f} %")
        print(f"{asked / (until - since):7.0f}  " + "  ".join(f"{c:>24}" for c in cells))
    return worst


def verdict(runs, worst):
    most, held = OBJECTIVE_MS * SLACK, True
    for r, w in zip(runs, worst):
        print(f"{r.name:>14}: p99 of all {r.p99(0, float('inf'))[2]:.1f} ms, worst p99 of a window {w:.1f} ms; alone p50 {r.alone:.2f} ms; {r.in_time()} answered within {OBJECTIVE_MS} ms, "
              f"{int((~r.answered).sum())} refused; {r.rows:.1f} rows a run; the generator took {100 * r.cpu:.0f} % of a core, "
              f"p99 of its own lateness {np.percentile(r.late, 99):.2f} ms")
    adaptive, fixed = runs[0], list(zip(runs, worst))[1:]
    if worst[0] > most:
        print(f"adaptive: expected p99 of at most {most:.0f} ms in every window, got {worst[0]:.1f}")
        held = False
    for r, w in fixed:
        misses, costs = w > most, r.alone > ALONE_MAX * adaptive.alone
        print(f"{r.name}: " + ("misses the objective" if misses else "costs a client alone" if costs else "does as well"))
        held = held and (misses or costs)
    return held


def main(seconds):
    if not all(t.exists() for t in TRACES):
        print(f"bench/ramp.sh: skipped: expected {TRACES[0]}, got none")
        return True
    with tempfile.TemporaryDirectory() as folder:
        onnx.save(dense(LAYERS, WIDTH), f"{folder}/m.onnx")
        x = weight(1, WIDTH)
        lua, files, rates = script(folder, "m", [binary([("x", x)])]), requests(folder, x), {}
        for mode in ("off", "adaptive"):
            server = Server(f"m={folder}/m.onnx", "--batch-mode", mode, "--max-batch", MAX_BATCH)
            server.load("m", lua, 4 * MAX_BATCH, 1)
            rates[mode] = server.load("m", lua, 4 * MAX_BATCH, 4)[0]
            server.stop()
        first, last = RATE_FIRST * rates["adaptive"], RATE_LAST * rates["adaptive"]
        print(f"capacity: {rates['off']:.0f}/s without batches, {rates['adaptive']:.0f}/s with; ramp from {first:.0f}/s to {last:.0f}/s in {seconds} s, "
              f"objective {OBJECTIVE_MS} ms", flush=True)
        at = ramp(first, last, seconds)
        adaptive = ["--batch-mode", "adaptive", "--latency-objective-ms", OBJECTIVE_MS]
        runs = [Run("adaptive", folder, lua, files, at, adaptive)]
        for us in DELAYS_US:
            runs.append(Run(f"fixed {us / 1000:g} ms", folder, lua, files, at, ["--batch-mode", "fixed", "--max-delay-us", us]))
        return verdict(runs, tell(runs, at, seconds))


if __name__ == "__main__":
    sys.exit(0 if main(int(sys.argv[1])) else 1)
