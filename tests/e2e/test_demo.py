"""test_demo.py - the first run works as printed: table, figures, and every line that a reader is told to paste."""
import os, pathlib, re, signal, subprocess, sys
import pytest
from conftest import DIGITS, PROA, ROOT, until

DEMO = [sys.executable, str(ROOT / "tools" / "demo.py")]


def run(*args, proa=PROA):
    return subprocess.run(DEMO + ["--proa", str(proa), *args], capture_output=True, text=True, timeout=120, cwd="/")


def test_oneshot_prints_the_table_and_the_figures():
    done = run("--oneshot")
    assert done.returncode == 0, done
    captions = re.findall(r"(\d) -> (\d) +(\d+) %", done.stdout)
    assert len(captions) == 20 and sum(a == b for a, b, _ in captions) >= 19
    assert "█" in done.stdout
    assert re.search(r"accuracy +\d+ of 20 \(\d+ %\)", done.stdout)
    assert re.search(r"cold start +[\d.]+ ms", done.stdout)
    assert re.search(r"latency +p50 \d+ us, p90 \d+ us, p99 \d+ us", done.stdout)


def test_it_stays_up_and_the_printed_lines_work(tmp_path):
    out = tmp_path / "out"
    with open(out, "w") as f:
        process = subprocess.Popen(DEMO + ["--proa", PROA], stdout=f, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        until(lambda: "until Ctrl-C" in out.read_text())
        text = out.read_text()
        script = text[text.index("\ncurl "):text.index("The server stays")]
        done = subprocess.run(["bash", "-e", "-c", script], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done
        assert done.stdout.count('"model_name":"digits"') == 1 and "'label': [3]" in done.stdout and "# TYPE" in done.stdout
        assert process.poll() is None
        server = int(re.search(r"http://127.0.0.1:(\d+)", text)[1])
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(60) == 0
        with pytest.raises(OSError):
            import socket
            socket.create_connection(("127.0.0.1", server), 2)
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def wrapper(tmp_path, text):
    path = tmp_path / "proa"
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return path


def test_a_model_that_guesses_fails_the_demo(tmp_path):
    import numpy as np
    import onnx
    from onnx import numpy_helper
    m = onnx.load(DIGITS)
    for i in m.graph.initializer:
        if i.name == "dense2.weight":
            i.CopyFrom(numpy_helper.from_array(np.roll(numpy_helper.to_array(i), 1, 0), i.name))
    onnx.save(m, tmp_path / "wrong.onnx")
    done = run("--oneshot", proa=wrapper(tmp_path, f'exec {PROA} serve digits={tmp_path}/wrong.onnx --port 0\n'))
    assert done.returncode == 1 and "accuracy: expected at least 95%" in done.stderr, done


@pytest.mark.parametrize("text,words", [("exit 3\n", "first line"), ("echo hello; exec sleep 20\n", "'hello'"),
                                        ("echo listening on http://127.0.0.1:1; exec sleep 20\n", "127.0.0.1:1")])
def test_a_server_that_does_not_come_up_is_said_in_one_line(tmp_path, text, words):
    done = run("--oneshot", proa=wrapper(tmp_path, text))
    assert done.returncode == 1 and words in done.stderr and "Traceback" not in done.stderr, done


def test_a_missing_program_is_said():
    done = run("--oneshot", proa="/nonexistent/proa")
    assert done.returncode == 1 and "make" in done.stderr and "Traceback" not in done.stderr


def test_the_committed_model_is_what_its_readme_says():
    import json
    metrics = json.loads((DIGITS.parent / "metrics.json").read_text())
    readme = (DIGITS.parent / "README.md").read_text()
    assert metrics["heldout_accuracy"] >= 0.98 and f"{100 * metrics['heldout_accuracy']:.2f} %" in readme
    assert DIGITS.stat().st_size == metrics["bytes"] <= 300 * 1024
    cases = json.loads((DIGITS.parent / "heldout.json").read_text())
    assert sorted(c["label"] for c in cases) == sorted(list(range(10)) * 2)
