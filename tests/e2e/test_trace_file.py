"""test_trace_file.py - Triton's trace extension, driven by unmodified tritonclient: what lands in the file is read as Triton's tools read it."""
import json, re, stat, subprocess, sys, threading
import numpy as np
import pytest
from conftest import until
from models import X, Y
from test_metrics import value
from test_triton import fails, x_input

MODEL_EVENTS = ["REQUEST_START", "QUEUE_START", "COMPUTE_START", "COMPUTE_INPUT_END", "COMPUTE_OUTPUT_START", "COMPUTE_END",
                "INFER_RESPONSE_COMPLETE", "REQUEST_END"]
EVENTS = {"HTTP": ["HTTP_RECV_START", "HTTP_RECV_END", *MODEL_EVENTS, "HTTP_SEND_START", "HTTP_SEND_END"],
          "GRPC": ["GRPC_WAITREAD_START", "GRPC_WAITREAD_END", *MODEL_EVENTS, "GRPC_SEND_START", "GRPC_SEND_END"]}
NUMPY = {"FP32": np.float32, "FP16": np.float16, "FP64": np.float64, "INT64": np.int64, "INT8": np.int8, "UINT8": np.uint8, "BOOL": bool}


def read(path):
    """Per id what the file says of it: the model, times by name, tensors by activity; the spans that Triton's summary adds up."""
    found = {}
    for entry in json.loads(path.read_text()):
        of = found.setdefault(entry["id"], {"times": {}, "tensors": []})
        of.update({k: v for k, v in entry.items() if k in ("model_name", "model_version", "request_id")})
        for t in entry.get("timestamps", []):
            assert t["name"] not in of["times"] and isinstance(t["ns"], int)
            of["times"][t["name"]] = t["ns"]
        if "activity" in entry:
            of["tensors"].append((entry["activity"], entry["tensor"]))
    return found


def spans(times, kind):
    """As trace_summary.py does it: an end before its start is an error there."""
    first, second = ("RECV", "SEND") if kind == "HTTP" else ("WAITREAD", "SEND")
    pairs = [(f"{kind}_{first}", f"{kind}_{first}"), (f"{kind}_{second}", f"{kind}_{second}"), ("REQUEST", "REQUEST"), ("COMPUTE", "COMPUTE")]
    for start, end in [(a + "_START", b + "_END") for a, b in pairs] + [("QUEUE_START", "COMPUTE_START"), ("COMPUTE_START", "COMPUTE_INPUT_END"),
                                                                        ("COMPUTE_INPUT_END", "COMPUTE_OUTPUT_START"), ("COMPUTE_OUTPUT_START", "COMPUTE_END")]:
        assert times[end] >= times[start], (start, end, times)
    assert list(times) == EVENTS[kind] and list(times.values()) == sorted(times.values())


def array(tensor):
    shape = [int(d) for d in tensor["shape"].split(",")]
    return np.array([float(v) for v in tensor["data"].split(",")], NUMPY[tensor["dtype"]]).reshape(shape)


def there(path):
    until(path.exists, what=str(path))
    return path


@pytest.fixture
def traced(serve, zoo, tmp_path):
    """traced(*options) -> the server, tritonclient.http, its client, the trace file."""
    import tritonclient.http as http
    made = []

    def start(*options, file=None):
        file = file or tmp_path / "trace.json"
        server = serve(f"tiny={zoo['tiny']}", f"pair={zoo['pair']}", f"bytes={zoo['id_bytes']}", "--trace-file", file, *options)
        made.append(http.InferenceServerClient(f"{server.host}:{server.port}"))
        return server, http, made[-1], file
    yield start
    for client in made:
        client.close()


def test_timestamps_of_http_and_grpc(traced):
    server, http, client, file = traced("--trace-rate", "1")
    client.infer("tiny", x_input(http))
    assert not file.exists()
    got = client.update_trace_settings(settings={"trace_level": ["TIMESTAMPS"]})
    assert got == {"trace_level": ["TIMESTAMPS"], "trace_rate": "1", "trace_count": "-1", "log_frequency": "0", "trace_file": str(file), "trace_mode": "triton"}
    for i in range(3):
        client.infer("tiny", x_input(http), request_id=f'r"{i}')
    client.infer("tiny", x_input(http))
    fails(lambda: client.infer("tiny", x_input(http, [X[:3]])), 400, "")
    script = f"""
import numpy as np, tritonclient.grpc as grpc
client = grpc.InferenceServerClient("{server.host}:{server.port}")
got = client.update_trace_settings(model_name="tiny", settings={{"trace_level": ["TIMESTAMPS", "TENSORS"], "trace_rate": "1"}}, as_json=True)
assert got["settings"]["trace_level"]["value"] == ["TIMESTAMPS", "TENSORS"], got
assert got["settings"]["trace_file"]["value"] == ["{file}"], got
x = grpc.InferInput("x", [1, 4], "FP32")
x.set_data_from_numpy(np.array([{list(X)}], np.float32))
for i in range(2):
    client.infer("tiny", [x], request_id="g")
results = []
client.start_stream(lambda result, error: results.append((result, error)))
client.async_stream_infer("tiny", [x], request_id="s")
client.stop_stream()
assert len(results) == 1 and not results[0][1], results
try:
    client.update_trace_settings(settings={{"trace_file": "/tmp/elsewhere"}})
    raise SystemExit("the file was set")
except grpc.InferenceServerException as e:
    assert "trace file location can not be updated through network protocol" in e.message(), e
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
    server.stop()
    found = read(file)
    assert sorted(found) == list(range(1, 9)) and all(t["model_name"] == "tiny" and t["model_version"] == 1 for t in found.values())
    for i in range(1, 5):
        spans(found[i]["times"], "HTTP")
    assert [found[i].get("request_id") for i in range(1, 5)] == ['r"0', 'r"1', 'r"2', None]
    assert set(found[5]["times"]) == set(EVENTS["HTTP"]) - set(MODEL_EVENTS) | {"REQUEST_START", "REQUEST_END"}, "it did not run"
    for i in (6, 7, 8):
        spans(found[i]["times"], "GRPC")
        (_, x), (_, y) = found[i]["tensors"]
        assert [a for a, _ in found[i]["tensors"]] == ["TENSOR_QUEUE_INPUT", "TENSOR_BACKEND_OUTPUT"] and (x["name"], y["name"]) == ("x", "y")
        assert array(x).tolist() == [np.float32(X).tolist()] and np.allclose(array(y), [Y])
    assert [found[i]["request_id"] for i in (6, 7, 8)] == ["g", "g", "s"]
    assert stat.S_IMODE(file.stat().st_mode) & 0o007 == 0, "tensors are nobody else's business"


def test_a_rate_samples_and_a_frequency_makes_numbered_files(traced, tmp_path):
    server, http, client, file = traced("--trace-level", "TIMESTAMPS", "--trace-rate", "3")
    client.update_trace_settings("tiny", {"trace_rate": "2", "log_frequency": "2"})
    for _ in range(11):
        client.infer("tiny", x_input(http))
    first, second = (read(there(tmp_path / f"trace.json.{i}")) for i in (0, 1))
    assert list(first) == [1, 2] and list(second) == [3, 4]
    assert not (tmp_path / "trace.json.2").exists(), "it appears when it is whole"
    client.update_trace_settings("tiny", {"trace_rate": None, "log_frequency": None})     # the server's again; what is there is written
    assert list(read(there(tmp_path / "trace.json.2"))) == [5]
    for _ in range(6):
        client.infer("tiny", x_input(http))
    server.stop()
    assert list(read(file)) == [6, 7]
    assert sorted(p.name for p in tmp_path.glob("trace.json*")) == ["trace.json", "trace.json.0", "trace.json.1", "trace.json.2"]


def test_a_count_counts_down_and_ends_with_a_numbered_file(traced, tmp_path):
    server, http, client, file = traced("--trace-level", "TIMESTAMPS", "--trace-rate", "1")
    for _ in range(4):
        client.infer("tiny", x_input(http))
    assert client.update_trace_settings(settings={"trace_count": "5"})["trace_count"] == "5"
    for i in range(8):
        client.infer("tiny", x_input(http))
        assert client.get_trace_settings("tiny")["trace_count"] == str(max(4 - i, 0))
    assert len(read(there(tmp_path / "trace.json.0"))) == 5
    until(lambda: file.exists() and len(read(file)) == 4, what="JSON while the server runs, too")
    server.stop()
    assert len(read(file)) == 4 and not (tmp_path / "trace.json.1").exists()
    assert "proa_trace_file_requests_total" not in server.log()


def test_tensors_of_every_kind(traced):
    server, http, client, file = traced("--trace-level", "TENSORS", "--trace-rate", "1", "--trace-count", "9")
    words = np.array(["a", 'say "hi"', "line\nbreak", "\u00fc,"], dtype=object)
    i = http.InferInput("x", [4, 1], "BYTES").set_data_from_numpy(words.reshape(4, 1))
    client.infer("bytes", [i])
    nan = x_input(http, [[float("nan"), float("inf"), -1.5, 1e-7]])
    nan[0].set_data_from_numpy(np.array([[np.nan, np.inf, -1.5, 1e-7]], np.float32), binary_data=True)
    client.infer("tiny", nan, outputs=[http.InferRequestedOutput("y", binary_data=True)])
    server.stop()
    one, two = read(file.with_name(file.name + ".0")).values()
    assert not one["times"] and one["model_name"] == "bytes"
    for _, t in one["tensors"]:
        assert t["dtype"] == "BYTES" and t["shape"] == "4,1" and json.loads(f"[{t['data']}]") == words.tolist()
    assert two["tensors"][0][1]["data"] == "nan,inf,-1.5,1e-7"


def test_only_the_operator_names_the_file(traced, serve, zoo, tmp_path):
    server, http, client, file = traced()
    for of in (None, "tiny"):
        fails(lambda: client.update_trace_settings(of, {"trace_file": str(tmp_path / "x")}), 501, "trace file location can not be updated through network protocol")
        fails(lambda: client.update_trace_settings(of, {"trace_mode": "opentelemetry"}), 501, "trace mode can not be updated")
    plain = serve(f"tiny={zoo['tiny']}")
    other = http.InferenceServerClient(f"{plain.host}:{plain.port}")
    fails(lambda: other.update_trace_settings(settings={"trace_level": ["TIMESTAMPS"]}), 400, "trace file name is not given")
    other.close()


def test_a_file_that_cannot_be_written_costs_traces_and_nothing_else(traced, tmp_path):
    place = tmp_path / "place"
    place.mkdir()
    server, http, client, file = traced("--trace-level", "TIMESTAMPS", "--trace-rate", "1", file=place / "trace.json")
    place.rmdir()

    def ask(times):
        for _ in range(times):
            assert np.allclose(client.infer("tiny", x_input(http)).as_numpy("y"), [Y])

    def count(result, least):
        until(lambda: value(server, "proa_trace_file_requests_total", result=result) >= least)
    ask(5)
    count("failed", 5)
    place.mkdir()
    ask(3)
    count("written", 3)
    assert len(read(file)) == 3
    file.rename(place / "old.json")                                     # as logrotate does it
    ask(2)
    count("written", 5)
    assert len(read(file)) == 2 and len(read(place / "old.json")) == 3
    file.unlink()
    file.symlink_to(tmp_path / "elsewhere")                             # somebody who may write there wants our bytes elsewhere
    ask(2)
    count("failed", 7)
    assert not (tmp_path / "elsewhere").exists()
    assert server.stop() == 0
    lines = [line for line in server.log().splitlines() if "traces:" in line]
    assert [re.search("cannot open|takes them again|begins anew", line)[0] for line in lines] == \
        ["cannot open", "takes them again", "begins anew", "begins anew", "cannot open"], lines


def test_all_files_together_are_bounded(traced):
    server, http, client, file = traced("--trace-level", "TIMESTAMPS", "--trace-rate", "1", "--trace-bytes-max", "4000")
    for _ in range(20):
        client.infer("tiny", x_input(http))
    server.stop()
    assert 2 <= len(read(file)) < 8 and file.stat().st_size < 12000
    assert server.log().count("trace-bytes-max: ") == 1


def test_many_clients_lose_no_trace(traced):
    server, http, client, file = traced("--trace-level", "TIMESTAMPS", "--trace-level", "TENSORS", "--trace-rate", "1", "--loops", "2")

    def run():
        with http.InferenceServerClient(f"{server.host}:{server.port}") as c:
            for _ in range(100):
                c.infer("tiny", x_input(http))
    threads = [threading.Thread(target=run) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert server.stop() == 0
    found = read(file)
    assert sorted(found) == list(range(1, 401)) and all(len(t["tensors"]) == 2 and len(t["times"]) == 12 for t in found.values())


def test_wrong_options(run_wrong):
    assert "trace-level: expected trace-file with it, got none" in run_wrong("--trace-level", "TIMESTAMPS")
    assert "trace-level: expected OFF, or TIMESTAMPS and TENSORS, got 'MAX'" in run_wrong("--trace-level", "MAX")
    assert "trace-rate: expected an integer in 0..4294967295, got 'x'" in run_wrong("--trace-rate", "x")
    assert "sample rate must be non-zero" in run_wrong("--trace-file", "t", "--trace-level", "TENSORS", "--trace-rate", "0")


@pytest.fixture
def run_wrong(zoo):
    from conftest import PROA
    return lambda *options: subprocess.run([PROA, "serve", *options, f"tiny={zoo['tiny']}"], capture_output=True, text=True, timeout=60).stderr
