#!/usr/bin/env bash
# domicile audit, from outside: exit codes, what is printed, proofs and exports that check.
# shellcheck source=tests/store/audit/tool_checks.sh
. tests/store/audit/tool_checks.sh || exit 1

log=$work/log
"$make_log" "$log" 700 300 || fail "make_log"
vkey=$(cat "$log/vkey")

expect 0 "EXIT STATUS" "$tool" --help
expect 0 "SYNOPSIS" "$tool" verify --help
expect 3 "verb is wanted" "$tool"
expect 3 "unknown verb" "$tool" polish
expect 3 "--log is wanted" "$tool" verify
expect 3 "unknown option" "$tool" verify --log "$log" --colour
expect 3 "one of text, json" "$tool" verify --log "$log" --format xml
expect 3 "one of --index and --id" "$tool" prove --log "$log"
expect 3 "unknown key" "$tool" export --log "$log" --where colour=red
expect 3 "2026-11-22" "$tool" export --log "$log" --from yesterday
expect 3 "number is wanted" "$tool" prove --log "$log" --index -1
expect 3 "argument too many" "$tool" verify --log "$log" more
expect 1 "cannot open" "$tool" verify --log "$work/none"

line="OK origin=audit.example.com/eu-west size=700 root=[0-9a-f]* tiles 4/4 bundles 3/3 entries 700/700"
expect 0 "^$line$" "$tool" verify --log "$log" --key "$vkey"
expect 0 "not independent" "$tool" verify --log "$log"
expect 0 "^$line$" "$tool" verify --log "$log" --key-file "$log/vkey"
expect 0 '"ok":true' "$tool" verify --log "$log" --key "$vkey" --format json

# An earlier checkpoint, and one of a log that went another way.
"$make_log" "$work/early" 300
expect 0 "size 300 is the beginning" "$tool" verify --log "$log" --key "$vkey" \
    --old "$work/early/checkpoint"
expect 1 "rewind" "$tool" verify --log "$work/early" --key "$vkey" --old "$log/checkpoint"

# Proofs.
expect 0 "" "$tool" prove --log "$log" --index 299 --out "$work/proof"
expect 0 "^OK origin=audit.example.com/eu-west index=299 size=700" \
    "$tool" check-proof "$work/proof" --key "$vkey"
id=$("$tool" tail --log "$log" -n 1 --format json | sed 's/.*"id":"\([0-9a-f-]\{36\}\)".*/\1/')
expect 0 "" "$tool" prove --log "$log" --id "$id" --out "$work/proof-id"
expect 0 "index=699" "$tool" check-proof "$work/proof-id" --key "$vkey"
expect 1 "no entry has the id" "$tool" prove --log "$log" --id 00000000-0000-7000-8000-000000000000
expect 1 "not in a tree" "$tool" prove --log "$log" --index 700
expect 3 "--key are wanted" "$tool" check-proof "$work/proof"
sed 's/^index 299/index 298/' "$work/proof" >"$work/proof-bad"
expect 1 "another root" "$tool" check-proof "$work/proof-bad" --key "$vkey"

# Exports.
expect 0 "exported 350 of 700" "$tool" export --log "$log" --key "$vkey" --where to=SG \
    --out "$work/sg.jsonl" --manifest "$work/manifest"
[ "$(wc -l <"$work/sg.jsonl")" = 350 ] || fail "lines of the export"
grep -q "sha256 $(sha256sum <"$work/sg.jsonl" | cut -d' ' -f1)" "$work/manifest" ||
    fail "manifest's digest"
expect 0 "exported 0 of 700" "$tool" export --log "$log" --from 2030-01-01
expect 0 "700 of 700" "$tool" export --log "$log" --from 2025-01-01 --to 2027-01-01 --out /dev/null
expect 1 "cannot write" "$tool" export --log "$log" --out /dev/full

# Tail, and following a log that grows.
[ "$("$tool" tail --log "$log" -n 3 | wc -l)" = 3 ] || fail "tail -n 3"
expect 0 "EEA -> US" "$tool" tail --log "$log" -n 5
mkfifo "$work/fifo"
"$tool" tail --log "$work/early" -n 1 --follow >"$work/fifo" 2>/dev/null &
follower=$!
exec 3<"$work/fifo"
read -r -t 20 first <&3 || fail "follow: first line"
[ "${first%% *}" = 299 ] || fail "follow: $first"
"$make_log" "$work/grown" 302
cp -r "$work/grown/tile" "$work/early/"
mv "$work/grown/checkpoint" "$work/early/checkpoint"
read -r -t 20 second <&3 || fail "follow: second line"
[ "${second%% *}" = 300 ] || fail "follow: $second"
kill "$follower"
exec 3<&-

# Tampering, seen from outside.
bundle=$log/tile/entries/001
zcat "$bundle" | sed 's/hmac:eu7:Qm9i/hmac:eu7:Qm9j/' >"$work/bundle" && mv "$work/bundle" "$bundle"
expect 1 "first: index 256, file tile/0/001: entry does not hash" "$tool" verify --log "$log" \
    --key "$vkey"
expect 1 '"bad_index":256' "$tool" verify --log "$log" --key "$vkey" --format json
"$make_log" "$work/other" 10
expect 1 "TAMPERED" "$tool" verify --log "$work/other" --key \
    "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"

[ "$failed" = 0 ] && echo "all checks passed"
exit "$failed"
