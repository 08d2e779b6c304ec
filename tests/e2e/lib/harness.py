"""What the end-to-end checks share: finding the built binary, scratch folders, routers on free
ports, one line per check, and requests made byte by byte.

A check is a function; `not ok` is an exception. The clients are Debian's python3-grpcio with
messages from the descriptor set (tools/tour/client.py): nothing of the project's own wire code.
"""

import base64
import gzip
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tools" / "tour"))

import grpc  # noqa: E402
import client as rpc  # noqa: E402
import pki as certificates  # noqa: E402
import sweep as sweeping  # noqa: E402
import tour  # noqa: E402

# Checks that are not about time share a machine with whatever else runs on it.
tour.Router.audit = "wait_ms = 10000;"

POLICY = ROOT / "policy" / "global-live" / "policy.cfg"
RECORD = "domicile.v1.RecordService/"
POLICY_SERVICE = "domicile.v1.PolicyService/"
AUDIT = "domicile.v1.AuditService/"


def _bazel_bin(*options):
    done = subprocess.run(["bazel", "info", *options, "bazel-bin"], cwd=ROOT, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return pathlib.Path(done.stdout.strip() or "/nonexistent")


def _find_binary():
    named = os.environ.get("DOMICILE_BIN")
    if named:
        return str(pathlib.Path(named).resolve())
    # The release binary: those of the sanitizers lie where the plain one does.
    for options in (["--config=release"], []):
        found = _bazel_bin(*options) / "tools" / "domicile"
        if found.exists():
            return str(found)
    return str((ROOT / "bazel-bin" / "tools" / "domicile").resolve())


def _make_descriptors(folder):
    """The descriptor set of the API: as built, or by protoc, which needs no build."""
    if os.environ.get("DOMICILE_DESCRIPTORS"):
        return os.environ["DOMICILE_DESCRIPTORS"]
    api = ROOT / "router" / "api"
    out = os.path.join(folder, "api.binpb")
    files = sorted(str(p.relative_to(api)) for p in api.glob("**/*.proto"))
    subprocess.run(["protoc", "--include_imports", "-I%s" % api, "--descriptor_set_out=" + out,
                    *files], check=True)
    return out


class Env:
    """One script's world: a scratch folder that goes at the end, and what runs in it."""

    def __init__(self, name):
        self.scratch = tempfile.mkdtemp(prefix="domicile-%s-" % name)
        self.domicile = _find_binary()
        self.descriptors = _make_descriptors(self.scratch)
        self.api = rpc.Api(self.descriptors)
        self.routers = []
        self.clients = []
        if not os.path.exists(self.domicile):
            raise RuntimeError("no binary: build //tools:domicile or set DOMICILE_BIN")

    def folder(self, name):
        path = os.path.join(self.scratch, name)
        os.makedirs(path, mode=0o700, exist_ok=True)
        return path

    def router(self, name, policy=POLICY, extra="", pki=None, environment=None):
        """A router on the data folder `name`: starts it, or starts it again. With a CA it speaks
        mTLS."""
        router = tour.Router(self.domicile, str(policy), self.folder(name), extra, pki,
                             environment)
        self.routers.append(router)
        return router

    def client(self, router, service, region, extra=()):
        caller = router.client(self.api, service, region, extra)
        self.clients.append((router, caller))
        return caller

    def leave(self, router):
        """Closes the clients of a router: one that is idle answers its farewell seconds late."""
        for other, caller in self.clients:
            if other is router:
                caller.close()
        self.clients = [(r, c) for r, c in self.clients if r is not router]

    def stop(self, router):
        self.leave(router)
        return router.stop()

    def run(self, *arguments, **options):
        return subprocess.run([self.domicile, *map(str, arguments)], capture_output=True,
                              text=True, timeout=120, **options)

    def close(self):
        for _, caller in self.clients:
            caller.close()
        for router in self.routers:
            if router.process.poll() is None:
                router.process.kill()
                router.process.wait()
            router.process.stdout.close()
            router.log.close()
        if os.environ.get("DOMICILE_KEEP"):
            print("# kept: " + self.scratch)
        else:
            shutil.rmtree(self.scratch, ignore_errors=True)


class Suite:
    """The checks of one script, in the order of their definition."""

    def __init__(self, name):
        self.name = name
        self.checks = []

    def check(self, name):
        def add(function):
            self.checks.append((name, function))
            return function
        return add

    def add(self, name, function, *arguments):
        self.checks.append((name, lambda env: function(env, *arguments)))

    def main(self, prepare=None):
        only = sys.argv[1] if len(sys.argv) > 1 else ""
        passed = failed = 0
        env = Env(self.name)
        try:
            if prepare is not None:
                prepare(env)
            for name, function in self.checks:
                if only not in name:
                    continue
                try:
                    function(env)
                except Exception as error:  # noqa: BLE001: whatever went wrong is this check's
                    failed += 1
                    print("not ok - %s: %s" % (name, _why(error)), flush=True)
                else:
                    passed += 1
                    print("ok - " + name, flush=True)
        except Exception:  # noqa: BLE001: nothing could be checked
            traceback.print_exc()
            failed += 1
            print("not ok - set-up of " + self.name, flush=True)
        finally:
            env.close()
        print("%d passed, %d failed" % (passed, failed), flush=True)
        sys.exit(1 if failed else 0)


def _why(error):
    frame = traceback.extract_tb(error.__traceback__)
    where = [f for f in frame if "e2e" in f.filename and "harness" not in f.filename]
    line = " (line %d)" % where[-1].lineno if where else ""
    words = str(error) or type(error).__name__
    if isinstance(error, rpc.Failure):
        words = "%s %s %s: %s" % (error.code, error.reason, error.fields, error)
    elif isinstance(error, subprocess.CalledProcessError):
        words = "%s: %s" % (error, error.stderr)
    return words.replace("\n", " | ")[:600] + line


def equal(got, want, what="value"):
    if got != want:
        raise AssertionError("%s is %.300r, wanted %.300r" % (what, got, want))


def true(condition, why):
    if not condition:
        raise AssertionError(why)


def refused(action, code, reason=None, fields=None, words=None):
    """The call must fail just so. Returns the Failure."""
    try:
        got = action()
        if hasattr(got, "__next__"):
            got = list(got)
    except rpc.Failure as failure:
        equal(failure.code, code, "code (%s)" % failure)
        if reason is not None:
            equal(failure.reason, reason, "reason (%s)" % failure)
        if fields is not None:
            equal(failure.fields, fields, "field violations (%s)" % failure)
        if words is not None:
            true(words in str(failure), "the message does not say \"%s\": %s" % (words, failure))
        return failure
    raise AssertionError("expected %s, but it succeeded: %.200s" % (code, got))


def wait_until(condition, seconds=20, what="condition"):
    """For what another process does and tells nobody: asks again until it holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("%s: not within %d s" % (what, seconds))
        time.sleep(0.02)


def wait_published(env, router, region):
    """Waits until the checkpoint among the log's files covers every entry; gives their number."""
    return router.published(env.api, region)


def read_bundle(path):
    """The entries of a bundle file, end to end: it is a gzip member, or plain."""
    raw = pathlib.Path(path).read_bytes()
    return gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw


# ---- bytes that no generated message would make ----

def varint(number):
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def piece(field, value):
    """A length-delimited field, or a varint when the value is a number."""
    if isinstance(value, int):
        return varint(field << 3) + varint(value)
    if isinstance(value, str):
        value = value.encode()
    return varint(field << 3 | 2) + varint(len(value)) + value


def raw_call(caller, path, request, timeout=10):
    """Sends the very bytes; returns the answer's message."""
    response = caller.api.factory.GetPrototype(caller.api.method(path).output_type)
    stub = caller.channel.unary_unary("/" + path, request_serializer=bytes,
                                      response_deserializer=response.FromString)
    try:
        return stub(request, timeout=timeout, metadata=caller.identity)
    except grpc.RpcError as error:
        raise rpc.Failure(caller.api, error) from None


# ---- the log as a reader of it sees it ----

def leaf_hash(entry):
    return hashlib.sha256(b"\0" + entry).digest()


def entries(env, router, region, from_index=0):
    """(index, exact bytes) of a region's log, read from within the region."""
    caller = router.client(env.api, "auditor" if router.pki else "live-feed", region)
    try:
        out = []
        for message in caller.stream(AUDIT + "ListEntries", region=region, from_index=from_index):
            out.extend((e.index, bytes(e.entry)) for e in message.entries)
        return out
    finally:
        caller.close()


def log_size(env, router, region):
    return len(entries(env, router, region))


class NewEntries:
    """The entries that appear in a region's log while the block runs."""

    def __init__(self, env, router, region):
        self.env, self.router, self.region = env, router, region
        self.list = []

    def __enter__(self):
        self.before = log_size(self.env, self.router, self.region)
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            got = entries(self.env, self.router, self.region, self.before)
            # Purges and mirrors come when they come and are about no access here.
            self.list = [(i, b, json.loads(b)) for i, b in got
                         if json.loads(b)["type"] not in ("purge", "policy", "mirror")]


def check_receipt(receipt, found, origin=None):
    """The receipt is that of this entry: index, and the hash of the entry's exact bytes."""
    index, raw, _ = found
    equal(receipt.index, index, "receipt.index")
    equal(bytes(receipt.leaf_hash), leaf_hash(raw), "receipt.leaf_hash")
    if origin is not None:
        equal(receipt.origin, origin, "receipt.origin")


def http_get(port, path="/metrics"):
    with urllib.request.urlopen("http://127.0.0.1:%d%s" % (port, path), timeout=10) as page:
        return page.read().decode()


__all__ = [
    "AUDIT", "Env", "NewEntries", "POLICY", "POLICY_SERVICE", "RECORD", "ROOT", "Suite", "base64",
    "certificates", "check_receipt", "entries", "equal", "grpc", "http_get", "json", "leaf_hash", "log_size",
    "os", "pathlib", "piece", "raw_call", "read_bundle", "refused", "rpc", "shutil", "subprocess",
    "sweeping", "sys", "time", "tour", "true", "varint", "wait_published", "wait_until",
]
