#!/usr/bin/python3
"""Second copies that the policy demands: an entry is in them before its answer leaves (P3), and a copy
that fails, fills up or hangs closes the border as the log itself does.
"""
import contextlib
import os
import pathlib
import signal
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "lib"))
from faults import *  # noqa: E402,F403
from harness import *  # noqa: E402,F403
from policytext import small_policy  # noqa: E402

suite = Suite("copies")


def with_copies(env, name, policy_text, sinks):
    """A policy that demands copies, and the configuration of them: {sink: folder}."""
    policy = pathlib.Path(small_policy(env.folder(name + "-policy")))
    policy.write_text(policy.read_text(encoding="utf-8") + policy_text, encoding="utf-8")
    items = ", ".join('{ name = "%s"; region = "%s"; dir = "%s"; }' % (sink, REGION, folder)
                      for sink, folder in sinks.items())
    return policy, "sinks = ( %s );" % items


ALL = 'log_copies = ( { id = "both"; regions = ("%s"); sinks = ("vault", "archive"); } );\n' % REGION
ANY = 'log_copies = ( { id = "one"; regions = ("EEA"); sinks = ("vault", "archive"); ' \
      'need = "any"; } );\n'
ONE = 'log_copies = ( { id = "one"; regions = ("%s"); sinks = ("vault"); } );\n' % REGION


def check_copy(env, folder, world):
    """The copy verifies by itself and is the log, entry for entry."""
    found = entries(env, world.router, REGION)

    def read():
        out = []
        for name in sorted(os.listdir(folder)):
            if name.endswith(".entries"):
                data = pathlib.Path(folder, name).read_bytes()
                equal(int(name.split(".")[0]), len(out), "first index of " + name)
                while len(data) >= 2 and len(data) >= 2 + int.from_bytes(data[:2], "big"):
                    size = int.from_bytes(data[:2], "big")
                    out.append(data[2:2 + size])
                    data = data[2 + size:]
        return out

    wait_until(lambda: len(read()) >= len(found), 5, "the copy in " + folder)
    equal(read()[:len(found)], [raw for _, raw in found], "entries of the copy")

    def verified():
        done = env.run("audit", "verify", "--log", folder)
        return done.returncode == 0
    wait_until(verified, 8, "verifying the copy in " + folder)
    return len(found)


def copy_fault(env, name, demand, break_it, mend_it, reason="sinks"):
    """The story of a fault in one copy's folder, on a file system of its own."""
    folders = {sink: env.folder(name + "-" + sink) for sink in ("vault", "archive")}
    with FaultFs(env, folders["vault"], name) as fs:
        policy, keys = with_copies(env, name, demand, folders)
        with audit_keys(keys):
            world = World(env, name, policy=policy)
        play(world, name, reason, lambda: break_it(fs), lambda: mend_it(fs))
        world.router.start()
        world.connect()
        world.calm(1)
        for folder in folders.values():
            check_copy(env, folder, world)
        equal(env.stop(world.router), 0, "exit code")


@suite.check("a required second copy: the entry is in it before the answer leaves (P3)")
def _(env):
    folders = {sink: env.folder("copies-" + sink) for sink in ("vault", "archive")}
    policy, keys = with_copies(env, "copies", ALL, folders)
    with audit_keys(keys):
        world = World(env, "copies", policy=policy)
    for _ in range(30):
        world.calm(1)
        index, leaf = world.receipts[-1]
        for folder in folders.values():
            # Nothing is waited for: what is answered is there.
            data = b"".join(pathlib.Path(folder, n).read_bytes()
                            for n in sorted(os.listdir(folder)) if n.endswith(".entries"))
            seen = []
            while data:
                size = int.from_bytes(data[:2], "big")
                seen.append(data[2:2 + size])
                data = data[2 + size:]
            true(len(seen) > index and leaf_hash(seen[index]) == leaf, "entry %d is not in %s"
                 % (index, folder))
    try:
        with Trace(world) as trace:
            world.cross()
        events = trace.events()
        own = trace.of_entry(events)
        copies = [i for i, (c, on) in enumerate(events) if c == "fdatasync" and ".entries" in on]
        equal(len(copies), 2, "syncs of copies: %s" % events)
        true(own < copies[0] and copies[1] < trace.of_answer(events), "order: %s" % events)
    except PermissionError as error:
        print("skipped: strace may not attach here (%s)" % error, flush=True)
    for folder in folders.values():
        check_copy(env, folder, world)
    # Tampering with the copy is found by the copy alone.
    equal(env.stop(world.router), 0, "exit code")
    name = next(n for n in sorted(os.listdir(folders["vault"])) if n.endswith(".entries"))
    path = pathlib.Path(folders["vault"], name)
    good = path.read_bytes()
    for at in (2, len(good) // 2):
        path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1:])
        done = env.run("audit", "verify", "--log", folders["vault"])
        equal(done.returncode, 1, "exit code of a tampered copy: " + done.stdout)
    path.write_bytes(good[:len(good) // 2])
    done = env.run("audit", "verify", "--log", folders["vault"])
    equal(done.returncode, 1, "exit code of a cut copy: " + done.stdout)
    path.write_bytes(good)
    equal(env.run("audit", "verify", "--log", folders["vault"]).returncode, 0, "exit code")


@suite.check("all: one of two required copies fails with EIO")
@root_only
def _(env):
    copy_fault(env, "copy-eio", ALL, lambda fs: fs.say("eio"), lambda fs: fs.say("ok"))


@suite.check("all: one of two required copies is on a disk that is full")
@root_only
def _(env):
    copy_fault(env, "copy-full", ALL, lambda fs: fs.say("enospc"), lambda fs: fs.say("ok"))


@suite.check("all: one of two required copies is read-only")
@root_only
def _(env):
    copy_fault(env, "copy-ro", ALL, lambda fs: fs.say("erofs"), lambda fs: fs.say("ok"))


@suite.check("all: one of two required copies hangs for ever; writes at home go on all the while")
@root_only
def _(env):
    def hang(fs):
        fs.say("hang")

    copy_fault(env, "copy-hang", ALL, hang, lambda fs: fs.say("ok"))


@suite.check("all: a required copy's file system server is stopped by SIGSTOP")
@root_only
def _(env):
    copy_fault(env, "copy-stop", ALL, lambda fs: fs.process.send_signal(signal.SIGSTOP),
               lambda fs: fs.process.send_signal(signal.SIGCONT))


@suite.check("a copy that hangs does not hold up writes at home")
@root_only
def _(env):
    folders = {"vault": env.folder("house-vault")}
    with FaultFs(env, folders["vault"], "house") as fs:
        policy, keys = with_copies(env, "house", ONE, folders)
        with audit_keys(keys):
            world = World(env, "house", policy=policy)
        fs.say("hang")
        world.until_closed()
        began = time.monotonic()
        for i in range(20):
            # Not public: replicas abroad would be crossings.
            world.writer.put("live_room", "at-home-%d" % i, "SE", {"title": "t"})
        true(time.monotonic() - began < 5, "20 writes took %.1f s" % (time.monotonic() - began))
        fs.say("ok")
        world.until_open(time.monotonic())
        world.nothing_lost()
        check_copy(env, folders["vault"], world)
        equal(env.stop(world.router), 0, "exit code")


@suite.check("any: one of two copies hangs, and nobody is refused; without both the border closes")
@root_only
def _(env):
    folders = {sink: env.folder("any-" + sink) for sink in ("vault", "archive")}
    with FaultFs(env, folders["vault"], "any-v") as one, \
            FaultFs(env, folders["archive"], "any-a") as two:
        policy, keys = with_copies(env, "any", ANY, folders)
        # The other regions of the EEA need one too.
        more = env.folder("any-more")
        keys = keys.replace(" );", ', { name = "vault"; region = "eu-west-1"; dir = "%s"; } );' % more)
        with audit_keys(keys):
            world = World(env, "any", policy=policy)
        world.calm(1)
        one.say("hang")
        began = time.monotonic()
        for _ in range(20):
            world.cross()
        true(time.monotonic() - began < 5, "20 crossings took %.1f s" % (time.monotonic() - began))
        equal(world.health(), SERVING, "health")
        two.say("eio")
        world.until_closed()
        world.closed("sinks")
        two.say("ok")
        true(world.until_open(time.monotonic()) <= BACK_S, "not back in time")
        one.say("ok")
        world.nothing_lost()
        for folder in folders.values():
            check_copy(env, folder, world)
        equal(env.stop(world.router), 0, "exit code")


@suite.check("kill -9 under load with two required copies: what was acknowledged is in the log and in both")
def _(env):
    folders = {sink: env.folder("kill-" + sink) for sink in ("vault", "archive")}
    policy, keys = with_copies(env, "kill", ALL, folders)
    with audit_keys(keys + " wait_ms = 10000;"):
        world = World(env, "kill", policy=policy)
    given = 0
    for round in range(6):
        stop, lock = threading.Event(), threading.Lock()

        def load():
            caller = rpc.Client(env.api, world.router.address, "moderation", "us-east-1")
            with contextlib.suppress(rpc.Failure):
                while not stop.is_set():
                    got = caller.get("live_room", "r", purpose="moderation", home="SE",
                                     fields=["title"])
                    with lock:
                        world.receipts.append((got.receipt.index, bytes(got.receipt.leaf_hash)))
            caller.close()

        threads = [threading.Thread(target=load) for _ in range(8)]
        for thread in threads:
            thread.start()
        stop.wait(0.1 + 0.07 * round)  # any moment is as good
        world.router.process.kill()
        world.router.process.wait()
        stop.set()
        for thread in threads:
            thread.join()
        env.leave(world.router)
        true(len(world.receipts) > given, "round %d acknowledged nothing" % round)
        given = len(world.receipts)
        world.router.start()
        world.connect()
        world.calm(1)
        world.nothing_lost()
        for folder in folders.values():
            check_copy(env, folder, world)
    print("# %d crossings acknowledged in 6 lives" % given)
    equal(env.stop(world.router), 0, "exit code")


@suite.check("a copy's files are deleted: made again from the log; its folder is not mounted: closed")
def _(env):
    folders = {"vault": env.folder("gone-vault")}
    policy, keys = with_copies(env, "gone", ONE, folders)
    with audit_keys(keys):
        world = World(env, "gone", policy=policy)
    world.calm(5)
    vault = pathlib.Path(folders["vault"])
    for victim in sorted(vault.glob("*.entries")):
        victim.unlink()
    world.until_open(time.monotonic())
    check_copy(env, folders["vault"], world)
    true(world.gauge('domicile_audit_sink_failures_total{region="%s",sink="vault"}' % REGION) > 0,
         "the loss was not noticed")
    # An empty folder in the place of the disk is not taken for it.
    vault.rename(str(vault) + ".unmounted")
    vault.mkdir()
    world.until_closed()
    failure = refused(world.cross, "UNAVAILABLE", "AUDIT_UNAVAILABLE")
    true("mounted" in str(failure) or "gone" in str(failure) or "place" in str(failure)
         or "find" in str(failure), "the message does not say why: %s" % failure)
    time.sleep(1.5)
    equal(os.listdir(vault), [], "files made in a strange folder")
    vault.rmdir()
    pathlib.Path(str(vault) + ".unmounted").rename(vault)
    world.until_open(time.monotonic())
    world.nothing_lost()
    check_copy(env, folders["vault"], world)
    equal(env.stop(world.router), 0, "exit code")


@suite.check("a policy that demands a sink which is not configured is not loaded; the old one stays")
def _(env):
    folders = {"vault": env.folder("demand-vault")}
    policy, keys = with_copies(env, "demand", ONE, folders)
    with audit_keys(keys):
        world = World(env, "demand", policy=policy)
    text = policy.read_text(encoding="utf-8").replace("version = 1L", "version = 2L")
    policy.write_text(text.replace('sinks = ("vault")', 'sinks = ("vault", "missing")'),
                      encoding="utf-8")
    refused(lambda: world.home.call(POLICY_SERVICE + "ReloadPolicy"), "INVALID_ARGUMENT",
            words='"missing"')
    world.calm(1)
    # Demanded no more: the copy may be away.
    policy.write_text(text.replace(ONE, ""), encoding="utf-8")
    world.home.call(POLICY_SERVICE + "ReloadPolicy")
    pathlib.Path(folders["vault"]).rename(folders["vault"] + ".gone")
    world.calm(5)
    equal(world.health(), SERVING, "health")
    equal(env.stop(world.router), 0, "exit code")


@suite.check("configurations of sinks that make no sense are refused, with their place")
def _(env):
    folder = env.folder("badsinks")
    policy = small_policy(folder)
    for text, words in (('sinks = "vault";', "must be a list"), ('sinks = ( "vault" );', "each is"),
                        ('sinks = ( { name = "v"; region = "r"; } );', "dir is missing"),
                        ('sinks = ( { name = "v"; region = "r"; dir = "/x"; colour = "red"; } );',
                         'unknown key "colour"'),
                        ('sinks = ( { name = 1; region = "r"; dir = "/x"; } );', "must be a text"),
                        ('sinks = ( { name = "v"; region = "%s"; dir = "/x"; }, '
                         '{ name = "v"; region = "%s"; dir = "/y"; } );' % (REGION, REGION),
                         "two audit sinks")):
        path = os.path.join(folder, "domicile.cfg")
        with open(path, "w", encoding="ascii") as f:
            f.write('listen = "127.0.0.1:0";\nidentity = "insecure-loopback";\ndata = "%s";\n'
                    'policy = "%s";\naudit = { %s };\n' % (env.folder("badsinks-data"), policy, text))
        done = env.run("serve", "--config", path, "--check")
        equal(done.returncode, 1, "exit code for " + text)
        true(words in done.stderr, "%s: %s" % (text, done.stderr))


def prepare(env):
    env.control = World(env, "control")


suite.main(prepare)
