#!/bin/bash
# Every header compiles alone, with the flags of bazel/copts.bzl, under gcc and (if there) clang.
# A header that needs another one included before it breaks whoever sorts their includes.
set -u

generated=$(cd "$(dirname "$1")/../.." && pwd)
root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.." && pwd)
cd "$root" || exit 1

# The quoted strings of the list DOM_COPTS.
mapfile -t flags < <(sed -n '/^DOM_COPTS = \[/,/^\]/s/^ *"\([^"]*\)".*/\1/p' bazel/copts.bzl)
if [ "${#flags[@]}" -lt 10 ]; then
    echo "cannot read DOM_COPTS from bazel/copts.bzl"
    exit 1
fi

failed=0
checked=0
for cc in gcc clang; do
    command -v "$cc" > /dev/null || continue
    extra=()
    [ "$cc" = clang ] && extra=(-Wno-unknown-warning-option)
    while read -r header; do
        checked=$((checked + 1))
        # Twice: the guard must hold too.
        if ! printf '#include "%s"\n#include "%s"\ntypedef int not_empty;\n' "$header" "$header" |
            "$cc" "${flags[@]}" "${extra[@]}" -fsyntax-only -x c -iquote . -I "$generated" -; then
            echo "FAIL: $header does not compile alone with $cc"
            failed=$((failed + 1))
        fi
    done < <(find base policy store router tools -name '*.h' | sort)
done
echo "$checked headers checked, $failed failed"
[ "$checked" -gt 0 ] && [ "$failed" -eq 0 ]
