# What the checks of `domicile audit` from outside share; sourced with the tool and make_log as arguments.
# shellcheck shell=bash
set -u
tool=$PWD/$1
make_log=$PWD/$2
work=${TEST_TMPDIR:-$(mktemp -d)}
failed=0

fail() {
    echo "FAILED: $*" >&2
    failed=1
}

# expect STATUS PATTERN COMMAND...: exit code, and a line of its output.
expect() {
    local status=$1 pattern=$2 got
    shift 2
    "$@" >"$work/out" 2>&1
    got=$?
    [ "$got" = "$status" ] || fail "status $got, not $status: $* ($(head -c 400 "$work/out"))"
    [ -z "$pattern" ] || grep -q -e "$pattern" "$work/out" || fail "no \"$pattern\" from: $* ($(head -c 400 "$work/out"))"
}
