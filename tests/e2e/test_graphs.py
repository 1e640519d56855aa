"""test_graphs.py - random graphs compute what ONNX Runtime computes, with passes and memory planning: see graphs.py."""
import pytest
from conftest import PROA
import graphs

SEEDS, PARTS = 120, 6


@pytest.mark.parametrize("part", range(PARTS))
def test_random_graphs_compute_what_the_reference_computes(tmp_path, part):
    judged = 0
    for seed in range(part, SEEDS, PARTS):
        wrong, runs = graphs.compare(PROA, tmp_path, seed)
        judged += runs
        assert not wrong, f"seed {seed} (python tests/e2e/graphs.py --from {seed} --count 1): {wrong}"
    assert judged >= SEEDS // PARTS * len(graphs.SIZES) * 0.9, "ONNX Runtime itself refuses many of these graphs"
