#!/usr/bin/python3
"""A policy that narrows where data may lie comes into force over a store full of records: from that
instant no read gives out what lies where it may not, within a minute the bytes are physically gone
from those regions and a receipt in their logs says so; a record whose home region is another now has
moved there; a policy that widens copies in the background; and kill -9 at any moment changes nothing
of all that.

    tighten_e2e.py [PART OF A CHECK'S NAME]     DOMICILE_TEST_LONG=1: more rounds of kill -9
"""
import itertools
import pathlib
import random
import statistics
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "lib"))
from harness import *  # noqa: E402,F403
from policytext import Copy  # noqa: E402
import records as made  # noqa: E402  (of tools/tour)

suite = Suite("tighten")
COUNT = 10000
BOUND_S = 60
GONE = "us-west-2"  # loses everything
OLD, NEW = "ap-south-1", "ap-south-2"  # the home region of Indian records, before and after
ROUNDS = 30 if os.environ.get("DOMICILE_TEST_LONG") else 8

PUBLIC = 'home = ("open_homes"); classes = ("public"); regions = ("*");'
US = 'regions = ("US"); lead = ("us-east-1", "us-west-2"); min_replicas = 2; },'
INDIA = 'regions = ("IN"); lead = ("ap-south-1", "ap-south-2"); min_replicas = 2; },'


class Policy(Copy):
    """The shipped policy, and the one that is narrower: nothing lies in GONE, and what is not public
    of Indian records lies in NEW only."""

    def __init__(self, folder):
        super().__init__(folder)
        names = sweeping.Where(_binary, str(self.path)).regions
        kept = ", ".join('"%s"' % n for n in names if n != GONE)
        self.public = 'home = ("open_homes"); classes = ("public"); regions = (%s);' % kept
        self.us = 'regions = ("us-east-1"); lead = ("us-east-1"); },'
        self.india = 'regions = ("%s"); lead = ("%s"); },' % (NEW, NEW)

    def narrow(self):
        self.change(PUBLIC, self.public)
        self.change(US, self.us)
        self.change(INDIA, self.india)
        self.bump()
        self.save()

    def widen(self):
        self.change(self.public, PUBLIC)
        self.change(self.us, US)
        self.change(self.india, INDIA)
        self.bump()
        self.save()

    def where(self):
        return sweeping.Where(_binary, str(self.path))


_binary = None


def prepare(env):
    global _binary
    _binary = env.domicile
    where = sweeping.Where(env.domicile, str(POLICY))
    homes = set(where.homes_with_placement("user")) & set(where.homes_with_placement("live_room"))
    env.homes = ["IN", "DE", "US", "JP", "BR", "SE", "IN", "GB"]
    true(set(env.homes) <= homes, "homes of these checks")


def reload(env, router, version):
    caller = env.client(router, "operator", "eu-central-1")
    equal(caller.call(POLICY_SERVICE + "ReloadPolicy", timeout=60).version, version, "version")


def status(env, router):
    caller = rpc.Client(env.api, router.address, "operator", "eu-central-1")
    try:
        got = caller.call(POLICY_SERVICE + "GetPolicyStatus")
    finally:
        caller.close()
    return {p.region: p for p in got.placement}


def is_through(env, router):
    placed = 1  # PLACEMENT_STAGE_PLACED
    return all(p.stage == placed and p.remaining == 0 and p.owed == 0 and p.unpurged == 0
               for p in status(env, router).values())


def wait_through(env, router, seconds):
    began = time.monotonic()
    wait_until(lambda: is_through(env, router), seconds, "everything placed, shipped and purged")
    return time.monotonic() - began


class Reader(threading.Thread):
    """Reads on every path, as fast as it can, and keeps who served under which version."""

    def __init__(self, env, router, service, region, records, fields):
        super().__init__()
        self.caller = env.client(router, service, region)
        self.records, self.fields = records, fields
        self.region, self.seen, self.problems = region, [], []
        self.stop = threading.Event()

    def one(self, rng):
        record = rng.choice(self.records)
        path = rng.randrange(4)
        if path == 0:
            got = self.caller.get(record.kind, record.id, purpose="serve", home=record.home,
                                  fields=self.fields)
            return [(got.decision, bool(got.record.fields))]
        if path == 1:  # a replica, however far behind
            got = self.caller.get(record.kind, record.id, purpose="serve", fields=self.fields,
                                  freshness={"max_staleness_ms": 1 << 40})
            return [(got.decision, bool(got.record.fields))]
        if path == 2:
            keys = [{"kind": r.kind, "id": r.id, "home": r.home}
                    for r in rng.sample(self.records, 8)]
            got = self.caller.call(RECORD + "BatchGetRecords", keys=keys, purpose="serve",
                                   fields=self.fields)
            return [(r.found.decision, bool(r.found.record.fields)) for r in got.results
                    if r.HasField("found")]
        pages = list(self.caller.stream(RECORD + "ListRecords", kind=record.kind,
                                        home=record.home, purpose="serve", fields=self.fields,
                                        page_size=50, pages_max=2))
        return [(p.decision, any(r.fields for r in p.records)) for p in pages]

    def run(self):
        rng = random.Random(self.region)
        while not self.stop.is_set():
            try:
                for decision, gave in self.one(rng):
                    if gave:
                        self.seen.append((decision.policy_version, decision.served_region))
            except rpc.Failure as failure:
                if failure.code != "UNAVAILABLE":
                    self.problems.append("%s: %s" % (failure.code, failure))
            except Exception as error:  # noqa: BLE001: told by the check
                self.problems.append("%s: %s" % (type(error).__name__, error))
                return


def purge_receipts(env, router, region, version):
    out = []
    all_entries = [raw for _, raw in entries(env, router, region)]
    for raw in all_entries:
        entry = json.loads(raw)
        if entry["type"] == "purge" and entry["detail"].get("cause") == "placement" \
                and entry["policy"]["version"] == version:
            equal(entry["detail"]["region"], region, "region of the receipt")
            pointed = json.loads(all_entries[entry["policy"]["index"]])
            equal((pointed["type"], pointed["policy"]["version"]), ("policy", version),
                  "the entry that the receipt points to")
            out.append(entry["detail"]["rows"])
    return out


def verify(env, router, region):
    router.published(env.api, region)
    done = env.run("audit", "verify", "--log", router.log_dir(region))
    equal(done.returncode, 0, "audit verify of %s: %s" % (region, done.stdout + done.stderr))


def sweep(env, router, policy, records, plain):
    result = sweeping.sweep(policy.where(), router.data, records, plain=plain)
    equal((result.wrong[:5], result.missing[:5]), ([], []), "sweep (%s)" % result.summary())
    return result


def tighten(env, count, plain):
    """Loads, tightens under load, looks at everything; gives the world back for more."""
    name = "plain" if plain else "sealed"
    policy = Policy(env.folder(name))
    extra = "test_plain = true;\nstore = { compression = \"none\"; };\n" if plain else ""
    router = env.router(name, policy=policy.path, extra=extra)
    records = made.generate(count, env.homes, seed=count)
    equal(tour.load(router, env.api, policy.where(), records), count, "acknowledged")
    router.settle()
    before = policy.where()
    rooms = [r for r in records if r.kind == "live_room" and r.home != "IN"]
    indian = [r for r in records if r.kind == "live_room" and r.home == "IN"]
    readers = [Reader(env, router, "live-feed", GONE, rooms, ["cover_url", "category"]),
               Reader(env, router, "live-feed", OLD, indian, ["title", "cover_url"])]
    for reader in readers:
        reader.start()
    wait_until(lambda: all(len(r.seen) > 20 for r in readers), what="reads before")
    policy.narrow()
    writer = env.client(router, "room-service", OLD)
    fields = {"title": "once", "cover_url": "c"}
    once = writer.put("live_room", "once", "IN", fields, request_id="before-the-move")
    reload(env, router, 2)
    marks = [len(r.seen) for r in readers]
    took = wait_through(env, router, BOUND_S)
    wait_until(lambda: all(len(r.seen) > m + 50 for r, m in zip(readers, marks)),
               what="reads after")
    for reader in readers:
        reader.stop.set()
        reader.join()
        equal(reader.problems[:3], [], "problems of the reader in " + reader.region)
    true(GONE in {s for v, s in readers[0].seen if v == 1}, "nothing was read there before")
    true(GONE not in {s for v, s in readers[0].seen if v == 2}, "read from where it may not lie")
    true(any(v == 2 for v, _ in readers[1].seen), "no read of an Indian room under version 2")
    where = policy.where()
    stays = sum(1 for r in records if GONE in before.regions_of(r))
    stays += 1  # the cover of the room that is written once
    equal(sum(purge_receipts(env, router, GONE, 2)), stays, "rows of the receipts in " + GONE)
    moved = sum(1 for r in records if r.home == "IN") + 1
    again = writer.put("live_room", "once", "IN", fields, request_id="before-the-move")
    equal((again.version, again.replayed), (once.version, True), "a retry after the move")
    equal(writer.put("live_room", "once", "IN", fields).version, once.version + 2, "the next write")
    got = status(env, router)
    equal((got[OLD].rehomed, got[GONE].purged), (moved, stays), "status")
    equal(sum(p.without_place for p in got.values()), 0, "records without a place")
    true(sum(purge_receipts(env, router, OLD, 2)) >= moved, "receipts in " + OLD)
    for region in (GONE, OLD, NEW, "eu-central-1"):
        verify(env, router, region)
    result = sweep(env, router, policy, records, plain)
    print("# %s: %d records, %d regions, through %.1f s after the reload; %s" % (
        name, count, len(where.regions), took, result.summary()), flush=True)
    for record in random.Random(1).sample(indian, 5):
        caller = env.client(router, "room-service", NEW)
        answer = caller.get("live_room", record.id, purpose="serve", home="IN")
        equal(answer.decision.served_region, NEW, "served by")
        equal(answer.record.version, 2, "version")
        equal(rpc.values(answer.record)["title"], record.fields["title"], "title")
    return policy, router, records


@suite.check("a tightening over 10,000 records: unread at once, gone with a receipt in a minute")
def _(env):
    env.world = tighten(env, COUNT, plain=False)


def put_latencies(env, router, number, stop=lambda i: False):
    caller = env.client(router, "room-service", "us-east-1")
    out = []
    for i in range(number):
        began = time.perf_counter()
        caller.put("live_room", "lat-%d" % (i % 50), "US", {"title": "x", "cover_url": "y"})
        out.append(time.perf_counter() - began)
        if stop(i):
            break
    return out


@suite.check("a widening copies at its rate and leaves room for others; its copies abroad are logged")
def _(env):
    policy, router, records = env.world
    calm = put_latencies(env, router, 300)
    policy.widen()
    reload(env, router, 3)
    began = time.monotonic()
    busy = put_latencies(env, router, 3000,
                         lambda i: i % 20 == 19 and i > 100 and is_through(env, router))
    wait_through(env, router, BOUND_S)
    took = time.monotonic() - began
    sweep(env, router, policy, records, False)
    where = policy.where()
    german = [r for r in records if r.home == "DE"]
    logged = [json.loads(b) for _, b in entries(env, router, "eu-central-1")]
    copies = [e for e in logged if e["type"] == "placement"]
    homes = {e["record"]["home"] for e in copies}
    true("DE" in homes, "no entry of a copy abroad")
    equal(len([e for e in copies if e["record"]["home"] == "DE"]),
          sum(1 for r in german if GONE in where.regions_of(r)),
          "entries for German records")
    true(all([r["region"] for r in e["transfer"]["replicas"]] == [GONE] and
             e["detail"]["action"] == "copy" and e["policy"]["version"] == 3 and
             e["record"]["id"].startswith("hmac:") for e in copies), "entries")
    verify(env, router, "eu-central-1")
    again = put_latencies(env, router, 300)  # the machine is not ours alone
    a = max(statistics.median(calm), statistics.median(again))
    b = statistics.median(busy)
    print("# widening of %d records through after %.1f s; a write at the median %.2f ms without, "
          "%.2f ms meanwhile (ratio %.2f)" % (len(records), took, a * 1e3, b * 1e3, b / a),
          flush=True)
    true(b < 3 * a + 0.002, "writes got much slower: %.2f ms, %.2f ms without" % (b * 1e3, a * 1e3))
    equal(env.stop(router), 0, "exit code")


@suite.check("the same without encryption, where bytes can be looked for themselves")
def _(env):
    policy, router, records = tighten(env, 1500, plain=True)
    equal(env.stop(router), 0, "exit code")


@suite.check("a list that is under way when another policy comes ends, and goes on by its token")
def _(env):
    policy = Policy(env.folder("list"))
    router = env.router("list", policy=policy.path)
    writer = env.client(router, "room-service", "eu-north-1")
    for i in range(240):  # more than any buffer on the way takes
        writer.put("live_room", "list-%d" % i, "SE", {"title": "t", "description": "d" * 40000})
    reader = env.client(router, "room-service", "eu-north-1")

    def pages(token=""):
        return reader.stream(RECORD + "ListRecords", kind="live_room", home="SE", purpose="serve",
                             page_size=3, page_token=token)

    got, token = [], ""
    under_way = pages()
    page = next(under_way)
    policy.narrow()
    reload(env, router, 2)

    def rest():
        nonlocal token
        for page in itertools.chain([page_one], under_way):
            got.extend(r.id for r in page.records)
            equal(page.decision.policy_version, 1, "version of a page")
            token = page.next_page_token

    page_one = page
    failure = refused(rest, "UNAVAILABLE")
    true("policy" in str(failure) and token, "no word of the policy: %s" % failure)
    wait_through(env, router, BOUND_S)
    for page in pages(token):
        equal(page.decision.policy_version, 2, "version of a page")
        got.extend(r.id for r in page.records)
    equal(sorted(got), sorted("list-%d" % i for i in range(240)), "records")
    equal(env.stop(router), 0, "exit code")


# ---- kill -9 ----

class Writer(threading.Thread):
    """Writes Indian rooms, one number after another, and knows what was acknowledged."""

    def __init__(self, env, router, region, known):
        super().__init__()
        self.caller = rpc.Client(env.api, router.address, "room-service", region)
        self.known, self.problems, self.acked = known, [], 0
        self.stop = threading.Event()

    def run(self):
        rng = random.Random(len(self.known))
        while not self.stop.is_set():
            id = "kill-%d" % rng.randrange(120)
            last = self.known.setdefault(id, {"acked": None, "unknown": []})
            number = (last["unknown"] or [last["acked"][1] if last["acked"] else 0])[-1] + 1
            last["unknown"].append(number)
            try:
                got = self.caller.put("live_room", id, "IN", {
                    "title": str(number), "cover_url": str(number), "owner_id": str(number)})
            except rpc.Failure as failure:
                if failure.code not in ("UNAVAILABLE", "CANCELLED", "DEADLINE_EXCEEDED"):
                    self.problems.append("%s: %s" % (failure.code, failure))
                if failure.code == "UNAVAILABLE" and "way" not in str(failure) \
                        and "changed" not in str(failure):
                    return
                continue
            if last["acked"] and got.version <= last["acked"][0]:
                self.problems.append("version %d after %d" % (got.version, last["acked"][0]))
            last["acked"], last["unknown"] = (got.version, number), []
            self.acked += 1


def check_known(env, router, known, lead):
    caller = env.client(router, "room-service", lead)
    for id, last in known.items():
        if last["acked"] is None:
            continue
        answer = caller.get("live_room", id, purpose="serve", home="IN")
        values = rpc.values(answer.record)
        equal(len(set(values.values())), 1, "numbers of %s" % id)
        allowed = {last["acked"][1], *last["unknown"]}
        true(int(values["title"]) in allowed, "%s is %s, one of %s wanted" % (
            id, values["title"], sorted(allowed)))
        true(answer.record.version >= last["acked"][0], "version of " + id)
        equal(answer.decision.served_region, lead, "served by")


@suite.check("kill -9 while records move there and back: nothing acknowledged is lost, one home each")
def _(env):
    rng = random.Random(20261125)
    policy = Policy(env.folder("kill"))
    router = env.router("kill", policy=policy.path,
                        extra='store = { purge_ms = 400; place_per_s = 300; };\n')
    known, acked = {}, 0
    narrow = False
    for number in range(ROUNDS):
        writers = [Writer(env, router, r, known) for r in (OLD,)]
        for writer in writers:
            writer.start()
        time.sleep(0.3 if number else 1.0)  # some load before the change
        policy.widen() if narrow else policy.narrow()
        narrow = not narrow
        reload(env, router, number + 2)
        time.sleep(rng.random() * 0.25)     # the moment of death is the point
        router.process.kill()
        router.process.wait()
        for writer in writers:
            writer.stop.set()
            writer.join()
            equal(writer.problems[:3], [], "problems of a writer in round %d" % number)
            acked += writer.acked
        env.leave(router)
        router.start()
        wait_through(env, router, BOUND_S)
        check_known(env, router, known, NEW if narrow else OLD)
    print("# %d rounds, %d writes acknowledged, %d records" % (ROUNDS, acked, len(known)),
          flush=True)
    true(acked > ROUNDS * 10, "hardly any write was acknowledged")
    for region in (OLD, NEW, GONE):
        verify(env, router, region)
    if not narrow:
        policy.narrow()
        reload(env, router, ROUNDS + 2)
        wait_through(env, router, BOUND_S)
    found = sweeping.Region(os.path.join(router.data, GONE))
    blind = sweeping.read_keys(os.path.join(router.data, "keys"), GONE)
    for id in known:
        true(sweeping.row_key(blind, "live_room", id, False) not in found.keys,
             "the key of %s in %s" % (id, GONE))
    equal(env.stop(router), 0, "exit code")


suite.main(prepare)
