"""test_handover.py - a new server takes the listeners of an old one.

Properties: under load no connection is refused and no request is lost, whatever protocol and however many loops; until the
new server is ready the old one serves, whatever happens to the new one; only a server of the same user is dealt with.
"""
import http.client, json, os, pathlib, shutil, signal, socket, subprocess, sys, tempfile, threading, time
import grpc, pytest
from conftest import PROA, lasting_port, logged, until
from models import X, Y
from test_grpc import SERVICE
from test_listen import BODY, dial, manager, refused, request, start, works   # noqa: F401 (fixtures)


class Load:
    """Clients that never pause: kept connections, new ones for each request, and gRPC. problems must stay empty."""

    def __init__(self, addresses):
        self.addresses, self.stop, self.problems, self.answered = addresses, threading.Event(), [], {}
        self.threads = [threading.Thread(target=self.guard, args=(kind, at), daemon=True) for at in addresses for kind in (self.kept, self.fresh, self.rpc)]
        for t in self.threads:
            t.start()

    def guard(self, kind, at):
        try:
            kind(at)
        except Exception as e:                              # noqa: BLE001 (whatever it is, it is a request that was lost)
            self.problems.append(f"{kind.__name__} at {at}: {e!r}")

    def count(self, kind):
        self.answered[kind] = self.answered.get(kind, 0) + 1

    def ask(self, c):
        c.request("POST", "/v2/models/tiny/infer", BODY)
        r = c.getresponse()
        body = r.read()
        assert r.status == 200 and json.loads(body)["outputs"][0]["data"] == pytest.approx(Y, rel=1e-6), (r.status, body)
        return r

    def kept(self, at):
        while not self.stop.is_set():
            c = http.client.HTTPConnection("localhost")
            c.sock = dial(at)
            while not self.stop.is_set():
                ends = self.ask(c).getheader("Connection") == "close"
                self.count("kept")
                if ends:
                    break
            c.close()

    def fresh(self, at):
        while not self.stop.is_set():
            c = http.client.HTTPConnection("localhost")
            c.sock = dial(at)
            self.ask(c)
            c.close()
            self.count("fresh")

    def rpc(self, at):
        with grpc.insecure_channel(at.replace("unix:@", "unix-abstract:")) as channel:
            ready = channel.unary_unary(SERVICE + "ServerReady")
            while not self.stop.is_set():
                assert ready(b"", timeout=60) == b"\x08\x01"
                self.count("rpc")

    def go_on(self):
        """Waits until so many more were answered, of each kind."""
        enough = {k: self.answered.get(k, 0) + 20 for k in ("kept", "fresh", "rpc")}
        until(lambda: self.problems or all(self.answered.get(k, 0) >= n for k, n in enough.items()))

    def end(self):
        self.stop.set()
        for t in self.threads:
            t.join(90)
        assert not self.problems, self.problems[:5]


def path_of(tmp_path):
    return tmp_path / "heir"


@pytest.mark.parametrize("loops", [(1, 4, 1, 3, 2, 2), (3, 1, 2, 4, 4, 1)])
def test_no_request_is_lost_when_servers_change_under_load(start, zoo, tmp_path, loops):   # noqa: F811
    """Five times in a row, from N loops to M, over TCP, a Unix socket and an abstract one."""
    where = ("--listen", f"unix:{tmp_path / 's'},unix:@proa-heir-{os.getpid()}", "--port", 0)
    args = (f"tiny={zoo['tiny']}", "--handover", path_of(tmp_path), "--drain-wait-ms", 20000)
    old = start(3, *args, *where, "--loops", loops[0])
    load = Load(old.at)
    try:
        for n in loops[1:]:
            load.go_on()
            new = start(3, *args, "--loops", n)
            assert new.at == old.at
            assert old.process.wait(60) == 0, "the old server's exit status"
            assert "answering what was accepted" in old.log() and logged(new, "took the listeners of the old server")
            old = new
        load.go_on()
    finally:
        load.end()
    for at in old.at:
        works(at)
    assert path_of(tmp_path).exists() and (tmp_path / "s").exists()
    assert old.stop() == 0
    assert not path_of(tmp_path).exists() and not (tmp_path / "s").exists()


def test_the_new_servers_options_say_what_goes_on(start, zoo, tmp_path):   # noqa: F811
    """What the new one does not name closes, what is new opens, the rest goes on."""
    args = (f"tiny={zoo['tiny']}", "--handover", f"@proa-heir-options-{os.getpid()}", "--port", 0)
    first = start(3, *args, "--listen", f"unix:{tmp_path / 'a'},unix:{tmp_path / 'b'}")
    second = start(3, *args, "--listen", f"unix:{tmp_path / 'b'},unix:{tmp_path / 'c'}")
    assert second.at == [first.at[0], first.at[2], f"unix:{tmp_path / 'c'}"]
    assert first.process.wait(60) == 0
    for at in second.at:
        works(at)
    assert sorted(f.name for f in tmp_path.iterdir() if f.is_socket()) == ["b", "c"]
    assert second.stop() == 0 and not [f for f in tmp_path.iterdir() if f.is_socket()]


def test_requests_under_way_are_answered_by_the_old_server(start, zoo, tmp_path):   # noqa: F811
    args = (f"tiny={zoo['tiny']}", f"slow={zoo['slow']}", "--handover", path_of(tmp_path))
    old = start(1, *args, "--port", 0)
    body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [256, 384], "data": [0.5] * (256 * 384)}]}
    slow, idle = http.client.HTTPConnection("localhost"), http.client.HTTPConnection("localhost")
    slow.sock, idle.sock = dial(old.at[0]), dial(old.at[0])
    slow.request("POST", "/v2/models/slow/infer", json.dumps(body))
    idle.request("GET", "/v2/health/ready")
    assert idle.getresponse().read() is not None
    new = start(1, *args)
    works(new.at[0])
    assert slow.getresponse().status == 200
    slow.close()
    time.sleep(1)                                           # longer than a drain leaves idle connections otherwise

    def told():
        idle.request("GET", "/v2/health/ready")             # not that the address is not ready: it is
        reply = idle.getresponse()
        assert reply.read() is not None and reply.status == 200
        return reply.getheader("Connection") == "close"
    until(told)
    old.process.terminate()                                 # once more is no reason to hurry
    assert old.process.wait(60) == 0 and new.stop() == 0


# ---- what goes wrong ---------------------------------------------------------------------------------------------

def stands(old, text):
    """The old server has said so, and serves."""
    logged(old, text)
    for at in old.at:
        works(at)


def packets(path):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.settimeout(20)
    s.connect("\0" + path[1:] if str(path).startswith("@") else str(path))
    return s


def take(s):
    """Everything up to `end`, as texts; the descriptors are closed."""
    s.send(b"proa 1 take 0")
    texts = []
    while not texts or not texts[-1].startswith("proa 1 end"):
        text, fds, _, _ = socket.recv_fds(s, 200, 64)
        texts.append(text.decode())
        for fd in fds:
            os.close(fd)
        if not text:
            break
    return texts


def test_a_new_server_that_dies_at_any_step_changes_nothing(start, zoo, tmp_path):   # noqa: F811
    args = (f"tiny={zoo['tiny']}", "--handover", path_of(tmp_path))
    old = start(2, *args, "--port", 0, "--listen", f"unix:{tmp_path / 's'}", "--loops", 3)
    load = Load(old.at)
    packets(path_of(tmp_path)).close()                      # before it asks
    s = packets(path_of(tmp_path))
    s.send(b"proa 1 take 0")
    s.close()                                               # while it is answered
    s = packets(path_of(tmp_path))
    assert take(s) == ["proa 1 own 3", "proa 1 own 1", "proa 1 control 1", "proa 1 end 4"]
    s.close()                                               # while it loads
    stands(old, "went away before it was ready")
    for model in (tmp_path / "missing.onnx", "/dev/null"):  # it cannot load
        refused(f"m={model}", "--handover", path_of(tmp_path))
    taken = socket.create_server(("127.0.0.1", 0))
    refused(*args, "--grpc-port", taken.getsockname()[1])   # it cannot listen where it shall, too
    for number in (signal.SIGKILL, signal.SIGTERM):         # it is killed at some moment
        for delay in (0.001, 0.003, 0.006, 0.01, 0.02):
            p = subprocess.Popen([PROA, "serve", "m=/proc/self/fd/0", *map(str, args)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            time.sleep(delay)
            p.send_signal(number)
            p.communicate()
    assert old.process.poll() is None
    stands(old, "this server goes on")
    new = start(2, *args)
    assert new.at == old.at and old.process.wait(60) == 0
    load.go_on()
    load.end()


def test_a_peer_that_hangs_or_talks_nonsense_is_let_go(start, zoo, tmp_path):   # noqa: F811
    args = (f"tiny={zoo['tiny']}", "--handover", path_of(tmp_path))
    old = start(1, *args, "--port", 0, "--handover-wait-ms", 1500)
    for text, why in ((b"hello", "not understood"), (b"proa 2 take 0", "not understood"), (b"proa 1 take", "not understood"),
                      (b"proa 1 take 99999999", "not understood"), (b"proa 1 ready 0", "out of turn"), (b"proa 1 end 0", "out of turn"), (b"x" * 150, "went away")):
        s = packets(path_of(tmp_path))
        socket.send_fds(s, [text], [0, 1])
        assert s.recv(100) == b""
        stands(old, why)
    silent = packets(path_of(tmp_path))
    assert "another hand-over is under way" in refused(*args)
    assert silent.recv(100) == b"proa 1 late 0"             # 5 s
    stands(old, "keeps silent")
    slow = packets(path_of(tmp_path))
    take(slow)
    assert slow.recv(100) == b"proa 1 late 0" and slow.recv(100) == b""
    with pytest.raises(OSError):
        slow.send(b"proa 1 ready 0")
    stands(old, "not ready in time")
    assert old.stop() == 0


def test_an_old_server_that_hangs_or_is_none_is_said(zoo, tmp_path):
    tiny, path = f"tiny={zoo['tiny']}", path_of(tmp_path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
        s.bind(str(path))
        s.listen()
        assert "does not answer within 5000 ms" in refused(tiny, "--port", 0, "--handover", path)
        s.accept()[0].close()

        def answer(text, fds):
            c = s.accept()[0]
            assert c.recv(100) == b"proa 1 take 0"
            socket.send_fds(c, [text], fds)
            c.settimeout(20)
            while c.recv(100):                              # until it has turned away
                pass
            c.close()
        bound = socket.socket()
        for text, fds, why in ((b"who are you?", [0, 1], "no server of this version"), (b"proa 1 sockets 1", [bound.fileno()], "got one that does not"),
                               (b"proa 1 sockets 2", [0], "something else than its listeners"), (b"proa 1 control 0", [], "something else"),
                               (b"proa 1 end 3", [], "something else"), (b"proa 1 busy 0", [], "another hand-over is under way")):
            t = threading.Thread(target=answer, args=(text, fds), daemon=True)
            s.settimeout(20)
            t.start()
            assert why in refused(tiny, "--port", 0, "--handover", path), text
            t.join()
    path.unlink()
    path.write_text("mine")
    assert "got another file" in refused(tiny, "--port", 0, "--handover", path)
    assert "expected a path of 1 to 107 bytes" in refused(tiny, "--handover", "x" * 108, status=2)


def old_half(path, end):
    """An old server that sends half of what it has and then dies, or all of it."""
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.bind(str(path))
    s.listen()
    listener = socket.create_server(("127.0.0.1", lasting_port()))

    def go():
        c = s.accept()[0]
        c.recv(100)
        socket.send_fds(c, [b"proa 1 sockets 1"], [listener.fileno()])
        if end:
            socket.send_fds(c, [b"proa 1 control 1"], [s.fileno()])
            c.send(b"proa 1 end 1")
        s.close()
        listener.close()   # before the connection: when the new server hears the end, the address is free, as behind a process that died
        c.close()
    threading.Thread(target=go, daemon=True).start()
    return listener.getsockname()[1]


@pytest.mark.parametrize("end", [False, True])
def test_an_old_server_may_die_half_way(start, zoo, tmp_path, end):   # noqa: F811
    """Before `end` the new server begins anew, on sockets of its own; after it, it has all that it needs."""
    port = old_half(path_of(tmp_path), end)
    p = start(1, f"tiny={zoo['tiny']}", "--handover", path_of(tmp_path), "--port", port)
    assert p.at == [f"127.0.0.1:{port}"]
    works(p.at[0])
    heir = start(1, f"tiny={zoo['tiny']}", "--handover", path_of(tmp_path))
    assert p.process.wait(60) == 0 and heir.at == p.at
    works(heir.at[0])
    assert heir.stop() == 0


def test_an_old_server_that_is_killed_or_told_to_end_while_the_new_one_loads(start, zoo, tmp_path):   # noqa: F811
    for number in (signal.SIGKILL, signal.SIGTERM):
        args = (f"tiny={zoo['tiny']}", "--handover", path_of(tmp_path))
        old = start(2, *args, "--port", 0, "--listen", f"unix:{tmp_path / 's'}")
        # This test is the new one, between `end` and `ready`: it holds the sockets, and the old one goes.
        s = packets(path_of(tmp_path))
        s.send(b"proa 1 take 0")
        fds = []
        while True:
            text, some, _, _ = socket.recv_fds(s, 200, 64)
            fds += some
            if text.startswith(b"proa 1 end"):
                break
        old.stop(number)
        assert s.recv(100) == b"" and (tmp_path / "s").exists()
        waiting = [dial(at) for at in old.at]               # they queue where somebody holds the socket, and are not refused
        for w in waiting:
            w.close()
        for fd in fds:
            os.close(fd)
        s.close()
        with pytest.raises(OSError):
            dial(old.at[0])


def test_a_port_in_use_is_refused_without_a_hand_over(start, zoo, tmp_path):   # noqa: F811
    old = start(1, f"tiny={zoo['tiny']}", "--handover", path_of(tmp_path), "--port", 0)
    port = old.at[0].rsplit(":", 1)[1]
    assert "Address already in use" in refused(f"tiny={zoo['tiny']}", "--port", port)
    assert "Address already in use" in refused(f"tiny={zoo['tiny']}", "--port", port, "--handover", tmp_path / "another")
    works(old.at[0])


@pytest.fixture
def proa_of_all():
    """(a copy of the program, its environment) that any user can reach: the checkout may lie in a home closed to others."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="proa-of-all-"))
    folder.chmod(0o755)
    ours = [line.split()[2] for line in subprocess.run(["ldd", PROA], capture_output=True, text=True).stdout.splitlines()
            if "=> " in line and "/build/" in line]
    for name in [PROA, *ours]:
        shutil.copy(name, folder)
    yield folder / pathlib.Path(PROA).name, os.environ | {"LD_LIBRARY_PATH": str(folder)}
    shutil.rmtree(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two users")
def test_another_user_gets_nothing(start, zoo, tmp_path, proa_of_all):   # noqa: F811
    name = f"@proa-heir-user-{os.getpid()}"
    old = start(1, f"tiny={zoo['tiny']}", "--handover", name, "--port", 0)
    code = f"import os,socket\nos.setgid(65534); os.setuid(65534)\ns = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\n" \
           f"s.connect('\\0{name[1:]}')\nprint(socket.recv_fds(s, 100, 9)[:2], s.recv(9))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "(b'proa 1 busy 0', []) b''\n", done
    stands(old, "belongs to another user")
    program, env = proa_of_all
    as_nobody = {"user": 65534, "group": 65534, "env": env, "cwd": "/"}
    model = tmp_path.parent / f"heir-{os.getpid()}.onnx"
    done = subprocess.run([program, "serve", f"tiny={model}", "--handover", name], capture_output=True, text=True, timeout=60, **as_nobody)
    assert done.returncode == 1 and "another user" in done.stderr, done.stderr
    works(old.at[0])


def test_the_service_manager_follows_the_new_process(start, manager, zoo, tmp_path):   # noqa: F811
    m = manager(str(tmp_path / "notify"))
    args = (f"tiny={zoo['tiny']}", "--handover", path_of(tmp_path))
    old = start(1, *args, "--port", 0, env=m.env)
    assert m.next().startswith("READY=1")
    new = start(1, *args, env=m.env)
    assert m.next() == f"MAINPID={new.pid}" and m.next().startswith("READY=1")
    assert old.process.wait(60) == 0 and m.next(0.2) is None
    new.process.terminate()
    assert m.next().startswith("STOPPING=1")
