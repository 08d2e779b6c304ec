#!/usr/bin/python3
"""kill -9 under load, again and again: what was acknowledged is there, the log has every access that
was acknowledged, each earlier checkpoint is the beginning of the log, and the replicas come to rest
in step.

    crash_e2e.py [ROUNDS [SEED]]        20 rounds; DOMICILE_TEST_LONG=1: 100

One round: threads write, read across borders and delete; the process is killed at a random moment;
it is started again, and everything that any round was ever told is checked.
"""
import pathlib
import random
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "lib"))
from harness import *  # noqa: E402,F403
from policytext import small_policy  # noqa: E402

ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 100 if os.environ.get(
    "DOMICILE_TEST_LONG") else 20
SEED = int(sys.argv[2]) if len(sys.argv) > 2 else 20261122
del sys.argv[1:]
REGIONS = {"eu-north-1": "SE", "eu-west-1": "IE", "eu-west-2": "GB", "us-east-1": "US"}
HOMES = {"SE": ("eu-north-1", ["eu-north-1", "eu-west-1"]), "GB": ("eu-west-2", ["eu-west-2"]),
         "US": ("us-east-1", ["us-east-1"])}
KEYS_PER_WRITER = 12
suite = Suite("crash")


class Record:
    """What one writer knows of its record: nobody else writes it."""

    def __init__(self, id, home):
        self.id, self.home = id, home
        self.acked = None    # (version, number); number None: deleted
        self.unknown = []    # numbers sent after it whose outcome nobody told; None: a delete


class Load:
    """Threads against one life of the router."""

    def __init__(self, env, router, round):
        self.env, self.router, self.round = env, router, round
        self.problems = []
        self.receipts = []  # (region, index, leaf hash)
        self.acked = 0
        self.threads = []
        self.stop = threading.Event()

    def spawn(self, work, *arguments):
        def run():
            try:
                work(*arguments)
            except rpc.Failure as failure:
                if failure.code not in ("UNAVAILABLE", "CANCELLED", "DEADLINE_EXCEEDED"):
                    self.problems.append("%s %s: %s" % (failure.code, failure.reason, failure))
            except Exception as error:  # noqa: BLE001: told with the round
                self.problems.append("%s: %s" % (type(error).__name__, error))

        self.threads.append(threading.Thread(target=run))
        self.threads[-1].start()

    def note(self, receipt):
        if receipt.leaf_hash:
            region = receipt.origin.rsplit("/", 1)[1]
            self.receipts.append((region, receipt.index, bytes(receipt.leaf_hash)))

    def write(self, records, region, rng):
        caller = rpc.Client(self.env.api, self.router.address, "room-service", region)
        number = self.round * 1000000
        while not self.stop.is_set():
            record = rng.choice(records)
            number += 1
            delete = rng.random() < 0.1 and record.acked and record.acked[1] is not None \
                and not record.unknown and region == HOMES[record.home][0]
            record.unknown.append(None if delete else number)
            if delete:
                got = caller.call(RECORD + "DeleteRecord", kind="live_room", id=record.id,
                                  home=record.home, purpose="serve")
                record.acked = (got.version, None)
            else:
                # All classes say the same number: a part of another write would show. Abroad
                # the network class may not be written.
                fields = {"title": str(number), "cover_url": str(number),
                          "owner_id": str(number), "description": "x" * rng.randrange(2000)}
                if region == HOMES[record.home][0]:
                    fields["ip"] = str(number)
                got = caller.put("live_room", record.id, record.home, fields)
                if record.acked and got.version <= record.acked[0]:
                    raise AssertionError("version %d after %d" % (got.version, record.acked[0]))
                record.acked = (got.version, number)
            record.unknown.clear()
            self.note(got.receipt)
            self.acked += 1

    def read(self, records, region, rng):
        caller = rpc.Client(self.env.api, self.router.address, "moderation", region)
        while not self.stop.is_set():
            record = rng.choice(records)
            fields = rng.choice((["title"], ["title", "ip"], ["ip"]))
            try:
                got = caller.get("live_room", record.id, purpose="moderation", home=record.home,
                                 fields=fields)
                self.note(got.receipt)
            except rpc.Failure as failure:
                if failure.code not in ("NOT_FOUND", "PERMISSION_DENIED"):
                    raise


def check_record(env, router, record):
    """The record is as its last acknowledged write left it, or as a later one that was not
    acknowledged; and the same in every region that holds a part of it."""
    lead, holders = HOMES[record.home]
    seen = None
    for region in holders:
        caller = env.caller(router, "room-service", region)
        try:
            got = caller.get("live_room", record.id, purpose="serve", home=record.home).record
            values = rpc.values(got)
            numbers = {values[n] for n in ("title", "cover_url", "owner_id")} | (
                {values["ip"]} if "ip" in values else set())
            equal(len(numbers), 1, "numbers in %s of %s" % (region, record.id))
            now = (got.version, int(numbers.pop()))
        except rpc.Failure as failure:
            equal(failure.code, "NOT_FOUND", "code for %s in %s" % (record.id, region))
            now = None
        if seen is None:
            seen = (now,)
        equal(now, seen[0], "%s in %s, unlike %s" % (record.id, region, lead))
    now, = seen
    acked, unknown = record.acked, record.unknown
    if now is None:
        true(acked is None or acked[1] is None or None in unknown,
             "%s is gone; acknowledged %s" % (record.id, acked))
    else:
        number = acked[1] if acked else None
        true(now[1] == number and now[0] == acked[0] if number == now[1] else now[1] in unknown,
             "%s has %s; acknowledged %s, unknown %s" % (record.id, now, acked, unknown))
        true(acked is None or now[0] >= acked[0], "%s: version %d after %s" % (record.id, now[0],
                                                                             acked))
    # From here on what is there is what counts.
    if now is not None:
        record.acked = now
    elif acked is not None:
        record.acked = (acked[0], None)
    record.unknown.clear()
    return now


def check_public_replicas(env, router, record, now):
    """The public part is in every region: read from where only that lies."""
    for region in REGIONS:
        if region in HOMES[record.home][1]:
            continue
        caller = env.caller(router, "live-feed", region)
        try:
            got = caller.get("live_room", record.id, purpose="serve", home=record.home,
                             fields=["cover_url"])
            equal((got.decision.served_region, rpc.values(got.record)),
                  (region, {"cover_url": str(now[1])} if now else None), "public part")
            equal(got.record.version, now[0], "version of the public part in " + region)
        except rpc.Failure as failure:
            # Of what is not there, a region that may not ask its home hears no more than that.
            true(failure.code in ("NOT_FOUND", "PERMISSION_DENIED") and now is None,
                 "%s of %s from %s: %s" % (failure.code, record.id, region, failure))


def check_logs(env, router):
    """Every receipt ever given is in its log; each log verifies, and begins with each earlier one."""
    for region in REGIONS:
        router.published(env.api, region)
        log = env.run("audit", "verify", "--log", router.log_dir(region))
        equal(log.returncode, 0, "audit verify of %s: %s" % (region, log.stdout))
        found = dict(entries(env, router, region))
        equal(sorted(found), list(range(len(found))), "indexes of " + region)
        ids = [json.loads(e)["id"] for e in found.values()]
        equal(len(ids), len(set(ids)), "ids of " + region)
        for index, leaf in env.receipts[region]:
            true(index in found, "%s: receipt %d is beyond the log's %d" % (region, index,
                                                                            len(found)))
            true(leaf_hash(found[index]) == leaf, "%s: entry %d is another" % (region, index))
        for old in env.checkpoints[region][-3:] + env.checkpoints[region][:1]:
            done = env.run("audit", "verify", "--log", router.log_dir(region), "--old", old)
            equal(done.returncode, 0, "audit verify --old of %s: %s" % (region, done.stdout))


def keep_checkpoints(env, router, round):
    folder = env.folder("checkpoints")
    for region in REGIONS:
        path = os.path.join(folder, "%s-%d" % (region, round))
        shutil.copy(os.path.join(router.log_dir(region), "checkpoint"), path)
        env.checkpoints[region].append(path)


def start(env):
    router = env.router("data", env.policy)
    env.callers = {}

    def caller(of, service, region):
        if (service, region) not in env.callers:
            env.callers[(service, region)] = env.client(of, service, region)
        return env.callers[(service, region)]

    env.caller = caller
    return router


def play(env, round):
    """One life under load, and its end."""
    router, rng = env.router_now, env.rng
    load = Load(env, router, round)
    everything = [r for group in env.records.values() for r in group]
    for (home, n), group in env.records.items():
        region = HOMES[home][0] if n % 3 else rng.choice(sorted(REGIONS))
        load.spawn(load.write, group, region, random.Random(rng.random()))
    for region in ("us-east-1", "eu-west-2"):
        abroad = [r for r in everything if r.home == "SE"]
        load.spawn(load.read, abroad, region, random.Random(rng.random()))
    # The moment is the point: not an event, but any time at all.
    load.stop.wait(rng.uniform(0.05, 0.8))
    router.process.kill()
    router.process.wait()
    load.stop.set()
    for thread in load.threads:
        thread.join()
    env.leave(router)
    for region, index, leaf in load.receipts:
        env.receipts[region].append((index, leaf))
    equal(load.problems[:3], [], "answers under load")
    env.acked += load.acked
    env.crossings += len(load.receipts)


def round_of(env, round):
    play(env, round)
    router = env.router_now = start(env)
    router.settle()
    for group in env.records.values():
        for record in group:
            check_public_replicas(env, router, record, check_record(env, router, record))
    check_logs(env, router)
    keep_checkpoints(env, router, round)


def prepare(env):
    env.policy = small_policy(env.folder("policy"))
    env.rng = random.Random(SEED)
    env.records = {(home, n): [Record("%s-%d-%d" % (home, n, k), home)
                               for k in range(KEYS_PER_WRITER)]
                   for home, writers in (("SE", 4), ("GB", 1), ("US", 1)) for n in range(writers)}
    env.receipts = {region: [] for region in REGIONS}
    env.checkpoints = {region: [] for region in REGIONS}
    env.acked = env.crossings = 0
    env.router_now = start(env)
    router = env.router_now
    for region in REGIONS:
        wait_published(env, router, region)
    keep_checkpoints(env, router, 0)


for number in range(1, ROUNDS + 1):
    suite.add("round %d of %d, seed %d" % (number, ROUNDS, SEED), round_of, number)


@suite.check("the rounds did something: writes were acknowledged, borders were crossed")
def _(env):
    print("# %d writes and %d crossings acknowledged" % (env.acked, env.crossings))
    true(env.acked > 20 * ROUNDS, "%d writes" % env.acked)
    true(env.crossings > 10 * ROUNDS, "%d crossings" % env.crossings)


@suite.check("every checkpoint kept on the way is the beginning of the last log")
def _(env):
    router = env.router_now
    for region in REGIONS:
        for old in env.checkpoints[region]:
            done = env.run("audit", "verify", "--log", router.log_dir(region), "--old", old)
            equal(done.returncode, 0, "audit verify --old of %s: %s" % (region, done.stdout))


@suite.check("these checks see a lost write, a lost entry and a log gone back")
def _(env):
    router = env.router_now
    record = next(r for group in env.records.values() for r in group
                  if r.acked and r.acked[1] is not None)
    known = record.acked

    def must_fail(action, what):
        try:
            action()
        except AssertionError:
            return
        raise RuntimeError("nobody missed " + what)

    for wrong in ((known[0] + 1, known[1] + 1), (known[0] + 1, known[1]), (known[0], known[1] - 1)):
        record.acked = wrong
        must_fail(lambda: check_record(env, router, record), "write %s" % (wrong,))
    record.acked = known
    check_record(env, router, record)
    receipts = env.receipts["eu-north-1"]
    for wrong in ((1 << 40, b"x" * 32), (receipts[0][0], b"x" * 32)):
        receipts.append(wrong)
        must_fail(lambda: check_logs(env, router), "entry %d" % wrong[0])
        receipts.pop()
    kept = env.checkpoints["eu-north-1"]
    kept.append(env.checkpoints["eu-west-1"][-1])
    must_fail(lambda: check_logs(env, router), "a checkpoint of another log")
    kept.pop()


@suite.check("after the last round it stops cleanly")
def _(env):
    equal(env.stop(env.router_now), 0, "exit code")


suite.main(prepare)
