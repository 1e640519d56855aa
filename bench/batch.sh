#!/bin/bash
# batch.sh [seconds] - what batching brings, and what the queue costs whom it brings nothing: bench/batch.py, which says what is measured.
#
# Needs wrk and the test environment build/venv; for real lengths ../shared (or PROA_SHARED) and zstd. Exit status 1: a bar was missed.
set -eu -o pipefail
cd "$(dirname "$0")/.."
make -s all build/venv/.ready > /dev/null
exec build/venv/bin/python bench/batch.py "${1:-4}"
