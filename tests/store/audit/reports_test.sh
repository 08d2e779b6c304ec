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
    for to in [t["to"]] + [r["to"] for r in t.get("replicas", [])]:
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
