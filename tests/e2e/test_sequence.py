"""test_sequence.py - sequences with state in the server, as Triton's example clients for them do: unmodified tritonclient over REST, gRPC and its stream."""
import queue
import threading
import time
import numpy as np
import onnx
import pytest
from conftest import until
from models import model
from onnx import TensorProto as T, helper as h

pytestmark = pytest.mark.apart   # tritonclient.grpc is used in the test itself


def accumulator(corrid=T.UINT64, batched=True):
    """OUTPUT = INPUT + the state; the state goes on as OUTPUT.  What the server brings is given back in WAS_*."""
    n = ["n"] if batched else []
    nodes = [h.make_node("Add", ["INPUT", "IN_STATE"], ["OUTPUT"]), h.make_node("Identity", ["OUTPUT"], ["OUT_STATE"])]
    ins = [("INPUT", T.INT32, n + [1]), ("IN_STATE", T.INT32, n + [1])]
    outs = [("OUTPUT", T.INT32, n + [1]), ("OUT_STATE", T.INT32, n + [1])]
    for name, t in (("START", T.INT32), ("READY", T.FLOAT), ("END", T.BOOL), ("CORRID", corrid)):
        nodes.append(h.make_node("Identity", [name], ["WAS_" + name]))
        ins.append((name, t, n + [1]))
        outs.append(("WAS_" + name, t, n + [1]))
    return model(nodes, ins, outs)


def config(strategy, corrid="UINT64", batch=4, idle_us=60000000, initial="", corrid_kind=None):
    return f"""
max_batch_size: {batch}
input {{ name: "INPUT" data_type: TYPE_INT32 dims: 1 }}
output [ {{ name: "OUTPUT" data_type: TYPE_INT32 dims: 1 }}, {{ name: "WAS_START" data_type: TYPE_INT32 dims: 1 }},
         {{ name: "WAS_READY" data_type: TYPE_FP32 dims: 1 }}, {{ name: "WAS_END" data_type: TYPE_BOOL dims: 1 }},
         {{ name: "WAS_CORRID" data_type: TYPE_{corrid} dims: 1 }} ]
sequence_batching {{
  max_sequence_idle_microseconds: {idle_us}
  {strategy}
  control_input [
    {{ name: "START" control {{ kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ] }} }},
    {{ name: "READY" control {{ kind: CONTROL_SEQUENCE_READY fp32_false_true: [ 0, 7 ] }} }},
    {{ name: "END" control {{ kind: CONTROL_SEQUENCE_END bool_false_true: [ false, true ] }} }},
    {{ name: "CORRID" control {{ kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_{corrid} }} }}
  ]
  state {{ input_name: "IN_STATE" output_name: "OUT_STATE" data_type: TYPE_INT32 dims: 1 {initial} }}
}}
"""


@pytest.fixture
def server(tmp_path, serve):
    folder = tmp_path / "repository"

    def put(name, made, text):
        (folder / name / "1").mkdir(parents=True)
        onnx.save(made, folder / name / "1" / "model.onnx")
        (folder / name / "config.pbtxt").write_text(text)
    put("direct", accumulator(), config("direct { }"))
    put("oldest", accumulator(), config("oldest { max_candidate_sequences: 4 }"))
    put("plain", accumulator(batched=False), config("direct { }", batch=0))
    put("text", accumulator(T.STRING), config("direct { }", corrid="STRING"))
    put("short", accumulator(), config("oldest { max_candidate_sequences: 1 }", idle_us=6000000))
    put("hundred", accumulator(), config("direct { }", initial='initial_state { name: "i" data_type: TYPE_INT32 dims: 1 data_file: "hundred" }'))
    (folder / "hundred" / "initial_state").mkdir()
    (folder / "hundred" / "initial_state" / "hundred").write_bytes(np.array([100], np.int32).tobytes())
    return serve("--model-repository", folder)


def clients(server):
    import tritonclient.grpc as grpc_lib
    import tritonclient.http as http_lib
    at = f"{server.host}:{server.port}"
    return (http_lib.InferenceServerClient(at, concurrency=4), http_lib), (grpc_lib.InferenceServerClient(at), grpc_lib)


def tensor(lib, value, batched=True):
    i = lib.InferInput("INPUT", [1, 1] if batched else [1], "INT32")
    i.set_data_from_numpy(np.full([1, 1] if batched else [1], value, np.int32))
    return [i]


def run(client, lib, name, sequence, values, **kw):
    """As simple_http_sequence_sync_infer_client does: the sums."""
    got = []
    for k, v in enumerate(values):
        r = client.infer(name, tensor(lib, v, name != "plain"), sequence_id=sequence, sequence_start=k == 0, sequence_end=k == len(values) - 1, **kw)
        got.append(int(r.as_numpy("OUTPUT").reshape(-1)[0]))
        controls = [r.as_numpy("WAS_" + n).reshape(-1)[0] for n in ("START", "READY", "END", "CORRID")]
        said = sequence.encode() if isinstance(sequence, str) else str(sequence).encode() if name == "text" else sequence
        assert controls == [k == 0, 7, k == len(values) - 1, said], controls
    return got


def test_states_go_from_request_to_request(server):
    values = [11, 7, 5, 3, 2, 0, 1]
    for client, lib in clients(server):
        for name in ("direct", "oldest", "plain"):
            assert run(client, lib, name, 1000, values) == list(np.cumsum(values))
            assert run(client, lib, name, 1000, values) == list(np.cumsum(values))      # begun anew
        assert run(client, lib, "hundred", 5, values) == [100 + v for v in np.cumsum(values)]
        assert run(client, lib, "text", "a sequence", values) == list(np.cumsum(values))
        assert run(client, lib, "text", 12, [1, 2]) == [1, 3]                            # a number is a text, too


def test_sequences_over_a_stream(server):
    """As simple_grpc_sequence_stream_infer_client does, with numbers and texts as ids."""
    import tritonclient.grpc as grpc_lib
    values = [11, 7, 5, 3, 2, 0, 1]
    for name, ids in (("direct", (1001, 1002)), ("text", ("one", "two"))):
        answers = queue.Queue()
        with grpc_lib.InferenceServerClient(f"{server.host}:{server.port}") as client:
            client.start_stream(callback=lambda result, error: answers.put((result, error)))
            for k, v in enumerate(values):
                for i, s in enumerate(ids):
                    client.async_stream_infer(name, tensor(grpc_lib, v if i == 0 else -v), request_id=f"{i}_{k}", sequence_id=s,
                                              sequence_start=k == 0, sequence_end=k == len(values) - 1)
            got = {}
            for _ in range(2 * len(values)):
                result, error = answers.get(timeout=20)
                assert error is None
                i, k = result.get_response().id.split("_")
                got.setdefault(int(i), {})[int(k)] = int(result.as_numpy("OUTPUT")[0][0])
            client.stop_stream()
        sums = np.cumsum(values)
        assert [got[0][k] for k in range(len(values))] == list(sums) and [got[1][k] for k in range(len(values))] == list(-sums)


def test_many_sequences_at_once_keep_their_own_states(server):
    wrong = []

    def one(k):
        client, lib = clients(server)[k % 2]
        for name in ("direct", "oldest"):                       # more sequences than slots
            values = list(range(k, k + 12))
            if run(client, lib, name, 100 + k, values) != list(np.cumsum(values)):
                wrong.append(k)
    threads = [threading.Thread(target=one, args=(k,)) for k in range(12)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert not wrong


def test_what_is_wrong_is_told_in_tritons_words(server):
    from tritonclient.utils import InferenceServerException
    for client, lib in clients(server):
        def refused(why, name="direct", rows=1, **kw):
            i = lib.InferInput("INPUT", [rows, 1], "INT32")
            i.set_data_from_numpy(np.zeros((rows, 1), np.int32))
            with pytest.raises(InferenceServerException) as e:
                client.infer(name, [i], **kw)
            assert e.value.message() == why
        refused("inference request to model 'direct' must specify a non-zero or non-empty correlation ID")
        refused("inference request for sequence 77 to model 'direct' must specify the START flag on the first request of the sequence", sequence_id=77)
        refused("inference request to model 'direct' must specify batch-size 1 due to requirements of sequence batcher", rows=2, sequence_id=3, sequence_start=True)
        refused("sequence_id: expected a number, as model 'direct' takes it, got 'abc'", sequence_id="abc", sequence_start=True, sequence_end=True)
        run(client, lib, "direct", 9, [1])
        refused("inference request for sequence 9 to model 'direct' must specify the START flag on the first request of the sequence", sequence_id=9)


def test_a_start_within_a_sequence_begins_it_anew(server):
    client, lib = clients(server)[0]
    ask = lambda v, start, end=False: int(client.infer("direct", tensor(lib, v), sequence_id=4, sequence_start=start, sequence_end=end).as_numpy("OUTPUT")[0][0])
    assert [ask(5, True), ask(6, False), ask(1, True), ask(2, False, True)] == [5, 11, 1, 3]


def test_the_slot_of_a_client_that_is_gone_comes_back(server):
    from tritonclient.utils import InferenceServerException
    client, lib = clients(server)[0]
    def active(n):
        until(lambda: f'proa_sequences_active{{model_name="short",model_version="1"}} {n}\n' in server.get("/metrics").body.decode())
    client.infer("short", tensor(lib, 1), sequence_id=1, sequence_start=True)           # and no more of it
    active(1)
    assert run(client, lib, "short", 2, [4, 5]) == [4, 9]                                # waited for the only slot
    with pytest.raises(InferenceServerException) as e:
        client.infer("short", tensor(lib, 1), sequence_id=1)
    assert "must specify the START flag" in e.value.message()
    active(0)


def test_a_dropped_request_ends_its_sequence(server):
    """Nobody is given sums that lack a number: what goes on without a START is refused, and the slot is free."""
    from tritonclient.utils import InferenceServerException
    (http, http_lib), (grpc, grpc_lib) = clients(server)
    ask = lambda c, lib, s, v, **kw: int(c.infer("short", tensor(lib, v), sequence_id=s, **kw).as_numpy("OUTPUT")[0][0])
    assert ask(http, http_lib, 1, 5, sequence_start=True) == 5
    for k, (c, lib) in enumerate(((http, http_lib), (grpc, grpc_lib))):
        since = time.monotonic()
        with pytest.raises(InferenceServerException) as e:                               # the only slot is taken
            ask(c, lib, 7, 1, sequence_start=True, timeout=200000)
        assert "Request timeout expired" in e.value.message() and time.monotonic() - since < 3
        with pytest.raises(InferenceServerException) as e:
            ask(c, lib, 7, 1)
        assert "must specify the START flag" in e.value.message()
    with pytest.raises(InferenceServerException):
        grpc.infer("short", tensor(grpc_lib, 1), sequence_id=8, sequence_start=True, client_timeout=.2)
    assert ask(http, http_lib, 1, 6) == 11                                              # it has gone on
    metric = lambda line: until(lambda: line in server.get("/metrics").body.decode())
    metric('proa_queue_dropped_total{model_name="short",model_version="1",reason="timeout"} 2\n')
    metric('proa_inference_failure_total{model_name="short",model_version="1"} 0\n')
    assert ask(http, http_lib, 1, 1, sequence_end=True) == 12
    assert run(http, http_lib, "short", 9, [4, 5]) == [4, 9]


def test_clients_do_not_see_what_the_server_brings(server):
    http, grpc = [c for c, _ in clients(server)]
    meta = http.get_model_metadata("direct")
    assert [i["name"] for i in meta["inputs"]] == ["INPUT"]
    assert [o["name"] for o in meta["outputs"]] == ["OUTPUT", "WAS_START", "WAS_READY", "WAS_END", "WAS_CORRID"]
    assert [i.name for i in grpc.get_model_metadata("direct").inputs] == ["INPUT"]
    assert http.get_model_config("direct")["sequence_batching"]["max_sequence_idle_microseconds"] == 60000000


def test_direct_waits_for_a_part_of_its_slots(serve, tmp_path):
    """minimum_slot_utilization 0.75 of four slots: two wait for the delay, a third makes them run; without it the delay means nothing."""
    import tritonclient.http as lib
    for name, utilization in (("most", "minimum_slot_utilization: 0.75"), ("any", "")):
        (tmp_path / "r" / name / "1").mkdir(parents=True)
        onnx.save(accumulator(), tmp_path / "r" / name / "1" / "model.onnx")
        (tmp_path / "r" / name / "config.pbtxt").write_text(
            config(f"direct {{ max_queue_delay_microseconds: 60000000 {utilization} }}", idle_us=600000000))
    server = serve("--model-repository", tmp_path / "r", "--inline-us", "0")
    at = f"{server.host}:{server.port}"
    with lib.InferenceServerClient(at) as client:
        assert run(client, lib, "any", 1, [1, 2]) == [1, 3]      # at once

    def waiting():
        page = server.get("/metrics").body.decode().splitlines()
        return next(int(line.split()[-1]) for line in page if line.startswith('proa_queue_waiting{') and '"most"' in line)

    def ask(sequence, answers):
        with lib.InferenceServerClient(at) as client:
            r = client.infer("most", tensor(lib, sequence), sequence_id=sequence, sequence_start=True)
            answers.append((int(r.as_numpy("OUTPUT")[0, 0]), float(r.as_numpy("WAS_READY")[0, 0])))
    answers, threads = [], []
    for sequence in (1, 2, 3):
        assert not answers
        threads.append(threading.Thread(target=ask, args=(sequence, answers)))
        threads[-1].start()
        until(lambda: sequence == 3 or waiting() >= sequence)
    for t in threads:
        t.join(30)
    assert sorted(answers) == [(1, 7), (2, 7), (3, 7)]
    stats = server.get("/v2/models/most/stats").json()["model_stats"][0]
    assert stats["execution_count"] == 1 and stats["inference_count"] == 3


@pytest.mark.parametrize("strategy, why", [
    ("direct { minimum_slot_utilization: 1.5 }", "sequence batching minimum slot utilization must be in range (0.0, 1.0]"),
    ("oldest { max_candidate_sequences: 4 preferred_batch_size: 5 }", "sequence batching preferred batch"),
])
def test_a_bad_strategy_is_refused_with_one_line(tmp_path, strategy, why):
    from conftest import run_proa
    (tmp_path / "m" / "1").mkdir(parents=True)
    onnx.save(accumulator(), tmp_path / "m" / "1" / "model.onnx")
    (tmp_path / "m" / "config.pbtxt").write_text(config(strategy))
    ended = run_proa("serve", "--port", "0", "--model-repository", tmp_path)
    assert ended.returncode != 0 and why in ended.stderr and len(ended.stderr.strip().splitlines()) == 1, ended.stderr


@pytest.mark.parametrize("goes_in, comes_out, said, why", [
    (T.FLOAT, T.FLOAT, "FP16", "configuration expects datatype TYPE_FP16 for input state 'IN_STATE', model provides TYPE_FP32"),
    (T.FLOAT, T.FLOAT, "UINT8", "configuration expects datatype TYPE_UINT8 for input state 'IN_STATE', model provides TYPE_FP32"),
    (T.DOUBLE, T.UINT8, "FP64", "configuration expects datatype TYPE_FP64 for output state 'OUT_STATE', model provides TYPE_UINT8"),
    (T.INT32, T.FLOAT, "INT32", "configuration expects datatype TYPE_INT32 for output state 'OUT_STATE', model provides TYPE_FP32"),
])
def test_a_state_of_another_type_than_the_models_is_refused(tmp_path, goes_in, comes_out, said, why):
    from conftest import run_proa
    made = model([h.make_node("Cast", ["IN_STATE"], ["OUT_STATE"], to=comes_out), h.make_node("Identity", ["INPUT"], ["OUTPUT"])],
                 [("INPUT", T.INT32, [1]), ("IN_STATE", goes_in, [512])], [("OUTPUT", T.INT32, [1]), ("OUT_STATE", comes_out, [512])])
    (tmp_path / "m" / "1").mkdir(parents=True)
    onnx.save(made, tmp_path / "m" / "1" / "model.onnx")
    (tmp_path / "m" / "config.pbtxt").write_text(f"""
input {{ name: "INPUT" data_type: TYPE_INT32 dims: 1 }} output {{ name: "OUTPUT" data_type: TYPE_INT32 dims: 1 }}
sequence_batching {{ state {{ input_name: "IN_STATE" output_name: "OUT_STATE" data_type: TYPE_{said} dims: 512 }} }}""")
    ended = run_proa("serve", "--port", "0", "--model-repository", tmp_path)
    assert ended.returncode != 0 and f"unable to load model 'm', {why}" in ended.stderr, ended.stderr


def test_states_of_any_size_do_not_end_the_server(serve, tmp_path):
    for name, dims in (("good", "[1, 1]"), ("huge", "[4611686018427387904, 4]"), ("large", "[1048576, 1048576]")):
        (tmp_path / "r" / name / "1").mkdir(parents=True)
        onnx.save(model([h.make_node("Add", ["INPUT", "IN_STATE"], ["OUTPUT"]), h.make_node("Identity", ["OUTPUT"], ["OUT_STATE"])],
                        [("INPUT", T.INT32, [1]), ("IN_STATE", T.INT32, ["a", "b"])], [("OUTPUT", T.INT32, ["a", "b"]), ("OUT_STATE", T.INT32, ["a", "b"])]),
                  tmp_path / "r" / name / "1" / "model.onnx")
        (tmp_path / "r" / name / "config.pbtxt").write_text(
            'input { name: "INPUT" data_type: TYPE_INT32 dims: 1 } output { name: "OUTPUT" data_type: TYPE_INT32 dims: [-1, -1] } sequence_batching { '
            f'state {{ input_name: "IN_STATE" output_name: "OUT_STATE" data_type: TYPE_INT32 dims: {dims} }} }}')
    server = serve("--model-repository", tmp_path / "r", "--exit-on-error", "false")
    index = {m["name"]: m for m in server.post("/v2/repository/index", b"").json()}
    assert index["good"]["state"] == "READY"
    for name in ("huge", "large"):
        assert index[name]["state"] == "UNAVAILABLE" and "expected at most 1073741824 bytes in all states of a sequence" in index[name]["reason"]
