#!/usr/bin/python3
"""Faults close the border, not the house (P3, P6): a full disk, a disk that fails, turns read-only or
hangs, files and folders removed under the router, a key file that cannot be read, callers that go, clocks
that jump.

For each: crossings end with AUDIT_UNAVAILABLE in bounded time and health says NOT_SERVING for them;
reads within the jurisdiction go on as before; nothing that was acknowledged is lost; and service is
back by itself within two seconds of the disk's return.
"""
import contextlib
import ctypes
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "lib"))
from faults import *  # noqa: E402,F403
from harness import *  # noqa: E402,F403
from policytext import small_policy  # noqa: E402

suite = Suite("faults")


# ---- the disk ----

@suite.check("disk full: a tmpfs of a few MiB (P3)")
@root_only
def _(env):
    path = os.path.join(env.folder("full"), REGION)
    with mounted(env, "-t", "tmpfs", "-o", "size=24m,mode=700", "tmpfs", path=path):
        world = World(env, "full")
        true(not os.path.exists(os.path.join(path, "journal")), "a journal on a disk of so little room")
        filler = os.path.join(path, "filler")

        def fill():
            with open(filler, "wb", buffering=0) as f:
                with contextlib.suppress(OSError):
                    while f.write(b"x" * 65536) == 65536:
                        pass
                with contextlib.suppress(OSError):
                    while f.write(b"x" * 512) == 512:
                        pass

        # RocksDB has set a little aside for its log: tiles are what finds no room first.
        play(world, "disk full", None, fill, lambda: os.unlink(filler))


@suite.check("the disk fails every write with EIO, then works again")
@root_only
def _(env):
    with FaultFs(env, os.path.join(env.folder("eio"), REGION), "eio") as fs:
        found = play(World(env, "eio"), "EIO", "write", lambda: fs.say("eio"),
                     lambda: fs.say("ok"))
        true(any(e["type"] == "sink" and e["detail"]["state"] == "reopened"
                 for e in found.values()), "the outage is not in the log")


@suite.check("the file system turns read-only under the router, and writable again")
@root_only
def _(env):
    with FaultFs(env, os.path.join(env.folder("rofs"), REGION), "rofs") as fs:
        play(World(env, "rofs"), "read-only", "write", lambda: fs.say("erofs"),
             lambda: fs.say("ok"))


@suite.check("the disk hangs: no write and no sync returns")
@root_only
def _(env):
    with FaultFs(env, os.path.join(env.folder("hang"), REGION), "hang") as fs:
        world = World(env, "hang")
        found = play(world, "hang", "stall", lambda: fs.say("hang"), lambda: fs.say("ok"))
        true(any(e["type"] == "sink" and e["detail"]["state"] == "late" for e in found.values()),
             "an entry became durable after its caller had gone away unanswered; nothing says so")


@suite.check("the disk hangs while writes at home wait: they end too, and reads go on")
@root_only
def _(env):
    with FaultFs(env, os.path.join(env.folder("hang2"), REGION), "hang2") as fs:
        world = World(env, "hang2")
        fs.say("hang")
        began = time.monotonic()
        waiting = [world.writer.future(RECORD + "PutRecord", kind="live_room", id="w%d" % i,
                                       home="SE", purpose="serve",
                                       fields=[{"name": "title", "text": "t"}]) for i in range(50)]
        for one in waiting:
            equal(one.exception().code().name, "UNAVAILABLE", "code")
        true(4 < time.monotonic() - began < 8, "after %.1f s" % (time.monotonic() - began))
        refused(lambda: world.writer.put("live_room", "w", "SE", {"title": "t"}), "UNAVAILABLE")
        world.local()
        fs.say("ok")
        wait_until(lambda: world.health() == SERVING, 3, "health")
        world.writer.put("live_room", "w", "SE", {"title": "t"})
        world.nothing_lost()
        equal(env.stop(world.router), 0, "exit code")


@suite.check("I/O errors of the system's calls, by libfiu: syncs fail")
def _(env):
    preload = "/usr/lib/fiu/fiu_run_preload.so /usr/lib/fiu/fiu_posix_preload.so"
    fifo = os.path.join(env.folder("fiu-control"), "fifo")
    world = World(env, "fiu", dict(os.environ, LD_PRELOAD=preload, FIU_CTRL_FIFO=fifo))

    def fiu(command):
        prefix = "%s-%d" % (fifo, world.router.process.pid)
        subprocess.run(["fiu-ctrl", "-f", fifo, "-c", command, str(world.router.process.pid)],
                       check=True, env=dict(os.environ), timeout=20, stdout=subprocess.DEVNULL)
        true(os.path.exists(prefix + ".in"), "no control of libfiu")

    points = ["posix/io/sync/fsync", "posix/io/sync/fdatasync"]
    # libfiu's own thread does not know that SIGTERM is ours, so the end is a crash. An abort within a
    # library counts as one too; then the restart must be clean.
    try:
        play(world, "libfiu", None,
             lambda: [fiu("enable name=%s,failinfo=5" % p) for p in points],
             lambda: [fiu("disable name=%s" % p) for p in points], stop=signal.SIGKILL)
    except Exception:
        if world.router.process.poll() != -signal.SIGABRT:
            raise
        print("# a library aborted the process")
        world.again()


# ---- files under the router's feet ----

def exchange(one, other):
    here, flag = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(here, one.encode(), here, other.encode(), flag) != 0:
        raise OSError(ctypes.get_errno(), "renameat2")


def put_file_in_place(folder, where):
    """The folder becomes `where`/gone, a file is in its place. At once: what has gone would else be
    written again meanwhile."""
    gone = os.path.join(where, "gone")
    with open(gone, "w", encoding="ascii") as f:
        f.write("not a folder")
    exchange(folder, gone)


@suite.check("the database's folder is moved away, and put back")
def _(env):
    world = World(env, "moved")
    db = os.path.join(world.region_dir, "db")
    play(world, "db moved", "files", lambda: os.rename(db, db + ".gone"),
         lambda: os.rename(db + ".gone", db), cause_closes=False)


@suite.check("the database's folder is deleted: the border stays closed, reads go on, nobody is lied to")
def _(env):
    world = World(env, "deleted")
    world.calm(5)
    shutil.rmtree(os.path.join(world.region_dir, "db"))
    world.until_closed()
    world.closed(None)
    same_speed("db deleted", world)
    refused(lambda: world.writer.put("live_room", "n", "SE", {"title": "lost?"}), "UNAVAILABLE")
    # Another folder in its place is not taken for it.
    os.mkdir(os.path.join(world.region_dir, "db"), 0o700)
    time.sleep(1.2)  # longer than the pause between two tries
    world.closed(None)
    equal(os.listdir(os.path.join(world.region_dir, "db")), [], "files made in a strange folder")
    world.router.process.kill()
    world.router.process.wait()
    env.leave(world.router)
    # The signed checkpoint knows that there was a log.
    done = env.run("serve", "--config", world.router.config, "--check")
    equal(done.returncode, 1, "a start without the database: " + done.stderr)


@suite.check("the write-ahead log is deleted: its entries are not acknowledged into the void")
def _(env):
    world = World(env, "wal")
    world.calm(5)
    db = os.path.join(world.region_dir, "db")
    for name in os.listdir(db):
        if name.endswith(".log"):
            os.unlink(os.path.join(db, name))
    before = len(world.receipts)
    refused(world.cross, "UNAVAILABLE", "AUDIT_UNAVAILABLE")
    equal(len(world.receipts), before, "receipts")
    world.closed("write")
    world.local()


@suite.check("the published tiles are deleted: closed until all are written again, and verify")
def _(env):
    world = World(env, "tiles")
    world.calm(300)
    world.nothing_lost()
    for victim in (".", "tile", "tile/entries", "tile/0/000", "tile/entries/000", "vkey", "checkpoint"):
        path = os.path.normpath(os.path.join(world.region_dir, "audit", victim))
        with Noticed(world) as notice:
            began = time.monotonic()
            # At once, as the router writes there all the while.
            os.rename(path, os.path.join(world.folder, "gone"))
            notice.wait()
        noticed = notice.within(began)
        back = world.until_open(began)
        print("# %s deleted: noticed in %.0f ms, back after %.0f ms" % (
            victim, noticed * 1e3, back * 1e3))
        true(back <= BACK_S, "%s: back after %.1f s" % (victim, back))
        subprocess.run(["rm", "-r", os.path.join(world.folder, "gone")], check=True)
        wait_until(lambda: env.run("audit", "verify", "--log", world.router.log_dir(REGION)
                                   ).returncode == 0, 5, "audit verify after losing " + victim)
        took = time.monotonic() - began
        true(took <= BACK_S + 0.5, "%s: %.1f s" % (victim, took))
        world.calm(1)
    world.nothing_lost()


@suite.check("the published tiles are deleted and cannot be written again: closed until they can")
def _(env):
    world = World(env, "tilegone")
    tile = os.path.join(world.region_dir, "audit", "tile")

    play(world, "tiles deleted", "tiles", lambda: put_file_in_place(tile, world.folder),
         lambda: os.unlink(tile), cause_closes=False)


@suite.check("the published folder hangs: closed in 250 ms of the first call that does not return")
@root_only
def _(env):
    path = os.path.join(env.folder("tilehang"), REGION, "audit")
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    with FaultFs(env, path, "tilehang") as fs:
        play(World(env, "tilehang"), "tile folder hangs", "hang", lambda: fs.say("hang"),
             lambda: fs.say("ok"), since=fs.hung_at)


@suite.check("the published folder's file system server is stopped by SIGSTOP: noticed without a crossing")
@root_only
def _(env):
    path = os.path.join(env.folder("tilestop"), REGION, "audit")
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    # The kernel answers for nothing by itself: the next look hangs, 100 ms later at most.
    with FaultFs(env, path, "tilestop", cache_s=0) as fs:
        play(World(env, "tilestop"), "tile folder's server stopped", "hang",
             lambda: fs.process.send_signal(signal.SIGSTOP),
             lambda: fs.process.send_signal(signal.SIGCONT), cause_closes=False,
             bound=0.100 + BOUND_S)


@suite.check("one region's disk hangs: the checkpoints of those that it cosigns come in time")
@root_only
def _(env):
    with FaultFs(env, os.path.join(env.folder("others"), REGION), "others") as fs:
        world = World(env, "others")
        abroad = env.client(world.router, "room-service", "eu-west-1")

        def put(i):
            try:
                return abroad.put("live_room", "gb-%d" % i, "GB", {"title": "t"})
            except rpc.Failure as failure:  # a busy machine: see calm
                equal(failure.reason, "AUDIT_UNAVAILABLE", "refusal: %s" % failure)
                return None

        fs.say("hang")
        for i in range(6):
            # Into the log of eu-west-2, which eu-north-1 is to cosign. Not public: no replica hangs.
            wait_until(lambda: put(i), 5, "a write from abroad")
            began = time.monotonic()
            world.router.covered(env.api, "eu-west-2")
            wait_until(lambda: env.run("audit", "verify", "--log", world.router.log_dir("eu-west-2")
                                       ).returncode == 0, 5, "audit verify")
            took = time.monotonic() - began
            true(took <= 2.0, "checkpoint %d came after %.1f s" % (i, took))
        world.until_closed()
        world.local()
        fs.say("ok")
        world.until_open(time.monotonic())
        # What it missed it cosigns by itself: the log's own line and those of two witnesses.
        checkpoint = pathlib.Path(world.router.log_dir("eu-west-2"), "checkpoint")
        wait_until(lambda: checkpoint.read_text(encoding="utf-8").count("\n\u2014 ") == 3, 10,
                   "the cosignature of the region that was away")
        world.nothing_lost()
        equal(env.stop(world.router), 0, "exit code")


@suite.check("one region's disk hangs: deleted bytes of the others are purged in time (P9)")
@root_only
def _(env):
    purge_s, other = 4, "eu-west-2"
    with FaultFs(env, os.path.join(env.folder("purges"), REGION), "purges") as fs:
        world = World(env, "purges", extra="store = { purge_ms = %d; };\n" % (purge_s * 1000))
        there = env.client(world.router, "room-service", other)

        def purges(region):
            return world.gauge('domicile_store_purges_total{region="%s"}' % region)

        # All of the disk, and the worst moment: a thread of RocksDB's own is writing a table.
        for count, word in enumerate(("hang", "hang .sst"), 1):
            # Not public: no replica hangs, and no outbox waits for one.
            for caller, place in ((world.writer, "SE"), (there, "GB")):
                caller.put("live_room", "gone-" + place, place, {"title": "t"})
            world.router.settle()
            world.writer.call(RECORD + "DeleteRecord", kind="live_room", id="gone-SE",
                              purpose="serve")
            fs.say(word)  # the purge of what is on this disk is due before the other's
            began = time.monotonic()
            there.call(RECORD + "DeleteRecord", kind="live_room", id="gone-GB",
                       purpose="serve")
            wait_until(lambda: purges(other) == count, 2 * purge_s, word + ": the other's purge")
            took = time.monotonic() - began
            print("# %s: purged %.1f s after the deletion, of %d" % (word, took, purge_s))
            true(took <= purge_s, "%s: purged after %.1f s" % (word, took))
            equal(purges(REGION), count - 1, "purges of the region that hangs")
            fs.say("ok")
            world.until_open(time.monotonic())
            wait_until(lambda: purges(REGION) == count, 2 * purge_s, word + ": its own purge")
        equal(env.stop(world.router), 0, "exit code")


@suite.check("one region's disk hangs: scans, logs and proofs of the others are had as before")
@root_only
def _(env):
    other = "eu-west-2"
    with FaultFs(env, os.path.join(env.folder("scans"), REGION), "scans") as fs:
        world = World(env, "scans")
        there = env.client(world.router, "room-service", other)
        auditor = env.client(world.router, "moderation", other)
        operator = env.client(world.router, "moderation", REGION)
        there.put("live_room", "gb", "GB", {"title": "t"})
        world.router.settle()
        world.router.published(env.api, other)

        def look():
            began = time.monotonic()
            pages = list(there.stream(RECORD + "ListRecords", kind="live_room", home="GB",
                                      purpose="serve"))
            equal([r.id for page in pages for r in page.records], ["gb"], "records of the other region")
            auditor.call(AUDIT + "GetCheckpoint", region=other)
            true(list(auditor.stream(AUDIT + "ListEntries", region=other, entries_max=3)), "no entries")
            return time.monotonic() - began

        calm = max(look() for _ in range(20))
        fs.say("hang")
        # Waits for its entry, which this disk does not take.
        hold = operator.future(AUDIT + "PlaceHold", region=REGION,
                               hold={"id": "h", "first_index": 0, "end_index": 1, "reason": "a disk that hangs"})
        world.until_closed()
        took = max(look() for _ in range(20))
        true(not hold.done(), "the hold was placed on a disk that hangs: %s" % hold)
        true(took <= calm + BOUND_S, "looking took %.0f ms, before %.0f" % (took * 1e3, calm * 1e3))
        fs.say("ok")
        world.until_open(time.monotonic())
        hold.exception()  # placed, or told that the log did not take it
        world.nothing_lost()
        equal(env.stop(world.router), 0, "exit code")


@suite.check("the tile folder cannot be written: closed, and open again by itself")
def _(env):
    world = World(env, "tilefile")
    audit = os.path.join(world.region_dir, "audit")

    play(world, "tile folder", "publish", lambda: put_file_in_place(audit, world.folder),
         lambda: exchange(audit, os.path.join(world.folder, "gone")))


@suite.check("the tile folder's file system is remounted read-only, and writable again")
@root_only
def _(env):
    path = os.path.join(env.folder("tilero"), REGION, "audit")
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    with mounted(env, "-t", "tmpfs", "-o", "size=8m,mode=700", "tmpfs", path=path):
        def remount(how):
            # Refused while a file is open for writing; the keeper has one open for moments only.
            wait_until(lambda: subprocess.run(["mount", "-o", "remount," + how, path],
                                              stderr=subprocess.DEVNULL).returncode == 0, 10,
                       "remounting " + how)

        play(World(env, "tilero"), "tiles read-only", "publish", lambda: remount("ro"),
             lambda: remount("rw"))


@suite.check("the key file cannot be read: closed, and open again by itself")
def _(env):
    world = World(env, "key")
    key = os.path.join(world.folder, "keys", REGION + ".key")
    play(world, "key file", "keys", lambda: os.rename(key, key + ".gone"),
         lambda: os.rename(key + ".gone", key), cause_closes=False)


@suite.check("another key file in its place is not taken for it")
def _(env):
    world = World(env, "otherkey")
    key = os.path.join(world.folder, "keys", REGION + ".key")
    with open(key, encoding="ascii") as f:
        text = f.read()
    changed = text.replace("\nsubject 1 ", "\nsubject 1 AAAA", 1)
    at = changed.index("subject 1 AAAA") + len("subject 1 AAAA")
    changed = changed[:at] + changed[at + 4:]
    play(world, "other key", "keys",
         lambda: (os.rename(key, key + ".gone"), os.close(os.open(key, os.O_CREAT | os.O_WRONLY, 0o600)),
                  pathlib.Path(key).write_text(changed, encoding="ascii")),
         lambda: os.rename(key + ".gone", key), cause_closes=False)


@suite.check("a policy that is put in force while a log is closed is told to it when it opens")
@root_only
def _(env):
    with FaultFs(env, os.path.join(env.folder("announce"), REGION), "announce") as fs:
        world = World(env, "announce")
        policy = pathlib.Path(world.router.policy)
        fs.say("eio")
        world.until_closed()
        policy.write_text(policy.read_text(encoding="utf-8").replace("version = 1L", "version = 2L"),
                          encoding="utf-8")
        world.home.call(POLICY_SERVICE + "ReloadPolicy")
        fs.say("ok")
        world.until_open(time.monotonic())

        def told():
            return any(json.loads(e)["type"] == "policy" and json.loads(e)["policy"]["version"] == 2
                       for _, e in entries(env, world.router, REGION))
        wait_until(told, 3, "the activation's entry")


# ---- the journal ----

def file_of_zeros(path):
    pathlib.Path(path).write_bytes(bytes(9 << 20))


@suite.check("a journal that is none, or goes while entries are written: crossings go on, and nothing is lost")
def _(env):
    world = World(env, "journal")
    journal = os.path.join(world.region_dir, "journal")
    world.calm(5)
    os.unlink(journal)
    world.calm(5)
    world.router.process.kill()
    world.router.process.wait()
    world.again()
    for spoil in (lambda: pathlib.Path(journal).write_bytes(os.urandom(os.path.getsize(journal))),
                  lambda: os.truncate(journal, 5000), lambda: os.truncate(journal, 0),
                  lambda: file_of_zeros(journal),
                  lambda: (os.unlink(journal), os.symlink("/proc/no-such/journal", journal)),
                  lambda: (os.unlink(journal), os.mkdir(journal))):
        spoil()
        world.again()


# ---- callers that go ----

# Asks for the record across the border without end, and says when it has had an answer.
ASKER = """
import sys, grpc
with grpc.insecure_channel(sys.argv[1]) as channel:
    get = channel.unary_unary("/domicile.v1.RecordService/GetRecord")
    identity = (("domicile-service", "moderation"), ("domicile-region", "us-east-1"))
    while True:
        get(bytes.fromhex(sys.argv[2]), metadata=identity, timeout=10)
        print("answered", flush=True)
"""


@suite.check("callers give up, or are killed, while the answer to their one crossing is under way: every "
             "call ends, nothing is lost")
def _(env):
    with audit_keys("wait_ms = 5000;"):  # a slow sync is not what is looked at here
        world = World(env, "callers-go")
    world.calm(20)
    request = b"".join((piece(1, "live_room"), piece(2, "r"), piece(3, "SE"), piece(4, "moderation"),
                        piece(5, "title")))
    outcomes = {}
    for i in range(600):  # one at a time: each is alone in its group
        try:
            raw_call(world.abroad, RECORD + "GetRecord", request, timeout=0.0004 * (1 + i % 10))
            outcome = "OK"
        except rpc.Failure as failure:
            outcome = failure.code
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
    print("# %s" % outcomes)
    equal(sorted(outcomes), ["DEADLINE_EXCEEDED", "OK"], "how the calls ended")
    for _ in range(5):
        with subprocess.Popen([sys.executable, "-c", ASKER, world.router.address, request.hex()],
                              stdout=subprocess.PIPE, text=True) as asker:
            equal(asker.stdout.readline(), "answered\n", "what the caller says")
            asker.kill()
    wait_until(lambda: world.gauge("domicile_rpc_in_flight") == 0, 5, "the end of every call")
    world.calm(5)
    world.nothing_lost()
    equal(env.stop(world.router), 0, "exit code")


# ---- the order of system calls ----

@suite.check("a crossing: fdatasync of the giving region's log ends before the answer is sent; a read at "
             "home does neither (P3)")
def _(env):
    world = World(env, "order")
    world.calm(3)
    world.nothing_lost()  # nothing is left to sign or to publish
    try:
        with Trace(world) as trace:
            world.cross()
    except PermissionError as error:
        print("skipped: strace may not attach here (%s)" % error, flush=True)
        return
    events = trace.events()
    true(trace.of_entry(events) < trace.of_answer(events),
         "the answer left before its entry was on disk: %s" % events)
    # Checkpoints, indexes and mirrors of what went before may still be under way; reads that synced
    # would do so every time.
    syncs = None
    for _ in range(10):
        world.nothing_lost()
        with Trace(world) as trace:
            for _ in range(20):
                world.local()
        calls = [call for call, on in trace.events()]
        true("sendmsg" in calls, "nothing was traced")
        own = [line for line in trace.lines if line.split(None, 1)[0] == str(trace.pid)]
        equal([line for line in own if "sync(" in line], [], "syncs of the I/O thread")
        syncs = [call for call in calls if "sync" in call]
        if not syncs:
            break
    equal(syncs, [], "syncs of 20 reads at home, ten times")


# ---- clocks that jump ----

LIMIT = """    obligations = ( { do = "pseudonymise"; classes = ("identifier"); key = "export"; },
      { do = "limit"; records = 8; per = "P1D"; count = "accesses"; window = "calendar"; } ); },"""


@suite.check("the clock jumps two days ahead and back: entries, checkpoints and limits stay sound")
def _(env):
    library = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"
    folder = env.folder("clock")
    clock = os.path.join(folder, "clock")

    def turn(to):
        with open(clock + ".new", "w", encoding="ascii") as f:
            f.write(to + "\n")
        os.replace(clock + ".new", clock)

    turn("+0")
    policy = pathlib.Path(small_policy(folder))
    text = policy.read_text(encoding="utf-8")
    old = """    obligations = ( { do = "pseudonymise"; classes = ("identifier"); key = "export"; } ); },"""
    equal(text.count(old), 1, "places in the policy")
    policy.write_text(text.replace(old, LIMIT), encoding="utf-8")
    # Crossings are counted here, and a slow sync must not refuse one that the limit has counted.
    with audit_keys("wait_ms = 2000;"):
        world = World(env, "clock", dict(
            os.environ, LD_PRELOAD=library, FAKETIME_TIMESTAMP_FILE=clock, FAKETIME_NO_CACHE="1",
            DONT_FAKE_MONOTONIC="1"), policy=policy)

    def use_up(count):
        for _ in range(count):
            world.cross()
        refused(world.cross, "RESOURCE_EXHAUSTED", "LIMIT_REACHED")

    use_up(8)
    world.nothing_lost()
    turn("+2d")
    use_up(8)  # another day
    world.nothing_lost()
    turn("+0")
    use_up(0)  # the first day again, which is used up
    began = time.monotonic()
    refused(world.cross, "RESOURCE_EXHAUSTED", "LIMIT_REACHED")
    found = world.nothing_lost()
    true(time.monotonic() - began < 5, "no checkpoint in time after the clock went back")
    times = [e["time"] for _, e in sorted(found.items()) if e["type"] == "access"]
    true(max(times) - min(times) > 86400000, "the clock did not jump: %s" % times)
    ids = [e["id"] for e in found.values()]
    equal(len(ids), len(set(ids)), "ids")
    # A restart in the past knows what was counted in the future and in the past.
    equal(env.stop(world.router), 0, "exit code")
    world.router.start()
    world.connect()
    use_up(0)
    turn("+2d")
    use_up(0)
    turn("-2d")
    use_up(8)
    world.nothing_lost()
    equal(env.stop(world.router), 0, "exit code")


def prepare(env):
    env.control = World(env, "control")


suite.main(prepare)
