#!/usr/bin/python3
"""The router as its operator sees it: policies that change under load, health, metrics, drains, and
everything that must stop it from starting.

    admin_e2e.py [PART OF A CHECK'S NAME]
"""
import pathlib
import signal
import socket
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "lib"))
from harness import *  # noqa: E402,F403
from policytext import Copy, small_policy  # noqa: E402

suite = Suite("admin")
TITLE = {"title": "Evening talk"}
SERVING, NOT_SERVING, SERVICE_UNKNOWN = 1, 2, 3
MODERATION_RULE = 'purposes = ("moderation"); services = ("moderation"); basis = "scc_eu_us";'


def prepare(env):
    env.copy = Copy(env.folder("policy"))
    env.small = small_policy(env.folder("policy"))
    suite.small = env.small
    env.main = env.router("main", env.copy.path)
    env.rooms = env.client(env.main, "room-service", "eu-central-1")
    env.moderation_us = env.client(env.main, "moderation", "us-west-2")
    env.rooms.put("live_room", "room", "DE", TITLE)


def status(env):
    return env.rooms.call(POLICY_SERVICE + "GetPolicyStatus")


def reload(env):
    return env.rooms.call(POLICY_SERVICE + "ReloadPolicy")


def read_abroad(env):
    return env.moderation_us.get("live_room", "room", purpose="moderation", home="DE",
                                 fields=["title"])


# ---- the policy in force ----

@suite.check("GetPolicy gives the exact bytes in force, and their hash")
def _(env):
    got = env.rooms.call(POLICY_SERVICE + "GetPolicy")
    raw = env.copy.path.read_bytes()
    true(bytes(got.text) == raw, "other bytes")
    done = subprocess.run(["sha256sum", str(env.copy.path)], capture_output=True, text=True)
    equal(bytes(got.sha256).hex(), done.stdout.split()[0], "sha256")
    equal((got.name, got.version, status(env).regions), ("global-live", 1, 20), "policy")


@suite.check("a reload of what is in force changes nothing")
def _(env):
    got = reload(env)
    equal((got.version, got.changed), (1, False), "answer")


@suite.check("a reload by RPC: the decision changes, and the log says under which policy")
def _(env):
    read_abroad(env)
    env.copy.bump()
    env.copy.change(MODERATION_RULE, MODERATION_RULE.replace('("moderation"); s', '("safety"); s'))
    env.copy.save()
    read_abroad(env)  # not loaded yet
    got = reload(env)
    equal((got.version, got.changed), (2, True), "answer")
    failure = refused(lambda: read_abroad(env), "PERMISSION_DENIED")
    equal(failure.metadata["policy_version"], "2", "policy_version")
    log = [json.loads(b) for _, b in entries(env, env.main, "eu-central-1")]
    equal([(e["type"], e["policy"]["version"]) for e in log if "policy" in e][-5:],
          [("policy", 1), ("access", 1), ("access", 1), ("policy", 2), ("deny", 2)], "entries")


@suite.check("a reload by SIGHUP: the permit is back")
def _(env):
    env.copy.bump()
    env.copy.change(MODERATION_RULE.replace('("moderation"); s', '("safety"); s'), MODERATION_RULE)
    env.copy.save()
    env.main.process.send_signal(signal.SIGHUP)
    wait_until(lambda: status(env).version == 3, what="version 3")
    read_abroad(env)


def refuse_reload(env, *words, by_signal=False):
    before = status(env)
    if by_signal:
        env.main.process.send_signal(signal.SIGHUP)
        wait_until(lambda: status(env).reloads_failed > before.reloads_failed, what="a failure")
    else:
        refused(lambda: reload(env), "INVALID_ARGUMENT")
    after = status(env)
    equal((after.version, bytes(after.sha256), after.reloads_failed),
          (before.version, bytes(before.sha256), before.reloads_failed + 1), "status")
    for word in words:
        true(word in after.last_failure, "\"%s\" is not in: %s" % (word, after.last_failure))
    env.rooms.get("live_room", "room", purpose="serve")
    read_abroad(env)


@suite.check("a broken file: the old policy stays, and the reason has file, line and column")
def _(env):
    good, version = env.copy.text, env.copy.version
    env.copy.bump()
    env.copy.change('basis = "scc_eu_in";\n', 'basis = "scc_eu_xx";\n')
    line = 1 + env.copy.text[:env.copy.text.index('"scc_eu_xx"')].count("\n")
    env.copy.save()
    refuse_reload(env, "%s:%d:" % (env.copy.path, line), "scc_eu_xx")
    refuse_reload(env, "%s:%d:" % (env.copy.path, line), by_signal=True)
    env.copy.text = good.replace("regions = {", "regions = {{", 1)
    env.copy.save()
    refuse_reload(env, "%s:" % env.copy.path)
    env.copy.text, env.copy.version = good, version
    env.copy.save()
    equal(reload(env).changed, False, "changed")
    equal(status(env).last_failure, "", "last_failure after a reload that worked")


@suite.check("a missing, an empty and a binary policy file are refused; the old one stays")
def _(env):
    os.rename(env.copy.path, str(env.copy.path) + ".away")
    before = status(env)
    try:
        reload(env)
        raise AssertionError("loaded nothing")
    except rpc.Failure as failure:
        true(failure.code in ("UNAVAILABLE", "NOT_FOUND", "INVALID_ARGUMENT"), failure.code)
    equal(status(env).version, before.version, "version")
    for content in (b"", b"\0" * 100, b"\xff\xfe" * 100):
        env.copy.path.write_bytes(content)
        refuse_reload(env, str(env.copy.path))
    env.copy.save()
    reload(env)


@suite.check("an older version, the same version with other bytes, and another name are refused")
def _(env):
    good, version = env.copy.text, env.copy.version
    for change in (lambda: env.copy.bump(version - 1),
                   lambda: env.copy.change("CMP-1182", "CMP-1183"),
                   lambda: (env.copy.bump(version + 1),
                            env.copy.change('name = "global-live"', 'name = "other-live"'))):
        change()
        env.copy.save()
        refuse_reload(env, "in force")
        env.copy.text, env.copy.version = good, version
    env.copy.save()


@suite.check("requests in flight keep working while the policy is reloaded again and again")
def _(env):
    stop = threading.Event()
    problems, served = [], [0]

    def work(service, region, purpose):
        caller = rpc.Client(env.api, env.main.address, service, region)
        last = 0
        while not stop.is_set():
            try:
                got = caller.get("live_room", "room", purpose=purpose, home="DE",
                                 fields=["title"])
                if got.decision.policy_version < last:
                    problems.append("the version went back")
                last = got.decision.policy_version
                served[0] += 1
            except rpc.Failure as failure:
                problems.append("%s: %s" % (failure.code, failure))
        caller.close()

    threads = [threading.Thread(target=work, args=a) for a in (
        ("moderation", "us-west-2", "moderation"), ("live-feed", "eu-central-1", "serve"),
        ("live-feed", "eu-west-2", "serve"))]
    for thread in threads:
        thread.start()
    try:
        for _ in range(15):
            env.copy.bump()
            env.copy.save()
            equal(reload(env).version, env.copy.version, "version")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    equal(problems[:3], [], "problems")
    true(served[0] > 100, "only %d requests" % served[0])


@suite.check("a reload that adds a region opens it, and records go there")
def _(env):
    refused(lambda: env.client(env.main, "room-service", "eu-south-1").get(
        "live_room", "room", purpose="serve"), "UNAUTHENTICATED")
    env.copy.bump()
    env.copy.change('  eu-west-1 = { country = "IE"; };\n',
                    '  eu-west-1 = { country = "IE"; };\n  eu-south-1 = { country = "IT"; };\n')
    env.copy.save()
    equal(reload(env).changed, True, "changed")
    equal(status(env).regions, 21, "regions")
    true(os.path.isdir(os.path.join(env.main.data, "eu-south-1")), "no folder")
    answer = env.rooms.put("live_room", "new-region", "DE", TITLE)
    true("eu-south-1" in [p.region for p in answer.parts], "no part there")
    env.main.settle()
    south = env.client(env.main, "live-feed", "eu-south-1")
    got = south.get("live_room", "new-region", purpose="serve")
    equal((got.decision.served_region, rpc.values(got.record)), ("eu-south-1", TITLE), "record")
    got = south.get("live_room", "room", purpose="serve")  # from before: not there, but at home
    equal((rpc.values(got.record), got.decision.cross_border), (TITLE, False), "older record")
    wait_until(lambda: os.path.exists(env.main.log_dir("eu-south-1") + "/checkpoint"),
               what="a first checkpoint")
    env.main.published(env.api, "eu-south-1")
    equal(env.run("audit", "verify", "--log", env.main.log_dir("eu-south-1")).returncode, 0,
          "audit verify")


@suite.check("the added region is still there after a restart")
def _(env):
    equal(env.stop(env.main), 0, "exit code")
    env.main = env.router("main", env.copy.path)
    env.rooms = env.client(env.main, "room-service", "eu-central-1")
    env.moderation_us = env.client(env.main, "moderation", "us-west-2")
    got = env.client(env.main, "live-feed", "eu-south-1").get("live_room", "new-region",
                                                              purpose="serve")
    equal(got.decision.served_region, "eu-south-1", "served_region")


# ---- health and metrics ----

HEALTH = ("", "domicile.v1.RecordService", "domicile.v1.RecordService/cross-border",
          "domicile.v1.PolicyService", "domicile.v1.AuditService", "domicile.v1.AuditService/fsck")


@suite.check("health: Check says SERVING for every name, NOT_FOUND for others, without an identity")
def _(env):
    caller = env.client(env.main, "x", "y")
    caller.identity = []
    for name in HEALTH:
        equal(caller.call("grpc.health.v1.Health/Check", service=name).status, SERVING, name)
    for name in ("domicile.v1", "domicile.v1.RecordService/", "domicile.v1.RecordService ", "x"):
        refused(lambda: caller.call("grpc.health.v1.Health/Check", service=name), "NOT_FOUND")


@suite.check("metrics: the page passes promtool check metrics")
def _(env):
    page = env.main.metrics()
    done = subprocess.run(["promtool", "check", "metrics"], input=page, text=True,
                          capture_output=True)
    equal((done.returncode, done.stdout + done.stderr), (0, ""), "promtool")
    for name in ("domicile_rpc_calls_started_total", "domicile_store_outbox",
                 "domicile_audit_entries_total", "domicile_policy_version"):
        true("\n%s" % name in page, "no " + name)


@suite.check("metrics: another path is 404, another method 405")
def _(env):
    for request, code in ((b"GET /nope", b"404"), (b"POST /metrics", b"405"),
                          (b"GET /metrics/../metrics", b"404")):
        with socket.create_connection(("127.0.0.1", env.main.metrics_port), 10) as peer:
            peer.sendall(request + b" HTTP/1.0\r\nContent-Length: 0\r\n\r\n")
            equal(peer.recv(4096).split()[1], code, request.decode())


# ---- the end ----

@suite.check("SIGTERM drains: calls in flight finish, watchers are told, new calls are refused")
def _(env):
    router = env.router("drain", env.small)
    rooms = env.client(router, "room-service", "eu-north-1")
    for n in range(6):
        rooms.put("live_room", "d-%d" % n, "SE", {"description": "x" * 30000})
    watcher = env.client(router, "x", "y")
    watch = watcher.stream("grpc.health.v1.Health/Watch", service="domicile.v1.RecordService")
    equal(next(watch).status, SERVING, "first status")
    # One page a record: more than the window holds, so the stream is in flight until it is read.
    slow = rooms.stream(RECORD + "ListRecords", kind="live_room", home="SE", purpose="serve",
                        page_size=1)
    got = 1
    next(slow)
    puts = [rooms.future(RECORD + "PutRecord", kind="live_room", id="late-%d" % n, home="SE",
                         purpose="serve", fields=[{"name": "title", "text": "x"}])
            for n in range(50)]
    router.process.send_signal(signal.SIGTERM)
    equal(next(watch).status, NOT_SERVING, "status after SIGTERM")
    watch.close()
    late = env.client(router, "room-service", "eu-north-1")
    try:
        late.put("live_room", "too-late", "SE", TITLE)
        raise AssertionError("a new connection was served during the drain")
    except rpc.Failure as failure:
        equal(failure.code, "UNAVAILABLE", "code")
    got += sum(1 for _ in slow)
    done = [p.exception() for p in puts]
    # gRPC-core cancels what it has read but not yet handed over: such a call must not have begun.
    equal({e.code().name for e in done if e is not None} - {"UNAVAILABLE", "CANCELLED"}, set(),
          "codes")
    equal(router.process.wait(timeout=30), 0, "exit code")
    true(got >= 6, "only %d pages" % got)
    router = env.router("drain", env.small)
    rooms = env.client(router, "room-service", "eu-north-1")
    for n, error in enumerate(done):
        if error is None:
            rooms.get("live_room", "late-%d" % n, purpose="serve", home="SE")
        else:
            refused(lambda: rooms.get("live_room", "late-%d" % n, purpose="serve", home="SE"),
                    "NOT_FOUND")
    equal(env.stop(router), 0, "exit code")


@suite.check("SIGINT ends it as well, and twice SIGTERM is not worse than once")
def _(env):
    for signals in ((signal.SIGINT,), (signal.SIGTERM, signal.SIGTERM)):
        router = env.router("drain", env.small)
        for one in signals:
            router.process.send_signal(one)
        equal(router.process.wait(timeout=30), 0, "exit code")


@suite.check("a drain does not wait for a peer that never reads: drain_ms bounds it")
def _(env):
    router = env.router("drain", env.small, extra="drain_ms = 300;\n")
    rooms = env.client(router, "room-service", "eu-north-1")
    stuck = rooms.stream(RECORD + "ListRecords", kind="live_room", home="SE", purpose="serve",
                         page_size=1)
    next(stuck)
    begin = time.monotonic()
    router.process.send_signal(signal.SIGTERM)
    equal(router.process.wait(timeout=30), 0, "exit code")
    true(time.monotonic() - begin < 9, "took %.1f s" % (time.monotonic() - begin))
    stuck.close()


# ---- what may not start ----

def try_serve(env, config, code=1, environment=None, mode=0o600):
    """Runs serve on a config that must be refused; returns what it said."""
    path = os.path.join(env.folder("bad"), "domicile.cfg")
    with open(path, "w", encoding="utf-8") as file:
        file.write(config)
    os.chmod(path, mode)
    done = env.run("serve", "--config", path, env=dict(os.environ, **(environment or {})))
    equal((done.returncode, done.stdout), (code, ""), "exit code and output: %s" % done.stderr)
    return done.stderr.replace(path, "CONFIG")


def config_for(data, **more):
    settings = dict(listen='"127.0.0.1:0"', identity='"insecure-loopback"', data='"%s"' % data,
                    policy='"%s"' % suite.small, log='"error"', audit='{ origin = "audit.example.com"; }')
    settings.update(more)
    settings["data"] = settings.pop("folder", settings["data"])
    return "".join("%s = %s;\n" % (k, v) for k, v in settings.items() if v is not None)


def refuse_config(env, change, line, word):
    """`change` replaces settings; the message must name the line (None: no line) and the word."""
    change = {"folder" if k == "data" else k: v for k, v in change.items()}
    text = config_for(os.path.join(env.scratch, "never"), **change)
    said = try_serve(env, text)
    if line is not None:
        number = 1 + [s.split(" ")[0] for s in text.splitlines()].index(line)
        true("CONFIG:%d:" % number in said, "line %d is not named: %s" % (number, said))
    true(word in said, "\"%s\" is not in: %s" % (word, said))
    true(not os.path.exists(os.path.join(env.scratch, "never")), "the data folder was made")


for what, change, line, word in (
        ("an unknown key", {"lisen": '"x"'}, "lisen", "lisen"),
        ("an unknown key in a group", {"store": '{ compresion = "lz4"; }'}, "store",
         "store.compresion"),
        ("a group that is none", {"listen": "{ a = 1; }"}, "listen", "listen"),
        ("a key that should be a group", {"store": '"lz4"'}, "store", "store"),
        ("a text where a number is wanted", {"drain_ms": '"10"'}, "drain_ms", "drain_ms"),
        ("a real where a whole number is wanted", {"drain_ms": "1.5"}, "drain_ms", "drain_ms"),
        ("a number where a text is wanted", {"log": "1"}, "log", "log"),
        ("a text where true is wanted", {"test_plain": '"true"'}, "test_plain", "test_plain"),
        ("a list where a text is wanted", {"data": '("a")'}, "data", "data"),
        ("a number under its range", {"drain_ms": "0"}, "drain_ms", "600000"),
        ("a number over its range", {"drain_ms": "600001"}, "drain_ms", "600000"),
        ("a checkpoint later than promised", {"audit": "{ checkpoint_ms = 1001; }"}, "audit",
         "1000"),
        ("a negative number", {"store": "{ block_cache_mib = -1; }"}, "store", "block_cache_mib"),
        ("a number over 32 bits", {"limits": "{ in_flight_calls = 4294967297L; }"}, "limits",
         "in_flight_calls"),
        ("an empty text", {"data": '""'}, "data", "data"),
        ("a text over its length", {"instance": '"%s"' % ("i" * 600)}, "instance", "instance"),
        ("an unknown log level", {"log": '"loud"'}, None, "loud"),
        ("an unknown compression", {"store": '{ compression = "brotli"; }'}, None, "brotli"),
        ("an unknown identity mode", {"identity": '"trust-me"'}, None, "trust-me"),
        ("no identity", {"identity": None}, None, "identity"),
        ("no data folder", {"data": None}, None, "data"),
        ("no policy", {"policy": None}, None, "policy")):
    suite.add("config with %s is refused" % what, refuse_config, change, line, word)


@suite.check("config with a syntax error, the same key twice, or none at all is refused with a line")
def _(env):
    good = config_for(os.path.join(env.scratch, "never"))
    true("CONFIG:7:" in try_serve(env, good + "drain_ms = ;\n"), "no line")
    true("CONFIG:7:" in try_serve(env, good + 'log = "info";\n'), "no line for a key given twice")
    done = env.run("serve", "--config", os.path.join(env.scratch, "nowhere.cfg"))
    true(done.returncode == 1 and "nowhere.cfg" in done.stderr, done.stderr)
    equal(env.run("serve").returncode, 3, "exit code without --config")
    equal(env.run("serve", "--config", "x", "y").returncode, 3, "exit code with an argument more")


@suite.check("config that anybody may write is refused")
def _(env):
    said = try_serve(env, config_for(os.path.join(env.scratch, "never")), mode=0o666)
    true("0666" in said or "666" in said, said)


def refuse_listen(env, address):
    said = try_serve(env, config_for(env.folder("listen"), listen='"%s"' % address))
    true("loopback" in said, "the reason is not told: %s" % said)


for address in ("0.0.0.0:0", "[::]:0", "255.255.255.255:0", "192.0.2.1:0", "[2001:db8::1]:0"):
    suite.add("insecure identity on %s is refused" % address, refuse_listen, address)
    suite.add("test_plain on %s is refused" % address, lambda env, address: try_serve(
        env, config_for(env.folder("listen"), listen='"%s"' % address, test_plain="true")),
        address)


@suite.check("an address that the environment names is held to the same rule")
def _(env):
    said = try_serve(env, config_for(env.folder("listen")),
                     environment={"DOMICILE_LISTEN": "0.0.0.0:0"})
    true("loopback" in said, said)


@suite.check("an address in use, and one that is none, are refused")
def _(env):
    said = try_serve(env, config_for(env.folder("listen"), listen='"%s"' % env.main.address))
    true(env.main.address in said, said)
    for address in ("127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:70000", ":0", "nowhere"):
        try_serve(env, config_for(env.folder("listen"), listen='"%s"' % address))


@suite.check("a broken policy stops the start, with file, line and column")
def _(env):
    bad = Copy(env.folder("bad-policy"))
    bad.change('basis = "scc_eu_in";\n', 'basis = "scc_eu_xx";\n')
    bad.save()
    said = try_serve(env, config_for(env.folder("listen"), policy='"%s"' % bad.path))
    line = 1 + bad.text[:bad.text.index('"scc_eu_xx"')].count("\n")
    true("%s:%d:" % (bad.path, line) in said, said)


@suite.check("a second process on the same data is refused, and the first goes on")
def _(env):
    said = try_serve(env, config_for(env.main.data, policy='"%s"' % env.copy.path))
    true("process" in said or "use" in said, said)
    env.rooms.put("live_room", "still", "DE", TITLE)


# ---- data that is not what it should be; each check gives back what it took ----

def stopped(env):
    """The data folder of a router that has run and stopped."""
    if not hasattr(env, "stopped"):
        router = env.router("stopped", env.small)
        env.client(router, "room-service", "eu-north-1").put("live_room", "kept", "SE", TITLE)
        router.settle()
        equal(env.stop(router), 0, "exit code")
        env.stopped = router.data
    return env.stopped


def refuse_data(env, *words):
    said = try_serve(env, config_for(stopped(env)))
    for word in words:
        true(word in said, "\"%s\" is not in: %s" % (word, said))


def still_good(env):
    router = env.router("stopped", env.small)
    got = env.client(router, "live-feed", "eu-north-1").get("live_room", "kept", purpose="serve")
    equal(rpc.values(got.record), TITLE, "fields")
    equal(env.stop(router), 0, "exit code")


@suite.check("a key file that others may read is refused")
def _(env):
    path = os.path.join(stopped(env), "keys", "eu-north-1.key")
    for mode in (0o644, 0o640, 0o604, 0o620, 0o602):
        os.chmod(path, mode)
        refuse_data(env, path)
    os.chmod(path, 0o600)
    still_good(env)


@suite.check("a key file of another region, a damaged one and none are refused")
def _(env):
    keys = os.path.join(stopped(env), "keys")
    path, other = (os.path.join(keys, r + ".key") for r in ("eu-north-1", "eu-west-1"))
    good = pathlib.Path(path).read_bytes()
    for content in (pathlib.Path(other).read_bytes(), b"", good[:-10], b"domicile-keys 2" + good[15:],
                    good.replace(b"blind 1", b"blind 0"), good + b"extra 1 AAAA\n",
                    good.replace(b"blind 1 ", b"blind 1 !")):
        pathlib.Path(path).write_bytes(content)
        refuse_data(env, path)
    os.rename(path, path + ".away")
    refuse_data(env, "eu-north-1")
    os.rename(path + ".away", path)
    pathlib.Path(path).write_bytes(good)
    still_good(env)


def swap(a, b):
    os.rename(a, a + ".swap")
    os.rename(b, a)
    os.rename(a + ".swap", b)


@suite.check("the data folder of another region is refused, even with its FORMAT file put right")
def _(env):
    a, b = (os.path.join(stopped(env), r) for r in ("eu-north-1", "eu-west-1"))
    swap(a, b)
    refuse_data(env, "eu-north-1", "eu-west-1")
    swap(a + "/FORMAT", b + "/FORMAT")
    refuse_data(env, "eu-north-1", "eu-west-1")
    swap(a + "/FORMAT", b + "/FORMAT")
    swap(a, b)
    still_good(env)


@suite.check("data of a newer format, of no format, and of something else are refused")
def _(env):
    path = pathlib.Path(stopped(env)) / "eu-north-1" / "FORMAT"
    good = path.read_bytes()
    for content, word in ((good.replace(b"domicile-store 1", b"domicile-store 2"), "format 2"),
                          (b"", "FORMAT"), (b"something else\n", "FORMAT"), (None, "FORMAT")):
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content)
        refuse_data(env, word)
    path.write_bytes(good)
    os.chmod(path, 0o600)
    still_good(env)


@suite.check("data written under test_plain is not opened as if it were sealed, nor the other way")
def _(env):
    router = env.router("plain", env.small, extra="test_plain = true;\n")
    equal(env.stop(router), 0, "exit code")
    said = try_serve(env, config_for(env.folder("plain")))
    true("test_plain" in said, said)
    said = try_serve(env, config_for(stopped(env), test_plain="true"))
    true("test_plain" in said, said)
    still_good(env)


# ---- the policy command ----

@suite.check("policy command: exit codes")
def _(env):
    bad = Copy(env.folder("bad-policy-2"))
    bad.change('basis = "scc_eu_in";\n', 'basis = "scc_eu_xx";\n')
    bad.save()
    ask = ["--op", "read", "--service", "moderation", "--purpose", "moderation", "--kind",
           "live_room", "--home", "DE", "--caller", "us-west-2"]
    cases = [
        (0, ["check", POLICY]), (1, ["check", bad.path]), (1, ["check", POLICY, bad.path]),
        (1, ["check", env.scratch + "/none.cfg"]), (3, ["check"]), (3, ["chekc", POLICY]),
        (3, ["check", POLICY, "--format", "xml"]), (3, []),
        (0, ["explain", POLICY, *ask]), (0, ["explain", POLICY, *ask[:-1], "cn-north-1"]),
        (1, ["explain", bad.path, *ask]), (3, ["explain", POLICY]),
        (3, ["explain", POLICY, *ask, "--date", "yesterday"]),
        (0, ["test", POLICY.parent / "policy_test.cfg"]), (3, ["test"]),
        (1, ["test", env.scratch + "/none_test.cfg"]), (0, ["where", POLICY, "--home", "DE"]),
        (0, ["--help"]),
    ]
    for code, arguments in cases:
        done = env.run("policy", *arguments)
        equal(done.returncode, code, "exit code of policy %s (%s)" % (
            " ".join(map(str, arguments)), done.stderr[:200]))


@suite.check("policy test: a case that does not hold fails, and is named")
def _(env):
    text = (POLICY.parent / "policy_test.cfg").read_text(encoding="utf-8")
    folder = pathlib.Path(env.folder("policy-test"))
    shutil.copy(POLICY, folder / "policy.cfg")
    at = text.index('expect = { effect = "deny"')
    (folder / "policy_test.cfg").write_text(
        text[:at] + text[at:].replace('effect = "deny"', 'effect = "allow"', 1),
        encoding="utf-8")
    done = env.run("policy", "test", folder / "policy_test.cfg")
    equal(done.returncode, 1, "exit code")
    true("policy_test.cfg:" in done.stdout + done.stderr, "no place is named")


@suite.check("unknown verbs and version")
def _(env):
    equal([env.run(*a).returncode for a in ((), ("nope",), ("version",), ("help",))],
          [3, 3, 0, 0], "exit codes")


suite.main(prepare)
