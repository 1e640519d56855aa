"""test_v2.py - the Open Inference Protocol over REST: what goes in comes out exact, and what is wrong is refused by name.

Properties: every datatype survives JSON and binary, in any mix; the answer says what the request asked for and nothing else;
every malformed request gets 4xx with {"error": "..."} and leaves the server as it was.
"""
import concurrent.futures, json, re, struct
import numpy as np
import pytest
from models import TYPES, X, Y

NUMERIC = [t for t in TYPES if t not in ("BYTES", "BOOL")]
JSON_NUMERIC = [t for t in NUMERIC if t != "FP16"]
SAMPLES = {"BOOL": [True, False, True, True], "BYTES": ["", "plain", "grün \u20ac \U0001f600", 'quote " back \\ slash / \n tab\t \x01'],
           "INT64": [-2**63, 2**63 - 1, -1, 2**53 + 1], "UINT64": [0, 2**64 - 1, 2**63, 2**53 + 1],
           "FP32": [1.5, -0.0, 3.4028234663852886e38, 1e-45], "FP64": [0.1, -1.7976931348623157e308, 5e-324, 2**53 + 2.0],
           "FP16": [1.5, -2.0, 65504.0, 6e-8]}
for name, (_, kind) in TYPES.items():
    if name not in SAMPLES:
        SAMPLES[name] = [int(np.iinfo(kind).min), int(np.iinfo(kind).max), 0, 7]


def strict(text):
    """JSON as the standard has it: NaN and Infinity are not numbers."""
    def refuse(word):
        raise AssertionError(f"not JSON: {word}")
    return json.loads(text, parse_constant=refuse)


def to_bytes(datatype, values):
    if datatype == "BYTES":
        items = [v if isinstance(v, bytes) else v.encode() for v in values]
        return b"".join(struct.pack("<I", len(v)) + v for v in items)
    return np.array(values, TYPES[datatype][1]).tobytes()


def binary(server, model, inputs, path=None, headers=None, **more):
    """inputs: (name, datatype, shape, bytes or JSON data). Returns the Reply."""
    entries, tail = [], b""
    for name, datatype, shape, data in inputs:
        e = {"name": name, "datatype": datatype, "shape": shape}
        if isinstance(data, bytes):
            e["parameters"] = {"binary_data_size": len(data)}
            tail += data
        else:
            e["data"] = data
        entries.append(e)
    head = json.dumps({"inputs": entries, **more}).encode()
    return server.post(path or f"/v2/models/{model}/infer", head + tail,
                       headers={"Inference-Header-Content-Length": str(len(head)), "Content-Type": "application/octet-stream", **(headers or {})})


def outputs(reply):
    """{name: (datatype, shape, JSON data or bytes)} of a 200 answer, checked for inner consistency."""
    assert reply.status == 200, reply
    length = reply.headers.get("inference-header-content-length")
    head = reply.body if length is None else reply.body[:int(length)]
    at, found, body = len(head), {}, strict(head)
    if length is None:
        assert reply.headers["content-type"].split(";")[0] == "application/json"
    else:
        assert reply.headers["content-type"] == "application/octet-stream"
    for o in body["outputs"]:
        size = o.get("parameters", {}).get("binary_data_size")
        if size is None:
            found[o["name"]] = (o["datatype"], o["shape"], o["data"])
        else:
            assert "data" not in o
            found[o["name"]] = (o["datatype"], o["shape"], reply.body[at:at + size])
            at += size
    assert at == len(reply.body)
    return found


def refused(reply, status, *words):
    """The answer is an error of the given status whose text names what is wrong."""
    assert reply.status == status, reply
    body = strict(reply.body)
    assert list(body) == ["error"] and isinstance(body["error"], str) and body["error"], reply
    assert "\n" not in body["error"]
    for w in words:
        assert w.lower() in body["error"].lower(), f"{w!r} is not in {body['error']!r}"
    return body["error"]


# ---- health and metadata -----------------------------------------------------------------------------------------

def test_health_answers_as_kserve_does(server):
    assert server.get("/v2/health/live").json() == {"live": True}
    assert server.get("/v2/health/ready").json() == {"ready": True}
    assert server.get("/v2/models/tiny/ready").json() == {"name": "tiny", "ready": True}
    for path in ("/healthz", "/readyz"):
        assert server.get(path).status == 200
    assert server.get("/").json() == {"status": "alive"}


def test_server_metadata_names_itself_and_its_extensions(server):
    for path in ("/v2", "/v2/"):
        body = server.get(path).json()
        assert body["name"] and body["version"] and "binary_tensor_data" in body["extensions"], body


def test_model_metadata_gives_names_types_and_minus_one_for_any(server):
    body = server.get("/v2/models/pair").json()
    assert body["name"] == "pair" and body["versions"] == ["1"] and body["platform"]
    assert body["inputs"] == [{"name": "a", "datatype": "FP32", "shape": [-1, 3]}, {"name": "b", "datatype": "FP32", "shape": [-1, 3]},
                              {"name": "i", "datatype": "INT64", "shape": [-1]}]
    assert [(o["name"], o["datatype"], o["shape"]) for o in body["outputs"]] == [("sum", "FP32", [-1, 3]), ("count", "INT64", [-1])]


@pytest.mark.parametrize("datatype", TYPES)
def test_metadata_names_each_datatype(server, datatype):
    body = server.get(f"/v2/models/id_{datatype.lower()}").json()
    assert body["inputs"] == [{"name": "x", "datatype": datatype, "shape": [-1, -1]}]
    assert body["outputs"][0]["datatype"] == datatype


def test_models_are_listed(server, zoo):
    assert set(zoo) <= set(m if isinstance(m, str) else m["name"] for m in server.get("/v2/models").json()["models"])


def test_version_one_is_the_model_and_other_versions_do_not_exist(server):
    assert server.get("/v2/models/tiny/versions/1").json()["name"] == "tiny"
    assert server.get("/v2/models/tiny/versions/1/ready").status == 200
    body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": X}]}
    assert outputs(server.post("/v2/models/tiny/versions/1/infer", body))["y"][2] == pytest.approx(Y, rel=1e-6)
    for version in ("2", "0", "x", "99999999999999999999"):
        for reply in (server.get(f"/v2/models/tiny/versions/{version}"), server.get(f"/v2/models/tiny/versions/{version}/ready"),
                      server.post(f"/v2/models/tiny/versions/{version}/infer", body)):
            refused(reply, 404, "tiny", version)


# ---- inference ---------------------------------------------------------------------------------------------------

def test_flat_and_nested_data_mean_the_same(server):
    want = None
    for data in (X * 2, [X, X]):
        reply = server.infer("tiny", [["x", "FP32", [2, 4], data]])
        got = outputs(reply)
        assert got["y"][:2] == ("FP32", [2, 4]) and got["y"][2] == pytest.approx(Y * 2, rel=1e-6)
        assert want in (None, got)
        want = got
        assert reply.json()["model_name"] == "tiny" and reply.json()["model_version"] == "1"


@pytest.mark.parametrize("datatype", [t for t in TYPES if t != "FP16"])
def test_every_datatype_survives_json(server, datatype):
    got = outputs(server.infer(f"id_{datatype.lower()}", [["x", datatype, [2, 2], SAMPLES[datatype]]]))
    assert got == {"y": (datatype, [2, 2], got["y"][2])}
    if datatype == "FP32":
        assert [np.float32(v) for v in got["y"][2]] == [np.float32(v) for v in SAMPLES[datatype]]
    else:
        assert got["y"][2] == SAMPLES[datatype]
    assert [type(v) for v in got["y"][2]] == [type(v) for v in SAMPLES[datatype]] or datatype in ("FP32", "FP64")


@pytest.mark.parametrize("datatype", TYPES)
def test_every_datatype_survives_binary(server, datatype):
    raw = to_bytes(datatype, SAMPLES[datatype])
    got = outputs(binary(server, f"id_{datatype.lower()}", [("x", datatype, [4, 1], raw)], parameters={"binary_data_output": True}))
    assert got == {"y": (datatype, [4, 1], raw)}


@pytest.mark.parametrize("datatype", [t for t in TYPES if t != "FP16"])
def test_binary_in_and_json_out_and_the_reverse(server, datatype):
    model, raw = f"id_{datatype.lower()}", to_bytes(datatype, SAMPLES[datatype])
    text = outputs(binary(server, model, [("x", datatype, [1, 4], raw)]))["y"][2]
    assert to_bytes(datatype, text) == raw
    back = server.infer(model, [["x", datatype, [1, 4], SAMPLES[datatype]]], outputs=[{"name": "y", "parameters": {"binary_data": True}}])
    assert outputs(back)["y"] == (datatype, [1, 4], raw)


def test_fp16_in_json_is_exact_or_refused(server):
    reply = server.infer("id_fp16", [["x", "FP16", [1, 4], SAMPLES["FP16"]]])
    if reply.status != 200:
        refused(reply, 400, "FP16")
    else:
        assert np.array(outputs(reply)["y"][2], np.float16).tobytes() == to_bytes("FP16", SAMPLES["FP16"])


def test_random_floats_print_as_the_shortest_text_that_reads_back(server):
    r = np.random.default_rng(7)
    for datatype, bits, kind in (("FP32", np.uint32, np.float32), ("FP64", np.uint64, np.float64)):
        values = r.integers(0, np.iinfo(bits).max, 2000, bits).view(kind)
        values = values[np.isfinite(values)][:1900].reshape(-1, 19)
        reply = binary(server, f"id_{datatype.lower()}", [("x", datatype, list(values.shape), values.tobytes())])
        text = reply.body.decode()
        got = np.array(outputs(reply)["y"][2], np.float64).astype(kind)
        assert got.tobytes() == values.tobytes()
        numbers = text[text.index('"data":[') + 8:].split("]")[0].split(",")
        longest = max(len(n.lstrip("-").replace(".", "").split("e")[0].strip("0")) for n in numbers)
        assert longest <= (9 if datatype == "FP32" else 17), longest


@pytest.mark.parametrize("datatype", ["FP32", "FP64"])
def test_nan_and_infinity_pass_in_binary_and_as_the_words_of_triton(server, datatype):
    values = np.array([[np.nan, np.inf, -np.inf, 1.0]], TYPES[datatype][1])
    model, raw = f"id_{datatype.lower()}", values.tobytes()
    asked = {"parameters": {"binary_data_output": True}}
    assert outputs(binary(server, model, [("x", datatype, [1, 4], raw)], **asked))["y"][2] == raw
    reply = binary(server, model, [("x", datatype, [1, 4], raw)])
    assert reply.status == 200 and b'"data":[NaN,Infinity,-Infinity,1.0]' in reply.body
    for text in ("[NaN,Infinity,-Infinity,1]", "[[-NaN, Inf,\t-Inf ,1.0]]"):
        body = f'{{"inputs":[{{"name":"x","datatype":"{datatype}","shape":[1,4],"data":{text}}}]}}'
        assert server.post(f"/v2/models/{model}/infer", body.encode()).body == reply.body


def test_words_for_numbers_stand_in_data_alone(server):
    good = '{"inputs":[{"name":"x","datatype":"FP32","shape":[1,4],"data":[NaN,1,1,1]}]'
    assert server.post("/v2/models/tiny/infer", (good + "}").encode()).status == 200
    refused(server.post("/v2/models/tiny/infer", (good + ',"parameters":{"p":NaN}}').encode()), 400, "JSON")
    refused(server.post("/v2/models/tiny/infer", good.replace("[1,4]", "[1,NaN]").encode() + b"}"), 400, "JSON")


def test_bytes_that_are_not_text_pass_in_binary_and_never_break_json(server):
    raw = to_bytes("BYTES", [b"\xff\x00\xfe", b""])
    got = outputs(binary(server, "id_bytes", [("x", "BYTES", [1, 2], raw)], parameters={"binary_data_output": True}))
    assert got["y"][2] == raw
    reply = binary(server, "id_bytes", [("x", "BYTES", [1, 2], raw)])
    assert reply.status in (200, 400)
    strict(reply.body.decode("utf-8") if "inference-header-content-length" not in reply.headers else "{}")


def test_inputs_may_mix_binary_and_json_in_any_order(server):
    a, b, i = [1.0, 2.0, 3.0], [10.0, 20.0, 30.0], [2**40]
    for order in ("abi", "iba", "bia"):
        rows = {"a": ("a", "FP32", [1, 3], np.array(a, "<f4").tobytes()), "b": ("b", "FP32", [1, 3], b),
                "i": ("i", "INT64", [1], np.array(i, "<i8").tobytes())}
        got = outputs(binary(server, "pair", [rows[k] for k in order], outputs=[
            {"name": "count"}, {"name": "sum", "parameters": {"binary_data": True}}]))
        assert list(got) == ["count", "sum"] and got["count"] == ("INT64", [1], [2**41])
        assert got["sum"] == ("FP32", [1, 3], np.array([11, 22, 33], "<f4").tobytes())


PAIR = [["a", "FP32", [1, 3], [1, 2, 3]], ["b", "FP32", [1, 3], [1, 2, 3]], ["i", "INT64", [1], [5]]]


def test_only_requested_outputs_come_in_the_requested_order(server):
    assert list(outputs(server.infer("pair", PAIR))) == ["sum", "count"]
    assert list(outputs(server.infer("pair", PAIR, outputs=[{"name": "count"}, {"name": "sum"}]))) == ["count", "sum"]
    assert list(outputs(server.infer("pair", PAIR, outputs=[{"name": "count"}]))) == ["count"]
    refused(server.infer("pair", PAIR, outputs=[{"name": "nope"}]), 400, "nope")


def test_binary_data_output_is_a_default_that_an_output_may_overrule(server):
    got = outputs(server.infer("pair", PAIR, parameters={"binary_data_output": True},
                               outputs=[{"name": "sum", "parameters": {"binary_data": False}}, {"name": "count"}]))
    assert got["sum"][2] == [2, 4, 6] and got["count"][2] == struct.pack("<q", 10)
    got = outputs(server.infer("pair", PAIR, parameters={"binary_data_output": False}))
    assert got["sum"][2] == [2, 4, 6] and got["count"][2] == [10]


def test_id_is_echoed_exactly_and_only_when_given(server):
    for text in ("42", "", "grün \"\\\n\u2028 \U0001f600"):
        assert server.infer("tiny", [["x", "FP32", [1, 4], X]], id=text).json().get("id", "") == text
    assert "id" not in server.infer("tiny", [["x", "FP32", [1, 4], X]]).json()


def test_unknown_parameters_and_fields_are_left_alone(server):
    more = {"id": "r1", "parameters": {"sequence_id": 7, "sequence_start": True, "priority": 3, "timeout": 5000000, "mine": "x", "real": 0.5, "none": None},
            "unknown_field": [1, {"b": None}], "model_name": "tiny", "model_version": None}
    got = outputs(server.infer("tiny", [["x", "FP32", [1, 4], X]], **more))
    assert got["y"][2] == pytest.approx(Y, rel=1e-6)
    for deep in ({"a": [1]}, []):
        said = refused(server.infer("tiny", [["x", "FP32", [1, 4], X]], parameters={"mine": deep}), 400)
        assert said == "parameter 'mine' has invalid type. It should be either 'int', 'bool', or 'string'"


def test_key_order_whitespace_and_escapes_do_not_matter(server):
    text = '\r\n{ "outputs" : [ ] ,\t"inputs":[{"data" : [ 5.1,3.5 ,\n1.4,2e-1 ], "shape":[1,4], "na\\u006de":"x","datatype":"FP\\u00332"}] }  \n'
    assert outputs(server.post("/v2/models/tiny/infer", text.encode()))["y"][2] == pytest.approx(Y, rel=1e-6)


def test_a_missing_content_type_is_json(server):
    body = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": X}]}).encode()
    for headers in ({}, {"Content-Type": "text/plain"}, {"Content-Type": "application/json; charset=utf-8"},
                    {"Content-Type": "application/x-www-form-urlencoded"}):
        assert outputs(server.post("/v2/models/tiny/infer?q=1", body, headers=headers))["y"]


def test_scalars_have_an_empty_shape(server):
    assert outputs(server.infer("scalar", [["x", "FP32", [], [2.5]]]))["y"] == ("FP32", [], [5.0])


def test_an_empty_batch_is_answered_or_refused(server):
    reply = server.infer("tiny", [["x", "FP32", [0, 4], []]])
    if reply.status == 200:
        assert outputs(reply)["y"] == ("FP32", [0, 4], [])
    else:
        refused(reply, 400)


def test_an_image_tensor_goes_in_as_json_and_as_binary(server):
    x = np.random.default_rng(3).random((2, 3, 224, 224), np.float32)
    want = x.mean((2, 3)).reshape(-1)
    text = outputs(server.infer("image", [["x", "FP32", list(x.shape), x.astype(np.float64).round(7).tolist()]]))["y"]
    assert text[1] == [2, 3, 1, 1] and np.allclose(text[2], want, rtol=1e-5)
    raw = outputs(binary(server, "image", [("x", "FP32", list(x.shape), x.tobytes())], parameters={"binary_data_output": True}))["y"]
    assert np.allclose(np.frombuffer(raw[2], np.float32), want, rtol=1e-5)


def test_concurrent_requests_get_their_own_answers(server):
    r = np.random.default_rng(5)
    batches = [r.integers(-1000, 1000, (n % 7 + 1, 3)).astype(np.float32) for n in range(120)]

    def ask(x):
        i = int(x[0, 0])
        got = outputs(server.infer("pair", [["a", "FP32", list(x.shape), x.tolist()], ["b", "FP32", list(x.shape), x.tolist()],
                                            ["i", "INT64", [1], [i]]], id=str(i)))
        assert got["sum"][2] == (2 * x).reshape(-1).tolist() and got["count"][2] == [2 * i]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        list(pool.map(ask, batches))


# ---- refusals ----------------------------------------------------------------------------------------------------

def one(**change):
    """A right request for `tiny` with its input changed; None removes a field."""
    e = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": X}
    e.update(change)
    return {"inputs": [{k: v for k, v in e.items() if v is not None}]}


WRONG = {
    "no inputs": ({}, ["inputs"]),
    "inputs empty": ({"inputs": []}, ["x"]),
    "inputs no array": ({"inputs": {}}, ["inputs"]),
    "inputs null": ({"inputs": None}, ["inputs"]),
    "input no object": ({"inputs": [3]}, []),
    "input name unknown": (one(name="z"), ["z"]),
    "input name missing": (one(name=None), ["name"]),
    "input name no string": (one(name=7), ["name"]),
    "input twice": ({"inputs": one()["inputs"] * 2}, ["x"]),
    "one input too many": ({"inputs": one()["inputs"] + one(name="w")["inputs"]}, ["w"]),
    "datatype unknown": (one(datatype="FP99"), ["x", "FP99"]),
    "datatype lower case": (one(datatype="fp32"), ["x", "fp32"]),
    "datatype wrong": (one(datatype="INT32", data=[1, 2, 3, 4]), ["x", "FP32", "INT32"]),
    "datatype missing": (one(datatype=None), ["x", "datatype"]),
    "shape missing": (one(shape=None), ["x", "shape"]),
    "shape no array": (one(shape=4), ["x", "shape"]),
    "shape of strings": (one(shape=["1", "4"]), ["x", "shape"]),
    "shape fractional": (one(shape=[1, 4.5]), ["x", "shape"]),
    "shape negative": (one(shape=[-1, 4]), ["x", "-1"]),
    "shape of wrong width": (one(shape=[1, 5], data=X + [1]), ["x", "5"]),
    "shape of wrong rank": (one(shape=[4]), ["x"]),
    "shape of rank 1000": (one(shape=[1] * 1000), ["x"]),
    "shape that overflows": (one(shape=[2**62, 4]), ["x"]),
    "shape beyond 64 bits": (one(shape=[2**64, 4]), ["x"]),
    "shape whose bytes overflow": (one(shape=[2**61, 4], data=[]), ["x"]),
    "data missing": (one(data=None), ["x", "data"]),
    "data no array": (one(data=5), ["x", "data"]),
    "data too short": (one(data=X[:3]), ["x", "4", "3"]),
    "data too long": (one(data=X + X), ["x", "4"]),
    "data of strings": (one(data=["1", "2", "3", "4"]), ["x"]),
    "data with null": (one(data=[1, None, 3, 4]), ["x"]),
    "data with bool": (one(data=[1, {}, 3, 4]), ["x"]),
    "data ragged": ({"inputs": [{"name": "x", "datatype": "FP32", "shape": [2, 4], "data": [[1, 2, 3], [4, 5, 6, 7, 8]]}]}, ["x"]),
    "data ragged in depth": ({"inputs": [{"name": "x", "datatype": "FP32", "shape": [2, 4], "data": [[1, 2, 3, 4], 5, 6, 7, 8]}]}, ["x"]),
    "outputs no array": (dict(one(), outputs={"name": "y"}), ["outputs"]),
    "output unknown": (dict(one(), outputs=[{"name": "q"}]), ["q"]),
    "output without name": (dict(one(), outputs=[{}]), ["name"]),
    "binary size without the header": ({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "parameters": {"binary_data_size": 16}}]},
                                       ["x"]),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_request_is_refused_by_name(server, case):
    body, words = WRONG[case]
    refused(server.post("/v2/models/tiny/infer", body), 400, *words)


RAW = {
    "empty": b"", "space": b"  ", "not json": b"hello", "truncated": b'{"inputs":[{"name":"x","data', "array": b"[]", "number": b"1", "null": b"null",
    "trailing": json.dumps(one()).encode() + b"x", "two documents": json.dumps(one()).encode() * 2, "comment": b"/* */" + json.dumps(one()).encode(),
    "bad utf-8": json.dumps(one()).encode().replace(b'"x"', b'"\xff"'), "control character": json.dumps(one()).encode().replace(b'"x"', b'"x\x01"'),
    "lone surrogate": json.dumps(one()).encode().replace(b'"x"', b'"\\ud800"'), "single quotes": b"{'inputs':[]}",
    "trailing comma": json.dumps(one()).encode().replace(b"]}]}", b"],}]}"), "nul": json.dumps(one()).encode().replace(b"{", b"{\0", 1),
}


@pytest.mark.parametrize("case", RAW)
def test_a_body_that_is_no_request_is_refused(server, case):
    refused(server.post("/v2/models/tiny/infer", RAW[case]), 400)


NUMBERS = {"FP32": ["nan", "inf", "-inf", "infinity", "Infinit", "+Infinity", '"NaN"', "1e400", "-1e400", "3.5e38", "1e39", "01", "+1", ".5", "1.", "0x10", "1e", "--1", "1_0", "1 2", "True"],
           "FP64": ["NAN", "1e309", "-1e999999999"],
           "INT8": ["128", "-129", "1.5", "1e3", "NaN", '"1"', "1e400"], "UINT8": ["256", "-1", "0.5", "Infinity"], "INT16": ["32768", "-Inf"], "UINT16": ["65536", "-1"],
           "INT32": ["2147483648", "-2147483649"], "UINT32": ["4294967296", "-1"],
           "INT64": ["9223372036854775808", "-9223372036854775809", "1e19", "99999999999999999999999", "0.5"],
           "UINT64": ["18446744073709551616", "-1", "1e20"], "BOOL": ["2", "NaN", '"true"', "null", "TRUE", "tru"], "BYTES": ["1", "null", "[1]", "true", '"\\x"']}


@pytest.mark.parametrize("datatype,text", [(t, n) for t, many in NUMBERS.items() for n in many])
def test_a_number_that_the_type_cannot_hold_is_refused(server, datatype, text):
    good = json.dumps(SAMPLES[datatype][1])
    body = f'{{"inputs":[{{"name":"x","datatype":"{datatype}","shape":[1,3],"data":[{good},{text},{good}]}}]}}'
    refused(server.post(f"/v2/models/id_{datatype.lower()}/infer", body.encode()), 400)


def test_deep_nesting_is_refused_at_once(server):
    for deep in (b"[" * 200_000, b'{"a":' * 100_000, b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,4],"data":' + b"[" * 200_000,
                 b'{"inputs":[],"parameters":' + b"[" * 100_000 + b"]" * 100_000 + b"}"):
        refused(server.post("/v2/models/tiny/infer", deep), 400)


def test_paths_models_and_methods_that_do_not_exist(server):
    good = one()
    assert refused(server.post("/v2/models/none/infer", good), 404) == "Model with name none does not exist."
    assert refused(server.get("/v2/models/none"), 404) == "Model with name none does not exist."
    refused(server.get("/v2/models/none/ready"), 404, "none")
    for path in ("/nope", "/v2/nope", "/v2/models/tiny/nope", "/v2/models/tiny/infer/more", "/v3", "//", "/v2/models//infer"):
        refused(server.get(path), 404)
    for method, path in (("GET", "/v2/models/tiny/infer"), ("POST", "/v2/health/live"), ("DELETE", "/v2/models/tiny"), ("PUT", "/v2/models/tiny/infer"),
                         ("PATCH", "/v1/models/tiny:predict")):
        refused(server.request(method, path, b"{}" if method != "GET" else None), 405)


def test_names_in_errors_are_safe_to_print(server):
    reply = server.get("/v2/models/%3Cb%3E%22%0d%0aX-Evil:1")
    assert "x-evil" not in reply.headers
    assert "\r" not in refused(reply, 404)
    assert server.get("/v2/models/a%00b").status in (400, 404)
    long = refused(server.get("/v2/models/" + "a" * 4000), 404)
    assert len(long) < 5000


# ---- the binary extension, wrong ---------------------------------------------------------------------------------

RAW_X = np.array([X], "<f4").tobytes()


def test_octets_without_the_header_are_refused_in_kserves_words(server):
    head = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "parameters": {"binary_data_size": 16}}]}).encode()
    reply = server.post("/v2/models/tiny/infer", head + RAW_X, headers={"Content-Type": "application/octet-stream"})
    assert refused(reply, 400) == "received byte inputs, but the'inference-header-content-length' header is missing."


@pytest.mark.parametrize("length", ["-1", "x", "", "1", "99999", "18446744073709551616", "9223372036854775807", "0x10", "1e2", "12 34"])
def test_a_header_length_that_cannot_be_is_refused(server, length):
    body = json.dumps(one()).encode() + RAW_X
    refused(server.post("/v2/models/tiny/infer", body, headers={"Inference-Header-Content-Length": length}), 400)


@pytest.mark.parametrize("size", [0, 12, 15, 17, 20, -16, 2**31, 2**63, 2**64 + 16, 16.5, "16", None, True, [16]])
def test_a_binary_size_that_does_not_fit_is_refused(server, size):
    head = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "parameters": {"binary_data_size": size}}]}).encode()
    refused(server.post("/v2/models/tiny/infer", head + RAW_X, headers={"Inference-Header-Content-Length": str(len(head))}), 400)


def test_binary_bodies_that_are_too_short_or_too_long_are_refused(server):
    head = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "parameters": {"binary_data_size": 16}}]}).encode()
    for tail in (b"", RAW_X[:15], RAW_X + b"\0", RAW_X + RAW_X):
        refused(server.post("/v2/models/tiny/infer", head + tail, headers={"Inference-Header-Content-Length": str(len(head))}), 400)


def test_data_and_binary_size_together_are_refused(server):
    head = json.dumps(one(parameters={"binary_data_size": 16})).encode()
    refused(server.post("/v2/models/tiny/infer", head + RAW_X, headers={"Inference-Header-Content-Length": str(len(head))}), 400, "x")


@pytest.mark.parametrize("raw", [b"\x05\0\0\0ab", b"\x02\0\0\0ab\x03\0\0", b"\xff\xff\xff\xffab", b"\x02\0\0\0ab", b"\x01\0\0\0a" * 3, b"\x02\0\0\0abX\0\0\0"])
def test_binary_strings_whose_lengths_lie_are_refused(server, raw):
    refused(binary(server, "id_bytes", [("x", "BYTES", [1, 2], raw)]), 400, "x")


def test_binary_booleans_are_zero_or_one(server):
    reply = binary(server, "id_bool", [("x", "BOOL", [1, 4], b"\0\1\2\xff")], parameters={"binary_data_output": True})
    if reply.status == 200:
        assert set(outputs(reply)["y"][2]) <= {0, 1}
    else:
        refused(reply, 400, "x")


# ---- limits ------------------------------------------------------------------------------------------------------

def test_a_body_over_the_limit_gets_413(serve, zoo):
    s = serve(f"image={zoo['image']}", f"tiny={zoo['tiny']}", "--body-bytes-max", "100000")
    assert outputs(s.post("/v2/models/tiny/infer", one()))
    body = json.dumps(one()).encode()
    assert outputs(s.post("/v2/models/tiny/infer", body + b" " * (100000 - len(body))))
    try:
        refused(s.post("/v2/models/tiny/infer", body + b" " * (100001 - len(body))), 413,
                "body: expected at most 100000 bytes, got 100001")
        refused(s.post("/v2/models/image/infer", b"0" * 600_000), 413, "got 600000")
    except (BrokenPipeError, ConnectionResetError):
        pytest.fail("the refusal must be readable: answer, then close without a reset")
    assert outputs(s.post("/v2/models/tiny/infer", one()))


def test_a_full_queue_gets_429_and_everybody_is_answered(serve, zoo):
    s = serve(f"slow={zoo['slow']}", "--queue-max", "2")
    head = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [384, 384], "parameters": {"binary_data_size": 4 * 384 * 384}}]}).encode()
    body, headers = head + bytes(4 * 384 * 384), {"Inference-Header-Content-Length": str(len(head))}   # cheap for who asks, not for who answers
    replies = []

    def asker(_):
        for asked in range(10000):
            if asked >= 3 and {200, 429} <= {r.status for r in replies[:]}:
                break
            replies.append(s.post("/v2/models/slow/infer", body, headers=headers, timeout=200))
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        list(pool.map(asker, range(32)))
    assert {r.status for r in replies} == {200, 429} and len(replies) >= 96
    refused(next(r for r in replies if r.status == 429), 429, "slow", "2")
    assert outputs(s.post("/v2/models/slow/infer", body, headers=headers))


@pytest.mark.parametrize("name, value", [("grpc-timeout", "20m"), ("x-envoy-expected-rq-timeout-ms", "20")])
def test_work_whose_deadline_passed_is_not_computed(serve, zoo, name, value):
    """The client's patience, as gRPC's gateways and as Envoy say it."""
    s = serve(f"slow={zoo['slow']}", "--threads", "1")
    body = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [600, 384], "data": [0.5] * (600 * 384)}]}).encode()   # once: they come together
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        replies = list(pool.map(lambda _: s.post("/v2/models/slow/infer", body, headers={name: value}, timeout=200), range(20)))
    late = [r for r in replies if r.status == 504]
    refused(late[0], 504, "deadline")
    assert {r.status for r in replies} <= {200, 429, 504}        # 429: it would have been late, and is told so at once
    ran = re.search(r'request_predict_seconds_count{model_name="slow",model_version="1"} (\S+)', s.get("/metrics").body.decode())
    assert not ran or float(ran[1]) == sum(r.status == 200 for r in replies) < 10
    assert outputs(s.post("/v2/models/slow/infer", body, headers={name: "60S" if name == "grpc-timeout" else "60000"}))
    refused(s.post("/v2/models/slow/infer", body, headers={name: "soon"}), 400, name, "soon")
