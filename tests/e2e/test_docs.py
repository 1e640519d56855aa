"""The reference pages are what the program prints of itself."""
import pathlib, subprocess

from conftest import PROA

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_serve_page_is_what_the_program_prints():
    printed = subprocess.run([PROA, "serve", "--help-markdown"], capture_output=True, text=True, check=True).stdout
    assert (ROOT / "docs/serve.md").read_text() == printed, "make docs rewrites docs/serve.md"
