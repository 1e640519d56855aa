#!/bin/bash
# picture.sh - what a JPEG costs beside its decoding, in one command: prepared in the library, and as a request to the server.
#
#   bench/picture.sh [PYTHON]     default: the Python of the end-to-end tests, build/venv/bin/python
#
# First bench_image: a 1920 x 1080 JPEG to a row of floats, as a multiple of libjpeg-turbo's own decoding in the same process. Then
# picture.py: the same picture posted to `proa serve`, without the model's own time, as a multiple of what Pillow (libjpeg-turbo,
# too) takes to decode it, in turns. Exit status 1 where a multiple is over its ceiling.
set -u -o pipefail
cd "$(dirname "$0")/.." || exit 1
python=${1:-build/venv/bin/python}
make -s all build/bench/bench_image || exit 1
status=0
build/bench/bench_image || status=1
[ -x "$python" ] || { echo "picture: $python: no such program: run 'make e2e' once, or name one with pillow, numpy and onnx"; exit 1; }
PYTHONPATH=tests/e2e "$python" bench/picture.py build/proa || status=1
exit $status
