"""test_top.py - `proa top`: what it says of a server, on a terminal and in a pipe, while the server comes and goes."""
import fcntl, json, os, pty, select, signal, struct, subprocess, termios, threading, time
import pytest
from conftest import PROA, lasting_port, run_proa, until
from models import X


def once(url, *more, **how):
    """It waits a second for an answer: a server that is held up for longer is asked again."""
    def done():
        run = run_proa("top", url, "--once", *more, **how)
        return run if run.returncode != 3 or "expected it within" not in run.stderr else None
    return until(done)


class Load:
    """Requests for one model in the background, about 200 a second."""

    def __init__(self, server, model, value):
        self.server, self.model, self.value, self.stop = server, model, value, threading.Event()
        self.thread, self.answered, self.slowest_s = threading.Thread(target=self.run), 0, 0

    def run(self):
        while not self.stop.wait(0.005):
            since = time.monotonic()
            self.server.infer(self.model, [self.value])
            self.slowest_s = max(self.slowest_s, time.monotonic() - since)
            self.answered += 1

    def __enter__(self):
        self.thread.start()
        until(lambda: self.answered)
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()


def test_once_as_json_is_for_scripts(serve, zoo):
    server = serve(f"tiny={zoo['tiny']}", f"id_int64={zoo['id_int64']}")

    def busy():
        """What it says of a second, once that is one in which requests came."""
        done = once(server.url, "--json")
        assert done.returncode == 0 and not done.stderr and done.stdout.count("\n") == 1, done
        got = json.loads(done.stdout)
        return got if got["requests_per_second"] > 1 and got["models"][0]["answers_per_second"] > 1 else None
    with Load(server, "tiny", ["x", "FP32", [1, 4], X]) as load:
        got = until(busy)
    assert got["up"] is True and got["memory_bytes"] > 1 << 20 and got["descriptors"] > 5
    assert [m["name"] for m in got["models"]] == ["tiny", "id_int64"], "busiest first"
    tiny, other = got["models"]
    assert 0 < tiny["p50_seconds"] <= tiny["p99_seconds"] < 10 + 2 * load.slowest_s and tiny["failed_per_second"] == 0
    assert other["answers_per_second"] == 0 and other["p50_seconds"] is None


def test_a_pipe_gets_plain_lines(server):
    top, out = subprocess.Popen([PROA, "top", server.url], stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL), b""
    while out.count(b"proa top  ") < 2 or out.count(b"answers/s") < 2:
        part = os.read(top.stdout.fileno(), 65536) if select.select([top.stdout], [], [], 60)[0] else b""
        assert part, (out, top.kill())
        out += part
    top.send_signal(signal.SIGINT)
    rest, err = top.communicate(timeout=60)
    out += rest
    assert top.returncode == 0 and err == b"" and b"\x1b" not in out
    assert out.count(b"proa top  ") >= 2 and out.count(b"answers/s") >= 2 and b"digits/1" in out


def test_no_server_has_status_three():
    done = run_proa("top", "127.0.0.1:1", "--once")
    assert done.returncode == 3 and not done.stdout and done.stderr == "proa top: 127.0.0.1:1: cannot connect: Connection refused\n"
    done = run_proa("top", "127.0.0.1:1", "--once", "--json")
    assert done.returncode == 3 and json.loads(done.stdout) == {"address": "127.0.0.1:1", "up": False, "error": "127.0.0.1:1: cannot connect: Connection refused"}
    assert run_proa("top").returncode == 2 and run_proa("top", "nonsense").returncode == 2
    assert "--interval" in run_proa("top", "--help").stdout


def test_a_server_that_gives_no_metrics_is_not_down(serve, zoo, tmp_path):
    (tmp_path / "keys").write_text(run_proa("key").stdout)
    s = serve(f"tiny={zoo['tiny']}", "--api-keys", tmp_path / "keys")
    why = f"{s.host}:{s.port}: 401: API key: expected"
    done = run_proa("top", s.url, "--once")
    assert done.returncode == 1 and not done.stdout and done.stderr.startswith(f"proa top: {why}") and done.stderr.count("\n") == 1, done
    done = run_proa("top", s.url, "--once", "--json")
    told = json.loads(done.stdout)
    assert done.returncode == 1 and told["up"] is True and told["error"].startswith(why), done
    done = run_proa("top", s.url, "--once", env={"PROA_API_KEY": "two\nlines"})
    assert done.returncode == 2 and done.stderr.endswith("proa top: --api-key: expected visible characters on one line, got others\n")


class Terminal:
    """`proa top` on a terminal of its own."""

    def __init__(self, *args, term="xterm", rows=12, columns=70):
        self.master, slave = pty.openpty()
        self.slave, self.seen = slave, b""
        self.resize(rows, columns)
        self.before = termios.tcgetattr(slave)
        self.process = subprocess.Popen([PROA, "top", *args], stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
                                        env=dict(os.environ, TERM=term), preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))

    def resize(self, rows, columns):
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def until(self, *words, seconds=60):
        """Reads until all words have been seen since the last call; gives what was read."""
        end, got = time.monotonic() + seconds, b""
        while not all(w in got for w in words):
            left = end - time.monotonic()
            assert left > 0, (words, got)
            if select.select([self.master], [], [], left)[0]:
                got += os.read(self.master, 65536)
        self.seen += got
        return got

    def ends(self, last=b""):
        """It has ended well, the terminal is as it was, and `last` is what it wrote last."""
        deadline = time.monotonic() + 60
        while self.process.poll() is None and time.monotonic() < deadline:
            if select.select([self.master], [], [], 0.1)[0]:
                self.seen += os.read(self.master, 65536)
        assert self.process.wait(1) == 0
        while not self.seen.endswith(last):                 # a thread of the kernel's brings it from there to here
            assert select.select([self.master], [], [], 60)[0], self.seen[-200:]
            self.seen += os.read(self.master, 65536)
        assert termios.tcgetattr(self.slave) == self.before, "the terminal's state was not given back"

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def terminal():
    made = []

    def start(*args, **kw):
        made.append(Terminal(*args, **kw))
        return made[-1]
    yield start
    for t in made:
        t.close()


@pytest.mark.parametrize("how", ["q", "ctrl-c", "term"])
def test_a_terminal_is_drawn_on_and_given_back(server, terminal, how):
    t = terminal(server.url)
    first = t.until(b"answers/s", b"\x1b[H")
    assert b"\x1b[?1049h\x1b[?25l" in first
    assert not termios.tcgetattr(t.slave)[3] & (termios.ECHO | termios.ICANON)
    if how == "term":
        t.process.terminate()
    else:
        os.write(t.master, b"q" if how == "q" else b"\x03")
    t.ends(last=b"\x1b[?25h\x1b[?1049l")


def test_another_size_of_the_window_draws_anew(server, terminal):
    t = terminal(server.url, "--interval", "60", rows=8, columns=200)
    screen = t.until(b"descriptors", b"p99").split(b"\x1b[H\x1b[J")[-1]
    assert screen.count(b"\n") <= 7
    t.resize(4, 20)
    screen = t.until(b"connections").split(b"\x1b[H\x1b[J")[-1]
    lines = screen.replace(b"\x1b[1m", b"").replace(b"\x1b[0m", b"").replace(b"\r\n", b"\n").split(b"\n")
    assert max(map(len, lines)) <= 20 and len(lines) <= 4, lines
    os.write(t.master, b"q")
    t.ends()


def test_a_server_may_go_and_come_back(serve, zoo, terminal):
    server = serve(f"tiny={zoo['tiny']}", "--port", lasting_port())
    t = terminal(server.url)
    t.until(b"tiny/1")
    server.stop()
    t.until(b"down since", b"cannot connect: Connection refused")
    again = serve(f"tiny={zoo['tiny']}", "--port", server.port)
    assert again.port == server.port
    t.until(b"tiny/1", b"requests/s -")
    os.write(t.master, b"q")
    t.ends()


def test_a_dumb_terminal_gets_plain_lines(server, terminal):
    t = terminal(server.url, term="dumb")
    assert b"\x1b" not in t.until(b"answers/s", b"digits/1")
    t.process.send_signal(signal.SIGINT)
    t.ends()
