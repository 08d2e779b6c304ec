#!/bin/bash
# What no compiler checks: banned calls, sizes, who may include whom. Exit 1 with file:line for
# each fault. The optional argument is the tree to check (default: the one this script lies in).
set -u

root=${1:-$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.." && pwd)}
cd "$root" || exit 1
failed=0

# report RULE < lines "file:line:text"
report() {
    local line
    while read -r line; do
        echo "$1: $line"
        failed=1
    done
}

sources() { # DIR...: our C files below them
    local dir
    for dir in "$@"; do
        [ -d "$dir" ] && find "$dir" -name node_modules -prune -o -type f -name '*.[ch]' -print
    done | sort
}

# search PATTERN DIR...: file:line:text of each match, comments and strings left as they are
search() {
    local pattern=$1
    shift
    sources "$@" | xargs -r grep -nHE -- "$pattern"
}

# Lines that include a header whose path matches $1, in the folders after it.
includes() {
    local pattern=$1
    shift
    search "^[[:space:]]*#[[:space:]]*include[[:space:]]*[<\"]$pattern" "$@"
}

# ---- calls ----
banned='strcpy|strcat|stpcpy|sprintf|vsprintf|gets|atoi|atol|atoll|atof|alloca|strtok|tmpnam|mktemp'
report "banned call" < <(search "(^|[^A-Za-z0-9_>.])($banned)[[:space:]]*\(" base policy store router \
    tools tests | grep -vE '^[^:]*:[0-9]+:[[:space:]]*(/?\*|//)')

# ---- size ----
report "over 800 lines" < <(
    sources base policy store router tools tests | while read -r file; do
        lines=$(wc -l < "$file")
        [ "$lines" -gt 800 ] && echo "$file:$lines"
    done
)

# ---- leftovers ----
mark='TO''DO|FIX''ME|XX''X:'
report "leftover" < <(search "(^|[^A-Za-z])($mark)" base policy store router tools tests)

# ---- who includes whom ----
report "grpc outside router/rpc" < <(includes 'grpc/' base policy store router tools tests |
    grep -vE '^(tests/)?router/rpc/')
report "rocksdb outside store" < <(includes 'rocksdb/' base policy store router tools tests |
    grep -vE '^(tests/)?store/')
report "curl outside store/witness" < <(includes 'curl/' base policy store router tools tests |
    grep -vE '^store/witness/')
report "microhttpd outside base/http" < <(includes 'microhttpd' base policy store router tools tests |
    grep -vE '^base/http/')
report "policy includes store or router" < <(includes '(store|router|tools)/' policy)
report "store includes policy or router" < <(includes '(policy|router|tools)/' store)
report "router includes tools" < <(includes 'tools/' router)
# (router/rpc/spiffe.h is pure: what a caller's name says.)
report "router/core includes more than its due" < <(
    includes '(router/(service|rpc|metrics|api)|domicile|openssl)/' router/core |
        grep -v '"router/rpc/spiffe.h"'
)
report "base includes more than base" < <(search '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' base |
    grep -vE '"base/')
report "tests included by what they test" < <(includes 'tests/' base policy store router tools)

# A header x/y_internal.h belongs to x: nobody else but x's own tests includes it.
report "internal header of another package" < <(
    includes '[^">]*internal\.h"' base policy store router tools tests | while read -r line; do
        file=${line%%:*}
        header=$(sed -E 's/.*include[[:space:]]*"([^"]*)".*/\1/' <<< "$line")
        owner=$(dirname "$header")
        case $(dirname "$file") in
            "$owner" | "tests/$owner") ;;
            *) echo "$line" ;;
        esac
    done
)

# ---- threads ----
# The TSan run takes the tests of what is built on targets tagged "threads".
report "starts a thread in a package without the tag" < <(
    search '(pthread_create[[:space:]]*\(|MHD_USE_[A-Z_]*THREAD)' base policy store router tools tests |
        while read -r line; do
            dir=$(dirname "${line%%:*}")
            grep -qs '"threads"' "$dir/BUILD" "${dir#tests/}/BUILD" || echo "$line"
        done
)

# ---- headers ----
report "line comment in a header" < <(
    sources base policy store router tools | grep '\.h$' | xargs -r grep -nHE '^[[:space:]]*//'
)
report "include guard does not follow the path" < <(
    sources base policy store router tools | grep '\.h$' | while read -r file; do
        guard=DOM_$(tr 'a-z/.' 'A-Z__' <<< "$file")
        grep -qxE "#ifndef $guard" "$file" || echo "$file:1: want $guard"
    done
)

[ "$failed" -eq 0 ] && echo "lint: clean"
exit "$failed"
