"""test_slot.py - a warm slot: a server that waits for its model, small and still, and takes it over its control socket.

Properties: not ready until a model is; the descriptor that was inherited hears of each load; idle it takes 8 MB at most
and never wakes; nothing wrong on the control socket changes anything.
"""
import json, math, os, pathlib, re, select, socket, time
import pytest
from conftest import DIGITS, logged, rests, run_proa
from test_listen import dial, request, start  # noqa: F401  (a fixture)

PSS_BYTES_MAX = 8 << 20


def pss_bytes(pid):
    return int(re.search(r"^Pss:\s+(\d+) kB", pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)[1]) << 10


class Ready:
    """A pipe whose writing end the server inherits."""

    def __init__(self):
        self.read_end, self.write_end = os.pipe()
        self.text = b""

    def line(self, seconds=60):
        until = time.monotonic() + seconds
        while b"\n" not in self.text and select.select([self.read_end], [], [], max(0, until - time.monotonic()))[0]:
            piece = os.read(self.read_end, 4096)
            if not piece:
                break
            self.text += piece
        line, _, self.text = self.text.partition(b"\n")
        return line.decode()


@pytest.fixture
def ready():
    r = Ready()
    yield r
    os.close(r.read_end)
    if r.write_end >= 0:
        os.close(r.write_end)


@pytest.fixture
def slot(start, tmp_path, ready):  # noqa: F811
    """A slot: its process, with .control and .address."""
    path = tmp_path / "control"
    p = start(1, "--slot", "--port", "0", "--control", f"unix:{path}", "--ready-fd", str(ready.write_end), pass_fds=[ready.write_end])
    assert p.line() == f"control at unix:{path}\n"
    p.control, p.address = f"unix:{path}", p.at[0]
    return p


def load(slot, name, path=None, config=None):
    parameters = {k: str(v) for k, v in (("path", path), ("config", config)) if v is not None}
    return request(slot.control, "POST", f"/v2/repository/models/{name}/load", json.dumps({"parameters": parameters}))


def test_it_takes_a_model_and_says_so(slot, ready):
    assert request(slot.address)[0] == 503 and request(slot.address, path="/readyz") == (503, b"no model")
    assert request(slot.address, path="/v2/health/live")[0] == 200
    assert load(slot, "digits", DIGITS) == (200, b"")
    assert ready.line() == "ready digits 1"
    assert request(slot.address)[0] == 200
    given = json.loads(request(slot.address, path="/v2/models/digits")[1])["inputs"][0]
    shape = [max(1, d) for d in given["shape"]]
    zeros = {"inputs": [{"name": given["name"], "datatype": "FP32", "shape": shape, "data": [0.0] * math.prod(shape)}]}
    status, answer = request(slot.address, "POST", "/v2/models/digits/infer", json.dumps(zeros))
    assert status == 200 and json.loads(answer)["outputs"]
    assert request(slot.control, "POST", "/v2/repository/models/digits/unload")[0] == 200
    assert request(slot.address)[0] == 503
    config = json.dumps({"name": "digits", "max_batch_size": 4})
    assert load(slot, "digits", config=config)[0] == 200   # from where it came last, with options
    assert ready.line() == "ready digits 1"
    assert json.loads(request(slot.address, path="/v2/models/digits/config")[1])["max_batch_size"] == 4


def test_what_fails_is_told_and_the_next_is_taken(slot, ready, tmp_path):
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"\x08no model")
    status, answer = load(slot, "m", broken)
    assert status == 400 and str(broken) in json.loads(answer)["error"]
    assert ready.line().startswith(f"failed m: {broken}: ")
    assert load(slot, "m", tmp_path / "nowhere")[0] == 404
    assert ready.line() == f"failed m: {tmp_path}/nowhere: cannot look up: No such file or directory"
    assert request(slot.address)[0] == 503
    assert load(slot, "m", DIGITS)[0] == 200 and ready.line() == "ready m 1"
    assert load(slot, "m", DIGITS)[0] == 200 and ready.line() == "ready m 1"   # twice the same: read anew
    assert request(slot.address)[0] == 200


def test_others_may_not_name_a_path(slot, ready):
    status, answer = request(slot.address, "POST", "/v2/repository/models/m/load", json.dumps({"parameters": {"path": str(DIGITS)}}))
    assert (status, json.loads(answer)["error"]) == (403, "parameter 'path': expected it over the socket of --control alone")
    assert os.stat(slot.control[5:]).st_mode & 0o777 == 0o600
    assert request(slot.address)[0] == 503


def test_garbage_on_the_control_socket_harms_nothing(slot, ready):
    for junk in (b"\0" * 5000, b"load digits\n", b"POST /v2/repository/models/m/load HTTP/1.1\r\nContent-Length: 99\r\n\r\n{", os.urandom(3000)):
        s = dial(slot.control)
        s.sendall(junk)
        s.shutdown(socket.SHUT_WR)
        s.close()
    assert load(slot, "digits", DIGITS)[0] == 200
    assert ready.line() == "ready digits 1"


def test_a_reader_that_went_away_costs_lines_alone(slot, ready):
    os.close(ready.write_end)
    ready.write_end = -1
    other = os.open(os.devnull, os.O_RDONLY)
    os.dup2(other, ready.read_end)   # the pipe has no reader any more
    os.close(other)
    assert load(slot, "digits", DIGITS)[0] == 200 and load(slot, "digits", DIGITS)[0] == 200
    assert request(slot.address)[0] == 200
    logged(slot, "ready-fd: ")
    assert load(slot, "digits", DIGITS)[0] == 200
    log = slot.log()
    assert log.count("ready-fd: ") == 1 and "Broken pipe: it is told no more" in log


def test_a_server_with_models_says_when_they_are_ready(start, ready):  # noqa: F811
    p = start(1, "--port", "0", "--ready-fd", str(ready.write_end), f"a={DIGITS}", f"b={DIGITS}", pass_fds=[ready.write_end])
    assert [ready.line(), ready.line()] == ["ready a 1", "ready b 1"]
    assert request(p.at[0])[0] == 200


def test_models_come_by_name_from_the_repository(start, tmp_path, ready):  # noqa: F811
    (tmp_path / "repo/digits/3").mkdir(parents=True)
    (tmp_path / "repo/digits/3/model.onnx").write_bytes(DIGITS.read_bytes())
    p = start(1, "--slot", "--port", "0", "--model-repository", tmp_path / "repo", "--ready-fd", str(ready.write_end), pass_fds=[ready.write_end])
    assert request(p.at[0])[0] == 503
    assert request(p.at[0], "POST", "/v2/repository/models/digits/load")[0] == 200
    assert ready.line() == "ready digits 3"
    assert request(p.at[0])[0] == 200


def test_a_slot_is_small_and_still(slot):
    rests(slot.pid)
    assert pss_bytes(slot.pid) <= PSS_BYTES_MAX


@pytest.mark.parametrize("args, text", [
    (["--slot"], "slot: expected control or model-repository with it, got neither"),
    (["--slot", "--control", "unix:@c"], "control: expected unix:PATH, got 'unix:@c'"),
    (["--slot", "--control", "unix:/c", "m=/m"], "slot: expected no model with it, got '/m'"),
    (["--ready-fd", "999", f"m={DIGITS}"], "ready-fd: expected an open descriptor, got '999'"),
])
def test_what_makes_no_slot_is_refused(args, text):
    done = run_proa("serve", *args)
    assert done.returncode == 2 and done.stderr == f"proa serve: {text}\n"
