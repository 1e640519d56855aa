"""test_magika.py - Google's content-type model over HTTP: all 141 golden contents get the golden label, the score within 1e-3.

The client's half (which bytes become features) follows config.min.json and is checked against upstream's own examples first.
"""
import base64, gzip, json
import numpy as np
import pytest
from conftest import Server
from test_v2 import binary, outputs

SCORE_OFF_MAX = 1e-3


def features(content, beg_size, end_size, block_size, padding_token, **_):
    """The first bytes after leading white space, padded on the right; the last ones before trailing white space, on the left."""
    n = min(block_size, len(content))
    beg = content[:n].lstrip()[:beg_size]
    end = content[len(content) - n:].rstrip()[-end_size:]
    return list(beg) + [padding_token] * (beg_size - len(beg)), [padding_token] * (end_size - len(end)) + list(end)


def load(shared, name):
    with gzip.open(shared / "data" / "vectors" / "magika" / name) as f:
        return json.load(f)


@pytest.fixture(scope="module")
def config(shared):
    return json.loads((shared / "data" / "vectors" / "magika" / "config.min.json").read_text())


@pytest.fixture(scope="module")
def magika(shared, tmp_path_factory):
    s = Server(tmp_path_factory.mktemp("magika"), f"magika={shared / 'data' / 'models' / 'magika_v3_3.onnx'}")
    yield s
    assert s.stop() == 0


def test_our_features_are_upstreams(shared):
    examples = load(shared, "features_extraction_examples.json.gz")
    assert len(examples) == 9261
    for e in examples:
        assert not e["args"]["mid_size"] and not e["args"]["use_inputs_at_offsets"]
        assert features(base64.b64decode(e["content_base64"]), **e["args"]) == (e["features"]["beg"], e["features"]["end"])


def vector(content, config):
    """The model's input, or None for what upstream decides without the model: nothing, or fewer than 8 bytes beside white space."""
    beg, end = features(content, **config)
    few = len(content) < config["min_file_size_for_dl"] or beg[config["min_file_size_for_dl"] - 1] == config["padding_token"]
    return None if few else beg + end


def test_all_golden_contents_get_their_label_and_score(shared, magika, config):
    goldens = load(shared, "standard_v3_3-inference_examples_by_content.json.gz")
    assert len(goldens) == 141
    asked, worst = 0, 0.0
    for g in goldens:
        content, want = base64.b64decode(g["content_base64"]), g["prediction"]
        row = vector(content, config)
        if row is None:
            assert want["dl"] == "undefined" and want["score"] == 1.0
            continue
        row = np.array([row], np.int32)
        got = outputs(binary(magika, "magika", [("bytes", "INT32", [1, 2048], row.tobytes())] if asked % 2 else [("bytes", "INT32", [1, 2048], row.tolist())]))
        score = np.array(got["target_label"][2])
        assert score.shape == (214,) and config["target_labels_space"][int(score.argmax())] == want["dl"]
        worst = max(worst, abs(float(score.max()) - want["score"]))
        assert worst <= SCORE_OFF_MAX, (want, float(score.max()))
        asked += 1
    assert asked == 129, f"the model decides 129 of the 141, {asked} were asked"


def test_a_batch_gives_what_single_requests_give(shared, magika, config):
    goldens = load(shared, "standard_v3_3-inference_examples_by_content.json.gz")
    rows = [r for r in (vector(base64.b64decode(g["content_base64"]), config) for g in goldens) if r][:24]
    x = np.array(rows, np.int32)
    batch = np.array(outputs(binary(magika, "magika", [("bytes", "INT32", list(x.shape), x.tobytes())]))["target_label"][2]).reshape(len(rows), 214)
    for i in (0, 7, 23):
        alone = outputs(binary(magika, "magika", [("bytes", "INT32", [1, 2048], x[i:i + 1].tobytes())]))["target_label"][2]
        assert np.abs(batch[i] - np.array(alone)).max() <= 1e-5
