#!/bin/bash
# fuzz.sh - runs libFuzzer programs for T seconds each, one per core, from the seeds in tests/fuzz/corpus/NAME.
#
#   T=20 tools/fuzz.sh PROGRAM...        (PROGRAM ends in fuzz_NAME)
#
# FUZZ_SEED: of the random numbers; 0, the default, draws one. The same seed, build and empty build/fuzz/corpus give the same inputs again.
# What a run learns stays in build/fuzz/corpus/NAME for the next one; an input that crashes is kept as build/fuzz/crash-NAME-*:
# mend the bug, put the input into tests/fuzz/corpus/NAME, where every `make check` replays it.
# The last line is `N passed, N failed`, one for each target.
set -u -o pipefail
mkdir -p build/fuzz/logs
rm -f build/fuzz/logs/*
export T=${T:-20}

one() {
    local name seeds log
    name=${1##*/fuzz_}
    seeds=tests/fuzz/corpus/$name
    log=build/fuzz/logs/$name
    mkdir -p "build/fuzz/corpus/$name"
    [ -d "$seeds" ] || { echo "FAILED  $name: no seeds: expected a folder $seeds"; echo bad >"$log.status"; return; }
    if "$1" -seed="${FUZZ_SEED:-0}" -max_total_time="$T" -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 -artifact_prefix="build/fuzz/crash-$name-" \
        "build/fuzz/corpus/$name" "$seeds" >"$log.log" 2>&1 </dev/null; then
        printf 'ok      %-20s %s s, %s inputs, %s inputs/s\n' "$name" "$T" \
            "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log.log")" "$(sed -n 's/^stat::average_exec_per_sec: *//p' "$log.log")"
        echo ok >"$log.status"
    else
        echo "FAILED  $name"
        grep -vE '^(#[0-9]+|INFO:)' "$log.log" | tail -n 60 | sed 's/^/    /'
        echo bad >"$log.status"
    fi
}
export -f one

# shellcheck disable=SC2016 # expanded by the inner shell
[ $# -eq 0 ] || printf '%s\0' "$@" | xargs -0 -n 1 -P "$(nproc)" bash -c 'one "$1"' fuzz
bad=$(cat build/fuzz/logs/*.status 2>/dev/null | grep -c bad)
echo "$(($# - bad)) passed, $bad failed"
[ "$bad" = 0 ]
