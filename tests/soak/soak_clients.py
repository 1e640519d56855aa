#!/usr/bin/env python3
"""soak_clients.py - millions of requests, many from clients that vanish: memory and descriptors of the server must not grow.

    python3 tests/soak/soak_clients.py [--proa build/proa] [--requests 2000000] [--clients 2] [--seed 1] [--no-memory]

Serves the digits model. Client processes send requests in pipelined batches; a third of the connections end badly: closed or
reset with answers unread, inside a header, inside a body, inside a chunk, half-closed, or after nothing at all. After a warm-up
the server's RSS and descriptors are noted at rest, then again after each of ROUNDS rounds. The last lines are the figures of the
whole run. Exit status 1 when they grew, when an answer was wrong, or when the server died. Python's standard library only.
--no-memory: RSS is printed and not judged, because a sanitizer's own memory grows with what it has seen.
"""
import argparse, json, multiprocessing, os, pathlib, random, select, signal, socket, struct, subprocess, sys, time

ROUNDS = 10
WARM_SHARE = 0.1                    # of the requests, before the first reading
BATCH = 40                          # pipelined requests
RSS_GROWTH_MAX_KB = 1024            # from warm-up to the end; a leak of one byte per request would be 2 MB
RSS_TREND_MAX_KB = 512              # over the last half: a leak of one byte per request would be 900 kB there
START_S_MAX, REST_S_MAX, IO_S_MAX = 20, 15, 20
EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples" / "digits"


# ---- one client process ------------------------------------------------------------------------------------------

def requests():
    """(whole JSON request, the same in chunks, a refused one): bytes."""
    image = json.loads((EXAMPLES / "heldout.json").read_text())[0]["image"]
    flat = [v for row in image for v in row]
    body = json.dumps({"inputs": [{"name": "image", "datatype": "FP32", "shape": [1, 1, 8, 8], "data": flat}]}).encode()
    head = b"POST /v2/models/digits/infer HTTP/1.1\r\nHost: soak\r\n"
    whole = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    chunked = head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n"
    refused = whole.replace(b"FP32", b"FP64")
    return whole, chunked, refused


def receive(s, n):
    """Exactly n bytes."""
    parts = []
    while n:
        try:
            part = s.recv(min(n, 1 << 18))
        except TimeoutError:
            part = b""
        if not part:
            got = b"".join(parts)
            lines = sorted({line.decode() for line in got.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")})
            raise ConnectionError(f"the server closed or fell silent: {len(got)} bytes came, {n} were missing; answers: {lines}, "
                                  f"the last: {got[-200:]!r}")
        parts.append(part)
        n -= len(part)
    return b"".join(parts)


def answer_bytes(address, request):
    """Length and first line of the one answer to a request; answers to the same request have the same length."""
    with socket.create_connection(address, IO_S_MAX) as s:
        s.sendall(request.replace(b"Host: soak\r\n", b"Host: soak\r\nConnection: keep-alive\r\n"))
        got = b""
        while b"\r\n\r\n" not in got:
            part = s.recv(65536)
            if not part:
                raise ConnectionError("the server closed without an answer")
            got += part
        end = got.index(b"\r\n\r\n") + 4
        length = next(int(x[15:]) for x in got[:end].lower().split(b"\r\n") if x.startswith(b"content-length:"))
        receive(s, end + length - len(got))
        return end + length, got.split(b"\r\n")[0]


def vanish(address, r, whole, chunked):
    """One connection that ends badly. Returns how many whole requests it sent."""
    s = socket.create_connection(address, IO_S_MAX)
    kind, sent = r.randrange(8), 0
    try:
        if kind in (0, 1, 2):                               # answers unread
            sent = r.randint(1, BATCH)
            s.sendall(whole * sent)
        elif kind == 3:
            s.sendall(whole[:r.randrange(1, 60)])           # inside the headers
        elif kind == 4:
            s.sendall(whole * 2 + whole[:-r.randrange(1, 100)])
            sent = 2
        elif kind == 5:
            s.sendall(chunked[:r.randrange(80, len(chunked) - 1)])
        elif kind == 6:                                     # half-closed, and some answers read
            sent = 3
            s.sendall(whole * sent)
            s.shutdown(socket.SHUT_WR)
            s.recv(100)
        if r.random() < 0.5:                                # a reset instead of an orderly end
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    except (BrokenPipeError, ConnectionResetError):
        pass
    finally:
        s.close()
    return sent


def client(address, quota, seed, pipe):
    """Sends `quota` requests; tells (sent, answered) or an error text."""
    r, sent, answered, doing = random.Random(seed), 0, 0, "the first answers"
    whole, chunked, refused = requests()
    sizes = {q: answer_bytes(address, q) for q in (whole, chunked, refused)}
    try:
        while sent < quota:
            if r.random() < 0.33:
                sent += vanish(address, r, whole, chunked)
                continue
            with socket.create_connection(address, IO_S_MAX) as s:
                for _ in range(r.randint(1, 30)):
                    request = r.choices((whole, chunked, refused), (90, 8, 2))[0]
                    n = r.randint(1, BATCH)
                    s.sendall(request * n)
                    size, first = sizes[request]
                    doing = f"{n} answers of {size} bytes to {request[:90]!r}"
                    got = receive(s, size * n)
                    if got.count(first) != n:
                        raise ValueError(f"expected {n} answers '{first.decode()}', got {got.count(first)}")
                    sent, answered = sent + n, answered + n
        pipe.send((sent, answered))
    except (OSError, ValueError) as e:
        pipe.send(f"{type(e).__name__}: {e}; waiting for {doing}")


# ---- the server --------------------------------------------------------------------------------------------------

def reading(pid):
    """(RSS in kB, descriptors)."""
    rss = next(int(line.split()[1]) for line in open(f"/proc/{pid}/status") if line.startswith("VmRSS"))
    return rss, len(os.listdir(f"/proc/{pid}/fd"))


def at_rest(pid):
    """The reading once it has stopped moving."""
    before, until = reading(pid), time.monotonic() + REST_S_MAX
    while time.monotonic() < until:
        time.sleep(0.5)
        now = reading(pid)
        if now == before:
            return now
        before = now
    return before


def round_of(address, clients, total, seed):
    """All clients at once. Returns (sent, answered)."""
    ends = []
    for i in range(clients):
        ours, theirs = multiprocessing.Pipe(False)
        p = multiprocessing.Process(target=client, args=(address, total // clients, f"{seed}.{i}", theirs))
        p.start()
        ends.append((p, ours))
    results = []
    for p, ours in ends:
        while p.is_alive() and not ours.poll(0.2):
            pass
        results.append(ours.recv() if ours.poll(1) else "a client process died")
        p.join()
    wrong = [x for x in results if isinstance(x, str)]
    if wrong:
        raise ValueError(wrong[0])
    return tuple(map(sum, zip(*results)))


def soak(a, server, address):
    began, (warm, _) = time.monotonic(), round_of(address, a.clients, int(a.requests * WARM_SHARE), f"{a.seed}.warm")
    rss, fds = at_rest(server.pid)
    print(f"warm: {warm} requests, RSS {rss} kB, {fds} descriptors", flush=True)
    sent, answered, grown = warm, 0, []     # answered: those of the rounds; vanished clients wait for none
    for k in range(ROUNDS):
        s, n = round_of(address, a.clients, (a.requests - warm) // ROUNDS, f"{a.seed}.{k}")
        sent, answered = sent + s, answered + n
        now_rss, now_fds = at_rest(server.pid)
        grown.append((now_rss - rss, now_fds - fds))
        print(f"[{'#' * (k + 1)}{'.' * (ROUNDS - k - 1)}] {sent} sent, {answered} answered, RSS {now_rss - rss:+} kB, "
              f"descriptors {now_fds - fds:+}, {sent / (time.monotonic() - began):.0f}/s", flush=True)
    wall, half = time.monotonic() - began, ROUNDS // 2
    print(f"figures: {sent} requests sent, {wall:.0f} s, {sent / wall:.0f}/s; RSS {rss} kB after {warm} requests, then "
          f"{rss + grown[-1][0]} kB; {fds} descriptors, then {fds + grown[-1][1]}")
    print(f"figures: RSS growth by round, kB: {' '.join(f'{k[0]:+}' for k in grown)} (limit {RSS_GROWTH_MAX_KB}); "
          f"over the last half {grown[-1][0] - grown[half - 1][0]:+} (limit {RSS_TREND_MAX_KB})")
    print(f"figures: descriptor growth by round: {' '.join(f'{k[1]:+}' for k in grown)} (limit 0)", flush=True)
    problems = []
    if grown[-1][0] > RSS_GROWTH_MAX_KB and not a.no_memory:
        problems.append(f"RSS: expected growth of at most {RSS_GROWTH_MAX_KB} kB, got {grown[-1][0]} kB")
    trend = grown[-1][0] - grown[half - 1][0]
    if trend > RSS_TREND_MAX_KB and not a.no_memory:
        problems.append(f"RSS: expected growth of at most {RSS_TREND_MAX_KB} kB over the last half, got {trend} kB")
    if grown[-1][1] > 0:
        problems.append(f"descriptors: expected no growth, got {grown[-1][1]}")
    return problems


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--proa", default=os.environ.get("PROA", "build/proa"))
    ap.add_argument("--requests", type=int, default=2_000_000)
    ap.add_argument("--clients", type=int, default=2)
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--no-memory", action="store_true", help="do not judge RSS")
    a = ap.parse_args()
    server = subprocess.Popen([a.proa, "serve", f"digits={EXAMPLES / 'digits.onnx'}", "--port", "0"], stdout=subprocess.PIPE, text=True,
                              start_new_session=True)
    try:
        ready = select.select([server.stdout], [], [], START_S_MAX)[0]
        line = server.stdout.readline() if ready else ""
        if not line.startswith("listening on http://"):
            sys.exit(f"soak_clients.py: first line: expected 'listening on http://ADDR:PORT', got '{line.strip()}'")
        host, port = line.split("http://")[1].strip().rsplit(":", 1)
        try:
            problems = soak(a, server, (host, int(port)))
        except (ValueError, FileNotFoundError) as e:        # the second: /proc of a server that is gone
            problems = [str(e)]
        if server.poll() is not None:
            problems.append(f"the server died with status {server.returncode}")
        server.send_signal(signal.SIGTERM)
        status = server.wait(START_S_MAX)
        if status != 0:
            problems.append(f"exit status after SIGTERM: expected 0, got {status}")
    finally:
        if server.poll() is None:
            server.kill()
    for p in problems:
        print(f"soak_clients.py: {p}", file=sys.stderr)
    print("soak: failed" if problems else "soak: ok")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
