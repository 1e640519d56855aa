#!/bin/bash
# serve.sh [serve.py options] - the server beside nginx, which sends a fixed answer of the same size, and any peer found in PEER_VENVS.
#
# One event loop, as nginx has one worker: with more of them than the machine has cores to spare, loops and clients take turns of
# milliseconds, and the slowest answers show the scheduler.
#
# Needs ../shared (or PROA_SHARED), wrk, nginx, curl, unshare, and the test environment build/venv.  Interleaved rounds; prints medians and
# ratios.  Trust the CPU per request first: it moves least on a busy machine.
set -eu -o pipefail
cd "$(dirname "$0")/.."
shared=${PROA_SHARED:-../shared}
[ -f "$shared/bench/serve/serve.py" ] || { echo "bench/serve.sh: skipped: expected $shared/bench/serve/serve.py, got none"; exit 0; }
make -s all build/venv/.ready
mkdir -p build/bench
exec build/venv/bin/python "$shared/bench/serve/serve.py" --venvs "${PEER_VENVS:-build/peers}" --only nginx,triton-native,candidate \
    --work v2,v1,grpc,img-v2,img-bin,img-grpc --json build/bench/serve.json \
    --candidate "$PWD/build/proa serve tiny={model} img={img} --port {port} --loops 1 --log-level warn" "$@"
