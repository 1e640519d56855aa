#!/bin/bash
# h2spec.sh - the 145 cases of h2spec (RFC 7540 and 7541) against the built program: in cleartext, and under TLS with ALPN.
#
#   tools/h2spec.sh [PROA]
#
# h2spec is found in PATH or in build/go/bin; where it is not, Go installs it there; without Go this step skips and says so.
set -u -o pipefail
cd "$(dirname "$0")/.." || exit 2
proa=${1:-build/proa}
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
server=
trap 'stop; rm -rf "$work"' EXIT
stop() { [ -z "$server" ] || { kill "$server"; wait "$server"; } 2>/dev/null; server=; }

run() { # NAME H2SPEC-FLAGS -- SERVE-FLAGS
    local name=$1 flags=() port='' failed line
    shift
    while [ "$1" != -- ]; do flags+=("$1"); shift; done
    shift
    "$proa" serve "digits=examples/digits/digits.onnx" --port 0 --log-level warn "$@" >"$work/out" 2>"$work/log" &
    server=$!
    for _ in $(seq 100); do
        port=$(sed -n 's/^listening on .*:\([0-9]*\)$/\1/p' "$work/out")
        [ -n "$port" ] && break
        sleep 0.05
    done
    [ -n "$port" ] || { cat "$work/log" >&2; echo "h2spec: the server did not start"; exit 1; }
    "$h2spec" -h 127.0.0.1 -p "$port" -P /v2/health/ready -o 2 "${flags[@]}" >"$work/report" 2>&1
    sed -n '/^Failures:/,$p' "$work/report"
    failed=$(sed -n '/^Failures:/,$p' "$work/report" | grep -c '×')
    line=$(tail -n 1 "$work/report")
    kill -0 "$server" 2>/dev/null || { echo "h2spec: the server died"; exit 1; }
    stop
    if [ "$failed" != 0 ] || [ "${line%% tests*}" != 145 ]; then
        echo "h2spec: FAILED: $name: $line"
        exit 1
    fi
    echo "h2spec: ok: $name: $line"
}

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$work/key" -out "$work/cert" -days 2 \
    -subj /CN=localhost 2>/dev/null || { echo "h2spec: openssl cannot make a certificate"; exit 1; }
run cleartext --
run TLS -t -k -- --tls-cert "$work/cert" --tls-key "$work/key"
