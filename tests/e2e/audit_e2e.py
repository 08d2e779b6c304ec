#!/usr/bin/python3
"""An auditor's evening at the command line, against a router that runs: exports over gRPC with signed
manifests, listings with filters, what two regions' logs say of each other, and registers of them.

    audit_e2e.py [PART OF A CHECK'S NAME]
"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "lib"))
from harness import *  # noqa: E402,F403
from policytext import small_policy  # noqa: E402
import collections  # noqa: E402
import concurrent.futures  # noqa: E402
import csv  # noqa: E402
import hashlib  # noqa: E402
import io  # noqa: E402
import re  # noqa: E402

suite = Suite("audit")
HOME, ABROAD = "eu-north-1", "us-east-1"
FORMS = ("jsonl", "csv", "ocsf", "ecs", "cef", "cloudevents")


def make_key(env):
    """A key to sign manifests with: its file, and its public half."""
    path = os.path.join(env.scratch, "sign.key")
    seed = bytes(range(32))
    public = subprocess.run(
        ["openssl", "pkey", "-inform", "DER", "-pubout", "-outform", "DER"], check=True,
        input=bytes.fromhex("302e020100300506032b657004220420") + seed,
        capture_output=True).stdout[-32:]
    key_id = hashlib.sha256(b"auditor\n\1" + public).hexdigest()[:8]
    pathlib.Path(path).write_text("PRIVATE+KEY+auditor+%s+%s\n" % (
        key_id, base64.b64encode(b"\1" + seed).decode()), encoding="utf-8")
    os.chmod(path, 0o600)
    return path, "auditor+%s+%s" % (key_id, base64.b64encode(b"\1" + public).decode())


def fill(env, router, first, count):
    """Writes, and reads across the border: each of those is an entry at home."""
    rooms = env.client(router, "room-service", HOME)
    abroad = env.client(router, "moderation", ABROAD)
    for n in range(first, first + count):
        rooms.put("live_room", "a-%d" % n, "SE", {"title": "room %d" % n})
        abroad.get("live_room", "a-%d" % n, purpose="moderation", home="SE", fields=["title"])
        if n % 3 == 0:
            refused(lambda: abroad.get("live_room", "a-%d" % n, purpose="serve", home="SE"),
                    "PERMISSION_DENIED")


def prepare(env):
    env.policy = small_policy(env.folder("policy"))
    env.sign_key, env.signer = make_key(env)
    env.main = env.router("data", env.policy)
    fill(env, env.main, 0, 40)
    wait_published(env, env.main, HOME)
    env.vkey = pathlib.Path(env.main.log_dir(HOME), "vkey").read_text(encoding="utf-8").strip()


def ask(env, *arguments, router=None, who=("live-feed", HOME)):
    """`domicile audit export` from the router; who asks is not proven here."""
    return env.run("audit", "export", "--log-region", HOME, "--address",
                   (router or env.main).address, "--service", who[0], "--region", who[1],
                   *arguments, env=dict(os.environ, HOME=env.scratch, XDG_CONFIG_HOME="/none"))


def local(env, *arguments):
    done = env.run("audit", "export", "--log", env.main.log_dir(HOME), *arguments)
    equal(done.returncode, 0, done.stderr)


def check(env, out, manifest, *more):
    return env.run("audit", "check-export", out, "--manifest", manifest, "--key", env.signer,
                   "--key", env.vkey, *more)


def path(env, name):
    return os.path.join(env.scratch, name)


def end_of(manifest):
    line = [l for l in pathlib.Path(manifest).read_text(encoding="utf-8").split("\n")
            if l.startswith("indexes ")][0]
    return int(line.split()[2])


@suite.check("a whole log out of a router, signed, gives its root offline, in every form")
def _(env):
    for form in FORMS:
        out, manifest, again = (path(env, n + "." + form) for n in ("whole", "manifest", "again"))
        before = log_size(env, env.main, HOME)
        wait_published(env, env.main, HOME)
        done = ask(env, "--format", form, "--out", out, "--manifest", manifest, "--sign-key",
                   env.sign_key, "--key", env.vkey)
        equal(done.returncode, 0, done.stderr)
        index, entry = entries(env, env.main, HOME, before)[0]
        entry = json.loads(entry)
        equal((entry["type"], entry["actor"]["id"]), ("export", "insecure:live-feed"), "its entry")
        true("entry %d of the log tells of this export" % index in done.stderr, done.stderr)
        done = check(env, out, manifest)
        equal(done.returncode, 0, done.stdout + done.stderr)
        true("checkpoint: signed by the log" in done.stdout, done.stdout)
        if form in ("jsonl", "cloudevents"):
            true("they give the checkpoint's root" in done.stdout, done.stdout)
        local(env, "--format", form, "--end", end_of(manifest), "--out", again)
        true(pathlib.Path(out).read_bytes() == pathlib.Path(again).read_bytes(),
             "%s: other bytes than from the files" % form)
        with open(out, "r+b") as file:  # one bit of it
            file.seek(os.path.getsize(out) // 2)
            byte = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte[0] ^ 1]))
        equal(check(env, out, manifest).returncode, 1, "exit code of a changed one")


@suite.check("filters: the rows are those that every other way gives, each proven before it is signed")
def _(env):
    size = wait_published(env, env.main, HOME)
    all_of = [(i, json.loads(b)) for i, b in entries(env, env.main, HOME) if i < size]
    day = 86400000
    now = all_of[-1][1]["time"]
    cases = (
        (("--where", "type=access"), lambda i, e: e["type"] == "access"),
        (("--where", "to=US", "--where", "outcome=deny"),
         lambda i, e: e["type"] == "deny" and e["transfer"]["to"] == "US"),
        (("--where", "type=access", "--where", "type=deny", "--first", 7, "--end", 60),
         lambda i, e: e["type"] in ("access", "deny") and 7 <= i < 60),
        (("--from", time.strftime("%Y-%m-%d", time.gmtime((now - 2 * day) // 1000)), "--where",
          "op=write"), lambda i, e: e.get("op") == "write"),
        (("--end", 50), lambda i, e: i < 50),
        (("--first", 3, "--end", 50), lambda i, e: 3 <= i < 50),
        (("--where", "kind="), lambda i, e: "kind" not in e.get("record", {})),
        (("--where", "to=CN"), lambda i, e: False))
    for number, (arguments, passes) in enumerate(cases):
        out, manifest = path(env, "some-%d" % number), path(env, "manifest-%d" % number)
        done = ask(env, *arguments, *(() if "--end" in arguments else ("--end", size)), "--out", out,
                   "--manifest", manifest, "--sign-key", env.sign_key, "--key", env.vkey)
        equal(done.returncode, 0, done.stderr)
        rows = [json.loads(l) for l in pathlib.Path(out).read_text(encoding="utf-8").splitlines()]
        want = [i for i, e in all_of if passes(i, e)]
        equal([r["index"] for r in rows], want, "indexes of %s" % (arguments,))
        done = check(env, out, manifest)
        equal(done.returncode, 0, done.stdout + done.stderr)
        true("their leaf hashes are right" in done.stdout, done.stdout)


@suite.check("a person's entries are asked for by name, and a manifest wants the hash")
def _(env):
    name = ("--subject", "live_room/a-3")
    done = ask(env, *name)
    equal(done.returncode, 0, done.stderr)
    rows = [json.loads(l) for l in done.stdout.splitlines()]
    keys = os.path.join(env.main.data, "keys", HOME + ".key")
    hashes = env.run("audit", "hash", "live_room/a-3", "--keys", keys).stdout.split()
    true(len(rows) >= 2 and all(r["entry"]["record"]["id"] in hashes for r in rows), str(rows)[:200])
    same = ask(env, *name, "--keys", keys, "--end", rows[-1]["index"] + 1)
    equal(same.stdout, done.stdout, "rows by the key file")
    none = ask(env, *name, "--out", path(env, "p"), "--manifest", path(env, "pm"))
    true(none.returncode == 1 and "wants the hash, or --keys" in none.stderr, none.stderr)
    signed = ask(env, *name, "--keys", keys, "--out", path(env, "p"), "--manifest",
                 path(env, "pm"), "--sign-key", env.sign_key)
    equal(signed.returncode, 0, signed.stderr)
    true("not independent" in signed.stderr, signed.stderr)
    equal(check(env, path(env, "p"), path(env, "pm")).returncode, 0, "exit code of check-export")


@suite.check("an export that broke off goes on, and what was changed meanwhile is found")
def _(env):
    size = wait_published(env, env.main, HOME)
    for form in ("jsonl", "csv"):
        whole, part, manifest = (path(env, n) for n in ("r-whole", "r-part", "r-manifest"))
        plain = ("--format", form, "--where", "type=access", "--end", size)
        equal(ask(env, *plain, "--out", whole).returncode, 0, "exit code")
        raw = pathlib.Path(whole).read_bytes()
        rows = raw.split(b"\n")[:-1]
        kept = 9  # rows, and a torn one
        cut = len(b"\n".join(rows[:kept])) + 30
        after = json.loads(rows[kept - 1])["index"] if form == "jsonl" \
            else int(rows[kept - 1].split(b",")[0])
        for more in ((), ("--manifest", manifest, "--sign-key", env.sign_key)):
            pathlib.Path(part).write_bytes(raw[:cut])
            done = ask(env, *plain, "--out", part, "--resume-after", after, *more)
            equal(done.returncode, 0, done.stderr)
            true(pathlib.Path(part).read_bytes() == raw, "%s: other bytes" % form)
        equal(check(env, part, manifest).returncode, 0, "exit code of check-export")
        rest = ask(env, *plain, "--resume-after", after)
        equal(rest.stdout, raw[len(b"\n".join(rows[:kept])) + 1:].decode().replace("\r\n", "\n"),
              "the rest")
        pathlib.Path(part).write_bytes(raw[:cut].replace(b"moderation", b"marketing.", 1))
        done = ask(env, *plain, "--out", part, "--resume-after", after, *more)
        true(done.returncode == 1 and "has not the row" in done.stderr, done.stderr)


class Liar(grpc.GenericRpcHandler):
    """A router that changes what the real one answers: `lie` gets each message of an export."""

    def __init__(self, env, lie):
        self.env, self.lie = env, lie
        self.channel = grpc.insecure_channel(env.main.address)
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(4))
        self.server.add_generic_rpc_handlers((self,))
        self.address = "127.0.0.1:%d" % self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def stop(self):
        self.server.stop(None)
        self.channel.close()

    def service(self, details):
        if not details.method.endswith("/ExportEntries"):
            return grpc.unary_unary_rpc_method_handler(
                lambda request, context: self.channel.unary_unary(details.method)(
                    request, metadata=self.who(context)))
        return grpc.unary_stream_rpc_method_handler(
            lambda request, context: self.export(details.method, request, self.who(context)))

    @staticmethod
    def who(context):
        return [(k, v) for k, v in context.invocation_metadata() if k.startswith("domicile-")]

    def export(self, method, request, metadata):
        kind = self.env.api.factory.GetPrototype(self.env.api.method(method[1:]).output_type)
        for raw in self.channel.unary_stream(method)(request, metadata=metadata):
            message = kind.FromString(raw)
            self.lie(message)
            yield message.SerializeToString()


def leave_out(message):
    del message.entries[5]


def change(message):
    entry = message.entries[5]
    entry.entry = entry.entry.replace(b'"instance":"', b'"instance":"x', 1)


def twice(message):
    message.entries.add().CopyFrom(message.entries[5])


def another(message):
    message.entries[5].entry = message.entries[4].entry


def unasked(message):
    message.entries[5].entry = message.entries[5].entry.replace(
        b'"type":"access"', b'"type":"deny"', 1).replace(b'"effect":"allow"', b'"effect":"deny"', 1)


def spoilt(message):
    message.entries[5].entry += b" "


@suite.check("a router that lies gets no signature")
def _(env):
    size = wait_published(env, env.main, HOME)
    part = ("--where", "type=access")
    for lie, arguments, words in (
            (leave_out, (), "left out entries"), (change, (), "another root|consisten|root"),
            (another, (), "root|consisten"), (twice, (), "out of its turn"),
            (change, part, "index "), (another, part, "index "), (twice, part, "out of its turn"),
            (unasked, part, "was not asked for"), (spoilt, part, "not canonical")):
        liar = Liar(env, lie)
        out, manifest = path(env, "lie"), path(env, "lie-manifest")
        try:
            for truth in (False, True):
                liar.lie = (lambda message: None) if truth else lie
                done = ask(env, *arguments, "--end", size, "--out", out, "--manifest", manifest,
                           "--sign-key", env.sign_key, "--key", env.vkey, router=liar)
                what = "%s %s: %s" % (lie.__name__, arguments, done.stderr)
                equal(done.returncode, 0 if truth else 1, what)
                equal(os.path.exists(manifest), truth, "a manifest; " + what)
                true(truth or re.search(words, done.stderr), what)
        finally:
            liar.stop()
        os.unlink(manifest)


@suite.check("exit codes: a refusal is 4, a router that is not there 1, what cannot be meant 3")
def _(env):
    done = ask(env, who=("live-feed", ABROAD))
    equal(done.returncode, 4, done.stderr)
    true("PERMISSION_DENIED" in done.stderr and done.stdout == "", done.stderr)
    done = ask(env, "--where", "colour=red")
    equal(done.returncode, 3, done.stderr)
    done = ask(env, "--first", 1000000)
    true(done.returncode == 1 and "from_index" in done.stderr, done.stderr)
    done = env.run("audit", "export", "--log-region", HOME, "--address", "127.0.0.1:1",
                   "--service", "a", "--region", "b")
    equal(done.returncode, 1, done.stderr)
    for arguments, words in (
            (("--log", "x", "--log-region", HOME), "one of --log and --log-region"),
            ((), "one of --log and --log-region"),
            (("--log", "x", "--address", "y"), "go with export --log-region"),
            (("--log-region", HOME, "--timeout-ms", "soon"), "not a whole number")):
        done = env.run("audit", "export", *arguments)
        true(done.returncode == 3 and words in done.stderr, done.stderr)
    wrong = env.vkey.replace("/" + HOME, "/eu-west-1")
    done = ask(env, "--out", path(env, "w"), "--manifest", path(env, "wm"), "--key", env.signer)
    true(done.returncode == 1 and not os.path.exists(path(env, "wm")), done.stderr + wrong)


@suite.check("over mTLS the certificate says who asks, and the role is its own")
def _(env):
    pki = certificates.Pki(env.domicile, env.folder("pki"))
    router = env.router("mtls", env.policy, 'roles = { auditors = ("%s"); };\n'
                        % pki.id("auditor", HOME), pki)
    rooms = env.client(router, "room-service", HOME)
    rooms.put("live_room", "m-1", "SE", {"title": "x"})
    wait_published(env, router, HOME)
    for who, code in (("auditor", 0), ("room-service", 4)):
        folder = pki.issue(who, HOME)
        done = env.run("audit", "export", "--log-region", HOME, "--address", router.address,
                       "--cert", folder + "/svid.pem", "--tls-key", folder + "/svid_key.pem",
                       "--ca", folder + "/bundle.pem", "--out", path(env, "m"), "--manifest",
                       path(env, "mm"), "--sign-key", env.sign_key)
        equal(done.returncode, code, "%s: %s" % (who, done.stderr))
        if code == 0:
            vkey = pathlib.Path(router.log_dir(HOME), "vkey").read_text(encoding="utf-8").strip()
            done = env.run("audit", "check-export", path(env, "m"), "--manifest", path(env, "mm"),
                           "--key", env.signer, "--key", vkey)
            true(done.returncode == 0 and "checkpoint's root" in done.stdout, done.stderr)
    env.stop(router)


# ---- mirrors ----

def gap(env, *logs, more=()):
    arguments = [a for log in logs for a in ("--log", log)]
    return env.run("audit", "gap", *arguments, "--format", "json", *more)


def pairs(done):
    return {(m["of"], m["in"]): m for m in json.loads(done.stdout)["mirrors"]}


def crossings(env, router):
    return [i for i, b in entries(env, router, HOME)
            if json.loads(b).get("transfer", {}).get("to_region") == ABROAD]


def of_home(done):
    found, = [m for (of, _), m in pairs(done).items() if of.endswith(HOME)]
    return found


def wait_mirrored(env, router):
    """Until the log abroad tells of all that the log at home says went there."""
    logs = [router.log_dir(r) for r in (HOME, ABROAD)]
    wanted = len(crossings(env, router))
    wait_published(env, router, HOME)
    wait_published(env, router, ABROAD)

    def mirrored():
        got = of_home(gap(env, *logs, more=("--skew", 0)))
        return got["entries"] == wanted and got["missing"] + got["pending"] == 0

    wait_until(mirrored, what="mirrors of all that crossed")


@suite.check("gap: each region's log mirrors what the others say went there")
def _(env):
    logs = [env.main.log_dir(r) for r in (HOME, ABROAD)]
    wait_mirrored(env, env.main)
    done = gap(env, *logs, more=("--skew", 0))
    equal(done.returncode, 0, done.stdout + done.stderr)
    count = len(crossings(env, env.main))
    got = of_home(done)
    true(got["in"].endswith(ABROAD), str(got))
    equal((got["entries"], got["differing"], got["missing"], got["pending"]), (count, 0, 0, 0),
          "what crossed, counted by brute force")
    true(got["mirrors"] > 0, str(got))
    text = env.run("audit", "gap", "--log", logs[0], "--log", logs[1])
    true("MIRRORS differing=0 entries=%d" % count in text.stdout, text.stdout)
    # The other way nothing of a record went.
    true(not any(m["entries"] for (of, _), m in pairs(done).items() if of.endswith(ABROAD)),
         done.stdout)


@suite.check("gap: what no mirror tells of is missing, or pending while it may yet be told of")
def _(env):
    early = path(env, "early")
    wait_mirrored(env, env.main)
    before = crossings(env, env.main)
    shutil.copytree(env.main.log_dir(ABROAD), early)
    fill(env, env.main, 100, 5)
    wait_mirrored(env, env.main)
    wait_published(env, env.main, HOME)
    late = crossings(env, env.main)[len(before):]
    true(len(late) >= 5, str(late))
    home = env.main.log_dir(HOME)
    done = gap(env, home, early, more=("--skew", 0, "--max-gap", 10 ** 9))
    equal(done.returncode, 1, done.stdout + done.stderr)
    got = of_home(done)
    equal((got["missing"], got["differing"], got["pending"]), (len(late), 0, 0), "missing")
    text = env.run("audit", "gap", "--log", home, "--log", early, "--skew", 0, "--max-gap", 10 ** 9)
    true("first missing: index %d of" % late[0] in text.stdout, text.stdout)
    done = gap(env, home, early, more=("--skew", 10 ** 9, "--max-gap", 10 ** 9))
    equal(done.returncode, 0, done.stdout + done.stderr)
    got = of_home(done)
    equal((got["missing"], got["pending"]), (0, len(late)), "pending")


@suite.check("gap: a log that went another way behind its mirrors is found")
def _(env):
    wait_mirrored(env, env.main)
    # Another router of the same names: its log is as good, and not the one that was mirrored.
    other = env.router("other", env.policy)
    fill(env, other, 500, 50)
    wait_mirrored(env, other)
    env.stop(other)
    for home, abroad in ((other, env.main), (env.main, other)):
        logs = home.log_dir(HOME), abroad.log_dir(ABROAD)
        done = gap(env, *logs, more=("--skew", 0, "--max-gap", 10 ** 9))
        equal(done.returncode, 1, done.stdout + done.stderr)
        true(of_home(done)["differing"] > 0, done.stdout)
        text = env.run("audit", "gap", "--log", logs[0], "--log", logs[1], "--skew", 0)
        true("first differing: index " in text.stdout, text.stdout)
        index = int(text.stdout.split("first differing: index ")[1].split()[0])
        lines = env.run("audit", "query", "--log", logs[1], "--first", index, "--end", index + 1,
                        "--format", "json").stdout
        equal(json.loads(lines)["entry"]["type"], "mirror", "what differs")


# ---- registers ----

def plain(text):
    """A CSV cell without the apostrophe that keeps spreadsheets from running it."""
    return text[1:] if text[:1] == "'" else text


def flows(lines):
    """The matrix of (index, entry) by brute force: a line's counts, and the entries behind it."""
    counts = collections.defaultdict(lambda: [0, 0, 0, 0, 0])
    backing = collections.defaultdict(list)
    for index, raw in lines:
        e = json.loads(raw)
        if e["type"] not in ("access", "deny", "placement"):
            continue
        t = e.get("transfer", {})
        went = {t.get("to")} | {r["to"] for r in t.get("replicas", [])}
        purpose = "(placement)" if e["type"] == "placement" else e.get("purpose", "")
        classes = {f["c"] for f in e.get("fields", [])} or {"(none told)"}
        for to in went - {None, t.get("from")}:
            if "from" not in t:
                continue
            for c in classes:
                line = counts[t["from"], to, c, purpose]
                passed = "fields" not in e or any(
                    f["c"] == c and f["h"] in ("clear", "pseudonym") for f in e["fields"])
                if e["type"] == "deny":
                    line[4] += 1
                elif not passed:
                    line[3] += 1
                else:
                    line[0] += 1
                    line[1] += e["record"]["count"]
                    line[2] += e["record"]["bytes"]
                backing[t["from"], to, c, purpose].append(leaf_hash(raw))
    return dict(counts), backing


@suite.check("registers of a log that a router wrote: totals by brute force, placements too")
def _(env):
    policy = pathlib.Path(small_policy(env.folder("placing")))
    text = policy.read_text(encoding="utf-8")
    public = '{ id = "public"; home = ("EEA", "GB", "US"); classes = ("public"); regions = ("*");'
    true(text.count(public) == 1, "the policy has another shape")
    near = ('{ id = "near"; home = ("EEA"); classes = ("public"); regions = ("EEA", "GB");\n'
            '    basis = "not_personal"; },\n  ' + public.replace('"EEA", ', ""))
    policy.write_text(text.replace(public, near), encoding="utf-8")
    router = env.router("placing", policy)
    rooms = env.client(router, "room-service", HOME)
    for n in range(7):
        rooms.put("live_room", "p-%d" % n, "SE", {"title": "t", "category": "talk"})
    fill(env, router, 300, 7)
    # Now the public fields may lie everywhere: the replicas in the US are made by the policy.
    policy.write_text(text.replace("version = 1L", "version = 2L"), encoding="utf-8")
    rooms.call(POLICY_SERVICE + "ReloadPolicy")

    def placed():
        return sum(json.loads(b)["type"] == "placement" for _, b in entries(env, router, HOME))

    wait_until(lambda: placed() >= 7, what="placements")
    env.leave(router)
    size = wait_published(env, router, HOME)
    env.stop(router)
    folder = router.log_dir(HOME)
    out = path(env, "matrix.csv")
    done = env.run("audit", "report", "matrix", "--log", folder, "--end", size, "--format", "csv",
                   "--out", out)
    equal(done.returncode, 0, done.stderr)
    lines = [(l["index"], json.dumps(l["entry"], separators=(",", ":"), ensure_ascii=False).encode())
             for l in map(json.loads, env.run("audit", "export", "--log", folder, "--end",
                                              size).stdout.splitlines())]
    counts, backing = flows(lines)
    with open(out, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, strict=True))
    keys = ("from", "to", "class", "purpose")
    told = {tuple(plain(r[k]) for k in keys): [int(r[k]) for k in (
        "operations", "records", "bytes", "withheld", "refused")] for r in rows}
    equal(told, counts, "totals of the matrix")
    true(told["SE", "US", "public", "(placement)"][0] == 7, str(told))
    for row in rows:
        leaves = backing[tuple(plain(row[k]) for k in keys)]
        true("(%d entr" % len(leaves) in row["proof"] and
             hashlib.sha256(b"".join(leaves)).hexdigest() in row["proof"], str(row))
    art30 = env.run("audit", "report", "art30", "--log", folder, "--end", size, "--format", "csv")
    recipients = {plain(r["recipient"]) for r in csv.DictReader(io.StringIO(art30.stdout))
                  if plain(r["purpose"]) == "(placement)"}
    equal(recipients, {"replica in us-east-1"}, "recipients of what the policy placed")
    # The log has grown (a router that starts and stops says so): it is still made of it.
    router.start()
    wait_published(env, router, HOME)
    env.stop(router)
    done = env.run("audit", "report", "matrix", "--log", folder, "--end", size, "--format", "csv",
                   "--check", out)
    true(done.returncode == 0 and "OK %d lines" % len(rows) in done.stdout, done.stderr)


if __name__ == "__main__":
    suite.main(prepare)
