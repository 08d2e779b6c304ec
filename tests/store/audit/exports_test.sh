#!/usr/bin/env bash
# Exports, checked from outside: other people's readers, offline checks, going on after a break.
# shellcheck source=tests/store/audit/tool_checks.sh
. tests/store/audit/tool_checks.sh || exit 1

log=$work/log
"$make_log" "$log" 600 300 mixed || fail "make_log"
vkey=$(cat "$log/vkey")
# The test log's own key, whose seed is a 7 and zeros: type byte 1 in front of it.
name=${vkey%%+*}
rest=${vkey#*+}
seed=$(printf '\001\007%031d' 0 | tr 0 '\000' | base64)
(umask 077 && echo "PRIVATE+KEY+$name+${rest%%+*}+$seed" >"$work/signer")

for format in jsonl csv ocsf ecs cef cloudevents; do
    expect 0 "exported 600 of 600" "$tool" export --log "$log" --key "$vkey" --format "$format" \
        --out "$work/e.$format" --manifest "$work/m.$format" --sign-key "$work/signer"
    expect 0 "^OK origin=$name size=600 format=$format count=600" "$tool" check-export \
        "$work/e.$format" --manifest "$work/m.$format" --key "$vkey"
    grep -q "signed by the log" "$work/out" || fail "$format: checkpoint"
    # Broken off in the middle of a row, and gone on with: the same bytes.
    head -c 100000 "$work/e.$format" >"$work/r.$format"
    expect 0 "exported 600 of 600" "$tool" export --log "$log" --format "$format" \
        --out "$work/r.$format" --resume-after 40
    cmp -s "$work/e.$format" "$work/r.$format" || fail "$format: resumed export differs"
    # The rest for somebody who has the beginning.
    "$tool" export --log "$log" --format "$format" --end 100 >"$work/p.$format" 2>"$work/out" || fail "part"
    "$tool" export --log "$log" --format "$format" --resume-after 99 >>"$work/p.$format" 2>"$work/out" || fail "rest"
    cmp -s "$work/e.$format" "$work/p.$format" || fail "$format: parts differ from the whole"
    # A change is found; so is another export's manifest.
    sed 's/live_room/dead_room/' "$work/e.$format" >"$work/bad"
    expect 1 "check-export: " "$tool" check-export "$work/bad" --manifest "$work/m.$format" --key "$vkey"
done
expect 1 "row\|SHA" "$tool" check-export "$work/e.csv" --manifest "$work/m.cef" --key "$vkey"
expect 0 '"root":true' "$tool" check-export "$work/e.jsonl" --manifest "$work/m.jsonl" --key "$vkey" --format json
expect 3 "--key are wanted" "$tool" check-export "$work/e.jsonl" --manifest "$work/m.jsonl"
expect 3 "cannot vouch\|wanted" "$tool" check-export "$work/e.jsonl" --key "$vkey"
expect 1 "" "$tool" check-export "$work/e.jsonl" --manifest "$work/m.jsonl" --key \
    "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
expect 0 "" "$tool" export --log "$log" --out "$work/u" --manifest "$work/unsigned"
expect 1 "no signed manifest" "$tool" check-export "$work/u" --manifest "$work/unsigned" --key "$vkey"
sed 's/^count 600/count 599/' "$work/m.jsonl" >"$work/m.bad"
expect 1 "" "$tool" check-export "$work/e.jsonl" --manifest "$work/m.bad" --key "$vkey"
expect 0 "hashed again; their leaf" bash -c "'$tool' export --log '$log' --where to=SG --out '$work/sg' \
    --manifest '$work/sg.m' --sign-key '$work/signer' && '$tool' check-export '$work/sg' --manifest '$work/sg.m' --key '$vkey'"
expect 3 "wants --out" "$tool" export --log "$log" --resume-after 5 --manifest "$work/m"
expect 1 "last whole row" "$tool" export --log "$log" --resume-after 5000 --out "$work/r.csv" --format csv
expect 3 "one of jsonl" "$tool" export --log "$log" --format parquet
expect 1 "cannot open" "$tool" export --log "$log" --resume-after 5 --out "$work/none"

# Consistency of checkpoints.
"$make_log" "$work/early" 300 300 mixed
"$make_log" "$work/fork" 300 300
expect 0 "size 300 is the beginning of that of size 600" "$tool" consistency --log "$log" \
    --key "$vkey" --old "$work/early/checkpoint"
expect 0 '"ok":true' "$tool" consistency --log "$log" --key "$vkey" --old "$work/early/checkpoint" \
    --new "$log/checkpoint" --format json
expect 1 "rewind" "$tool" consistency --log "$log" --key "$vkey" --old "$log/checkpoint" \
    --new "$work/early/checkpoint"
expect 1 "consistency: " "$tool" consistency --log "$log" --key "$vkey" --old "$work/fork/checkpoint"
expect 3 "--old is wanted" "$tool" consistency --log "$log"

# Independent readers.
if command -v python3 >/dev/null; then
    python3 - "$work" <<'PY' || fail "python's readers disagree"
import base64, csv, hashlib, json, re, sys
work = sys.argv[1]
def lines(form):
    with open(work + "/e." + form, "rb") as f:
        return f.read().decode("utf-8").split("\n")[:-1]
entries = []
for n, line in enumerate(lines("jsonl")):
    row = json.loads(line)
    raw = line[len('{"entry":'):line.rindex(',"index":')].encode()
    assert hashlib.sha256(b"\0" + raw).hexdigest() == row["leaf_hash"] and row["index"] == n
    entries.append(row["entry"])
assert len(entries) == 600
def get(e, path):
    for part in path.split("."):
        e = e.get(part, {})
    return e if e != {} else ""
with open(work + "/e.csv", newline="", encoding="utf-8") as f:
    rows = list(csv.DictReader(f, strict=True))
assert len(rows) == 600
for n, (row, e) in enumerate(zip(rows, entries)):
    assert int(row["index"]) == n and None not in row and None not in row.values()
    for column, path in (("actor_id", "actor.id"), ("actor_entity", "actor.entity"),
                         ("actor_user", "actor.user"), ("actor_cert_serial", "actor.cert.serial"), ("claim_user", "claim.user"),
                         ("purpose", "purpose"), ("basis_ref", "basis.ref"),
                         ("record_kind", "record.kind"), ("record_id", "record.id"),
                         ("transfer_to", "transfer.to"), ("op", "op"), ("type", "type")):
        want = get(e, path)
        got = row[column]
        assert got == want or (want[0] in "=+-@\t\r" and got == "'" + want), (n, column, got, want)
for n, line in enumerate(lines("ocsf")):
    o, e = json.loads(line), entries[n]
    assert o["metadata"]["sequence"] == n and o["time"] == e["time"] and o["metadata"]["uid"] == e["id"]
    assert o["unmapped"].get("purpose", "") == e.get("purpose", "")
for n, line in enumerate(lines("ecs")):
    o, e = json.loads(line), entries[n]
    assert o["event"]["sequence"] == n and o["ecs"]["version"] == "8.11.0"
    if e["type"] == "deny":
        assert "denied" in o["event"]["type"] and "outcome" not in o["event"]
    if e["type"] == "access":
        assert "allowed" in o["event"]["type"] and o["source"]["geo"]["country_iso_code"] == e["transfer"]["from"]
for n, line in enumerate(lines("cloudevents")):
    o, e = json.loads(line), entries[n]
    assert o["specversion"] == "1.0" and o["id"] == e["id"] and o["data"] == e
    assert o["type"] == "residency.%s.v1" % e["type"] and re.fullmatch(r"[!-~]+", o["source"])
    assert all(re.fullmatch(r"[a-z0-9]{1,20}", k) for k in o)
def cef(line):
    head = re.match(r"((?:[^|\\]|\\.)*\|){7}", line).group(0)
    ext = {}
    for m in re.finditer(r"(?:^| )([A-Za-z0-9]+)=((?:[^=\\]|\\.)*?)(?= [A-Za-z0-9]+=|$)", line[len(head):]):
        ext[m.group(1)] = re.sub(r"\\(.)", lambda x: {"n": "\n", "r": "\r"}.get(x.group(1), x.group(1)), m.group(2))
    return re.split(r"(?<!\\)\|", head), ext
for n, line in enumerate(lines("cef")):
    head, ext = cef(line)
    e = entries[n]
    assert head[0] == "CEF:0" and len(head) == 8 and head[4] == e["type"], line
    assert ext["cn1"] == str(n) and ext["externalId"] == e["id"] and ext["rt"] == str(e["time"])
    assert ext.get("sourceServiceName", "") == get(e, "actor.id"), (ext, e)
    assert ext.get("sntdom", "") == get(e, "actor.entity")
    assert ext.get("cs4", "") == get(e, "basis.ref")
print("python agrees")
PY
fi

[ "$failed" = 0 ] && echo "all checks passed"
exit "$failed"
