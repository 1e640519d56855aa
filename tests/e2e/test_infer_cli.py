"""test_infer_cli.py - `proa infer`: one inference from the command line, on this server and on others that speak V2."""
import concurrent.futures, http.server, json, socket, struct, zlib
import grpc
import numpy as np
import pytest
from conftest import Answerer, DIGITS, lasting_port, run_proa
from models import TYPES, X, Y

PROTOCOLS = ["rest", "grpc"]
VALUES = {"BOOL": [[True, False]], "BYTES": [["a", "\u00e4\n\""]], "FP16": [[0.5, -2.0]], "FP32": [[1.5, -0.1]], "FP64": [[1e300, 0.1]],
          "UINT64": [[0, 2 ** 64 - 1]], "INT64": [[-2 ** 63, 2 ** 63 - 1]], "INT8": [[-128, 127]], "UINT8": [[0, 255]],
          "INT16": [[-5, 5]], "UINT16": [[0, 65535]], "INT32": [[-9, 9]], "UINT32": [[0, 2 ** 32 - 1]]}


@pytest.fixture(params=PROTOCOLS)
def infer(request, server):
    """infer(model, *args): the command on the shared server; .text(...) its standard output, .fails(status, ...) its reason."""
    class Infer:
        how = ["--protocol", request.param]

        def __call__(self, model, *args, **kw):
            return run_proa("infer", server.url, model, *self.how, *args, **kw)

        def text(self, *args, **kw):
            done = self(*args, **kw)
            assert done.returncode == 0 and not done.stderr, done
            return done.stdout

        def json(self, *args, **kw):
            return {o["name"]: o for o in json.loads(self.text(*args, "--json", **kw))["outputs"]}

        def fails(self, status, *args, **kw):
            done = self(*args, **kw)
            assert done.returncode == status and not done.stdout, done
            return done.stderr.splitlines()[-1]
    return Infer()



def test_the_answer_is_a_table(infer):
    assert infer.text("id_fp32", "--input", "x=[[1,-0.25,1e20]]") == "name  type    shape  values\ny     FP32    [1,3]  1 -0.25 1e+20\n"
    many = infer.text("id_int64", "--input", f"x=[{list(range(100))}]")
    assert many.splitlines()[1] == "y     INT64   [1,100]  0 1 2 3 4 5 6 7 8 9 ... (90 more)"


@pytest.mark.parametrize("datatype", sorted(TYPES))
def test_every_type_there_and_back(infer, datatype):
    y = infer.json(f"id_{datatype.lower()}", "--input", f"x={json.dumps(VALUES[datatype])}")["y"]
    assert y == {"name": "y", "datatype": datatype, "shape": [1, 2], "data": VALUES[datatype][0]}


def test_several_inputs_and_outputs_come_as_npz(infer, tmp_path):
    np.save(tmp_path / "a.npy", np.arange(6, dtype=np.float32).reshape(2, 3))
    (tmp_path / "b.json").write_text("[[1, 1, 1],\n [2, 2, 2]]\n")
    assert infer.text("pair", "--input", f"a={tmp_path}/a.npy", "--input", f"b={tmp_path}/b.json", "--input", "i=[7,8]", "--out", tmp_path / "o.npz") == ""
    got = np.load(tmp_path / "o.npz")
    assert got["sum"].tolist() == [[1, 2, 3], [5, 6, 7]] and got["count"].tolist() == [14, 16] and got["sum"].dtype == np.float32


def test_a_picture_of_a_digit_is_read(infer, tmp_path):
    held = json.loads((DIGITS.parent / "heldout.json").read_text())[:4]
    for i, one in enumerate(held):
        pixels = np.round(np.array(one["image"]) * 255 / 16).astype(np.uint8)
        (tmp_path / f"{i}.pgm").write_bytes(b"P5\n# a digit\n8 8\n255\n" + pixels.tobytes())
        chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        rows = b"".join(b"\0" + row.tobytes() for row in pixels)
        (tmp_path / f"{i}.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0))
                                            + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
        for kind in ("pgm", "png"):
            out = infer.json("digits", "--pixel-max", "16", "--input", f"image={tmp_path}/{i}.{kind}")
            assert out["label"]["data"] == [one["label"]] and out["label"]["shape"] == [1], (i, kind, out)


def test_raw_bytes_are_the_tensor(infer, tmp_path):
    (tmp_path / "x").write_bytes(np.array(X, np.float32).tobytes())
    assert infer.json("tiny", "--input", f"x=raw:{tmp_path}/x")["y"]["data"] == pytest.approx(Y)


def test_a_call_that_is_wrong_has_status_two(infer, tmp_path):
    np.save(tmp_path / "d.npy", np.zeros(4))
    (tmp_path / "p.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    wrong = [(["x=[1,2,3]"], "input 'x': shape: expected [-1,4], got [3]"), (["z=1"], "--input: expected 'x', got 'z'"), (["x"], "--input: expected NAME=VALUE, got 'x'"),
             ([f"x={tmp_path}/d.npy"], f"input 'x': {tmp_path}/d.npy: expected float32, got float64"), (["x=1", "x=2"], "input 'x': shape: expected [-1,4], got [1]"),
             ([f"x={tmp_path}/p.jpg"], f"input 'x': {tmp_path}/p.jpg: picture: expected PGM, PPM or PNG, got JPEG: convert it to PPM"),
             (["x=[1,2,3,true]"], "input 'x': [3]: expected a number within +-3.4028235e38, got 'true'")]
    for values, text in wrong:
        assert infer.fails(2, "tiny", *[a for v in values for a in ("--input", v)]) == f"proa infer: {text}"
    assert infer.fails(2, "tiny", "--input", f"x={X}", "--input", f"x={X}") == "proa infer: --input: expected 'x' once, got it twice"


def test_usage_errors_have_status_two():
    for args, word in ((["x"], "an address and a model"), (["localhost", "m"], "http[s]://HOST:PORT"), (["h:1", "m", "--outt", "x"], "did you mean --out"),
                       (["h:1", "m", "--out", "x"], ".npz"), (["h:1", "m", "--header", "x"], "--header"), (["h:1", "m", "--header", "content-length: 3"], "none that proa sets itself"),
                       (["h:1", "m", "--header", "a: b\r\nc: d"], "on one line"), (["h:1", "m", "--api-key", "k\n"], "on one line"), (["h:1", "m", "--timeout", "0"], "--timeout"),
                       (["h:1", "m", "--protocol", "http3"], "rest or grpc"), (["http://h:1/x", "m", "--protocol", "grpc"], "no path")):
        done = run_proa("infer", *args)
        assert done.returncode == 2 and word in done.stderr and done.stderr.startswith("usage: proa infer"), done


def test_what_the_server_refuses_has_status_one(infer):
    assert "nope" in infer.fails(1, "nope", "--input", "x=1")
    assert "input" in infer.fails(1, "pair", "--input", "i=[1]")   # two are missing: the server says so
    assert "version" in infer.fails(1, "tiny", "--model-version", "77", "--input", f"x={X}")
    assert infer.json("tiny", "--model-version", "1", "--input", f"x={X}")["y"]["data"] == pytest.approx(Y)


def test_no_answer_has_status_three(infer):
    with socket.create_server(("127.0.0.1", lasting_port())) as deaf:
        port = deaf.getsockname()[1]
        done = run_proa("infer", f"127.0.0.1:{port}", "m", *infer.how, "--timeout", "3", "--input", "x=1")
        assert done.returncode == 3 and done.stderr == f"proa infer: 127.0.0.1:{port}: answer: expected it within 3000 ms\n"
    done = run_proa("infer", f"127.0.0.1:{port}", "m", *infer.how, "--input", "x=1")
    assert done.returncode == 3 and done.stderr == f"proa infer: 127.0.0.1:{port}: cannot connect: Connection refused\n"


# ---- a server of other people's making ----------------------------------------------------------------------------------

class Foreign(http.server.BaseHTTPRequestHandler):
    """V2 as a small Python server speaks it: no extensions, nested data, FastAPI's errors, chunked answers, two spellings of JSON."""
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, body, status=200):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        text = json.dumps(body, indent=1).encode()
        for part in (text[:3], text[3:]):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        self.wfile.write(b"0\r\n\r\n")

    def do_GET(self):
        self.server.seen.append((self.path, dict(self.headers), None))
        if self.path == "/base/v2/models/m%20x":
            return self.answer({"name": "m x", "versions": None, "platform": "p", "outputs": [],
                                "inputs": [{"name": "t", "datatype": "BYTES", "shape": [-1]}, {"name": "f", "datatype": "FP32", "shape": [1, 2]}]})
        return self.answer({"detail": "no such thing"}, 404)

    def do_POST(self):
        self.server.seen.append((self.path, dict(self.headers), json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
        self.answer({"id": "1", "outputs": [{"name": "n", "shape": [2, 2], "datatype": "FP32", "data": [[1, 2.5], [3e0, -4]]},
                                            {"name": "w", "shape": [3], "datatype": "FP32", "data": [float("nan"), float("inf"), float("-inf")]},
                                            {"name": "s", "shape": [1], "datatype": "BYTES", "data": ["\u001b[31mred"], "parameters": None}], "model_name": "m x"})


@pytest.fixture
def foreign():
    server = Answerer(Foreign)
    server.seen = []
    yield server
    server.end()


def test_another_server_is_asked_in_plain_json(foreign):
    address = f"http://127.0.0.1:{foreign.server_address[1]}/base/"
    done = run_proa("infer", address, "m x", "--input", "t=hello", "--input", "f=[1.5,2]", "--header", "X-Tag:  a b ", env={"PROA_API_KEY": "secret"})
    assert done.returncode == 0, done
    assert done.stdout == ('name  type    shape  values\n'
                           'n     FP32    [2,2]  1 2.5 3 -4\n'
                           'w     FP32    [3]    nan inf -inf\n'
                           's     BYTES   [1]    "\\u001b[31mred"\n')
    path, headers, body = foreign.seen[-1]
    assert path == "/base/v2/models/m%20x/infer" and headers["X-Tag"] == "a b" and headers["Authorization"] == "Bearer secret"
    assert body == {"inputs": [{"name": "t", "shape": [1], "datatype": "BYTES", "data": ["hello"]}, {"name": "f", "shape": [1, 2], "datatype": "FP32", "data": [1.5, 2]}]}
    done = run_proa("infer", address, "m x", "--input", "t=hello", "--input", "f=[-Infinity,Inf]", "--json")
    assert foreign.seen[-1][2]["inputs"][1]["data"] == [float("-inf"), float("inf")]
    assert [o["data"] for o in json.loads(done.stdout)["outputs"] if o["name"] == "w"] == [[None] * 3]
    done = run_proa("infer", address, "other", "--input", "t=1")
    assert done.returncode == 1 and done.stderr == f"proa infer: 127.0.0.1:{foreign.server_address[1]}: 404: no such thing\n"


def field(number, value):
    """Protobuf by hand: a number, or bytes with their length."""
    varint = lambda n: bytes([n]) if n < 128 else bytes([n & 127 | 128]) + varint(n >> 7)
    return varint(number << 3) + varint(value) if isinstance(value, int) else varint(number << 3 | 2) + varint(len(value)) + value


def test_another_grpc_server_may_answer_with_typed_contents():
    seen = []
    io = lambda name, datatype, *dims: field(1, name) + field(2, datatype) + b"".join(field(3, d % 2 ** 64) for d in dims)

    class Foreign(grpc.GenericRpcHandler):
        def service(self, call):
            def answer(request, context):
                seen.append((call.method, dict(context.invocation_metadata()), request))
                if call.method.endswith("/ModelMetadata"):
                    return field(1, b"m") + field(4, io(b"x", b"FP32", -1, 2)) + field(5, io(b"y", b"INT64", -1))
                if b"bad" in request:
                    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "it is b\u00e4d")
                return (field(5, io(b"y", b"INT64", 2) + field(5, field(3, 5) + field(3, 2 ** 64 - 1))) + field(1, b"m") +
                        field(5, io(b"f", b"FP32", 2) + field(5, field(6, struct.pack("<ff", 1.5, -2)))) +
                        field(5, io(b"s", b"BYTES", 1) + field(5, field(8, b"text"))))
            return grpc.unary_unary_rpc_method_handler(answer)
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(2), handlers=[Foreign()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        address = f"127.0.0.1:{port}"
        done = run_proa("infer", address, "m", "--protocol", "grpc", "--input", "x=[1,2]", "--api-key", "k", "--header", "X-Tag: a")
        assert done.returncode == 0, done
        assert done.stdout == ("name  type    shape  values\ny     INT64   [2]    5 -1\n"
                               "f     FP32    [2]    1.5 -2\ns     BYTES   [1]    \"text\"\n")
        method, metadata, request = seen[-1]
        assert method == "/inference.GRPCInferenceService/ModelInfer" and metadata["authorization"] == "Bearer k" and metadata["x-tag"] == "a"
        assert request == field(1, b"m") + field(2, b"") + field(5, field(1, b"x") + field(2, b"FP32") + field(3, b"\1\2")) + field(7, struct.pack("<ff", 1, 2))
        done = run_proa("infer", address, "bad", "--protocol", "grpc", "--input", "x=[1,2]")
        assert done.returncode == 1 and done.stderr == f"proa infer: {address}: FAILED_PRECONDITION: it is b\u00e4d\n"
    finally:
        server.stop(None)
