#!/usr/bin/env python3
"""soak_clients.py - millions of HTTP/1 requests, many from clients that vanish: memory and descriptors of the server must not grow.

    python3 tests/soak/soak_clients.py [--proa build/proa] [--requests 2000000] [--clients 2] [--seed 1] [--no-memory]

Serves the digits model. Client processes send requests in pipelined batches, one connection after the other as fast as they can; a
third of the connections end badly: closed or reset with answers unread, inside a header, inside a body, inside a chunk, half-closed,
or after nothing at all. The figures and their limits are served.py's. Exit status 1 when they grew, when an answer was wrong or
missing, or when the server died. Python's standard library only. --no-memory: RSS is printed and not judged, because a sanitizer's
own memory grows with what it has seen.
"""
import collections, random
from served import ROUNDS, WARM_SHARE, Growth, Server, arguments, crowd, run_soak
from talk import Http1Talk, Link, asks

BAD_SHARE, REFUSED_SHARE = 0.33, 0.02


def vanish(talk, r, ask):
    """Ends the connection badly."""
    kind = r.randrange(8)
    if kind in (0, 1, 2):                                   # answers unread
        talk.send([ask] * r.randint(1, talk.batch_max), r)
    elif kind in (3, 4, 5):                                 # inside the headers, a body or a chunk, behind whole requests or none
        talk.link.send(talk.bytes_of([ask] * r.choice((0, 2))) + talk.cut(ask, r))
    elif kind == 6:                                         # half-closed, and some answers read
        talk.send([ask] * 3)
        talk.link.half_close()
        talk.take_some()
    talk.vanish(reset=r.random() < 0.5)


def client(address, quota, seed, known):
    """Sends `quota` requests; the Counter of what became of them."""
    r, tally, (good, refused) = random.Random(seed), collections.Counter(), known
    while tally["sent"] < quota:
        talk, ask = Http1Talk(Link(address)), r.choice(good)
        if r.random() < BAD_SHARE:
            vanish(talk, r, ask)
        else:
            for _ in range(r.randint(1, 30)):
                talk.send([refused if r.random() < REFUSED_SHARE else ask] * r.randint(1, talk.batch_max), r)
                talk.finish()
            talk.vanish()
        if talk.wrong or talk.lost:
            raise ValueError(f"{talk.lost} of {talk.sent} requests lost, {talk.answered} answered; {talk.wrong}")
        tally.update(sent=talk.sent, answered=talk.answered, vanished=talk.vanished)
    return tally


def soak(a):
    server = Server(a.proa, "--port", "0")
    known, tally = asks(server.address), collections.Counter()

    def round_of(total, name):
        tally.update(crowd(client, [(server.address, total // a.clients, f"{a.seed}.{name}.{i}", known) for i in range(a.clients)]))
    round_of(int(a.requests * WARM_SHARE), "warm")
    growth = Growth("server", server)
    for k in range(ROUNDS):
        round_of((a.requests - int(a.requests * WARM_SHARE)) // ROUNDS, k)
        growth.tell(k, tally)
    return growth.judge(not a.no_memory) + server.stop()


if __name__ == "__main__":
    run_soak("soak_clients.py", soak, arguments(__doc__, 2_000_000))
