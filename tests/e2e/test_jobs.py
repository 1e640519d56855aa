"""test_jobs.py - inferences that are answered later: by polling, by webhook, and behind SIGKILL at random moments."""
import http.client, http.server, json, random, resource, signal, threading, time
import pytest
from conftest import Answerer, logged, until

ASYNC = {"Prefer": "respond-async"}


def tiny(i):
    """A question whose answer tells which one it was."""
    return {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [i, i + 0.5, -i, 7]}], "id": f"q{i}"}


def ended(server, where):
    r = server.get(where)
    assert r.status == 200, r
    return r.json() if r.json()["status"] in ("done", "failed") else None


def submit(server, path, body, **headers):
    r = server.post(path, body, headers={**ASYNC, **headers})
    assert r.status == 202, r
    return r


@pytest.fixture
def jobs(serve, zoo, tmp_path):
    """jobs(*options) -> a server with the tiny model; each has the same folder for jobs."""
    def start(*options, **kw):
        return serve(f"tiny={zoo['tiny']}", "--jobs-dir", tmp_path / "jobs", *options, **kw)
    return start


class Hook:
    """A webhook: `answers` are statuses, the last one for ever; "hang" answers nothing."""

    def __init__(self, answers=(200,)):
        self.got, self.answers, hook = [], list(answers), self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = hook.answers[min(len(hook.got), len(hook.answers) - 1)]
                hook.got.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                if status == "hang":
                    time.sleep(60)
                    return
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args):
                pass
        self.server = Answerer(Handler)
        self.host = f"127.0.0.1:{self.server.server_port}"


@pytest.fixture
def hook():
    made = []

    def make(*answers):
        made.append(Hook(answers or (200,)))
        return made[-1]
    yield make
    for h in made:
        h.server.end()


def test_a_job_ends_with_the_answer_that_was_due(jobs):
    server = jobs()
    for path, body in [("/v2/models/tiny/infer", tiny(3)), ("/v1/models/tiny:predict", {"instances": [[1, 2, 3, 4]]}),
                       ("/v2/models/tiny/infer", {"inputs": []})]:
        now = server.post(path, body)
        r = submit(server, path, body)
        assert r.headers["preference-applied"] == "respond-async"
        where = r.headers["location"]
        assert where == f"/jobs/{r.json()['id']}" and len(r.json()["id"]) == 32
        job = until(lambda: ended(server, where))
        assert job["status"] == ("done" if now.status == 200 else "failed") and job["http_status"] == now.status and job["model"] == "tiny"
        assert job["accepted_at"] <= job["started_at"] <= job["ended_at"]
        later = server.get(where + "/result")
        assert (later.status, later.body, later.headers["content-type"]) == (now.status, now.body, now.headers["content-type"])
    text = server.get("/metrics").body.decode()
    assert 'proa_jobs_ended_total{result="done"} 2\n' in text and 'proa_jobs_ended_total{result="failed"} 1\n' in text
    assert 'proa_jobs{state="kept"} 3\n' in text and "proa_jobs_oldest_seconds 0\n" in text
    page = server.get("/jobs?limit=2").json()
    assert len(page["jobs"]) == 2 and len(server.get(page["next"]).json()["jobs"]) == 1
    assert server.request("DELETE", where).status == 204
    assert server.get(where).status == 404 and server.get(where + "/result").status == 404
    r = server.post("/v2/models/tiny/jobs", tiny(4))
    assert r.status == 202 and "preference-applied" not in r.headers
    assert until(lambda: ended(server, r.headers["location"]))["status"] == "done"


def test_the_binary_extension_and_compressed_bodies(jobs):
    import gzip, struct
    server = jobs()
    head = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "parameters": {"binary_data_size": 16}}],
                       "outputs": [{"name": "y", "parameters": {"binary_data": True}}]}).encode()
    body = head + struct.pack("<4f", 1, 2, 3, 4)
    split = {"Inference-Header-Content-Length": str(len(head)), "Content-Type": "application/octet-stream"}
    now = server.request("POST", "/v2/models/tiny/infer", body, split)
    assert now.status == 200
    for more in ({}, {"Content-Encoding": "gzip"}):
        r = server.request("POST", "/v2/models/tiny/infer", gzip.compress(body) if more else body, {**split, **more, **ASYNC})
        assert r.status == 202, r
        until(lambda: ended(server, r.headers["location"]))
        later = server.get(r.headers["location"] + "/result")
        assert (later.status, later.body) == (200, now.body)
        for name in ("content-type", "inference-header-content-length"):
            assert later.headers[name] == now.headers[name]


def test_what_is_refused(jobs, serve, zoo):
    server = jobs("--jobs-max", "1", "--jobs-bytes-max", "1Mi", "--webhook-hosts", "good.example")
    assert server.post("/v2/models/none/infer", tiny(1), headers=ASYNC).status == 404
    assert server.get("/jobs/" + "0" * 32).status == 404 and server.get("/jobs/x").status == 404
    assert server.get("/jobs?limit=0").status == 400 and server.get("/jobs?what=1").status == 400
    r = server.post("/v2/models/tiny/infer", tiny(1), headers={**ASYNC, "Proa-Webhook": "https://bad.example/x"})
    assert r.status == 403 and r.json()["error"] == "Proa-Webhook: expected a host that webhook-hosts allows, got 'bad.example'"
    for url in ("ftp://good.example/", "https://u@good.example/", "/x"):
        assert server.post("/v2/models/tiny/infer", tiny(1), headers={**ASYNC, "Proa-Webhook": url}).status == 400
    r = server.post("/v2/models/tiny/infer", b"x" * (600 << 10), headers=ASYNC)
    assert r.status == 507 and "jobs-bytes-max" in r.json()["error"]
    submit(server, "/v2/models/tiny/infer", tiny(1))
    r = server.post("/v2/models/tiny/infer", tiny(1), headers=ASYNC)
    assert r.status == 429 and r.headers["retry-after"] == "1"
    plain = serve(f"tiny={zoo['tiny']}")
    assert plain.post("/v2/models/tiny/infer", tiny(1), headers=ASYNC).status == 200   # a preference that is not met
    for r in (plain.post("/v2/models/tiny/jobs", tiny(1)), plain.get("/jobs"),
              plain.post("/v2/models/tiny/infer", tiny(1), headers={**ASYNC, "Proa-Webhook": "https://a.example/"})):
        assert r.status == 501 and r.json()["error"] == "jobs: expected a server with --jobs-dir, got one without"


def test_only_keys_of_the_model_read_its_jobs(jobs, tmp_path):
    from conftest import run_proa
    keys, lines = {}, []
    for name, models in (("mine", "tiny"), ("other", "something")):
        made = run_proa("key", "--name", name, models)
        assert made.returncode == 0, made.stderr
        keys[name] = next(w for w in made.stderr.split() if w.startswith("proa_"))
        lines.append(made.stdout)
    file = tmp_path / "keys"
    file.write_text("".join(lines))
    file.chmod(0o600)
    server = jobs("--api-keys", file)
    mine, other = ({"X-API-Key": keys[k]} for k in ("mine", "other"))
    r = submit(server, "/v2/models/tiny/infer", tiny(1), **mine)
    where = r.headers["location"]
    until(lambda: server.get(where, headers=mine).json()["status"] == "done")
    assert server.get(where + "/result", headers=mine).status == 200
    for path in (where, where + "/result"):
        assert server.get(path).status == 401 and server.get(path, headers=other).status == 404
    assert server.request("DELETE", where, headers=other).status == 404
    assert server.get("/jobs", headers=other).json()["jobs"] == [] and len(server.get("/jobs", headers=mine).json()["jobs"]) == 1
    assert not any(keys["mine"].encode() in f.read_bytes() for f in (tmp_path / "jobs").iterdir())


def test_kill_at_random_moments_loses_no_accepted_job(jobs):
    seed = random.randrange(1 << 32)
    rng = random.Random(seed)
    accepted, lives = {}, 0
    server = jobs()
    while len(accepted) < 200 or lives < 20:
        stop = threading.Timer(rng.uniform(0.0, 0.15), lambda: server.process.send_signal(signal.SIGKILL))
        stop.start()
        try:
            while True:
                i = len(accepted)
                r = server.post("/v2/models/tiny/infer", tiny(i), headers=ASYNC)
                assert r.status == 202, r
                accepted[i] = r.headers["location"]
        except (OSError, http.client.HTTPException):
            pass
        stop.join()
        server.wait()
        lives += 1
        server = jobs()
    for i, where in accepted.items():
        job = until(lambda: ended(server, where), what=f"seed {seed}: job {i}")
        assert job["status"] == "done", job
        assert server.get(where + "/result").body == server.post("/v2/models/tiny/infer", tiny(i)).body, (seed, i)
    assert "damaged" not in server.log()


def test_a_webhook_gets_the_answer_as_a_cloud_event(jobs, hook):
    from cloudevents.http import from_http
    h = hook(500, 200)
    server = jobs("--webhook-hosts", h.host)
    now = server.post("/v2/models/tiny/infer", tiny(5))
    for mode in ("binary", "structured"):
        h.got.clear()
        r = submit(server, "/v2/models/tiny/infer", tiny(5), **{"Proa-Webhook": f"http://{h.host}/hook?a=b", "Proa-Webhook-Mode": mode})
        until(lambda: server.get(r.headers["location"]).json().get("webhook") == "delivered")
        assert len(h.got) == 2 and h.got[0][2] == h.got[1][2]      # a 500, then once more
        path, headers, body = h.got[1]
        event = from_http(headers, body)
        assert path == "/hook?a=b" and ("ce-id" in headers) == (mode == "binary")
        assert event["specversion"] == "1.0" and event["type"] == "io.kserve.inference.response"
        assert event["source"] == "io.kserve.inference.tiny" and event["id"] == event["subject"] == r.json()["id"]
        data = event.data if isinstance(event.data, dict) else json.loads(event.data)
        assert data == now.json() and event["datacontenttype" if mode == "structured" else "jobstatus"]


def test_a_webhook_that_hangs_holds_up_nothing(jobs, hook):
    slow, fast = hook("hang"), hook()
    server = jobs("--webhook-hosts", f"{slow.host},{fast.host}")
    for i in range(3):
        submit(server, "/v2/models/tiny/infer", tiny(i), **{"Proa-Webhook": f"http://{slow.host}/"})
    until(lambda: len(slow.got) == 3)
    r = submit(server, "/v2/models/tiny/infer", tiny(9), **{"Proa-Webhook": f"http://{fast.host}/"})
    until(lambda: server.get(r.headers["location"]).json().get("webhook") == "delivered")
    assert len(slow.got) == 3, "told although the other hook hangs, not because it was given up"
    assert server.infer("tiny", [["x", "FP32", [1, 4], [1, 2, 3, 4]]]).status == 200
    server.terminate()
    assert server.wait() == 0


@pytest.mark.parametrize("path, body", [("/v1/models/tiny:predict", {"instances": [[1, 2, 3, 4]]}), ("/v2/models/tiny/infer", tiny(2))])
def test_a_cloud_event_is_answered_by_one(jobs, path, body):
    from cloudevents.conversion import to_binary, to_structured
    from cloudevents.http import CloudEvent, from_http
    server = jobs()
    now = server.post(path, body)
    assert now.status == 200
    event = CloudEvent({"type": "com.example.sample", "source": "https://example.com/x", "datacontenttype": "application/json"}, body)
    for make, kind in ((to_binary, "application/json"), (to_structured, "application/cloudevents+json")):
        headers, data = make(event)
        r = server.request("POST", path, data, headers)
        assert r.status == 200 and r.headers["content-type"] == kind, r
        answer = from_http(r.headers, r.body)
        assert answer["type"] == "io.kserve.inference.response" and answer["source"] == "io.kserve.inference.tiny"
        assert answer["specversion"] == "1.0" and answer["id"] != event["id"] and answer["time"]
        assert (answer.data if isinstance(answer.data, dict) else json.loads(answer.data)) == now.json()
        later = server.request("POST", path, data, {**headers, **ASYNC})
        assert later.status == 202, later
        until(lambda: ended(server, later.headers["location"]))
        result = server.get(later.headers["location"] + "/result")
        answer = from_http(result.headers, result.body)
        assert answer["type"] == "io.kserve.inference.response" and result.headers["content-type"] == kind
        assert (answer.data if isinstance(answer.data, dict) else json.loads(answer.data)) == now.json()
    bad = server.request("POST", path, b"{}", {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "x"})
    assert bad.status == 400 and bad.json()["error"] == "CloudEvent: type: expected printable text, got ''"
    assert server.request("POST", path, b"{}", {"Content-Type": "application/cloudevents+json"}).status == 400
    wrong = server.request("POST", path, b"[]", {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "x", "ce-type": "t"})
    assert wrong.status == 400 and "ce-id" not in wrong.headers


def test_over_grpc_a_job_is_answered_at_once_and_its_webhook_refused(jobs):
    import grpc, struct
    server = jobs("--webhook-hosts", "*")
    field = lambda n, b: bytes([n << 3 | 2, len(b)]) + b
    ask = field(1, b"tiny") + field(5, field(1, b"x") + field(2, b"FP32") + field(3, bytes([1, 4]))) + field(7, struct.pack("<4f", 1, 2, 3, 4))
    with grpc.insecure_channel(f"{server.host}:{server.port}") as channel:
        infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        assert b"tiny" in infer(ask, metadata=(("prefer", "respond-async"),), timeout=60)
        with pytest.raises(grpc.RpcError) as e:
            infer(ask, metadata=(("prefer", "respond-async"), ("proa-webhook", "https://a.example/")), timeout=60)
    assert e.value.code() == grpc.StatusCode.UNIMPLEMENTED
    assert e.value.details() == "jobs: expected Proa-Webhook with a REST request, got it over gRPC"
    assert server.get("/jobs").json()["jobs"] == []


def test_a_disk_that_is_full_refuses_jobs_and_nothing_else(serve, zoo, tmp_path):
    """Its files may not grow beyond what the system allows: 507, and jobs go on when there is room again."""
    server = serve(f"tiny={zoo['tiny']}", "--jobs-dir", tmp_path / "jobs")
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (20000, resource.RLIM_INFINITY))
    accepted, refused = [], None
    for i in range(200):
        r = server.post("/v2/models/tiny/infer", tiny(i), headers=ASYNC)
        if r.status != 202:
            refused = r
            break
        accepted.append((i, r.headers["location"]))
    assert accepted and refused.status == 507 and "File too large" in refused.json()["error"], refused
    assert server.infer("tiny", [["x", "FP32", [1, 4], [1, 2, 3, 4]]]).status == 200
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    r = until(lambda: (r := server.post("/v2/models/tiny/infer", tiny(999), headers=ASYNC)).status == 202 and r)
    for i, where in [*accepted, (999, r.headers["location"])]:
        assert until(lambda: ended(server, where), what=f"job {i}")["status"] == "done"
        assert server.get(where + "/result").body == server.post("/v2/models/tiny/infer", tiny(i)).body
    assert "jobs may be refused until that works again" in logged(server, "takes them again")
    assert server.stop() == 0
