#!/bin/bash
# slot.sh [rounds] - what a warm slot costs: its memory at rest, and a model's way in, without the load itself.
#
# "take" is from the first byte of the load to its answer over --control, less what the server's log says the load took; beside it an empty
# request over the same socket. All by one client that keeps its connection. Milliseconds.
set -eu -o pipefail
cd "$(dirname "$0")/.."
make -s all > /dev/null
python3 - "${1:-200}" <<'PYTHON'
import http.client, json, os, re, select, socket, statistics, subprocess, sys, tempfile, time

rounds, model = int(sys.argv[1]), os.path.abspath("examples/digits/digits.onnx")
with tempfile.TemporaryDirectory() as folder:
    path, told, log = f"{folder}/control", os.pipe(), open(f"{folder}/log", "w+")
    slot = subprocess.Popen(["build/proa", "serve", "--slot", "--port", "0", "--control", f"unix:{path}", "--ready-fd", str(told[1]),
                             "--log-format", "json"], pass_fds=[told[1]], stdout=subprocess.PIPE, stderr=log)
    slot.stdout.readline()
    time.sleep(1.5)
    pss = int(re.search(r"^Pss:\s+(\d+)", open(f"/proc/{slot.pid}/smaps_rollup").read(), re.M)[1])
    client = http.client.HTTPConnection("localhost")
    client.sock = socket.socket(socket.AF_UNIX)
    client.sock.connect(path)

    def ask(method, where, body=None):
        since = time.perf_counter()
        client.request(method, where, body)
        answer = client.getresponse()
        answer.read()
        assert answer.status == 200, answer.status
        return (time.perf_counter() - since) * 1e3

    body, whole, empty, said = json.dumps({"parameters": {"path": model}}), [], [], []
    for i in range(rounds):
        empty.append(ask("GET", "/v2/health/live"))
        since = time.perf_counter()
        whole.append(ask("POST", "/v2/repository/models/m/load", body))
        assert select.select([told[0]], [], [], 10)[0] and os.read(told[0], 100) == b"ready m 1\n"
        said.append((time.perf_counter() - since) * 1e3)
        ask("POST", "/v2/repository/models/m/unload")
    slot.terminate()
    slot.wait()
    log.seek(0)
    loads = [float(json.loads(l)["load_us"]) / 1e3 for l in log if "load_us" in l]
    assert len(loads) == rounds, (len(loads), rounds)
    take = [w - l for w, l in zip(whole, loads)]
    print(f"memory at rest (PSS)       {pss / 1024:8.2f} MB")
    print(f"first take       {take[0]:12.3f}")
    for name, figures in (("load", loads), ("take", take), ("empty request", empty)):
        figures = sorted(figures)
        print(f"{name:<16} p50 {statistics.median(figures):8.3f}   p90 {figures[int(len(figures) * .9)]:8.3f}   p99 {figures[int(len(figures) * .99)]:8.3f}")
PYTHON
