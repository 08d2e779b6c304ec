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

# A proof ends in the checkpoint that outside witnesses cosigned, once that covers the entry.
cp "$work/early/checkpoint" "$log/checkpoint.cosigned"
for case in "299 300" "300 700" "699 700" "299 700 newest" "299 300 cosigned"; do
    set -- $case
    expect 0 "" "$tool" prove --log "$log" --index "$1" --out "$work/proof-c" ${3:+--checkpoint "$3"}
    expect 0 "index=$1 size=$2" "$tool" check-proof "$work/proof-c" --key "$vkey"
done
expect 0 "" "$tool" prove --log "$log" --id "$id" --out "$work/proof-c"
expect 0 "index=699 size=700" "$tool" check-proof "$work/proof-c" --key "$vkey"
expect 1 "covers index 300 yet (cosigned: size 300)" "$tool" prove --log "$log" --index 300 --checkpoint cosigned
expect 3 "newest or cosigned" "$tool" prove --log "$log" --index 300 --checkpoint oldest
expect 3 "goes with prove" "$tool" verify --log "$log" --checkpoint newest
sed -i 's/^300$/299/' "$log/checkpoint.cosigned"
expect 1 "checkpoint.cosigned: " "$tool" prove --log "$log" --index 9
expect 0 "" "$tool" prove --log "$log" --index 9 --checkpoint newest
rm "$log/checkpoint.cosigned"

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
cp "$work/grown/checkpoint" "$work/early/checkpoint.new"
mv "$work/early/checkpoint.new" "$work/early/checkpoint"
read -r -t 20 second <&3 || fail "follow: second line"
[ "${second%% *}" = 300 ] || fail "follow: $second"
kill "$follower"
exec 3<&-

# Following with a filter: the last that pass, then each that does.
"$make_log" "$work/narrow" 300
mkfifo "$work/fifo2"
"$tool" tail --log "$work/narrow" -n 2 --where to=SG --follow >"$work/fifo2" 2>/dev/null &
follower=$!
exec 3<"$work/fifo2"
"$tool" query --log "$work/grown" --where to=SG >"$work/sg" 2>/dev/null
for want in $(awk '$1 < 300 {print $1}' "$work/sg" | tail -n 2); do
    read -r -t 20 line <&3 || fail "follow with a filter: a line"
    [ "${line%% *}" = "$want" ] || fail "follow with a filter: $line, not $want"
done
cp -r "$work/grown/tile" "$work/narrow/"
mv "$work/grown/checkpoint" "$work/narrow/checkpoint"
for want in $(awk '$1 >= 300 {print $1}' "$work/sg"); do
    read -r -t 20 line <&3 || fail "follow with a filter: a new line"
    [ "${line%% *}" = "$want" ] || fail "follow with a filter: $line, not $want"
done
kill "$follower"
exec 3<&-

# A damaged bundle is named, whoever reads it.
cp -r "$log" "$work/cut"
truncate -s 100 "$work/cut/tile/entries/001"
for verb in "export --out $work/x" "query --where to=US" "prove --index 300" "verify --key $vkey"; do
    # shellcheck disable=SC2086
    expect 1 "cut/tile/entries/001: the gzip member is cut short" "$tool" $verb --log "$work/cut"
done
cat "$work/cut/tile/entries/000" >>"$work/cut/tile/entries/001"
expect 1 "cut/tile/entries/001: the gzip member is damaged" "$tool" query --log "$work/cut"
gzip -9 <"$log/checkpoint" >"$work/cut/tile/entries/001"
expect 1 "cut/tile/entries/001: .*is taken unpacked" "$tool" query --log "$work/cut"

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
