"""test_listen.py - where the server listens, and who is told: several addresses, Unix sockets, systemd.

Properties: every address serves everything, REST and gRPC; each is one line on stdout, in the order of the options; a Unix
socket's file is there while somebody answers there and no longer.
"""
import http.client, json, os, re, select, shutil, signal, socket, stat, subprocess, sys, time
import grpc, pytest
from conftest import PROA, ROOT, START_S_MAX, STOP_S_MAX, Heard, lasting_port, run_proa
from models import X, Y
from test_grpc import SERVICE

BODY = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [X]}]}).encode()


class Process:
    """A `proa serve` of which all lines are read that say where it listens."""

    def __init__(self, folder, lines, *args, env=None, program=None, **kw):
        self.log_path = folder / f"serve-{time.monotonic_ns()}.log"
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(program or [PROA, "serve", *map(str, args)], stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL, bufsize=0,
                                            env=dict(os.environ, **(env or {})), **kw)
        self.pid, self.at = self.process.pid, []
        for _ in range(lines):
            line = self.line()
            found = re.fullmatch(r"listening on (?:http://)?(\S+)\n", line)
            if not found:
                self.stop()
                pytest.fail(f"stdout: expected 'listening on ...', got {line!r}; log:\n{self.log()}")
            self.at.append(found[1])

    def line(self):
        ready = select.select([self.process.stdout], [], [], START_S_MAX)[0]
        return self.process.stdout.readline().decode() if ready else ""

    def log(self):
        return self.log_path.read_text(errors="replace")

    def stop(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(number)
            try:
                self.process.wait(STOP_S_MAX)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.stdout.close()
        return self.process.wait()


@pytest.fixture
def start(tmp_path):
    """start(lines, *args, env=, ...) starts a process of the test's own and reads so many lines; all are stopped."""
    processes = []

    def go(lines, *args, **kw):
        processes.append(Process(tmp_path, lines, *args, **kw))
        return processes[-1]
    yield go
    for p in processes:
        p.stop()


def dial(at):
    """A connection to what a line of stdout names."""
    if at.startswith("unix:"):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(20)
        path = at[5:]
        s.connect("\0" + path[1:] if path[0] == "@" else path)
        return s
    host, port = at.rsplit(":", 1)
    return socket.create_connection((host.strip("[]"), int(port)), 20)


def request(at, method="GET", path="/v2/health/ready", body=None):
    c = http.client.HTTPConnection("localhost")
    c.sock = dial(at)
    c.request(method, path, body)
    r = c.getresponse()
    got = r.status, r.read()
    c.close()
    return got


def heard_at(process):
    return Heard(process, lambda: request(process.at[0], path="/metrics")[1].decode())


def works(at):
    """REST answers there, and so does gRPC."""
    status, body = request(at, "POST", "/v2/models/tiny/infer", BODY)
    assert status == 200 and json.loads(body)["outputs"][0]["data"] == pytest.approx(Y, rel=1e-6)
    target = at.replace("unix:@", "unix-abstract:")
    with grpc.insecure_channel(target) as channel:
        channel.unary_unary(SERVICE + "ServerReady")(b"", timeout=60)


def refused(*args, status=1, **kw):
    done = run_proa("serve", *args, timeout=60, **kw)
    assert done.returncode == status and done.stdout == "", (done.returncode, done.stdout, done.stderr)
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr


# ---- addresses ---------------------------------------------------------------------------------------------------

def test_every_address_serves_everything(start, zoo, tmp_path):
    path = tmp_path / "a.sock"
    p = start(7, f"tiny={zoo['tiny']}", "--port", 0, "--grpc_port=0", "--metrics-port", 0, "--listen", "[::1]:0,127.0.0.1:0",
              "--listen", f"unix://{path}", "--listen", f"unix:@proa-{os.getpid()}")
    assert [re.sub(r":\d+$", ":N", a) for a in p.at] == ["127.0.0.1:N"] * 3 + ["[::1]:N", "127.0.0.1:N", f"unix:{path}", f"unix:@proa-{os.getpid()}"]
    assert len(set(p.at)) == 7
    for at in p.at:
        works(at)
        status, text = request(at, path="/metrics")
        assert status == 200 and b"proa_" in text
    assert p.stop() == 0
    assert not path.exists()


def test_kserves_ports_name_one_address_each_and_one_port_may_be_named_twice(start, zoo):
    port = lasting_port()
    p = start(1, "--model_name=tiny", f"--model_dir={zoo['tiny']}", f"--http_port={port}", f"--grpc_port={port}", "--metrics-port", port, "--loops", 2)
    assert p.at == [f"127.0.0.1:{port}"]
    works(p.at[0])
    assert p.stop() == 0


def test_a_unix_socket_alone_opens_no_port(start, zoo, tmp_path):
    path = tmp_path / "only.sock"
    p = start(1, f"tiny={zoo['tiny']}", "--listen", f"unix:{path}", "--socket-mode", "0600", "--loops", 3)
    assert p.at == [f"unix:{path}"] and stat.S_IMODE(path.stat().st_mode) == 0o600
    inodes = {os.readlink(f"/proc/{p.pid}/fd/{n}") for n in os.listdir(f"/proc/{p.pid}/fd")}
    tcp = [line.split()[9] for name in ("tcp", "tcp6") for line in open(f"/proc/{p.pid}/net/{name}").read().splitlines()[1:]]
    assert not [i for i in tcp if f"socket:[{i}]" in inodes]
    done = subprocess.run(["curl", "-s", "--unix-socket", path, "http://localhost/v2/models/tiny/infer", "-d", BODY.decode()], capture_output=True, text=True)
    assert json.loads(done.stdout)["model_name"] == "tiny"
    works(p.at[0])
    assert p.stop(signal.SIGINT) == 0 and not path.exists()


def test_a_socket_file_is_replaced_when_its_owner_is_dead_and_only_then(start, zoo, tmp_path):
    path, args = tmp_path / "s", (f"tiny={zoo['tiny']}", "--listen", f"unix:{tmp_path / 's'}")
    first = start(1, *args)
    assert "in use" in refused(*args)
    works(first.at[0])
    first.stop(signal.SIGKILL)
    assert path.exists()
    second = start(1, *args)
    works(second.at[0])
    path.unlink()                                           # somebody makes room for another: that one's file stays
    third = start(1, *args)
    assert second.stop() == 0 and path.exists()
    works(third.at[0])
    assert third.stop() == 0 and not path.exists()
    assert not [f for f in os.listdir(tmp_path) if f.startswith("s.")]


def test_a_path_that_cannot_be_listened_at_is_said(zoo, tmp_path):
    tiny = f"tiny={zoo['tiny']}"
    (tmp_path / "file").write_text("mine")
    assert "got another file" in refused(tiny, "--listen", f"unix:{tmp_path / 'file'}")
    assert (tmp_path / "file").read_text() == "mine"
    assert "No such file" in refused(tiny, "--listen", f"unix:{tmp_path / 'no' / 's'}")
    assert "expected a path of 1 to 107 bytes" in refused(tiny, "--listen", f"unix:/{'x' * 107}", status=2)
    assert "expected IP:PORT" in refused(tiny, "--listen", "somewhere:80", status=2)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"127.0.0.1:{port}: cannot listen: Address already in use" in refused(tiny, "--port", 0, "--grpc-port", port)
        assert "in use" in refused(tiny, "--listen", f"unix:{tmp_path / 's'},127.0.0.1:{port}")
    assert not (tmp_path / "s").exists()


def test_requests_in_flight_on_a_unix_socket_are_answered_at_sigterm(start, zoo, tmp_path):
    p = start(1, f"slow={zoo['slow']}", "--listen", f"unix:{tmp_path / 's'}", "--drain-wait-ms", "600000")
    body = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [256, 384], "data": [0.5] * (256 * 384)}]}).encode()
    clients, heard = [], heard_at(p)
    for _ in range(8):
        c = http.client.HTTPConnection("localhost")
        c.sock = dial(p.at[0])
        c.request("POST", "/v2/models/slow/infer", body)
        clients.append(c)
    heard.all_of(8 * len(body))
    p.process.terminate()
    for c in clients:
        assert c.getresponse().status == 200
    assert p.process.wait(60) == 0


# ---- systemd -----------------------------------------------------------------------------------------------------

# As a service manager starts a process: descriptors from 3 on, LISTEN_PID its own id. argv: names, descriptors, command.
ACTIVATE = """import os, sys
fds = [int(x) for x in sys.argv[2].split(",")]
high = [os.dup2(fd, 100 + i, inheritable=True) for i, fd in enumerate(fds)]
for i, fd in enumerate(high): os.dup2(fd, 3 + i, inheritable=True)
for fd in high: os.close(fd)
os.environ.update(LISTEN_FDS=str(len(fds)), LISTEN_FDNAMES=sys.argv[1])
os.environ.setdefault("LISTEN_PID", str(os.getpid()))
os.execv(sys.argv[3], sys.argv[3:])
"""


def activated(names, sockets, *args):
    return [sys.executable, "-c", ACTIVATE, names, ",".join(str(s.fileno()) for s in sockets), PROA, "serve", *map(str, args)]


def listening(family, at, kind=socket.SOCK_STREAM):
    s = socket.socket(family, kind)
    s.bind(at)
    if kind == socket.SOCK_STREAM:
        s.listen(128)
    return s


@pytest.fixture
def manager(tmp_path):
    """NOTIFY_SOCKET's other end: manager.next() is the next message, or None."""
    class Manager:
        def __init__(self, at):
            self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self.socket.bind(at)
            self.env = {"NOTIFY_SOCKET": str(at).replace("\0", "@")}

        def next(self, seconds=60):
            self.socket.settimeout(seconds)
            try:
                return self.socket.recv(4096).decode()
            except TimeoutError:
                return None
    made = []

    def open_at(at):
        made.append(Manager(at))
        return made[-1]
    yield open_at
    for m in made:
        m.socket.close()


def test_sockets_that_a_service_manager_opened_are_served(start, zoo, tmp_path):
    """TCP, IPv6 and Unix; clients that came before the server are answered; the manager's file stays its own."""
    path = str(tmp_path / "s")
    sockets = [listening(socket.AF_INET, ("127.0.0.1", 0)), listening(socket.AF_INET6, ("::1", 0)), listening(socket.AF_UNIX, path)]
    port = sockets[0].getsockname()[1]
    early = socket.create_connection(("127.0.0.1", port), 20)
    early.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: a\r\n\r\n")
    p = start(3, program=activated("web:six:file", sockets, f"tiny={zoo['tiny']}", "--loops", 3), pass_fds=[s.fileno() for s in sockets])
    assert p.at == [f"127.0.0.1:{port}", f"[::1]:{sockets[1].getsockname()[1]}", f"unix:{path}"]
    assert early.recv(4096).startswith(b"HTTP/1.1 200 ")
    for at in p.at:
        for _ in range(8):
            works(at)
    assert p.stop() == 0 and os.path.exists(path)
    again = start(4, program=activated("web:six:file", sockets, f"tiny={zoo['tiny']}", "--port", 0), pass_fds=[s.fileno() for s in sockets])
    for at in again.at:                                     # named ones come beside those that were given
        works(at)


def test_sockets_meant_for_another_process_are_left_alone(start, zoo):
    with listening(socket.AF_INET, ("127.0.0.1", 0)) as s:
        p = start(1, program=activated("web", [s], f"tiny={zoo['tiny']}", "--port", 0), pass_fds=[s.fileno()], env={"LISTEN_PID": "1"})
        assert p.at != [f"127.0.0.1:{s.getsockname()[1]}"]
        works(p.at[0])


def test_what_is_given_and_does_not_listen_is_refused(zoo, tmp_path):
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    datagram = listening(socket.AF_INET, ("127.0.0.1", 0), socket.SOCK_DGRAM)
    for s, words in ((bound, "got one that does not"), (datagram, "got another kind"), (open(os.devnull), "got no socket")):
        done = subprocess.run(activated("web", [s], f"tiny={zoo['tiny']}"), pass_fds=[s.fileno()], capture_output=True, text=True, timeout=60)
        assert done.returncode == 1 and words in done.stderr and "LISTEN_FDS: 'web': descriptor 3" in done.stderr, done.stderr
        s.close()
    assert "LISTEN_PID: expected a number" in refused(f"tiny={zoo['tiny']}", status=2, env={"LISTEN_PID": "me", "LISTEN_FDS": "1"})
    assert "NOTIFY_SOCKET: expected" in refused(f"tiny={zoo['tiny']}", status=2, env={"NOTIFY_SOCKET": "here"})


@pytest.mark.parametrize("abstract", [False, True])
def test_the_service_manager_hears_of_readiness_and_of_the_end(start, manager, zoo, tmp_path, abstract):
    m = manager(f"\0proa-notify-{os.getpid()}" if abstract else str(tmp_path / "notify"))
    p = start(1, f"slow={zoo['slow']}", "--port", 0, env=m.env)
    assert m.next() == f"READY=1\nSTATUS=serving at {p.at[0]}"
    works_slowly = http.client.HTTPConnection("localhost")
    works_slowly.sock = dial(p.at[0])
    body = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [256, 384], "data": [0.5] * (256 * 384)}]})
    heard = heard_at(p)
    works_slowly.request("POST", "/v2/models/slow/infer", body)
    heard.all_of(len(body))
    p.process.terminate()
    assert m.next() == "STOPPING=1\nSTATUS=answering what was accepted"
    assert works_slowly.getresponse().status == 200
    assert p.process.wait(60) == 0 and m.next(0.1) is None


def test_the_service_manager_hears_of_a_reload(start, manager, zoo, tmp_path):
    m = manager(str(tmp_path / "notify"))
    p = start(1, f"tiny={zoo['tiny']}", "--port", 0, env=m.env)
    assert m.next().startswith("READY=1")
    before = time.monotonic_ns() // 1000
    p.process.send_signal(signal.SIGHUP)
    said = m.next()
    assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=\d+", said) and before <= int(said.rsplit("=", 1)[1]) <= time.monotonic_ns() // 1000
    assert m.next() == "READY=1"
    works(p.at[0])


def test_the_watchdog_is_fed_only_when_it_watches(start, manager, zoo, tmp_path):
    m = manager(str(tmp_path / "notify"))
    since = time.monotonic()
    p = start(1, f"tiny={zoo['tiny']}", "--port", 0, env={**m.env, "WATCHDOG_USEC": "200000"})
    assert m.next().startswith("READY=1")
    assert [m.next() for _ in range(10)] == ["WATCHDOG=1"] * 10
    assert time.monotonic() - since > 0.5
    p.process.send_signal(signal.SIGSTOP)
    while m.next(0.5):
        pass
    assert m.next(0.5) is None
    p.process.send_signal(signal.SIGCONT)
    assert m.next() == "WATCHDOG=1"
    p.stop()
    while m.next(0.2):
        pass
    quiet = start(1, f"tiny={zoo['tiny']}", "--port", 0, env={**m.env, "WATCHDOG_USEC": "200000", "WATCHDOG_PID": "1"})
    assert m.next().startswith("READY=1") and m.next(0.6) is None
    quiet.stop()


def test_a_manager_that_is_gone_keeps_nobody_from_serving(start, zoo, tmp_path):
    p = start(1, f"tiny={zoo['tiny']}", "--port", 0, env={"NOTIFY_SOCKET": str(tmp_path / "nobody")})
    works(p.at[0])
    assert p.stop() == 0 and "NOTIFY_SOCKET: cannot tell the service manager" in p.log()


def test_the_units_name_options_that_exist(tmp_path):
    """What `make install` puts beside the program is read by systemd where that is there, and by eye elsewhere."""
    unit = (ROOT / "packaging" / "proa.service").read_text().replace("@BINDIR@", "/usr/bin")
    (tmp_path / "proa.service").write_text(unit)
    (tmp_path / "proa.socket").write_text((ROOT / "packaging" / "proa.socket").read_text())
    assert "ExecStart=/usr/bin/proa serve --config /etc/proa/proa.yaml\n" in unit and "Type=notify\n" in unit
    if shutil.which("systemd-analyze"):
        done = subprocess.run(["systemd-analyze", "verify", tmp_path / "proa.socket"], capture_output=True, text=True)
        assert "Unknown" not in done.stderr and "Invalid" not in done.stderr, done.stderr
