#!/usr/bin/env python3
"""soak_models.py - millions of REST and gRPC requests in batches, while versions and servers are exchanged: none is lost, none is answered by
a version that was not current.

    python3 tests/soak/soak_models.py [--proa build/proa] [--requests 5000000] [--clients 2] [--seed 1] [--no-memory]

Serves two models from a repository: `m`, in batches as they come, and `u`, in fixed ones. Client processes hold CONNECTIONS
connections all the time, half REST over HTTP/1 (pipelined), half gRPC, each replaced by a new one now and then. Meanwhile versions of `m`
are loaded beside the old, rolled back by one call and forth again; versions that do not load are put beside them; `u` is unloaded and
loaded; client processes are killed in the middle of their requests. Between the halves of the run HAND_OVERS new processes take the
listeners, one from the other, and all but the first of the old get SIGTERM while they still answer.

A request was sent whole. It must be answered once, by a version that was current at some moment between its last byte and its
answer's (the answer says which, and its numbers must be those of that version within TOLERANCE, since rows that share a run may
differ in their last bits); a request to `u` may be told that there is no such model, if it was unloaded at such a moment. Only a
server that hands over may refuse one, cleanly, as talk.py defines it; those are sent again. Growth is judged as in soak_mixed.py. Exit
status 1 when a request was lost, an answer was wrong, a figure grew, or a server did not end with status 0. Python's standard library only.
"""
import collections, http.client, json, multiprocessing, pathlib, random, re, shutil, signal, struct, tempfile, time
import versions
from served import ROUNDS, Growth, Server, arguments, crowd, run_soak
from talk import AUTHORITY, GRPC_STATUS, HEADERS, HTTP, PATH, POST, TYPE, GrpcTalk, Http1Talk, Link, Wrong, field, literal, request_frames

CONNECTIONS = 32                    # of all client processes together
IMAGES = 8                          # different rows
M_SHARE = 3                         # requests for m, to one for u
BATCHES_MAX = 300                   # of one connection
HAND_OVERS = 3
TOLERANCE = 1e-5                    # of the answer's largest number
PARTS = ROUNDS + 3                  # of the requests: a warm-up of each server, the rounds, the hand-over between them
EPOCHS_MAX = 100000
GONE = 1 << 63                      # beside the bits of versions: the model may not be there
SEEN_MAX = 20000                    # answers that were judged and are known by their bytes
UNLOADED_S = 0.05
EVENTS_EVERY = 50000                # requests of a round: all kinds of events once more
VICTIMS, VICTIM_S_MAX = 2, 0.4
U_CONFIG = 'max_batch_size: 16\ndynamic_batching { max_queue_delay_microseconds: 200 }\n'
MODELS = ("m", "u")


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
        bits = 0
        for e in range(epoch, self.epoch.value + 1):
            bits |= self.history[name][e]
        return bits


class Ask:
    """One row for one model, in the forms of both protocols."""

    def __init__(self, model, image):
        x = versions.numbers(f"image {image}", versions.WIDTH, 1)
        self.model, self.base = model, versions.answer(x)
        self.most = max(map(abs, self.base))
        raw = struct.pack(f"<{versions.WIDTH}f", *x)
        head = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, versions.WIDTH], "parameters": {"binary_data_size": len(raw)}}],
                           "parameters": {"binary_data_output": True}}).encode()
        self.http1 = (b"POST /v2/models/%s/infer HTTP/1.1\r\nHost: soak\r\nInference-Header-Content-Length: %d\r\nContent-Length: %d\r\n\r\n"
                      % (model.encode(), len(head), len(head) + len(raw))) + head + raw
        message = field(1, model.encode()) + field(5, field(1, b"x") + field(2, b"FP32") + field(3, bytes([1, versions.WIDTH]))) + field(7, raw)
        block = (POST + HTTP + literal(PATH, "/inference.GRPCInferenceService/ModelInfer") + literal(AUTHORITY, "soak") +
                 literal(TYPE, "application/grpc") + literal("te", "trailers"))
        self.grpc = request_frames(block, struct.pack(">BI", 0, len(message)) + message)


class Judge:
    """Holds answers against what is due. Most are known: the same bytes were judged before."""

    def __init__(self, world):
        self.world, self.known, self.variants = world, {}, collections.Counter()

    def answered(self, asked, body, parse):
        ask, epoch = asked
        found = self.known.get(body)
        if not found or found[0] is not ask:
            found = self.known[body] = ask, self.version_of(ask, body, parse)
            if len(self.known) > SEEN_MAX:
                self.known.clear()
        if not self.world.since(ask.model, epoch) & found[1]:
            raise Wrong(f"model {ask.model}: expected an answer of a version that was current, got {body!r}")

    def version_of(self, ask, body, parse):
        name, version, raw = parse(body)
        if name != ask.model or len(raw) != 4 * versions.OUT:
            raise Wrong(f"expected {versions.OUT} numbers of {ask.model}, got {body!r}")
        got = struct.unpack(f"<{versions.OUT}f", raw)
        if any(abs(g - version * b) > TOLERANCE * version * ask.most for g, b in zip(got, ask.base)):
            raise Wrong(f"model {ask.model}: expected {version} times {ask.base}, got {got}")
        return bit(version)

    def refused(self, asked, body):
        if not self.world.since(asked[0].model, asked[1]) & GONE:
            raise Wrong(f"model {asked[0].model}: expected an answer, got {body!r}")


# ---- the protocols -----------------------------------------------------------------------------------------------

def parse_rest(body):
    stop = max(0, len(body) - 4 * versions.OUT)
    head = json.loads(body[:stop])
    return head["model_name"], int(head["model_version"]), body[stop:]


def fields(message):
    """(number, bytes) of a message whose fields are all bytes."""
    at = 0
    while at < len(message):
        key, at = message[at], at + 1
        length = shift = 0
        while True:
            byte, at = message[at], at + 1
            length |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        yield key >> 3, message[at:at + length]
        at += length


def parse_grpc(body):
    found = dict(fields(body[5:]))
    return found[1].decode(), int(found[2]), found[6]


class RestTalk(Http1Talk):
    """What is due: (Ask, the epoch when it was sent)."""

    def __init__(self, link, judge):
        super().__init__(link)
        self.judge, self.turned_away = judge, 0

    def bytes_of(self, asks, r=None):
        self.fresh = not self.due
        self.due.extend(asks)
        self.sent += len(asks)
        return b"".join([a[0].http1 for a in asks])

    def take(self, data):
        self.fresh = False
        data, at, due = self.rest + data, 0, self.due
        while due:
            end = data.find(b"\r\n\r\n", at)
            if end < 0:
                break
            length = data.find(b"\r\nContent-Length: ", at, end + 2)
            if length < 0:
                raise Wrong(f"expected Content-Length, got {data[at:end]!r}")
            stop = end + 4 + int(data[length + 18:data.index(b"\r", length + 18)])
            if len(data) < stop:
                break
            body = data[end + 4:stop]
            if data.startswith(b"HTTP/1.1 200 ", at):
                self.judge.answered(due[0], body, parse_rest)
            elif data.startswith(b"HTTP/1.1 404 ", at):
                self.judge.refused(due[0], body)
                self.turned_away += 1
            else:
                raise Wrong(f"expected 200, got {data[at:stop]!r}")
            if data.find(b"\r\nConnection: close", at, end + 2) >= 0:
                self.closing = self.leaving = True
            due.popleft()
            self.answered += 1
            at = stop
        self.rest = data[at:]
        if self.rest and not due:
            raise Wrong(f"expected no more, got {self.rest[:200]!r}")


class StreamTalk(GrpcTalk):
    def __init__(self, link, judge):
        super().__init__(link)
        self.judge, self.turned_away = judge, 0

    def form(self, asked):
        return asked[0].grpc

    def check(self, asked, head, body, last):
        if last == HEADERS and body:
            self.judge.answered(asked, body, parse_grpc)
        elif last == HEADERS and GRPC_STATUS + b"5" in head:
            self.judge.refused(asked, head)
            self.turned_away += 1
        else:
            raise Wrong(f"expected an answer and trailers, got {head!r} and {body!r}")


# ---- one client process ------------------------------------------------------------------------------------------

class Client:
    def __init__(self, address, world, quota, seed, connections, progress):
        self.address, self.world, self.quota, self.progress = address, world, quota, progress
        self.r, self.judge = random.Random(seed), Judge(world)
        self.asks = [Ask("m", i) for i in range(IMAGES)] * M_SHARE + [Ask("u", i) for i in range(IMAGES)]
        self.again, self.sent, self.reported, self.tally = [], 0, 0, collections.Counter()
        self.talks = [self.open(k) for k in range(connections)]

    def open(self, k):
        talk = (RestTalk, StreamTalk)[k % 2](Link(self.address), self.judge)
        talk.left = self.r.randint(1, BATCHES_MAX)
        return talk

    def batch(self, most):
        count = self.r.randint(1, most)
        asks, self.again = self.again[:count], self.again[count:]
        if not asks:
            asks = self.r.choices(self.asks, k=count)
        self.sent += len(asks)
        epoch = self.world.epoch.value
        return [(a, epoch) for a in asks]

    def close(self, k):
        talk = self.talks[k]
        talk.finish()
        talk.vanish()
        self.again += [asked[0] for asked in talk.refused]
        self.tally.update({"sent": talk.sent, f"sent, {talk.name}": talk.sent, "answered": talk.answered, "refused": len(talk.refused),
                           "connections": 1, "idle": talk.idle, "told that the model is not there": talk.turned_away})
        if talk.lost or talk.wrong:
            raise ValueError(f"{talk.name}: {talk.lost} of {talk.sent} requests lost, {talk.answered} answered; {talk.wrong}")

    def run(self):
        while self.sent < self.quota or self.again:
            for k, talk in enumerate(self.talks):
                if talk.leaving or talk.left == 0:
                    self.close(k)
                    talk = self.talks[k] = self.open(k)
                talk.left -= 1
                talk.send(self.batch(talk.batch_max))
            for talk in self.talks:
                talk.finish(talk.batch_max // 4)
            with self.progress.get_lock():
                self.progress.value += self.sent - self.reported
            self.reported = self.sent
        for k in range(len(self.talks)):
            self.close(k)
        if self.again:                  # refused behind the last batch
            self.quota, self.talks = 0, [self.open(k) for k in range(len(self.talks))]
            return self.run()
        return self.tally


def client(*args):
    return Client(*args).run()


def victim(*args):
    """Asks until it is killed; whatever else ends it is none of its business."""
    try:
        client(*args)
    except (OSError, ValueError):
        pass


# ---- who exchanges versions and servers ------------------------------------------------------------------------------

class Soak:
    def __init__(self, a):
        self.a, self.r, self.world, self.tally = a, random.Random(a.seed), World(), collections.Counter()
        self.folder = tempfile.TemporaryDirectory()
        self.models = pathlib.Path(self.folder.name) / "models"
        self.version, self.runs = 1, {name: [0, 0] for name in MODELS}      # rows and runs
        for name in MODELS:
            versions.publish(self.models / name, 1)
            self.world.say(name, bit(1))
        (self.models / "u" / "config.pbtxt").write_text(U_CONFIG)
        self.server = self.start("0")

    def start(self, port):
        return Server(self.a.proa, "--port", port, "--handover", f"{self.folder.name}/door", "--inline-us", "0", "--log-level", "error",
                      models=("--model-repository", str(self.models), "--model-control", "explicit"))

    def call(self, path, expected=200, method="POST"):
        c = http.client.HTTPConnection(*self.server.address, timeout=30)
        c.request(method, path)
        r = c.getresponse()
        body = r.read()
        c.close()
        if r.status != expected:
            raise ValueError(f"{path}: expected {expected}, got {r.status} {body!r}")
        return body.decode()

    def count_runs(self, name):
        """Of the versions that are loaded now: their counters go with them."""
        page = self.call("/metrics", method="GET")
        for k, what in enumerate(("sum", "count")):
            self.runs[name][k] += sum(map(float, re.findall(rf'^proa_batch_rows_{what}\{{model_name="{name}",.*\}} (\S+)$', page, re.M)))

    # ---- events, under load

    def activate(self, version, which):
        self.world.say("m", bit(self.version) | bit(self.version - 1))
        self.call(f"/v2/repository/models/m/versions/{which}/activate")
        self.world.say("m", bit(version))

    def swap(self):
        """A new version, back to the one before, and forth."""
        self.count_runs("m")
        self.version += 1
        versions.publish(self.models / "m", self.version)
        self.world.say("m", bit(self.version) | bit(self.version - 1))
        self.call("/v2/repository/models/m/load")
        self.world.say("m", bit(self.version))
        self.activate(self.version - 1, self.version - 1)
        time.sleep(self.r.uniform(0, 0.05))
        self.activate(self.version, "latest")
        shutil.rmtree(self.models / "m" / str(self.version - 1))
        self.tally["swaps and roll-backs"] += 1

    def swap_badly(self):
        """What does not load changes nothing."""
        versions.publish(self.models / "m", self.version + 1, b"no model")
        self.call("/v2/repository/models/m/load", 400)
        shutil.rmtree(self.models / "m" / str(self.version + 1))
        self.tally["versions that did not load"] += 1

    def unload(self):
        self.count_runs("u")
        self.world.say("u", bit(1) | GONE)
        self.call("/v2/repository/models/u/unload")
        time.sleep(self.r.uniform(0, UNLOADED_S))
        self.call("/v2/repository/models/u/load")
        self.world.say("u", bit(1))
        self.tally["unloads"] += 1

    def kill_clients(self):
        progress = multiprocessing.Value("Q")
        killed = [multiprocessing.Process(target=victim, args=(self.server.address, self.world, 10**9, f"victim {k}", 4, progress))
                  for k in range(VICTIMS)]
        for p in killed:
            p.start()
        time.sleep(self.r.uniform(0.05, VICTIM_S_MAX))
        for p in killed:
            p.kill()
            p.join()
        self.tally["clients killed"] += VICTIMS

    def hand_over(self):
        """A new process takes the listeners; the old one answers what it has accepted, also when it is told to end meanwhile."""
        old, self.server = self.server, self.start(str(self.server.address[1]))
        if self.tally["hand-overs"]:
            old.process.send_signal(signal.SIGTERM)
        problems = old.ended("its hand-over")
        if problems:
            raise ValueError("; ".join(problems))
        self.tally["hand-overs"] += 1

    # ---- the whole

    def round_of(self, name, events):
        """One of PARTS, into the tally; the events along its way."""
        progress, total, count = multiprocessing.Value("Q"), self.a.requests // PARTS, self.a.clients
        jobs = [(self.server.address, self.world, total // count, f"{self.a.seed}.{name}.{i}", CONNECTIONS // count, progress) for i in range(count)]
        tally = crowd(client, jobs, progress, [(total * (k + 1) // (len(events) + 1), e) for k, e in enumerate(events)])
        self.tally += tally
        return tally["refused"]

    def plain_round(self, name):
        times = 1 + self.a.requests // PARTS // EVENTS_EVERY
        events = [self.swap, self.unload, self.swap_badly, self.swap, self.unload, self.kill_clients] * times
        self.r.shuffle(events)
        refused = self.round_of(name, events)
        if refused:
            raise ValueError(f"expected no request to be refused, got {refused}")

    def rounds(self, name, first):
        """At rest before, and after each of the half of ROUNDS."""
        self.plain_round(f"{name}, warm")
        growth = Growth(name, self.server)
        for k in range(first, first + ROUNDS // 2):
            self.plain_round(k)
            growth.tell(k, self.tally)
        return growth

    def batches(self):
        """What is wrong with them."""
        problems = []
        for name in MODELS:
            rows, runs = self.runs[name]
            print(f"figures: model {name}: {rows / max(1, runs):.1f} rows a run, as far as was looked")
            if rows <= runs:
                problems.append(f"model {name}: expected rows to share runs, got {rows:.0f} in {runs:.0f}")
        return problems

    def figures(self, wall):
        t = self.tally
        print(f"figures: {t['sent']} requests sent, {wall:.0f} s, {t['sent'] / wall:.0f}/s; " +
              ", ".join(f"{n} {what}" for what, n in sorted(t.items()) if what != "sent"))
        return [] if t["sent"] == t["answered"] + t["refused"] else ["the requests do not add up"]


def soak(a):
    s, began = Soak(a), time.monotonic()
    growths = [s.rounds("first server", 0)]
    refused = s.round_of("hand-overs", [s.hand_over] * HAND_OVERS)
    print(f"{HAND_OVERS} hand-overs: {refused} requests refused, {s.tally['idle']} of them on connections closed while idle; sent again",
          flush=True)
    growths.append(s.rounds("second server", ROUNDS // 2))
    problems = s.figures(time.monotonic() - began) + s.batches()
    problems += [p for g in growths for p in g.judge(not a.no_memory)]
    return problems + s.server.stop()


if __name__ == "__main__":
    run_soak("soak_models.py", soak, arguments(__doc__, 5_000_000))
