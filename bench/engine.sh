#!/bin/bash
# engine.sh [engine.py options] - the engine beside ONNX Runtime: published models and the nine seeded nets, one thread, interleaved rounds.
#
# Needs ../shared (or PROA_SHARED) for the models and the harness, and the test environment build/venv for ONNX Runtime.
# Models are made once into build/bench/models.  Prints ratios; above 1 means that Proa is faster.
set -eu -o pipefail
cd "$(dirname "$0")/.."
shared=${PROA_SHARED:-../shared} python=build/venv/bin/python models=build/bench/models
[ -f "$shared/bench/engine.py" ] || { echo "bench/engine.sh: skipped: expected $shared/bench/engine.py, got none"; exit 0; }
make -s all build/venv/.ready
mkdir -p "$models"
[ -f "$models/given/models.json" ] || "$python" "$shared/bench/export_models.py" "$models/given" --data "$shared/data" || true # one of them runs nowhere
[ -f "$models/nets/models.json" ] || "$python" tools/nets.py "$models/nets"
for set in given nets; do
    "$python" "$shared/bench/engine.py" "$models/$set" --peers ort --threads 1 --out "build/bench/$set" "$@" \
        --candidate 'build/proa model bench {model} --inputs {npz} --threads {threads} --runs {runs} --out {out} --json'
done
