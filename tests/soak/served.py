"""served.py - the program under a soak: its process, its figures at rest, what they may grow; and a crowd of client processes.

Shared by the soak_*.py. Python's standard library only.
"""
import argparse, collections, http.client, multiprocessing, os, pathlib, re, select, signal, subprocess, sys, time

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples" / "digits"
# Its answers are compared byte by byte: in a shared run the sums of a row are added up in another order.
DIGITS = (f"digits={EXAMPLES / 'digits.onnx'}", "--batch-mode", "off")
ROUNDS = 10
WARM_SHARE = 0.1                    # of the requests, before the first reading
RSS_GROWTH_MAX_KB = 1024            # from warm-up to the end; a leak of one byte per request would be 2 MB of 2,000,000
RSS_TREND_MAX_KB = 512              # over the last half: a leak of one byte per request would be 900 kB there
START_S_MAX, REST_S_MAX = 20, 15
RESTS_S = 2                         # a second without a request, then it gives memory back
QUEUE_MAX = 8192                    # more than all clients ask at a time

LOADERS, LOADERS_MAX = "load-", 16  # threads that read models: they come as they are needed, up to so many

Reading = collections.namedtuple("Reading", "rss_kb descriptors threads loaders")


class Server:
    """The digits model, or others, served on a free port. Raises ValueError when it does not start."""

    alive = []

    def __init__(self, proa, *flags, models=DIGITS):
        self.process = subprocess.Popen([proa, "serve", *models, "--queue-max", str(QUEUE_MAX), *flags], stdout=subprocess.PIPE, text=True,
                                        start_new_session=True)
        Server.alive.append(self)
        ready = select.select([self.process.stdout], [], [], START_S_MAX)[0]
        line = self.process.stdout.readline() if ready else ""
        if not line.startswith("listening on http"):
            self.kill()
            raise ValueError(f"first line: expected 'listening on http://ADDR:PORT', got '{line.strip()}'")
        host, port = line.split("://")[1].strip().rsplit(":", 1)
        self.address = (host, int(port))

    def call(self, path, expected=200, method="POST"):
        c = http.client.HTTPConnection(*self.address, timeout=30)
        c.request(method, path)
        r = c.getresponse()
        body = r.read()
        c.close()
        if r.status != expected:
            raise ValueError(f"{path}: expected {expected}, got {r.status} {body!r}")
        return body.decode()

    def metrics(self):
        return self.call("/metrics", method="GET")

    def metric(self, name):
        return float(re.search(rf"^{name} (\S+)$", self.metrics(), re.M)[1])

    def reading(self):
        pid = self.process.pid
        try:
            fields = dict(line.split(":", 1) for line in open(f"/proc/{pid}/status"))
            names = [pathlib.Path(task, "comm").read_text() for task in pathlib.Path(f"/proc/{pid}/task").iterdir()]
            loaders = len([n for n in names if n.startswith(LOADERS)])
            reading = Reading(int(fields["VmRSS"].split()[0]), len(os.listdir(f"/proc/{pid}/fd")), len(names) - loaders, loaders)
        except (FileNotFoundError, KeyError):       # a dead process has no VmRSS, or is gone
            raise ValueError(f"the server died with status {self.process.poll()}") from None
        if loaders > LOADERS_MAX:
            raise ValueError(f"threads that read models: expected at most {LOADERS_MAX}, got {loaders}")
        return reading

    def at_rest(self):
        """The reading once the server has come to rest and the figures do not move any more."""
        time.sleep(RESTS_S)
        before, until = self.reading(), time.monotonic() + REST_S_MAX
        while time.monotonic() < until:
            time.sleep(0.5)
            now = self.reading()
            if now == before:
                return now
            before = now
        return before

    def stop(self, number=signal.SIGTERM):
        """What was wrong with its end: texts."""
        if self.process.poll() is not None:
            return [f"the server died with status {self.process.returncode}"]
        self.process.send_signal(number)
        return self.ended("SIGTERM")

    def ended(self, why):
        try:
            status = self.process.wait(START_S_MAX)
        except subprocess.TimeoutExpired:
            return [f"after {why}: expected an end within {START_S_MAX} s, got none"]
        return [f"exit status after {why}: expected 0, got {status}"] if status else []

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class Growth:
    """The readings of one server: the first is what the others are held against."""

    def __init__(self, name, server):
        self.name, self.server, self.all, self.began = name, server, [server.at_rest()], time.monotonic()
        print(f"{name}, warm: {self.all[0]}", flush=True)

    def tell(self, k, tally):
        """Reads behind round k, and prints."""
        self.all.append(self.server.at_rest())
        print(f"[{'#' * (k + 1)}{'.' * (ROUNDS - k - 1)}] {tally['sent']} sent, {tally['answered']} answered, "
              f"RSS {self.grown(0)[-1]:+} kB, descriptors {self.grown(1)[-1]:+}, threads {self.grown(2)[-1]:+} and {self.all[-1].loaders}", flush=True)

    def grown(self, field):
        return [r[field] - self.all[0][field] for r in self.all[1:]]

    def judge(self, memory=True):
        """Prints the figures; what is wrong with them: texts."""
        problems, rss = [], self.grown(0)
        if not rss:
            return problems
        first, last, trend = self.all[0], self.all[-1], rss[-1] - rss[(len(rss) - 1) // 2]
        print(f"figures: {self.name}: RSS {first.rss_kb} kB, then {last.rss_kb} kB; {first.descriptors} descriptors, then "
              f"{last.descriptors}; {first.threads} threads, then {last.threads}")
        print(f"figures: {self.name}: RSS growth by round, kB: {' '.join(f'{k:+}' for k in rss)} (limit {RSS_GROWTH_MAX_KB}); "
              f"over the last half {trend:+} (limit {RSS_TREND_MAX_KB})")
        if memory and rss[-1] > RSS_GROWTH_MAX_KB:
            problems.append(f"{self.name}: RSS: expected growth of at most {RSS_GROWTH_MAX_KB} kB, got {rss[-1]} kB")
        if memory and trend > RSS_TREND_MAX_KB:
            problems.append(f"{self.name}: RSS: expected growth of at most {RSS_TREND_MAX_KB} kB over the last half, got {trend} kB")
        for field in (1, 2):
            what, grown = Reading._fields[field], self.grown(field)
            print(f"figures: {self.name}: {what} by round: {' '.join(f'{k:+}' for k in grown)} (limit 0)", flush=True)
            if grown[-1] > 0:
                problems.append(f"{self.name}: {what}: expected no growth, got {grown[-1]}")
        return problems


def run(pipe, work, args):
    try:
        pipe.send(work(*args))
    except (OSError, ValueError) as e:
        pipe.send(f"{type(e).__name__}: {e}")


def crowd(work, jobs, progress=None, events=(), watch=None):
    """work(*job) of every job in a process of its own; the sum of the Counters that they return. A text instead of one is an
    error: ValueError. events = (goal, call), goals ascending: the call is made here once progress.value says so much, or at the end.
    watch() is called some times a second."""
    ends, events = [], list(events)
    for job in jobs:
        ours, theirs = multiprocessing.Pipe(False)
        p = multiprocessing.Process(target=run, args=(theirs, work, job))
        p.start()
        theirs.close()
        ends.append((p, ours))
    results = []
    for p, ours in ends:
        while not ours.poll(0.1):
            if watch:
                watch()
            if events and progress.value >= events[0][0]:
                events.pop(0)[1]()
        try:
            results.append(ours.recv())
        except EOFError:
            results.append("a client process died")
        p.join()
    for x in results:
        if isinstance(x, str):
            raise ValueError(x)
    for _, call in events:
        call()
    return sum(results, collections.Counter())


# ---- the program -------------------------------------------------------------------------------------------------

def arguments(text, requests):
    ap = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--proa", default=os.environ.get("PROA", "build/proa"))
    ap.add_argument("--requests", type=int, default=requests)
    ap.add_argument("--clients", type=int, default=2)
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--no-memory", action="store_true", help="do not judge RSS")
    return ap.parse_args()


def run_soak(name, soak, a):
    """soak(a) returns what was wrong: texts. Exits."""
    began = time.monotonic()
    try:
        problems = soak(a)
    except ValueError as e:
        problems = [str(e)]
    finally:
        for server in Server.alive:
            server.kill()
    for p in problems:
        print(f"{name}: {p}", file=sys.stderr)
    print(f"figures: {time.monotonic() - began:.0f} s in all")
    print("soak: failed" if problems else "soak: ok")
    sys.exit(1 if problems else 0)
