"""conftest.py - what the end-to-end tests share: a real `proa serve`, tiny models made here, HTTP in its plainest form.

The tests drive the program from outside, as its users do: a process, a port, bytes. They were written from the protocol
documents, not from the server's source. PROA names the program (default build/proa), PROA_SHARED the folder with other
people's models and goldens (default ../shared beside the project); a test that needs it skips where it is absent.
"""
import http.client, http.server, json, os, pathlib, random, re, select, signal, socket, subprocess, sys, tempfile, threading, time
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")                     # of numpy: its threads spin where a server needs the cores
import models                                                          # noqa: E402  (tests/e2e/models.py)

PROA = os.path.abspath(os.environ.get("PROA") or ROOT / "build" / "proa")
SHARED = pathlib.Path(os.environ.get("PROA_SHARED") or ROOT.parent / "shared")
DIGITS = ROOT / "examples" / "digits" / "digits.onnx"
START_S_MAX, STOP_S_MAX, ANSWER_S_MAX = 60, 25, 20                    # a drain that holds on takes 30 s


def pytest_configure(config):
    config.addinivalue_line("markers", "apart: runs in another process than tests without the mark, for packages that cannot share one")
    if not os.access(PROA, os.X_OK):
        pytest.exit(f"{PROA}: no such program: run 'make' first, or name it in PROA", returncode=2)
    if APART:
        config.pluginmanager.register(Teller(config))


# ---- several processes that run the tests together ---------------------------------------------------------------
# They share the folder CLAIMS: who makes a file there first runs the file of tests that has its name, the others pass it over.

CLAIMS = os.environ.get("PROA_TEST_CLAIMS")
claimed = {}


def ours(item):
    name = item.path.name
    if CLAIMS and name not in claimed:
        try:
            open(os.path.join(CLAIMS, name), "x").close()
            claimed[name] = True
        except FileExistsError:
            claimed[name] = False
    return claimed.get(name, True)


# ---- tests in a process of their own -----------------------------------------------------------------------------
# tritonclient.grpc and kserve register the same protobuf names: what imports the one in the test itself is marked `apart`.  All such
# tests of a file run in one further process, which sets up what they need, and tells of each in APART; here they are only reported.

APART = os.environ.get("PROA_TEST_APART")


class Teller:
    """In that process: its reports, a line each."""

    def __init__(self, config):
        self.config, self.file = config, open(APART, "a")

    def pytest_runtest_logreport(self, report):
        self.file.write(json.dumps(self.config.hook.pytest_report_to_serializable(config=self.config, report=report)) + "\n")
        self.file.flush()


def told(item, mates):
    """{nodeid: reports} of the tests of item's file that are apart."""
    with tempfile.NamedTemporaryFile("r", prefix="proa-apart-") as reports, tempfile.TemporaryFile("w+", errors="replace") as output:
        limit, most = item.config.getoption("maxfail") or 0, 120 + 60 * len(mates)
        try:
            status = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={item.config.rootpath}", f"--maxfail={limit}",
                                     *(m.nodeid for m in mates)], cwd=item.config.rootpath, env=os.environ | {"PROA_TEST_APART": reports.name},
                                    stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, timeout=most).returncode
        except subprocess.TimeoutExpired:
            status = f"none within {most} s"
        output.seek(0)
        text = f"the process of its own ended with status {status} before this test had; it wrote:\n{output.read()[-8000:]}"
        found = {m.nodeid: [] for m in mates}
        for line in reports:
            report = item.config.hook.pytest_report_from_serializable(config=item.config, data=json.loads(line))
            found[report.nodeid].append(report)
        for m in mates:
            if [r.when for r in found[m.nodeid]][-1:] != ["teardown"] and not (limit and status == 1):
                found[m.nodeid].append(pytest.TestReport(m.nodeid, m.location, {}, "failed", text, "call"))
        return found


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    if APART:
        return None
    if not ours(item):
        return True
    if not item.get_closest_marker("apart"):
        return None
    apart = item.session.__dict__.setdefault("proa_apart", {})
    if item.nodeid not in apart:
        apart.update(told(item, [i for i in item.session.items if i.path == item.path and i.get_closest_marker("apart")]))
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for report in apart[item.nodeid]:
        item.ihook.pytest_runtest_logreport(report=report)
    end = pytest.CallInfo.from_call(lambda: item.session._setupstate.teardown_exact(nextitem), "teardown")   # what the tests before it left set up
    if end.excinfo:
        item.ihook.pytest_runtest_logreport(report=item.ihook.pytest_runtest_makereport(item=item, call=end))
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


@pytest.fixture(scope="session")
def shared():
    """The folder of other people's models and goldens."""
    if not (SHARED / "data").is_dir():
        pytest.skip(f"{SHARED}/data is absent: name the folder in PROA_SHARED to run this test")
    return SHARED


# ---- the server as a process -------------------------------------------------------------------------------------

class Reply:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, {k.lower(): v for k, v in headers}, body

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {self.headers} {self.body[:400]!r}>"


class Server:
    """A running `proa serve`. Its stderr goes to a file, which a failing test prints, unless the test takes it itself."""

    def __init__(self, folder, *args, env=None, cwd=None, stderr=None):
        self.log_path = folder / f"serve-{time.monotonic_ns()}.log"
        args = [str(a) for a in args]
        if not any(a.startswith("--port") for a in args):
            args += ["--port", "0"]
        self.args = args
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen([PROA, "serve"] + args, stdout=subprocess.PIPE, stderr=stderr or log, stdin=subprocess.DEVNULL,
                                            start_new_session=True, env=dict(os.environ, **(env or {})), cwd=cwd)
        ready = select.select([self.process.stdout], [], [], START_S_MAX)[0]
        self.first_line = self.process.stdout.readline().decode() if ready else ""
        found = re.fullmatch(r"listening on (https?)://(\S+):(\d+)\n", self.first_line)
        if not found:
            self.stop()
            pytest.fail(f"first line of stdout: expected 'listening on http://ADDR:PORT', got {self.first_line!r}; log:\n{self.log()}")
        self.host, self.port = found[2].strip("[]"), int(found[3])
        self.url = f"{found[1]}://{found[2]}:{self.port}"
        self.tls = None                 # an ssl.SSLContext: get(), post() and infer() use it
        self.pid = self.process.pid

    def log(self):
        return self.log_path.read_text(errors="replace")

    def alive(self):
        return self.process.poll() is None

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def wait(self, seconds=STOP_S_MAX):
        return self.process.wait(seconds)

    def stop(self, number=signal.SIGTERM):
        """The signal, then SIGKILL for the whole group. Returns the exit status."""
        if self.alive():
            if number:
                self.process.send_signal(number)
            try:
                self.process.wait(STOP_S_MAX)
            except subprocess.TimeoutExpired:
                pass
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.stdout.close()
        return self.process.wait()

    def request(self, method, path, body=None, headers=None, timeout=ANSWER_S_MAX):
        """One request on a connection of its own. body: bytes, or something that becomes JSON."""
        headers = dict(headers or {})
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            headers.setdefault("Content-Type", "application/json")
        connection = http.client.HTTPSConnection("localhost", self.port, timeout=timeout, context=self.tls) if self.tls else \
            http.client.HTTPConnection(self.host, self.port, timeout=timeout)
        try:
            connection.request(method, path, body, headers)
            r = connection.getresponse()
            return Reply(r.status, r.getheaders(), r.read())
        finally:
            connection.close()

    def get(self, path, **kw):
        return self.request("GET", path, **kw)

    def post(self, path, body=None, **kw):
        return self.request("POST", path, body, **kw)

    def infer(self, model, inputs, **more):
        """V2 JSON: inputs are [name, datatype, shape, data] lists."""
        body = {"inputs": [dict(zip(("name", "datatype", "shape", "data"), i)) for i in inputs], **more}
        return self.post(f"/v2/models/{model}/infer", body)

    def connect(self, timeout=ANSWER_S_MAX):
        s = socket.create_connection((self.host, self.port), timeout)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return s


@pytest.fixture
def serve(tmp_path, request):
    """serve(*args, env=, cwd=, stderr=) starts a server of the test's own; all are stopped, and shown if the test failed."""
    servers = []

    def start(*args, **kw):
        servers.append(Server(tmp_path, *args, **kw))
        return servers[-1]
    yield start
    for s in servers:                                       # all at once, and without SIGTERM's notice to load balancers
        if s.alive():
            s.process.send_signal(signal.SIGINT)
    for s in servers:
        s.stop(None)
        show_log(request, s)


def show_log(request, server):
    report = getattr(request.node, "report_call", None)
    if report is not None and report.failed:
        print(f"---- log of proa serve {' '.join(server.args)} ----\n{server.log()[-6000:]}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    setattr(item, "report_" + report.when, report)
    return report


class Shared:
    server = None
    broken = None                   # why it does not start: said by every test, tried once


@pytest.fixture(scope="session")
def zoo(tmp_path_factory):
    """The tiny models of models.py as files: {name: path}, the digits model among them."""
    made = models.write_all(tmp_path_factory.mktemp("zoo"))
    return {**made, "digits": DIGITS}


@pytest.fixture(scope="session")
def _home(tmp_path_factory, zoo):
    yield tmp_path_factory.mktemp("shared-server")
    if Shared.server:
        status = Shared.server.stop()
        assert status == 0, f"the shared server's exit status: expected 0, got {status}"


@pytest.fixture
def server(_home, zoo, request):
    """One server with every tiny model, for all tests that do not need their own. A test after which it is dead has failed."""
    if Shared.broken:
        pytest.fail(Shared.broken)
    if Shared.server is None or not Shared.server.alive():
        try:
            Shared.server = Server(_home, *(f"{k}={v}" for k, v in zoo.items()))
        except pytest.fail.Exception as e:
            Shared.broken = str(e)
            raise
    s = Shared.server
    yield s
    if not s.alive():
        Shared.server = None
        pytest.fail(f"the server died during this test with status {s.process.returncode}; log:\n{s.log()[-6000:]}")
    show_log(request, s)


def run_proa(*args, timeout=60, env=None, cwd=None):
    """The program as a command that ends: CompletedProcess with text output."""
    return subprocess.run([PROA] + [str(a) for a in args], capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL,
                          env=dict(os.environ, **(env or {})), cwd=cwd)


# ---- what happens in its own time --------------------------------------------------------------------------------
# A test's verdict follows from what has happened, never from how long it took: the machine may be as slow as it likes.

def until(check, seconds=60, what="it"):
    """What check() gives, as soon as that is true."""
    end = time.monotonic() + seconds
    while True:
        got = check()
        if got:
            return got
        assert time.monotonic() < end, f"{what} does not come to pass within {seconds} s"
        time.sleep(0.01)


def logged(server, text, seconds=60):
    """The log, once it holds the text: a thread of its own writes it."""
    return until(lambda: text in server.log() and server.log(), seconds, f"{text!r} in the log")


def doings(pid):
    """(how often the threads of a process were switched, all together, its processor time in ticks)."""
    proc, texts = pathlib.Path(f"/proc/{pid}"), []
    for task in (proc / "task").iterdir():
        try:
            texts.append((task / "status").read_text())
        except (FileNotFoundError, ProcessLookupError):                # a thread that has just ended
            pass
    fields = (proc / "stat").read_text().rsplit(")", 1)[1].split()
    return sum(int(n) for text in texts for n in re.findall(r"ctxt_switches:\s+(\d+)", text)), int(fields[11]) + int(fields[12])


def rests(pid, seconds=3):
    """Sooner or later - a second after its last work a server wakes once more - it sleeps for so long without a break."""
    end, since, seen = time.monotonic() + 60, time.monotonic(), doings(pid)
    while time.monotonic() - since < seconds:
        time.sleep(0.05)
        now = doings(pid)
        if now != seen:
            since, seen = time.monotonic(), now
        assert time.monotonic() < end, "it does something all the time"


class Heard:
    """What a server has read since now, in bytes. looks: gives the text of /metrics; that costs bytes, too, each time as many."""

    def __init__(self, server, looks=None):
        self.looks = looks or (lambda: server.get("/metrics").body.decode())
        seen = [self.look() for _ in range(5)]
        self.price = min(b - a for a, b in zip(seen, seen[1:]))        # what was sent before may come in between
        self.first, self.count = seen[-1], 0

    def look(self):
        return int(re.search(r"^proa_http_received_bytes_total (\d+)", self.looks(), re.M)[1])

    def all_of(self, count):
        """Waits until it has read so many."""
        def heard():
            self.count += 1
            return self.look() - self.first - self.count * self.price >= count
        until(heard, what=f"that the server reads {count} bytes")


def lasting_port():
    """A free port that no connection gets for its own end: who leaves it can have it again."""
    lowest = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.randrange(min(10000, lowest - 1000), lowest)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass


class Answerer(http.server.ThreadingHTTPServer):
    """An HTTP server of the test's own at a free port, until end(). A client that goes away in the middle is no error."""
    daemon_threads = True

    def __init__(self, handler):
        super().__init__(("127.0.0.1", 0), handler)
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)

    def end(self):
        self.shutdown()
        self.server_close()


# ---- HTTP by hand ------------------------------------------------------------------------------------------------

class Wire:
    """A raw connection: what is sent is exactly what was given, and answers are taken apart one after the other."""

    def __init__(self, server, timeout=ANSWER_S_MAX):
        self.socket, self.got = server.connect(timeout), b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)
        return self

    def _more(self):
        part = self.socket.recv(1 << 16)
        self.got += part
        return bool(part)

    def reply(self):
        """The next answer, or None when the server closed instead. 100 Continue is not skipped."""
        while b"\r\n\r\n" not in self.got:
            try:
                if not self._more():
                    assert not self.got, f"connection closed inside headers: {self.got!r}"
                    return None
            except ConnectionResetError:
                return None
        head, self.got = self.got.split(b"\r\n\r\n", 1)
        lines = head.decode("latin-1").split("\r\n")
        version, status = lines[0].split(" ", 2)[:2]
        assert version in ("HTTP/1.1", "HTTP/1.0"), head
        headers = [tuple(x.strip() for x in line.split(":", 1)) for line in lines[1:]]
        names = {k.lower(): v for k, v in headers}
        body = b""
        if int(status) >= 200 and int(status) != 204:
            if names.get("transfer-encoding", "").lower() == "chunked":
                body = self._chunks()
            else:
                body = self._exactly(int(names["content-length"]))
        return Reply(int(status), headers, body)

    def _exactly(self, n):
        while len(self.got) < n:
            assert self._more(), f"connection closed after {len(self.got)} of {n} body bytes"
        body, self.got = self.got[:n], self.got[n:]
        return body

    def _line(self):
        while b"\r\n" not in self.got:
            assert self._more(), "connection closed inside a chunk size"
        line, self.got = self.got.split(b"\r\n", 1)
        return line

    def _chunks(self):
        body = b""
        while True:
            n = int(self._line().split(b";")[0], 16)
            if n == 0:
                while self._line():
                    pass
                return body
            body += self._exactly(n)
            assert self._line() == b""

    def closed(self, timeout=ANSWER_S_MAX):
        """Whether the server closes, sending nothing more."""
        self.socket.settimeout(timeout)
        try:
            return self.got == b"" and self.socket.recv(1) == b""
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False


@pytest.fixture
def wire():
    return Wire
