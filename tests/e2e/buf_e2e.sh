#!/usr/bin/env bash
# buf (npm @bufbuild/buf): lint of the API, and `buf curl` through server reflection, without a
# file of ours. Says so and passes unless `npm ci` was run in this folder.
set -u
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
buf=$here/node_modules/.bin/buf
if [ ! -x "$buf" ]; then
  echo "skipped: npm ci was not run in tests/e2e"
  echo "0 passed, 0 failed"
  exit 0
fi
passed=0
failed=0
check() { # check NAME STATUS WHY
  if [ "$2" = 0 ]; then
    passed=$((passed + 1))
    echo "ok - buf: $1"
  else
    failed=$((failed + 1))
    echo "not ok - buf: $1: $(echo "$3" | tr '\n' ' ' | cut -c1-400)"
  fi
}
work=$(mktemp -d)
coproc router { exec /usr/bin/python3 "$here/lib/serve.py" buf; }
server=$router_PID
in=${router[1]}
read -r _ _ address <&"${router[0]}"
if [ -z "${address:-}" ]; then
  echo "not ok - buf: the router did not start"
  echo "0 passed, 1 failed"
  exit 1
fi
base=http://$address
export HOME=$work # buf's cache

ask() { # ask METHOD JSON SERVICE REGION [OPTION...]
  local method=$1 json=$2 service=$3 region=$4
  shift 4
  "$buf" curl --http2-prior-knowledge --protocol grpc -H "domicile-service: $service" \
    -H "domicile-region: $region" -d "$json" "$@" "$base/$method" 2>&1
}
has() { # has NAME OUTPUT PATTERN...
  local name=$1 out=$2 pattern
  shift 2
  for pattern; do
    if ! grep -qE "$pattern" <<<"$out"; then
      check "$name" 1 "no $pattern in: $out"
      return
    fi
  done
  check "$name" 0
}

# The google.rpc details of an error as text: buf shows their bytes, protoc says what they are.
decoded() { # decoded OUTPUT TYPE
  local value
  value=$(/usr/bin/python3 -c '
import base64, json, sys
text = sys.stdin.read()
for detail in json.loads(text[text.index("{"):])["details"]:
    if detail["type"] == sys.argv[1]:
        print(base64.b64encode(base64.b64decode(detail["value"] + "==")).decode())' "$2" <<<"$1")
  base64 -d <<<"$value" |
    protoc -I"$here/../../router/api" --decode="$2" google/rpc/error_details.proto 2>&1
}

# ---- lint ----
mkdir "$work/api"
cp -r "$here/../../router/api/domicile" "$work/api/"
printf 'version: v2\nmodules:\n  - path: .\nlint:\n  use: [STANDARD]\n' >"$work/api/buf.yaml"
out=$(cd "$work/api" && "$buf" lint 2>&1)
check "lint STANDARD is clean" $? "$out"
out=$(cd "$work/api" && "$buf" build -o /dev/null 2>&1)
check "the API builds on its own" $? "$out"

# ---- reflection ----
out=$("$buf" curl --http2-prior-knowledge --protocol grpc --list-methods "$base" 2>&1)
has "--list-methods by reflection v1" "$out" 'domicile.v1.RecordService/GetRecord' \
  'domicile.v1.RecordService/ExplainAccess' 'domicile.v1.PolicyService/ReloadPolicy' \
  'domicile.v1.AuditService/ProveConsistency' 'grpc.health.v1.Health/Watch'
out=$("$buf" curl --http2-prior-knowledge --protocol grpc --list-methods \
  --reflect-protocol grpc-v1alpha "$base" 2>&1)
has "--list-methods by reflection v1alpha" "$out" 'domicile.v1.RecordService/GetRecord'
out=$("$buf" curl --http2-prior-knowledge --protocol grpc --list-services "$base" 2>&1)
has "--list-services" "$out" 'domicile.v1.AuditService' 'grpc.health.v1.Health'

# ---- records ----
record='"kind":"live_room","id":"buf-1"'
fields='"fields":[{"name":"title","text":"Buf"},{"name":"owner_id","text":"u-9"},{"name":"ip","text":"198.51.100.7"}]'
r=domicile.v1.RecordService
out=$(ask $r/PutRecord "{$record,\"home\":\"DE\",\"purpose\":\"serve\",$fields}" room-service \
  eu-central-1)
has "put" "$out" '"homeRegion": *"eu-central-1"' '"version": *"1"'
out=$(ask $r/GetRecord "{$record,\"purpose\":\"serve\"}" room-service eu-central-1)
has "get" "$out" '"text": *"Buf"' '"text": *"u-9"'
out=$(ask $r/GetRecord "{$record,\"home\":\"DE\",\"purpose\":\"moderation\"}" moderation us-west-2)
has "get across a border: changed, with a receipt" "$out" '"text": *"Buf"' \
  'HANDLING_PSEUDONYMISED' 'HANDLING_REDACTED' '"leafHash"'
if grep -q 'u-9\|198.51.100.7' <<<"$out"; then
  check "nothing of the owner in clear" 1 "$out"
else
  check "nothing of the owner in clear" 0
fi
out=$(ask $r/GetRecord "{$record,\"home\":\"DE\",\"purpose\":\"moderation\",\"fields\":[\"ip\"]}" \
  moderation us-west-2)
[ $? != 0 ]
check "a denial ends buf curl with an error" $? "$out"
has "a denial: the code and the words" "$out" 'permission_denied' 'no rule permits this'
has "a denial: the details" "$(decoded "$out" google.rpc.ErrorInfo)" 'reason: "NO_PERMIT"' \
  'domain: "domicile"' 'value: "DE"' 'value: "us-west-2"'
out=$(ask $r/PutRecord "{$record,\"home\":\"UK\",\"purpose\":\"serve\",$fields}" room-service \
  eu-central-1)
has "a bad home: the code and the words" "$out" 'invalid_argument' 'GB'
has "a bad home: the field is told" "$(decoded "$out" google.rpc.BadRequest)" 'field: "home"'
out=$(ask $r/GetRecord "{$record}" room-service eu-central-9)
has "an unknown region is no caller" "$out" 'unauthenticated'
out=$(ask $r/ListRecords '{"kind":"live_room","home":"DE","purpose":"serve","pageSize":1}' \
  room-service eu-central-1)
has "list as a stream" "$out" '"id": *"buf-1"' '"decision"'
out=$(ask $r/ExplainAccess '{"op":"read","kind":"live_room","home":"DE","purpose":"moderation"}' \
  moderation us-west-2)
has "explain" "$out" '"text"' '"json"'
out=$(ask domicile.v1.AuditService/GetCheckpoint '{"region":"eu-central-1"}' live-feed us-east-1)
has "checkpoint from anywhere" "$out" '"verifierKey": *"audit.example.com/eu-central-1\+'
out=$(ask domicile.v1.AuditService/ListEntries '{"region":"eu-central-1"}' live-feed us-east-1)
has "entries from abroad are refused" "$out" 'permission_denied'
out=$(ask grpc.health.v1.Health/Check '{"service":"domicile.v1.RecordService"}' x y)
has "health" "$out" 'SERVING'
out=$(ask $r/DeleteRecord "{$record,\"purpose\":\"serve\"}" room-service eu-central-1)
has "delete" "$out" '"version": *"2"'
out=$(ask $r/GetRecord "{$record,\"purpose\":\"serve\"}" room-service eu-central-1)
has "gone" "$out" 'not_found'

exec {in}>&-
wait "$server"
check "the router stops cleanly" $? "exit code"
rm -rf "$work"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
