#!/usr/bin/env python3
"""soak_many.py - a thousand models under a budget for a hundred, millions of REST and gRPC requests: each is answered by the model that it
names, and memory stays within the budget.

    python3 tests/soak/soak_many.py [--proa build/proa] [--requests 1000000] [--clients 2] [--seed 1] [--no-memory]

Each of MODELS models answers with numbers of its own. Client processes hold rounds.CONNECTIONS connections all the time, half REST over
HTTP/1 (pipelined), half gRPC, and choose models by Zipf's law; who is asked for most moves on from round to round. Client processes are
killed in the middle of their requests. What one model takes is measured first, as the server says it, and with it the budget.

Every request must be answered once, rightly; none may be refused. The server's own figure stays within the budget and SLACK of it, looked
at while clients ask; RSS stays within that of the same server with room for FEW models, of the same load, and what the budgets differ by,
and SLACK of that: both while clients ask and at rest. Growth is judged as in soak_mixed.py. The figures have the p99 of a miss. Exit
status 1 when a request was lost, an answer was wrong, a figure grew or was beyond its limit, or the server did not end with status 0.
Python's standard library only.
"""
import itertools, pathlib, re, tempfile, time
import rows, versions
from rounds import WARM_ROUNDS, Rounds
from served import LOADERS_MAX, ROUNDS, Server, arguments, run_soak

MODELS, ROOM, FEW, MEASURED = 1000, 100, 10, 20
IMAGES = 2
BATCH_MAX = 4                       # requests in flight on a connection: all together ask for fewer models than there is room for
SKEW = 1.0                          # of Zipf's law
MOVES_ON = 37                       # models, from round to round
PARTS = ROUNDS + WARM_ROUNDS + 1    # of the requests: the server with room for few, a warm-up, the rounds
SLACK = 1.05
LOOK_S = 0.5
MEASURED_SHARE = 0.25               # of a part
REST_S = 1.5                        # behind that sizes are known


def name_of(n):
    return f"m{n}"


# ---- one client process ------------------------------------------------------------------------------------------

class Choice:
    """Of `count` models from `first` on, the first most often."""

    def __init__(self, first, count):
        self.rows = [rows.Row(name_of(n % MODELS), i, n % MODELS + 1) for n in range(first, first + count) for i in range(IMAGES)]
        self.weights = list(itertools.accumulate((k // IMAGES + 1) ** -SKEW for k in range(len(self.rows))))

    def __call__(self, r, count):
        return r.choices(self.rows, cum_weights=self.weights, k=count)


def client(address, world, *rest):
    return rows.Client(address, rows.Judge(), Choice(*world), *rest, BATCH_MAX).run()


# ---- the whole ---------------------------------------------------------------------------------------------------

class Soak(Rounds):
    """`world` = who is asked for: the first, and how many."""

    def __init__(self, a):
        super().__init__(a, client, (0, MODELS), PARTS, [name_of(n) for n in range(LOADERS_MAX)])
        self.folder = tempfile.TemporaryDirectory()
        for n in range(MODELS):
            versions.publish(pathlib.Path(self.folder.name) / name_of(n), 1, versions.model(n + 1))
        self.looked, self.most_kb, self.most_bytes = 0, 0, 0

    def start(self, budget):
        self.server = Server(self.a.proa, "--port", "0", "--models-memory-max", str(budget), "--log-level", "error",
                             models=("--model-repository", self.folder.name, "--model-control", "explicit"))

    def stop(self):
        problems = self.server.stop()
        if problems:
            raise ValueError("; ".join(problems))

    def watch(self):
        now = time.monotonic()
        if now < self.looked + LOOK_S:
            return
        self.looked = now
        self.most_kb = max(self.most_kb, self.server.reading().rss_kb)
        self.most_bytes = max(self.most_bytes, self.server.metric("proa_models_memory_bytes"))

    def plain_round(self, name):
        self.world = (self.world[0] + MOVES_ON) % MODELS, MODELS
        super().plain_round(name)

    def measure(self):
        """What a model takes that has been asked by this load."""
        self.start(1 << 40)
        self.world = 0, MEASURED
        self.round_of("measured", share=MEASURED_SHARE)
        time.sleep(REST_S)
        size, there = self.server.metric("proa_models_memory_bytes"), self.server.metric("proa_models_in_memory")
        self.stop()
        if there != MEASURED:
            raise ValueError(f"measured: expected {MEASURED} models in memory, got {there:.0f}")
        return size / there

    def few(self, budget):
        """RSS in kB of a server with that budget: at most, while clients ask, and at rest."""
        self.start(budget)
        self.plain_round("few")
        rest, most, self.most_kb, self.most_bytes = self.server.at_rest().rss_kb, self.most_kb, 0, 0
        self.stop()
        return most, rest

    def memory(self, budget, few, rest_kb, more_kb):
        """What is wrong with it."""
        problems = []
        print(f"figures: models: {self.most_bytes:.0f} bytes at most by the server's own figure, of {budget}")
        if self.most_bytes > SLACK * budget:
            problems.append(f"proa_models_memory_bytes: expected at most {SLACK} * {budget}, got {self.most_bytes:.0f}")
        for what, got, base in (("while clients ask", self.most_kb, few[0]), ("at rest", rest_kb, few[1])):
            limit = SLACK * (base + more_kb)
            print(f"figures: RSS {what}: {got} kB, with room for {FEW} models {base} kB; limit {limit:.0f} kB")
            if got > limit and not self.a.no_memory:
                problems.append(f"RSS {what}: expected at most {limit:.0f} kB, got {got}")
        return problems

    def misses(self):
        """What is wrong with them."""
        page = self.server.metrics()
        number = lambda name: float(re.search(rf"^{name} (\S+)$", page, re.M)[1])
        buckets = re.findall(r'^proa_model_miss_seconds_bucket\{le="([^"]+)"\} (\S+)$', page, re.M)
        count, evicted = number("proa_model_miss_seconds_count"), number("proa_model_evictions_total")
        p50, p99 = (next(le for le, n in buckets if float(n) >= share * count) for share in (0.5, 0.99))
        print(f"figures: {count:.0f} misses waited {number('proa_model_miss_seconds_sum') / max(1, count) * 1e3:.2f} ms on average, p50 <= {p50} s, "
              f"p99 <= {p99} s; {number('proa_model_misses_joined_total'):.0f} joined a load; {evicted:.0f} evictions, "
              f"{number('proa_models_in_memory'):.0f} models in memory now")
        return [] if evicted > MODELS else [f"evictions: expected more than {MODELS}, got {evicted:.0f}"]


def soak(a):
    s, began = Soak(a), time.monotonic()
    size = s.measure()
    budget, small = int(ROOM * size), int(FEW * size)
    few = s.few(small)
    print(f"a model takes {size:.0f} bytes; the budget is {budget}", flush=True)
    s.start(budget)
    growth = s.rounds("server", 0, ROUNDS)
    problems = s.figures(time.monotonic() - began) + s.misses()
    problems += s.memory(budget, few, growth.all[-1].rss_kb, (budget - small) / 1024) + growth.judge(not a.no_memory)
    return problems + s.server.stop()


if __name__ == "__main__":
    run_soak("soak_many.py", soak, arguments(__doc__, 1_000_000))
