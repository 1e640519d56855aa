#!/usr/bin/env python3
"""soak_jobs.py - SIGKILL at random moments while jobs are accepted and run: every job that was accepted ends with its answer.

    python3 tests/soak/soak_jobs.py [--proa build/proa] [--kills 200] [--clients 4] [--seed 1]

Serves the digits model with --jobs-dir in a folder of its own. Threads ask for jobs as fast as they are accepted; the server is killed
within 0.2 s of each start, and started anew on the same folder. Behind the last start each accepted job has to end, with the bytes that
the same question gets at once. Exit status 1 when one is missing or wrong. Python's standard library only.
"""
import argparse, http.client, json, os, random, signal, sys, tempfile, threading, time
from served import Server

END_S_MAX = 120


def question(i):
    return json.dumps({"instances": [[[[(i * 7 + 8 * y + x) % 17 for x in range(8)] for y in range(8)]]]}).encode()


def ask(address, method, path, body=None, headers=None):
    connection = http.client.HTTPConnection(*address, timeout=30)
    try:
        connection.request(method, path, body, headers or {})
        r = connection.getresponse()
        return r.status, dict((k.lower(), v) for k, v in r.getheaders()), r.read()
    finally:
        connection.close()


def submit(address, numbers, accepted, wrong):
    """Until the server is gone."""
    try:
        while True:
            i = next(numbers)
            status, headers, body = ask(address, "POST", "/v1/models/digits:predict", question(i), {"Prefer": "respond-async"})
            if status != 202:
                wrong.append(f"job {i}: expected 202, got {status} {body[:200]!r}")
                return
            accepted[i] = headers["location"]
    except (OSError, http.client.HTTPException):
        pass


def check(address, i, where, until):
    while True:
        status, _, body = ask(address, "GET", where)
        job = json.loads(body)
        if status != 200 or job["status"] in ("done", "failed"):
            break
        if time.monotonic() > until:
            return f"job {i}: expected an end, got {job['status']}"
        time.sleep(0.01)
    want, got = ask(address, "POST", "/v1/models/digits:predict", question(i)), ask(address, "GET", where + "/result")
    return None if status == 200 and want[0] == got[0] == 200 and want[2] == got[2] else f"job {i}: expected {want}, got {status} {got}"


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--proa", default=os.environ.get("PROA", "build/proa"))
    p.add_argument("--kills", type=int, default=200)
    p.add_argument("--clients", type=int, default=4)
    p.add_argument("--seed", type=int, default=1)
    o = p.parse_args()
    rng, accepted, wrong, numbers = random.Random(o.seed), {}, [], iter(range(1 << 40))
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="soak-jobs-") as folder:
        flags = ["--port", "0", "--jobs-dir", folder, "--jobs-max", "1000000", "--jobs-bytes-max", "4Gi", "--log-level", "warn"]
        for _ in range(o.kills):
            server = Server(o.proa, *flags)
            threads = [threading.Thread(target=submit, args=(server.address, numbers, accepted, wrong)) for _ in range(o.clients)]
            for t in threads:
                t.start()
            time.sleep(rng.uniform(0, 0.2))
            server.process.send_signal(signal.SIGKILL)
            for t in threads:
                t.join()
            server.process.wait()
        server = Server(o.proa, *flags)
        until = time.monotonic() + END_S_MAX
        wrong += [text for text in (check(server.address, i, where, until) for i, where in accepted.items()) if text]
        wrong += server.stop()
    print(f"soak_jobs: {o.kills} kills, {len(accepted)} jobs accepted, {len(wrong)} wrong or lost, {time.monotonic() - begun:.0f} s")
    for text in wrong[:10]:
        print(f"soak_jobs: {text}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
