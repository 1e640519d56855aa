#!/usr/bin/env python3
"""soak_mixed.py - millions of REST and gRPC requests, many from clients that vanish, stall and reset: none that was accepted is lost.

    python3 tests/soak/soak_mixed.py [--proa build/proa] [--requests 5000000] [--clients 2] [--seed 1] [--no-memory]

Serves the digits model. Client processes speak REST over HTTP/1 (pipelined), REST over HTTP/2 and gRPC, in the clear and under TLS
1.2 and 1.3 (new and resumed), over several connections at a time. A third of the connections end badly: closed or reset with answers
unread, inside a frame, a header or a body, half-closed, with streams cancelled, after GOAWAY, after a stall in which nothing is read,
with windows shut; handshakes are torn, records are garbage. In the middle of every round the server reads a new certificate (SIGHUP),
which is looked for in a handshake. Between the halves of the run HAND_OVERS new processes take the listeners under load, one from the
other, and the old one must end by itself.

A request is accepted when it was sent whole on a connection that the client did not end. Each must be answered, with the bytes
that are due for its image, or be refused cleanly as talk.py defines it; only a server that hands over may do the latter, and those are
sent again. No connection may be refused, nor any handshake fail. After a warm-up round the server's RSS, descriptors and threads are
noted at rest, then again after each of ROUNDS rounds; the last server has its own warm-up. The last lines are the figures of the whole
run. Exit status 1 when a request was lost, an answer was wrong, a figure grew, or a server did not end with status 0. Needs the openssl
command, else Python's standard library only. --no-memory: RSS is printed and not judged, because a sanitizer's own memory grows with
what it has seen.
"""
import collections, multiprocessing, pathlib, random, signal, ssl, time
from certificates import Certificates, Trust
from served import ROUNDS, Growth, Server, arguments, crowd, run_soak
from talk import GOAWAY, WINDOW_BYTES, GrpcTalk, Http1Talk, Link, RestTalk, asks, frame, initial_window

BAD_SHARE, TLS_SHARE = 0.33, 0.4    # of the connections
RESUMED_SHARE, TORN_SHARE, GARBLED_SHARE = 0.5, 0.05, 0.05      # of those under TLS
REFUSED_SHARE = 0.02                # of the batches: requests that no model takes
TABLE_SHARE = 0.2                   # of HTTP/2: the server may compress headers by a table
ACTIVE, STALLED_MAX = 4, 16         # sessions of one client process at a time
STALL_S_MAX = 1.5
CREST = 10                          # connections of one client process, once
HAND_OVERS = 3
STALLED_RECEIVE_BYTES = 4096        # so that the server's answers find no room
PROBLEMS_SHOWN = 5
PARTS = ROUNDS + 3                  # of the requests: a warm-up of each server, the rounds, the hand-over between them
PROTOCOLS, SHARES = (Http1Talk, RestTalk, GrpcTalk), (35, 25, 40)


# ---- one client process ------------------------------------------------------------------------------------------

class Client:
    def __init__(self, address, ca, quota, seed, known, progress):
        self.trusts = [Trust(ca), Trust(ca, ssl.TLSVersion.TLSv1_2)]
        self.address, self.quota, self.known, self.progress = address, quota, known, progress
        self.r, self.sent, self.again = random.Random(seed), 0, []
        self.tally, self.problems = collections.Counter(), []

    def batch(self, most):
        good, refused = self.known
        if self.again:
            n = min(len(self.again), most)
            out, self.again = self.again[:n], self.again[n:]
        elif self.r.random() < REFUSED_SHARE:
            out = [refused] * self.r.randint(1, 5)
        else:
            out = self.r.choices(good, k=self.r.randint(1, most))
        self.sent += len(out)
        return out

    def enough(self):
        return self.sent >= self.quota and not self.again

    def account(self, talk, what):
        t = self.tally
        self.again += talk.refused
        with self.progress.get_lock():
            self.progress.value += talk.sent
        t.update({"sent": talk.sent, f"sent, {talk.name}": talk.sent, "answered": talk.answered, "refused": len(talk.refused),
                  "vanished": talk.vanished, "connections": 1, "idle": talk.idle})
        if talk.lost:
            talk.wrong.append(f"{talk.lost} of {talk.sent} requests lost, {talk.answered} answered")
        self.problems += [f"{what}: {w}" for w in talk.wrong]

    def session(self):
        """One connection, from its first byte to its end. Yields for how many seconds it wants to be left alone."""
        r = self.r
        kind = r.choices(PROTOCOLS, SHARES)[0]
        end = r.choice(ENDS[kind]) if r.random() < BAD_SHARE else None
        trust = r.choice(self.trusts) if r.random() < TLS_SHARE else None
        if trust and r.random() < TORN_SHARE:
            yield from self.tear(trust.hello())
            return
        resumes = r.random() < RESUMED_SHARE
        link = Link(self.address, trust and (lambda s: trust.wrap(s, kind.alpn, resumes)), STALLED_RECEIVE_BYTES if end is stall else None)
        talk = kind(link, r.random() < TABLE_SHARE) if kind is not Http1Talk else kind(link)
        if trust:
            self.tally.update({link.s.version(): 1, "TLS resumed": link.s.session_reused})
        left = r.choice((0, talk.batch_max // 2))           # the next batch is sent before all of the last is answered, or not
        what = f"{talk.name} under {link.s.version() if trust else 'nothing'}, {end.__name__ if end else 'orderly'}"
        for _ in range(r.randint(0, 4) if end else r.randint(1, 12)):
            if self.enough() or talk.leaving:
                break
            talk.send(self.batch(talk.batch_max), r)
            yield 0
            talk.finish(left)
        talk.finish()
        if end and not talk.leaving:
            self.tally[f"end: {end.__name__}"] += 1
            yield from end(self, talk)
        if trust and r.random() < GARBLED_SHARE:
            link.send_raw(r.randbytes(r.randint(1, 100)))
        if trust:
            trust.keep(link.s, kind.alpn)
        talk.vanish(reset=end and r.random() < 0.5)
        self.account(talk, what)

    def tear(self, hello):
        """A handshake that ends before it does."""
        link = Link(self.address)
        link.send(hello[:self.r.randint(1, len(hello))])
        yield self.r.choice((0, self.r.uniform(0, STALL_S_MAX)))
        link.close(self.r.random() < 0.5)
        self.tally["TLS torn"] += 1

    def run(self):
        sessions, stalled = collections.deque(), []         # the latter: (when to go on, which)
        while sessions or stalled or not self.enough():
            now = time.monotonic()
            sessions.extend(s for due, s in stalled if due <= now)
            stalled = [x for x in stalled if x[0] > now]
            while len(sessions) < ACTIVE and len(stalled) < STALLED_MAX and not self.enough():
                sessions.append(self.session())
            if not sessions:
                time.sleep(max(0, min(x[0] for x in stalled) - now))
                continue
            s = sessions.popleft()
            wait = next(s, None)
            if wait:
                stalled.append((time.monotonic() + wait, s))
            elif wait is not None:
                sessions.append(s)
            if len(self.problems) >= PROBLEMS_SHOWN:
                raise ValueError("; ".join(self.problems))
        if self.problems:
            raise ValueError("; ".join(self.problems))
        return self.tally


def client(*args):
    return Client(*args).run()


# ---- how connections end badly; the talk is given up behind each ---------------------------------------------------

def unread(c, talk):
    talk.send(c.batch(talk.batch_max))
    yield 0


def at_once(c, talk):
    talk.send(c.batch(talk.batch_max))
    return
    yield


def inside(c, talk):
    """In a header, a body, a chunk, a frame; behind whole requests."""
    whole = c.batch(3)
    talk.link.send(talk.bytes_of(whole) + talk.cut(whole[0], c.r))
    talk.link.mute = True
    yield 0
    if c.r.random() < 0.5:
        talk.finish()


def silent(c, talk):
    yield c.r.uniform(0, STALL_S_MAX)


def half_closed(c, talk):
    talk.send(c.batch(talk.batch_max))
    talk.link.half_close()
    yield 0
    talk.finish()
    talk.wait_for_end()


def stall(c, talk):
    talk.send(c.batch(talk.batch_max))
    yield c.r.uniform(0.1, STALL_S_MAX)
    if c.r.random() < 0.7:
        talk.finish()


def cancelled(c, talk):
    talk.send(c.batch(talk.batch_max))
    if c.r.random() < 0.5:
        yield 0
    open_streams = list(talk.due)
    talk.cancel(c.r.sample(open_streams, (len(open_streams) + 3) // 4))
    yield 0
    talk.finish()


def starved(c, talk):
    """No answer's body has room, for a while."""
    talk.link.send(initial_window(0))
    talk.send(c.batch(talk.batch_max))
    yield c.r.uniform(0.1, STALL_S_MAX)
    if c.r.random() < 0.7:
        talk.link.send(initial_window(WINDOW_BYTES))
        talk.finish()


def goodbye(c, talk):
    """GOAWAY: what was asked before is answered, then the server closes."""
    talk.link.send(talk.bytes_of(c.batch(talk.batch_max)) + frame(GOAWAY, 0, 0, bytes(8)))
    yield 0
    talk.finish()
    talk.wait_for_end()


COMMON = [unread, at_once, inside, silent, half_closed, stall]
ENDS = {Http1Talk: COMMON, RestTalk: COMMON + [cancelled, starved, goodbye], GrpcTalk: COMMON + [cancelled, starved, goodbye]}


# ---- the whole ----------------------------------------------------------------------------------------------------

def crest(address, known):
    """As many streams at a time as hardly any later moment has, all with answers that wait: the server's pools are as full as they get
    behind this. Not many more: what it leaves free a leak would have to fill before it shows."""
    talks = []
    for i in range(CREST):
        talk = (Http1Talk, RestTalk, GrpcTalk)[i % 3](Link(address, receive_bytes=STALLED_RECEIVE_BYTES))
        if i % 3:
            talk.link.send(initial_window(0))
        talk.send(known[0][:1] * talk.batch_max)
        talks.append(talk)
    time.sleep(STALL_S_MAX)
    for talk in talks:
        if not isinstance(talk, Http1Talk):
            talk.link.send(initial_window(WINDOW_BYTES))
        talk.finish()
        talk.link.close()
        if talk.wrong or talk.lost:
            raise ValueError(f"{talk.name}: {talk.lost} lost, {talk.wrong}")
    return collections.Counter(sent=sum(t.sent for t in talks), answered=sum(t.answered for t in talks))


class Soak:
    def __init__(self, a):
        self.a, self.certificates, self.tally, self.reloads = a, Certificates(), collections.Counter(), 0
        self.server = self.start("0")
        self.known = asks(self.server.address)

    def start(self, port):
        door = pathlib.Path(self.certificates.folder.name) / "door"
        return Server(self.a.proa, "--port", port, "--handover", door, *self.certificates.flags())

    def round_of(self, name, event, times=1):
        """One of PARTS, into the tally. `event` is called in the middle of it, or so often along its way."""
        progress, total = multiprocessing.Value("Q"), self.a.requests // PARTS
        jobs = [(self.server.address, self.certificates.ca, total // self.a.clients, f"{self.a.seed}.{name}.{i}", self.known, progress)
                for i in range(self.a.clients)]
        tally = crowd(client, jobs, progress, [(total * (k + 1) // (times + 1), event) for k in range(times)])
        self.tally += tally
        return tally["refused"]

    def plain_round(self, name):
        """A new certificate in the middle; only a server that is leaving may refuse a request."""
        refused = self.round_of(name, self.reload)
        if refused:
            raise ValueError(f"expected no request to be refused, got {refused}")

    def reload(self):
        self.certificates.renew()
        self.server.process.send_signal(signal.SIGHUP)
        self.certificates.await_renewed(self.server.address)
        self.reloads += 1

    def hand_over(self):
        """A new process takes the listeners; the old one answers what it has accepted, and ends by itself."""
        old, self.server = self.server, self.start(str(self.server.address[1]))
        problems = old.ended("its hand-over")
        if problems:
            raise ValueError("; ".join(problems))

    def crest(self):
        self.tally += crowd(crest, [(self.server.address, self.known)] * self.a.clients)

    def rounds(self, name, first):
        """At rest before, and after each of the half of ROUNDS."""
        self.crest()
        growth = Growth(name, self.server)
        for k in range(first, first + ROUNDS // 2):
            self.plain_round(k)
            growth.tell(k, self.tally)
        return growth

    def figures(self, wall):
        t = self.tally
        print(f"figures: {t['sent']} requests sent, {wall:.0f} s, {t['sent'] / wall:.0f}/s; {self.reloads} certificates; " +
              ", ".join(f"{n} {what}" for what, n in sorted(t.items()) if what != "sent"))
        return [] if t["sent"] == sum(t[x] for x in ("answered", "refused", "vanished")) else ["the requests do not add up"]


def soak(a):
    s, began = Soak(a), time.monotonic()
    s.plain_round("warm")
    growths = [s.rounds("first server", 0)]
    refused = s.round_of("hand-overs", s.hand_over, HAND_OVERS)
    print(f"{HAND_OVERS} hand-overs: {refused} requests refused, {s.tally['idle']} of them on connections closed while idle; sent again",
          flush=True)
    s.plain_round("warm again")
    growths.append(s.rounds("second server", ROUNDS // 2))
    problems = s.figures(time.monotonic() - began)
    problems += [p for g in growths for p in g.judge(not a.no_memory)]
    return problems + s.server.stop()


if __name__ == "__main__":
    run_soak("soak_mixed.py", soak, arguments(__doc__, 5_000_000))
