"""test_metrics.py - /metrics is true Prometheus text, its numbers are those of the traffic, and an idle server costs nothing."""
import concurrent.futures
import json
import re
import pytest
from conftest import DIGITS, rests
from models import X
from test_v2 import outputs


def families(server):
    from prometheus_client.parser import text_string_to_metric_families
    reply = server.get("/metrics")
    assert reply.status == 200 and re.match(r"text/plain(;|$)", reply.headers["content-type"]), reply
    text = reply.body.decode()
    assert text.endswith("\n")
    return {f.name: f for f in text_string_to_metric_families(text)}, text


def totals(server, model):
    """{(sample name, other labels): value} of counters and histogram counts that carry the model's name."""
    found = {}
    for f in families(server)[0].values():
        for s in f.samples:
            if model in s.labels.values() and s.name.endswith(("_total", "_count")):
                found[s.name, tuple(sorted((k, v) for k, v in s.labels.items() if v != model))] = s.value
    return found


def ask(server, n=1, **kw):
    for _ in range(n):
        server.infer("tiny", [["x", "FP32", [1, 4], kw.get("data", X)]])


def test_every_family_has_help_type_and_a_proper_name(server):
    ask(server)
    found, text = families(server)
    assert len(found) >= 8
    helped, typed = re.findall(r"^# HELP (\S+) \S", text, re.M), re.findall(r"^# TYPE (\S+) (\w+)$", text, re.M)
    assert len(helped) == len(set(helped)) and sorted(helped) == sorted(n for n, _ in typed)
    for name, kind in typed:
        assert re.fullmatch(r"[a-z][a-z0-9_]*", name) and kind in ("counter", "gauge", "histogram")
        assert (kind == "counter") == name.endswith("_total") or name.startswith("nv_")
    seen = [line.rsplit(" ", 1)[0] for line in text.splitlines() if line and not line.startswith("#")]
    assert len(seen) == len(set(seen)), "a series may appear once"


def test_histograms_keep_their_rules(server):
    ask(server, 5)
    histograms = [f for f in families(server)[0].values() if f.type == "histogram"]
    assert histograms
    for f in histograms:
        series = {}
        for s in f.samples:
            key = tuple(sorted((k, v) for k, v in s.labels.items() if k != "le"))
            series.setdefault(key, {}).setdefault(s.name[len(f.name):], []).append((s.labels.get("le"), s.value))
        for key, parts in series.items():
            bounds = [float(le) for le, _ in parts["_bucket"]]
            counts = [v for _, v in parts["_bucket"]]
            assert bounds == sorted(set(bounds)) and bounds[-1] == float("inf"), (f.name, key)
            assert counts == sorted(counts) and counts[-1] == parts["_count"][0][1], (f.name, key)
            assert parts["_sum"][0][1] >= 0


def test_kserves_names_are_there(server):
    ask(server)
    found, _ = families(server)
    predict = found["request_predict_seconds"]
    assert any(s.labels.get("model_name") == "tiny" and s.name.endswith("_count") and s.value > 0 for s in predict.samples)


def test_counts_are_those_of_the_traffic(server):
    ask(server)
    before = totals(server, "tiny")
    ask(server, 17)
    after = totals(server, "tiny")
    moved = {k: v - before.get(k, 0) for k, v in after.items() if v != before.get(k, 0)}
    assert moved and 17 in moved.values(), moved
    assert any(k[0].endswith("_count") and v == 17 for k, v in moved.items()), moved
    ask(server, 3, data=[1])
    failed = totals(server, "tiny")
    assert any(v - after.get(k, 0) == 3 for k, v in failed.items()), "refused requests are counted, too"


def test_label_values_cannot_break_the_format(serve, zoo):
    s = serve(f"tiny={zoo['tiny']}")
    for path in ('/v2/models/a"b%0A%5C/ready', "/v2/models/%F0%9F%98%80", "/x" * 50):
        s.get(path)
    found, text = families(s)
    assert len(text) < 200_000
    size = len(text)
    for i in range(300):
        s.get(f"/v2/models/unknown-{i}/ready")
    assert len(families(s)[1]) < size + 2000, "strangers must not be able to make series"


def value(server, name, **labels):
    """The sum of all series of that name with those labels; the parser gives every counter the suffix that Triton's lack."""
    return sum(s.value for f in families(server)[0].values() for s in f.samples
               if s.name in (name, name + "_total") and all(s.labels.get(k) == v for k, v in labels.items()))


def test_requests_are_told_by_protocol_and_code(serve, zoo):
    s = serve(f"tiny={zoo['tiny']}")
    ask(s, 3)
    s.post("/v1/models/tiny:predict", {"instances": [[1, 2, 3, 4]]})
    ask(s, 2, data=[1])
    s.post("/v1/models/stranger:predict", {"instances": [[1, 2, 3, 4]]})
    assert value(s, "proa_requests_total", model_name="tiny", protocol="v2", code="200") == 3
    assert value(s, "proa_requests_total", model_name="tiny", protocol="v2", code="400") == 2
    assert value(s, "proa_requests_total", model_name="tiny", protocol="v1") == 1
    assert value(s, "proa_requests_total", model_name="", protocol="v1", code="404") == 1
    assert value(s, "proa_http_answers_total", protocol="http1", code="4xx") == 3
    assert "stranger" not in families(s)[1]


def test_limits_that_were_met_are_counted_by_name(serve, zoo):
    s = serve(f"tiny={zoo['tiny']}", "--body-bytes-max", "4096", "--header-bytes-max", "1024")
    assert s.post("/v2/models/tiny/infer", {"inputs": "x" * 5000}).status == 413
    assert s.get("/" + "x" * 3000).status == 414
    assert value(s, "proa_limit_hits_total", limit="body-bytes-max") == 1
    assert value(s, "proa_limit_hits_total", limit="header-bytes-max") == 1
    assert value(s, "proa_limit_hits_total") == 2


def hits(server):
    """{limit: how often} of those that were met."""
    return {s.labels["limit"]: s.value for s in families(server)[0]["proa_limit_hits"].samples if s.value}


def zeros(server, model, name, rows):
    """Cheap for who asks, not for who answers."""
    head = json.dumps({"inputs": [{"name": name, "datatype": "FP32", "shape": [rows, 384], "parameters": {"binary_data_size": 1536 * rows}}]}).encode()
    return server.post(f"/v2/models/{model}/infer", head + bytes(1536 * rows), headers={"Inference-Header-Content-Length": str(len(head))}, timeout=200)


@pytest.mark.parametrize("options, name", [(["--model-rates", "slow=1:1"], "model-rates"), (["--latency-objective-ms", "1"], "latency-objective-ms"),
                                           (["--queue-bytes-max", "2000000"], "queue-bytes-max"), (["--queue-max", "1"], "queue-max")])
def test_what_a_queue_refuses_is_counted_by_the_option_that_did(serve, zoo, options, name):
    s = serve(f"slow={zoo['slow']}", "--inline-us", "0", "--threads", "1", *options)
    replies = []

    def asker(_):
        while not any(r.status == 429 for r in replies):
            replies.append(zeros(s, "slow", "x", 384))
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(asker, range(8)))
    refused = sum(r.status == 429 for r in replies)
    assert {r.status for r in replies} <= {200, 429} and hits(s) == {name: refused}
    assert value(s, "proa_queue_rejected_total", model_name="slow") == refused


def test_what_is_larger_than_a_queue_by_itself_is_not_to_come_again(serve, zoo):
    s = serve(f"slow={zoo['slow']}", "--inline-us", "0", "--queue-bytes-max", "1000000")
    refused = zeros(s, "slow", "x", 1536)
    assert refused.status == 413 and "retry-after" not in refused.headers and "the limit is 1000000, got" in refused.json()["error"], refused
    assert zeros(s, "slow", "x", 384).status == 200
    assert hits(s) == {"queue-bytes-max": 1} and value(s, "proa_inference_invalid_total", model_name="slow") == 1


def test_a_run_that_is_cut_off_has_failed_alone_and_in_an_ensemble(serve, zoo, tmp_path):
    (tmp_path / "pipe" / "1").mkdir(parents=True)
    (tmp_path / "pipe" / "config.pbtxt").write_text(
        'platform: "ensemble" input [ { name: "a" data_type: TYPE_FP32 dims: [ -1, 384 ] } ] output [ { name: "b" data_type: TYPE_FP32 dims: [ -1, -1 ] } ]'
        'ensemble_scheduling { step [ { model_name: "slow" model_version: -1 input_map { key: "x" value: "a" } output_map { key: "y" value: "b" } } ] }')
    s = serve("--model-repository", tmp_path, f"slow={zoo['slow']}", "--compute-wait-ms", "1", "--metrics-names", "both")
    for model, name in (("slow", "x"), ("pipe", "a")):
        r = zeros(s, model, name, 1536)
        assert r.status == 504 and "within 1 ms" in r.json()["error"], r
    for model, failed in (("slow", 2), ("pipe", 1)):
        assert value(s, "proa_inference_failure_total", model_name=model) == failed
        assert value(s, "proa_inference_expired_total", model_name=model) == 0
        assert value(s, "nv_inference_request_failure", model=model, reason="BACKEND") == failed
        assert value(s, "nv_inference_request_failure", model=model, reason="REJECTED") == 0
    assert hits(s) == {"compute-wait-ms": 2}


def test_openmetrics_is_what_its_own_parser_takes(server):
    from prometheus_client.openmetrics.parser import text_string_to_metric_families
    ask(server)
    reply = server.get("/metrics", headers={"Accept": "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"})
    assert reply.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    text = reply.body.decode()
    found = {f.name: f for f in text_string_to_metric_families(text)}
    assert text.endswith("# EOF\n")
    assert found["proa_http_requests"].type == "counter" and found["request_predict_seconds"].type == "histogram"
    assert found["process_cpu_seconds"].samples[0].value > 0


@pytest.mark.parametrize("names", ["triton", "both"])
def test_triton_names_on_demand(serve, zoo, names):
    s = serve(f"tiny={zoo['tiny']}", "--metrics-names", names)
    ask(s, 5)
    ask(s, 2, data=[1])
    of = {"model": "tiny", "version": "1"}
    assert value(s, "nv_inference_request_success", **of) == value(s, "nv_inference_count", **of) == 5
    assert value(s, "nv_inference_request_failure", reason="OTHER", **of) == 2
    total = value(s, "nv_inference_request_duration_us", **of)
    parts = [value(s, f"nv_inference_{p}_duration_us", **of) for p in ("queue", "compute_infer", "compute_output")]
    assert 0 < sum(parts) <= total + len(parts), "each is rounded down"
    found, _ = families(s)
    assert ("proa_http_requests" in found) == (names == "both") and "process_open_fds" in found
    from prometheus_client.openmetrics.parser import text_string_to_metric_families
    reply = s.get("/metrics", headers={"Accept": "application/openmetrics-text"})
    assert "nv_inference_count" in {f.name for f in text_string_to_metric_families(reply.body.decode())}


# ---- an idle server ----------------------------------------------------------------------------------------------

def test_an_idle_server_uses_no_processor_time_and_never_wakes(serve, zoo, wire):
    s = serve(f"digits={DIGITS}", f"tiny={zoo['tiny']}")
    with wire(s) as w:                                      # one connection stays open
        w.send(b"GET /v2/health/live HTTP/1.1\r\nHost: a\r\n\r\n").reply()
        ask(s, 50)
        rests(s.pid)


def test_an_idle_server_is_small(serve):
    s = serve(f"digits={DIGITS}")
    assert outputs(s.infer("digits", [["image", "FP32", [1, 1, 8, 8], [0] * 64]]))
    pss = next(int(line.split()[1]) for line in open(f"/proc/{s.pid}/smaps_rollup") if line.startswith("Pss:"))
    assert pss <= 8 * 1024, f"{pss} kB"


def test_request_ids_are_in_the_log(serve, zoo):
    import json
    s = serve(f"tiny={zoo['tiny']}", "--log-format", "json", "--log-requests", "true")
    ask(s, 3)
    s.get("/v2/models/none")
    s.stop()
    lines = [json.loads(line) for line in s.log().splitlines() if line.strip()]
    asked = [x for x in lines if str(x.get("path", "")).startswith("/v2/models/")]
    assert [str(x["status"]) for x in asked] == ["200", "200", "200", "404"], s.log()
    assert len({x["request"] for x in asked}) == 4, "each request has an id of its own"
