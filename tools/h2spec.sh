#!/bin/bash
# h2spec.sh - the 145 cases of h2spec (RFC 7540 and 7541) against the built program, cleartext.
#
#   tools/h2spec.sh [PROA]
#
# h2spec is found in PATH or in build/go/bin; where it is not, Go installs it there; without Go this step skips and says so.
# One case is known to fail on a port that HTTP/1 shares: after an invalid preface h2spec wants the connection closed without a
# word, and gets HTTP/1's 400 before the end.
set -u -o pipefail
cd "$(dirname "$0")/.." || exit 2
proa=${1:-build/proa}
known='Sends invalid connection preface'
h2spec=$(command -v h2spec || echo build/go/bin/h2spec)
if [ ! -x "$h2spec" ]; then
    go=$(command -v go || echo /usr/local/go/bin/go)
    if [ ! -x "$go" ]; then
        echo "h2spec: skipped: no h2spec, and no Go to install it (github.com/summerwind/h2spec/cmd/h2spec)"
        exit 0
    fi
    mkdir -p build/go
    GOPATH=$PWD/build/go GOBIN=$PWD/build/go/bin GOFLAGS=-modcacherw \
        "$go" install github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible || exit 2
fi

work=$(mktemp -d) || exit 2
"$proa" serve "digits=examples/digits/digits.onnx" --port 0 --log-level warn >"$work/out" 2>"$work/log" &
server=$!
trap 'kill "$server" 2>/dev/null; wait "$server" 2>/dev/null; rm -rf "$work"' EXIT
for _ in $(seq 100); do
    port=$(sed -n 's/^listening on .*:\([0-9]*\)$/\1/p' "$work/out")
    [ -n "$port" ] && break
    sleep 0.05
done
[ -n "$port" ] || { cat "$work/log" >&2; echo "h2spec: the server did not start"; exit 1; }

"$h2spec" -h 127.0.0.1 -p "$port" -P /v2/health/ready -o 2 >"$work/report" 2>&1
sed -n '/^Failures:/,$p' "$work/report"
failed=$(sed -n '/^Failures:/,$p' "$work/report" | grep '×' | grep -vcF "$known")
line=$(tail -n 1 "$work/report")
kill -0 "$server" 2>/dev/null || { echo "h2spec: the server died"; exit 1; }
if [ "$failed" != 0 ] || [ "${line%% tests*}" != 145 ]; then
    echo "h2spec: FAILED: $line"
    exit 1
fi
echo "h2spec: ok: $line; those that fail are the known one"
