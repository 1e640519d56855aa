"""The reference pages are what the program prints of itself."""
import pathlib, subprocess

from conftest import PROA

ROOT = pathlib.Path(__file__).resolve().parents[2]


def printed(flag):
    return subprocess.run([PROA, "serve", flag], capture_output=True, text=True, check=True).stdout


def test_serve_page_is_what_the_program_prints():
    assert (ROOT / "docs/serve.md").read_text() == printed("--help-markdown"), "make docs rewrites docs/serve.md"


def test_metrics_page_is_what_the_program_prints():
    assert (ROOT / "docs/metrics.md").read_text() == printed("--metrics-markdown"), "make docs rewrites docs/metrics.md"
