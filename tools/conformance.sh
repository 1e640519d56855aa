#!/bin/bash
# conformance.sh - the ONNX backend node tests on `proa model run`, against the count recorded in tests/conformance/onnx_backend.floor.
#
#   tools/conformance.sh PROA VENV
#
# The tests and their judge lie beside the checkout, in ../shared; without them the step is skipped and says so.  A higher count is
# kept by writing it into the floor file in the same change.
set -u -o pipefail
proa=$1 venv=$2
shared=${PROA_SHARED:-../shared}
judge=$shared/bench/onnx_backend.py
floor=$(cat tests/conformance/onnx_backend.floor 2>/dev/null || echo 0)
# shellcheck disable=SC2012 # one plain name
data=$(ls "$shared"/data/onnx/onnx-backend-tests-*.tar.zst 2>/dev/null | tail -n 1)
if [ ! -f "$judge" ] || [ -z "$data" ]; then
    echo "conformance: skipped: expected the backend tests under $shared, got none (PROA_SHARED names another place)"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
fi
mkdir -p build/logs
if ! "$venv/bin/python" "$judge" "$data" --candidate "$proa model run {model} --inputs {data} --outputs {out}" --kinds node \
    --json build/logs/conformance.json --need "$floor" >build/logs/conformance.log 2>&1; then
    tail -n 40 build/logs/conformance.log
    echo "conformance: expected at least $floor node tests to pass, got $(sed -n 's/ passed, .*//p' build/logs/conformance.log | tail -n 1)"
    echo "0 passed, 1 failed"
    exit 1
fi
grep -E "^(kind|node) " build/logs/conformance.log
echo "conformance: $(tail -n 1 build/logs/conformance.log | sed 's/ passed.*//') node tests pass, the floor is $floor"
echo "1 passed, 0 failed"
