#!/usr/bin/env python3
"""soak_mixed.py - millions of REST and gRPC requests, many from clients that vanish, stall and reset: none that was accepted is lost.

    python3 tests/soak/soak_mixed.py [--proa build/proa] [--requests 5000000] [--clients 2] [--seed 1] [--no-memory]

Serves the digits model. Client processes speak REST over HTTP/1 (pipelined), REST over HTTP/2 and gRPC over several connections at
a time. A third of the connections end badly: closed or reset with answers unread, inside a frame, a header or a body, half-closed,
with streams cancelled, after GOAWAY, after a stall in which nothing is read, or with windows shut.

A request is accepted when it was sent whole on a connection that the client did not end. Each must be answered, with the bytes
that are due for its image, or be refused cleanly as talk.py defines it; those are sent again, and all but a draining server's are
errors. After a warm-up the server's RSS, descriptors and threads are noted at rest, then again after each of ROUNDS rounds. The last
lines are the figures of the whole run. Exit status 1 when a request was lost, an answer was wrong, a figure grew, or the server died.
Python's standard library only. --no-memory: RSS is printed and not judged, because a sanitizer's own memory grows with what it has
seen.
"""
import collections, multiprocessing, random, time
from served import ROUNDS, WARM_SHARE, Growth, arguments, crowd, run_soak
from talk import GOAWAY, WINDOW_BYTES, GrpcTalk, Http1Talk, Link, RestTalk, asks, frame, initial_window

BAD_SHARE = 0.33                    # of the connections
REFUSED_SHARE = 0.02                # of the batches: requests that no model takes
TABLE_SHARE = 0.2                   # of HTTP/2: the server may compress headers by a table
ACTIVE, STALLED_MAX = 4, 16         # sessions of one client process at a time
STALL_S_MAX = 1.5
CREST = 10                          # connections of one client process, once
STALLED_RECEIVE_BYTES = 4096        # so that the server's answers find no room
PROBLEMS_SHOWN = 5
PROTOCOLS, SHARES = (Http1Talk, RestTalk, GrpcTalk), (35, 25, 40)


# ---- one client process ------------------------------------------------------------------------------------------

class Client:
    def __init__(self, address, quota, seed, known, progress):
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

    def account(self, talk):
        t = self.tally
        self.again += talk.refused
        with self.progress.get_lock():
            self.progress.value += talk.sent
        t.update({"sent": talk.sent, f"sent, {talk.name}": talk.sent, "answered": talk.answered, "refused": len(talk.refused),
                  "vanished": talk.vanished, "lost": talk.lost, "wrong": len(talk.wrong), "connections": 1})
        if talk.lost:
            talk.wrong.append(f"{talk.name}: {talk.lost} of {talk.sent} requests lost, {talk.answered} answered")
        self.problems += talk.wrong

    def session(self):
        """One connection, from its first byte to its end. Yields for how many seconds it wants to be left alone."""
        r = self.r
        kind = r.choices(PROTOCOLS, SHARES)[0]
        end = r.choice(ENDS[kind]) if r.random() < BAD_SHARE else None
        link = Link(self.address, receive_bytes=STALLED_RECEIVE_BYTES if end is stall else None)
        talk = kind(link, r.random() < TABLE_SHARE) if kind is not Http1Talk else kind(link)
        for _ in range(r.randint(0, 4) if end else r.randint(1, 12)):
            if self.enough() or talk.leaving:
                break
            talk.send(self.batch(talk.batch_max), r)
            yield 0
            talk.finish()
        if end and not talk.leaving:
            self.tally[f"end: {end.__name__}"] += 1
            yield from end(self, talk)
        talk.vanish(reset=end and r.random() < 0.5)
        self.account(talk)

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


def round_of(a, server, known, total, name):
    progress = multiprocessing.Value("Q")
    quota = total // a.clients
    return crowd(client, [(server.address, quota, f"{a.seed}.{name}.{i}", known, progress) for i in range(a.clients)])


def soak(a, server):
    began, known = time.monotonic(), asks(server.address)
    tally = crowd(crest, [(server.address, known)] * a.clients)
    tally += round_of(a, server, known, int(a.requests * WARM_SHARE), "warm")
    growth = Growth("server", server)
    for k in range(ROUNDS):
        tally += round_of(a, server, known, int(a.requests * (1 - WARM_SHARE)) // ROUNDS, k)
        growth.tell(k, tally)
    wall = time.monotonic() - began
    print(f"figures: {tally['sent']} requests sent, {wall:.0f} s, {tally['sent'] / wall:.0f}/s; " +
          ", ".join(f"{n} {what}" for what, n in sorted(tally.items()) if what != "sent"))
    problems = growth.judge(not a.no_memory)
    if tally["refused"]:
        problems.append(f"refused: expected none, got {tally['refused']}")
    if tally["sent"] != sum(tally[x] for x in ("answered", "refused", "vanished", "lost")):
        problems.append("the requests do not add up")
    return problems


if __name__ == "__main__":
    run_soak("soak_mixed.py", soak, arguments(__doc__, 5_000_000))
