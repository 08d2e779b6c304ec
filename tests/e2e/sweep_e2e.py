#!/usr/bin/python3
"""The residency sweep as a test: 300 records, some changed and some deleted, the router restarted
so that they lie in SST files, then every file of every region searched, for each compression; and
once without encryption, where the plain values must be found where they may lie and nowhere else.

    sweep_e2e.py [PART OF A CHECK'S NAME]
"""
import pathlib
import random
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "lib"))
from harness import *  # noqa: E402,F403
from policytext import small_policy  # noqa: E402
import records as made  # noqa: E402  (of tools/tour)

suite = Suite("sweep")
COUNT = 300
STORE = 'store = { compression = "%s"; purge_ms = 100; };\n'


def prepare(env):
    env.where = sweeping.Where(env.domicile, str(POLICY))
    env.homes = sorted(set(env.where.homes_with_placement("user"))
                       & set(env.where.homes_with_placement("live_room")))


def lead_client(env, router, record):
    lead = env.where.homes[record.kind][record.home]["lead"]
    return env.client(router, tour.WRITERS[record.kind], lead)


def fill(env, router, seed):
    """Loads, changes a fifth, deletes a tenth. Returns the records that live and those that went."""
    records = made.generate(COUNT, env.homes, seed)
    equal(tour.load(router, env.api, env.where, records), COUNT, "acknowledged")
    rng = random.Random("changes %d" % seed)  # another stream than that of the records
    changed = rng.sample(records, COUNT // 5)
    for record in changed:
        record.marks = {name: made.mark(rng) for name in record.marks}
        record.fields = {name: "%s %s anew" % (m, name) for name, m in record.marks.items()}
    tour.load(router, env.api, env.where, changed)
    gone = rng.sample([r for r in records if r not in changed], COUNT // 10)
    for record in gone:
        lead_client(env, router, record).call(
            RECORD + "DeleteRecord", kind=record.kind, id=record.id, home=record.home,
            purpose="serve")
    router.settle()
    return [r for r in records if r not in gone], gone


def sweep(env, router, live, gone, plain):
    result = sweeping.sweep(env.where, router.data, live, plain=plain)
    equal((result.wrong[:5], result.missing[:5]), ([], []), "sweep (%s)" % result.summary())
    equal(result.regions, len(env.where.regions), "regions")
    # What is deleted must not lie where it never might; whether its key is still told in a
    # MANIFEST where it might is no matter.
    again = sweeping.sweep(env.where, router.data, gone, plain=plain)
    equal(again.wrong[:5], [], "deleted records")
    return result


def sweep_compressed(env, compression):
    router = env.router(compression, extra=STORE % compression)
    live, gone = fill(env, router, seed=len(compression) * 7919)
    equal(env.stop(router), 0, "exit code")
    router = env.router(compression, extra=STORE % compression)
    router.settle()
    result = sweep(env, router, live, gone, plain=False)
    true(result.ssts >= result.regions, "only %d SST files: %s" % (result.ssts, result.summary()))
    true(result.keys_found > 0 and result.marks_found == 0, result.summary())
    true(result.bundles >= result.regions and result.runs > 0, result.summary())
    # The files are those of the codec that was asked for; entries are kept by zstd, or as they are.
    families = set()
    for root, _, names in os.walk(os.path.join(router.data, "eu-central-1", "db")):
        for name in names:
            if name.endswith(".sst"):
                shown = sweeping.run_tool(["sst_dump", "--file=" + os.path.join(root, name),
                                           "--show_properties", "--command=none"])
                want = {"none": "NoCompression", "snappy": "Snappy", "lz4": "LZ4",
                        "zstd": "ZSTD"}[compression]
                family = re.search(r"column family name: (\S+)", shown).group(1)
                families.add(family)
                if family == "audit" and compression != "none":
                    want = "ZSTD"
                true("compression algo: %s\n" % want in shown,
                     "%s (%s) is not %s" % (name, family, want))
    true({"rows", "audit"} <= families, "only files of %s" % sorted(families))
    equal(env.stop(router), 0, "exit code")
    shutil.rmtree(router.data)


for compression in ("none", "snappy", "lz4", "zstd"):
    suite.add("nothing lies where it may not, with compression %s" % compression,
              sweep_compressed, compression)


@suite.check("without encryption the plain marks lie in every permitted region and nowhere else")
def _(env):
    extra = "test_plain = true;\n" + STORE % "none"
    router = env.router("plain", extra=extra)
    live, gone = fill(env, router, seed=20261122)
    sweep(env, router, live, gone, plain=True)  # what is still in the write-ahead logs
    equal(env.stop(router), 0, "exit code")
    router = env.router("plain", extra=extra)
    router.settle()
    result = sweep(env, router, live, gone, plain=True)
    true(result.ssts >= result.regions, "only %d SST files" % result.ssts)
    true(result.marks_found > COUNT, result.summary())
    env.plain, env.plain_gone, env.plain_live = router, gone, live


def marks_of(folder, records):
    wanted = {m for r in records for m in r.marks.values()}
    return wanted & sweeping.Region(folder).marks


@suite.check("without encryption, what was deleted is physically gone soon after")
def _(env):
    folders = [os.path.join(env.plain.data, r) for r in env.where.regions]
    wait_until(lambda: not any(marks_of(f, env.plain_gone) for f in folders), seconds=60,
               what="no value of a deleted record in any file")
    log = [json.loads(b) for _, b in entries(env, env.plain, "eu-central-1")]
    true(any(e["type"] == "purge" for e in log), "no purge entry")


@suite.check("the sweep finds what it is shown: a value put where it may not lie, and one taken away")
def _(env):
    record = next(r for r in env.plain_live if r.kind == "user" and r.home == "DE")
    planted = os.path.join(env.plain.data, "us-east-1", "stray.tmp")
    with open(planted, "w", encoding="utf-8") as file:
        file.write(record.fields["email"])
    result = sweeping.sweep(env.where, env.plain.data, [record], plain=True)
    os.unlink(planted)
    equal(len(result.wrong), 1, "findings")
    true("us-east-1" in result.wrong[0] and "email" in result.wrong[0], result.wrong[0])
    absent = made.generate(1, ["DE"], seed=1)
    result = sweeping.sweep(env.where, env.plain.data, absent, plain=True)
    true(result.missing and not result.wrong, result.summary())


@suite.check("test_plain is refused on any address but loopback")
def _(env):
    folder = env.folder("refused")
    for address in ("0.0.0.0:0", "[::]:0", "192.0.2.1:0"):
        path = os.path.join(folder, "domicile.cfg")
        with open(path, "w", encoding="utf-8") as file:
            file.write('listen = "%s";\nidentity = "insecure-loopback";\ndata = "%s/data";\n'
                       'policy = "%s";\ntest_plain = true;\n'
                       % (address, folder, small_policy(folder)))
        done = env.run("serve", "--config", path)
        equal(done.returncode, 1, "exit code on " + address)
        true("loopback" in done.stderr, done.stderr)


suite.main(prepare)
