#!/usr/bin/env bash
# A published log is checked by a verifier that is not ours (Go's x/mod), and a changed one is
# refused by it. Needs golang-go and golang-golang-x-mod-dev; says so and passes without them.
set -u
make_log=$PWD/$1
main_go=$PWD/$2
tool=$PWD/$3
work=${TEST_TMPDIR:-$(mktemp -d)}

export GOPATH=/usr/share/gocode GO111MODULE=off GOFLAGS= GOCACHE=$work/gocache HOME=$work
if ! command -v go >/dev/null || [ ! -d "$GOPATH/src/golang.org/x/mod/sumdb/tlog" ]; then
    echo "skipped: golang-go or golang-golang-x-mod-dev is not installed"
    exit 0
fi
# Bazel hands over links; the compiler wants the file in a folder of its own.
mkdir -p "$work/src" && cp -L "$main_go" "$work/src/main.go" || exit 1
(cd "$work/src" && go build -o "$work/tlog_verify" main.go) || exit 1

# 65,536 fills a tile of level 1; 66,000 is where a full path once got a truncated tile elsewhere.
for size in 0 1 2 255 256 257 511 512 513 700 65535 65536 65537 66000; do
    log=$work/log-$size
    "$make_log" "$log" "$size" $((size / 3 + 1)) || exit 1
    "$work/tlog_verify" "$log" || exit 1
    case $size in
    6????) rm -rf "$log" ;;
    esac
done

# Our proofs, under the newest checkpoint and under an older one that was cosigned.
log=$work/log-700
"$make_log" "$work/log-300" 300 || exit 1
cp "$work/log-300/checkpoint" "$log/checkpoint.cosigned"
for index in 0 255 256 299 300 699; do
    for which in "" newest; do
        "$tool" prove --log "$log" --index "$index" --out "$work/proof" ${which:+--checkpoint "$which"} || exit 1
        size=$([ "$index" -lt 300 ] && [ -z "$which" ] && echo 300 || echo 700)
        grep -qx "$size" "$work/proof" || { echo "FAILED: $index $which ends elsewhere" >&2; exit 1; }
        "$work/tlog_verify" -key "$(cat "$log/vkey")" -proof "$work/proof" || exit 1
    done
done
sed -i 's/^index 699/index 698/' "$work/proof"
if "$work/tlog_verify" -key "$(cat "$log/vkey")" -proof "$work/proof"; then
    echo "FAILED: a changed proof passes" >&2
    exit 1
fi

zcat "$log/tile/entries/001" | sed 's/hmac:eu7:Qm9i/hmac:eu7:Qm9j/' >"$work/bundle" && mv "$work/bundle" "$log/tile/entries/001"
if "$work/tlog_verify" "$log"; then
    echo "FAILED: a changed entry passes" >&2
    exit 1
fi
log=$work/log-257
sed -i 's/^257$/256/' "$log/checkpoint"
if "$work/tlog_verify" "$log"; then
    echo "FAILED: a changed checkpoint passes" >&2
    exit 1
fi
echo "all checks passed"
