"""picture.py - a JPEG posted to `proa serve` and answered, against Pillow that only decodes it: called by picture.sh.

What the server adds is its answer's time without the model's run, as Server-Timing says both; the ceiling leaves room for a busy
machine. Rounds alternate, so that what else the machine does meets both."""
import http.client, io, pathlib, re, statistics, subprocess, sys, tempfile, time
import numpy as np
import onnx
from PIL import Image
import models

ROUNDS, CEILING = 41, 1.4
DECLARED = "inputs: {x: {image: {image_mean: [0.485, 0.456, 0.406], image_std: [0.229, 0.224, 0.225]}}}\n"


def photo():
    y, x = np.mgrid[0:1080, 0:1920]
    rng = np.random.default_rng(1)
    planes = [(x * (c + 2) // 16 + y * y // 4000) % 200 + (x // 97 + y // 61) % 3 * 18 for c in range(3)]
    b = io.BytesIO()
    Image.fromarray((np.dstack(planes) + rng.integers(0, 12, (1080, 1920, 3))).astype(np.uint8)).save(b, "JPEG", quality=90)
    return b.getvalue()


def decode(file):
    since = time.perf_counter()
    Image.open(io.BytesIO(file)).load()
    return 1e3 * (time.perf_counter() - since)


def answer(connection, file):
    """Milliseconds of the request in the server, without the model's."""
    connection.request("POST", "/v1/models/m:predict", file, {"Content-Type": "image/jpeg", "X-Proa-Timing": "1"})
    r = connection.getresponse()
    body = r.read()
    assert r.status == 200, body
    part = {k: float(v) for k, v in re.findall(r"(\w+);dur=([0-9.]+)", r.getheader("Server-Timing"))}
    return part["total"] - part["compute"]


def main():
    file = photo()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        onnx.save(models.image(), folder / "model.onnx")
        (folder / "model.proa.yaml").write_text(DECLARED)
        server = subprocess.Popen([sys.argv[1], "serve", f"m={folder}/model.onnx", "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            port = int(re.search(rb":(\d+)\n", server.stdout.readline())[1])
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            rounds = [(decode(file), answer(connection, file)) for _ in range(ROUNDS)]
        finally:
            server.terminate()
            server.wait()
    own, ours = (statistics.median(r[i] for r in rounds) for i in (0, 1))
    ratio = statistics.median(b / a for a, b in rounds)
    print(f"served     exact  decode {own:6.2f} ms  JPEG to answer {ours:6.2f} ms beside the model  {ratio:.3f} times")
    return ratio > CEILING


sys.exit(main())
