"""What scripts about faults share: a router with one record that is asked for from both sides of a
border while something breaks, and the faults themselves (mounts, FUSE), and the order of system calls.

The faults are real: file systems are mounted (as root; else skipped), or fail by FUSE.
"""
import contextlib
import os
import pathlib
import signal
import subprocess
import threading
import time

from harness import *  # noqa: F403
from policytext import small_policy

tour.Router.audit = ""  # the very bounds are checked here
BOUND_S = 0.250
BACK_S = 2.0
REGION = "eu-north-1"  # whose disk fails
NOT_SERVING, SERVING = 2, 1
CLOSED = 'domicile_audit_closed{region="%s",reason="%s"}'
LIB = pathlib.Path(__file__).resolve().parent
ROOT_ONLY = os.geteuid() == 0


class World:
    """A router on the small policy, one record in the EEA, and who asks for it from where."""

    def __init__(self, env, name, environment=None, extra="", policy=None):
        self.env = env
        self.folder = env.folder(name)
        self.receipts = []
        self.region_dir = os.path.join(self.folder, REGION)
        if policy is None:
            policy = small_policy(env.folder(name + "-policy"))
        self.router = env.router(name, policy, extra, environment=environment)
        self.connect()
        self.writer.put("live_room", "r", "SE", {"title": "hello", "cover_url": "x"})
        self.router.settle()

    def connect(self):
        self.home = self.env.client(self.router, "room-service", REGION)
        self.writer = self.env.client(self.router, "room-service", REGION)
        self.abroad = self.env.client(self.router, "moderation", "us-east-1")

    def local(self):
        began = time.monotonic()
        got = self.home.get("live_room", "r", purpose="serve", home="SE")
        true(rpc.values(got.record)["title"] == "hello", "the local read gave another value")
        return time.monotonic() - began

    def cross(self):
        """One crossing; its receipt is kept. Raises Failure."""
        got = self.abroad.get("live_room", "r", purpose="moderation", home="SE", fields=["title"])
        true(got.receipt.leaf_hash, "a crossing without a receipt")
        self.receipts.append((got.receipt.index, bytes(got.receipt.leaf_hash)))
        return got

    def calm(self, count):
        """So many crossings while nothing is broken. A machine that is busy elsewhere may keep a sync
        for 200 ms by itself: then the border closes rightly, and is waited for."""
        for _ in range(count):
            self.answered(time.monotonic())

    def health(self):
        return self.home.call("grpc.health.v1.Health/Check",
                              service="domicile.v1.RecordService/cross-border").status

    def closed(self, reason, within=BOUND_S):
        """Crossings are refused, each in time, and health says so. The machine's own noise, as the
        slowest local read shows it, is not the router's."""
        took = []
        with Ruler(self) as ruler:
            for _ in range(5):
                began = time.monotonic()
                failure = refused(self.cross, "UNAVAILABLE", "AUDIT_UNAVAILABLE")
                took.append(time.monotonic() - began)
                true(failure.retry_ms > 0, "no retry hint")
        equal(self.health(), NOT_SERVING, "health of the crossings")
        true(max(took) <= within + ruler.noise,
             "refused after %.0f ms (machine's noise %.0f ms)" % (max(took) * 1e3, ruler.noise * 1e3))
        if reason is not None:
            true(self.gauge(CLOSED % (REGION, reason)) == 1,
                 "the metric does not say %s: %s" % (reason, self.reasons()))
        return max(took)

    def gauge(self, series):
        for line in self.router.metrics().splitlines():
            if line.startswith(series + " "):
                return int(float(line.rsplit(" ", 1)[1]))
        raise AssertionError("no metric " + series)

    def reasons(self):
        return [line for line in self.router.metrics().splitlines()
                if line.startswith("domicile_audit_closed") and line.endswith(" 1")]

    def until_closed(self, seconds=5, reason=None):
        """Goes on crossing until one is refused, and for this reason; what was answered before
        counts."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                self.cross()
            except rpc.Failure as failure:
                equal((failure.code, failure.reason), ("UNAVAILABLE", "AUDIT_UNAVAILABLE"),
                      "refusal: %s" % failure)
                if reason is None or self.gauge(CLOSED % (REGION, reason)) == 1:
                    return
            true(time.monotonic() < deadline, "no crossing was refused in %d s" % seconds)

    def answered(self, began):
        """Seconds from `began` to the first crossing that is answered."""
        while True:
            try:
                self.cross()
                return time.monotonic() - began
            except rpc.Failure as failure:
                equal(failure.reason, "AUDIT_UNAVAILABLE", "refusal: %s" % failure)
            true(time.monotonic() - began < 10, "not back after 10 s: %s" % self.reasons())
            time.sleep(0.02)

    def until_open(self, began):
        """Seconds from `began`, the fault's end, to the first crossing that is answered."""
        took = self.answered(began)
        deadline = began + BACK_S
        while self.health() != SERVING:
            true(time.monotonic() < deadline, "health says NOT_SERVING: %s" % self.reasons())
            time.sleep(0.02)
        return took

    def nothing_lost(self):
        """Every receipt ever given is in the log, which verifies."""
        self.router.covered(self.env.api, REGION)
        found = dict(entries(self.env, self.router, REGION))
        equal(sorted(found), list(range(len(found))), "indexes")
        for index, leaf in self.receipts:
            true(index in found and leaf_hash(found[index]) == leaf, "entry %d is lost" % index)
        equal(self.router.metric("domicile_audit_lost_total"), 0, "domicile_audit_lost_total")
        # The checkpoint is published a moment after it is signed.
        wait_until(lambda: self.env.run("audit", "verify", "--log", self.router.log_dir(REGION)
                                        ).returncode == 0, 5, "audit verify")
        return {i: json.loads(e) for i, e in found.items()}

    def again(self):
        """The process has ended: a new one finds everything."""
        self.env.leave(self.router)
        self.router.start()
        self.connect()
        self.calm(1)
        self.nothing_lost()
        equal(self.env.stop(self.router), 0, "exit code")


class Ruler:
    """Reads at home all the while: the slowest is the machine's noise."""

    def __init__(self, world):
        self.world, self.noise, self.stop = world, 0.0, threading.Event()
        self.thread = threading.Thread(target=self._run)

    def _run(self):
        caller = rpc.Client(self.world.env.api, self.world.router.address, "room-service", REGION)
        while not self.stop.is_set():
            began = time.monotonic()
            caller.get("live_room", "r", purpose="serve", home="SE")
            self.noise = max(self.noise, time.monotonic() - began)
        caller.close()

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()


class Noticed:
    """When health says NOT_SERVING for crossings, as a watcher is told."""

    def __init__(self, world):
        self.world, self.at = world, None
        self.caller = rpc.Client(world.env.api, world.router.address, "room-service", REGION)
        self.told = self.caller.stream("grpc.health.v1.Health/Watch",
                                       service="domicile.v1.RecordService/cross-border")
        next(m for m in self.told if m.status == SERVING)
        self.thread = threading.Thread(target=self._run)
        self.ruler = Ruler(world)

    def _run(self):
        with contextlib.suppress(rpc.Failure):
            self.at = next(m for m in self.told if m.status == NOT_SERVING) and time.monotonic()

    def __enter__(self):
        self.thread.start()
        self.ruler.__enter__()
        return self

    def wait(self):
        self.thread.join(10)
        true(self.at is not None, "health did not turn NOT_SERVING: %s" % self.world.reasons())

    def __exit__(self, *_):
        self.ruler.__exit__()
        self.caller.close()
        self.thread.join()

    def within(self, began, bound=BOUND_S):
        """Seconds from `began`: at most the bound and the machine's noise."""
        took = self.at - began
        true(took <= bound + self.ruler.noise, "noticed after %.0f ms (machine's noise %.0f ms)" % (
            took * 1e3, self.ruler.noise * 1e3))
        return took


def unanswered(found):
    """What `sink` entries say was durable though its caller was told that it was not."""
    out = set()
    for entry in found.values():
        detail = entry.get("detail", {})
        if entry["type"] == "sink" and "unanswered_first" in detail:
            first = detail["unanswered_first"]
            out.update(range(first, first + detail["unanswered_count"]))
    return out


def accounted_for(world, found):
    """P4: of every read's entry it is known whether its answer left: it has a receipt, or a `sink`
    entry names it."""
    given = {index for index, _ in world.receipts}
    silent = unanswered(found)
    equal(sorted(given & silent), [], "answered, yet named as unanswered")
    for index, entry in found.items():
        if entry["type"] == "access" and entry["op"] == "read":
            true(index in given or index in silent, "entry %d: did its answer leave?" % index)


def same_speed(name, world):
    """In-jurisdiction reads are as quick as those of a router that has no fault, asked in turn with
    it: what the machine does to both is not the fault's."""
    control = world.env.control
    mine, other = [], []
    for _ in range(200):
        mine.append(world.local())
        other.append(control.local())
    mine.sort()
    other.sort()

    def at(times, share):
        return times[min(len(times) - 1, int(len(times) * share))] * 1e3

    print("# %s: local read p50 %.2f ms, p99 %.2f ms; without a fault %.2f ms, %.2f ms" % (
        name, at(mine, 0.5), at(mine, 0.99), at(other, 0.5), at(other, 0.99)))
    true(at(mine, 0.5) <= 1.5 * at(other, 0.5) + 0.5, "local reads are slow: p50 %.1f ms, else %.1f"
         % (at(mine, 0.5), at(other, 0.5)))
    true(at(mine, 0.99) <= 3 * at(other, 0.99) + 20, "local reads stall: p99 %.1f ms, else %.1f"
         % (at(mine, 0.99), at(other, 0.99)))


def play(world, name, reason, break_it, mend_it, cause_closes=True, stop=signal.SIGTERM,
         since=None, bound=BOUND_S):
    """The whole story of one fault. A crossing finds it out (`cause_closes`), or the router by itself,
    then within the bound. `since`: when it could first be noticed, else at once."""
    world.calm(20)
    wait_published(world.env, world.router, REGION)  # before that there are no files to be lost
    with Noticed(world) as notice:
        broken = time.monotonic()
        break_it()
        if cause_closes:
            world.until_closed(reason=reason)
        notice.wait()
        noticed = notice.at - broken
        if since is not None or not cause_closes:
            noticed = notice.within(broken if since is None else since(), bound)
    slowest = world.closed(reason)
    same_speed(name, world)
    mend_it()
    back = world.until_open(time.monotonic())
    print("# %s: noticed in %.0f ms, slowest refusal %.0f ms, back after %.0f ms" % (
        name, noticed * 1e3, slowest * 1e3, back * 1e3))
    true(back <= BACK_S, "back after %.1f s" % back)
    world.calm(5)
    found = world.nothing_lost()
    accounted_for(world, found)
    # And none of it is lost by a restart, clean or not.
    world.router.process.send_signal(stop)
    equal(world.router.process.wait(timeout=60), 0 if stop == signal.SIGTERM else -stop, "exit code")
    world.router.environment = None
    world.again()
    return found


def root_only(function):
    def run(env):
        if not ROOT_ONLY:
            print("skipped: needs root (mounts)", flush=True)
            return
        function(env)
    return run


@contextlib.contextmanager
def mounted(env, *arguments, path):
    os.makedirs(path, mode=0o700, exist_ok=True)
    subprocess.run(["mount", *arguments, path], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=False)


class FaultFs:
    """Mounts lib/faultfs.py on a folder."""

    def __init__(self, env, path, name, cache_s=1):
        self.path = path
        self.control = os.path.join(env.folder(name + "-control"), "word")
        self.say("ok")
        os.makedirs(path, mode=0o700, exist_ok=True)
        below = env.folder(name + "-below")
        self.process = subprocess.Popen(["/usr/bin/python3", str(LIB / "faultfs.py"), below, path,
                                         self.control, str(cache_s)], stdin=subprocess.DEVNULL)
        wait_until(lambda: os.path.ismount(path), 10, "mounting")

    def hung_at(self):
        """When the first call began to hang."""
        with open(self.control + ".hung", encoding="ascii") as f:
            return float(f.read())

    def say(self, word):
        with open(self.control + ".new", "w", encoding="ascii") as f:
            f.write(word)
        os.replace(self.control + ".new", self.control)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.say("ok")
        subprocess.run(["umount", "-l", self.path], check=False)
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextlib.contextmanager
def audit_keys(text):
    before, tour.Router.audit = tour.Router.audit, text
    try:
        yield
    finally:
        tour.Router.audit = before


class Trace:
    """The syncs and sends of the router while the block runs, by strace."""

    def __init__(self, world):
        self.path = os.path.join(world.folder, "strace")
        self.pid = world.router.process.pid
        self.port = ":" + world.router.address.rsplit(":", 1)[1]
        self.log = "audit.example.com/" + REGION

    def __enter__(self):
        self.process = subprocess.Popen(
            ["strace", "-f", "-yy", "-s", "4096", "-e", "trace=fsync,fdatasync,sendmsg", "-o", self.path,
             "-p", str(self.pid)], stderr=subprocess.PIPE, text=True)
        line = self.process.stderr.readline()
        if "attached" not in line:
            self.process.wait()
            raise PermissionError(line.strip())
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=20)
        with open(self.path, encoding="utf-8", errors="replace") as f:
            self.lines = f.read().splitlines()

    def events(self):
        """(call, what it was on, with which bytes) in order: a sync where it returned, a send where it
        began. A send may still be under way when its caller has the bytes, and the trace ends."""
        begun, out = {}, []
        for line in self.lines:
            thread, rest = line.split(None, 1)
            call = rest.split("(", 1)[0]
            if rest.startswith("<... "):
                call = rest.split()[1]
                if call != "sendmsg":
                    out.append((call, begun.pop(thread, "")))
            elif call == "sendmsg" or "<unfinished" not in rest:
                out.append((call, rest))
            else:
                begun[thread] = rest
        return out

    @staticmethod
    def of_entry(events):
        """Where the one crossing's entry became durable: in the journal of the giving region, or in the
        write-ahead log of its database."""
        synced = [i for i, (call, on) in enumerate(events) if call == "fdatasync" and
                  ("/%s/journal>" % REGION in on or "/%s/db/" % REGION in on and ".log" in on)]
        true(synced, "no fdatasync of the journal or the write-ahead log: %s" % events)
        return synced[0]

    def of_answer(self, events):
        """Where the answer to the one crossing is: it names the log that has its entry."""
        sent = [i for i, (call, on) in enumerate(events)
                if call == "sendmsg" and self.port in on and self.log in on]
        equal(len(sent), 1, "answers sent: %s" % events)
        return sent[0]


__all__ = [
    "BACK_S", "BOUND_S", "FaultFs", "Noticed", "REGION", "SERVING", "Trace", "World", "audit_keys", "mounted",
    "play", "root_only", "same_speed",
]
