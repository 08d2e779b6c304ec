#!/usr/bin/env bash
# domicile audit report and gap, from outside; python counts the same from the JSON lines.
# shellcheck source=tests/store/audit/tool_checks.sh
. tests/store/audit/tool_checks.sh || exit 1

log=$work/log
"$make_log" "$log" 700 300 mixed || fail "make_log"
"$make_log" "$work/short" 300 300 mixed || fail "make_log"
vkey=$(cat "$log/vkey")

expect 3 "a report's name is wanted" "$tool" report --log "$log"
expect 3 "art30, dsp-202-1101" "$tool" report art31 --log "$log"
expect 3 "--log is wanted" "$tool" report art30
expect 3 "one of md, html, csv" "$tool" report art30 --log "$log" --format pdf
expect 3 "over 16 logs" "$tool" report art30 $(printf -- '--log x %.0s' $(seq 17))
for kind in art30 dsp-202-1101 dsp-202-1104 matrix; do
    for format in md html csv; do
        expect 0 "lines from 1 log" "$tool" report "$kind" --log "$log" --key "$vkey" \
            --format "$format" --out "$work/$kind.$format"
    done
done
expect 0 "lines from 2 logs" "$tool" report matrix --log "$log" --log "$work/short" --out "$work/two.md"
expect 0 "Log audit.example.com/eu-west: size 300" cat "$work/two.md"
expect 1 "cannot write" "$tool" report matrix --log "$log" --out /dev/full
expect 0 ", from 2025-11-30T12:00:00Z, before 2025-12-01T00:00:00Z, where to=US" "$tool" \
    report matrix --log "$log" --from 2025-11-30T12:00:00Z --to 2025-12-01 --where to=US

# Made again from the log and compared, also when the log has grown since; and found when changed.
"$make_log" "$work/grown" 900 300 mixed || fail "make_log"
for kind in art30 dsp-202-1101 dsp-202-1104 matrix; do
    for format in md html csv; do
        file=$work/$kind.$format
        for dir in "$log" "$work/grown"; do
            expect 0 "^OK [1-9][0-9]* lines, as the logs give them" "$tool" report "$kind" --log "$dir" --key "$vkey" \
                --format "$format" --check "$file"
        done
        sed '$!b;s/./X/' "$file" >"$work/bad" # the last line of it
        cmp -s "$file" "$work/bad" && fail "nothing was changed"
        expect 1 "is not what the logs give" "$tool" report "$kind" --log "$log" --format "$format" --check "$work/bad"
        sed '$d' "$file" >"$work/bad"
        expect 1 "line [0-9]* is not what the logs give" "$tool" report "$kind" --log "$log" --format "$format" --check "$work/bad"
        [ "$format" = csv ] && continue
        expect 0 "Controller: Live GmbH" "$tool" report "$kind" --log "$log" --format "$format" --note "Controller: Live GmbH" --to 2026-01-01
        expect 0 "Period: before 2026-01-01T00:00:00Z" "$tool" report "$kind" --log "$log" --format "$format" --to 2026-01-01
    done
done
expect 1 "is not what" "$tool" report matrix --log "$log" --format csv --check "$work/matrix.csv" --where to=US
expect 3 "out has no place" "$tool" report matrix --log "$log" --check "$work/matrix.csv" --out "$work/x"
expect 3 "go with report" "$tool" verify --log "$log" --note x

expect 0 "^OK no silence" "$tool" gap --log "$log"
expect 1 "^GAP origin=.* ms=24000000 before_index=300 others=399$" "$tool" gap --log "$log" --log "$work/short"
expect 1 '"num_gaps":1' "$tool" gap --log "$log" --log "$work/short" --format json
expect 0 "^OK" "$tool" gap --log "$log" --log "$work/short" --max-gap 24000000
expect 1 "until=2025-12-02" "$tool" gap --log "$log" --to 2025-12-02
expect 3 "number is wanted" "$tool" gap --log "$log" --max-gap long

# A report or a signed export of a log that was changed is refused.
cp -r "$log" "$work/changed"
zcat "$work/changed/tile/entries/001" | sed 's/hmac:eu7:Qm9i/hmac:eu7:Qm9j/' >"$work/bundle" && mv "$work/bundle" "$work/changed/tile/entries/001"
expect 1 "index 256 in tile" "$tool" report matrix --log "$work/changed"
expect 1 "index 256 in tile" "$tool" export --log "$work/changed" --out "$work/x" \
    --manifest "$work/m" --sign-key "$work/none"

if command -v python3 >/dev/null; then
    "$tool" export --log "$log" --out "$work/e.jsonl" 2>"$work/out" || fail "export"
    "$tool" gap --log "$log" --log "$work/short" --format json >"$work/gap.json"
    "$tool" verify --log "$log" >"$work/verified"
    python3 - "$work" <<'PY' || fail "python counts otherwise"
import collections, csv, hashlib, json, re, sys
from html.parser import HTMLParser
work = sys.argv[1]
entries = []
leaves = []
with open(work + "/e.jsonl", encoding="utf-8") as f:
    for line in f:
        row = json.loads(line)
        entries.append(row["entry"])
        leaves.append(bytes.fromhex(row["leaf_hash"]))
def table(kind):
    with open(work + "/" + kind + ".csv", newline="", encoding="utf-8") as f:
        return list(csv.DictReader(f, strict=True))
def plain(text):
    return text[1:] if text[:1] == "'" else text
want = collections.defaultdict(lambda: [0, 0, 0, 0, 0])
backing = collections.defaultdict(list)
for n, e in enumerate(entries):
    if e["type"] not in ("access", "deny"):
        continue
    t = e["transfer"]
    for to in {t["to"]} | {r["to"] for r in t.get("replicas", [])}:
        if to == t["from"]:
            continue
        for c in {f["c"] for f in e["fields"]}:
            key = (t["from"], to, c, e["purpose"])
            line = want[key]
            if e["type"] == "deny":
                line[4] += 1
            elif not any(f["c"] == c and f["h"] in ("clear", "pseudonym") for f in e["fields"]):
                line[3] += 1
            else:
                line[0] += 1
                line[1] += e["record"]["count"]
                line[2] += e["record"]["bytes"]
            if n not in backing[key]:
                backing[key].append(n)
got = {}
for row in table("matrix"):
    key = tuple(plain(row[k]) for k in ("from", "to", "class", "purpose"))
    got[key] = [int(row[k]) for k in ("operations", "records", "bytes", "withheld", "refused")]
    digest = hashlib.sha256(b"".join(leaves[n] for n in backing[key])).hexdigest()
    assert digest in row["proof"] and "(%d entr" % len(backing[key]) in row["proof"], (row, backing[key])
assert got == dict(want), (got, dict(want))
root = re.search(r"root=([0-9a-f]{64})", open(work + "/verified").read()).group(1)
under = "size %d, root %s" % (len(entries), root)
for kind, column in (("matrix", "proof"), ("art30", "proof"), ("dsp-202-1101", "checkpoint"),
                     ("dsp-202-1104", "checkpoint")):
    assert table(kind) and all(row[column].endswith(under) for row in table(kind)), kind
# The indexes that a line names are those whose leaves are in its digest.
for row in table("matrix") + table("art30"):
    ranges, rest = re.fullmatch(r"\S+: (.*) \((\d+ entr.*)", row["proof"]).groups()
    if "..." in ranges:
        continue
    named = [i for r in ranges.split(", ") for i in range(int(r.split("-")[0]), int(r.split("-")[-1]) + 1)]
    assert rest.startswith("%d entr" % len(named)), row["proof"]
    assert hashlib.sha256(b"".join(leaves[i] for i in named)).hexdigest() in rest, row["proof"]
# Totals of art30, by brute force: a line for each recipient.
sums = collections.defaultdict(lambda: [0, 0, 0])
for e in entries:
    if e["type"] != "access":
        continue
    t = e["transfer"]
    went = [(e["actor"]["entity"], t["to"])] + [("replica in " + r["region"], r["to"]) for r in t.get("replicas", [])]
    for recipient, to in went:
        if to != t["from"]:
            line = sums[(e["purpose"], e["record"]["kind"], e["record"]["home"], recipient, t["from"], to)]
            line[0] += 1
            line[1] += e["record"]["count"]
            line[2] += e["record"]["bytes"]
told = collections.defaultdict(lambda: [0, 0, 0])
for row in table("art30"):
    line = told[tuple(plain(row[k]) for k in ("purpose", "kind_of_record", "home", "recipient", "from", "to"))]
    for i, k in enumerate(("operations", "records", "bytes")):
        line[i] += int(row[k])
assert told == sums, (dict(told), dict(sums))
concern = {"CN", "HK", "MO", "CU", "IR", "KP", "RU", "VE"}
def scope(e):
    t = e["transfer"]
    places = {e["actor"]["country"], t["to"]} | {r["to"] for r in t.get("replicas", [])}
    return bool(places & concern) and "US" in (e["record"]["home"], t["from"])
for kind, type_ in (("dsp-202-1101", "access"), ("dsp-202-1104", "deny")):
    expected = [n for n, e in enumerate(entries) if e["type"] == type_ and scope(e)]
    rows = table(kind)
    assert expected and [int(r["index"]) for r in rows] == expected, kind
    assert all(r["leaf_hash"] == leaves[int(r["index"])].hex() for r in rows)
moved = [e for e in entries if e["type"] == "access" and e["transfer"]["from"] != e["transfer"]["to"]]
copies = sum(r["to"] != e["transfer"]["from"] for e in entries if e["type"] == "access"
             for r in e["transfer"].get("replicas", []))
assert sum(int(r["operations"]) for r in table("art30")) == len(moved) + copies
class Cells(HTMLParser):
    def __init__(self):
        super().__init__()
        self.rows, self.cell, self.tags = [], None, set()
    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.cell = ""
    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.rows[-1].append(self.cell)
            self.cell = None
    def handle_data(self, data):
        if self.cell is not None:
            self.cell += data
for kind in ("art30", "dsp-202-1101", "dsp-202-1104", "matrix"):
    page = Cells()
    page.feed(open(work + "/" + kind + ".html", encoding="utf-8").read())
    rows = table(kind)
    assert len(page.rows) == len(rows) + 1 and "b" not in page.tags and "script" not in page.tags
    for cells, row in zip(page.rows[1:], rows):
        assert [re.sub(r"[\x00-\x1f]", " ", plain(v)) for v in row.values()] == cells
gap = json.load(open(work + "/gap.json"))
assert gap["gaps"][0]["others"] == 399 and gap["logs"] == 2
print("python agrees")
PY
fi

[ "$failed" = 0 ] && echo "all checks passed"
exit "$failed"
