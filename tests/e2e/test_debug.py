"""test_debug.py - the page /debug/models: whole, from one answer, under a policy that lets nothing else run.

It is read here as a browser would: parsed, its script checked against the policy, what it asks for asked for. Where a
browser is installed, it is opened in it.
"""
import html.parser, json, re, shutil, subprocess
import pytest
from conftest import DIGITS, until
from test_keys import guarded  # noqa: F401  (a fixture)

VOID = {"meta", "input", "link", "br"}
NODE = shutil.which("node")
BROWSER = next((p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if p), None)


class Page(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.inside = [], [], {}
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open}"
        self.open.pop()

    def handle_data(self, data):
        if self.open:
            self.inside[self.open[-1]] = self.inside.get(self.open[-1], "") + data


def policy_of(reply):
    return dict(d.strip().split(" ", 1) for d in reply.headers["content-security-policy"].split(";"))


def test_the_page_is_whole_and_runs_nothing_but_its_own(serve):
    server = serve(f"digits={DIGITS}")
    reply = server.get("/debug/models")
    assert reply.status == 200 and reply.headers["content-type"] == "text/html; charset=utf-8"
    page, policy = Page(reply.body.decode()), policy_of(reply)
    assert page.open == []
    assert policy["default-src"] == "'none'" and policy["connect-src"] == "'self'" and policy["base-uri"] == "'none'"
    nonces = [a["nonce"] for tag, a in page.tags if tag in ("script", "style")]
    assert len(nonces) == 2 and len(nonces[0]) == 32 and nonces[0] == nonces[1]
    assert policy["script-src"] == policy["style-src"] == f"'nonce-{nonces[0]}'"
    for tag, attributes in page.tags:   # nothing from elsewhere, nothing that the policy would stop
        assert not {"src", "href", "style"} & set(attributes) and not [a for a in attributes if a.startswith("on")], (tag, attributes)
    script = page.inside["script"]
    assert "innerHTML" not in script and "eval(" not in script and ".style" not in script and "insertAdjacent" not in script
    assert "http:" not in script.replace("http://www.w3.org/2000/svg", "") and "https:" not in script
    again = server.get("/debug/models")
    assert policy_of(again)["script-src"] != policy["script-src"]
    assert server.post("/debug/models", b"").status == 405


def names(server):
    return {l.split()[2] for l in server.get("/metrics").body.decode().splitlines() if l.startswith("# TYPE")}


def test_it_names_every_metric(serve):
    server = serve(f"digits={DIGITS}")
    given = server.get("/v2/models/digits").json()["inputs"][0]
    shape = [max(1, d) for d in given["shape"]]
    count = 1
    for d in shape:
        count *= d
    for _ in range(5):
        assert server.infer("digits", [[given["name"], "FP32", shape, [0] * count]]).status == 200
    figures = server.get("/debug/models.json").json()
    assert {r["name"] for r in figures["rows"]} | {r["name"] for r in figures["server"]} == names(server)
    [model] = figures["models"]
    assert (model["name"], model["version"]) == ("digits", "1") and len(model["values"]) == len(figures["rows"])
    at = {r["name"]: v for r, v in zip(figures["rows"], model["values"])}
    assert at["proa_inference_success_total"] == 5 and at["proa_requests_total"] == 5 and at["proa_queue_waiting"] == 0
    assert sum(at["proa_inference_seconds"]["buckets"]) == 5 and at["proa_inference_seconds"]["sum_us"] > 0
    assert len(at["proa_inference_seconds"]["buckets"]) == len(figures["bounds_us"]) + 1
    script = Page(server.get("/debug/models").body.decode()).inside["script"]
    for name in re.findall(r"proa_\w+", script):   # what it gives a row of its own exists
        assert name in {r["name"] for r in figures["rows"]}, name
    triton = serve(f"digits={DIGITS}", "--metrics-names", "triton")
    assert triton.get("/debug/models.json").json()["rows"] == figures["rows"]


def test_a_name_is_text(serve):
    name = "<img>'&lt;\u00a0&"
    server = serve(f"{name}={DIGITS}")
    reply = server.get("/debug/models.json")
    assert reply.headers["content-type"] == "application/json" and reply.json()["models"][0]["name"] == name
    assert name.encode() not in server.get("/debug/models").body


def test_it_is_guarded_as_metrics_are(guarded, serve):  # noqa: F811
    for path in ("/debug/models", "/debug/models.json"):
        assert guarded.get(path).status == 401
        assert guarded.get(path, headers={"X-API-Key": guarded.every}).status == 200
    seen = guarded.get("/debug/models.json", headers={"X-API-Key": guarded.tiny}).json()["models"]
    assert [m["name"] for m in seen] == ["tiny"]
    opened = serve(f"digits={DIGITS}", "--api-keys", guarded.keys_path, "--metrics-open")
    assert opened.get("/debug/models").status == opened.get("/debug/models.json").status == 200


# As much of a browser's document as the script uses; prints what is drawn after three looks.
DOCUMENT = """
class Element {
  constructor(tag) { Object.assign(this, { tag, children: [], attributes: {}, textContent: '', isConnected: false, value: '' }); }
  append(...c) { for (const x of c) { x.isConnected = true; this.children = [...this.children.filter(y => y !== x), x]; } }
  replaceChildren(...c) { this.children = c; }
  remove() { this.isConnected = false; }
  setAttribute(k, v) { this.attributes[k] = v; }
  get firstChild() { return this.children[0]; }
  text() { return this.textContent + '|' + this.children.map(c => c.text ? c.text() : '').join(''); }
}
const ids = Object.fromEntries(['models', 'filter', 'note', 'server'].map(i => [i, new Element(i)]));
globalThis.document = { getElementById: i => ids[i], createElement: t => new Element(t), createElementNS: (n, t) => new Element(t) };
const real = fetch, later = setTimeout;
globalThis.fetch = (u, o) => real(new URL(u, process.argv[2] + '/debug/models'), o);
let looks = 0;
globalThis.setTimeout = (f, ms, ...more) => {   // fetch has timers of its own
  if (ms !== 2000) return later(f, ms, ...more);
  if (++looks < 3) return later(f, 30);
  console.log(JSON.stringify({ models: ids.models.text(), server: ids.server.text(), note: ids.note.textContent }));
  process.exit(0);
};
"""


@pytest.mark.skipif(not NODE, reason="no node is installed")
def test_its_script_draws_what_the_server_says(serve, tmp_path):
    server = serve(f"digits={DIGITS}", f"other={DIGITS}", "--model-control", "explicit")
    assert server.post("/v2/repository/models/other/unload", b"").status == 200
    until(lambda: "UNAVAILABLE" in [m["state"] for m in server.post("/v2/repository/index", b"").json()])        # UNLOADING before
    (tmp_path / "page.js").write_text(DOCUMENT + Page(server.get("/debug/models").body.decode()).inside["script"].replace("'use strict';", ""))
    done = subprocess.run([NODE, tmp_path / "page.js", server.url], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    drawn = json.loads(done.stdout)
    assert drawn["note"].startswith("at ")
    for text in ("digits / 1 |READY|", "|queue depth|0|", "|rate|0 /s|", "|p99|-|", "other / 1 |UNAVAILABLE|", "|unloaded|", "|proa_queue_waiting|0|"):
        assert text in drawn["models"], (text, drawn["models"])
    assert "|process_resident_memory_bytes|" in drawn["server"] and " MiB|" in drawn["server"]


@pytest.mark.skipif(not BROWSER, reason="no browser is installed")
def test_a_browser_draws_it(serve):
    server = serve(f"digits={DIGITS}")
    done = subprocess.run([BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=8000", "--enable-logging=stderr", "--dump-dom",
                           f"{server.url}/debug/models"], capture_output=True, text=True, timeout=120)
    assert "digits / 1" in done.stdout and "queue depth" in done.stdout and "polyline" in done.stdout
    assert "CONSOLE" not in done.stderr, done.stderr   # what the policy stops, and errors of the script, are said there
