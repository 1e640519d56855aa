#!/bin/bash
# e2e.sh - runs the end-to-end tests against the built program and ends with the plain summary line.
#
#   tools/e2e.sh PYTHON BUILD [pytest arguments]
#
# The tests find the program through PROA.  LANES processes run them side by side - as many as there are cores, 2 at most - of which
# each takes the next file of tests when it is done with one.  The results go to BUILD/logs/e2e.xml, which tools/features.py reads.
set -u -o pipefail
python=$1 build=$2
shift 2
ls tests/e2e/test_*.py >/dev/null 2>&1 || { echo "e2e: no tests/e2e/test_*.py"; echo "0 passed, 0 failed"; exit 0; }
mkdir -p "$build/logs"
xml=$build/logs/e2e.xml
rm -f "$build"/logs/e2e*.xml "$build"/logs/e2e-*.log
PROA=$(realpath "$build/proa")
PROA_TEST_CLAIMS=$(mktemp -d)
export PROA PROA_TEST_CLAIMS
trap 'rm -rf "$PROA_TEST_CLAIMS"' EXIT
cores=$(nproc)
status=0 lanes=()
for ((k = 0; k < ${LANES:-$((cores < 2 ? cores : 2))}; k++)); do
    "$python" -m pytest -q -rs --junitxml="$build/logs/e2e-$k.xml" -o cache_dir="$build/pytest/$k" "$@" tests/e2e >"$build/logs/e2e-$k.log" 2>&1 &
    lanes+=($!)
done
for k in "${!lanes[@]}"; do
    wait "${lanes[k]}" || status=$?
    cat "$build/logs/e2e-$k.log"
done
"$python" - "$xml" "$build"/logs/e2e-*.xml <<'PY' || status=1
import sys, xml.etree.ElementTree as tree
bad = skipped = total = 0
whole = tree.Element("testsuites")
try:
    for part in sys.argv[2:]:
        whole.extend(tree.parse(part).getroot().iter("testsuite"))
    for suite in whole:
        total += int(suite.get("tests", 0))
        bad += int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        skipped += int(suite.get("skipped", 0))
    tree.ElementTree(whole).write(sys.argv[1], encoding="utf-8", xml_declaration=True)
except (OSError, tree.ParseError) as e:
    print(f"e2e: no results: {e}")
    bad = total = 1
print(f"{total - bad - skipped} passed, {bad} failed" + (f", {skipped} skipped" if skipped else ""))
PY
exit $status
