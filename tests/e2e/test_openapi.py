"""test_openapi.py - every V2 answer validates against the upstream OpenAPI document of the Open Inference Protocol."""
import io, json, tarfile
import pytest
import yaml
import zstandard
from models import TYPES, X
from openapi_schema_validator import OAS30Validator

DOCUMENT = "open_inference_rest.yaml"


@pytest.fixture(scope="module")
def document(shared):
    raw = (shared / "data" / "manifests" / "open-inference-protocol.tar.zst").read_bytes()
    with tarfile.open(fileobj=io.BytesIO(zstandard.ZstdDecompressor().stream_reader(raw).read())) as tar:
        member = next(m for m in tar.getmembers() if m.name.endswith("/" + DOCUMENT))
        return yaml.safe_load(tar.extractfile(member))


@pytest.fixture
def check(document):
    def validate(reply, schema, status=200):
        assert reply.status == status, reply
        OAS30Validator({"$ref": f"#/components/schemas/{schema}", "components": document["components"]}).validate(reply.json())
        assert schema in json.dumps(document["paths"]) or schema == "inference_error_response" or schema == "metadata_model_error_response"
    return validate


def test_the_document_is_the_one_we_mean(document, check):
    assert document["openapi"].startswith("3.0") and "/v2/health/live" in document["paths"]

    class Wrong:
        status = 200

        @staticmethod
        def json():
            return {"model_name": 5, "outputs": [{"name": "y"}]}
    with pytest.raises(Exception):
        check(Wrong, "inference_response")


def test_metadata(server, check, zoo):
    check(server.get("/v2"), "metadata_server_response")
    check(server.get("/v2/"), "metadata_server_response")
    for name in zoo:
        check(server.get(f"/v2/models/{name}"), "metadata_model_response")
        check(server.get(f"/v2/models/{name}/versions/1"), "metadata_model_response")


def test_inference(server, check):
    x = ["x", "FP32", [2, 4], X * 2]
    check(server.infer("tiny", [x]), "inference_response")
    check(server.infer("tiny", [x], id="42", parameters={"a": 1}), "inference_response")
    check(server.infer("pair", [["a", "FP32", [1, 3], [1, 2, 3]], ["b", "FP32", [1, 3], [[1, 2, 3]]], ["i", "INT64", [1], [5]]]), "inference_response")
    samples = {"BOOL": [True, False], "BYTES": ["a", "ü"]}
    for datatype in TYPES:
        if datatype != "FP16":
            check(server.infer(f"id_{datatype.lower()}", [["x", datatype, [1, 2], samples.get(datatype, [1, 2])]]), "inference_response")


def test_errors(server, check):
    check(server.infer("tiny", [["x", "FP32", [1, 3], X[:3]]]), "inference_error_response", 400)
    check(server.post("/v2/models/tiny/infer", b"{"), "inference_error_response", 400)
    check(server.infer("none", [["x", "FP32", [1, 4], X]]), "inference_error_response", 404)
    check(server.get("/v2/models/none"), "metadata_model_error_response", 404)
