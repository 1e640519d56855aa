#!/bin/bash
# sanitized.sh - the server itself under a sanitizer: load from clients that vanish, SIGTERM under load, the protocols' tests.
#
#   tools/sanitized.sh PYTHON PROGRAM
#
# A report ends the program, which the clients notice.  Left out are the tests that measure: memory, idle processor time, and
# what must be over within seconds; a sanitizer's build is ten times slower.
set -u -o pipefail
python=$1 proa=$(realpath "$2") failed=0
measuring='idle or vanish or in_flight or accepted_requests_finish or nobody_reads or batch_gives or leaves_little_behind or rest_gives_back'
for soak in tests/soak/soak_*.py; do
    quota=(--requests 20000 --no-memory)
    [[ $soak != */soak_jobs.py ]] || quota=(--kills 20)
    "$python" "$soak" --proa "$proa" "${quota[@]}" || failed=1
done
PROA=$proa "$python" -m pytest -q -p no:cacheprovider -k "not ($measuring)" tests/e2e/test_lifecycle.py tests/e2e/test_http.py \
    tests/e2e/test_v1.py tests/e2e/test_v2.py tests/e2e/test_metrics.py || failed=1
exit $failed
