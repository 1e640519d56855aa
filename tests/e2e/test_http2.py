"""test_http2.py - HTTP/2 on the port of HTTP/1, as users' programs speak it: curl, h2load, the h2 package, and by hand.

Properties: every client gets the answer that HTTP/1 gets; the first bytes or an Upgrade choose the protocol; big tensors pass in
both directions; SIGTERM loses no stream; what no honest client sends ends that connection alone, with its reason.
"""
import json, os, shutil, socket, struct, subprocess
import h2.config, h2.connection, h2.errors, h2.events, h2.settings
import numpy as np
import pytest
from conftest import until
from models import X, Y
from test_metrics import value

INFER = "/v2/models/tiny/infer"
BODY = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": X}]}).encode()
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


class Client:
    """One connection of the h2 package over a socket; replies by stream."""

    def __init__(self, server, timeout=20):
        self.socket = server.connect(timeout)
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.replies, self.over = {}, {}
        self.gone = None
        self.flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def flush(self):
        self.socket.sendall(self.h2.data_to_send())

    def ask(self, method, path, body=b"", headers=(), end=True):
        stream = self.h2.get_next_available_stream_id()
        fields = [(":method", method), (":scheme", "http"), (":authority", "a"), (":path", path), *headers]
        self.h2.send_headers(stream, fields, end_stream=end and not body)
        self.replies[stream] = {"headers": None, "body": bytearray()}
        self.flush()
        self.send(stream, body, end) if body else None
        return stream

    def send(self, stream, body, end=True):
        """As much as the windows allow at a time."""
        view, sent = memoryview(body), 0
        while sent < len(view):
            room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size, len(view) - sent)
            if room == 0:
                self.turn()
                continue
            sent += room
            self.h2.send_data(stream, view[sent - room:sent].tobytes(), end_stream=end and sent == len(view))
            self.flush()

    def turn(self):
        """One read; False at the end of the connection."""
        data = self.socket.recv(1 << 16)
        if not data:
            return False
        for e in self.h2.receive_data(data):
            if isinstance(e, h2.events.ResponseReceived):
                self.replies[e.stream_id]["headers"] = dict(e.headers)
            elif isinstance(e, h2.events.DataReceived):
                self.replies[e.stream_id]["body"] += e.data
                if e.flow_controlled_length:
                    self.h2.acknowledge_received_data(e.flow_controlled_length, e.stream_id)
            elif isinstance(e, h2.events.StreamEnded):
                self.over[e.stream_id] = None
            elif isinstance(e, h2.events.StreamReset):
                self.over.setdefault(e.stream_id, e.error_code)
            elif isinstance(e, h2.events.ConnectionTerminated):
                self.gone = e.error_code
        self.flush()
        return True

    def reply(self, stream):
        while stream not in self.over:
            assert self.turn(), "the connection ended before the answer"
        r = self.replies[stream]
        return r["headers"], bytes(r["body"])


def good(reply):
    headers, body = reply
    assert headers[":status"] == "200", (headers, body)
    assert json.loads(body)["outputs"][0]["data"] == pytest.approx(Y, rel=1e-6)


def curl(*args):
    run = subprocess.run(["curl", "-sS", "-m", "30", "-w", "\n%{http_version} %{http_code}", *map(str, args)], capture_output=True)
    assert run.returncode == 0, run.stderr
    body, _, line = run.stdout.rpartition(b"\n")
    return line.decode().split(), body


# ---- clients that behave ---------------------------------------------------------------------------------------------

@pytest.mark.parametrize("way", ["--http2-prior-knowledge", "--http2"])
def test_curl(server, way, tmp_path):
    (tmp_path / "body").write_bytes(BODY)
    line, body = curl(way, server.url + "/v2/health/ready")
    assert line == ["2", "200"] and json.loads(body) == {"ready": True}
    line, body = curl(way, "--data-binary", f"@{tmp_path / 'body'}", server.url + INFER)
    assert line == ["2", "200"] and json.loads(body)["outputs"][0]["data"] == pytest.approx(Y, rel=1e-6)
    line, body = curl(way, "-I", server.url + "/v2/health/ready")
    assert line == ["2", "200"]
    line, body = curl(way, server.url + "/v2/models/nobody")
    assert line == ["2", "404"] and "error" in json.loads(body)
    line, body = curl(way, "-H", "Expect: 100-continue", "--data-binary", f"@{tmp_path / 'body'}", server.url + INFER)
    assert line == ["2", "200"]


def test_http1_and_http2_give_the_same_answer(server):
    with Client(server) as c:
        for method, path, body in (("GET", "/v2", b""), ("GET", "/v2/models/tiny", b""), ("GET", "/nowhere", b""),
                                   ("DELETE", "/v2", b""), ("POST", INFER, BODY), ("POST", INFER, b"{nonsense")):
            headers, got = c.reply(c.ask(method, path, body))
            want = server.request(method, path, body or None)
            assert (int(headers[":status"]), got) == (want.status, want.body), path
            assert headers.get("content-type") == want.headers.get("content-type")
            assert len(headers["x-request-id"]) == 16


def test_many_streams_of_one_connection_get_their_own_answers(server):
    with Client(server) as c:
        for _ in range(5):
            asked = {}
            for i in range(100):
                body = b'{"id":"%d",' % i + BODY[1:]
                asked[c.ask("POST", INFER, body)] = i
            for stream, i in asked.items():
                reply = c.reply(stream)
                good(reply)
                assert json.loads(reply[1])["id"] == str(i)


def test_a_slow_answer_does_not_hold_back_others(server):
    slow = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [64, 384], "data": [0.5] * (64 * 384)}]}
    with Client(server) as c:
        first = c.ask("POST", "/v2/models/slow/infer", json.dumps(slow).encode())
        quick = c.ask("GET", "/v2/health/live")
        assert json.loads(c.reply(quick)[1]) == {"live": True}
        assert c.reply(first)[0][":status"] == "200"


def test_big_tensors_pass_in_both_directions(server):
    """Larger than every window, as JSON and as binary."""
    n = 250_000
    x = np.arange(n * 4, dtype=np.float32).reshape(n, 4) / n
    head = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [n, 4], "parameters": {"binary_data_size": x.nbytes}}],
                       "outputs": [{"name": "y", "parameters": {"binary_data": True}}]}).encode()
    with Client(server) as c:
        for _ in range(2):
            stream = c.ask("POST", INFER, head + x.tobytes(), [("inference-header-content-length", str(len(head)))])
            headers, body = c.reply(stream)
            assert headers[":status"] == "200", body[:300]
            json_bytes = int(headers["inference-header-content-length"])
            shape = json.loads(body[:json_bytes])["outputs"][0]["shape"]
            y = np.frombuffer(body[json_bytes:], np.float32).reshape(shape)
            assert y.shape[0] == n and int(headers["content-length"]) == len(body)
            want = server.infer("tiny", [["x", "FP32", [1, 4], x[n - 1].tolist()]]).json()["outputs"][0]["data"]
            assert y[n - 1].tolist() == pytest.approx(want, rel=1e-5)


@pytest.mark.skipif(not shutil.which("h2load"), reason="h2load is absent: it comes with nghttp2-client")
@pytest.mark.parametrize("shape", [("-c1", "-m1", 2000), ("-c8", "-m32", 40000), ("-c100", "-m10", 40000)])   # 1,000 fit a queue
def test_h2load(server, shape, tmp_path):
    (tmp_path / "body").write_bytes(BODY)
    connections, streams, count = shape
    run = subprocess.run(["h2load", connections, streams, f"-n{count}", "-d", str(tmp_path / "body"), server.url + INFER],
                         capture_output=True, text=True, timeout=120)
    assert f"{count} succeeded, 0 failed, 0 errored, 0 timeout" in run.stdout, run.stdout + run.stderr
    assert f"{count} 2xx, 0 3xx, 0 4xx, 0 5xx" in run.stdout


# ---- the end, the limits ---------------------------------------------------------------------------------------------

class Raw:
    """A connection without a client: the h2 package takes every GOAWAY for the end."""

    def __init__(self, server):
        self.socket, self.data = server.connect(), b""
        self.socket.sendall(PREFACE + frame(4, 0, 0))

    def post(self, stream, path, body, end=True):
        head = b"\x83\x86\x04" + bytes((len(path),)) + path.encode() + b"\x41\x01a"
        parts = [body[i:i + 16384] for i in range(0, len(body), 16384)]
        self.socket.sendall(frame(1, 4, stream, head) + b"".join(
            frame(0, int(end and part is parts[-1]), stream, part) for part in parts))

    def frames(self):
        """(kind, flags, stream, payload) of all that comes, to the end; answers pings."""
        while True:
            while len(self.data) >= 9 and len(self.data) >= 9 + int.from_bytes(self.data[:3], "big"):
                size, kind, flags = int.from_bytes(self.data[:3], "big"), self.data[3], self.data[4]
                stream, payload = int.from_bytes(self.data[5:9], "big"), self.data[9:9 + size]
                self.data = self.data[9 + size:]
                if kind == 6 and not flags & 1:
                    self.socket.sendall(frame(6, 1, 0, payload))
                yield kind, flags, stream, payload
            got = self.socket.recv(1 << 16)
            if not got:
                return
            self.data += got


def test_sigterm_loses_no_stream(serve, zoo):
    s = serve(*(f"{k}={v}" for k, v in zoo.items()))
    slow = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [2, 384], "data": [0.5] * (2 * 384)}]}).encode()
    c, idle = Raw(s), Raw(s)
    for stream in range(1, 21, 2):
        c.post(stream, "/v2/models/slow/infer", slow)
    c.post(21, INFER, BODY[:20], end=False)
    until(lambda: value(s, "proa_http_streams_total", protocol="http2") == 11 and value(s, "proa_http_connections_total", protocol="http2") == 2)
    s.terminate()
    goodbyes, ended = [], []
    for kind, flags, stream, payload in c.frames():
        if kind == 7:
            goodbyes.append(struct.unpack(">II", payload[:8]))
            if len(goodbyes) == 1:
                c.socket.sendall(frame(0, 1, 21, BODY[20:]))            # it was begun before: it is answered
                c.post(23, INFER, BODY)                                 # sent before the goodbye was heard: this one, too
        elif kind in (0, 1) and flags & 1:
            ended.append(stream)
    assert sorted(ended) == list(range(1, 25, 2))
    assert goodbyes == [(2**31 - 1, 0), (23, 0)]
    assert [struct.unpack(">II", p[:8]) for k, _, _, p in idle.frames() if k == 7] == [(2**31 - 1, 0), (0, 0)]
    assert s.wait() == 0


def test_a_body_over_the_limit_gets_413_and_the_connection_goes_on(serve, zoo):
    s = serve(f"tiny={zoo['tiny']}", "--body-bytes-max", "100000")
    with Client(s) as c:
        headers, body = c.reply(c.ask("POST", INFER, b" " * 100_001))
        assert headers[":status"] == "413" and "error" in json.loads(body)
        headers, _ = c.reply(c.ask("POST", INFER, headers=[("content-length", "100001")], end=False))
        assert headers[":status"] == "413"
        good(c.reply(c.ask("POST", INFER, BODY)))


def test_more_connections_than_allowed_are_told_goodbye(serve, zoo):
    s = serve(f"tiny={zoo['tiny']}", "--connections-max", "2")
    with Client(s) as a, Client(s) as b:
        good(a.reply(a.ask("POST", INFER, BODY)))
        good(b.reply(b.ask("POST", INFER, BODY)))
        with Client(s) as c:
            for step in (lambda: c.ask("GET", "/v2"), *[c.turn] * 10):
                try:
                    if not step():
                        break
                except OSError:                             # it does not wait for ever until we have spoken
                    pass
            assert c.gone == h2.errors.ErrorCodes.NO_ERROR


def test_a_client_that_gives_no_window_is_reset(serve, zoo):
    s = serve(f"tiny={zoo['tiny']}", "--write-wait-ms", "500")
    with Client(s) as c:
        c.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 0})
        c.flush()
        stream = c.ask("GET", "/v2")
        while stream not in c.over:
            assert c.turn()
        assert c.over[stream] == h2.errors.ErrorCodes.CANCEL


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def last_word(s):
    """Reads to the end: the error code of the GOAWAY, None without one."""
    data, code = b"", None
    try:
        while got := s.recv(1 << 16):
            data += got
    except OSError:
        pass
    while len(data) >= 9:
        size = int.from_bytes(data[:3], "big")
        if data[3] == 7:
            code = int.from_bytes(data[13:17], "big")
        data = data[9 + size:]
    return code


GET = b"\x82\x86\x84\x41\x01a"
FLOODS = {
    "pings": lambda i: frame(6, 0, 0, b"12345678"),
    "settings": lambda i: frame(4, 0, 0),
    "windows": lambda i: frame(8, 0, 0, b"\0\0\0\1"),
    "priorities": lambda i: frame(2, 0, 2 * i + 1, b"\0\0\0\0\1"),
    "unknown frames": lambda i: frame(0x70, 0, 0, b"x"),
    "rapid resets": lambda i: frame(1, 5, 2 * i + 1, GET) + frame(3, 0, 2 * i + 1, b"\0\0\0\x08"),
    "continuations": lambda i: frame(9 if i else 1, 0, 1),
    "empty bodies": lambda i: frame(0, 0, 1) if i else frame(1, 4, 1, b"\x83" + GET[1:]),
}


@pytest.mark.parametrize("kind", FLOODS)
def test_floods_end_their_connection(server, kind):
    with server.connect(10) as s:
        try:
            s.sendall(PREFACE + frame(4, 0, 0) + b"".join(FLOODS[kind](i) for i in range(30_000)))
        except OSError:
            pass
        assert last_word(s) in (11, None)
    with Client(server) as c:
        good(c.reply(c.ask("POST", INFER, BODY)))


def test_a_header_bomb_is_not_unpacked(server):
    rss = lambda: next(int(x.split()[1]) for x in open(f"/proc/{server.pid}/status") if x.startswith("VmRSS"))
    before = rss()
    bomb = GET + b"\x40\x01a\x7f\xa1\x1e" + b"x" * 4000 + b"\xbe" * 12_000
    for _ in range(20):
        with server.connect(10) as s:
            s.sendall(PREFACE + frame(4, 0, 0) + frame(1, 5, 1, bomb))
            assert last_word(s) == 11
    assert rss() < before + 20_000


def test_clients_that_vanish_leave_nothing_behind(server):
    fds = lambda: len(os.listdir(f"/proc/{server.pid}/fd"))
    with Client(server) as c:
        good(c.reply(c.ask("POST", INFER, BODY)))
    before = fds()
    for i in range(200):
        c = Client(server)
        for _ in range(5):
            c.ask("POST", INFER, BODY[:30 + i % 100], end=i % 2 == 0)
        c.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)) if i % 3 else None
        c.socket.close()
    until(lambda: fds() <= before + 2)
