"""test_coding.py - compressed requests and answers, as the users' own clients make and read them.

Properties: a client that compresses gets what it would get without; an answer is compressed only for clients that unpack it,
and only where that gains; a bomb costs what the largest plain body costs, and others do not notice.
"""
import asyncio, gzip, json, shutil, subprocess, zlib
import numpy as np
import pytest
from models import X, Y
from test_clients import close, kserve_client, triton, triton_input  # noqa: F401  (triton is a fixture)
from test_http import cpu_ticks, rss_kb

WIDE = np.arange(4000, dtype=np.float32).reshape(1000, 4) % 7
ONE = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": X}]}
MANY = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1000, 4], "data": WIDE.ravel().tolist()}]}
RAW = lambda b: (lambda c: c.compress(b) + c.flush())(zlib.compressobj(wbits=-15))      # noqa: E731


def want(server, values):
    return np.array(server.infer("tiny", [["x", "FP32", [len(values), 4], np.ravel(values).tolist()]]).json()["outputs"][0]["data"])


@pytest.mark.parametrize("ask", [None, "gzip", "deflate"])
@pytest.mark.parametrize("answer", [None, "gzip", "deflate"])
@pytest.mark.parametrize("binary", [True, False])
def test_triton(server, triton, ask, answer, binary):                   # noqa: F811
    http, client = triton
    outputs = [http.InferRequestedOutput("y", binary_data=binary)]
    for values in ([X], WIDE):
        inputs = [triton_input(http, binary, values=values)]
        how = dict(request_compression_algorithm=ask, response_compression_algorithm=answer)
        results = [client.infer("tiny", inputs, outputs=outputs, **how), client.async_infer("tiny", inputs, outputs=outputs, **how).get_result()]
        for result in results:
            assert np.allclose(result.as_numpy("y").ravel(), want(server, values), rtol=1e-6)


@pytest.mark.parametrize("ask", [None, "gzip", "deflate"])
@pytest.mark.parametrize("answer", [None, "gzip", "deflate"])
@pytest.mark.parametrize("binary", [True, False])
def test_triton_aio(server, ask, answer, binary):
    """This one asks for gzip, deflate and br with everything that it sends, and unpacks inference answers only."""
    import tritonclient.http.aio as http

    async def go():
        async with http.InferenceServerClient(f"{server.host}:{server.port}") as client:
            assert (await client.get_model_metadata("tiny"))["name"] == "tiny"
            for values in ([X], WIDE):
                result = await client.infer("tiny", [triton_input(http, binary, values=values)], outputs=[http.InferRequestedOutput("y", binary_data=binary)],
                                            request_compression_algorithm=ask, response_compression_algorithm=answer)
                assert np.allclose(result.as_numpy("y").ravel(), want(server, values), rtol=1e-6)
    asyncio.run(go())


def test_requests_and_kserve_unpack_what_they_asked_for(server):
    import requests
    r = requests.post(f"{server.url}/v2/models/tiny/infer", json=MANY)
    assert r.headers["content-encoding"] == "gzip" and r.headers["vary"] == "Accept-Encoding" and int(r.headers["content-length"]) < len(r.content) / 3
    assert np.allclose(r.json()["outputs"][0]["data"], want(server, WIDE))
    r = requests.post(f"{server.url}/v1/models/tiny:predict", data=gzip.compress(json.dumps({"instances": WIDE.tolist()}).encode()), headers={"Content-Encoding": "gzip"})
    assert r.headers["content-encoding"] == "gzip" and np.allclose(np.ravel(r.json()["predictions"]), want(server, WIDE))
    r = requests.get(f"{server.url}/metrics")
    assert r.headers["content-encoding"] == "gzip" and "proa_http_requests_total" in r.text
    r = requests.get(f"{server.url}/v2/health/live")
    assert "content-encoding" not in r.headers and "vary" not in r.headers

    async def go():
        client = kserve_client("v1")
        result = await client.infer(server.url, {"instances": WIDE.tolist()}, model_name="tiny")
        assert np.allclose(np.ravel(result["predictions"]), want(server, WIDE))
        await client.close()
    asyncio.run(go())


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
@pytest.mark.parametrize("version", ["--http1.1", "--http2-prior-knowledge"])
def test_curl(server, version, tmp_path):
    (tmp_path / "body").write_bytes(gzip.compress(json.dumps(MANY).encode()))
    out = subprocess.run(["curl", "-sS", "-i", version, "--compressed", "-H", "Content-Encoding: gzip", "-H", "Content-Type: application/json", "--data-binary",
                          f"@{tmp_path / 'body'}", f"{server.url}/v2/models/tiny/infer"], capture_output=True, timeout=60, check=True).stdout
    head, body = out.split(b"\r\n\r\n", 1)
    assert b"content-encoding: gzip" in head.lower() and np.allclose(json.loads(body)["outputs"][0]["data"], want(server, WIDE))


@pytest.mark.parametrize("coding, pack", [("gzip", gzip.compress), ("x-gzip", gzip.compress), ("deflate", zlib.compress), ("deflate", RAW),
                                          ("gzip", lambda b: gzip.compress(b[:20]) + gzip.compress(b[20:]))])
def test_every_form_is_understood(server, coding, pack):
    reply = server.post("/v2/models/tiny/infer", pack(json.dumps(ONE).encode()), headers={"Content-Encoding": coding})
    assert reply.status == 200 and reply.json()["outputs"][0]["data"] == pytest.approx(Y, rel=1e-6)


@pytest.mark.parametrize("coding, body, status, text", [
    ("br", b"x", 415, "expected gzip, deflate or identity, got 'br'"),
    ("gzip, deflate", b"x", 415, "expected one of gzip, deflate and identity"),
    ("gzip", b"{}", 400, "gzip: incorrect header check"),
    ("gzip", gzip.compress(json.dumps(ONE).encode())[:-3], 400, "gzip: the packed data ends too early"),
    ("deflate", zlib.compress(json.dumps(ONE).encode()) + b"x", 400, "expected no bytes behind the packed data, got 1"),
])
def test_what_cannot_be_unpacked_is_refused(server, coding, body, status, text):
    reply = server.post("/v2/models/tiny/infer", body, headers={"Content-Encoding": coding})
    assert reply.status == status and text in reply.json()["error"], reply
    assert reply.headers.get("accept-encoding") == ("gzip, deflate" if status == 415 else None)


def test_a_bomb_costs_the_limit(serve, zoo):
    s = serve(f"tiny={zoo['tiny']}", "--body-bytes-max", "2Mi")
    bomb = gzip.compress(bytes(1 << 28), 9)
    assert len(bomb) < 2 << 20
    assert s.post("/v2/models/tiny/infer", ONE).status == 200
    before, ticks = rss_kb(s), cpu_ticks(s)
    for _ in range(20):
        reply = s.post("/v2/models/tiny/infer", bomb, headers={"Content-Encoding": "gzip"})
        assert reply.status == 413 and "expected at most 2097152 bytes" in reply.json()["error"]
    assert cpu_ticks(s) - ticks < 400 and rss_kb(s) < before + 16 * 1024   # 20 times 256 MB would be 5,000 and more
    assert s.post("/v2/models/tiny/infer", ONE).status == 200


def test_compression_of_answers_may_be_off_or_begin_elsewhere(serve, zoo):
    off = serve(f"tiny={zoo['tiny']}", "--compress-bytes-min", "0")
    early = serve(f"tiny={zoo['tiny']}", "--compress-bytes-min", "1")
    asks = {"Accept-Encoding": "deflate"}
    reply = off.post("/v2/models/tiny/infer", MANY, headers=asks)
    assert "content-encoding" not in reply.headers and "vary" not in reply.headers and len(reply.json()["outputs"][0]["data"]) == 4000
    reply = early.post("/v2/models/tiny/infer", ONE, headers=asks)
    assert reply.headers["content-encoding"] == "deflate" and json.loads(zlib.decompress(reply.body))["outputs"][0]["data"] == pytest.approx(Y, rel=1e-6)
