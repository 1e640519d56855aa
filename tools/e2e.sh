#!/bin/bash
# e2e.sh - runs the end-to-end tests against the built program and ends with the plain summary line.
#
#   tools/e2e.sh PYTHON BUILD [pytest arguments]
#
# The tests find the program through PROA.  The results go to BUILD/logs/e2e.xml, which tools/features.py reads.
set -u -o pipefail
python=$1 build=$2
shift 2
ls tests/e2e/test_*.py >/dev/null 2>&1 || { echo "e2e: no tests/e2e/test_*.py"; echo "0 passed, 0 failed"; exit 0; }
mkdir -p "$build/logs"
xml=$build/logs/e2e.xml
rm -f "$xml"
PROA=$(realpath "$build/proa") "$python" -m pytest -q -rs --junitxml="$xml" -o cache_dir="$build/pytest" "$@" tests/e2e
status=$?
"$python" - "$xml" <<'PY' || status=1
import sys, xml.etree.ElementTree as tree
bad = skipped = total = 0
try:
    for suite in tree.parse(sys.argv[1]).getroot().iter("testsuite"):
        total += int(suite.get("tests", 0))
        bad += int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        skipped += int(suite.get("skipped", 0))
except (OSError, tree.ParseError) as e:
    print(f"e2e: no results: {e}")
    bad = total = 1
print(f"{total - bad - skipped} passed, {bad} failed" + (f", {skipped} skipped" if skipped else ""))
PY
exit $status
