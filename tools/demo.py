#!/usr/bin/env python3
"""demo.py - the first run: serves the digits model on the loopback, asks it 20 held-out images, shows what came back.

    python3 tools/demo.py [--proa build/proa] [--oneshot]         `make demo` and `make demo ONESHOT=1` call it so

Without --oneshot the server stays up until Ctrl-C, with lines to copy. Exit status: 0, or 1 when the server does not start,
answers wrongly, or fewer than 95 % of the images are read right. Needs Python's standard library only.
"""
import argparse, http.client, json, os, pathlib, select, signal, socket, subprocess, sys, time

ACCURACY_MIN = 0.95
START_S_MAX, STOP_S_MAX, ANSWER_S_MAX = 20, 10, 10
WARM_REQUESTS, TIMED_REQUESTS = 50, 1000
IMAGES_PER_ROW = 5
CELL = 16                           # columns of one image with its caption
EXAMPLES = pathlib.Path(__file__).resolve().parents[1] / "examples" / "digits"
PATH = "/v2/models/digits/infer"


class DemoError(Exception):
    pass


# ---- server ------------------------------------------------------------------------------------------------------

class Server:
    """`proa serve` on a free loopback port, in a session of its own so that Ctrl-C reaches only us."""

    def __init__(self, proa, model):
        self.began = time.perf_counter()
        try:
            self.process = subprocess.Popen([proa, "serve", f"digits={model}", "--port", "0"], stdout=subprocess.PIPE,
                                            start_new_session=True, text=True)
        except OSError as e:
            raise DemoError(f"{proa}: {e.strerror}: run 'make' first, or name the program with --proa") from None
        ready = select.select([self.process.stdout], [], [], START_S_MAX)[0]
        line = self.process.stdout.readline() if ready else ""
        if not line.startswith("listening on http://"):
            self.stop()
            raise DemoError(f"{proa}: first line: expected 'listening on http://ADDR:PORT', got '{line.strip()}'")
        self.url = line.split()[2]
        host, port = self.url[len("http://"):].rsplit(":", 1)
        self.address = (host.strip("[]"), int(port))

    def stop(self):
        """Returns the exit status: SIGTERM lets the server finish what it has accepted."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_S_MAX)
            except subprocess.TimeoutExpired:
                self.process.kill()
        return self.process.wait()


def ask(connection, body):
    connection.request("POST", PATH, body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    data = response.read()
    if response.status != 200:
        raise DemoError(f"POST {PATH}: expected status 200, got {response.status} {data.decode(errors='replace').strip()}")
    return {o["name"]: o for o in json.loads(data)["outputs"]}


def exchange(s, request):
    """One request and its answer over a bare socket; only what a timing needs of HTTP."""
    s.sendall(request)
    got, end = b"", -1
    while end < 0:
        part = s.recv(65536)
        if not part:
            raise DemoError(f"POST {PATH}: the server closed the connection")
        got += part
        end = got.find(b"\r\n\r\n")
    lines = got[:end].lower().split(b"\r\n")
    length = next((int(x[15:]) for x in lines if x.startswith(b"content-length:")), None)
    if b" 200" not in lines[0] or length is None:
        raise DemoError(f"POST {PATH}: expected status 200 with a length, got '{lines[0].decode(errors='replace')}'")
    missing = length - (len(got) - end - 4)
    while missing > 0:
        part = s.recv(65536)
        if not part:
            raise DemoError(f"POST {PATH}: the server closed the connection")
        missing -= len(part)


def latencies_us(address, bodies):
    """One connection, one request at a time; http.client would cost more than the server."""
    head = f"POST {PATH} HTTP/1.1\r\nHost: {address[0]}\r\nContent-Type: application/json\r\nContent-Length: "
    requests = [(head + f"{len(b)}\r\n\r\n").encode() + b for b in bodies]
    taken = []
    with socket.create_connection(address, ANSWER_S_MAX) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for i in range(WARM_REQUESTS + TIMED_REQUESTS):
            since = time.perf_counter()
            exchange(s, requests[i % len(requests)])
            taken.append((time.perf_counter() - since) * 1e6)
    return sorted(taken[WARM_REQUESTS:])


# ---- picture -----------------------------------------------------------------------------------------------------

def picture(image, shades):
    """Four lines of eight characters, two pixels in each. shades: grey levels of a colour terminal, else black and white."""
    lines = []
    for top, bottom in zip(image[::2], image[1::2]):
        if shades:
            grey = [(232 + round(t * 23 / 16), 232 + round(b * 23 / 16)) for t, b in zip(top, bottom)]
            lines.append("".join(f"\033[38;5;{t}m\033[48;5;{b}m▀" for t, b in grey) + "\033[0m")
        else:
            lines.append("".join(" ▄▀█"[2 * (t > 6) + (b > 6)] for t, b in zip(top, bottom)))
    return lines


def show(cases, answers, shades):
    """The images in rows, under each: label, prediction, confidence. Returns how many were right."""
    right = 0
    for at in range(0, len(cases), IMAGES_PER_ROW):
        row, captions = cases[at:at + IMAGES_PER_ROW], []
        for parts in zip(*(picture(c["image"], shades) for c in row)):
            print("  " + "".join(p + " " * (CELL - 8) for p in parts).rstrip())
        for case, (digit, confidence) in zip(row, answers[at:at + IMAGES_PER_ROW]):
            ok = digit == case["label"]
            right += ok
            captions.append(f"{case['label']} -> {digit} {100 * confidence:3.0f} %{'' if ok else ' X'}".ljust(CELL))
        print("  " + "".join(captions).rstrip() + "\n")
    return right


def go_on(url, case):
    flat = ",".join(str(v) for row in case["image"] for v in row)
    print(f"""Go on by hand (this image is a {case['label']}):

curl -s {url}{PATH} -d '{{"inputs":[{{"name":"image","datatype":"FP32","shape":[1,1,8,8],"data":[{flat}]}}]}}'

python3 - <<'EOF'
import json, urllib.request
image = json.load(open("{EXAMPLES / 'heldout.json'}"))[3]["image"]
body = {{"inputs": [{{"name": "image", "datatype": "FP32", "shape": [1, 1, 8, 8], "data": [[image]]}}]}}
answer = json.load(urllib.request.urlopen("{url}{PATH}", json.dumps(body).encode()))
print({{o["name"]: o["data"] for o in answer["outputs"]}})
EOF

curl -s {url}/v2/models/digits
curl -s {url}/metrics
""")


# ---- the run -----------------------------------------------------------------------------------------------------

def predictions(server, bodies):
    """[(digit, confidence)] and the milliseconds from exec to the first answer."""
    connection = http.client.HTTPConnection(*server.address, timeout=ANSWER_S_MAX)
    answers, cold_ms = [], None
    for body in bodies:
        outputs = ask(connection, body)
        cold_ms = cold_ms or (time.perf_counter() - server.began) * 1e3
        probability = outputs["probabilities"]["data"]
        if len(probability) != 10 or outputs["label"]["data"] != [probability.index(max(probability))]:
            raise DemoError("answer: expected 10 probabilities and the label of the largest one")
        answers.append((probability.index(max(probability)), max(probability)))
    connection.close()
    return answers, cold_ms


def demonstrate(a, server):
    cases = json.loads((EXAMPLES / "heldout.json").read_text())
    bodies = [json.dumps({"inputs": [{"name": "image", "datatype": "FP32", "shape": [1, 1, 8, 8], "data": [[c["image"]]]}]}).encode()
              for c in cases]
    answers, cold_ms = predictions(server, bodies)
    print(f"\n{len(cases)} held-out handwritten digits: label -> prediction, confidence\n")
    right = show(cases, answers, sys.stdout.isatty() and not os.environ.get("NO_COLOR"))
    us = latencies_us(server.address, bodies)
    p50, p90, p99 = (us[min(len(us) - 1, len(us) * p // 100)] for p in (50, 90, 99))
    print(f"accuracy    {right} of {len(cases)} ({100 * right / len(cases):.0f} %)")
    print(f"cold start  {cold_ms:.1f} ms from exec to the first answer")
    print(f"latency     p50 {p50:.0f} us, p90 {p90:.0f} us, p99 {p99:.0f} us "
          f"({len(us)} requests on one connection, as the client sees it)\n", flush=True)
    if right < ACCURACY_MIN * len(cases):
        raise DemoError(f"accuracy: expected at least {ACCURACY_MIN:.0%}, got {right / len(cases):.0%}")
    if not a.oneshot:
        go_on(server.url, cases[3])
        print(f"The server stays at {server.url} until Ctrl-C.", flush=True)
        status = server.process.wait()
        raise DemoError(f"{a.proa}: the server ended by itself with status {status}")


def run(a):
    server = Server(a.proa, EXAMPLES / "digits.onnx")
    try:
        demonstrate(a, server)
    except KeyboardInterrupt:
        print()
    except (OSError, http.client.HTTPException, ValueError, KeyError) as e:
        raise DemoError(f"{server.url}: {type(e).__name__}: {e}") from None
    finally:
        status = server.stop()
    if status != 0:
        raise DemoError(f"{a.proa}: exit status after SIGTERM: expected 0, got {status}")


def interrupt(number, frame):
    raise KeyboardInterrupt


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--proa", default="build/proa", help="the program (default: %(default)s)")
    ap.add_argument("--oneshot", action="store_true", help="end after the table")
    a = ap.parse_args()
    sys.stdout.reconfigure(encoding="utf-8", errors="replace")      # a fresh machine has no locale
    signal.signal(signal.SIGINT, interrupt)                         # also where a background job inherited it ignored
    signal.signal(signal.SIGTERM, interrupt)
    signal.signal(signal.SIGHUP, interrupt)
    try:
        run(a)
    except DemoError as e:
        sys.exit(f"demo.py: {e}")


if __name__ == "__main__":
    main()
