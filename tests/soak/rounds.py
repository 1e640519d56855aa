"""rounds.py - a run of rows.py's clients against one server after the other: rounds with events in their course, and growth judged at rest.

Shared by the soaks whose clients are rows.py's. Python's standard library only.
"""
import collections, concurrent.futures, multiprocessing, random
import rows
from served import LOADERS_MAX, Growth, crowd

CONNECTIONS = 32                    # of all client processes together
WARM_ROUNDS = 2                     # of a server, before the first reading: models that come and go scatter its heap, up to a level
CRESTS_MAX, LOADS_AT_A_TIME = 20, 2 # of one model, at most
EVENTS_EVERY = 50000                # requests of a round: all kinds of events once more


class Rounds:
    """`client` = work(address, world, quota, seed, connections, progress) of a client process, which returns a Counter; `world` is what it
    has to know of the models. The run has so many `parts` of equal size. self.server is the one that is asked; it lets clients load
    models, `burst` at once."""

    def __init__(self, a, client, world, parts, burst):
        self.a, self.client, self.world, self.total, self.burst = a, client, world, a.requests // parts, burst
        self.r, self.tally, self.server = random.Random(a.seed), collections.Counter(), None

    def events(self):
        """Of a plain round, each a call."""
        return [self.kill_clients]

    def watch(self):
        """Called some times a second while clients ask."""

    def crest(self):
        """Brings a new server to all the threads that it ever has: the heap of one that comes later would be taken for a leak. What clients
        load waits for no room, so each gets a thread of its own."""
        paths = [f"/v2/repository/models/{name}/load" for name in self.burst] * LOADS_AT_A_TIME
        for _ in range(CRESTS_MAX):
            with concurrent.futures.ThreadPoolExecutor(len(paths)) as pool:
                list(pool.map(self.server.call, paths))
            if self.server.reading().loaders == LOADERS_MAX:
                break

    def settle(self):
        """Before a reading: brings the same models into memory each time."""

    def kill_clients(self):
        self.tally["clients killed"] += rows.kill_some(self.client, self.server.address, self.world, self.r)

    def round_of(self, name, events=(), share=1):
        """One part, or a share of it, into the tally; the events along its way. Returns how many requests were refused."""
        progress, count, total = multiprocessing.Value("Q"), self.a.clients, int(self.total * share)
        jobs = [(self.server.address, self.world, total // count, f"{self.a.seed}.{name}.{i}", CONNECTIONS // count, progress)
                for i in range(count)]
        goals = [(total * (k + 1) // (len(events) + 1), e) for k, e in enumerate(events)]
        tally = crowd(self.client, jobs, progress, goals, self.watch)
        self.tally += tally
        return tally["refused"]

    def plain_round(self, name):
        events = self.events() * (1 + self.total // EVENTS_EVERY)
        self.r.shuffle(events)
        refused = self.round_of(name, events)
        if refused:
            raise ValueError(f"expected no request to be refused, got {refused}")

    def rounds(self, name, first, count):
        """At rest before, and after each."""
        self.crest()
        for k in range(WARM_ROUNDS):
            self.plain_round(f"{name}, warm {k}")
        self.settle()
        growth = Growth(name, self.server)
        for k in range(first, first + count):
            self.plain_round(k)
            self.settle()
            growth.tell(k, self.tally)
        return growth

    def figures(self, wall):
        t = self.tally
        print(f"figures: {t['sent']} requests sent, {wall:.0f} s, {t['sent'] / wall:.0f}/s; " +
              ", ".join(f"{n} {what}" for what, n in sorted(t.items()) if what != "sent"))
        return [] if t["sent"] == t["answered"] + t["refused"] else ["the requests do not add up"]
