#!/bin/bash
# Plants one fault of each kind and expects the lint to find it, and nothing in a clean tree.
set -u

lint=$(readlink -f "$(dirname "${BASH_SOURCE[0]}")/lint_test.sh")
work=$(mktemp -d "${TEST_TMPDIR:-/tmp}/lint-XXXXXX")
trap 'rm -rf "$work"' EXIT
failed=0

fresh() {
    rm -rf "$work/tree"
    mkdir -p "$work"/tree/{base,policy,store/region,router/{rpc,core,service},tools,tests/store/region}
    printf '#ifndef DOM_BASE_A_H\n#define DOM_BASE_A_H\n#endif\n' > "$work/tree/base/a.h"
}

# finds RULE FILE TEXT: with TEXT in FILE the lint names RULE.
finds() {
    fresh
    printf '%b\n' "$3" > "$work/tree/$2"
    if bash "$lint" "$work/tree" > "$work/out"; then
        echo "FAIL: not found: $1 in $2"
        failed=1
    elif ! grep -q "^$1: $2" "$work/out"; then
        echo "FAIL: $1 in $2 was reported as:"
        cat "$work/out"
        failed=1
    fi
}

passes() {
    fresh
    printf '%b\n' "$2" > "$work/tree/$1"
    if ! bash "$lint" "$work/tree" > "$work/out"; then
        echo "FAIL: found in $1:"
        cat "$work/out"
        failed=1
    fi
}

for call in strcpy sprintf strtok atoi alloca gets; do
    finds "banned call" base/a.c "    x = $call(y);"
done
passes base/a.c '    snprintf(a); strtok_r(a); fgets(a); my_atoi(a);'
finds "over 800 lines" store/a.c "$(printf 'x\\n%.0s' $(seq 801))"
passes store/a.c "$(printf 'x\\n%.0s' $(seq 799))"
finds "leftover" router/core/a.c "/* TO""DO later */"
finds "leftover" tools/a.c "/* FIX""ME */"
finds "grpc outside router/rpc" router/service/a.c '#include <grpc/grpc.h>'
passes router/rpc/a.c '#include <grpc/grpc.h>'
finds "rocksdb outside store" router/service/a.c '#include <rocksdb/c.h>'
passes store/region/a.c '#include <rocksdb/c.h>'
finds "curl outside store/witness" store/a.c '#include <curl/curl.h>'
finds "microhttpd outside base/http" router/service/a.c '#include <microhttpd.h>'
finds "policy includes store or router" policy/a.c '#include "store/store.h"'
finds "policy includes store or router" policy/a.c '#include "router/core/wire.h"'
finds "store includes policy or router" store/a.c '#include "policy/policy.h"'
finds "store includes policy or router" store/region/a.c '# include "router/core/wire.h"'
finds "router/core includes more than its due" router/core/a.c '#include "router/rpc/server.h"'
finds "base includes more than base" base/a.c '#include "policy/policy.h"'
finds "base includes more than base" base/a.c '#include "a.h"'
passes base/a.c '#include "base/a.h"\n#include <stdio.h>'
finds "internal header of another package" store/a.c '#include "store/region/region_internal.h"'
passes store/region/a.c '#include "store/region/region_internal.h"'
passes tests/store/region/a.c '#include "store/region/region_internal.h"'
finds "tests included by what they test" base/a.c '#include "tests/base/suite.h"'
finds "starts a thread in a package without the tag" tools/a.c '    pthread_create(&t, NULL, f, NULL);'
finds "starts a thread in a package without the tag" base/a.c '    x = MHD_USE_INTERNAL_POLLING_THREAD;'
finds "line comment in a header" tools/a.h '#ifndef DOM_TOOLS_A_H\n// no'
finds "include guard does not follow the path" tools/b.h '#ifndef TOOLS_B_H'
[ "$failed" -eq 0 ] && echo "the lint finds what it should"
exit "$failed"
