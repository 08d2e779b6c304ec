#!/usr/bin/python3
"""Retention of the logs by the policy's audit.keep: old entries go, all proofs stay, legal holds keep
what they name, and every tool says from where on the entries are there.

    retention_e2e.py [PART OF A CHECK'S NAME]
"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "lib"))
from harness import *  # noqa: E402,F403
from policytext import SMALL  # noqa: E402
import hashlib  # noqa: E402

suite = Suite("retention")
REGION = "eu-north-1"
COUNT = 900


def cross(env, count):
    reader = env.client(env.main, "moderation", "us-east-1")
    calls = [reader.future(RECORD + "GetRecord", kind="live_room", id="t", home="SE",
                           purpose="moderation", fields=["title"]) for _ in range(count)]
    return [c.result().receipt.index for c in calls]


def holds(env):
    return env.client(env.main, "moderation", REGION).call(AUDIT + "ListHolds", region=REGION)


def settled(env):
    return wait_published(env, env.main, REGION)


def prepare(env):
    path = pathlib.Path(env.folder("policy")) / "small.cfg"
    path.write_text(SMALL + 'audit = { keep = "PT3S"; };\n', encoding="utf-8")
    tour.Router.audit += " prune_interval_s = 1;"
    env.main = env.router("data", path)
    rooms = env.client(env.main, "room-service", REGION)
    rooms.put("live_room", "t", "SE", {"title": "room"})
    env.operator = env.client(env.main, "moderation", REGION)
    env.operator.call(AUDIT + "PlaceHold", region=REGION,
                      hold={"id": "case-7", "first_index": 0, "end_index": 300, "reason": "court"})
    cross(env, COUNT)
    env.size = settled(env)
    env.early = os.path.join(env.scratch, "early")
    shutil.copytree(env.main.log_dir(REGION), env.early)


@suite.check("a hold keeps what it names, and is an entry")
def _(env):
    got = holds(env)
    equal([(h.id, h.first_index, h.end_index, h.reason) for h in got.holds],
          [("case-7", 0, 300, "court")], "holds")
    time.sleep(6)  # three seconds of keeping and passes of the purger, in which nothing may happen
    equal(holds(env).first_index, 0, "first entry")
    found = [json.loads(b) for _, b in entries(env, env.main, REGION) if b'"type":"hold"' in b]
    equal([(e["detail"]["action"], e["detail"]["hold"]) for e in found], [("hold", "case-7")],
          "entries")


@suite.check("what nobody may ask")
def _(env):
    place = lambda **hold: env.operator.call(AUDIT + "PlaceHold", region=REGION, hold=hold)  # noqa: E731
    refused(lambda: place(id="case-7", reason="again"), "ALREADY_EXISTS")
    refused(lambda: place(id="Case", reason="x"), "INVALID_ARGUMENT")
    refused(lambda: place(id="x" * 65, reason="x"), "INVALID_ARGUMENT", fields=["hold.id"])
    refused(lambda: place(id="x", reason="x" * 257), "INVALID_ARGUMENT", fields=["hold.reason"])
    refused(lambda: place(id="x", reason="x", subject="anna"), "INVALID_ARGUMENT")
    refused(lambda: env.operator.call(AUDIT + "PlaceHold", region=REGION), "INVALID_ARGUMENT",
            fields=["hold"])
    refused(lambda: env.operator.call(AUDIT + "ReleaseHold", region=REGION, id="none"), "NOT_FOUND")
    refused(lambda: env.operator.call(AUDIT + "ListHolds", region="nowhere"), "INVALID_ARGUMENT")


@suite.check("released, the old entries go: verify, Go's verifier, proofs, exports and reports go on")
def _(env):
    env.operator.call(AUDIT + "ReleaseHold", region=REGION, id="case-7")
    wait_until(lambda: holds(env).first_index >= 512, 30, "pruning")
    settled(env)
    first = holds(env).first_index
    folder = env.main.log_dir(REGION)
    true(not os.path.exists(folder + "/tile/entries/000"), "the first bundle is there")
    done = env.run("audit", "verify", "--log", folder, "--policy", folder + "/witness-policy",
                   "--old", env.early + "/checkpoint")
    equal(done.returncode, 0, done.stdout + done.stderr)
    true(" from %d" % first in done.stdout, done.stdout)
    got = entries(env, env.main, REGION)
    equal(got[0][0], first, "first index that is served")
    pruned = next(json.loads(b) for _, b in got if b'"action":"prune"' in b)
    equal((pruned["type"], pruned["detail"]["first"]), ("purge", first), "entry")
    # An entry that is gone is still proven to have been there.
    old = split(read_bundle(env.early + "/tile/entries/000"))[7]
    proof = env.operator.call(AUDIT + "ProveInclusion", region=REGION, index=7)
    equal(bytes(proof.leaf_hash), leaf_hash(old), "leaf hash of a pruned entry")
    done = env.run("audit", "prove", "--log", folder, "--index", 7)
    equal(done.returncode, 1, "exit code of prove of what is gone")
    true("before %d are pruned" % first in done.stderr, done.stderr)
    equal(env.run("audit", "prove", "--log", folder, "--index", first).returncode, 0, "prove")
    for arguments in (("export", "--format", "jsonl"), ("report", "matrix"), ("report", "art30"),
                      ("tail",), ("query", "--where", "to=US"), ("gap",), ("index",)):
        done = env.run("audit", arguments[0], "--log", folder, *arguments[1:])
        equal(done.returncode, 0, "exit code of %s: %s" % (arguments[0], done.stderr))


@suite.check("an export of a pruned log says where it begins, and is checked offline")
def _(env):
    folder = env.main.log_dir(REGION)
    out, manifest = (os.path.join(env.scratch, n) for n in ("export.jsonl", "manifest"))
    key = os.path.join(env.scratch, "sign.key")
    seed = base64.b64encode(b"\1" + bytes(range(32))).decode()
    public = subprocess.run(
        ["openssl", "pkey", "-inform", "DER", "-pubout", "-outform", "DER"], check=True,
        input=bytes.fromhex("302e020100300506032b657004220420") + bytes(range(32)),
        capture_output=True).stdout[-32:]
    key_id = hashlib.sha256(b"exporter\n\1" + public).hexdigest()[:8]
    pathlib.Path(key).write_text("PRIVATE+KEY+exporter+%s+%s\n" % (key_id, seed), encoding="utf-8")
    os.chmod(key, 0o600)
    vkey = "exporter+%s+%s" % (key_id, base64.b64encode(b"\1" + public).decode())
    done = env.run("audit", "export", "--log", folder, "--out", out, "--manifest", manifest,
                   "--sign-key", key)
    equal(done.returncode, 0, done.stderr)
    done = env.run("audit", "check-export", out, "--manifest", manifest, "--key", vkey)
    equal(done.returncode, 0, done.stdout + done.stderr)
    first = json.loads(pathlib.Path(out).read_text(encoding="utf-8").split("\n")[0])["index"]
    true(first > 0 and "indexes %d " % first in pathlib.Path(manifest).read_text(encoding="utf-8"),
         "the manifest does not begin at %d" % first)


def split(raw):
    out, at = [], 0
    while at < len(raw):
        size = int.from_bytes(raw[at:at + 2], "big")
        out.append(raw[at + 2:at + 2 + size])
        at += 2 + size
    return out


@suite.check("Go's verifier knows a pruned log too, and takes no loss for pruning")
def _(env):
    go = build_go(env)
    if go is None:
        print("# skipped: golang-go or golang-golang-x-mod-dev is not installed")
        return
    folder = os.path.join(env.scratch, "copy")
    settled(env)
    shutil.copytree(env.main.log_dir(REGION), folder)
    done = subprocess.run([go, folder], capture_output=True, text=True)
    equal(done.returncode, 0, done.stderr)
    kept = sorted(os.listdir(folder + "/tile/entries"))[0]
    statement = pathlib.Path(folder + "/pruned").read_text(encoding="utf-8")

    def both_find(what):
        equal(subprocess.run([go, folder], capture_output=True).returncode, 1, "Go after " + what)
        equal(env.run("audit", "verify", "--log", folder).returncode, 1, "ours after " + what)

    os.rename(folder + "/tile/entries/" + kept, folder + "/kept")
    both_find("a bundle that was lost")
    os.rename(folder + "/kept", folder + "/tile/entries/" + kept)
    for what, text in (("no statement", None), ("a changed one", statement.replace("first ", "first 1")),
                       ("a cut one", statement[:-9])):
        os.unlink(folder + "/pruned")
        if text is not None:
            pathlib.Path(folder + "/pruned").write_text(text, encoding="utf-8")
        both_find(what)
        pathlib.Path(folder + "/pruned").write_text(statement, encoding="utf-8")
    equal(env.run("audit", "verify", "--log", folder).returncode, 0, "mended")


def build_go(env):
    path = "/usr/share/gocode"
    if not shutil.which("go") or not os.path.isdir(path + "/src/golang.org/x/mod/sumdb/tlog"):
        return None
    out = os.path.join(env.scratch, "tlog_verify")
    home = env.folder("go")
    settings = dict(os.environ, GOPATH=path, GO111MODULE="off", GOFLAGS="", HOME=home,
                    GOCACHE=os.environ.get("GOCACHE", home + "/cache"))
    subprocess.run(["go", "build", "-o", out, str(ROOT / "tests/interop/tlog_verify/main.go")],
                   cwd=home, env=settings, check=True, capture_output=True)
    return out


@suite.check("a restart remembers; new entries are pruned in their turn")
def _(env):
    before = holds(env).first_index
    env.stop(env.main)
    env.main = env.router("data", env.main.policy)
    env.operator = env.client(env.main, "moderation", REGION)
    equal(holds(env).first_index, before, "first entry after the restart")
    cross(env, 600)
    wait_until(lambda: holds(env).first_index >= before + 512, 40, "the next pruning")
    settled(env)
    done = env.run("audit", "verify", "--log", env.main.log_dir(REGION))
    equal(done.returncode, 0, done.stdout)


@suite.check("a destroyed key epoch: whom its entries name cannot be told, and every proof still holds")
def _(env):
    key_file = os.path.join(env.main.data, "keys", REGION + ".key")
    folder = env.main.log_dir(REGION)

    def restart():
        env.stop(env.main)
        env.main = env.router("data", env.main.policy)
        env.operator = env.client(env.main, "moderation", REGION)

    def found():
        done = env.run("audit", "query", "--log", folder, "--subject", "live_room/t", "--keys",
                       key_file)
        equal(done.returncode, 0, done.stderr)
        return len(done.stdout.splitlines())

    def key_entries():
        return [json.loads(b)["detail"] for _, b in entries(env, env.main, REGION)
                if b'"type":"key"' in b]

    cross(env, 5)
    settled(env)
    old = env.run("audit", "hash", "live_room/t", "--keys", key_file).stdout.split()
    equal(len(old), 1, "hashes before")
    proof = os.path.join(env.scratch, "old-proof")
    index = settled(env) - 1
    equal(env.run("audit", "prove", "--log", folder, "--index", index, "--out", proof).returncode, 0,
          "prove")
    equal(env.run("audit", "destroy-subject", "--keys", key_file, "--epoch", 1).returncode, 1,
          "exit code of destroying the epoch in use")
    equal(env.run("audit", "rotate-subject", "--keys", key_file).returncode, 0, "rotate")
    restart()
    cross(env, 7)
    settled(env)
    equal([(d["action"], d["epoch"]) for d in key_entries()], [("rotated", 2)], "entries")
    both = found()
    true(both >= 7 + 1, "%d entries found under two epochs" % both)
    hashes = env.run("audit", "hash", "live_room/t", "--keys", key_file).stdout.split()
    equal([h[:7] for h in hashes], ["hmac:2:", "hmac:1:"], "hashes")
    equal(hashes[1], old[0], "the older hash")
    env.stop(env.main)
    equal(env.run("audit", "destroy-subject", "--keys", key_file, "--epoch", 1).returncode, 0,
          "destroy")
    equal(env.run("audit", "destroy-subject", "--keys", key_file, "--epoch", 1).returncode, 1,
          "destroy what is gone")
    env.main = env.router("data", env.main.policy)
    env.operator = env.client(env.main, "moderation", REGION)
    settled(env)
    equal([(d["action"], d["epoch"]) for d in key_entries()], [("rotated", 2), ("destroyed", 1)],
          "entries")
    equal(len(env.run("audit", "hash", "live_room/t", "--keys", key_file).stdout.split()), 1,
          "hashes after")
    equal(found(), 7, "entries that can still be told")
    done = env.run("audit", "verify", "--log", folder, "--policy", folder + "/witness-policy")
    equal(done.returncode, 0, done.stdout)
    done = env.run("audit", "check-proof", proof, "--policy", folder + "/witness-policy")
    equal(done.returncode, 0, "an old proof: " + done.stderr)
    for arguments in (("rotate-subject",), ("destroy-subject", "--keys", key_file)):
        equal(env.run("audit", *arguments).returncode, 3, "usage of " + arguments[0])


suite.main(prepare)
