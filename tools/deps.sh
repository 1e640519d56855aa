#!/bin/bash
# deps.sh - installs what is missing to build and test Proa on Debian 12 and 13; says so first; quiet when nothing is missing.
#
#   tools/deps.sh [--missing] GROUP...        groups: build demo test fuzz lint coverage valgrind cross
#
# With --missing it only names what is missing.
#
# What counts is whether the thing works (a header compiles, a program is there), not who installed it.  System packages come with
# apt-get, through sudo for an ordinary user; where neither is possible the command to run is printed and the exit status is 2.
# Debian 12 has no llhttp and yyjson: those two come from Debian 13 into build/deps, through an apt configuration of their own, so
# that the system's sources stay as they are and no privilege is needed.  `cross` fills build/deps-arm64 in the same way.
# shellcheck disable=SC1091 # os-release is the machine's
set -u -o pipefail
cd "$(dirname "$0")/.." || exit 2
export LC_ALL=C

packages=() fetch=() purpose=${*#--missing}
die() { echo "deps: $*" >&2; exit 2; }
have() { command -v "$1" >/dev/null 2>&1; }
want() { packages+=("$@"); }
suite=$(. /etc/os-release 2>/dev/null && echo "${ID:-}-${VERSION_ID:-}")

# Does a C file with these lines compile and link?
compiles() { # COMPILER FLAGS... < source
    local out status
    out=$(mktemp) || exit 2
    "$@" -x c - -o "$out" >/dev/null 2>&1
    status=$?
    rm -f "$out"
    return $status
}

header() { # HEADER [FLAGS...]
    printf '#include <stddef.h>\n#include <%s>\n' "$1" | compiles "${CC_PLAIN[@]}" -E -isystem build/deps/root/usr/include "${@:2}"
}

# `CC="ccache gcc"` is a compiler, too.
read -r -a CC_PLAIN <<<"${CC:-cc}"

missing_build() {
    have make || want make
    if have "${CC_PLAIN[0]}"; then
        printf '#include <stdio.h>\nint main(void) { return 0; }\n' | compiles "${CC_PLAIN[@]}" || want gcc libc6-dev
    else
        want gcc libc6-dev
    fi
    have ar || want binutils
    header yaml.h || want libyaml-dev
    header nghttp2/nghttp2.h || want libnghttp2-dev
    header zlib.h || want zlib1g-dev
    header openssl/ssl.h || want libssl-dev
    header jpeglib.h -include stdio.h || want libjpeg62-turbo-dev
    header png.h || want libpng-dev
    header llhttp.h || other_release libllhttp-dev
    header yyjson.h || other_release libyyjson-dev libyyjson0
}

# Debian 12 lacks the package: it comes from the next release into build/deps.
other_release() {
    if [ "$suite" = debian-12 ]; then fetch+=("$@"); else want "$1"; fi
}

missing_demo() { have python3 || want python3; }

missing_test() {
    python3 -c 'import ensurepip, venv' 2>/dev/null || want python3-venv
    have curl || want curl
    have h2load || want nghttp2-client
    have openssl || want openssl
    [ -e /etc/ssl/certs/ca-certificates.crt ] || want ca-certificates
}

missing_fuzz() {
    printf '#include <stddef.h>\nint LLVMFuzzerTestOneInput(const char *p, size_t n);\n%s\n' \
        'int LLVMFuzzerTestOneInput(const char *p, size_t n) { return p && n > 100 ? 0 : 0; }' |
        compiles clang -fsanitize=fuzzer,address,undefined || want clang llvm CLANG_RT
}

missing_lint() {
    local tool
    for tool in clang-tidy cppcheck shellcheck; do
        have "$tool" || want "$tool"
    done
}

missing_coverage() { have gcovr || want gcovr; }
missing_valgrind() { have valgrind || want valgrind libc6-dbg; }

missing_cross() {
    printf '#include <stdio.h>\nint main(void) { return 0; }\n' | compiles aarch64-linux-gnu-gcc -static ||
        want gcc-aarch64-linux-gnu libc6-dev-arm64-cross
    have qemu-aarch64-static || want qemu-user-static
    [ -e build/deps-arm64/root/usr/include/nghttp2/nghttp2.h ] && [ -e build/deps-arm64/root/usr/include/openssl/ssl.h ] &&
        [ -e build/deps-arm64/root/usr/include/jpeglib.h ] && [ -e build/deps-arm64/root/usr/include/png.h ] &&
        [ -e build/deps-arm64/root/usr/lib/aarch64-linux-gnu/libz.so.1 ] || cross=1
}

install_packages() {
    local sudo=() names=("${packages[@]}") i rt command
    [ ${#names[@]} -gt 0 ] || return 0
    have apt-get || die "missing: ${names[*]/CLANG_RT/libclang-rt-dev}: expected Debian's apt-get, install them by hand"
    command="apt-get install -y --no-install-recommends ${names[*]}"
    if [ "$(id -u)" != 0 ]; then
        if have sudo && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
            sudo=(sudo)
        else
            echo "deps: cannot install packages as user $(id -un); run this as root, then try again:" >&2
            echo "    apt-get update && ${command/CLANG_RT/\$(apt-cache depends clang | sed -n 's/.*Depends: clang-\\([0-9]*\\)$/libclang-rt-\\1-dev/p')}" >&2
            exit 2
        fi
    fi
    echo "deps: for '$purpose' this machine lacks: ${names[*]/CLANG_RT/libclang-rt-dev}; installing with ${sudo[*]:-}${sudo[*]:+ }apt-get"
    quietly "${sudo[@]}" apt-get -qq update
    for i in "${!names[@]}"; do
        # The sanitizers' run-time library carries the number of the release's clang in its name.
        rt=$(apt-cache depends clang 2>/dev/null | sed -n 's/.*Depends: clang-\([0-9]*\)$/libclang-rt-\1-dev/p')
        [ "${names[i]}" != CLANG_RT ] || names[i]=$rt
    done
    quietly "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o Dpkg::Use-Pty=0 install --no-install-recommends "${names[@]}"
}

# Runs a command and shows what it said only when it failed.
quietly() {
    local log
    log=$(mktemp) || exit 2
    if ! "$@" >"$log" 2>&1 </dev/null; then
        tail -n 20 "$log" >&2
        rm -f "$log"
        die "failed: $*"
    fi
    rm -f "$log"
}

# Unpacks packages of Debian 13 into DIR/root; they need nothing newer than Debian 12's libc.  NAME/SUITE is that release's.
fetch_packages() { # DIR ARCHITECTURE PACKAGE...
    local dir=$1 arch=$2 work mirror code deb options release
    shift 2
    have apt-get || die "missing: $*: expected Debian's apt-get, or the libraries' headers in the compiler's path"
    echo "deps: for '$purpose' this machine lacks: $*; unpacking Debian 13's into $dir (the system stays as it is)"
    mkdir -p "$dir"
    work=$(mktemp -d "$(realpath "$dir")/part.XXXXXX") || exit 2
    # shellcheck disable=SC2064 # the folder of now
    trap "rm -rf '$work'" EXIT
    code=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    # shellcheck disable=SC2016 # apt's own placeholders
    mirror=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME) $(COMPONENT)' 2>/dev/null |
        awk -v code="$code" '$2 == code && $3 == "main" && $1 !~ /security/ { print $1; exit }')
    mkdir -p "$work"/{root,debs,lists/partial,cache/archives/partial}
    for release in trixie ${code:+"$code"}; do
        echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${mirror:-http://deb.debian.org/debian} $release main"
    done | sort -u >"$work/sources.list"
    options=(-qq -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=/dev/null -o Dir::State::Lists="$work/lists"
        -o Dir::Cache="$work/cache" -o Dir::State::Status=/dev/null -o APT::Architecture="$arch" -o APT::Architectures::="$arch"
        -o APT::Sandbox::User="$(id -un)" -o Acquire::Languages=none)
    quietly apt-get "${options[@]}" update
    (cd "$work/debs" && quietly apt-get "${options[@]}" download "$@") || exit 2
    for deb in "$work"/debs/*.deb; do
        quietly dpkg-deb -x "$deb" "$work/root"
    done
    rm -rf "$dir/root"
    mv "$work/root" "$dir/root"
    (cd "$work/debs" && ls) >"$dir/packages"
    rm -rf "$work"
    trap - EXIT
}

list=
if [ "${1:-}" = --missing ]; then
    list=1
    shift
fi
[ $# -gt 0 ] || die "expected groups of build demo test fuzz lint coverage valgrind cross"
cross=
for group in "$@"; do
    case $group in
    build | demo | test | fuzz | lint | coverage | valgrind | cross) "missing_$group" ;;
    *) die "group: expected one of build demo test fuzz lint coverage valgrind cross, got '$group'" ;;
    esac
done
if [ -n "$list" ]; then
    echo "${packages[*]} ${fetch[*]}${cross:+ build/deps-arm64}" | sed 's/CLANG_RT/libclang-rt-dev/; s/^ *//; s/ *$//' | grep . || true
    exit 0
fi
[ ${#packages[@]} -gt 0 ] || [ ${#fetch[@]} -gt 0 ] || [ -n "$cross" ] || exit 0

mkdir -p build
exec 9>build/.deps.lock
flock 9
install_packages
# Always all of them: the folder is made whole or not at all.
[ ${#fetch[@]} = 0 ] || fetch_packages build/deps "$(dpkg --print-architecture)" libllhttp-dev libyyjson-dev libyyjson0
# OpenSSL of Debian 13 needs that release's libc: Debian 12 takes its own.
openssl=(libssl-dev libssl3t64)
[ "$suite" != debian-12 ] || openssl=(libssl-dev/bookworm libssl3/bookworm)
[ -z "$cross" ] || fetch_packages build/deps-arm64 arm64 libllhttp-dev libyyjson-dev libyyjson0 libyaml-dev libnghttp2-dev zlib1g-dev zlib1g \
    libjpeg62-turbo-dev libpng-dev libjpeg62-turbo libpng16-16t64 "${openssl[@]}"
