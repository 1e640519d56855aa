"""test_jobs_handover.py - the jobs' folder goes from an old server to a new one while clients hand in, ask and are told.

Properties: no job that was accepted is lost, none is answered otherwise than at once; a webhook that takes what it is told is told
each job once; whoever asks meanwhile waits or is told to ask again, and finds everything at the new server.
"""
import collections, datetime, http.client, random, re, subprocess, threading, time
import pytest
from conftest import PROA, lasting_port, logged, until
from test_jobs import ASYNC, Hook, ended, hook, tiny   # noqa: F401 (a fixture)


@pytest.fixture
def heirs(serve, zoo, tmp_path):
    """heirs(*options): the next server, which takes sockets and jobs of the one before."""
    def start(*options):
        return serve(f"tiny={zoo['tiny']}", f"slow={zoo['slow']}", "--jobs-dir", tmp_path / "jobs", "--handover", tmp_path / "heir",
                     "--drain-wait-ms", "15000", "--batch-mode", "off", *options)
    return start


class Clients:
    """Three that hand in jobs without a pause, and one that asks for theirs. Refusals are counted, lost jobs are not allowed."""

    def __init__(self, server, hook_at):
        self.server, self.hook_at = server, hook_at
        self.stop, self.accepted, self.refused, self.problems = threading.Event(), {}, [], []
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.guard, args=(f, k), daemon=True) for k, f in enumerate((self.hand_in, self.hand_in, self.hand_in, self.look))]
        for t in self.threads:
            t.start()

    def guard(self, work, k):
        try:
            n = 0
            while not self.stop.is_set():
                work(k * 100000 + n)
                n += 1
        except Exception as e:                  # noqa: BLE001 (whatever it is, it is a request that was lost)
            self.problems.append(repr(e))

    def hand_in(self, i):
        r = self.server.post("/v2/models/tiny/infer", tiny(i), headers={**ASYNC, "Proa-Webhook": f"http://{self.hook_at}/{i}"})
        if r.status == 202:
            with self.lock:
                self.accepted[i] = r.headers["location"]
        else:
            assert r.status == 503 and r.headers["retry-after"], r
            self.refused.append(r.json()["error"])
            time.sleep(0.05)                    # and asks for another one: what was refused is nowhere

    def look(self, _):
        with self.lock:
            known = list(self.accepted.values())
        for where in known[-3:]:
            r = self.server.get(where)
            assert r.status in (200, 503), r
        time.sleep(0.01)

    def go_on(self):
        """Waits until so many more were accepted: by whoever has the folder now."""
        enough = len(self.accepted) + 30
        until(lambda: len(self.accepted) >= enough or self.problems, what=f"that {enough} jobs are accepted")

    def end(self):
        self.stop.set()
        for t in self.threads:
            t.join(90)
        assert not self.problems, self.problems[:5]


ASK_AGAIN = "jobs: another server has them now: ask once more"
GIVE_S, TELLERS = 2, 4      # how long who gives the folder waits for webhooks under way, and how many those are


def gave_in_s(log):
    """What a server needed to give its folder, by its own log."""
    at = lambda text: datetime.datetime.fromisoformat(re.search(rf"^(\S+)Z .*{text}", log, re.M)[1])
    return (at("given to the new server") - at("a new server has the listeners")).total_seconds()


def test_jobs_go_to_the_new_server_under_load(heirs, hook):   # noqa: F811
    h = hook()
    first = old = heirs("--webhook-hosts", h.host)
    in_a_hurry = 0              # those who gave the folder before their webhooks had been heard
    clients = Clients(first, h.host)
    try:
        for _ in range(4):
            clients.go_on()
            new = heirs("--webhook-hosts", h.host)
            assert new.port == first.port and old.wait() == 0
            assert "given to the new server" in old.log() and "damaged" not in new.log()
            in_a_hurry += gave_in_s(old.log()) > 0.9 * GIVE_S
            old = new
        clients.go_on()
    finally:
        clients.end()
    assert set(clients.refused) <= {ASK_AGAIN}
    for i, where in clients.accepted.items():
        job = until(lambda: ended(old, where), what=f"job {i}")
        assert job["status"] == "done", job
        assert old.get(where + "/result").json() == old.post("/v2/models/tiny/infer", tiny(i)).json()
        until(lambda: old.get(where).json()["webhook"] == "delivered")
    told = collections.Counter(path for path, *_ in h.got)
    assert set(told) == {f"/{i}" for i in clients.accepted}
    assert told.total() - len(told) <= TELLERS * in_a_hurry, [path for path, n in told.items() if n > 1]


def test_a_run_that_takes_long_is_run_again_by_the_new_server(heirs):
    old = heirs("--jobs-running-max", "1")
    data = [0.5] * (384 * 384)
    slow = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [384, 384], "data": data}]}
    now = old.post("/v2/models/slow/infer", slow)
    assert now.status == 200
    where = [old.post("/v2/models/slow/infer", slow, headers=ASYNC).headers["location"] for _ in range(20)]
    new = heirs()
    assert old.wait() == 0
    for at in where:
        job = until(lambda: ended(new, at))
        assert job["status"] == "done" and new.get(at + "/result").json()["outputs"] == now.json()["outputs"]


def test_a_hook_that_hangs_does_not_hold_the_folder(heirs, hook):   # noqa: F811
    slow, fast = hook("hang"), hook()
    hosts = ("--webhook-hosts", f"{slow.host},{fast.host}")
    old = heirs(*hosts)
    where = old.post("/v2/models/tiny/infer", tiny(1), headers={**ASYNC, "Proa-Webhook": f"http://{slow.host}/"}).headers["location"]
    until(lambda: len(slow.got) == 1)
    new = heirs(*hosts)
    logged(old, "a new server has the listeners")

    def accepted():
        r = new.post("/v2/models/tiny/infer", tiny(2), headers={**ASYNC, "Proa-Webhook": f"http://{fast.host}/"})
        if r.status != 202:                     # by the old one, which still takes connections; the new one waits, JOBS_TAKE_US at most
            assert r.status == 503 and r.json()["error"] == ASK_AGAIN, r
        return r.status == 202 and r
    r = until(accepted)
    until(lambda: new.get(r.headers["location"]).json().get("webhook") == "delivered")
    until(lambda: len(slow.got) == 2)           # once more: nobody knows what became of the first
    assert new.get(where).json()["webhook"] == "waiting" and old.wait() == 0


def test_without_an_old_server_a_folder_in_use_ends_the_start(heirs, zoo, tmp_path):
    from conftest import run_proa
    heirs()
    done = run_proa("serve", f"tiny={zoo['tiny']}", "--port", "0", "--jobs-dir", tmp_path / "jobs", "--handover", tmp_path / "another")
    assert done.returncode != 0 and done.stderr.splitlines()[-1].endswith(f"{tmp_path / 'jobs'}: expected a folder of our own, got one in use"), done


class Address:
    """Whoever serves at this port now: get() and post() of conftest.Server, without a process."""

    def __init__(self):
        self.host, self.port, self.tls = "127.0.0.1", lasting_port(), None

    from conftest import Server
    request, get, post = Server.request, Server.get, Server.post

    def serves(self):
        try:
            return self.get("/jobs?limit=1", timeout=5).status == 200
        except (OSError, http.client.HTTPException):
            return False


def test_kill_at_random_moments_of_a_hand_over_loses_no_accepted_job(zoo, tmp_path):
    """SIGKILL hits the old server or the new one, at any moment from the start of the new one until both have settled."""
    seed = random.randrange(1 << 32)
    rng, at, alive, accepted = random.Random(seed), Address(), [], {}
    log = open(tmp_path / "log", "ab")

    def start():
        alive.append(subprocess.Popen([PROA, "serve", f"tiny={zoo['tiny']}", "--jobs-dir", tmp_path / "jobs", "--handover", tmp_path / "heir",
                                       "--batch-mode", "off", "--port", str(at.port)], stdout=subprocess.DEVNULL, stderr=log))

    def settle():
        def served():
            alive[:] = [p for p in alive if p.poll() is None]
            if not alive:
                start()
            return at.serves()
        until(served, what=f"seed {seed}: a server")

    def hand_in(count):
        while count:
            i = len(accepted)
            try:
                r = at.post("/v2/models/tiny/infer", tiny(i), headers=ASYNC)
            except (OSError, http.client.HTTPException):
                return
            if r.status == 202:
                accepted[i] = r.headers["location"]
            assert r.status in (202, 503), r
            count -= 1
    try:
        rounds, within_s = 0, 0.15
        while rounds < 25 or len(accepted) <= 100 or "given to the new server" not in (tmp_path / "log").read_text():
            settle()
            start()
            killer = threading.Timer(rng.uniform(0, within_s), lambda p: p.kill(), (rng.choice(alive),))
            killer.start()
            hand_in(rng.randrange(60))
            killer.join()
            rounds += 1
            within_s = 0.15 * max(1, rounds / 25)           # a slow machine comes as far as that, too
            assert rounds < 500, f"seed {seed}"
        settle()
        for i, where in accepted.items():
            job = until(lambda: ended(at, where), what=f"seed {seed}: job {i}")
            assert job["status"] == "done" and at.get(where + "/result").body == at.post("/v2/models/tiny/infer", tiny(i)).body, (seed, i)
    finally:
        for p in alive:
            p.kill()
            p.wait()
        log.close()
    assert "damaged" not in (tmp_path / "log").read_text(), f"seed {seed}"
