"""test_cli_model.py - `proa model inspect | run | bench`: the contracts that the yardstick in ../shared/bench relies on."""
import json, os, re, resource, socket, subprocess, time
import numpy as np
import onnx
from onnx import TensorProto as T, helper as h, numpy_helper
import pytest
from conftest import DIGITS, PROA, run_proa, until
from models import X, Y, model
from test_lifecycle import one_line


# ---- proa itself -------------------------------------------------------------------------------------------------

def test_version_and_help():
    done = run_proa("--version")
    assert done.returncode == 0 and re.fullmatch(r"proa \d+\.\d+\.\d+\S*\n", done.stdout)
    top = run_proa("--help")
    assert top.returncode == 0 and "serve" in top.stdout and "model" in top.stdout and not top.stderr
    for args in (["serve"], ["model"], ["model", "inspect"], ["model", "run"], ["model", "bench"]):
        done = run_proa(*args, "--help")
        assert done.returncode == 0 and done.stdout and not done.stderr, args
    serve = run_proa("serve", "--help").stdout
    assert all(f"--{flag}" in serve for flag in ("port", "address", "model-repository", "body-bytes-max", "config"))


@pytest.mark.parametrize("args,word", [([], ""), (["srve"], "serve"), (["model"], ""), (["model", "inspct", "x"], "inspect"), (["model", "inspect"], ""),
                                       (["model", "run"], ""), (["model", "bench"], ""), (["--verison"], ""),
                                       (["model", "inspect", "m.onnx", "--shape", "image"], "expected NAME="),
                                       (["serve", "a b=m.onnx"], "model name: expected"), (["serve", "--", "--port"], "expected NAME=PATH")])
def test_usage_errors_have_status_two_and_suggest(args, word):
    done = run_proa(*args)
    assert done.returncode == 2 and word in done.stderr and not done.stdout, done


@pytest.mark.parametrize("args", ["--help", "--version", "model --help", "model bench --help", "infer --help", "top --help", "key --help", "serve --help"])
def test_a_text_that_could_not_be_written_is_an_error(args):
    done = by_shell(args + " >/dev/full")
    assert done.returncode == 1 and done.stderr.endswith(": standard output: cannot write: No space left on device\n"), done


def by_shell(line, *args):
    """What `proa LINE` gives where a shell closes and redirects; $1 ... are the arguments."""
    return subprocess.run(["sh", "-c", f'"$0" {line}', PROA, *map(str, args)], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)


def test_what_is_closed_of_the_standard_descriptors_is_nobody_elses(server, serve, zoo):
    value = f"x={json.dumps([X])}"
    for how in ("<&- >&-", ">&-"):
        done = by_shell(f'infer "$1" tiny --input "$2" {how}', server.url, value)
        assert done.returncode == 1 and done.stderr == "proa infer: standard output: cannot write: Bad file descriptor\n", done
    done = by_shell('infer "$1" tiny --input "$2" <&- 2>&-', server.url, value)
    assert done.returncode == 0 and done.stdout, done
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    p = subprocess.Popen(["sh", "-c", 'exec "$0" serve "$1" --port "$2" <&- >&- 2>&-', PROA, f"tiny={zoo['tiny']}", str(port)])
    try:
        until(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0, what="listening")
        assert [os.readlink(f"/proc/{p.pid}/fd/{fd}") for fd in range(3)] == ["/dev/null"] * 3
    finally:
        p.terminate()
    assert p.wait(60) == 0


def test_a_key_that_could_not_be_shown_is_an_error():
    for how, what in ((">/dev/full", "output: cannot write: No space left on device"), (">&-", "output: cannot write: Bad file descriptor")):
        done = by_shell("key " + how)
        assert done.returncode == 1 and done.stderr == f"proa key: standard {what}\n", done
    for how in ("2>/dev/full", "2>&-"):
        assert by_shell("key " + how).returncode == 1, how


# ---- inspect -----------------------------------------------------------------------------------------------------

def test_inspect_tells_a_person():
    done = run_proa("model", "inspect", DIGITS)
    assert done.returncode == 0, done
    for word in ("image", "probabilities", "label", "Conv", "Gemm", "Relu"):
        assert word in done.stdout
    assert max(map(len, done.stdout.splitlines())) < 200


def test_inspect_tells_a_program():
    done = run_proa("model", "inspect", DIGITS, "--json")
    assert done.returncode == 0, done
    body = json.loads(done.stdout)
    assert [i["name"] for i in body["inputs"]] == ["image"] and [o["name"] for o in body["outputs"]] == ["probabilities", "label"]
    text = done.stdout.lower()
    for word in ("conv", "kernel", "bytes", "flop", "memory", "fused", "shape"):
        assert word in text, word
    plan = max((v for v in body.values() if isinstance(v, list)), key=len)
    assert any("Conv" in json.dumps(n) and "Relu" in json.dumps(n) for n in plan), "Relu is fused into Conv, and the plan says so"


def test_inspect_says_how_to_name_sizes_that_do_not_fit(tmp_path):
    m = model([h.make_node("MaxPool", ["x"], ["y"], kernel_shape=[5])], [("x", T.FLOAT, [1, 2, "n"])], [("y", T.FLOAT, [1, 2, "k"])])
    onnx.save(m, tmp_path / "m.onnx")
    one_line(run_proa("model", "inspect", tmp_path / "m.onnx"), "m.onnx", "--shape x=")
    assert run_proa("model", "inspect", tmp_path / "m.onnx", "--shape", "x=1x2x9").returncode == 0
    one_line(run_proa("model", "inspect", tmp_path / "m.onnx", "--shape", "x=1x2x3"), "m.onnx")


def limited(path, seconds, megabytes):
    """`proa model inspect` with so much processor time and memory."""
    def limits():
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))
    return subprocess.run([PROA, "model", "inspect", path, "--json"], capture_output=True, text=True, timeout=120, preexec_fn=limits)


def test_large_graphs_cost_no_more_than_their_size(tmp_path):
    x, c, y = ("x", T.FLOAT, ["n", 4]), ("c", T.BOOL, []), ("y", T.FLOAT, ["n", 4])
    n = 100_000
    chain = [h.make_node("Identity", [f"v{i}" if i else "x"], [f"v{i + 1}"]) for i in range(n)] + [h.make_node("Neg", [f"v{n}"], ["y"])]
    onnx.save(model(chain, [x], [y]), tmp_path / "chain.onnx")
    done = limited(tmp_path / "chain.onnx", 10, 1024)
    assert done.returncode == 0 and len(json.loads(done.stdout)["plan"]) == 1, done.stderr[-300:]

    def side(op, value, k):
        return h.make_graph([h.make_node(op, [value], [f"{op}{k}"])], op, [], [h.make_tensor_value_info(f"{op}{k}", T.FLOAT, ["n", 4])])
    nodes, n, ifs = [h.make_node("Sin", [f"v{i}" if i else "x"], [f"v{i + 1}"]) for i in range(10_000)], 10_000, 1000
    for k in range(ifs):
        value = f"i{k - 1}" if k else f"v{n}"
        nodes.append(h.make_node("If", ["c"], [f"i{k}" if k < ifs - 1 else "y"], then_branch=side("Neg", value, k), else_branch=side("Abs", value, k)))
    onnx.save(model(nodes, [x, c], [y]), tmp_path / "ifs.onnx")
    done = limited(tmp_path / "ifs.onnx", 10, 1024)
    assert done.returncode == 0 and len(json.loads(done.stdout)["plan"]) == n + ifs, done.stderr[-300:]


# ---- run ---------------------------------------------------------------------------------------------------------

def run_model(tmp_path, path, arrays, **kw):
    """Returns (CompletedProcess, [output arrays])."""
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir(exist_ok=True)
    out.mkdir(exist_ok=True)
    for old in list(data.iterdir()) + list(out.iterdir()):
        old.unlink()
    for i, a in enumerate(arrays):
        (data / f"input_{i}.pb").write_bytes(a if isinstance(a, bytes) else numpy_helper.from_array(a).SerializeToString())
    done = run_proa("model", "run", path, "--inputs", data, "--outputs", out, **kw)
    results = []
    for i in range(len(list(out.iterdir()))):
        t = onnx.TensorProto()
        t.ParseFromString((out / f"output_{i}.pb").read_bytes())
        results.append(numpy_helper.to_array(t))
    return done, results


def test_run_reads_and_writes_tensor_protos(tmp_path, zoo):
    done, (y,) = run_model(tmp_path, zoo["tiny"], [np.array([X, X], np.float32)])
    assert done.returncode == 0 and y.dtype == np.float32 and np.allclose(y, [Y, Y], rtol=1e-6)
    done, (total, count) = run_model(tmp_path, zoo["pair"], [np.ones((1, 3), np.float32)] * 2 + [np.array([2**40], np.int64)])
    assert done.returncode == 0 and total.tolist() == [[2, 2, 2]] and count.tolist() == [2**41]


@pytest.mark.parametrize("datatype", ["bool", "uint8", "uint64", "int8", "int64", "fp16", "fp64", "bytes"])
def test_run_keeps_every_type(tmp_path, zoo, datatype):
    from models import TYPES
    kind = TYPES[datatype.upper()][1]
    x = np.array([[b"a", "grün".encode()]], object) if kind is object else np.array([[0, 1], [7, 3]]).astype(kind)
    done, (y,) = run_model(tmp_path, zoo[f"id_{datatype}"], [x])
    assert done.returncode == 0, done
    if kind is object:
        assert [v if isinstance(v, bytes) else v.encode() for v in y.reshape(-1)] == list(x.reshape(-1))
    else:
        assert y.dtype == x.dtype and (y == x).all()


@pytest.mark.parametrize("cpu", ["scalar", "avx2", "avx512"])
def test_run_obeys_the_forced_instruction_set(tmp_path, cpu):
    flags = open("/proc/cpuinfo").read()
    if cpu != "scalar" and f" {cpu if cpu == 'avx2' else 'avx512f'} " not in flags:
        pytest.skip(f"this processor has no {cpu}")
    x = np.random.default_rng(2).random((3, 1, 8, 8)).astype(np.float32) * 16
    _, (best, label) = run_model(tmp_path, DIGITS, [x])
    done, (p, again) = run_model(tmp_path, DIGITS, [x], env={"PROA_CPU": cpu})
    assert done.returncode == 0 and np.allclose(p, best, rtol=1e-4, atol=1e-6) and (label == again).all()


def test_a_wrong_instruction_set_is_said(tmp_path, zoo):
    done, _ = run_model(tmp_path, zoo["tiny"], [np.array([X], np.float32)], env={"PROA_CPU": "sse9"})
    one_line(done, "PROA_CPU", "sse9")


def test_run_says_not_implemented_with_status_three(tmp_path):
    bad = model([h.make_node("Relu", ["x"], ["y"])], [("x", T.FLOAT, [2])], [("y", T.FLOAT, [2])])
    bad.graph.node[0].op_type = "Frobnicate"
    bad.graph.node[0].name = "n7"
    (tmp_path / "bad.onnx").write_bytes(bad.SerializeToString())
    done, made = run_model(tmp_path, tmp_path / "bad.onnx", [np.zeros(2, np.float32)])
    one_line(done, "n7", "Frobnicate", status=3)
    assert not made


def test_run_refuses_wrong_inputs_with_status_one(tmp_path, zoo):
    for arrays in ([], [np.zeros((1, 5), np.float32)], [np.zeros((1, 4), np.float64)], [np.zeros(4, np.float32)], [np.zeros((1, 4), np.float32)] * 2,
                   [b"nonsense"], [b""], [numpy_helper.from_array(np.zeros((1, 4), np.float32)).SerializeToString()[:-3]]):
        done, made = run_model(tmp_path, zoo["tiny"], arrays)
        one_line(done, status=1)
        assert not made
    one_line(run_proa("model", "run", tmp_path / "none.onnx", "--inputs", tmp_path, "--outputs", tmp_path), "none.onnx", status=1)
    one_line(run_proa("model", "run", zoo["tiny"], "--inputs", tmp_path / "nowhere", "--outputs", tmp_path), "nowhere", status=1)


# ---- bench -------------------------------------------------------------------------------------------------------

def bench(path, npz, *more, threads=1, runs=20):
    return run_proa("model", "bench", path, "--inputs", npz, "--threads", threads, "--runs", runs, "--json", *more)


def test_bench_prints_the_four_figures_and_writes_its_outputs(tmp_path):
    x = np.random.default_rng(6).random((4, 1, 8, 8)).astype(np.float32) * 16
    np.savez(tmp_path / "in.npz", image=x)
    since = time.monotonic()
    done = bench(DIGITS, tmp_path / "in.npz", "--out", tmp_path / "out.npz")
    spent_ms = (time.monotonic() - since) * 1e3
    assert done.returncode == 0, done
    figures = json.loads(done.stdout)
    assert 0 < figures["min_ms"] <= figures["median_ms"] < spent_ms / 10, "ten of the twenty runs took as long"
    assert 0 < figures["load_ms"] < spent_ms and 0.5 < figures["peak_rss_mb"] < 500
    _, want = run_model(tmp_path, DIGITS, [x])
    with np.load(tmp_path / "out.npz") as got:
        assert sorted(got.files) == ["label", "probabilities"]
        assert (got["probabilities"] == want[0]).all() and (got["label"] == want[1]).all() and got["label"].dtype == np.int64


def test_bench_takes_inputs_by_name_in_any_order_with_any_threads(tmp_path, zoo):
    arrays = {"i": np.array([3], np.int64), "b": np.ones((1, 3), np.float32), "a": np.full((1, 3), 2, np.float32)}
    np.savez(tmp_path / "plain.npz", **arrays)
    np.savez(tmp_path / "fortran.npz", **{k: np.asfortranarray(v) for k, v in arrays.items()})
    for name in ("plain", "fortran"):
        for threads in (1, 2):
            done = bench(zoo["pair"], tmp_path / f"{name}.npz", "--out", tmp_path / "out.npz", threads=threads, runs=3)
            assert done.returncode == 0, done
            with np.load(tmp_path / "out.npz") as got:
                assert got["sum"].tolist() == [[3, 3, 3]] and got["count"].tolist() == [6]


def test_bench_takes_names_with_slashes(tmp_path):
    m = model([h.make_node("Relu", ["gpu_0/x"], ["gpu_0/y"])], [("gpu_0/x", T.FLOAT, ["n"])], [("gpu_0/y", T.FLOAT, ["n"])])
    onnx.save(m, tmp_path / "m.onnx")
    np.savez(tmp_path / "in.npz", **{"gpu_0/x": np.array([-1, 2], np.float32)})
    done = bench(tmp_path / "m.onnx", tmp_path / "in.npz", "--out", tmp_path / "out.npz")
    assert done.returncode == 0, done
    with np.load(tmp_path / "out.npz") as got:
        assert got["gpu_0/y"].tolist() == [0, 2]


def test_npz_text_is_read_as_s_and_u_and_written_as_u(tmp_path):
    m = model([h.make_node("Identity", ["s"], ["t"])], [("s", T.STRING, ["n"])], [("t", T.STRING, ["n"])])
    onnx.save(m, tmp_path / "m.onnx")
    words = ["cat", "", "\u00e9t\u00e9", "\u20ac", "\U0001f600!", "a\0b"]
    for array in (np.array(words), np.array([w.encode() for w in words])):
        np.savez(tmp_path / "in.npz", s=array)
        done = run_proa("model", "run", tmp_path / "m.onnx", "--inputs", tmp_path / "in.npz", "--outputs", tmp_path / "out.npz")
        assert done.returncode == 0, done
        with np.load(tmp_path / "out.npz") as got:
            assert got["t"].dtype.kind == "U" and got["t"].tolist() == words


def test_npz_text_that_is_no_utf8_comes_back_byte_for_byte(tmp_path):
    m = model([h.make_node("Identity", ["s"], ["t"])], [("s", T.STRING, ["n"])], [("t", T.STRING, ["n"])])
    onnx.save(m, tmp_path / "m.onnx")
    words = [b"\xff", b"caf\xe9", b"\xc3\xa9\xc3", b"\xed\xa0\x80", b"plain"]
    escaped = np.array([w.decode("utf-8", "surrogateescape") for w in words])
    for array in (np.array(words), escaped):
        np.savez(tmp_path / "in.npz", s=array)
        done = bench(tmp_path / "m.onnx", tmp_path / "in.npz", "--out", tmp_path / "out.npz", runs=1)
        assert done.returncode == 0, done
        with np.load(tmp_path / "out.npz") as got:
            assert (got["t"] == escaped).all() and [w.encode("utf-8", "surrogateescape") for w in got["t"].tolist()] == words


def test_npz_text_that_is_no_text_is_refused_by_name(tmp_path):
    m = model([h.make_node("Identity", ["s"], ["t"])], [("s", T.STRING, ["n"])], [("t", T.STRING, ["n"])])
    onnx.save(m, tmp_path / "m.onnx")
    for array, word, status in ((np.array(["a", "b"], object), "pickled objects: save strings with dtype=str", 3), (np.array(["a"], ">U1"), "little-endian data, got '>U1'", 3),
                                (np.array(["a", "\ud800"]), "string 1: expected Unicode characters, got U+D800", 1), (np.zeros(2, np.float32), "expected string, got float32", 1)):
        np.savez(tmp_path / "in.npz", s=array)
        one_line(bench(tmp_path / "m.onnx", tmp_path / "in.npz", "--out", tmp_path / "out.npz", runs=1), "'s'", word, status=status)
        assert not (tmp_path / "out.npz").exists()


def test_npz_takes_outputs_of_any_name(tmp_path):
    name = "long/" + "n" * 600
    m = model([h.make_node("Relu", ["x"], [name]), h.make_node("Neg", ["x"], [name + "2"])], [("x", T.FLOAT, ["n"])],
              [(name, T.FLOAT, ["n"]), (name + "2", T.FLOAT, ["n"])])
    onnx.save(m, tmp_path / "m.onnx")
    np.savez(tmp_path / "in.npz", x=np.array([-1, 2], np.float32))
    done = bench(tmp_path / "m.onnx", tmp_path / "in.npz", "--out", tmp_path / "out.npz", runs=1)
    assert done.returncode == 0, done
    with np.load(tmp_path / "out.npz") as got:
        assert got[name].tolist() == [0, 2] and got[name + "2"].tolist() == [1, -2]


def test_bench_refuses_what_it_cannot_use(tmp_path, zoo):
    np.savez(tmp_path / "in.npz", x=np.zeros((1, 4), np.float32))
    whole = (tmp_path / "in.npz").read_bytes()
    np.savez(tmp_path / "other.npz", z=np.zeros((1, 4), np.float32))
    np.savez(tmp_path / "wide.npz", x=np.zeros((1, 5), np.float32))
    (tmp_path / "empty.npz").write_bytes(b"")
    (tmp_path / "text.npz").write_text("hello")
    (tmp_path / "cut.npz").write_bytes(whole[:len(whole) // 2])
    for name in ("other", "wide", "empty", "text", "cut", "missing"):
        one_line(bench(zoo["tiny"], tmp_path / f"{name}.npz"), status=1)
    for runs, threads in (("0", "1"), ("x", "1"), ("1", "0"), ("1", "-1")):
        one_line(bench(zoo["tiny"], tmp_path / "in.npz", runs=runs, threads=threads), status=2)
    for at in range(0, len(whole), 7):
        (tmp_path / "cut.npz").write_bytes(whole[:at])
        assert bench(zoo["tiny"], tmp_path / "cut.npz", runs=1).returncode == 1
