#!/bin/bash
# ramp.sh [seconds] - adaptive batches under a latency objective beside fixed delays, over a ramp of load replayed from a recorded service:
# bench/ramp.py, which says what is measured.
#
# Needs wrk, zstd, the test environment build/venv, and ../shared (or PROA_SHARED). Exit status 1: a bar was missed.
set -eu -o pipefail
cd "$(dirname "$0")/.."
make -s all build/bench/ramp build/venv/.ready > /dev/null
ulimit -n 8192
exec build/venv/bin/python bench/ramp.py "${1:-60}"
