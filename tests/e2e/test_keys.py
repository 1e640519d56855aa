"""test_keys.py - API keys as operators make them and as the users' own clients send them.

Properties: a key works with every client that can send a header; what it does not open stays shut over REST and gRPC alike;
SIGHUP changes keys under load without a request that fails; no key ever stands in a log.
"""
import asyncio, json, re, signal, subprocess, threading
import grpc, numpy as np, pytest, requests
from conftest import PROA, run_proa
from models import X, Y
from test_clients import triton_input
from test_http import settles

BODY = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": X}]}
LINE = re.compile(r"(\S+) sha256:[0-9a-f]{64}( \S+)+\n")


def make_key(*args):
    done = run_proa("key", *args)
    assert done.returncode == 0 and LINE.fullmatch(done.stdout) and re.fullmatch(r"proa_[\w-]{43}\n", done.stderr), done
    return done.stderr.strip(), done.stdout


@pytest.fixture
def guarded(serve, zoo, tmp_path):
    """A server with tiny and pair, a key for all models and one for tiny alone."""
    every, first = make_key("--name", "ops")
    tiny, second = make_key("--name", "team-a", "ti*")
    path = tmp_path / "keys"
    path.write_text("# keys of this test\n" + first + second)
    s = serve(f"tiny={zoo['tiny']}", f"pair={zoo['pair']}", "--api-keys", path, "--log-requests", "--log-level", "debug")
    s.keys_path, s.every, s.tiny, s.lines = path, every, tiny, (first, second)
    yield s
    log = s.log()
    assert every not in log and tiny not in log


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


def test_rest(guarded):
    s = guarded
    infer = f"{s.url}/v2/models/tiny/infer"
    r = requests.post(infer, json=BODY)
    assert r.status_code == 401 and r.headers["WWW-Authenticate"].startswith("Bearer") and "API key: expected" in r.json()["error"]
    assert requests.post(infer, json=BODY, headers=bearer("proa_" + "x" * 43)).status_code == 401
    for headers in (bearer(s.tiny), {"X-API-Key": s.tiny}, bearer(s.every)):
        r = requests.post(infer, json=BODY, headers=headers)
        assert r.status_code == 200 and r.json()["outputs"][0]["data"] == pytest.approx(Y, rel=1e-6)
        assert requests.post(f"{s.url}/v1/models/tiny:predict", json={"instances": [X]}, headers=headers).status_code == 200
    r = requests.get(f"{s.url}/v2/models/pair", headers=bearer(s.tiny))
    assert r.status_code == 403 and r.json() == {"error": "The key of team-a is not for model pair."}
    assert requests.get(f"{s.url}/v2/models", headers=bearer(s.tiny)).json() == {"models": ["tiny"]}
    for path in ("/", "/healthz", "/readyz", "/v2/health/live", "/v2/health/ready"):
        assert requests.get(s.url + path).status_code == 200
    assert requests.get(f"{s.url}/metrics").status_code == 401 and "proa_" in requests.get(f"{s.url}/metrics", headers=bearer(s.every)).text


def test_tritonclient(guarded):
    import tritonclient.http as http
    import tritonclient.http.aio as aio
    from tritonclient.utils import InferenceServerException
    s = guarded

    class KeyPlugin(http.InferenceServerClientPlugin):                  # how it adds headers to each call
        def __call__(self, request):
            request.headers["Authorization"] = f"Bearer {s.tiny}"
    client = http.InferenceServerClient(f"{s.host}:{s.port}")
    assert client.is_server_live() and client.is_server_ready()
    with pytest.raises(InferenceServerException, match="API key"):
        client.infer("tiny", [triton_input(http, True)])
    client.register_plugin(KeyPlugin())
    assert np.allclose(client.infer("tiny", [triton_input(http, True)], request_compression_algorithm="gzip").as_numpy("y"), Y, rtol=1e-6)
    with pytest.raises(InferenceServerException, match="not for model pair"):
        client.get_model_metadata("pair")
    client.close()

    async def go():
        async with aio.InferenceServerClient(f"{s.host}:{s.port}") as c:
            result = await c.infer("tiny", [triton_input(aio, True)], headers={"X-API-Key": s.tiny})
            assert np.allclose(result.as_numpy("y"), Y, rtol=1e-6)
    asyncio.run(go())


def test_grpc(guarded):
    from kserve import InferenceGRPCClient, InferInput, InferRequest
    s = guarded

    def unary(method, message=b"", key=None, name="authorization"):
        with grpc.insecure_channel(f"{s.host}:{s.port}") as channel:
            metadata = [(name, f"Bearer {key}" if name == "authorization" else key)] if key else []
            try:
                return channel.unary_unary(method)(message, metadata=metadata, timeout=60)
            except grpc.RpcError as e:
                return e.code(), e.details()
    service = "/inference.GRPCInferenceService/"
    assert unary(service + "ServerLive") == b"\x08\x01" and unary("/grpc.health.v1.Health/Check") == b"\x08\x01"
    code, text = unary(service + "ModelReady", b"\x0a\x04tiny")
    assert code == grpc.StatusCode.UNAUTHENTICATED and "API key" in text
    assert unary(service + "ModelReady", b"\x0a\x04tiny", s.tiny) == b"\x08\x01"
    assert unary(service + "ModelReady", b"\x0a\x04tiny", s.tiny, "x-api-key") == b"\x08\x01"
    assert unary(service + "ModelReady", b"\x0a\x04pair", s.tiny) == (grpc.StatusCode.PERMISSION_DENIED, "The key of team-a is not for model pair.")
    assert b"pair" not in unary(service + "RepositoryIndex", b"", s.tiny) and b"pair" in unary(service + "RepositoryIndex", b"", s.every)

    async def go():
        async with InferenceGRPCClient(f"{s.host}:{s.port}") as client:
            i = InferInput("x", [1, 4], "FP32")
            i.set_data_from_numpy(np.array([X], np.float32), binary_data=True)
            result = await client.infer(InferRequest(model_name="tiny", infer_inputs=[i]), headers=[("authorization", f"Bearer {s.tiny}")])
            assert np.allclose(result.outputs[0].as_numpy(), Y, rtol=1e-6)
    asyncio.run(go())


def test_sighup_changes_keys_under_load(guarded):
    s = guarded
    fresh, line = make_key("--name", "fresh", "tiny")
    wrong, stop = [], threading.Event()

    def load():
        with requests.Session() as session:
            while not stop.is_set():
                r = session.post(f"{s.url}/v2/models/tiny/infer", json=BODY, headers=bearer(s.every))
                if r.status_code != 200:
                    wrong.append(r.text)
    threads = [threading.Thread(target=load) for _ in range(2)]
    [t.start() for t in threads]
    try:
        for _ in range(5):
            for text, opens in ((s.lines[0] + line, True), (s.lines[0] + s.lines[1], False)):
                s.keys_path.write_text(text)
                s.process.send_signal(signal.SIGHUP)
                assert settles(lambda: requests.get(f"{s.url}/v2/models/tiny", headers=bearer(fresh)).status_code, lambda got: got == (200 if opens else 401))
        s.keys_path.write_text(s.lines[0] + "broken line\n")
        s.process.send_signal(signal.SIGHUP)
        assert settles(s.log, lambda log: f"SIGHUP: the old keys stay: {s.keys_path}:2: digest: expected sha256:" in log)
        assert requests.get(f"{s.url}/v2/models/tiny", headers=bearer(s.tiny)).status_code == 200
    finally:
        stop.set()
        [t.join() for t in threads]
    assert not wrong, wrong[:3]


def test_a_wrong_file_is_one_line_at_start(tmp_path, zoo):
    path = tmp_path / "keys"
    for text, want in (("ci proa_key *\n", f"{path}:1: digest: expected sha256: and 64 hexadecimal digits"), ("", "expected at least one key, got none"),
                       (None, "No such file")):
        path.unlink(missing_ok=True)
        if text is not None:
            path.write_text(text)
        done = subprocess.run([PROA, "serve", f"tiny={zoo['tiny']}", "--port", "0", "--api-keys", path], capture_output=True, text=True, timeout=60)
        assert done.returncode == 1 and want in done.stderr.splitlines()[-1] and "proa_key" not in done.stderr, done.stderr


def test_keys_that_everybody_may_write_are_refused(guarded, zoo):
    s = guarded
    s.keys_path.chmod(0o666)
    want = f"{s.keys_path}: mode: expected keys that not everybody may write, got '666'"
    done = run_proa("serve", f"tiny={zoo['tiny']}", "--port", "0", "--api-keys", s.keys_path)
    assert done.returncode == 1 and done.stderr.splitlines()[-1].endswith(want), done
    s.keys_path.write_text(s.lines[1])
    s.process.send_signal(signal.SIGHUP)
    assert settles(s.log, lambda log: f"SIGHUP: the old keys stay: {want}" in log)
    assert requests.get(f"{s.url}/v2/models/pair", headers=bearer(s.every)).status_code == 200
    s.keys_path.chmod(0o664)
    s.process.send_signal(signal.SIGHUP)
    assert settles(lambda: requests.get(f"{s.url}/v2/models/pair", headers=bearer(s.every)).status_code, lambda got: got == 401)


def test_metrics_may_stay_open(serve, zoo, tmp_path):
    (tmp_path / "keys").write_text(make_key()[1])
    s = serve(f"tiny={zoo['tiny']}", "--api-keys", tmp_path / "keys", "--metrics-open")
    assert s.get("/metrics").status == 200 and s.get("/v2").status == 401


def test_preflights_need_no_key_and_refusals_can_be_read(serve, zoo, tmp_path):
    key, line = make_key()
    (tmp_path / "keys").write_text(line)
    page = "https://app.example"
    s = serve(f"tiny={zoo['tiny']}", "--api-keys", tmp_path / "keys", "--cors-origins", page)
    asks = {"Origin": page, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    assert s.request("OPTIONS", "/v2/models/tiny/infer", headers=asks).status == 204
    reply = s.post("/v2/models/tiny/infer", BODY, headers={"Origin": page})
    assert reply.status == 401 and reply.headers["access-control-allow-origin"] == page
    assert s.post("/v2/models/tiny/infer", BODY, headers={"Origin": page, **bearer(key)}).status == 200


def test_who_has_no_key_cannot_make_it_hold_bodies(serve, zoo, tmp_path, wire):
    key, line = make_key()
    (tmp_path / "keys").write_text(line)
    s = serve(f"tiny={zoo['tiny']}", "--api-keys", tmp_path / "keys")
    with wire(s) as w:
        w.send(b"POST /v2/models/tiny/infer HTTP/1.1\r\nHost: h\r\nContent-Length: 50000000\r\n\r\n")
        assert w.reply().status == 401
    out = json.loads(json.dumps(BODY))
    out["inputs"][0].update(shape=[20000, 4], data=X * 20000)
    assert s.post("/v2/models/tiny/infer", out, headers=bearer(key)).status == 200
