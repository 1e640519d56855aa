"""test_lifecycle.py - starting, refusing to start, and stopping.

Properties: whatever is wrong with a flag, a file or a model is said in one line and the process ends with the right status (2
for usage, 1 for bad input), never by a signal; SIGTERM turns readiness off, answers every accepted request, then ends with 0.
"""
import json, os, random, re, signal, socket, subprocess, threading, time
import numpy as np
import onnx
from onnx import TensorProto as T, helper as h
import pytest
from conftest import DIGITS, Heard, logged, run_proa, until
from models import X, Y
from test_http import LIVE, good, metric, post
from test_v2 import outputs, refused

SLOW = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [256, 384], "data": [0.5] * (256 * 384)}]}).encode()


def slow_post():
    return post(SLOW, path=b"/v2/models/slow/infer")


# ---- stopping ----------------------------------------------------------------------------------------------------

def test_sigterm_and_sigint_end_with_status_zero_and_idle_clients_do_not_delay(serve, zoo, wire):
    for number in (signal.SIGTERM, signal.SIGINT):
        s = serve(f"tiny={zoo['tiny']}", "--drain-wait-ms", "600000")
        idle = [wire(s) for _ in range(20)]
        good(idle[0].send(post()).reply())
        s.process.send_signal(number)
        assert s.wait() == 0


def test_every_request_in_flight_at_sigterm_is_answered(serve, zoo, wire):
    s = serve(f"tiny={zoo['tiny']}", f"slow={zoo['slow']}", "--drain-wait-ms", "600000")
    clients, sent, heard = [wire(s, timeout=60) for _ in range(24)], slow_post() + post(ident=5), Heard(s)
    for w in clients:
        w.send(sent)                                        # one that runs and one that waits behind it
    heard.all_of(24 * len(sent))
    s.terminate()
    for w in clients:
        reply = w.reply()
        assert reply is not None and reply.status == 200 and reply.json()["model_name"] == "slow", reply
        good(w.reply(), 5)
        assert w.closed()
    assert s.wait() == 0


def test_ready_turns_503_while_accepted_requests_finish(serve, zoo, wire):
    s = serve(f"tiny={zoo['tiny']}", f"slow={zoo['slow']}", "--drain-wait-ms", "600000", "--header-wait-ms", "600000")
    assert s.get("/v2/health/ready").status == 200 and s.get("/readyz").status == 200
    begun = {p: wire(s) for p in ("/v2/health/ready", "/readyz", "/v2/models/tiny/ready")}
    heard, count = Heard(s), 0
    for path, w in begun.items():
        part = f"GET {path} HTTP/1.1\r\nHost: a\r\nX-Unfinished".encode()
        w.send(part)
        count += len(part)
    busy = [wire(s, timeout=60) for _ in range(24)]
    for w in busy:
        w.send(slow_post())
    heard.all_of(count + 24 * len(slow_post()))
    s.terminate()
    logged(s, "not ready from now on")
    for path, w in begun.items():
        reply = w.send(b": 1\r\n\r\n").reply()
        assert reply is not None and reply.status == 503, (path, reply)
    try:
        late = s.get("/v2/health/ready", timeout=2)
        assert late.status == 503
    except OSError:
        pass                                                # no longer listening is as clear
    for w in busy:
        assert w.reply().status == 200
    assert s.wait() == 0


def test_sigterm_under_load_breaks_no_answer(serve, zoo, wire):
    """16 clients never pause. After SIGTERM a connection may end between two answers, never inside one, nor without
    having been answered what the server read."""
    s = serve(f"tiny={zoo['tiny']}")
    told, problems, answered = threading.Event(), [], [0]

    def client(k):
        while not told.is_set():
            try:
                with wire(s) as w:
                    while True:
                        w.send(post(ident=k))
                        reply = w.reply()                   # asserts when the connection ends inside an answer
                        if reply is None:
                            if not told.is_set():
                                problems.append("a connection was closed before SIGTERM")
                            return
                        good(reply, k)
                        answered[0] += 1
                        if reply.headers.get("connection", "").lower() == "close":
                            if not told.is_set():
                                problems.append("Connection: close before SIGTERM")
                            assert w.closed()
                            return
            except AssertionError as e:
                problems.append(str(e))
                return
            except OSError as e:
                if not told.is_set():
                    problems.append(f"before SIGTERM: {e}")
                return
    threads = [threading.Thread(target=client, args=(k,), daemon=True) for k in range(16)]
    for t in threads:
        t.start()
    until(lambda: answered[0] > 500 or problems)
    told.set()
    s.terminate()
    for t in threads:
        t.join(60)
    assert not problems, problems[:5]
    assert s.wait() == 0


def test_a_stuck_client_holds_the_drain_only_so_long(serve, zoo, wire):
    s = serve(f"tiny={zoo['tiny']}", "--drain-wait-ms", "500")
    with wire(s) as w:
        heard = Heard(s)
        w.send(post()[:-10])
        heard.all_of(len(post()) - 10)
        s.terminate()
        s.wait(20)                                          # without the option it would have 30 s


# ---- a log that nobody reads -------------------------------------------------------------------------------------

def ask_for_log_lines(w, count, per_batch=100):
    """So many requests, each of which is a line of some 150 bytes in the log; every one must be answered."""
    for _ in range(count // per_batch):
        w.send(LIVE * per_batch)
        for _ in range(per_batch):
            assert w.reply().status == 200


def test_a_log_that_nobody_reads_stalls_no_request_and_no_end(serve, zoo, wire):
    read_end, write_end = os.pipe()
    s = serve(f"tiny={zoo['tiny']}", "--log-requests", "true", "--loops", "2", stderr=write_end)
    os.close(write_end)
    with wire(s) as a, wire(s) as b:
        ask_for_log_lines(a, 4000)                          # 600 kB: the pipe takes 64, the server keeps 128
        good(b.send(post()).reply())
        dropped = metric(s, "proa_log_dropped_total")
        assert 4000 > dropped > 1000, dropped

        text, end = b"", time.monotonic() + 60              # it recovers, and says in a line what is missing
        while b"dropped=" not in text and time.monotonic() < end:
            text += os.read(read_end, 1 << 16)
        b.send(LIVE.replace(b"live", b"ready")).reply()
        while b"/v2/health/ready" not in text and time.monotonic() < end:
            text += os.read(read_end, 1 << 16)
        lines = text.decode().splitlines()
        assert all(re.match(r"\S+Z (info |warn ) ", x) for x in lines), "lines are whole"
        notes = [x for x in lines if " dropped=" in x]
        assert 1 <= len(notes) <= 2, notes                  # two where the writer had no CPU for 64 kB, before it stood still
        assert all(" warn  log: lines were dropped here" in x for x in notes), notes
        assert sum(int(x.split("dropped=")[1]) for x in notes) == metric(s, "proa_log_dropped_total")
        answered = sum(" answered request=" in x for x in lines)
        assert answered + metric(s, "proa_log_dropped_total") >= 4000 + 2

        ask_for_log_lines(a, 4000)                          # it stands still again, and now the server shall leave
    s.terminate()
    assert s.wait() == 0
    os.close(read_end)


def test_a_reader_of_the_log_that_goes_away_ends_nothing(serve, zoo, wire):
    read_end, write_end = os.pipe()
    s = serve(f"tiny={zoo['tiny']}", "--log-requests", "true", stderr=write_end)
    os.close(write_end)
    os.close(read_end)
    with wire(s) as w:
        ask_for_log_lines(w, 200)
        good(w.send(post()).reply())
    s.terminate()
    assert s.wait() == 0


# ---- starting ----------------------------------------------------------------------------------------------------

def one_line(done, *words, status=None):
    """The command failed with one line on stderr that holds the words, and wrote nothing to stdout. Returns the line.
    A usage error may put the usage before it; models that were loaded before may have said so in the log."""
    assert done.returncode > 0, f"expected an exit status above 0, got {done.returncode}: {done.stderr}"
    assert status is None or done.returncode == status, done
    lines = [x for x in done.stderr.splitlines() if x.strip() and not re.match(r"\S+Z info ", x)]
    if done.returncode == 2 and len(lines) == 2 and lines[0].startswith("usage: "):
        lines = lines[1:]
    assert len(lines) == 1, f"expected one line, got: {done.stderr!r}"
    for w in words:
        assert str(w).lower() in lines[0].lower(), f"{str(w)!r} is not in {lines[0]!r}"
    assert done.stdout == ""
    return lines[0]


def start(*args, **kw):
    return run_proa("serve", *args, *([] if any("--port" in str(a) for a in args) else ["--port", "0"]), timeout=60, **kw)


def test_the_first_line_names_a_loopback_address_and_a_free_port(serve, zoo):
    a, b = serve(f"tiny={zoo['tiny']}"), serve(f"tiny={zoo['tiny']}")
    assert a.host == b.host == "127.0.0.1" and a.port != b.port
    sockets = subprocess.run(["ss", "-Hltn"], capture_output=True, text=True).stdout if os.path.exists("/usr/bin/ss") else ""
    for s in (a, b):
        assert not sockets or f"127.0.0.1:{s.port}" in sockets


def test_a_port_in_use_is_said(zoo):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        one_line(start(f"tiny={zoo['tiny']}", "--port", port), port, "in use", status=1)


def test_an_address_that_is_not_ours_is_said(zoo):
    one_line(start(f"tiny={zoo['tiny']}", "--address", "192.0.2.1"), "192.0.2.1")
    one_line(start(f"tiny={zoo['tiny']}", "--address", "not-an-address"), "not-an-address")


def test_paths_that_cannot_be_served_are_said(tmp_path, zoo):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.onnx").write_text("hello")
    for path in (tmp_path / "missing.onnx", tmp_path / "empty", tmp_path / "text.onnx", "/dev/null", tmp_path / "text.onnx" / "below"):
        one_line(start(f"m={path}"), path, status=1)
    one_line(start("--model-repository", tmp_path / "nowhere"), tmp_path / "nowhere", status=1)
    one_line(start("--model-dir", tmp_path / "empty", "--model-name", "m"), tmp_path / "empty", status=1)
    if os.geteuid() != 0:
        locked = tmp_path / "locked.onnx"
        locked.write_bytes(zoo["tiny"].read_bytes())
        locked.chmod(0)
        one_line(start(f"m={locked}"), locked, status=1)


def test_names_are_unique_and_sane(zoo):
    one_line(start(f"twin={zoo['tiny']}", f"twin={zoo['pair']}"), "twin")
    for name in ("", "a/b", "a b", "a\nb", "..", "x" * 2000):
        one_line(start(f"{name}={zoo['tiny']}"))


def test_nothing_to_serve_is_a_usage_error():
    one_line(start(), status=2)


def test_unknown_flags_suggest_the_nearest(zoo):
    tiny = f"tiny={zoo['tiny']}"
    assert "body-bytes-max" in one_line(start(tiny, "--body-byte-max", "1"), "body-byte-max", status=2)
    assert "port" in one_line(start(tiny, "--prot=1"), "prot", status=2)
    assert "log-format" in one_line(start(tiny, "--log-fromat", "json"), "log-fromat", status=2)
    one_line(start(tiny, "--zzzzzzzzzz", "1"), "zzzzzzzzzz", status=2)


@pytest.mark.parametrize("flag,value", [("--port", "65536"), ("--port", "-1"), ("--port", "x"), ("--port", ""), ("--body-bytes-max", "0"),
                                        ("--body-bytes-max", "5Zi"), ("--queue-max", "1.5"), ("--queue-max", "99999999999999999999"),
                                        ("--log-format", "xml"), ("--log-level", "loud"), ("--idle-wait-ms", "soon")])
def test_wrong_values_name_flag_and_value(zoo, flag, value):
    done = run_proa("serve", f"tiny={zoo['tiny']}", flag, value, *([] if flag == "--port" else ["--port", "0"]), timeout=60)
    one_line(done, flag.lstrip("-"), f"'{value}'", status=2)


def test_an_empty_value_opens_no_door(zoo, tmp_path):
    tiny, want = f"tiny={zoo['tiny']}", "expected a path, got ''"
    one_line(start(tiny, "--api-keys", ""), f"--api-keys: {want}", status=2)
    one_line(start(tiny, "--tls-cert", "", "--tls-key", ""), f"--tls-cert: {want}", status=2)
    one_line(start(tiny, "--tls-client-ca="), f"--tls-client-ca: {want}", status=2)
    one_line(start(tiny, env={"PROA_API_KEYS": ""}), f"PROA_API_KEYS: {want}", status=2)
    one_line(start(tiny, "--jobs-dir="), f"--jobs-dir: {want}", status=2)
    one_line(start(tiny, "--config="), f"config: {want}", status=2)
    one_line(start(tiny, "--jobs-dir", "x" * 5000), "serve: jobs-dir: expected a path of at most", status=1)
    (tmp_path / "p.yaml").write_text("tls-cert: ''\n")
    one_line(start(tiny, "--config", tmp_path / "p.yaml"), f"p.yaml:1:1: tls-cert: {want}", status=2)


def test_limits_of_models_that_are_not_there(serve, zoo, tmp_path):
    tiny = f"tiny={zoo['tiny']}"
    one_line(start(tiny, "--model-rates", "tiny=5,tin=1:1"), "model-rates: expected a model that is here, got 'tin'", status=1)
    one_line(start(tiny, "--model-weights", "zz=3"), "model-weights: expected a model that is here, got 'zz'", status=1)
    s = serve(tiny, "--model-control", "explicit", "--model-weights", "zz=3", "--model-rates", "tiny=5")
    assert s.log().count("expected a model that is here") == s.log().count("warn  model-weights: expected a model that is here, got 'zz'") == 1


def test_a_trace_file_that_cannot_be_is_said(zoo, tmp_path):
    tiny = f"tiny={zoo['tiny']}"
    one_line(start(tiny, "--trace-file", tmp_path / "none" / "t"), f"trace-file: {tmp_path}/none/: cannot look up: No such file", status=1)
    one_line(start(tiny, "--trace-file", tmp_path), f"trace-file: expected a regular file, got '{tmp_path}'", status=1)
    one_line(start(tiny, "--trace-file", f"{tmp_path}/"), f"trace-file: expected a regular file, got '{tmp_path}/'", status=1)
    (tmp_path / "f").write_text("")
    one_line(start(tiny, "--trace-file", tmp_path / "f" / "t"), f"trace-file: {tmp_path}/f/: cannot look up: Not a directory", status=1)


def test_a_flag_without_its_value_is_a_usage_error(zoo):
    one_line(run_proa("serve", f"tiny={zoo['tiny']}", "--port", timeout=60), "port", status=2)


def test_environment_is_below_flags_and_checked_alike(serve, zoo, wire):
    s = serve(f"tiny={zoo['tiny']}", env={"PROA_BODY_BYTES_MAX": "4096"})
    refused(s.post("/v2/models/tiny/infer", b" " * 5000), 413, "4096")
    s = serve(f"tiny={zoo['tiny']}", "--body-bytes-max", "8192", env={"PROA_BODY_BYTES_MAX": "4096"})
    refused(s.post("/v2/models/tiny/infer", b" " * 5000), 400)
    one_line(start(f"tiny={zoo['tiny']}", env={"PROA_QUEUE_MAX": "many"}), "PROA_QUEUE_MAX", "'many'")


def test_a_yaml_file_is_below_environment_and_flags(serve, zoo, tmp_path):
    file = tmp_path / "proa.yaml"
    file.write_text("\ufeffport: 0\nbody-bytes-max: 4Ki\nlog_format: json\n")
    s = serve(f"tiny={zoo['tiny']}", "--config", file)
    refused(s.post("/v2/models/tiny/infer", b" " * 5000), 413, "4096")
    s = serve(f"tiny={zoo['tiny']}", "--config", file, "--body-bytes-max", "8192")
    refused(s.post("/v2/models/tiny/infer", b" " * 5000), 400)
    s = serve(f"tiny={zoo['tiny']}", "--config", file, env={"PROA_BODY_BYTES_MAX": "8192"})
    refused(s.post("/v2/models/tiny/infer", b" " * 5000), 400)


YAML = {"unknown key": ("port: 0\nbody-byte-max: 1\n", ["body-byte-max", "body-bytes-max"]), "wrong value": ("port: x\n", ["port", "'x'"]),
        "a list for a number": ("port: [1]\n", ["port"]), "a map for a number": ("port: {a: 1}\n", ["port"]), "not a map": ("- port\n", []),
        "just text": ("hello\n", []), "broken": ("port: [1\n", []), "tab": ("\tport: 1\n", []), "same key twice": ("port: 0\nport: 0\n", ["port"]),
        "alias bomb": ("a: &a [x,x,x]\nb: &b [*a,*a,*a]\nport: *b\n", []), "nul": ("port: \0\n", []), "deep": ("port: " + "[" * 5000 + "\n", []),
        "two documents": ("port: 0\n---\nport: 0\n", []), "not utf-8": (b"port: \xff\n", [])}


@pytest.mark.parametrize("case", YAML)
def test_a_wrong_yaml_file_is_refused(zoo, tmp_path, case):
    text, words = YAML[case]
    file = tmp_path / "proa.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    one_line(run_proa("serve", f"tiny={zoo['tiny']}", "--config", file, timeout=60), "proa.yaml", *words)


def test_a_missing_yaml_file_is_said(zoo, tmp_path):
    one_line(start(f"tiny={zoo['tiny']}", "--config", tmp_path / "none.yaml"), "none.yaml")


# ---- folders -----------------------------------------------------------------------------------------------------

def ask_tiny(s, name="tiny"):
    return outputs(s.infer(name, [["x", "FP32", [1, 4], X]]))["y"][2] == pytest.approx(Y, rel=1e-6)


def test_a_folder_as_kserve_mounts_it(serve, zoo, tmp_path):
    (tmp_path / "mnt").mkdir()
    (tmp_path / "mnt" / "some-name.onnx").write_bytes(zoo["tiny"].read_bytes())
    (tmp_path / "mnt" / "README.md").write_text("not a model")
    for args in (["--model_name", "tiny", "--model_dir", tmp_path / "mnt"], ["--model_name=tiny", f"--model_dir={tmp_path / 'mnt'}"],
                 [f"tiny={tmp_path / 'mnt'}"]):
        assert ask_tiny(serve(*args))


def test_a_repository_of_names_and_versions(serve, zoo, tmp_path):
    for name, version, source in (("tiny", "1", "pair"), ("tiny", "12", "tiny"), ("tiny", "3", "pair"), ("other", "7", "tiny")):
        (tmp_path / name / version).mkdir(parents=True)
        (tmp_path / name / version / "model.onnx").write_bytes(zoo[source].read_bytes())
    s = serve("--model-repository", tmp_path)
    assert ask_tiny(s) and ask_tiny(s, "other")             # the newest version is the highest number, not the last name
    assert "12" in s.get("/v2/models/tiny").json()["versions"] and s.get("/v2/models/other").json()["versions"] == ["7"]
    assert s.get("/v2/models/other/versions/7/ready").status == 200 and s.get("/v2/models/other/versions/1/ready").status == 404
    assert outputs(s.infer("other", [["x", "FP32", [1, 4], X]]))
    assert s.infer("other", [["x", "FP32", [1, 4], X]]).json()["model_version"] == "7"


# ---- bad models --------------------------------------------------------------------------------------------------

def survives(path, *words):
    """The file is refused in one line, or is a model after all; nothing else. Returns whether it was refused."""
    done = run_proa("model", "inspect", path, timeout=60)
    assert done.returncode >= 0, f"{path}: killed by signal {-done.returncode}"
    if done.returncode == 0:
        return False
    assert done.returncode in (1, 3), done
    one_line(done, path.name, *words)
    return True


def test_truncated_models(tmp_path, zoo):
    whole = zoo["digits"].read_bytes()
    cut = tmp_path / "cut.onnx"
    for at in [0, 1, 2, 7, 100, 1000] + [len(whole) * i // 20 for i in range(1, 20)] + [len(whole) - 1]:
        cut.write_bytes(whole[:at])
        assert survives(cut), f"{at} of {len(whole)} bytes were taken for a model"
    one_line(start(f"m={cut}"), cut, status=1)


def test_bit_flips_never_crash(tmp_path, zoo):
    r = random.Random(11)
    small = {k: zoo[k].read_bytes() for k in ("tiny", "pair", "scalar")}
    path = tmp_path / "flip.onnx"
    refusals = 0
    for i in range(240):
        data = bytearray(list(small.values())[i % 3])
        for _ in range(r.choice((1, 1, 4))):
            data[r.randrange(len(data))] ^= 1 << r.randrange(8)
        path.write_bytes(data)
        refusals += survives(path)
    assert refusals > 20


def saved(tmp_path, name, model):
    path = tmp_path / f"{name}.onnx"
    path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
    return path


def graph(nodes, weights=(), ins=(("x", T.FLOAT, ["n", 4]),), outs=(("y", T.FLOAT, None),), opset=17):
    """An unchecked model: what the checker would refuse is wanted here."""
    info = lambda rows: [h.make_tensor_value_info(*r) for r in rows]
    g = h.make_graph(nodes, "g", info(ins), info(outs), list(weights))
    return h.make_model(g, opset_imports=[h.make_opsetid("", opset)], ir_version=8)


def huge(dims, raw=b"\0" * 16):
    t = onnx.TensorProto(name="w", data_type=T.FLOAT, dims=dims, raw_data=raw)
    return graph([h.make_node("Add", ["x", "w"], ["y"])], [t])


def external(location, **more):
    t = onnx.TensorProto(name="w", data_type=T.FLOAT, dims=[4], data_location=onnx.TensorProto.EXTERNAL)
    for k, v in dict(location=location, **more).items():
        t.external_data.add(key=k, value=v)
    return graph([h.make_node("Add", ["x", "w"], ["y"])], [t])


def nested(depth):
    """If inside If, depth times."""
    out = h.make_tensor_value_info("o", T.FLOAT, None)
    inner = h.make_graph([h.make_node("Identity", ["x"], ["o"])], "leaf", [], [out])
    for i in range(depth):
        branches = [onnx.AttributeProto(name="then_branch", type=onnx.AttributeProto.GRAPH, g=inner)]
        node = onnx.NodeProto(op_type="If", input=["c"], output=["o"], attribute=branches)
        ins = [h.make_tensor_value_info("x", T.FLOAT, [1]), h.make_tensor_value_info("c", T.BOOL, [])] if i == depth - 1 else []
        inner = h.make_graph([node], f"level{i}", ins, [out])
    return h.make_model(inner, opset_imports=[h.make_opsetid("", 17)], ir_version=8)


def deep_bytes(levels):
    """A length-delimited field inside itself, deeper than any parser should follow: field 7 (graph), then 1, 5, 6 for ever."""
    def varint(n):
        out = b""
        while n > 127:
            out, n = out + bytes([n & 127 | 128]), n >> 7
        return out + bytes([n])
    body = b""
    for i in range(levels):
        for field in (6, 5, 1):                             # AttributeProto.g <- NodeProto.attribute <- GraphProto.node
            body = bytes([field << 3 | 2]) + varint(len(body)) + body
    return b"\x08\x08" + bytes([7 << 3 | 2]) + varint(len(body)) + body


RELU = [h.make_node("Relu", ["x"], ["y"])]
BAD = {
    "declares 10 GB": lambda: huge([50000, 50000]),
    "declares more than 64 bits": lambda: huge([2**40, 2**40]),
    "declares a negative size": lambda: huge([-1, 4]),
    "has less data than declared": lambda: huge([100]),
    "has more data than declared": lambda: huge([1]),
    "cycle": lambda: graph([h.make_node("Add", ["x", "b"], ["a"]), h.make_node("Relu", ["a"], ["b"]), h.make_node("Relu", ["b"], ["y"])]),
    "node feeds itself": lambda: graph([h.make_node("Add", ["x", "y"], ["y"])]),
    "input from nowhere": lambda: graph([h.make_node("Add", ["x", "nowhere"], ["y"])]),
    "output from nowhere": lambda: graph(RELU, outs=(("z", T.FLOAT, None),)),
    "two nodes write one value": lambda: graph(RELU + RELU),
    "unknown operator": lambda: graph([h.make_node("Frobnicate", ["x"], ["y"], name="n7")]),
    "unknown domain": lambda: graph([h.make_node("Relu", ["x"], ["y"], domain="com.example", name="n7")]),
    "unknown attribute": lambda: graph([h.make_node("Relu", ["x"], ["y"], name="n7", frob=3)]),
    "opset from the future": lambda: graph(RELU, opset=999),
    "too many inputs": lambda: graph([h.make_node("Relu", ["x", "x", "x"], ["y"], name="n7")]),
    "too few inputs": lambda: graph([h.make_node("Add", ["x"], ["y"], name="n7")]),
    "no graph": lambda: onnx.ModelProto(ir_version=8),
    "no outputs": lambda: graph(RELU, outs=()),
    "external data outside": lambda: external("../secret.bin"),
    "external data outside, in disguise": lambda: external("sub/../../secret.bin"),
    "external data absolute": lambda: external("/etc/passwd"),
    "external data missing": lambda: external("missing.bin"),
    "external data through a link": lambda: external("link.bin"),
    "external data beyond the end": lambda: external("short.bin", offset="4096", length="16"),
    "external data with a huge offset": lambda: external("short.bin", offset="18446744073709551608", length="16"),
    "external data with a negative offset": lambda: external("short.bin", offset="-16", length="16"),
    "external data too short": lambda: external("short.bin", length="8"),
    "external data that is a folder": lambda: external("sub"),
    "subgraphs nested 20 deep": lambda: nested(20),
    "fields nested 3,000 deep": lambda: deep_bytes(3000),
    "text": lambda: b"this is not a model\n" * 50,
    "html": lambda: b"<!DOCTYPE html><html><body>404</body></html>",
    "zip": lambda: b"PK\x03\x04" + bytes(200),
    "zeros": lambda: bytes(4096),
    "ones": lambda: b"\xff" * 4096,
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_model_is_refused_in_one_line(tmp_path, case):
    (tmp_path / "in" / "sub").mkdir(parents=True)
    (tmp_path / "secret.bin").write_bytes(b"\0" * 16)
    (tmp_path / "in" / "short.bin").write_bytes(b"\0" * 8)
    (tmp_path / "in" / "link.bin").symlink_to(tmp_path / "secret.bin")
    path = saved(tmp_path / "in", "bad", BAD[case]())
    done = start(f"m={path}")                               # ends it after a minute
    assert done.returncode > 0, f"expected a refusal, got status {done.returncode}"
    line = one_line(done, "bad.onnx")
    if case.startswith("unknown"):
        assert "n7" in line
    assert survives(path)


def test_external_data_inside_the_folder_is_read(serve, tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "w.bin").write_bytes(bytes(64) + np.array([1, 2, 3, 4], np.float32).tobytes())
    s = serve(f"m={saved(tmp_path, 'good', external('sub/w.bin', offset='64', length='16'))}")
    assert outputs(s.infer("m", [["x", "FP32", [1, 4], [10, 20, 30, 40]]]))["y"][2] == [11, 22, 33, 44]


def test_one_bad_model_among_good_ones_stops_the_start(zoo, tmp_path):
    bad = saved(tmp_path, "bad", b"nonsense")
    one_line(start(f"tiny={zoo['tiny']}", f"bad={bad}"), "bad.onnx", status=1)


# ---- what is printed at the start --------------------------------------------------------------------------------

def stdout_lines(server):
    server.terminate()
    server.wait()
    return server.process.stdout.read().decode().splitlines()


def test_a_table_of_models_follows_the_first_line(serve, zoo):
    s = serve(f"tiny={zoo['tiny']}", f"digits={DIGITS}")
    lines = stdout_lines(s)
    assert re.fullmatch(r"MODEL +VERSION +INPUTS +OUTPUTS +INSTANCES +MEMORY +LOADED", lines[0]) and len(lines) == 3
    assert re.fullmatch(r"tiny +1 +x FP32 \[\S+\] +y FP32 \[\S+\] +\d+ +\d+\.\d MB +\d+\.\d ms", lines[1])
    assert lines[2].startswith("digits ")


def test_with_json_logs_the_models_are_log_lines_and_no_table(serve, zoo):
    s = serve(f"tiny={zoo['tiny']}", "--log-format", "json")
    assert stdout_lines(s) == []
    loaded = [json.loads(line) for line in s.log().splitlines() if "ready in" in line]
    assert len(loaded) == 1 and int(loaded[0]["memory_bytes"]) > 0 and int(loaded[0]["load_us"]) > 0
