"""test_media.py - pictures against Pillow, the pipeline that users have today: files to pixels, pixels resized.

src/media is called through tests/tool/media_tool.c, a program of the tests. Every comparison is of all bytes."""
import io, json, os, pathlib, re, struct, subprocess
import numpy as np
import pytest
from PIL import Image, ImageOps
from conftest import PROA

TOOL = pathlib.Path(PROA).parent / "tests" / "tool" / "media_tool"
FILTERS = list(Image.Resampling)
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
SIZES = 200


class Tool:
    def __init__(self, **env):
        assert TOOL.exists(), f"{TOOL}: no such program: run 'make e2e', which builds it"
        self.process = subprocess.Popen([TOOL], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ | env)

    def close(self):
        self.process.stdin.close()
        assert self.process.wait(60) == 0

    def ask(self, words, data, kind=np.uint8, planes=False):
        """The answer's pixels as an array [height, width, channels], or [channels, height, width]; an error's text."""
        pipe = self.process.stdin
        pipe.write(f"{words} {len(data)}\n".encode() + data)
        pipe.flush()
        word, rest = self.process.stdout.readline().decode().rstrip("\n").split(" ", 1)
        if word == "error":
            return rest
        w, h, c = map(int, rest.split())
        values = np.frombuffer(self.process.stdout.read(w * h * c * np.dtype(kind).itemsize), kind)
        return values.reshape((c, h, w) if planes else (h, w, c))

    def resize(self, pixels, f, size, box=(0, 0, 0, 0), window=(0, 0, 0, 0), aliased=False):
        h, w, c = pixels.shape
        words = ["resize", w, h, c, int(f), int(aliased), *size, *box, *window]
        return self.ask(" ".join(map(str, words)), pixels.tobytes())

    def decode(self, file, channels=3, enough=(0, 0)):
        return self.ask(f"decode {channels} {enough[0]} {enough[1]}", file)

    def prepare(self, conf, file, kind=np.float32, planes=True):
        conf = conf.encode()
        return self.ask(f"prepare {len(conf)}", conf + file, kind, planes)


@pytest.fixture(scope="module")
def tool():
    t = Tool()
    yield t
    t.close()


@pytest.fixture(scope="module", params=["scalar", "avx2", "avx512"])
def each_cpu(request):
    """With the instructions of less than this machine, too; what it lacks is left out by the program."""
    t = Tool(PROA_CPU=request.param)
    yield t
    t.close()


def noise(rng, w, h, c):
    return rng.integers(0, 256, (h, w, c), dtype=np.uint8)


def pillow(pixels):
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels, MODES[pixels.shape[2]])


def array(im):
    a = np.asarray(im)
    return a if a.ndim == 3 else a[:, :, None]


def same(got, want, what):
    assert not isinstance(got, str), f"{what}: {got}"
    assert got.shape == want.shape, f"{what}: {got.shape}, expected {want.shape}"
    off = np.abs(got.astype(int) - want.astype(int))
    assert off.max(initial=0) == 0, f"{what}: {np.count_nonzero(off)} of {off.size} values differ, by at most {off.max()}"


@pytest.mark.parametrize("f", FILTERS, ids=lambda f: f.name.lower())
def test_each_filter_gives_pillows_bytes_for_random_sizes(each_cpu, f):
    tool, rng = each_cpu, np.random.default_rng(int(f))
    for turn in range(SIZES):
        w, h, to_w, to_h = (int(v) for v in np.exp(rng.uniform(0, 6, 4)))
        c = (1, 3, 4)[turn % 3]
        pixels = noise(rng, w, h, c)
        same(tool.resize(pixels, f, (to_w, to_h)), array(pillow(pixels).resize((to_w, to_h), f)), f"{w}x{h}x{c} to {to_w}x{to_h}")


@pytest.mark.parametrize("f", FILTERS, ids=lambda f: f.name.lower())
def test_a_part_of_the_source_gives_pillows_bytes(tool, f):
    rng = np.random.default_rng(100 + int(f))
    for turn in range(60):
        w, h, to_w, to_h = (int(v) for v in rng.integers(2, 200, 4))
        c = (1, 3, 4)[turn % 3]
        x, y = np.sort(rng.uniform(0, w, 2)), np.sort(rng.uniform(0, h, 2))
        if turn % 2:
            x, y = (np.array([v[0] // 2, v[1] // 1 + 1]) for v in (x, y))
        box = tuple(float(np.float32(v)) for v in (x[0], y[0], min(x[1], w), min(y[1], h)))
        if box[2] - box[0] < 0.01 or box[3] - box[1] < 0.01:
            continue
        pixels = noise(rng, w, h, c)
        same(tool.resize(pixels, f, (to_w, to_h), box), array(pillow(pixels).resize((to_w, to_h), f, box)), f"{w}x{h} {box} to {to_w}x{to_h}")


@pytest.mark.parametrize("f", FILTERS, ids=lambda f: f.name.lower())
def test_a_window_is_that_part_of_the_whole(tool, f):
    rng = np.random.default_rng(200 + int(f))
    for turn in range(40):
        w, h, to_w, to_h = (int(v) for v in rng.integers(1, 150, 4))
        pixels = noise(rng, w, h, (1, 3, 4)[turn % 3])
        x, y = int(rng.integers(0, to_w)), int(rng.integers(0, to_h))
        ww, wh = int(rng.integers(1, to_w - x + 1)), int(rng.integers(1, to_h - y + 1))
        whole = array(pillow(pixels).resize((to_w, to_h), f))
        same(tool.resize(pixels, f, (to_w, to_h), window=(x, y, ww, wh)), whole[y:y + wh, x:x + ww], f"{w}x{h} to {to_w}x{to_h}, {x},{y} {ww}x{wh}")


@pytest.mark.parametrize("f", [Image.Resampling.BILINEAR, Image.Resampling.BICUBIC], ids=lambda f: f.name.lower())
def test_without_antialias_pixels_are_onnx_resize_rounded(tool, f):
    """ONNX Runtime's Resize with half-pixel centres is what torchvision's antialias=False computes."""
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper
    mode = f.name.lower().replace("bilinear", "linear").replace("bicubic", "cubic")
    node = helper.make_node("Resize", ["x", "", "", "sizes"], ["y"], mode=mode, coordinate_transformation_mode="half_pixel", cubic_coeff_a=-0.75)
    graph = helper.make_graph([node], "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, None, None]),
                                            helper.make_tensor_value_info("sizes", TensorProto.INT64, [4])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    rng = np.random.default_rng(300 + int(f))
    for turn in range(SIZES):
        w, h, to_w, to_h = (int(v) for v in np.exp(rng.uniform(0, 5, 4)))
        c = (1, 3)[turn % 2]
        pixels = noise(rng, w, h, c)
        got = tool.resize(pixels, f, (to_w, to_h), aliased=True)
        planes = [session.run(None, {"x": pixels[None, None, :, :, i].astype(np.float32), "sizes": np.array([1, 1, to_h, to_w])})[0][0, 0] for i in range(c)]
        exact = np.clip(np.dstack(planes), 0, 255)
        off = np.abs(got - exact)
        assert off.max() <= 0.5 + 0.02, f"{w}x{h}x{c} to {to_w}x{to_h}: {off.max()}"


def exif(orientation):
    return b"Exif\0\0" + struct.pack("<2sHIHHHIHHI", b"II", 42, 8, 1, 0x112, 3, 1, orientation, 0, 0)


@pytest.mark.parametrize("f", FILTERS, ids=lambda f: f.name.lower())
def test_files_turned_by_their_exif_give_pillows_bytes_for_random_sizes(each_cpu, f):
    """JPEG and PNG, resized while they are decoded, before they are turned; Pillow turns them first."""
    rng = np.random.default_rng(400 + int(f))
    for turn in range(SIZES):
        w, h, to_w, to_h = (int(v) for v in np.exp(rng.uniform(0, 6, 4)))
        b, orientation = io.BytesIO(), turn % 8 + 1
        im = Image.fromarray(noise(rng, w, h, 3)).convert(("RGB", "L", "RGB")[turn % 3])
        if turn % 2:
            im.save(b, "PNG", exif=exif(orientation), compress_level=1)
        else:
            im.save(b, "JPEG", exif=exif(orientation), progressive=turn % 4 == 2)
        conf = f"size: {{width: {to_w}, height: {to_h}}}\nresample: {int(f)}\ndo_rescale: false\ndtype: uint8\ndata_format: channels_last\n"
        want = ImageOps.exif_transpose(Image.open(io.BytesIO(b.getvalue()))).convert("RGB").resize((to_w, to_h), f)
        same(each_cpu.prepare(conf, b.getvalue(), np.uint8, planes=False), array(want), f"{w}x{h} turned by {orientation} to {to_w}x{to_h}")


@pytest.mark.parametrize("kind,orientation", [("JPEG", 1), ("JPEG", 3), ("JPEG", 6), ("PNG", 1), ("PNG", 8)])
def test_a_large_picture_is_prepared_in_the_memory_of_some_of_its_rows(kind, orientation):
    b = io.BytesIO()
    Image.fromarray(np.tile(noise(np.random.default_rng(7), 100, 50, 3), (40, 30, 1))).save(b, kind, exif=exif(orientation))
    t = Tool(MEDIA_BYTES=str(3 << 20))
    got = t.prepare("size: 224\nresample: 3\ndo_rescale: false\ndtype: uint8\ndata_format: channels_last\n", b.getvalue(), np.uint8, planes=False)
    t.close()
    same(got, array(ImageOps.exif_transpose(Image.open(b)).convert("RGB").resize((224, 224), 3)), f"3000x2000 turned by {orientation}")


def jpeg(rng, w, h, **options):
    small = Image.fromarray(noise(rng, max(2, w // 8), max(2, h // 8), 3))
    b = io.BytesIO()
    small.resize((w, h), Image.Resampling.BICUBIC).save(b, "JPEG", **options)
    return b.getvalue()


def test_jpeg_files_give_pillows_pixels_turned_by_their_exif(tool):
    rng = np.random.default_rng(1)
    for turn in range(60):
        w, h = (int(v) for v in rng.integers(1, 300, 2))
        head = struct.pack("<2sHIHHHIHHI", b"II", 42, 8, 1, 0x112, 3, 1, turn % 10, 0, 0)
        file = jpeg(rng, w, h, quality=int(rng.integers(5, 100)), subsampling=turn % 3, progressive=turn % 2 == 1, exif=b"Exif\0\0" + head)
        want = ImageOps.exif_transpose(Image.open(io.BytesIO(file)))
        for channels in (3, 1):
            same(tool.decode(file, channels), array(want.convert(MODES[channels])), f"{w}x{h} orientation {turn % 10}")


def test_png_files_of_pillow_give_its_pixels(tool):
    rng = np.random.default_rng(2)
    for turn in range(60):
        w, h = (int(v) for v in rng.integers(1, 100, 2))
        im = Image.fromarray(noise(rng, w, h, 4), "RGBA").convert(("1", "L", "LA", "P", "RGB", "RGBA", "I;16")[turn % 7])
        b = io.BytesIO()
        im.save(b, "PNG")
        for channels in (3, 1, 4):
            same(tool.decode(b.getvalue(), channels), array(im.convert(MODES[channels])), f"{im.mode} {w}x{h}")


BY_EDGE = ("Bit", "CLIP", "MobileNetV1", "MobileNetV2")     # classes that read a number as the shorter edge,
WHOLE = ("Blip", "Pvt", "Segformer", "Siglip", "ViT")       # that crop nothing, whatever their file says,
BICUBIC = ("Beit", "Bit", "Blip", "CLIP", "DeiT", "Siglip") # and whose resample that is


def hf_class(conf):
    """CLIP of CLIPFeatureExtractor and its kin; none where no class is named."""
    named = conf.get("image_processor_type") or conf.get("feature_extractor_type") or ""
    return re.sub("(ImageProcessor|ImageProcessorFast|FeatureExtractor)$", "", named)


def hf_size(conf, w, h):
    """The size after resizing, as the image processors of transformers compute it."""
    size, named = conf["size"], hf_class(conf)
    if isinstance(size, int):
        size = {"shortest_edge": size} if (named in BY_EDGE if named else "crop_size" in conf) else {"height": size, "width": size}
    if "height" in size:
        return size["width"], size["height"]
    if "shortest_edge" in size:
        short, long = min(w, h), max(w, h)
        new_short, new_long = size["shortest_edge"], int(size["shortest_edge"] * long / short)
        most = size.get("longest_edge")
        if most and new_long > most:
            new_short, new_long = int(most * new_short / new_long), most
        return (new_short, new_long) if w <= h else (new_long, new_short)
    if "longest_edge" in size:
        scale = size["longest_edge"] / max(w, h)
        return int(w * scale + 0.5), int(h * scale + 0.5)
    scale = min(size["max_height"] / h, size["max_width"] / w)
    return int(w * scale), int(h * scale)


def hf_center_crop(a, to_h, to_w):
    """transformers.image_transforms.center_crop, for [height, width, channels]."""
    h, w = a.shape[:2]
    top, left = (h - to_h) // 2, (w - to_w) // 2
    if top >= 0 and left >= 0:
        return a[top:top + to_h, left:left + to_w]
    new_h, new_w = max(to_h, h), max(to_w, w)
    wide = np.zeros((new_h, new_w, a.shape[2]), a.dtype)
    top_pad, left_pad = -(-(new_h - h) // 2), -(-(new_w - w) // 2)
    wide[top_pad:top_pad + h, left_pad:left_pad + w] = a
    top, left = top + top_pad, left + left_pad
    return wide[max(0, top):min(new_h, top + to_h), max(0, left):min(new_w, left + to_w)]


def hf_pipeline(conf, file):
    """What load_image() and a slow image processor make of a file: [channels, height, width] in float32."""
    im = ImageOps.exif_transpose(Image.open(io.BytesIO(file))).convert("RGB")
    if conf.get("do_resize", True) and "size" in conf:
        im = im.resize(hf_size(conf, *im.size), conf.get("resample", 3 if hf_class(conf) in BICUBIC else 2))
    a = np.asarray(im)
    if conf.get("do_center_crop", True) and "crop_size" in conf and hf_class(conf) not in WHOLE:
        crop = conf["crop_size"]
        a = hf_center_crop(a, *((crop, crop) if isinstance(crop, int) else (crop["height"], crop["width"])))
    if conf.get("do_rescale", True):
        a = (a.astype(np.float64) * conf.get("rescale_factor", 1 / 255)).astype(np.float32)
    a = a.astype(np.float32)
    if conf.get("do_normalize", True) and "image_mean" in conf:
        a = (a - np.array(conf["image_mean"], np.float32)) / np.array(conf["image_std"], np.float32)
    return a.transpose(2, 0, 1)


IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
CONFS = {
    "vit": {"do_normalize": True, "do_resize": True, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "size": 224,
            "feature_extractor_type": "ViTFeatureExtractor", "resample": 2},
    "clip": {"crop_size": 224, "do_center_crop": True, "do_normalize": True, "do_resize": True, "resample": 3, "size": 224,
             "feature_extractor_type": "CLIPFeatureExtractor", "image_mean": [0.48145466, 0.4578275, 0.40821073],
             "image_std": [0.26862954, 0.26130258, 0.27577711]},
    "resnet": {"_valid_processor_keys": ["images", "do_resize"], "crop_size": {"height": 224, "width": 224}, "do_convert_rgb": None,
               "do_center_crop": True, "do_rescale": True, "rescale_factor": 0.00392156862745098, "size": {"shortest_edge": 256},
               "do_normalize": True, "image_processor_type": "BitImageProcessor", "resample": 3, "do_resize": True, "data_format": "channels_first", **IMAGENET},
    "small crop of a smaller picture": {"size": {"shortest_edge": 100}, "crop_size": {"height": 131, "width": 150}, "resample": 0, **IMAGENET},
    "longest": {"size": {"longest_edge": 150}, "resample": 1, "do_normalize": False},
    "both edges": {"size": {"shortest_edge": 120, "longest_edge": 160}, "resample": 3, "do_rescale": False, **IMAGENET},
    "within": {"size": {"max_height": 90, "max_width": 170}, "do_rescale": True, "do_center_crop": False, "crop_size": 5},
    **{f"{name} names the class": {"image_processor_type": name, "size": 90, "crop_size": 70, "do_reduce_labels": True, **IMAGENET}
       for name in ("BeitImageProcessor", "BitImageProcessorFast", "BlipImageProcessor", "CLIPImageProcessor", "DeiTFeatureExtractor", "MobileNetV1ImageProcessor",
                    "MobileNetV2FeatureExtractor", "PvtImageProcessor", "SegformerImageProcessor", "ViTImageProcessorFast")},
    "Siglip names the class": {"image_processor_type": "SiglipImageProcessor", "size": {"height": 80, "width": 90}, **IMAGENET},
    "the newer name counts": {"image_processor_type": "DeiTImageProcessor", "feature_extractor_type": "CLIPFeatureExtractor", "size": 90, "crop_size": 70, **IMAGENET},
    "as it is": {"do_resize": False, "size": 10, "rescale_factor": 0.5},
}


@pytest.mark.parametrize("name", CONFS)
def test_hugging_faces_files_give_the_bits_of_its_pipeline(tool, name):
    conf = CONFS[name]
    rng = np.random.default_rng(len(name))
    for turn in range(12):
        w, h = (int(v) for v in rng.integers(20, 400, 2))
        head = struct.pack("<2sHIHHHIHHI", b"II", 42, 8, 1, 0x112, 3, 1, turn % 8 + 1, 0, 0)
        file = jpeg(rng, w, h, exif=b"Exif\0\0" + head)
        got, want = tool.prepare(json.dumps(conf, indent=2), file), hf_pipeline(conf, file)
        assert not isinstance(got, str), got
        assert got.shape == want.shape, f"{w}x{h}, turned by {turn % 8 + 1}"
        assert np.array_equal(got, want), f"{w}x{h}: {np.abs(got - want).max()}"


@pytest.mark.parametrize("name", ["DetrImageProcessor", "YolosFeatureExtractor", "LevitImageProcessor", "ConvNextImageProcessor", "PerceiverFeatureExtractor",
                                  "EfficientNetImageProcessor", "MobileViTImageProcessor", "ViT", "CLIPImageProcessorFaster", "OwnImageProcessor"])
def test_a_file_of_another_class_is_refused_by_its_name(tool, name):
    conf = json.dumps({"size": 90, "crop_size": 70, "image_processor_type": name, **IMAGENET})
    got = tool.prepare(conf, jpeg(np.random.default_rng(1), 50, 40))
    want = "Beit, Bit, Blip, CLIP, DeiT, MobileNetV1, MobileNetV2, Pvt, Segformer, Siglip or ViT and then ImageProcessor"
    assert got == f"conf:1:55: image_processor_type: expected {want}, got '{name}'"


def test_a_letterbox_for_detectors(tool):
    """Ultralytics' letterbox: the longer side to 320, grey 114 around, BGR, channels last, bytes."""
    rng = np.random.default_rng(9)
    for w, h in ((640, 480), (33, 200), (320, 320), (701, 99)):
        file = jpeg(rng, w, h)
        conf = "size: {longest_edge: 320}\npad_size: 320\npad_value: 114\nchannel_order: bgr\ndata_format: channels_last\ndtype: uint8\n"
        got = tool.prepare(conf, file, np.uint8, planes=False)
        scale = min(320 / w, 320 / h)
        im = np.asarray(Image.open(io.BytesIO(file)).resize((int(w * scale + 0.5), int(h * scale + 0.5)), 2))
        want = np.full((320, 320, 3), 114, np.uint8)
        top, left = (320 - im.shape[0]) // 2, (320 - im.shape[1]) // 2
        want[top:top + im.shape[0], left:left + im.shape[1]] = im[:, :, ::-1]
        same(got, want, f"{w}x{h}")


def test_half_floats_are_the_rounded_floats(tool):
    file = jpeg(np.random.default_rng(11), 50, 40)
    keys = "size: 32\nimage_mean: 0.45\nimage_std: 0.225\n"
    half, whole = tool.prepare(keys + "dtype: float16\n", file, np.float16), tool.prepare(keys, file)
    assert np.array_equal(half, whole.astype(np.float16))
