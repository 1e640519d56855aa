"""test_pictures.py - a JPEG goes in, labels or boxes come out: what curl, tritonclient and Python's own HTTP send, against the pipeline
of Pillow, numpy and ONNX Runtime that it takes the place of."""
import base64, io, json, re, struct, subprocess, zlib
import numpy as np
import onnx
import pytest
from PIL import Image, ImageDraw, ImageOps
from conftest import PROA, Server
from models import model
from onnx import TensorProto as T, helper as h

LABELS = ["red", "green", "blue"]
DECLARED = """
inputs:
  x:
    image: {size: {shortest_edge: 20}, crop_size: 16, resample: bicubic, image_mean: [0.5, 0.4, 0.3], image_std: 0.25}
answer:
  classes: {softmax: true, top: 2, labels: labels.txt}
"""


def mean_colour():
    """x FP32 [n,3,16,16] -> y FP32 [n,3]: the mean of each plane."""
    return model([h.make_node("ReduceMean", ["x"], ["y"], axes=[2, 3], keepdims=0)], [("x", T.FLOAT, ["n", 3, 16, 16])], [("y", T.FLOAT, ["n", 3])], opset=13)


def words():
    """s STRING [n,1] -> the same in lower case."""
    nodes = [h.make_node("Squeeze", ["s", "one"], ["flat"]), h.make_node("StringNormalizer", ["flat"], ["low"], case_change_action="LOWER"),
             h.make_node("Unsqueeze", ["low", "one"], ["y"])]
    return model(nodes, [("s", T.STRING, ["n", 1])], [("y", T.STRING, ["n", 1])], [("one", np.array([1]))])


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for name in ("colour", "meta"):
        (folder / name / "1").mkdir(parents=True)
    onnx.save(mean_colour(), folder / "colour" / "1" / "model.onnx")
    (folder / "colour" / "proa.yaml").write_text(DECLARED)
    (folder / "colour" / "labels.txt").write_text("\n".join(LABELS))
    m = mean_colour()
    m.metadata_props.add(key="proa", value="inputs: {x: {image: {}}}\nanswer: {classes: {labels: [red, green, blue]}}")
    onnx.save(m, folder / "meta" / "1" / "model.onnx")
    (folder / "words" / "1").mkdir(parents=True)
    onnx.save(words(), folder / "words" / "1" / "model.onnx")
    return folder


@pytest.fixture(scope="module")
def server(repository, tmp_path_factory):
    s = Server(tmp_path_factory.mktemp("log"), "--model-repository", repository)
    yield s
    assert s.stop() == 0


def photo(seed, w=120, h=80, kind="JPEG", **options):
    rng = np.random.default_rng(seed)
    im = Image.fromarray(rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)).resize((w, h), Image.Resampling.BICUBIC)
    b = io.BytesIO()
    im.save(b, kind, **options)
    return b.getvalue()


def pixels(file):
    """The pipeline in Python: float32 [3,16,16]."""
    im = Image.open(io.BytesIO(file)).convert("RGB")
    w, h = im.size
    short, long = min(w, h), max(w, h)
    size = (20, int(20 * long / short)) if w <= h else (int(20 * long / short), 20)
    a = np.asarray(im.resize(size, Image.Resampling.BICUBIC))
    top, left = (a.shape[0] - 16) // 2, (a.shape[1] - 16) // 2
    a = a[top:top + 16, left:left + 16]
    a = (a.astype(np.float64) / 255).astype(np.float32)
    a = (a - np.array([0.5, 0.4, 0.3], np.float32)) / np.float32(0.25)
    return a.transpose(2, 0, 1)


def expected(file):
    """[(label, index, score)] of the best two."""
    y = pixels(file).astype(np.float64).mean((1, 2))
    p = np.exp(y - y.max())
    p /= p.sum()
    return [(LABELS[i], int(i), p[i]) for i in np.argsort(-p)[:2]]


def same(got, file):
    want = expected(file)
    assert [(g["label"], g["index"]) for g in got] == [w[:2] for w in want]
    assert np.allclose([g["score"] for g in got], [w[2] for w in want], atol=1e-5)


def curl(*args):
    run = subprocess.run(["curl", "-sS", *map(str, args)], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_curl_posts_a_file_and_gets_labels(server, tmp_path):
    for seed, kind in ((1, "JPEG"), (2, "PNG")):
        path = tmp_path / "a"
        path.write_bytes(photo(seed, kind=kind))
        v1, v2 = f"{server.url}/v1/models/colour:predict", f"{server.url}/v2/models/colour/infer"
        for options in ((), ("-H", f"Content-Type: image/{kind.lower()}"), ("-H", "Content-Type: application/octet-stream")):
            same(curl("--data-binary", f"@{path}", *options, v1)["predictions"][0], path.read_bytes())
            outputs = {o["name"]: o["data"] for o in curl("--data-binary", f"@{path}", *options, v2)["outputs"]}
            same([dict(label=a, index=b, score=c) for a, b, c in zip(outputs["label"], outputs["index"], outputs["score"])], path.read_bytes())
        same(curl("-F", f"file=@{path};filename=a.jpg", "-F", "other=7", v1)["predictions"][0], path.read_bytes())


def test_v1_takes_one_or_several_as_kserve_and_tensorflow_serving_do(server):
    files = [photo(i, 100 + i, 70 + 9 * i, kind=("JPEG", "PNG")[i % 2]) for i in range(5)]
    texts = [base64.b64encode(f).decode() for f in files]
    for instances in ([{"image": {"b64": t}} for t in texts], [{"b64": t} for t in texts], [{"x": {"b64": t}} for t in texts], texts):
        r = server.post("/v1/models/colour:predict", {"instances": instances})
        assert r.status == 200, r
        for got, file in zip(r.json()["predictions"], files, strict=True):
            same(got, file)
    tensor = pixels(files[0]).tolist()
    r = server.post("/v1/models/colour:predict", {"instances": [tensor]})
    assert np.allclose(r.json()["predictions"], [pixels(files[0]).mean((1, 2))], atol=1e-5)


def test_the_models_own_metadata_may_declare_it(server):
    r = server.post("/v1/models/meta:predict", photo(3, 16, 16, "PNG"))
    a = np.asarray(Image.open(io.BytesIO(photo(3, 16, 16, "PNG")))) / 255
    want = np.argsort(-a.mean((0, 1)))
    assert [g["index"] for g in r.json()["predictions"][0]] == want.tolist()


def tritons(client, server, file):
    x = client.InferInput("image", [2, 1], "BYTES")
    x.set_data_from_numpy(np.array([[file], [photo(8)]], dtype=object))
    address = f"{server.host}:{server.port}"
    with client.InferenceServerClient(address) as c:
        r = c.infer("colour", [x])
        assert [c.decode() for c in r.as_numpy("label")[0]] == [w[0] for w in expected(file)]
        assert np.allclose(r.as_numpy("score")[1], [w[2] for w in expected(photo(8))], atol=1e-5)
        both = c.infer("colour", [x], outputs=[client.InferRequestedOutput("y"), client.InferRequestedOutput("index")])
        assert np.allclose(both.as_numpy("y")[0], pixels(file).mean((1, 2)), atol=1e-5)
        assert both.as_numpy("index").dtype == np.int64 and both.as_numpy("label") is None
        own = client.InferInput("x", [1, 3, 16, 16], "FP32")
        own.set_data_from_numpy(pixels(file)[None])
        assert np.allclose(c.infer("colour", [own]).as_numpy("y")[0], pixels(file).mean((1, 2)), atol=1e-5)
        return c.get_model_metadata("colour")


def test_tritonclient_sends_files_over_rest(server):
    import tritonclient.http as client
    assert tritons(client, server, photo(7))["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 3, 16, 16]}]


@pytest.mark.apart
def test_tritonclient_sends_files_over_grpc(server):
    import tritonclient.grpc as client
    assert tritons(client, server, photo(7)).inputs[0].name == "x"


def bomb(w, h):
    """A PNG of 60 bytes that claims many pixels."""
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, 8, 2, 0, 0, 0)) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


BAD = {
    "gif": (b"GIF89a" + b"\0" * 30, "image 0: expected JPEG or PNG, got GIF"),
    "bomb": (bomb(60000, 60000), "image 0: expected at most 50000000 pixels and sides of at most 65500, got 60000x60000"),
    "cut off": (photo(1)[:900], "image 0: JPEG: the file is cut off"),
    "lying": (bomb(100, 100), "image 0: PNG: "),
    "nothing": (b"", "image 0: expected JPEG or PNG, got nothing"),
}


@pytest.mark.parametrize("what", BAD)
def test_what_is_no_picture_is_refused_in_one_line(server, what):
    file, text = BAD[what]
    r = server.post("/v1/models/colour:predict", {"instances": [{"b64": base64.b64encode(file).decode()}]})
    assert r.status == 400 and r.json()["error"].startswith(text), r
    r = server.post("/v2/models/colour/infer", file, headers={"Content-Type": "image/png"})
    assert r.status == 400 and r.json()["error"].startswith(text), r
    same(server.post("/v1/models/colour:predict", photo(5)).json()["predictions"][0], photo(5))


def test_what_is_refused_is_counted_by_its_reason(repository, tmp_path):
    s = Server(tmp_path, "--model-repository", repository, "--memory-bytes-max", "1Mi")
    counts = lambda: {k.decode(): int(v) for k, v in re.findall(rb'proa_pictures_refused_total\{reason="(\w+)"\} (\d+)', s.get("/metrics").body)}
    assert counts() == {"pixels": 0, "bytes": 0, "kind": 0, "broken": 0}
    url = "/v1/models/colour:predict"
    files = [BAD["bomb"][0], BAD["gif"][0], BAD["cut off"][0], BAD["lying"][0], photo(1, 20000, 40, "PNG"), photo(1, 1000, 1000, progressive=True), photo(1)]
    forms = [dict(body=file, headers={"Content-Type": "image/png"}) for file in files]
    assert [s.post(url, **f).status for f in forms] == [400] * 4 + [413, 413, 200]
    assert counts() == {"pixels": 1, "bytes": 2, "kind": 1, "broken": 2}
    assert b'proa_limit_hits_total{limit="image-pixels-max"} 1' in s.get("/metrics").body
    assert s.stop() == 0


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_garbage_in_exif_and_colour_profiles_is_passed_over(server):
    file = photo(6, exif=b"Exif\0\0II*\0\xff\xff\xff\xff", icc_profile=b"no profile at all")
    same(server.post("/v1/models/colour:predict", file).json()["predictions"][0], file)


def test_pixels_are_bounded_by_the_option(repository, tmp_path):
    s = Server(tmp_path, "--model-repository", repository, "--image-pixels-max", "9599")
    r = s.post("/v1/models/colour:predict", photo(1))
    assert r.status == 400 and r.json()["error"] == "image 0: expected at most 9599 pixels and sides of at most 65500, got 120x80", r
    assert s.stop() == 0


def test_a_wrong_declaration_is_refused_where_it_stands(tmp_path):
    onnx.save(mean_colour(), tmp_path / "model.onnx")
    rows = (("inputs: {x: {image: {size: 20}}}", ":1:21: image: expected sizes that make [3,16,16], as input 'x' has, got '[3,20,20]'"),
            ("inputs: {x: {image: {resample: soft}}}", ":1:32: resample: expected nearest, lanczos, bilinear, bicubic, box, hamming or Pillow's number, got 'soft'"),
            ("inputs: {x: {image: {image_std: 0.5}}}", ":1:33: image_std: expected 'image_mean', too"),
            ("inputs: {x: {image: {image_mean: 0, image_std: 0}}}", ":1:48: image_std: expected finite numbers other than 0, got 0"),
            ("inputs: {x: {image: {}}}\nanswer: {classes: {tpo: 3}}", ":2:20: key 'tpo' is not supported, did you mean 'top'?"),
            ("inputs: [", ":2:1: did not find expected node content"))
    for text, want in rows:
        (tmp_path / "model.proa.yaml").write_text(text)
        run = subprocess.run([PROA, "serve", f"m={tmp_path}/model.onnx", "--port", "0"], capture_output=True, text=True, timeout=60)
        assert run.returncode != 0 and f"{tmp_path}/model.proa.yaml{want}" in run.stderr, run.stderr


def test_a_model_of_one_picture_may_answer_without_its_batch(tmp_path):
    m = model([h.make_node("ReduceMean", ["x"], ["y"], axes=[0, 2, 3], keepdims=0)], [("x", T.FLOAT, [1, 3, 16, 16])], [("y", T.FLOAT, [3])], opset=13)
    onnx.save(m, tmp_path / "model.onnx")
    (tmp_path / "labels.txt").write_text("\n".join(LABELS))
    (tmp_path / "model.proa.yaml").write_text(DECLARED)
    s = Server(tmp_path, f"m={tmp_path}/model.onnx")
    same(s.post("/v1/models/m:predict", photo(1)).json()["predictions"][0], photo(1))
    assert s.stop() == 0


def test_texts_go_to_a_models_own_string_operators(server):
    r = server.post("/v1/models/words:predict", {"instances": [["Some Text"], ["ÄÖ"]]})
    assert r.json() == {"predictions": [["some text"], ["äö"]]}, r
    for path, want in (("/v1/models/words:predict", {"predictions": [["some { text"]]}),
                       ("/v2/models/words/infer", {"model_name": "words", "model_version": "1", "outputs": [{"name": "y", "datatype": "BYTES", "shape": [1, 1], "data": ["some { text"]}]})):
        r = server.post(path, b"Some { Text", headers={"Content-Type": "text/plain; charset=utf-8"})
        assert r.status == 200 and r.json() == want, r


def test_bytes_come_in_base64_to_inputs_of_strings(server):
    b64 = lambda s: {"b64": base64.b64encode(s.encode()).decode()}
    for body in ({"instances": [[b64("Some Text")], ["Plain"]]}, {"instances": [{"s": [b64("Some Text")]}, {"s": ["Plain"]}]}):
        assert server.post("/v1/models/words:predict", body).json() == {"predictions": [["some text"], ["plain"]]}
    assert server.post("/v1/models/words:predict", {"inputs": {"s": [[b64("Some Text")]]}}).json() == {"outputs": [["some text"]]}
    r = server.post("/v1/models/words:predict", {"instances": [[{"b64": "a!"}]]})
    assert r.status == 400 and r.json()["error"] == "input 's': data: [0][0]: b64: expected base64, got other characters or an end in between", r
    for option in ("-d", "--data-binary"):
        assert curl("-H", "Content-Type: text/plain", option, "Some { Text", f"{server.url}/v1/models/words:predict") == {"predictions": [["some { text"]]}


def test_v2_takes_base64_in_json(server):
    files = [photo(1), photo(2, kind="PNG")]
    texts = [base64.b64encode(f).decode() for f in files]
    for name, shape in (("image", [2]), ("image", [2, 1]), ("x", [2])):
        r = server.post("/v2/models/colour/infer", {"inputs": [{"name": name, "datatype": "BYTES", "shape": shape, "data": texts}]})
        assert r.status == 200, r
        out = {o["name"]: o for o in r.json()["outputs"]}
        assert out["label"]["shape"] == [2, 2]
        rows = [dict(label=a, index=b, score=c) for a, b, c in zip(*(out[k]["data"] for k in ("label", "index", "score")))]
        same(rows[:2], files[0])
        same(rows[2:], files[1])


# ---- ensembles ---------------------------------------------------------------------------------------------------

def put(folder, name, made, config):
    (folder / name / "1").mkdir(parents=True)
    if made:
        onnx.save(made, folder / name / "1" / "model.onnx")
    (folder / name / "config.pbtxt").write_text(config)


def joined(kind, dims, steps, outputs):
    return (f'platform: "ensemble"\nmax_batch_size: 4\ninput [ {{ name: "file" data_type: TYPE_{kind} dims: [ {dims} ] }} ]\n'
            f"output [ {', '.join(outputs)} ]\nensemble_scheduling {{ step [ {', '.join(steps)} ] }}\n")


Y = '{ name: "y" data_type: TYPE_FP32 dims: [ 3 ] }'
NEGATED = '{ name: "z" data_type: TYPE_FP32 dims: [ 3 ] }'
COLOUR = '{ model_name: "colour" model_version: -1 input_map { key: "x" value: "file" } output_map { key: "y" value: "y" } }'
NEGATE = '{ model_name: "negate" model_version: -1 input_map { key: "x" value: "y" } output_map { key: "z" value: "z" } }'


@pytest.fixture(scope="module")
def ensembles(repository, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ensembles")
    put(folder, "colour", mean_colour(), "max_batch_size: 4")
    (folder / "colour" / "proa.yaml").write_text(DECLARED)
    (folder / "colour" / "labels.txt").write_text("\n".join(LABELS))
    put(folder, "negate", model([h.make_node("Neg", ["x"], ["z"])], [("x", T.FLOAT, ["n", 3])], [("z", T.FLOAT, ["n", 3])]), "max_batch_size: 4")
    put(folder, "text", None, joined("STRING", "1", [COLOUR, NEGATE], [Y, NEGATED]))
    put(folder, "tensor", None, joined("FP32", "3, 16, 16", [COLOUR, NEGATE], [Y, NEGATED]))
    put(folder, "only_z", None, joined("STRING", "1", [COLOUR, NEGATE], [NEGATED]))
    s = Server(tmp_path_factory.mktemp("log"), "--model-repository", folder, "--model-control", "explicit")
    yield folder, s
    assert s.stop() == 0


def test_an_ensemble_takes_the_pictures_of_its_first_step_and_answers_its_labels(ensembles):
    server = ensembles[1]
    files = [photo(11), photo(12, 60, 90, "PNG")]
    for name in ("text", "tensor"):
        same(server.post(f"/v1/models/{name}:predict", files[0]).json()["predictions"][0], files[0])   # the file itself
        r = server.post(f"/v1/models/{name}:predict", {"instances": [{"b64": base64.b64encode(f).decode()} for f in files]})
        assert r.status == 200, r
        for got, file in zip(r.json()["predictions"], files, strict=True):
            same(got, file)
    r = server.post("/v2/models/only_z/infer", files[0])       # no labels: y is no output of it
    assert r.status == 200 and np.allclose(r.json()["outputs"][0]["data"], -pixels(files[0]).mean((1, 2)), atol=1e-5), r
    own = server.post("/v2/models/tensor/infer", {"inputs": [{"name": "file", "datatype": "FP32", "shape": [1, 3, 16, 16], "data": pixels(files[0]).ravel().tolist()}]})
    assert {o["name"] for o in own.json()["outputs"]} == {"y", "z"}
    assert np.allclose(own.json()["outputs"][0]["data"], pixels(files[0]).mean((1, 2)), atol=1e-5)


@pytest.mark.apart
def test_tritonclient_sends_files_to_an_ensemble_as_its_image_client_does(ensembles):
    """ensemble_image_client: BYTES of [batch, 1], the model's input as its metadata name it."""
    import tritonclient.grpc as grpc
    import tritonclient.http as http
    server, files = ensembles[1], [photo(21), photo(22)]
    for lib in (http, grpc):
        with lib.InferenceServerClient(f"{server.host}:{server.port}") as c:
            meta = c.get_model_metadata("text", as_json=True) if lib is grpc else c.get_model_metadata("text")
            assert meta["inputs"] == [{"name": "file", "datatype": "BYTES", "shape": ["-1", "1"] if lib is grpc else [-1, 1]}]
            x = lib.InferInput("file", [2, 1], "BYTES")
            x.set_data_from_numpy(np.array([[f] for f in files], dtype=object))
            r = c.infer("text", [x], outputs=[lib.InferRequestedOutput("z"), lib.InferRequestedOutput("label")])
            for k, file in enumerate(files):
                assert np.allclose(r.as_numpy("z")[k], -pixels(file).mean((1, 2)), atol=1e-5)
                assert [v.decode() for v in r.as_numpy("label")[k]] == [w[0] for w in expected(file)]
            assert r.as_numpy("y") is None
            classes = lib.InferRequestedOutput("y", class_count=1)
            best = c.infer("text", [x], outputs=[classes]).as_numpy("y")
            assert [int(b[0].decode().split(":")[1]) for b in best] == [expected(f)[0][1] for f in files]


def test_a_member_that_is_exchanged_prepares_its_pictures_anew(ensembles):
    folder, server = ensembles
    file = photo(31)
    (folder / "colour" / "proa.yaml").write_text(DECLARED.replace("[0.5, 0.4, 0.3]", "0"))
    assert server.post("/v2/repository/models/colour/load", {}).status == 200
    got = server.post("/v2/models/only_z/infer", file).json()["outputs"][0]["data"]
    assert np.allclose(got, -(pixels(file).mean((1, 2)) + np.array([0.5, 0.4, 0.3]) / 0.25), atol=1e-5)
    (folder / "colour" / "proa.yaml").write_text(DECLARED)
    assert server.post("/v2/repository/models/colour/load", {}).status == 200
    same(server.post("/v1/models/text:predict", file).json()["predictions"][0], file)


# ---- RFB-320: the boxes of a face detector -----------------------------------------------------------------------

FACES = """
inputs:
  input:
    image: {do_rescale: false, image_mean: 127, image_std: 128}
answer:
  boxes: {boxes: boxes, scores: scores, relative: true, background: 0, score_min: 0.08, overlap_max: 0.3, keep_max: 200, labels: [none, face]}
"""


def portrait(seed, size=(640, 427), kind="JPEG", mode="RGB", **options):
    """Ovals with eyes and mouths, light and dark: the detector is unsure of many, which makes for many boxes."""
    rng = np.random.default_rng(seed)
    im = Image.new("RGB", (640, 427), (90, 110, 130))
    d = ImageDraw.Draw(im)
    for _ in range(12):
        x, y, r = int(rng.integers(60, 580)), int(rng.integers(60, 370)), int(rng.integers(14, 60))
        d.ellipse((x - r, y - 1.3 * r, x + r, y + 1.3 * r), (224, 172, 140))
        for s in (-1, 1):
            d.ellipse((x + s * 0.4 * r - 4, y - 0.3 * r - 3, x + s * 0.4 * r + 4, y - 0.3 * r + 3), (40, 30, 30))
        d.arc((x - 0.4 * r, y + 0.2 * r, x + 0.4 * r, y + 0.7 * r), 20, 160, (120, 40, 40), 4)
    b = io.BytesIO()
    im.resize(size).convert(mode).save(b, kind, **({"quality": 92} if kind == "JPEG" else {}), **options)
    return b.getvalue()


def python_boxes(session, file):
    """As the detector's own demo does it: [(score, x1, y1, x2, y2)], best first."""
    im = ImageOps.exif_transpose(Image.open(io.BytesIO(file))).convert("RGB")
    w, h = im.size
    x = (np.asarray(im.resize((320, 240), Image.Resampling.BILINEAR), np.float32) - 127) / 128
    scores, boxes = session.run(None, {"input": x.transpose(2, 0, 1)[None]})
    score, box = scores[0, :, 1], boxes[0]
    order = [i for i in np.argsort(-score, kind="stable") if score[i] >= 0.08]
    kept = []
    for i in order:
        def overlap(j):
            a, b = box[i], box[j]
            both = max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))
            return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)
        if len(kept) < 200 and all(overlap(j) <= 0.3 for j in kept):
            kept.append(i)
    return [(score[i], *np.clip(box[i] * [w, h, w, h], 0, [w, h, w, h])) for i in kept]


def test_rfb_320_finds_the_boxes_that_python_finds(shared, tmp_path):
    import onnxruntime
    path = shared / "data" / "models" / "RFB-320.onnx"
    (tmp_path / "rfb").mkdir()
    (tmp_path / "rfb" / "model.onnx").write_bytes(path.read_bytes())
    (tmp_path / "rfb" / "proa.yaml").write_text(FACES)
    session = onnxruntime.InferenceSession(path)
    s = Server(tmp_path, f"rfb={tmp_path}/rfb")
    found = 0
    turned = Image.Exif()
    turned[0x112] = 6
    kinds = [dict(), dict(size=(320, 240)), dict(size=(1280, 960)), dict(size=(211, 397)), dict(size=(1500, 300)), dict(kind="PNG", size=(500, 333)),
             dict(mode="L"), dict(progressive=True), dict(exif=turned.tobytes()), dict(size=(150, 100))]
    for seed in range(20):
        file = portrait(seed, **kinds[seed % len(kinds)])
        want, r = python_boxes(session, file), s.post("/v1/models/rfb:predict", file)
        assert r.status == 200, r
        got = r.json()["predictions"][0]
        assert len(got) == len(want), f"{len(got)} boxes, expected {len(want)}"
        for g, w in zip(sorted(got, key=lambda g: g["box"]), sorted(want, key=lambda w: list(w[1:]))):
            assert g["label"] == "face" and abs(g["score"] - w[0]) < 1e-4 and np.allclose(g["box"], w[1:], atol=0.05), (g, w)
        found += len(want)
        r = s.post("/v2/models/rfb/infer", file)
        out = {o["name"]: o["data"] for o in r.json()["outputs"]}
        assert out["count"] == [len(want)] and np.allclose(np.reshape(out["box"], (-1, 4))[:len(want)], [g["box"] for g in got], atol=1e-3), r
    assert found > 60
    assert s.stop() == 0
