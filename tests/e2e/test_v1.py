"""test_v1.py - the V1 protocol: `instances` in, `predictions` out, one row each; what is wrong is refused as KServe refuses it."""
import json
import pytest
from models import X, Y
from test_v2 import refused, strict


def predict(server, model, body):
    return server.post(f"/v1/models/{model}:predict", body)


def test_rows_in_rows_out(server):
    for n in (1, 2, 7):
        reply = predict(server, "tiny", {"instances": [X] * n})
        assert reply.status == 200 and reply.headers["content-type"].split(";")[0] == "application/json"
        body = strict(reply.body)
        assert list(body) == ["predictions"] and len(body["predictions"]) == n
        for row in body["predictions"]:
            assert row == pytest.approx(Y, rel=1e-6)


def test_integers_and_floats_may_mix(server):
    got = strict(predict(server, "tiny", {"instances": [[1, 2.0, 3e0, 4]]}).body)["predictions"]
    assert got == strict(predict(server, "tiny", {"instances": [[1.0, 2.0, 3.0, 4.0]]}).body)["predictions"]


def test_several_inputs_come_as_objects_by_name(server):
    body = {"instances": [{"a": [1, 2, 3], "b": [10, 20, 30], "i": 5}, {"b": [0, 0, 0], "i": -7, "a": [1, 1, 1]}]}
    reply = predict(server, "pair", body)
    assert reply.status == 200, reply
    assert strict(reply.body) == {"predictions": [{"sum": [11, 22, 33], "count": 10}, {"sum": [1, 1, 1], "count": -14}]}


def test_one_input_may_be_named_too(server):
    got = strict(predict(server, "tiny", {"instances": [{"x": X}]}).body)["predictions"]
    assert got[0] == pytest.approx(Y, rel=1e-6) or got[0]["y"] == pytest.approx(Y, rel=1e-6)


def test_strings_pass(server):
    reply = predict(server, "id_bytes", {"instances": [["a", "grün"], ["", "\""]]})
    assert strict(reply.body) == {"predictions": [["a", "grün"], ["", "\""]]}


def test_wide_integers_are_exact(server):
    rows = [[2**63 - 1, -2**63], [2**53 + 1, 0]]
    assert strict(predict(server, "id_int64", {"instances": rows}).body) == {"predictions": rows}


def test_what_is_not_finite_is_null(server):
    for rows in (b"[[1, NaN], [-Infinity, Inf]]", b'[{"x": [1, NaN]}, {"x": [-Infinity, Inf]}]'):
        reply = server.post("/v1/models/id_fp32:predict", b'{"instances": %s}' % rows)
        assert reply.status == 200 and strict(reply.body) == {"predictions": [[1, None], [None, None]]}


def test_digits_are_read(server):
    import pathlib
    cases = json.loads((pathlib.Path(__file__).parents[2] / "examples" / "digits" / "heldout.json").read_text())
    rows = strict(predict(server, "digits", {"instances": [[c["image"]] for c in cases]}).body)["predictions"]
    assert [r["label"] for r in rows] == [c["label"] for c in cases]
    assert all(len(r["probabilities"]) == 10 and sum(r["probabilities"]) == pytest.approx(1, abs=1e-5) for r in rows)


def test_status_and_list(server, zoo):
    assert server.get("/v1/models/tiny").json() == {"name": "tiny", "ready": True}
    assert set(zoo) <= set(server.get("/v1/models").json()["models"])
    assert refused(server.get("/v1/models/none"), 404) == "Model with name none does not exist."


WRONG = {
    "no instances": {}, "instances no array": {"instances": 5}, "instances null": {"instances": None}, "instances object": {"instances": {}},
    "row too short": {"instances": [X[:3]]}, "row too long": {"instances": [X + [1]]}, "ragged": {"instances": [X, X[:2]]},
    "row no array": {"instances": [5.0]}, "string in row": {"instances": [["a", 1, 2, 3]]}, "null in row": {"instances": [[None, 1, 2, 3]]},
    "bool for row": {"instances": [True]}, "too deep": {"instances": [[X]]}, "unknown input": {"instances": [{"q": X}]},
    "mixed rows": {"instances": [X, {"x": X}]},
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_request_is_refused(server, case):
    refused(predict(server, "tiny", WRONG[case]), 400)


@pytest.mark.parametrize("raw", [b"", b"[]", b'{"instances":[[1,2,3,nan]]}', b'{"instances":[[1,2,3,4]],"a":NaN}', b'{"instances":[[1,2,3,1e39]]}', b'{"instances":[[1,2,3', b'{"instances":' + b"[" * 100_000])
def test_a_body_that_is_no_request_is_refused(server, raw):
    refused(predict(server, "tiny", raw), 400)


def test_missing_or_doubled_inputs_are_refused(server):
    refused(predict(server, "pair", {"instances": [{"a": [1, 2, 3], "i": 5}]}), 400, "b")
    refused(predict(server, "pair", {"instances": [[1, 2, 3]]}), 400)
    refused(predict(server, "pair", {"instances": [{"a": [1, 2, 3], "b": [1, 2, 3], "i": 5, "z": 0}]}), 400, "z")


def test_an_unknown_model_or_verb_does_not_exist(server):
    assert refused(predict(server, "none", {"instances": [X]}), 404) == "Model with name none does not exist."
    assert server.post("/v1/models/tiny:explain", {"instances": [X]}).status in (404, 501)
    assert server.post("/v1/models/tiny:nope", {"instances": [X]}).status == 404
    refused(server.get("/v1/models/tiny:predict"), 405)
