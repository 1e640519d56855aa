#!/bin/bash
# deep.sh - everything that takes longer than a change can wait; run before an issue is closed.  DEEP_FUZZ: seconds for each fuzz target.
#
#   tools/deep.sh [STEP...]        (default: all)
#
# Runs the steps, also after a failure, and puts a row for each into docs/deep.md: when, at which commit, how it ended.  The rows of other
# steps stay, so that one step that failed is mended and run again alone.
# shellcheck disable=SC1091 # os-release is the machine's
set -u -o pipefail
all=(check sim clang asan tsan sanitized valgrind lint tidy cross coverage e2e h2spec features conformance mutate soak bench fuzz)
steps=("$@")
[ $# -gt 0 ] || steps=("${all[@]}")
for step in "${steps[@]}"; do
    [[ " ${all[*]} " = *" $step "* ]] || { echo "deep: unknown step '$step', expected one of: ${all[*]}" >&2; exit 2; }
done
tools/deps.sh build test fuzz lint coverage valgrind cross || exit 2
export T=${DEEP_FUZZ:-600}
page=docs/deep.md logs=build/logs/steps failed=0
rows=$(mktemp)
trap 'rm -f "$rows"' EXIT
mkdir -p "$logs"
[ ! -e "$page" ] || grep -E '^\| [a-z0-9]+ \| (ok|FAILED) ' "$page" >"$rows"

# After every step, so that a run that is stopped leaves what it saw.
print_page() {
    echo "# The last deep run of each step"
    echo
    echo "\`make deep\` on $(. /etc/os-release; echo "$PRETTY_NAME"), $(nproc) cores, $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1); fuzzing $T s for each target."
    echo
    echo "| step | result | seconds | date and commit | last line |"
    echo "|---|---|---|---|---|"
    for step in "${all[@]}"; do grep "^| $step |" "$rows"; done
}

for step in "${steps[@]}"; do
    since=$SECONDS status=ok
    commit=$(git rev-parse --short HEAD)$(git diff --quiet HEAD -- . ":!$page" || echo '+changes')
    echo "== $step"
    ${MAKE:-make} "$step" 2>&1 | tee "$logs/$step.log" || { status=FAILED; failed=$((failed + 1)); }
    sed -i "/^| $step |/d" "$rows"
    echo "| $step | $status | $((SECONDS - since)) | $(date -u +%F) $commit | $(grep -v '^ *$' "$logs/$step.log" | tail -n 1 | tr '|' '/' | cut -c1-160) |" >>"$rows"
    print_page >"$page"
done
cat "$page"
[ "$failed" = 0 ]
