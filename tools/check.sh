#!/bin/bash
# check.sh - runs TAP programs side by side and counts their test points.
#
#   tools/check.sh [--log DIR] [--run WRAPPER] PROGRAM...
#
# Each program's output goes to DIR/NAME.tap; that of a failing one is printed.  A program fails by a `not ok`, by its exit
# status, by points that its plan `1..N` announced and that never came, or by running longer than CHECK_TIMEOUT seconds
# (default 120).  The last line is `N passed, N failed[, N skipped]`.
set -u -o pipefail
log=build/logs run=
while [ $# -gt 0 ]; do
    case $1 in
    --log) log=$2; shift 2 ;;
    --run) run=$2; shift 2 ;;
    *) break ;;
    esac
done
mkdir -p "$log"
rm -f "$log"/*.tap "$log"/*.status

# One program: prints its line, and its output when it failed.
one() {
    local name status=0 counts
    name=$(basename "$1")
    # shellcheck disable=SC2086 # the wrapper is a command line
    timeout -k 5 "${CHECK_TIMEOUT:-120}" $run "$1" >"$log/$name.tap" 2>&1 </dev/null || status=$?
    counts=$(awk -v status="$status" '
        /^1\.\.[0-9]+$/ { split($0, plan, "\\.\\."); want = plan[2] }
        /^ok .*# SKIP/  { skipped++; next }
        /^ok /          { ok++ }
        /^not ok /      { bad++ }
        END {
            missing = want - ok - bad - skipped
            if (missing > 0) bad += missing
            if (bad == 0 && (status != 0 || want == "")) bad = 1
            print ok + 0, bad + 0, skipped + 0
        }' "$log/$name.tap")
    echo "$counts" >"$log/$name.status"
    case $counts in
    *" 0 "*) printf 'ok      %-28s %s\n' "$name" "${counts%% *}" ;;
    *)
        printf 'FAILED  %-28s exit status %s\n%s\n' "$name" "$status" "$(tail -n 200 "$log/$name.tap" | sed 's/^/    /')"
        [ "$status" != 124 ] || echo "    (stopped after ${CHECK_TIMEOUT:-120} s)"
        ;;
    esac
}
export -f one
export log run

# shellcheck disable=SC2016 # expanded by the inner shell
if [ $# -gt 0 ]; then
    printf '%s\0' "$@" | xargs -0 -n 1 -P "$(nproc)" bash -c 'one "$1"' check
fi
cat "$log"/*.status 2>/dev/null | awk '
    { ok += $1; bad += $2; skipped += $3 }
    END { printf "%d passed, %d failed%s\n", ok, bad, skipped ? ", " skipped " skipped" : ""; exit bad > 0 }'
