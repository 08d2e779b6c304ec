#!/usr/bin/python3
"""A policy's life on running routers: signed, pushed, rolled out under watch, taken back, frozen, and
all of that through kill -9. Every bad bundle is refused for its own reason, and the last good policy
stays in force.

    rollout_e2e.py [PART OF A CHECK'S NAME]
"""
import pathlib
import random
import stat
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "lib"))
from harness import *  # noqa: E402,F403
import law as laws  # noqa: E402
from law import Law, now, pack, sha256  # noqa: E402

suite = Suite("rollout")
HOME, HOME2, ABROAD = "eu-north-1", "eu-west-1", "us-east-1"
ENFORCED, SHADOW, CANARY, REGIONS, PAUSED, ABORTED = 1, 2, 3, 4, 5, 6
REGIONS_ALL = ["eu-north-1", "eu-west-1", "eu-west-2", "us-east-1"]

PERMIT = ('purposes = ("serve", "moderation"); services = ("live-feed", "moderation", "room-service");\n'
          '    basis = "adequacy";\n'
          '    obligations = ( { do = "pseudonymise"; classes = ("identifier"); key = "export"; } ); }')
# identifier stays at home for moderation: what it may read abroad shrinks.
TIGHTER = [('id = "network-stays"; effect = "forbid"; ops = ("*"); home = ("*"); to = ("*");\n'
            '    classes = ("network"); }',
            'id = "network-stays"; effect = "forbid"; ops = ("*"); home = ("*"); to = ("*");\n'
            '    classes = ("network"); },\n'
            '  { id = "no-owner-abroad"; effect = "forbid"; ops = ("read"); home = ("EEA"); to = ("US");\n'
            '    classes = ("identifier"); purposes = ("moderation"); services = ("moderation"); }')]
# Nobody abroad reads anything.
NOTHING = [('id = "network-stays"; effect = "forbid"; ops = ("*"); home = ("*"); to = ("*");\n'
            '    classes = ("network"); }',
            'id = "network-stays"; effect = "forbid"; ops = ("*"); home = ("*"); to = ("*");\n'
            '    classes = ("*"); }')]
# The owner goes abroad in clear.
LOOSER = [(PERMIT, PERMIT.replace(
    '\n    obligations = ( { do = "pseudonymise"; classes = ("identifier"); key = "export"; } );', ''))]
# ... and by an oversight nobody in the US reads anything any more.
LOOSER_BAD = LOOSER + [('to = ("GB", "US"); kinds', 'to = ("GB"); kinds')]


class World:
    """A router that takes only signed policies, and who talks to it."""

    def __init__(self, env, name, extra="", **options):
        self.env = env
        self.law = Law(env, name, **options)
        self.router = env.router("data-" + name, self.law.path, self.law.extra() + extra)
        self.connect()
        for i in range(40):
            self.put("r%d" % i)

    def connect(self):
        self.admin = self.env.client(self.router, "live-feed", HOME)
        self.rooms = self.env.client(self.router, "room-service", HOME)
        self.us = self.env.client(self.router, "moderation", ABROAD)
        self.feed = self.env.client(self.router, "live-feed", ABROAD)
        self.local = self.env.client(self.router, "live-feed", HOME2)

    def put(self, id, **more):
        return self.rooms.put("live_room", id, "DE",
                              {"title": "t", "cover_url": "c", "owner_id": "u-" + id, "ip": "1.2.3.4"},
                              **more)

    def call(self, name, **fields):
        return self.admin.call(POLICY_SERVICE + name, **fields)

    def push(self, bundle, **more):
        return self.call("PushPolicy", bundle=bundle, **more)

    def status(self):
        return self.call("GetRollout").rollout

    def read(self, id="r0"):
        """Across the border: there is no copy of these fields abroad."""
        return self.us.get("live_room", id, purpose="moderation", home="DE",
                           fields=["title", "owner_id"])

    def traffic(self, rounds=1):
        for i in range(rounds):
            for caller, purpose in ((self.us, "moderation"), (self.feed, "serve"),
                                    (self.local, "serve"), (self.admin, "serve")):
                try:
                    caller.get("live_room", "r%d" % (i % 40), purpose=purpose, home="DE")
                except rpc.Failure as failure:
                    if failure.code not in ("PERMISSION_DENIED",):
                        raise

    def until(self, condition, seconds=30, what="the roll-out"):
        """Traffic until the status is as wanted; the status."""
        deadline = time.monotonic() + seconds
        while True:
            status = self.status()
            if condition(status):
                return status
            if time.monotonic() > deadline:
                raise AssertionError("%s: not within %d s: %s" % (what, seconds, status))
            self.traffic(4)

    def kill(self):
        self.router.process.kill()
        self.router.process.wait()
        self.env.leave(self.router)

    def restart(self):
        self.router.start()
        self.connect()

    def entries(self, region=HOME, kind=None):
        out = [json.loads(raw) for _, raw in entries(self.env, self.router, region)]
        return [e for e in out if kind is None or e["type"] == kind]


def prepare(env):
    env.world = World(env, "main", ratio="1.0", min_requests=20)


def faulty(world, bundle, fault, **more):
    """Refused with that name, in the details and in the log; what is in force stays."""
    before = world.status()
    failure = refused(lambda: world.push(bundle, **more), "PERMISSION_DENIED", "BUNDLE_REFUSED")
    equal(failure.metadata.get("bundle"), fault, "the fault (%s)" % failure)
    after = world.status()
    equal(after.enforced.version, before.enforced.version, "version in force after " + fault)
    equal(after.enforced.sha256, before.enforced.sha256, "policy in force after " + fault)
    equal(after.phase, before.phase, "phase after " + fault)
    equal(after.bundles_refused, before.bundles_refused + 1, "count of refusals")
    for region in (HOME, ABROAD):
        last = world.entries(region, "rollout")[-1]["detail"]
        equal((last["action"], last["reason"]), ("refuse", fault), "entry in " + region)
    equal(world.read().record.version > 0, True, "a permitted crossing")


# ---- keys and files ----

@suite.check("keys are 0600, never written over, and notes are signed with them")
def _(env):
    folder = env.folder("keys")
    for name in ("ann", "ben"):
        equal(env.run("policy", "keygen", name, "--out", folder).returncode, 0, "keygen")
    equal(stat.S_IMODE(os.stat(folder + "/ann.key").st_mode), 0o600, "mode of the key")
    again = env.run("policy", "keygen", "ann", "--out", folder)
    true(again.returncode == 1 and "never written over" in again.stderr, again.stderr)
    equal(env.run("policy", "keygen", "a/b", "--out", folder).returncode, 1, "a name with a slash")
    out = folder + "/root"
    make = ["policy", "root", "--name", "small", "--expires", "2031-01-01", "--threshold", "2",
            "--policy-key", folder + "/ann.vkey", "--policy-key", folder + "/ben.vkey",
            "--root-key", folder + "/ann.vkey", "--out", out]
    equal(env.run(*make, "--key", folder + "/ann.key").returncode, 0, "root")
    os.chmod(folder + "/ann.key", 0o644)
    loose = env.run(*make, "--key", folder + "/ann.key")
    true(loose.returncode == 1 and "chmod" in loose.stderr, loose.stderr)
    os.chmod(folder + "/ann.key", 0o600)
    bad = env.run(*[a if a != "2" else "3" for a in make], "--key", folder + "/ann.key")
    true(bad.returncode == 1 and "threshold" in bad.stderr, bad.stderr)
    nobody = env.run(*make)
    true(nobody.returncode == 3 and "who signs" in nobody.stderr, nobody.stderr)


@suite.check("bundles made by the tool are taken: two signers, one of them a command")
def _(env):
    folder = env.folder("tool")
    law = Law(env, "tool")
    law.write(2, TIGHTER)
    alice, bob = law.keys[:2]
    path = folder + "/v2.bundle"
    plan, text = law.plan(1, 2)
    true(json.loads(text)["tightens"] and not json.loads(text)["loosens"], text[:200])
    told = env.run("policy", "plan", law.file(1), law.file(2))
    true(told.returncode == 2 and "plan " + plan in told.stdout and "tightening" in told.stdout,
         told.stdout)
    sign = ["policy", "sign", path, "--policy", law.file(2), "--previous", law.file(1),
            "--command", alice.command, "--vkey", alice.vkey_path]
    wrong = env.run(*sign, "--plan", "0" * 64)
    true(wrong.returncode == 4 and plan in wrong.stderr, wrong.stderr)
    liar = env.run("policy", "sign", path, "--policy", law.file(2), "--previous", law.file(1),
                   "--plan", plan, "--command", bob.command, "--vkey", alice.vkey_path)
    true(liar.returncode == 1 and "no signature by alice" in liar.stderr, liar.stderr)
    equal(env.run(*sign, "--plan", plan).returncode, 0, "the first signature")
    second = ["policy", "sign", path, "--previous", law.file(1), "--plan", plan]
    twice = env.run(*second, "--command", alice.command, "--vkey", alice.vkey_path)
    true(twice.returncode == 1 and "signed already" in twice.stderr, twice.stderr)
    equal(env.run(*second, "--command", bob.command, "--vkey", bob.vkey_path).returncode, 0,
          "the second signature")
    router = env.router("data-tool", law.path, law.extra())
    pushed = router.run("policy", "push", path, "--format", "json", who=("live-feed", HOME))
    equal(pushed.returncode, 0, pushed.stderr)
    status = json.loads(pushed.stdout)
    equal((status["phase"], status["candidate"]["version"], status["change"]),
          ("shadow", 2, "tightening"), "status")
    table = router.run("policy", "rollout", "status", who=("live-feed", HOME))
    true("shadow" in table.stdout and "1/3" in table.stdout and "candidate" in table.stdout,
         table.stdout)
    plain = router.run("policy", "push", law.file(2), who=("live-feed", HOME))
    true(plain.returncode == 4 and "UNSIGNED" in plain.stderr, plain.stderr)
    env.stop(router)


@suite.check("a start needs a bundle that signs this very file")
def _(env):
    law = Law(env, "starts")
    bundle = law.path + ".bundle"
    data = env.folder("data-starts")

    def start(words):
        config = os.path.join(data, "c.cfg")
        with open(config, "w", encoding="utf-8") as f:
            f.write('listen = "127.0.0.1:0";\nidentity = "insecure-loopback";\ndata = "%s/d";\n'
                    'policy = "%s";\nlog = "error";\n%s' % (data, law.path, law.extra()))
        done = env.run("serve", "--config", config, "--check")
        if words is None:
            equal(done.returncode, 0, done.stderr)
        else:
            true(done.returncode == 1 and words in done.stderr, done.stderr)

    good = open(bundle, "rb").read()
    os.rename(bundle, bundle + ".away")
    start(".bundle")
    for bad, words in ((good.split(b"\n\n")[0] + b"\n", "FORMAT"),
                       (law.bundle(1, None, keys=law.keys[:1]), "THRESHOLD"),
                       (law.bundle(1, None, keys=[law.stranger]), "SIGNATURE_MISSING"),
                       (law.bundle(1, None, expires="2020-01-01T00:00:00Z"), "EXPIRED")):
        with open(bundle, "wb") as f:
            f.write(bad)
        start(words)
    law.write(2, TIGHTER)
    with open(bundle, "wb") as f:
        f.write(law.bundle(2, 1))
    start("FILE_MIXED")
    with open(bundle, "wb") as f:
        f.write(good)
    start(None)
    os.remove(bundle)
    start(None)  # what was taken once is kept


# ---- every bad bundle ----

@suite.check("every bad bundle is refused for its own reason, and the last good one stays")
def _(env):
    world = env.world
    law = world.law
    alice, bob, carol = law.keys
    law.write(2, TIGHTER)
    good = law.bundle(2, 1)
    body = good[good.index(b"\npolicy.cfg "):]

    def with_note(note):
        return b"domicile-policy-bundle/v1\nnote %d\n" % len(note) + note + body

    text = laws.note_text("small", 2, sha256(law.texts[1]), law.plan(1, 2)[0],
                          [("policy.cfg", law.texts[2].encode())]).encode()
    faulty(world, with_note(text), "SIGNATURE_MISSING")           # stripped, the blank line too
    faulty(world, with_note(text + b"\n"), "SIGNATURE_MISSING")   # stripped
    faulty(world, law.bundle(2, 1, keys=[law.stranger, law.clock]), "SIGNATURE_MISSING")
    faulty(world, law.bundle(2, 1, keys=[alice]), "THRESHOLD")
    faulty(world, with_note(text + b"\n" + alice.line(text) * 2), "THRESHOLD")  # one key twice
    faulty(world, law.bundle(2, 1, keys=[alice, law.stranger]), "THRESHOLD")
    faulty(world, with_note(text + b"\n" + alice.line(text) + bob.line(text + b"x\n")),
           "SIGNATURE_BAD")
    faulty(world, law.bundle(2, 1, name="other"), "NAME")
    faulty(world, law.bundle(2, 1, expires=now(-5)), "EXPIRED")
    faulty(world, law.bundle(2, 1, created=now(3600)), "NOT_YET")
    law.write(3, TIGHTER)
    faulty(world, law.bundle(3, 1), "VERSION_SKIPPED")            # fast-forward
    faulty(world, law.bundle(2, 1, version=2 ** 62), "VERSION_SKIPPED")
    faulty(world, law.bundle(2, 1, previous=sha256("another")), "PREVIOUS")
    faulty(world, law.bundle(2, 1, previous="0" * 64), "PREVIOUS")
    data = law.texts[2].encode()
    faulty(world, law.bundle(2, 1, packed=[("policy.cfg", data), ("more.cfg", b"x")]), "FILE_EXTRA")
    faulty(world, law.bundle(2, 1, packed=[]), "FILE_MISSING")
    faulty(world, law.bundle(2, 1, packed=[("policy.cfg", data.replace(b"t", b"T", 1))]),
           "FILE_MIXED")
    faulty(world, law.bundle(2, 1, packed=[("policy.cfg", law.texts[3].encode())]), "FILE_MIXED")
    faulty(world, law.bundle(2, 1, plan=sha256("another change")), "PLAN")
    faulty(world, law.bundle(2, 1, files=[("policy.cfg", b"policy = { broken")]), "POLICY")
    faulty(world, law.bundle(2, 1, files=[("policy.cfg", law.texts[3].encode())]), "POLICY")
    faulty(world, data, "UNSIGNED")
    faulty(world, good[:-3], "FORMAT")
    faulty(world, law.bundle(2, 1, packed=[("policy.cfg", data), ("pad", b"x" * (3 << 20))]),
           "TOO_LARGE")
    # The same version again with other bytes, and what is in force again.
    law.texts[11] = law.texts[1] + "\n"
    law.texts[1], kept = law.texts[11], law.texts[1]
    faulty(world, law.bundle(1, None), "VERSION_REUSED")
    law.texts[1] = kept
    equal(world.push(open(law.path + ".bundle", "rb").read()).changed, False, "changed")
    equal(world.call("ReloadPolicy").changed, False, "reload of what is in force")
    with open(law.path, "w", encoding="utf-8") as f:
        f.write(law.texts[2])
    refused(lambda: world.call("ReloadPolicy"), "PERMISSION_DENIED", "BUNDLE_REFUSED", words="UNSIGNED")
    with open(law.path, "w", encoding="utf-8") as f:
        f.write(law.texts[1])


@suite.check("a loosening needs two distinct signers, whatever the root says")
def _(env):
    world = World(env, "one-signer", threshold=1)
    law = world.law
    law.write(2, LOOSER)
    faulty(world, law.bundle(2, 1, keys=law.keys[:1]), "SIGNERS")
    equal(world.push(law.bundle(2, 1, keys=law.keys[1:])).rollout.change, 2, "change")
    world.call("AbortRollout", reason="enough")
    law.write(3, TIGHTER)
    equal(world.push(law.bundle(3, 1, keys=law.keys[:1])).rollout.change, 1, "change")
    env.stop(world.router)


# ---- the two ways ----

def stages_of(world, kind):
    return [e["detail"] for e in world.entries(HOME, kind)]


@suite.check("a tightening goes by shadow and a sticky canary into force, all of it in every log")
def _(env):
    world = env.world
    law = world.law
    law.write(2, TIGHTER)
    pushed = world.push(law.bundle(2, 1)).rollout
    equal((pushed.phase, pushed.change, pushed.step, pushed.steps), (SHADOW, 1, 1, 3), "after the push")
    equal(world.push(law.bundle(2, 1)).changed, False, "the same again")
    law.write(3, NOTHING)
    refused(lambda: world.push(law.bundle(3, 1)), "FAILED_PRECONDITION", "ROLLOUT_STATE")
    # Shadow: decides nothing, and is in the entry where it would decide otherwise.
    before = len(world.entries(HOME, "access"))
    answer = world.read()
    true(values_of(answer)["owner_id"], "the owner is still given as a pseudonym")
    entry = world.entries(HOME, "access")[before]
    equal((entry["policy"]["version"], entry["decision"]["mode"]), (1, "enforce"), "who decided")
    equal((entry["shadow"]["version"], entry["shadow"]["effect"]), (2, "modify"), "the shadow")
    true("no-owner-abroad" in entry["shadow"]["rules"], entry["shadow"])
    status = world.status()
    true(status.requests >= 1 and status.disagreements >= 1 and status.new_denies >= 1, status)
    true("rollout_phase{phase=\"shadow\"} 1" in world.router.metrics(), "metrics")
    # Canary: about half of the records, always the same ones.
    world.until(lambda s: s.phase == CANARY, what="canary")
    first = {i: values_of(world.read("r%d" % i))["owner_id"] is None for i in range(40)}
    true(8 <= sum(first.values()) <= 32, "%d of 40 under the canary" % sum(first.values()))
    if world.status().phase == CANARY:
        again = {i: values_of(world.read("r%d" % i))["owner_id"] is None for i in range(40)}
        if world.status().phase == CANARY:
            equal(again, first, "sticky")
    batch = world.us.call(RECORD + "BatchGetRecords", purpose="moderation",
                          keys=[{"kind": "live_room", "id": "r%d" % i, "home": "DE"}
                                for i in range(40)])
    if world.status().phase == CANARY:
        equal({i: values_of(r.found.record)["owner_id"] is None for i, r in enumerate(batch.results)}, first,
              "a batch, key by key")
    in_canary = [e for e in world.entries(HOME, "access") if e["decision"]["mode"] == "canary"]
    true(in_canary and all(e["policy"]["version"] == 2 for e in in_canary), "entries by the candidate")
    done = world.until(lambda s: s.phase == ENFORCED, what="enforced")
    equal((done.enforced.version, done.highest_version), (2, 2), "in force")
    equal(values_of(world.read())["owner_id"], None, "the owner stays at home")
    for region in REGIONS_ALL:
        actions = [e["detail"]["action"] for e in world.entries(region, "rollout")
                   if e["policy"]["version"] == 2 and e["detail"]["action"] != "refuse"]
        equal(actions, ["push", "stage"], "roll-out in " + region)
        last = world.entries(region, "policy")[-1]
        equal((last["policy"]["version"], last["detail"]["action"]), (2, "enforce"), region)
        true("alice+" in last["detail"]["signers"] and "bob+" in last["detail"]["signers"], last)
    # An access points to the entry of the policy that decided it.
    raw = entries(env, world.router, HOME)
    all_entries = [json.loads(r) for _, r in raw]
    for entry in [e for e in all_entries if e["type"] == "access"][-200:]:
        told = all_entries[entry["policy"]["index"]]
        true(told["type"] in ("policy", "rollout"), told)
        equal(told["policy"]["version"], entry["policy"]["version"], "the entry pointed to")
    faulty(world, open(law.path + ".bundle", "rb").read(), "VERSION_OLDER")


def values_of(answer):
    return rpc.values(answer if not hasattr(answer, "record") else answer.record)


@suite.check("a bad tightening is aborted within one hold, back to the last enforced version")
def _(env):
    world = World(env, "tighter-bad")
    law = world.law
    law.write(2, NOTHING)
    started = time.monotonic()
    world.push(law.bundle(2, 1))
    status = world.until(lambda s: s.phase == ABORTED, what="aborted")
    true(time.monotonic() - started < 2.0, "within one hold of 2 s: %.2f" % (time.monotonic() - started))
    true(status.abort_reason.startswith("new_deny_ratio:"), status.abort_reason)
    equal((status.enforced.version, status.candidate.version), (1, 2), "versions")
    world.read()
    last = world.entries(ABROAD, "rollout")[-1]
    equal((last["detail"]["action"], last["policy"]["version"]), ("abort", 2), "the entry")
    true(last["detail"]["reason"].startswith("new_deny_ratio:"), last)
    faulty(world, law.bundle(2, 1), "VERSION_REUSED")  # burnt
    law.write(3, TIGHTER)
    equal(world.push(law.bundle(3, 1)).rollout.phase, SHADOW, "the next number")
    env.stop(world.router)


@suite.check("a loosening goes by shadow and region by region")
def _(env):
    world = World(env, "looser", hold=1)
    law = world.law
    law.write(2, LOOSER)
    pushed = world.push(law.bundle(2, 1)).rollout
    equal((pushed.phase, pushed.change, pushed.steps), (SHADOW, 2, 6), "after the push")
    true(values_of(world.read())["owner_id"] != "u-r0", "a pseudonym in the shadow")
    seen = []
    deadline = time.monotonic() + 60
    while True:
        status = world.status()
        if status.phase == ENFORCED:
            break
        true(status.phase in (SHADOW, REGIONS), status)
        true(time.monotonic() < deadline, "not enforced: %s" % status)
        if status.phase == REGIONS:
            regions = list(status.regions)
            if not seen or seen[-1] != regions:
                seen.append(regions)
            clear = values_of(world.read())["owner_id"] == "u-r0"
            if list(world.status().regions) == regions and world.status().phase == REGIONS:
                equal(clear, ABROAD in regions, "given in clear with %s" % regions)
        world.traffic(4)
    equal(seen, [REGIONS_ALL[:i + 1] for i in range(4)], "one region after the other")
    equal(values_of(world.read())["owner_id"], "u-r0", "in clear")
    # A bad one: it also takes away what works.
    law.write(3, LOOSER_BAD)
    plan = json.loads(law.plan(2, 3)[1])
    true(plan["tightens"] and not plan["loosens"], "only what it takes away is new")
    world.push(law.bundle(3, 2))
    status = world.until(lambda s: s.phase == ABORTED, what="aborted")
    equal(status.enforced.version, 2, "in force")
    world.env.stop(world.router)


@suite.check("a bad loosening is aborted in its shadow, before anybody gets anything")
def _(env):
    world = World(env, "looser-bad")
    law = world.law
    law.write(2, LOOSER_BAD)
    plan = json.loads(law.plan(1, 2)[1])
    true(plan["loosens"] and plan["tightens"], plan["loosens"])
    started = time.monotonic()
    world.push(law.bundle(2, 1))
    status = world.until(lambda s: s.phase == ABORTED, what="aborted")
    true(time.monotonic() - started < 2.0, "within one hold")
    true(status.abort_reason.startswith("new_deny_ratio:"), status.abort_reason)
    true(all(e["decision"]["mode"] == "enforce" for e in world.entries(HOME, "access")),
         "nobody was decided for by it")
    env.stop(world.router)


@suite.check("a policy that cannot be asked is aborted: eval_errors")
def _(env):
    world = World(env, "errors")
    law = world.law
    law.write(2, [("live_room = {\n", "other_room = {\n"),
                  ] + [])
    text = law.texts[2].replace('"live_room"', '"other_room"')
    law.texts[2] = text
    with open(law.file(2), "w", encoding="utf-8") as f:
        f.write(text)
    world.push(law.bundle(2, 1))
    status = world.until(lambda s: s.phase == ABORTED, what="aborted")
    true(status.abort_reason.startswith("eval_errors:"), status.abort_reason)
    env.stop(world.router)


@suite.check("too few requests hold, pause stops the clock, promote and abort are an operator's")
def _(env):
    world = World(env, "steer", hold=1, min_requests=1000)
    law = world.law
    law.write(2, TIGHTER)
    for call in ("PromoteRollout", "PauseRollout", "ResumeRollout", "AbortRollout"):
        refused(lambda: world.call(call), "FAILED_PRECONDITION", "ROLLOUT_STATE")
    world.push(law.bundle(2, 1))
    wait_until(lambda: world.status().inconclusive, 10, "inconclusive")
    equal(world.status().phase, SHADOW, "phase")
    refused(lambda: world.call("PromoteRollout", version=7), "FAILED_PRECONDITION", "ROLLOUT_STATE")
    equal(world.call("PauseRollout").rollout.phase, PAUSED, "paused")
    refused(lambda: world.call("PromoteRollout"), "FAILED_PRECONDITION", "ROLLOUT_STATE")
    equal(world.call("ResumeRollout").rollout.phase, SHADOW, "resumed")
    equal(world.call("PromoteRollout", version=2).rollout.phase, CANARY, "promoted")
    done = world.router.run("policy", "rollout", "abort", "--reason", "lunch", "--format", "json",
                            who=("live-feed", HOME))
    equal(json.loads(done.stdout)["phase"], "aborted", done.stderr)
    true("lunch" in world.status().abort_reason, world.status())
    env.stop(world.router)


# ---- freezing ----

@suite.check("one key freezes, two unfreeze; nothing crosses in between, at home all goes on")
def _(env):
    world = World(env, "frozen")
    law = world.law
    alice, bob, _ = law.keys
    for bad, fault in ((laws.order("small", "freeze", [law.stranger]), "SIGNATURE_MISSING"),
                       (laws.order("other", "freeze", [alice]), "NAME"),
                       (laws.order("small", "unfreeze", [alice, bob]), "FORMAT"),
                       (laws.order("small", "freeze", [alice], offset=-3600), "EXPIRED"),
                       (b"freeze!", "FORMAT")):
        failure = refused(lambda: world.call("FreezePolicy", order=bad), "PERMISSION_DENIED",
                          "BUNDLE_REFUSED")
        equal(failure.metadata["bundle"], fault, "the fault")
    world.router.settle()
    stop = laws.order("small", "freeze", [alice], "court order 7")
    status = world.call("FreezePolicy", order=stop).rollout
    equal((status.frozen, status.frozen_reason), (True, "court order 7"), "status")
    refused(world.read, "PERMISSION_DENIED", "POLICY_FROZEN")
    true(values_of(world.local.get("live_room", "r1", purpose="serve", home="DE"))["owner_id"] == "u-r1",
         "at home")
    world.put("r1")  # a copy abroad is owed, and waits
    true(world.router.metric("domicile_store_outbox") > 0, "the copy abroad waits")
    equal(world.entries(ABROAD, "rollout")[-1]["detail"]["action"], "freeze", "the entry")
    world.kill()
    world.restart()
    refused(world.read, "PERMISSION_DENIED", "POLICY_FROZEN")
    time.sleep(1.1)  # an order's time has whole seconds, and must be later than the last
    failure = refused(lambda: world.call("FreezePolicy", order=stop), "PERMISSION_DENIED")
    equal(failure.metadata["bundle"], "VERSION_OLDER", "an order used again")
    failure = refused(lambda: world.call("UnfreezePolicy",
                                         order=laws.order("small", "unfreeze", [alice, alice])),
                      "PERMISSION_DENIED")
    equal(failure.metadata["bundle"], "THRESHOLD", "one key to unfreeze")
    status = world.call("UnfreezePolicy", order=laws.order("small", "unfreeze", [alice, bob])).rollout
    equal(status.frozen, False, "status")
    world.read()
    world.router.settle()
    env.stop(world.router)


@suite.check("without a fresh timestamp nothing crosses, where the root wants one")
def _(env):
    law = Law(env, "clock", timestamps=True)
    world = World.__new__(World)
    world.env, world.law = env, law
    world.router = env.router("data-clock", law.path, law.extra())
    world.connect()
    for i in range(8):
        world.put("r%d" % i)
    refused(world.read, "PERMISSION_DENIED", "POLICY_EXPIRED")
    stamp = laws.timestamp("small", 1, law.texts[1], [law.clock])

    def refuse_stamp(bytes_, fault, **more):
        failure = refused(lambda: world.call("PushPolicy", timestamp=bytes_, **more),
                          "PERMISSION_DENIED", "BUNDLE_REFUSED")
        equal(failure.metadata["bundle"], fault, "the fault (%s)" % failure)

    refuse_stamp(laws.timestamp("small", 1, law.texts[1], [law.keys[0]]), "TIMESTAMP_BAD")
    refuse_stamp(laws.timestamp("small", 1, law.texts[1], [law.clock], lasts=-1), "TIMESTAMP_EXPIRED")
    refuse_stamp(laws.timestamp("small", 1, "other bytes", [law.clock]), "TIMESTAMP_OTHER")
    law.write(2, TIGHTER)
    refuse_stamp(laws.timestamp("small", 2, law.texts[2], [law.clock]), "TIMESTAMP_OTHER")
    world.call("PushPolicy", timestamp=stamp)
    world.read()
    refuse_stamp(b"", "TIMESTAMP_MISSING", bundle=law.bundle(2, 1))
    refuse_stamp(stamp, "TIMESTAMP_OTHER", bundle=law.bundle(2, 1))
    short = laws.timestamp("small", 2, law.texts[2], [law.clock], lasts=3)
    equal(world.call("PushPolicy", bundle=law.bundle(2, 1), timestamp=short).rollout.phase, SHADOW,
          "pushed with its timestamp")

    def stale():
        try:
            world.read()
        except rpc.Failure as failure:
            return failure.reason == "POLICY_EXPIRED"
        return False

    wait_until(stale, 10, "frozen for want of a timestamp")
    world.call("PushPolicy", timestamp=laws.timestamp("small", 2, law.texts[2], [law.clock]))
    world.read()
    world.kill()
    world.restart()
    world.read()
    env.stop(world.router)


# ---- crashes ----

@suite.check("kill -9 in every stage: the roll-out is where it was, and goes on")
def _(env):
    world = World(env, "crash", hold=3)
    law = world.law

    def same_after_kill(what):
        before = world.status()
        world.kill()
        world.restart()
        after = world.status()
        for field in ("phase", "paused_phase", "change", "step", "steps", "percent"):
            equal(getattr(after, field), getattr(before, field), "%s after a kill in %s" % (field, what))
        equal(list(after.regions), list(before.regions), "regions after a kill in " + what)
        equal(after.enforced.sha256, before.enforced.sha256, "in force after a kill in " + what)
        equal(after.candidate.sha256, before.candidate.sha256, "candidate after a kill in " + what)
        last = world.entries(ABROAD, "rollout")
        if after.phase != ENFORCED:
            equal(last[-1]["detail"]["action"], "start", "told again after a kill in " + what)
        world.put("after-kill")

    law.write(2, TIGHTER)
    world.push(law.bundle(2, 1))
    same_after_kill("shadow")
    world.call("PauseRollout")
    same_after_kill("a pause")
    world.call("ResumeRollout")
    world.until(lambda s: s.phase == CANARY, what="canary")
    same_after_kill("canary")
    world.until(lambda s: s.phase == ENFORCED, what="enforced")
    same_after_kill("force")
    equal(world.status().enforced.version, 2, "in force, with the old file")
    law.write(3, NOTHING)
    world.push(law.bundle(3, 2))
    world.until(lambda s: s.phase == ABORTED, what="aborted")
    same_after_kill("an abort")
    law.write(4, TIGHTER + LOOSER)
    world.push(law.bundle(4, 2))
    world.until(lambda s: s.phase == REGIONS, what="regions")
    same_after_kill("regions")
    world.until(lambda s: s.phase == ENFORCED, what="enforced", seconds=60)
    equal(world.status().enforced.version, 4, "in force")
    world.router.published(env.api, HOME)
    done = env.run("audit", "verify", "--log", world.router.log_dir(HOME))
    equal(done.returncode, 0, done.stdout + done.stderr)
    env.stop(world.router)


@suite.check("kill -9 at any moment: never half, never backwards")
def _(env):
    world = World(env, "random", hold=1)
    law = world.law
    seed = int(os.environ.get("DOMICILE_SEED", random.randrange(1 << 30)))
    print("# seed %d" % seed, flush=True)
    dice = random.Random(seed)
    version, in_force = 1, 1
    for round_ in range(int(os.environ.get("DOMICILE_ROUNDS", "12"))):
        status = world.status()
        true(status.enforced.version >= in_force, "back from %d to %d" % (in_force, status.enforced.version))
        in_force = status.enforced.version
        equal(status.enforced.sha256.hex(), sha256(law.texts[in_force]), "the bytes in force")
        if status.phase in (ENFORCED, ABORTED):
            version = status.highest_version + 1
            law.write(version, dice.choice([TIGHTER, LOOSER, [], NOTHING]))
            bundle = law.bundle(version, in_force)
        else:
            bundle = None
        timer = threading.Timer(dice.uniform(0, 1.5), world.router.process.kill)
        timer.start()
        try:
            if bundle is not None:
                world.push(bundle)
            while world.router.process.poll() is None:
                dice.choice([lambda: world.traffic(1), lambda: world.traffic(4),
                             lambda: world.call("PromoteRollout")])()
        except rpc.Failure as failure:
            true(failure.code in ("UNAVAILABLE", "FAILED_PRECONDITION", "CANCELLED", "INTERNAL"), failure)
        timer.join()
        world.router.process.wait()
        env.leave(world.router)
        world.restart()
        after = world.status()
        true(after.enforced.version in (in_force, version), after)
        true(after.highest_version in (version, version - 1), after)
    world.router.published(env.api, HOME)
    done = env.run("audit", "verify", "--log", world.router.log_dir(HOME))
    equal(done.returncode, 0, done.stdout + done.stderr)
    # Every access says which policy decided it, and that one was told before.
    all_entries = [json.loads(r) for _, r in entries(env, world.router, HOME)]
    for i, entry in enumerate(all_entries):
        if entry["type"] in ("access", "deny") and "index" in entry["policy"]:
            told = all_entries[entry["policy"]["index"]]
            true(entry["policy"]["index"] < i, "told after")
            equal(told["policy"]["version"], entry["policy"]["version"], "told under another version")
    env.stop(world.router)


@suite.check("an older file does not start, a newer one does where files are taken")
def _(env):
    law = Law(env, "files")
    path = os.path.join(law.folder, "in-use.cfg")

    def write(version, changes=()):
        law.write(version, list(changes))
        shutil.copy(law.file(version), path)

    write(1)
    router = env.router("data-files", path)
    caller = env.client(router, "live-feed", HOME)
    write(2, TIGHTER)
    equal(caller.call(POLICY_SERVICE + "ReloadPolicy").version, 2, "reloaded")
    env.stop(router)
    for version, changes, words in ((1, (), "older version 1"), (2, NOTHING, "other bytes")):
        write(version, changes)
        done = env.run("serve", "--config", router.config, "--check")
        true(done.returncode == 1 and words in done.stderr, done.stderr)
    write(3)
    router.start()
    caller = env.client(router, "live-feed", HOME)
    equal(caller.call(POLICY_SERVICE + "GetPolicyStatus").version, 3, "the newer file")
    # In development a plain policy is rolled out too.
    law.write(4, TIGHTER)
    pushed = caller.call(POLICY_SERVICE + "PushPolicy", bundle=law.texts[4].encode()).rollout
    equal((pushed.phase, pushed.signed_only), (SHADOW, False), "pushed plain")
    write(5, TIGHTER)
    refused(lambda: caller.call(POLICY_SERVICE + "ReloadPolicy"), "FAILED_PRECONDITION", "ROLLOUT_STATE")
    env.stop(router)


@suite.check("rollback: the old content as a new version")
def _(env):
    law = Law(env, "back")
    law.write(2, TIGHTER)
    out = law.file(3)
    low = env.run("policy", "rollback", law.file(1), "--version", "1", "--out", out)
    true(low.returncode == 1 and "higher" in low.stderr, low.stderr)
    equal(env.run("policy", "rollback", law.file(1), "--version", "3", "--out", out).returncode, 0,
          "rollback")
    text = open(out, encoding="utf-8").read()
    equal(text.replace("version = 3L", "version = 1L"), law.texts[1], "the old content")
    law.texts[3] = text
    plan = json.loads(law.plan(2, 3)[1])
    true(plan["loosens"], "taking a tightening back is a loosening")


@suite.check("watching: every change is told, and the end of the server too")
def _(env):
    world = World(env, "watch", hold=1)
    law = world.law
    law.write(2, TIGHTER)
    seen = []
    ended = []

    def watch():
        caller = world.router.client(env.api, "live-feed", HOME)
        try:
            for message in caller.stream(POLICY_SERVICE + "WatchRollout", timeout=60):
                seen.append((message.rollout.phase, message.rollout.requests))
        except rpc.Failure as failure:
            ended.append(failure.code)
        caller.close()

    thread = threading.Thread(target=watch)
    thread.start()
    wait_until(lambda: seen, 10, "the first message")
    world.push(law.bundle(2, 1))
    world.until(lambda s: s.phase == ENFORCED, what="enforced")
    wait_until(lambda: seen[-1][0] == ENFORCED, 10, "the last change")
    phases = [p for i, (p, _) in enumerate(seen) if i == 0 or seen[i - 1][0] != p]
    equal(phases, [ENFORCED, SHADOW, CANARY, ENFORCED], "phases as watched")
    true(any(n > 0 for p, n in seen if p == SHADOW), "counters are told too")
    process = subprocess.Popen([env.domicile, "policy", "rollout", "status", "--watch", "--format",
                                "json"], stdout=subprocess.PIPE, text=True,
                               env=dict(os.environ, DOMICILE_ADDRESS=world.router.address,
                                        DOMICILE_SERVICE="live-feed", DOMICILE_REGION=HOME))
    line = json.loads(process.stdout.readline())
    equal((line["phase"], line["enforced"]["version"]), ("enforced", 2), "as the tool tells it")
    equal(env.stop(world.router), 0, "a drain with watchers")
    process.wait(timeout=10)
    process.stdout.close()
    thread.join(10)
    equal(ended, ["UNAVAILABLE"], "how the watch ended")


@suite.check("64 may watch, and the next is told to come later")
def _(env):
    world = env.world
    streams = []
    for _ in range(64):
        streams.append(world.admin.stream(POLICY_SERVICE + "WatchRollout", timeout=60))
        next(streams[-1])
    one_more = world.admin.stream(POLICY_SERVICE + "WatchRollout", timeout=60)
    refused(lambda: next(one_more), "RESOURCE_EXHAUSTED")
    streams.pop().close()
    again = []

    def let_in():
        stream = world.admin.stream(POLICY_SERVICE + "WatchRollout", timeout=60)
        try:
            next(stream)
        except rpc.Failure:
            return False
        again.append(stream)
        return True

    wait_until(let_in, 10, "a place for another watcher")
    for stream in streams + again:
        stream.close()


if __name__ == "__main__":
    suite.main(prepare)
