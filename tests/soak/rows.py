"""rows.py - clients that ask models of versions.py for one row a request, over REST (pipelined) and gRPC, and judge what comes by its numbers.

A Client holds all its connections all the time, each replaced by a new one now and then, and sends again what was refused cleanly, as
talk.py defines it. What a request's answer must be is the Judge's to say. Python's standard library only.
"""
import collections, functools, json, multiprocessing, random, struct, time
import versions
from talk import AUTHORITY, GRPC_STATUS, HEADERS, HTTP, PATH, POST, TYPE, GrpcTalk, Http1Talk, Link, Wrong, field, literal, request_frames

TOLERANCE = 1e-5                    # of the answer's largest number: rows that share a run may differ in their last bits
BATCHES_MAX = 300                   # of one connection
SEEN_MAX = 20000                    # answers that were judged and are known by their bytes
VICTIMS, VICTIM_CONNECTIONS, VICTIM_S_MAX = 2, 4, 0.4


# ---- what is asked, and what may be answered ---------------------------------------------------------------------------

@functools.cache
def image_of(number):
    """(a row, what is answered to it once)."""
    x = versions.numbers(f"image {number}", versions.WIDTH, 1)
    return x, versions.answer(x)


class Row:
    """One row for one model, in the forms of both protocols. Version V of the model answers V * times the base."""

    def __init__(self, model, image, times=1):
        x, self.base = image_of(image)
        self.model, self.times, self.most = model, times, max(map(abs, self.base))
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
    """Holds answers against what is due: here, version 1's. Most are known: the same bytes were judged before."""

    def __init__(self):
        self.known = {}

    def now(self):
        """Goes along with every request that is sent."""
        return 0

    def may_answer(self, row, since, version):
        return version == 1

    def may_be_gone(self, row, since):
        """Whether it may be told that there is no such model."""
        return False

    def answered(self, asked, body, parse):
        row, since = asked
        found = self.known.get(body)
        if not found or found[0] is not row:
            if len(self.known) > SEEN_MAX:
                self.known.clear()
            found = self.known[body] = row, version_of(row, body, parse)
        if not self.may_answer(row, since, found[1]):
            raise Wrong(f"model {row.model}: expected an answer of a version that was current, got {body!r}")

    def refused(self, asked, answer):
        if not self.may_be_gone(*asked):
            raise Wrong(f"model {asked[0].model}: expected an answer, got {answer!r}")


def version_of(row, body, parse):
    """Which version answered; its numbers are right."""
    name, version, raw = parse(body)
    if name != row.model or len(raw) != 4 * versions.OUT:
        raise Wrong(f"expected {versions.OUT} numbers of {row.model}, got {body!r}")
    got, times = struct.unpack(f"<{versions.OUT}f", raw), version * row.times
    if any(abs(g - times * b) > TOLERANCE * times * row.most for g, b in zip(got, row.base)):
        raise Wrong(f"model {row.model}: expected {times} times {row.base}, got {got}")
    return version


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


class RestRows(Http1Talk):
    """What is due: (Row, what the Judge said of the moment)."""

    def __init__(self, link, judge):
        super().__init__(link)
        self.judge, self.turned_away = judge, 0

    def form(self, asked):
        return asked[0].http1

    def length(self, asked, head):
        at = head.find(b"\r\nContent-Length: ")
        if at < 0:
            raise Wrong(f"expected Content-Length, got {head!r}")
        return int(head[at + 18:head.index(b"\r", at + 18)])

    def check(self, asked, head, body):
        if head.startswith(b"HTTP/1.1 200 "):
            self.judge.answered(asked, body, parse_rest)
        elif head.startswith(b"HTTP/1.1 404 "):
            self.judge.refused(asked, body)
            self.turned_away += 1
        else:
            raise Wrong(f"model {asked[0].model}: expected 200, got {head + body!r}")


class GrpcRows(GrpcTalk):
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
            raise Wrong(f"model {asked[0].model}: expected an answer and trailers, got {head!r} and {body!r}")


# ---- one client process ------------------------------------------------------------------------------------------

class Client:
    """choose(random, count) = Rows. `quota` is of requests; `most` bounds a batch, where the protocol's own bound is not lower."""

    def __init__(self, address, judge, choose, quota, seed, connections, progress, most=1000):
        self.address, self.judge, self.choose, self.quota, self.progress = address, judge, choose, quota, progress
        self.most = most
        self.r, self.again, self.sent, self.reported, self.tally = random.Random(seed), [], 0, 0, collections.Counter()
        self.talks = [self.open(k) for k in range(connections)]

    def open(self, k):
        talk = (RestRows, GrpcRows)[k % 2](Link(self.address), self.judge)
        talk.left, talk.batch_max = self.r.randint(1, BATCHES_MAX), min(self.most, talk.batch_max)
        return talk

    def batch(self, most):
        count = self.r.randint(1, most)
        rows, self.again = self.again[:count], self.again[count:]
        if not rows:
            rows = self.choose(self.r, count)
        self.sent += len(rows)
        now = self.judge.now()
        return [(row, now) for row in rows]

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


def victim(work, job):
    """Asks until it is killed; whatever else ends it is none of its business."""
    try:
        work(*job)
    except (OSError, ValueError):
        pass


def kill_some(work, address, world, r):
    """Client processes, killed in the middle of their requests; how many. `work` as in rounds.py."""
    progress = multiprocessing.Value("Q")
    killed = [multiprocessing.Process(target=victim, args=(work, (address, world, 10**9, f"victim {k}", VICTIM_CONNECTIONS, progress)))
              for k in range(VICTIMS)]
    for p in killed:
        p.start()
    time.sleep(r.uniform(0.05, VICTIM_S_MAX))
    for p in killed:
        p.kill()
        p.join()
    return VICTIMS
