"""test_cors.py - web pages of other origins: what a browser asks before and around a page's requests.

Properties: a browser that follows the Fetch standard lets the listed pages call the server, and no others; without the
option nothing is said about origins.
"""
import shutil, subprocess
import pytest
from models import X, Y

PAGE, OTHER = "https://app.example", "https://evil.example"
BODY = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": X}]}
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}


def fetch(server, origin, path="/v2/models/tiny/infer", credentials=False):
    """What a page of that origin gets: None where its browser refuses, else (body, the headers that it may see)."""
    asked = server.request("OPTIONS", path, headers={"Origin": origin, **PREFLIGHT})
    allows = asked.headers.get("access-control-allow-origin")
    if asked.status // 100 != 2 or allows not in (origin, "*") or "POST" not in asked.headers["access-control-allow-methods"]:
        return None
    granted = [h.strip() for h in asked.headers.get("access-control-allow-headers", "").split(",")]
    if not {"authorization", "content-type"} <= set(granted):
        return None
    reply = server.post(path, BODY, headers={"Origin": origin})
    if reply.headers.get("access-control-allow-origin") not in (origin, "*"):
        return None
    if credentials and (reply.headers.get("access-control-allow-credentials") != "true" or reply.headers["access-control-allow-origin"] == "*"):
        return None
    seen = {h.strip().lower() for h in reply.headers.get("access-control-expose-headers", "").split(",")}
    return reply.json(), seen


def test_listed_pages_may_call_and_others_may_not(serve, zoo):
    s = serve(f"tiny={zoo['tiny']}", "--cors-origins", f"http://localhost:3000, {PAGE}")
    body, seen = fetch(s, PAGE)
    assert body["outputs"][0]["data"] == pytest.approx(Y, rel=1e-6) and {"x-request-id", "inference-header-content-length"} <= seen
    assert fetch(s, OTHER) is None and fetch(s, PAGE, credentials=True) is None
    assert "error" in fetch(s, PAGE, "/v2/models/none/infer")[0]        # errors are readable, too
    assert "Origin" in s.get("/v2").headers["vary"]


def test_any_page_may_call_but_never_with_credentials(serve, zoo):
    s = serve(f"tiny={zoo['tiny']}", "--cors-origins", "*")
    assert fetch(s, OTHER) and fetch(s, OTHER, credentials=True) is None


def test_credentials_are_for_listed_pages(serve, zoo):
    s = serve(f"tiny={zoo['tiny']}", "--cors-origins", PAGE, "--cors-credentials")
    assert fetch(s, PAGE, credentials=True) and fetch(s, OTHER, credentials=True) is None


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_preflights_over_http2(serve, zoo):
    s = serve(f"tiny={zoo['tiny']}", "--cors-origins", PAGE, "--cors-credentials")
    asks = [x for k, v in {"Origin": PAGE, **PREFLIGHT}.items() for x in ("-H", f"{k}: {v}")]
    out = subprocess.run(["curl", "-sS", "-i", "--http2-prior-knowledge", "-X", "OPTIONS", *asks, f"{s.url}/v2/models/tiny/infer"], capture_output=True, text=True,
                         timeout=60, check=True).stdout
    assert out.startswith("HTTP/2 204") and f"access-control-allow-origin: {PAGE}" in out and "access-control-allow-headers: authorization,content-type" in out


def test_off_by_default(server):
    assert fetch(server, PAGE) is None
    assert not [h for h in server.get("/v2", headers={"Origin": PAGE}).headers if h.startswith("access-control")]
