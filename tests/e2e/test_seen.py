"""test_seen.py - what a server under load shows of itself: the same figure in /metrics, in `proa top`, in /debug/models.json and,
where Triton has it, in its statistics and under its names."""
import json, shutil, threading
import numpy as np
import onnx
import pytest
from conftest import until
from models import model
from onnx import TensorProto as T, helper as h
from test_jobs import ASYNC
from test_sequence import accumulator, config
from test_top import once

WIDE = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [384, 384], "data": [0.5] * (384 * 384)}]}


def metrics(server):
    """{name{labels}: value}"""
    rows = (x.rsplit(" ", 1) for x in server.get("/metrics").body.decode().splitlines() if not x.startswith("#"))
    return {k: float(v) for k, v in rows}


def of(name, m, version="1"):
    return f'{name}{{model_name="{m}",model_version="{version}"}}'


def top(server):
    done = once(server.url, "--json")
    assert done.returncode == 0, done
    got = json.loads(done.stdout)
    return got, {m["name"]: m for m in got["models"]}


def page(server, m):
    """What /debug/models draws from."""
    figures = server.get("/debug/models.json").json()
    [one] = [x for x in figures["models"] if x["name"] == m]
    return {r["name"]: v for r, v in zip(figures["rows"], one["values"])}


def stats(server, m):
    [one] = server.get(f"/v2/models/{m}/stats").json()["model_stats"]
    return one


@pytest.fixture
def repository(tmp_path, zoo):
    folder = tmp_path / "repository"

    def put(name, made, text=""):
        (folder / name / "1").mkdir(parents=True)
        onnx.save(made, folder / name / "1" / "model.onnx") if not hasattr(made, "read_bytes") else shutil.copy(made, folder / name / "1" / "model.onnx")
        if text:
            (folder / name / "config.pbtxt").write_text(text)
    put("slow", zoo["slow"])
    double = model([h.make_node("Add", ["x", "x"], ["y"])], [("x", T.FLOAT, ["n", 4])], [("y", T.FLOAT, ["n", 4])])
    put("batched", double, "max_batch_size: 16\ndynamic_batching { preferred_batch_size: 5 max_queue_delay_microseconds: 60000000 }\n")
    open_length = model([h.make_node("Add", ["x", "x"], ["y"])], [("x", T.FLOAT, ["n", "m"])], [("y", T.FLOAT, ["n", "m"])])
    put("unequal", open_length, 'max_batch_size: 16\nparameters { key: "padding" value { string_value: "on" } }\n'
        "dynamic_batching { preferred_batch_size: 5 max_queue_delay_microseconds: 60000000 }\n")
    put("sequence", accumulator(), config("oldest { max_candidate_sequences: 1 }", batch=1, idle_us=60000000))
    return folder


@pytest.fixture
def server(repository, serve, tmp_path):
    # Nothing runs on the loops: what is asked waits in its queue, where it can be seen.
    return serve("--model-repository", repository, "--model-control", "explicit", "--metrics-names", "both", "--jobs-dir", tmp_path / "jobs",
                 "--jobs-running-max", "1", "--inline-us", "0")


class Crowd:
    """So many requests at the same time; their answers are statuses."""

    def __init__(self, server, m, bodies):
        self.statuses = []
        ask = lambda body: self.statuses.append(server.post(f"/v2/models/{m}/infer", body, timeout=200).status)
        self.threads = [threading.Thread(target=ask, args=(b,)) for b in bodies]

    def __enter__(self):
        for t in self.threads:
            t.start()

    def __exit__(self, *_):
        for t in self.threads:
            t.join()
        assert self.statuses == [200] * len(self.threads), self.statuses


def test_the_depth_of_a_queue(server):
    stop = threading.Event()
    statuses = []

    def ask():
        while not stop.is_set():
            statuses.append(server.post("/v2/models/slow/infer", WIDE, timeout=200).status)
    threads = [threading.Thread(target=ask) for _ in range(12)]
    for t in threads:
        t.start()
    try:
        until(lambda: metrics(server)[of("proa_queue_waiting", "slow")] > 0)
        until(lambda: metrics(server)['nv_inference_pending_request_count{model="slow",version="1"}'] > 0)
        until(lambda: page(server, "slow")["proa_queue_waiting"] > 0)
        until(lambda: top(server)[1]["slow"]["waiting"] > 0, 60)
    finally:
        stop.set()
        for t in threads:
            t.join()
    assert set(statuses) == {200}
    assert metrics(server)[of("proa_queue_waiting", "slow")] == 0


def test_the_sizes_of_batches_and_their_padding(server):
    body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}]}
    before = top(server)[1]["batched"]
    assert before["rows_per_run"] is None and before["padding_share"] is None
    for _ in range(3):
        with Crowd(server, "batched", [body] * 5):
            pass
    now, shown, one = metrics(server), page(server, "batched"), stats(server, "batched")
    runs, rows, padding = (now[of(n, "batched")] for n in ("proa_batch_rows_count", "proa_batch_rows_sum", "proa_batch_padding_rows_total"))
    assert (runs, rows) == (3, 15) and padding % 3 == 0
    assert shown["proa_batch_rows"] == {"runs": 3, "rows": 15} and shown["proa_batch_padding_rows_total"] == padding
    assert one["inference_count"] == 15 and one["execution_count"] == 3
    assert [(b["batch_size"], b["compute_infer"]["count"]) for b in one["batch_stats"]] == [(5, 3)]
    assert now['nv_inference_count{model="batched",version="1"}'] == 15 and now['nv_inference_exec_count{model="batched",version="1"}'] == 3


def test_what_fills_rows_of_unequal_length(server):
    ask = lambda n: {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, n], "data": [1.5] * n}]}
    for _ in range(3):
        with Crowd(server, "unequal", [ask(n) for n in (1, 2, 3, 4, 5)]):
            pass
    now, shown = metrics(server), page(server, "unequal")
    entries, waste = (now[of(n, "unequal")] for n in ("proa_batch_entries_total", "proa_batch_padding_entries_total"))
    assert now[of("proa_batch_rows_count", "unequal")] == 3 and entries - waste == 45 and waste >= 30
    assert (shown["proa_batch_entries_total"], shown["proa_batch_padding_entries_total"]) == (entries, waste)


def test_the_slots_of_sequences(server):
    import tritonclient.http as http
    with http.InferenceServerClient(f"{server.host}:{server.port}", concurrency=4) as client:
        i = http.InferInput("INPUT", [1, 1], "INT32")
        i.set_data_from_numpy(np.array([[1]], np.int32))
        client.infer("sequence", [i], sequence_id=1, sequence_start=True)
        waits = client.async_infer("sequence", [i], sequence_id=2, sequence_start=True, sequence_end=True)
        until(lambda: metrics(server)[of("proa_sequences_backlog", "sequence")] == 1)
        assert metrics(server)[of("proa_sequences_active", "sequence")] == 1
        shown, said = page(server, "sequence"), top(server)[1]["sequence"]
        assert (shown["proa_sequences_active"], shown["proa_sequences_backlog"]) == (said["sequences"], said["sequences_backlog"]) == (1, 1)
        assert "sequences  backlog" in once(server.url).stdout
        client.infer("sequence", [i], sequence_id=1, sequence_end=True)
        waits.get_result()
        until(lambda: metrics(server)[of("proa_sequences_active", "sequence")] == 0)
        assert metrics(server)[of("proa_sequences_backlog", "sequence")] == 0


def test_the_ages_of_jobs(server):
    wide, count = json.dumps(WIDE).encode(), 10

    def old():
        nonlocal count
        count *= 2                                          # in the end they are more than are done in the seconds that it takes to look
        for _ in range(count):
            assert server.post("/v2/models/slow/infer", wide, headers=ASYNC).status == 202
        now, said = metrics(server), top(server)[0]
        [drawn] = [r["value"] for r in server.get("/debug/models.json").json()["server"] if r["name"] == "proa_jobs_oldest_seconds"]
        assert said["jobs_queued"] + said["jobs_running"] + said["jobs_kept"] > 0
        return now['proa_jobs{state="queued"}'] > 0 and now['proa_jobs{state="running"}'] == 1 and \
            min(now["proa_jobs_oldest_seconds"], said["jobs_oldest_seconds"], drawn) >= 1
    until(old, 200)
    assert "\njobs queued " in once(server.url).stdout


def test_loads_and_what_became_of_them(server, repository):
    before = metrics(server)
    count = lambda r: metrics(server)[f'proa_model_loads_total{{result="{r}"}}'] - before[f'proa_model_loads_total{{result="{r}"}}']
    assert server.post("/v2/repository/models/batched/load").status == 200 and count("ok") == 1
    (repository / "batched" / "2").mkdir()
    (repository / "batched" / "2" / "model.onnx").write_bytes(b"no model")
    assert server.post("/v2/repository/models/batched/load").status == 400 and count("failed") == 1
    assert server.post("/v2/repository/models/batched/unload").status == 200
    until(lambda: metrics(server)["proa_model_versions_unloaded_total"] >= before["proa_model_versions_unloaded_total"] + 2)
