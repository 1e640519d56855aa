#!/bin/bash
# steps.sh - runs make targets one after the other, goes on after a failure, adds up their counts.
#
#   tools/steps.sh TARGET...
#
# A target whose output ends in `N passed, N failed[, N skipped]` counts as that many tests, any other as one.  Output goes to the
# terminal and to build/logs/steps/TARGET.log.  The last line is the sum; exit status 1 when anything failed.
set -u -o pipefail
logs=build/logs/steps
mkdir -p "$logs"
passed=0 failed=0 skipped=0 broken=()
summary='^[0-9]+ passed, [0-9]+ failed(, [0-9]+ skipped)?$'

for step in "$@"; do
    echo "== $step"
    since=$SECONDS status=0
    ${MAKE:-make} "$step" 2>&1 | tee "$logs/$step.log" || status=$?
    line=$(tail -n 20 "$logs/$step.log" | grep -E "$summary" | tail -n 1)
    if [ -n "$line" ]; then
        read -r -a n <<<"${line//[^0-9 ]/}"
        passed=$((passed + n[0])) failed=$((failed + n[1])) skipped=$((skipped + ${n[2]:-0}))
        [ "$status" = 0 ] || [ "${n[1]}" != 0 ] || failed=$((failed + 1))
    elif [ "$status" = 0 ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
    fi
    [ "$status" = 0 ] || broken+=("$step")
    echo "== $step: $([ "$status" = 0 ] && echo ok || echo FAILED), $((SECONDS - since)) s"
done
[ ${#broken[@]} = 0 ] || echo "failed: ${broken[*]}"
echo "$passed passed, $failed failed$([ "$skipped" = 0 ] || echo ", $skipped skipped")"
[ ${#broken[@]} = 0 ] && [ "$failed" = 0 ]
