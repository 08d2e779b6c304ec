#!/usr/bin/env bash
# Asking a log: by subject, with and without its index, and what an index must not do.
# shellcheck source=tests/store/audit/tool_checks.sh
. tests/store/audit/tool_checks.sh || exit 1

log=$work/log
"$make_log" "$log" 12000 12000 varied || fail "make_log"

# Without an index everything is read, and the tool says how to make one.
expect 0 "in no index" "$tool" query --log "$log" --where service=service-3
cp "$work/out" "$work/without"
expect 0 "tells of 46 full bundles; 1 files" "$tool" index --log "$log"
expect 0 "tells of 46 full bundles; 0 files" "$tool" index --log "$log"
expect 0 " skipped by the index" "$tool" query --log "$log" --where service=service-3
cmp -s <(grep -v bundles "$work/out") <(grep -v bundles "$work/without") || fail "the index changes the answer"
[ "$(grep -vc bundles "$work/out")" = 800 ] || fail "service-3 asked $(grep -vc bundles "$work/out") times"
grep -q "^800 of 12000 entries; [4-6] bundles read, 4[1-3] skipped" "$work/out" || fail "cost: $(tail -1 "$work/out")"
expect 0 "index: 1 files, 46 of 46" "$tool" verify --log "$log" --index
expect 0 "^2 of 12000" "$tool" query --log "$log" --where service=service-3 -n 2
expect 0 "^0 of 12000" "$tool" query --log "$log" -n 0
expect 0 '^{"entry":{.*},"index":3001}$' "$tool" query --log "$log" --where service=service-3 --format json -n 2
expect 0 "^13 of 12000" "$tool" query --log "$log" --first 100 --end 113
expect 0 "^30 of 12000" "$tool" query --log "$log" --from 2025-12-01T00:00:00Z --to 2025-12-01T00:30:00Z
expect 0 "^0 of 12000" "$tool" query --log "$log" --where pair=DE:US --where rule=nobody
expect 3 "unknown key .colour.; known are from, to, pair" "$tool" query --log "$log" --where colour=red
expect 3 "key=value" "$tool" query --log "$log" --where colour
expect 0 "withheld  *a field that was" "$tool" query --help

# The last N that pass are the last N of the query, wherever they lie and whatever is skipped.
for where in service=service-3 to=US subject=hmac:1:u7 type=genesis; do
    for n in 0 7 300 100000; do
        for more in "" --no-index "--first 5000 --end 9001"; do
            # shellcheck disable=SC2086
            "$tool" query --log "$log" --where $where $more --format json 2>/dev/null | tail -n "$n" >"$work/want"
            # shellcheck disable=SC2086
            "$tool" tail --log "$log" --where $where $more -n "$n" --format json >"$work/got" || fail "tail $where"
            cmp -s "$work/want" "$work/got" || fail "tail -n $n --where $where $more: $(wc -l <"$work/got") lines"
        done
    done
done
expect 3 "goes with query, tail and export" "$tool" report matrix --log "$log" --subject hmac:1:u7

# A subject's name is in no log: it takes the region's key. The hash is RFC 2104's, made elsewhere.
key=$work/eu-west.key
zeros=$(printf '%032d' 0 | tr 0 '\000' | base64)
subject=$(printf '%032d' 0 | tr 0 '\001' | base64)
(umask 077 && printf 'domicile-keys 1\nregion eu-west\nblind 1 %s\ndata 1 %s\nsubject 1 %s\nsign 1 %s\n' \
    "$zeros" "$zeros" "$subject" "$zeros" >"$key")
want=hmac:1:$(printf 'user\0anna/b' | openssl dgst -sha256 -mac HMAC -macopt hexkey:"$(printf '01%.0s' {1..32})" -binary |
    head -c 16 | base64 | tr '+/' '-_' | tr -d =)
expect 0 "^$want\$" "$tool" hash user/anna/b --keys "$key"
expect 0 "^0 of 12000" "$tool" query --log "$log" --subject user/anna --keys "$key"
expect 0 "^400 of 12000" "$tool" query --log "$log" --subject hmac:1:u7
expect 1 "by a keyed hash" "$tool" query --log "$log" --subject user/anna
expect 1 "KIND/ID is wanted" "$tool" query --log "$log" --subject anna --keys "$key"
expect 1 "KIND/ID is wanted" "$tool" hash /anna --keys "$key"
expect 1 "KIND/ID is wanted" "$tool" hash user/ --keys "$key"
expect 3 "KIND/ID is wanted" "$tool" hash --keys "$key"
expect 1 "" "$tool" hash user/anna --keys "$work/none"
chmod 640 "$key"
expect 1 "chmod" "$tool" hash user/anna --keys "$key"
chmod 600 "$key"
echo nonsense >"$key"
expect 1 "no key file" "$tool" hash user/anna --keys "$key"

# P5: an index that hides is found, and one that is cut hides nothing.
cp "$log/index/000" "$work/index"
python3 - "$log/index/000" <<'PY'
import sys
path = sys.argv[1]
data = bytearray(open(path, "rb").read())
at = data.index(b"service-3") + len(b"service-3")
data[at:at + 6] = bytes(6)
open(path, "wb").write(data)
PY
expect 0 "^0 of 12000" "$tool" query --log "$log" --where service=service-3
expect 0 "^800 of 12000" "$tool" query --log "$log" --where service=service-3 --no-index
expect 1 "index/000: the index does not say" "$tool" verify --log "$log" --index
expect 0 "^OK" "$tool" verify --log "$log"
# What vouches for being complete never asks it.
expect 0 "exported 800 of" "$tool" export --log "$log" --where service=service-3 --out "$work/e" --manifest "$work/m"
rm "$log/index/000"
expect 0 "1 files written" "$tool" index --log "$log"
cmp -s "$log/index/000" "$work/index" || fail "made again it differs"
head -c 5000 "$work/index" >"$log/index/000"
expect 0 "^800 of 12000" "$tool" query --log "$log" --where service=service-3
expect 0 "0 of 46 full bundles" "$tool" verify --log "$log" --index

# An id is found through the index, and not said to be absent on its word.
id=$("$tool" query --log "$log" --first 11000 -n 1 --format json 2>/dev/null | sed 's/.*"id":"\([-0-9a-f]*\)","nonce.*/\1/')
expect 0 "^index 11000\$" "$tool" prove --log "$log" --id "$id"
expect 1 "no entry has the id" "$tool" prove --log "$log" --id 019ad465-4d00-7000-8000-00000000ffff

exit $failed
