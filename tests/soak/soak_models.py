#!/usr/bin/env python3
"""soak_models.py - millions of REST and gRPC requests in batches, while versions and servers are exchanged and models come and go: none is
lost, none is answered by a version that was not current.

    python3 tests/soak/soak_models.py [--proa build/proa] [--requests 5000000] [--clients 2] [--seed 1] [--no-memory]

Serves two models from a repository: `m`, in batches as they come, and `u`, in fixed ones; and GUESTS more in a budget of memory with room
for GUESTS_IN of them beside those two, which are asked for now and then: each is loaded for that, and leaves again. Client processes hold
CONNECTIONS connections all the time, half REST over HTTP/1 (pipelined), half gRPC, each replaced by a new one now and then. Meanwhile
versions of `m` are loaded beside the old, rolled back by one call and forth again; versions that do not load are put beside them; `u` is
unloaded and loaded; client processes are killed in the middle of their requests. Between the halves of the run HAND_OVERS new processes
take the listeners, one from the other, and all but the first of the old get SIGTERM while they still answer.

A request was sent whole. It must be answered once, by a version that was current at some moment between its last byte and its
answer's (the answer says which, and its numbers must be those of that version within rows.TOLERANCE); a request to `u` may be told that
there is no such model, if it was unloaded at such a moment, one to a guest never. Only a server that hands over may refuse one, cleanly, as
talk.py defines it; those are sent again. Growth is judged as in soak_mixed.py. Exit status 1 when a request was lost, an answer was wrong, a
figure grew, no guest was evicted, or a server did not end with status 0. Python's standard library only.
"""
import multiprocessing, pathlib, re, shutil, signal, tempfile, time
import rows, versions
from rounds import WARM_ROUNDS, Rounds
from served import ROUNDS, Server, arguments, run_soak
from talk import Link

IMAGES = 8                          # different rows
M_SHARE = 3                         # requests for m, to one for u
HAND_OVERS = 3
PARTS = ROUNDS + 2 * WARM_ROUNDS + 1        # of the requests: a warm-up of each server, the rounds, the hand-over between them
EPOCHS_MAX = 100000
GONE = 1 << 63                      # beside the bits of versions: the model may not be there
UNLOADED_S = 0.05
U_CONFIG = 'max_batch_size: 16\ndynamic_batching { max_queue_delay_microseconds: 200 }\n'
MODELS = ("m", "u")
GUESTS, GUESTS_IN = 12, 4
GUEST_SHARE = 0.1                   # of the batches, one of whose requests is for a guest
MEASURED_SHARE = 0.25               # of a part
MEASURED_S = 1.5                    # behind that sizes are known
GUEST_STAY_MS = 5                   # who comes back so often would wait for others to have stayed


# ---- what may be answered --------------------------------------------------------------------------------------------

def bit(version):
    return 1 << version % 60


class World:
    """Which versions may answer, from one moment to the next: written by who exchanges them, read by all clients."""

    def __init__(self):
        self.epoch = multiprocessing.RawValue("Q", 0)
        self.history = {name: multiprocessing.RawArray("Q", EPOCHS_MAX) for name in MODELS}

    def say(self, name, bits):
        now = self.epoch.value
        for other, history in self.history.items():
            history[now + 1] = bits if other == name else history[now]
        self.epoch.value = now + 1

    def since(self, name, epoch):
        """The bits of all that was current from that epoch until now."""
        if name not in self.history:
            return bit(1)
        bits = 0
        for e in range(epoch, self.epoch.value + 1):
            bits |= self.history[name][e]
        return bits


class Judge(rows.Judge):
    def __init__(self, world):
        super().__init__()
        self.world = world

    def now(self):
        return self.world.epoch.value

    def may_answer(self, row, since, version):
        return self.world.since(row.model, since) & bit(version)

    def may_be_gone(self, row, since):
        return self.world.since(row.model, since) & GONE


# ---- one client process ------------------------------------------------------------------------------------------

def guest(i):
    """(its name, what tells its answers from others')."""
    return f"g{i}", i + 2


class Choice:
    def __init__(self):
        self.steady = [rows.Row("m", i) for i in range(IMAGES)] * M_SHARE + [rows.Row("u", i) for i in range(IMAGES)]
        self.guests = [rows.Row(name, i % IMAGES, times) for i, (name, times) in enumerate(map(guest, range(GUESTS)))]

    def __call__(self, r, count):
        chosen = r.choices(self.steady, k=count)
        if r.random() < GUEST_SHARE:
            chosen[r.randrange(count)] = r.choice(self.guests)
        return chosen


def client(address, world, *rest):
    return rows.Client(address, Judge(world), Choice(), *rest).run()


# ---- the whole ---------------------------------------------------------------------------------------------------

class Soak(Rounds):
    def __init__(self, a):
        super().__init__(a, client, World(), PARTS, [guest(i)[0] for i in range(GUESTS)])
        self.folder = tempfile.TemporaryDirectory()
        self.models = pathlib.Path(self.folder.name) / "models"
        self.version, self.runs = 1, {name: [0, 0] for name in MODELS}      # rows and runs
        for name in MODELS:
            versions.publish(self.models / name, 1)
            self.world.say(name, bit(1))
        for name, times in map(guest, range(GUESTS)):
            versions.publish(self.models / name, 1, versions.model(times))
        (self.models / "u" / "config.pbtxt").write_text(U_CONFIG)
        self.budget = self.measure()
        self.server = self.start("0")

    def start(self, port):
        return Server(self.a.proa, "--port", port, "--handover", f"{self.folder.name}/door", "--inline-us", "0", "--log-level", "error",
                      "--models-memory-max", str(self.budget), "--models-stay-ms", str(GUEST_STAY_MS), "--pin-models", "m",
                      models=("--model-repository", str(self.models), "--model-control", "explicit"))

    def measure(self):
        """What m and u take under this load, and room for guests."""
        self.budget = 1 << 30
        self.server = self.start("0")
        self.round_of("measured", share=MEASURED_SHARE)
        for name, _ in map(guest, range(GUESTS)):
            self.server.call(f"/v2/models/{name}", method="GET")        # loaded, if nobody asked for it
        time.sleep(MEASURED_S)
        whole = self.server.metric("proa_models_memory_bytes")
        for name, _ in map(guest, range(GUESTS)):
            self.server.call(f"/v2/repository/models/{name}/unload")
        time.sleep(MEASURED_S)
        steady = self.server.metric("proa_models_memory_bytes")
        problems = self.server.stop()
        if problems:
            raise ValueError("; ".join(problems))
        size = (whole - steady) / GUESTS
        print(f"m and u take {steady:.0f} bytes, a guest {size:.0f}", flush=True)
        return int(steady + (GUESTS_IN + 0.5) * size)

    def count_runs(self, name):
        """Of the versions that are loaded now: their counters go with them."""
        page = self.server.metrics()
        for k, what in enumerate(("sum", "count")):
            self.runs[name][k] += sum(map(float, re.findall(rf'^proa_batch_rows_{what}\{{model_name="{name}",.*\}} (\S+)$', page, re.M)))

    def count_evictions(self):
        """Of a server that is about to go."""
        self.tally["evictions"] += int(self.server.metric("proa_model_evictions_total"))

    # ---- events, under load

    def events(self):
        return [self.swap, self.unload, self.swap_badly, self.swap, self.unload, self.kill_clients]

    def activate(self, version, which):
        self.world.say("m", bit(self.version) | bit(self.version - 1))
        self.server.call(f"/v2/repository/models/m/versions/{which}/activate")
        self.world.say("m", bit(version))

    def swap(self):
        """A new version, back to the one before, and forth."""
        self.count_runs("m")
        self.version += 1
        versions.publish(self.models / "m", self.version)
        self.world.say("m", bit(self.version) | bit(self.version - 1))
        self.server.call("/v2/repository/models/m/load")
        self.world.say("m", bit(self.version))
        self.activate(self.version - 1, self.version - 1)
        time.sleep(self.r.uniform(0, 0.05))
        self.activate(self.version, "latest")
        shutil.rmtree(self.models / "m" / str(self.version - 1))
        self.tally["swaps and roll-backs"] += 1

    def swap_badly(self):
        """What does not load changes nothing."""
        versions.publish(self.models / "m", self.version + 1, b"no model")
        self.server.call("/v2/repository/models/m/load", 400)
        shutil.rmtree(self.models / "m" / str(self.version + 1))
        self.tally["versions that did not load"] += 1

    def unload(self):
        self.count_runs("u")
        self.world.say("u", bit(1) | GONE)
        self.server.call("/v2/repository/models/u/unload")
        time.sleep(self.r.uniform(0, UNLOADED_S))
        self.server.call("/v2/repository/models/u/load")
        self.world.say("u", bit(1))
        self.tally["unloads"] += 1

    def hand_over(self):
        """A new process takes the listeners; the old one answers what it has accepted, also when it is told to end meanwhile."""
        self.count_evictions()
        old, self.server = self.server, self.start(str(self.server.address[1]))
        if self.tally["hand-overs"]:
            old.process.send_signal(signal.SIGTERM)
        problems = old.ended("its hand-over")
        if problems:
            raise ValueError("; ".join(problems))
        self.tally["hand-overs"] += 1

    # ---- the whole

    def settle(self):
        judge = Judge(self.world)
        talk = rows.RestRows(Link(self.server.address), judge)
        talk.send([(row, judge.now()) for row in Choice().guests[:GUESTS_IN]])
        talk.finish()
        talk.vanish()
        if talk.lost or talk.wrong:
            raise ValueError(f"guests: {talk.lost} of {talk.sent} requests lost; {talk.wrong}")

    def batches(self):
        """What is wrong with them."""
        problems = []
        for name in MODELS:
            rows_run, runs = self.runs[name]
            print(f"figures: model {name}: {rows_run / max(1, runs):.1f} rows a run, as far as was looked")
            if rows_run <= runs:
                problems.append(f"model {name}: expected rows to share runs, got {rows_run:.0f} in {runs:.0f}")
        return problems

    def evictions(self):
        """What is wrong with them."""
        seen = self.tally["evictions"]
        print(f"figures: {seen} guests evicted, as far as was looked; a budget of {self.budget} bytes")
        return [] if seen >= GUESTS else [f"evictions: expected at least {GUESTS}, got {seen}"]


def soak(a):
    s, began = Soak(a), time.monotonic()
    growths = [s.rounds("first server", 0, ROUNDS // 2)]
    refused = s.round_of("hand-overs", [s.hand_over] * HAND_OVERS)
    print(f"{HAND_OVERS} hand-overs: {refused} requests refused, {s.tally['idle']} of them on connections closed while idle; sent again",
          flush=True)
    growths.append(s.rounds("second server", ROUNDS // 2, ROUNDS // 2))
    s.count_evictions()
    problems = s.figures(time.monotonic() - began) + s.batches() + s.evictions()
    problems += [p for g in growths for p in g.judge(not a.no_memory)]
    return problems + s.server.stop()


if __name__ == "__main__":
    run_soak("soak_models.py", soak, arguments(__doc__, 5_000_000))
