#!/usr/bin/python3
"""The policy tools on the log and the records of a running router: entries are decided again under
the version of their time, and what cannot be is said.

    policy_tools_e2e.py [PART OF A CHECK'S NAME]
"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "lib"))
from harness import *  # noqa: E402,F403
from policytext import Copy  # noqa: E402

suite = Suite("policy-tools")
REGION = "eu-central-1"
ROOM = {"title": "Evening talk", "cover_url": "https://img.example/1", "owner_id": "u-77",
        "ip": "198.51.100.7"}


def attempt(action):
    """Denials are what is wanted here as much as answers."""
    try:
        return action()
    except rpc.Failure as failure:
        return failure


def traffic(env, prefix):
    """Every kind of entry: crossings whole and in part, denials with and without named fields,
    writes with replicas abroad, deletions, lists, batches."""
    us = env.client(env.main, "moderation", "us-west-2")
    feed = env.client(env.main, "live-feed", "ap-southeast-1")
    for i in range(6):
        id = "%s-%d" % (prefix, i)
        # Some records have few fields: what is asked for and what there is then differ.
        fields = ROOM if i % 2 == 0 else {"title": "short"}
        env.rooms.put("live_room", id, "DE", fields)
        for purpose in ("moderation", "serve", None):
            for home in ("DE", None):
                more = {} if purpose is None else {"purpose": purpose}
                attempt(lambda: us.get("live_room", id, home=home, **more))
                attempt(lambda: us.get("live_room", id, home=home, fields=["owner_id", "ip"], **more))
                attempt(lambda: feed.get("live_room", id, home=home, fields=["title", "ip"], **more))
    attempt(lambda: us.call(RECORD + "BatchGetRecords", purpose="moderation", keys=[
        {"kind": "live_room", "id": "%s-%d" % (prefix, i), "home": "DE"} for i in range(8)]))
    attempt(lambda: list(us.stream(RECORD + "ListRecords", kind="live_room", home="DE",
                                   purpose="moderation")))
    attempt(lambda: us.call(RECORD + "PutRecord", kind="live_room", id=prefix + "-us", home="DE",
                            purpose="moderation", fields=[{"name": "title", "text": "x"}]))
    attempt(lambda: us.call(RECORD + "DeleteRecord", kind="live_room", id=prefix + "-0", home="DE",
                            purpose="moderation"))
    env.rooms.call(RECORD + "DeleteRecord", kind="live_room", id=prefix + "-1", purpose="serve")


def audit_dir(env):
    return os.path.join(env.main.data, REGION, "audit")


def published(env):
    """Waits until the checkpoint covers what is in the log now."""
    size = log_size(env, env.main, REGION)

    def covers():
        with open(os.path.join(audit_dir(env), "checkpoint"), encoding="utf-8") as file:
            return int(file.read().split("\n")[1]) >= size

    wait_until(covers, what="checkpoint")
    return size


def prepare(env):
    env.copy = Copy(env.folder("policy"))
    env.main = env.router("main", env.copy.path)
    env.rooms = env.client(env.main, "room-service", REGION)
    env.versions = env.folder("versions")
    shutil.copy(env.copy.path, os.path.join(env.versions, "v1.cfg"))
    traffic(env, "a")
    env.copy.bump()
    env.copy.save()
    env.rooms.call(POLICY_SERVICE + "ReloadPolicy")
    shutil.copy(env.copy.path, os.path.join(env.versions, "v2.cfg"))
    traffic(env, "b")
    env.size = published(env)
    env.export = os.path.join(env.scratch, "export.jsonl")
    equal(env.run("audit", "export", "--log", audit_dir(env), "--out", env.export).returncode, 0,
          "export")
    env.rows = pathlib.Path(env.export).read_text(encoding="utf-8").splitlines()
    env.entries = [json.loads(row) for row in env.rows]
    env.decisions = [e for e in env.entries if e["entry"]["type"] in ("access", "deny")]


def explain(env, *arguments, **options):
    return env.run("policy", "explain", *arguments, **options)


# ---- explanations on the wire ----

@suite.check("a denial carries the six lines in its details, the same as ExplainAccess says")
def _(env):
    us = env.client(env.main, "moderation", "us-west-2")
    failure = refused(lambda: us.get("live_room", "b-2", home="DE", purpose="serve",
                                     fields=["owner_id"]), "PERMISSION_DENIED")
    lines = failure.explanation.splitlines()
    equal([line.split(":")[0] for line in lines],
          ["asked", "decided", "rules", "basis", "classes", "change"], "lines")
    told = us.call(RECORD + "ExplainAccess", op="read", kind="live_room", home="DE",
                   purpose="serve", fields=["owner_id"])
    equal(told.text, failure.explanation, "ExplainAccess and the error")
    equal(json.loads(told.json)["reason"], failure.reason, "reason in JSON")


@suite.check("a denial says nothing of which classes a record has, or whether it is there")
def _(env):
    us = env.client(env.main, "moderation", "us-west-2")
    for action in (lambda id: us.get("live_room", id, home="DE", purpose="serve"),
                   lambda id: us.get("live_room", id, home="DE", fields=["owner_id", "ip"]),
                   lambda id: us.call(RECORD + "DeleteRecord", kind="live_room", id=id, home="DE",
                                      purpose="moderation")):
        # One with all fields, one with a title only, one that does not exist.
        told = {(f.reason, f.explanation, tuple(sorted(f.metadata.items())), str(f))
                for f in (refused(lambda: action(id), "PERMISSION_DENIED")
                          for id in ("b-2", "b-3", "no-such"))}
        equal(len(told), 1, "ways to be denied: %s" % told)


# ---- explain --event ----

@suite.check("P4: every entry of two policy versions is decided again and is the same")
def _(env):
    true(len(env.decisions) > 60, "only %d decisions" % len(env.decisions))
    done = explain(env, "--event", env.export, "--policies", env.versions)
    equal((done.returncode, done.stderr), (0, ""), "explain")
    true("%d decided the same" % len(env.decisions) in done.stdout.splitlines()[-1],
         done.stdout.splitlines()[-1])
    effects = {e["entry"]["decision"]["effect"] for e in env.decisions}
    equal(effects, {"allow", "deny", "modify"}, "effects in the log")
    versions = {e["entry"]["policy"]["version"] for e in env.decisions}
    equal(versions, {1, 2}, "versions in the log")


@suite.check("one entry is explained in six lines and the word that it is the same")
def _(env):
    row = next(e for e in env.decisions if e["entry"]["decision"]["effect"] == "modify")
    done = explain(env, "--event", "-", "--policies", env.versions,
                   input=json.dumps(row["entry"], separators=(",", ":"), sort_keys=True,
                                    ensure_ascii=False))
    equal(done.returncode, 0, done.stderr)
    lines = done.stdout.splitlines()
    equal([line.split(":")[0] for line in lines],
          ["asked", "decided", "rules", "basis", "classes", "change", "entry"], "lines")
    true(lines[-1].endswith("the same as the log says"), lines[-1])
    by_index = explain(env, "--log", audit_dir(env), "--index", row["index"],
                       "--policies", env.versions)
    equal(by_index.returncode, 0, by_index.stderr)
    beside = explain(env, "--log", audit_dir(env), "--index", row["index"])
    equal((beside.returncode, beside.stdout), (0, by_index.stdout), "by the router's own policies")
    equal(by_index.stdout.splitlines()[:6], lines[:6], "explained by index")


@suite.check("JSON tells every rule considered and why it did or did not decide")
def _(env):
    row = next(e for e in env.decisions if e["entry"]["decision"]["effect"] == "modify")
    done = explain(env, "--log", audit_dir(env), "--index", row["index"], "--policies",
                   env.versions, "--format", "json")
    equal(done.returncode, 0, done.stderr)
    told = json.loads(done.stdout)
    equal(told["outcome"], "same", "outcome")
    rules = told["explain"]["rules"]
    true(len(rules) > 5, "rules")
    decided = {r["id"] for r in rules if r["result"].startswith("decides")}
    equal(decided, set(row["entry"]["decision"]["rules"]), "rules that decided")


@suite.check("an entry whose policy version is not at hand is not decided, and that is said")
def _(env):
    done = explain(env, "--event", env.export, "--policy", os.path.join(env.versions, "v2.cfg"))
    equal(done.returncode, 1, "exit code")
    true("not at hand: global-live version 1, sha256 " in done.stderr, done.stderr[:300])
    true("--policies" in done.stderr, "no way out is told")


@suite.check("P5: a changed entry does not come out the same; a changed row is found by its hash")
def _(env):
    row = next(r for r, e in zip(env.rows, env.entries)
               if e["entry"].get("decision", {}).get("effect") == "deny")
    done = explain(env, "--event", "-", "--policies", env.versions,
                   input=row.replace('"effect":"deny"', '"effect":"allow"'))
    equal(done.returncode, 1, "exit code of a changed row")
    true("leaf_hash" in done.stderr, done.stderr)
    entry = row[len('{"entry":'):row.index(',"index":')]
    cases = [('"reason":"', '"reason":"X_', "decision.reason"),
             ('"type":"deny"', '"type": "deny"', "canonical"),
             ('"op":"read"', '"op":"steal"', "op")]
    for old, new, word in cases:
        done = explain(env, "--event", "-", "--policies", env.versions,
                       input=entry.replace(old, new, 1))
        equal(done.returncode, 1, "exit code of " + new)
        true(word in done.stdout + done.stderr, done.stdout + done.stderr)


@suite.check("what is no entry is refused: nothing, half a line, a long line, bytes")
def _(env):
    for text in ("", "{", env.rows[3][:100], "x" * 100000, "[]", "\n\n", "\0"):
        done = explain(env, "--event", "-", "--policies", env.versions, input=text)
        equal(done.returncode, 1, "exit code of %.20r" % text)
        true(done.stderr != "", "nothing is said of %.20r" % text)
    for arguments in (["--event", "/nonexistent"], ["--log", audit_dir(env), "--index", 10 ** 9],
                      ["--log", env.scratch, "--index", 0],
                      ["--event", env.export, "--policies", "/nonexistent"]):
        true(explain(env, *arguments).returncode in (1, 3), "%s" % arguments)
    for arguments in (["--event", env.export, "--log", audit_dir(env)], ["--log", audit_dir(env)],
                      ["--log", audit_dir(env), "--index", "1x"],
                      ["--event", env.export, env.copy.path]):
        equal(explain(env, *arguments).returncode, 3, "usage: %s" % arguments)


# ---- impact ----

def changed(env, name, *edits):
    """A policy of the next version with these edits, as a person would make them."""
    text = env.copy.text.replace("version = %dL;" % env.copy.version,
                                 "version = %dL;" % (env.copy.version + 1))
    for old, new in edits:
        if text.count(old) != 1:
            raise RuntimeError("%d places with %r" % (text.count(old), old))
        text = text.replace(old, new)
    path = os.path.join(env.scratch, name + ".cfg")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def impact(env, path, *arguments, code=2):
    done = env.run("policy", "impact", path, "--data", env.main.data, "--format", "json",
                   *arguments)
    equal((done.returncode, done.stderr), (code, ""), "impact (%.600s)" % done.stdout)
    return json.loads(done.stdout)


def flips(told, words):
    return told["flips"][words]["count"]


@suite.check("the policy in force changes nothing, over every log and every row")
def _(env):
    # Replicas that are still on their way are missing where they are to be.
    wait_until(lambda: env.run("policy", "impact", env.copy.path, "--data",
                               env.main.data).returncode == 0, what="replication")
    told = impact(env, env.copy.path, code=0)
    equal(told["not_replayed"], 0, "not replayed")
    true(told["replayed"] >= len(env.decisions), "replayed %d" % told["replayed"])
    equal(told["entries"], told["replayed"] + told["no_decisions"], "denominators")
    equal(sum(g["count"] for g in told["flips"].values()), 0, "flips")
    true(told["records"]["rows"] > 20, "rows")
    equal(told["records"]["not_judged"], 0, "rows not judged")
    equal(told["records"]["moves"], 0, "moves")
    equal(told["records"]["no_place"], [], "no place")


@suite.check("a class taken out of a permit: exactly the calls that it was given to get less")
def _(env):
    path = changed(env, "less", (
        'to = ("US"); kinds = ("live_room"); classes = ("content", "identifier");\n'
        '    purposes = ("moderation"); services = ("moderation"); basis = "scc_eu_us";\n'
        '    obligations = ( { do = "pseudonymise"; classes = ("identifier"); key = "eea_export"; },',
        'to = ("US"); kinds = ("live_room"); classes = ("content");\n'
        '    purposes = ("moderation"); services = ("moderation"); basis = "scc_eu_us";\n'
        '    obligations = ('))
    told = impact(env, path)
    hit = [e for e in env.decisions if e["entry"]["decision"]["effect"] != "deny"
           and e["entry"]["transfer"].get("to") == "US"
           and any(f["c"] == "identifier" and f["h"] == "pseudonym"
                   for f in e["entry"].get("fields", []))]
    alone = [e for e in hit if all(f["h"] not in ("clear",) for f in e["entry"]["fields"])]
    true(len(hit) > 4, "hits")
    equal(flips(told, "given less of") + flips(told, "newly denied"), len(hit), "flips")
    equal(flips(told, "newly denied"), len(alone), "calls with nothing left")
    equal(flips(told, "newly allowed") + flips(told, "given more of"), 0, "loosened")
    group = told["flips"]["given less of"]["groups"][0]
    equal((group["service"], group["home"], group["to"]), ("moderation", "DE", "US"), "group")
    known = {e["index"]: e["entry"]["id"] for e in hit}
    for example in group["examples"]:
        equal(known[example["index"]], example["id"], "example")
    equal(told["records"]["moves"], 0, "moves")


@suite.check("a service that loses its purposes loses everything, and is named")
def _(env):
    text = env.copy.text
    at = text.index("\n  moderation = { kinds")
    entry = text[at:text.index("};", at)]
    path = changed(env, "losing", (entry, entry.replace('purposes = ("moderation"',
                                                        'purposes = ("billing"')))
    told = impact(env, path)
    equal([s["service"] for s in told["lose_everything"]], ["moderation"], "services")
    before = [e for e in env.decisions if e["entry"]["decision"]["effect"] != "deny"
              and "moderation" in e["entry"]["actor"]["id"]]
    equal(told["lose_everything"][0]["permitted_before"], len(before), "permitted before")
    done = env.run("policy", "impact", path, "--data", env.main.data)
    true("loses all: moderation: %d calls were permitted" % len(before) in done.stdout, done.stdout)


@suite.check("a narrower placement: the rows that must leave, by region, with bytes and time")
def _(env):
    regions = json.loads(env.run("policy", "where", env.copy.path, "--kind", "live_room", "--home",
                                 "DE", "--format", "json").stdout)["regions"]
    away = {"eu-west-1", "us-west-2"}
    path = changed(env, "narrow", (
        'classes = ("public"); regions = ("*");\n    basis = "not_personal"; },\n\n'
        '  { id = "eea-north"',
        'classes = ("public"); regions = (%s);\n    basis = "not_personal"; },\n\n'
        '  { id = "eea-north"' % ", ".join('"%s"' % r for r in regions if r not in away)))
    told = impact(env, path, "--records-per-s", "1")
    leave = told["records"]["leave"]
    live = 2 * 3  # rooms with a public field, of two rounds of traffic
    equal({p["region"] for p in leave}, away, "regions that are left")
    for place in leave:
        equal((place["kind"], place["home"], place["classes"]), ("live_room", "DE", ["public"]),
              "what leaves")
        equal(place["records"], live, "records that leave %s" % place["region"])
        true(place["bytes"] > place["records"] * len("https://img.example/1"), "bytes")
    equal(told["records"]["moves"], live * len(leave), "moves")
    equal(told["records"]["seconds"], told["records"]["moves"], "seconds at 1 record/s")
    equal(told["records"]["no_place"], [], "no place")


@suite.check("a class that loses its placement: the records left without a legal place")
def _(env):
    path = changed(env, "homeless", (
        '{ id = "eea-central"; home = ("eea_central");\n'
        '    classes = ("content", "identifier", "network",',
        '{ id = "eea-central"; home = ("eea_central");\n'
        '    classes = ("content", "identifier",'))
    told = impact(env, path)
    true(all(p["classes"] == ["network"] for p in told["records"]["no_place"]), "classes")
    equal({p["region"]: p["records"] for p in told["records"]["no_place"]}, {REGION: 2 * 3},
          "records without a place")


@suite.check("asked as of a date behind the end of the policy, everything that crosses is denied")
def _(env):
    told = impact(env, env.copy.path, "--date", "2099-01-01")
    crossed = [e for e in env.decisions if e["entry"]["decision"]["effect"] != "deny"
               and e["entry"]["transfer"].get("to")]
    equal(flips(told, "newly denied"), len(crossed), "newly denied")


@suite.check("what cannot be replayed is counted with its reason, and never guessed")
def _(env):
    log = os.path.join(env.scratch, "damaged")
    shutil.copytree(audit_dir(env), log)
    done = env.run("policy", "impact", env.copy.path, "--log", log, "--format", "json")
    equal(done.returncode, 0, "the copy: " + done.stderr)
    renamed = os.path.join(env.scratch, "renamed.cfg")
    pathlib.Path(renamed).write_text(env.copy.text.replace(REGION, "eu-central-9"), encoding="utf-8")
    done = env.run("policy", "impact", renamed, "--log", log, "--format", "json")
    equal(done.returncode, 0, done.stderr[:300])
    told = json.loads(done.stdout)
    true(told["not_replayed"] >= len(env.decisions), "not replayed")
    equal((told["replayed"], told["not_replayed"]), (0, told["entries"] - told["no_decisions"]),
          "denominators")
    equal(told["not_replayed_because"][0]["count"], told["not_replayed"], "because")
    true(REGION in told["not_replayed_because"][0]["what"], told["not_replayed_because"][0]["what"])
    for bundle in pathlib.Path(log).glob("tile/entries/**/*"):
        if bundle.is_file():
            bundle.write_bytes(bundle.read_bytes()[:-1])
    equal(env.run("policy", "impact", env.copy.path, "--log", log).returncode, 1, "a cut bundle")


@suite.check("wrong use of impact, and folders that hold no data, are refused")
def _(env):
    for arguments, code in (([env.copy.path], 3), (["--data", env.main.data], 3),
                            ([env.copy.path, "--data", env.main.data, "--date", "2027-02-30"], 3),
                            ([env.copy.path, "--data", env.main.data, "--records-per-s", "0"], 3),
                            ([env.copy.path, "--data", env.scratch], 1),
                            ([env.copy.path, "--data", "/nonexistent"], 1),
                            ([env.copy.path, "--log", env.scratch], 1),
                            (["/nonexistent", "--data", env.main.data], 1)):
        equal(env.run("policy", "impact", *arguments).returncode, code, "%s" % arguments)


if __name__ == "__main__":
    suite.main(prepare)
