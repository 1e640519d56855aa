#!/bin/bash
# deep.sh - everything that takes longer than a change can wait; run before an issue is closed.  DEEP_FUZZ: seconds for each fuzz target.
#
# Runs every step, also after a failure, and writes date, commit, machine and each step's last line to docs/deep.md.
# shellcheck disable=SC1091 # os-release is the machine's
set -u -o pipefail
tools/deps.sh build test fuzz lint coverage valgrind cross || exit 2
export T=${DEEP_FUZZ:-600}
out=$(mktemp) logs=build/logs/steps failed=0
trap 'rm -f "$out"' EXIT
mkdir -p "$logs"
for step in check clang asan tsan sanitized valgrind lint tidy cross coverage e2e features conformance mutate soak bench fuzz; do
    since=$SECONDS status=ok
    echo "== $step"
    ${MAKE:-make} "$step" 2>&1 | tee "$logs/$step.log" || { status=FAILED; failed=$((failed + 1)); }
    echo "| $step | $status | $((SECONDS - since)) | $(grep -v '^ *$' "$logs/$step.log" | tail -n 1 | tr '|' '/' | cut -c1-160) |" >>"$out"
done
{
    echo "# The last deep run"
    echo
    echo "\`make deep\` on $(date -u +%Y-%m-%d), commit $(git rev-parse --short HEAD)$(git diff --quiet || echo ' with changes'), $(. /etc/os-release
        echo "$PRETTY_NAME"), $(nproc) cores, $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1); fuzzing $T s for each target."
    echo
    echo "| step | result | seconds | last line |"
    echo "|---|---|---|---|"
    cat "$out"
} >docs/deep.md
cat docs/deep.md
[ "$failed" = 0 ]
