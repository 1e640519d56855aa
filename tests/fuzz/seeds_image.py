#!/usr/bin/env python3
"""seeds_image.py FOLDER - small JPEG and PNG files of every kind, as seeds for fuzz_image and goldens for test_image.

Prints test_image's table: what Pillow makes of each file, as CRC-32 of its pixels in grey, RGB and RGBA.  Where Pillow departs from the
PNG standard (a transparent colour of less or more than 8 bits) the RGBA column is the standard's, computed here.  Needs Pillow, numpy."""
import io, pathlib, struct, sys, zlib

import numpy as np
from PIL import Image

out = pathlib.Path(sys.argv[1])
out.mkdir(parents=True, exist_ok=True)
rng = np.random.default_rng(7)
W, H = 11, 9
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def rows(samples, depth):
    """Samples [h, w, c] as PNG's rows, each behind its filter: 0, and 1 where samples are bytes."""
    packed = b""
    for y, row in enumerate(samples.reshape(len(samples), -1)):
        if depth == 16:
            line = row.astype(">u2").tobytes()
        elif depth == 8:
            line = row.astype(np.uint8).tobytes()
        else:
            bits = "".join(f"{v:0{depth}b}" for v in row)
            bits += "0" * (-len(bits) % 8)
            line = bytes(int(bits[i:i + 8], 2) for i in range(0, len(bits), 8))
        if depth == 8 and samples.shape[2] == 3 and y % 2:
            raw = np.frombuffer(line, np.uint8)
            line = (raw - np.concatenate([np.zeros(3, np.uint8), raw[:-3]])).astype(np.uint8).tobytes()
            packed += b"\1" + line
        else:
            packed += b"\0" + line
    return packed


def png(samples, depth, colour, interlaced=False, before=b"", after=b""):
    h, w = samples.shape[:2]
    data = b""
    if interlaced:
        for x0, y0, dx, dy in ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)):
            part = samples[y0::dy, x0::dx]
            data += rows(part, depth) if part.size else b""
    else:
        data = rows(samples, depth)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, depth, colour, 0, 0, interlaced)) + before
            + chunk(b"IDAT", zlib.compress(data, 9)) + after + chunk(b"IEND", b""))


def exif(orientation, big):
    head = b"MM\0*\0\0\0\x08" if big else b"II*\0\x08\0\0\0"
    return head + struct.pack(">" if big else "<", ) + struct.pack((">" if big else "<") + "HHHIHHI", 1, 0x112, 3, 1, orientation, 0, 0)


def row(name, file, rgba=None):
    (out / name).write_bytes(file)
    im = Image.open(io.BytesIO(file))
    width, height = im.size
    turn = im.getexif().get(0x112, 1)
    grey, rgb = im.convert("L").tobytes(), im.convert("RGB").tobytes()
    if im.mode == "CMYK":
        grey = im.convert("RGB").convert("L").tobytes()   # ours goes by RGB
    wide = 0 if im.mode == "CMYK" else zlib.crc32(im.convert("RGBA").tobytes() if rgba is None else rgba)
    print(f'    {{"{name}", {width}, {height}, {turn}, 0x{zlib.crc32(grey):08x}, 0x{zlib.crc32(rgb):08x}, 0x{wide:08x}}},')


def to_rgba(samples, depth, colour, key):
    """By the PNG standard; 16-bit grey as Pillow reduces it."""
    s = samples.astype(np.uint32)
    alpha = np.where((s == np.array(key)).all(axis=2), 0, 255)
    if depth == 16:
        s = np.minimum(s, 255) if colour == 0 else s >> 8
    else:
        s = s * 255 // ((1 << depth) - 1)
    s = np.repeat(s, 3, axis=2) if colour == 0 else s
    return np.dstack([s, alpha]).astype(np.uint8).tobytes()


def pngs():
    palette = rng.integers(0, 256, (256, 3), dtype=np.uint8)
    for colour, depths in ((0, (1, 2, 4, 8, 16)), (2, (8, 16)), (3, (1, 2, 4, 8)), (4, (8, 16)), (6, (8, 16))):
        for depth in depths:
            samples = rng.integers(0, 1 << depth, (H, W, CHANNELS[colour]))
            if depth == 16 and colour == 0:
                samples[::2] //= 300
            before = b""
            if colour == 3:
                before = chunk(b"PLTE", palette[:1 << depth].tobytes())
            for interlaced in (False, True):
                row(f"png-{colour}-{depth}{'-adam7' if interlaced else ''}", png(samples, depth, colour, interlaced, before))
            if colour == 3:
                row(f"png-{colour}-{depth}-trns", png(samples, depth, colour, False, before + chunk(b"tRNS", bytes(range(1 << min(depth, 3))))))
            if colour in (0, 2):
                key = [int(v) for v in samples[3, 4]]
                trns = chunk(b"tRNS", struct.pack(f">{len(key)}H", *key))
                row(f"png-{colour}-{depth}-trns", png(samples, depth, colour, False, trns), to_rgba(samples, depth, colour, key))
    samples = rng.integers(0, 256, (H, W, 3))
    row("png-exif", png(samples, 8, 2, False, chunk(b"eXIf", exif(5, True)) + chunk(b"tEXt", b"Title\0a") + chunk(b"iCCP", b"a\0\0bad")))
    row("png-exif-late", png(samples, 8, 2, False, after=chunk(b"eXIf", exif(8, False))))


def jpegs():
    base = Image.fromarray(rng.integers(0, 256, (5, 6, 3), dtype=np.uint8)).resize((35, 27), Image.BICUBIC)
    for name, mode, options in (("444", "RGB", {"subsampling": 0}), ("422", "RGB", {"subsampling": 1}), ("420", "RGB", {"subsampling": 2}),
                                ("grey", "L", {}), ("cmyk", "CMYK", {}), ("progressive", "RGB", {"progressive": True}),
                                ("restart", "RGB", {"restart_marker_blocks": 2}), ("rgb", "RGB", {"keep_rgb": True}),
                                ("exif6", "RGB", {"exif": b"Exif\0\0" + exif(6, False)}),
                                ("exif3", "L", {"exif": b"Exif\0\0" + exif(3, True)})):
        b = io.BytesIO()
        base.convert(mode).save(b, "JPEG", quality=60, optimize=True, **options)
        file = b.getvalue()
        row(f"jpeg-{name}", file)
        if name == "cmyk":       # an Adobe marker that says YCCK
            at = file.index(b"\xff\xee")
            row("jpeg-ycck", file[:at + 15] + b"\2" + file[at + 16:] if file[at + 4:at + 9] == b"Adobe" else file)


pngs()
jpegs()
