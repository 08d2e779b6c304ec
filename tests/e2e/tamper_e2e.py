#!/usr/bin/python3
"""A real log, changed in every way that its holder could change it: each is found by `domicile
audit verify`, and, where Go's x/mod is installed, by a verifier that is not ours.

    tamper_e2e.py [PART OF A CHECK'S NAME]

DOMICILE_SEED repeats a run, DOMICILE_ALTERATIONS sets how many random ones are made.
"""
import pathlib
import random
import struct
import sys
import zlib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "lib"))
from harness import *  # noqa: E402,F403
from policytext import small_policy  # noqa: E402
import hashlib  # noqa: E402

suite = Suite("tamper")
COUNT = 640
REGION = "eu-north-1"


# ---- a log of our own making: RFC 6962 trees, tlog-tiles files, signed notes ----

def node(left, right):
    return hashlib.sha256(b"\1" + left + right).digest()


def root_of(hashes):
    if not hashes:
        return hashlib.sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    half = 1 << (len(hashes) - 1).bit_length() - 1
    return node(root_of(hashes[:half]), root_of(hashes[half:]))


def tile_path(number, width):
    parts = ["%03d" % (number % 1000)]
    while number >= 1000:
        number //= 1000
        parts.insert(0, "x%03d" % (number % 1000))
    return "/".join(parts) + ("" if width == 256 else ".p/%d" % width)


def put_file(folder, path, content):
    path = os.path.join(folder, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(content)


def split_bundle(raw):
    out, at = [], 0
    while at < len(raw):
        size, = struct.unpack_from(">H", raw, at)
        out.append(raw[at + 2:at + 2 + size])
        at += 2 + size
    return out


def join_bundle(list_):
    return b"".join(struct.pack(">H", len(e)) + e for e in list_)


class Signer:
    """An Ed25519 key in a file, used through openssl."""

    def __init__(self, env, name, seed=None):
        self.path = os.path.join(env.scratch, name + ".pem")
        if seed is None:
            subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", self.path],
                           check=True)
        else:  # the fixed head of an Ed25519 PKCS #8 file, then the seed
            der = bytes.fromhex("302e020100300506032b657004220420") + seed
            subprocess.run(["openssl", "pkey", "-inform", "DER", "-out", self.path], input=der,
                           check=True)
        out = subprocess.run(["openssl", "pkey", "-in", self.path, "-pubout", "-outform", "DER"],
                             check=True, capture_output=True).stdout
        self.public = out[-32:]

    def id_of(self, origin):
        return hashlib.sha256(origin.encode() + b"\n\1" + self.public).digest()[:4]

    def vkey(self, origin):
        return "%s+%s+%s" % (origin, self.id_of(origin).hex(),
                             base64.b64encode(b"\1" + self.public).decode())

    def checkpoint(self, origin, size, root):
        text = "%s\n%d\n%s\n" % (origin, size, base64.b64encode(root).decode())
        body = self.path + ".body"
        with open(body, "w", encoding="utf-8") as file:
            file.write(text)
        signature = subprocess.run(
            ["openssl", "pkeyutl", "-sign", "-inkey", self.path, "-rawin", "-in", body],
            check=True, capture_output=True).stdout
        note = base64.b64encode(self.id_of(origin) + signature).decode()
        return ("%s\n\u2014 %s %s\n" % (text, origin, note)).encode()


def write_log(folder, all_entries, origin, signer):
    """A whole and sound log of these entries, by this signer."""
    shutil.rmtree(folder, ignore_errors=True)
    hashes, level = [leaf_hash(e) for e in all_entries], 0
    root = root_of(hashes)
    for number in range(0, (len(all_entries) + 255) // 256):
        part = all_entries[number * 256:number * 256 + 256]
        put_file(folder, "tile/entries/" + tile_path(number, len(part)), join_bundle(part))
    while hashes:
        for number in range(0, (len(hashes) + 255) // 256):
            part = hashes[number * 256:number * 256 + 256]
            put_file(folder, "tile/%d/%s" % (level, tile_path(number, len(part))), b"".join(part))
        hashes = [root_of(hashes[n:n + 256]) for n in range(0, len(hashes) - 255, 256)]
        level += 1
    put_file(folder, "checkpoint", signer.checkpoint(origin, len(all_entries), root))
    put_file(folder, "vkey", (signer.vkey(origin) + "\n").encode())


# ---- the real one ----

def publish(env, router, name):
    """A copy of the published log, once its files cover every entry; nothing comes after."""
    wait_published(env, router, REGION)
    out = os.path.join(env.scratch, name)
    shutil.copytree(router.log_dir(REGION), out)
    return out


def prepare(env):
    env.router_now = env.router("data", small_policy(env.folder("policy")))
    router = env.router_now
    rooms = env.client(router, "room-service", REGION)
    for n in range(20):
        rooms.put("live_room", "t-%d" % n, "SE", {"title": "room %d" % n})
    reader = env.client(router, "moderation", "us-east-1")

    def read(count):
        calls = [reader.future(RECORD + "GetRecord", kind="live_room", id="t-%d" % (n % 20),
                               home="SE", purpose="moderation", fields=["title"])
                 for n in range(count)]
        return [c.result().receipt for c in calls]

    read(COUNT // 2)
    env.early = publish(env, router, "early")
    env.receipts = read(COUNT - COUNT // 2)
    env.late = publish(env, router, "late")
    told = rooms.call(AUDIT + "GetCheckpoint", region=REGION)
    env.origin, env.vkey, env.root = told.origin, told.verifier_key, bytes(told.root_hash)
    env.size = told.size
    env.entries = [raw for _, raw in entries(env, router, REGION)][:env.size]
    with open(os.path.join(router.data, "keys", REGION + ".key"), encoding="ascii") as file:
        seed = next(l.split()[2] for l in file if l.startswith("sign "))
    # What an auditor has from elsewhere: who has to have cosigned.
    env.policy = os.path.join(env.scratch, "witness-policy")
    shutil.copy(env.late + "/witness-policy", env.policy)
    env.own = Signer(env, "own", base64.b64decode(seed))
    env.other = Signer(env, "other")
    env.rng = random.Random(7)
    env.go = build_go(env)


def build_go(env):
    """The verifier made of Go's libraries; None when they are not installed."""
    path = "/usr/share/gocode"
    if not shutil.which("go") or not os.path.isdir(path + "/src/golang.org/x/mod/sumdb/tlog"):
        return None
    out = os.path.join(env.scratch, "tlog_verify")
    home = env.folder("go")
    settings = dict(os.environ, GOPATH=path, GO111MODULE="off", GOFLAGS="", HOME=home,
                    GOCACHE=os.environ.get("GOCACHE", home + "/cache"))
    source = ROOT / "tests" / "interop" / "tlog_verify" / "main.go"
    subprocess.run(["go", "build", "-o", out, str(source)], cwd=home, env=settings, check=True,
                   capture_output=True, text=True)
    return out


def copy_of(env):
    folder = os.path.join(env.scratch, "copy")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(env.late, folder)
    return folder


def newest(folder, kind):
    """The files of a kind ("entries", "0", ...) that the newest checkpoint needs."""
    out = []
    for root, folders, names in os.walk(os.path.join(folder, "tile", kind)):
        if root.endswith(".p"):
            if not os.path.exists(root[:-2]):
                out.append(os.path.join(root, max(names, key=int)))
        else:
            out += [os.path.join(root, n) for n in names]
    return sorted(out)


def verify(env, folder, *more):
    return env.run("audit", "verify", "--log", folder, "--key", env.vkey, *more)


def found(env, folder, what, *more, go=True, witnessed=False):
    """The change must be found, and the answer must name a place. The verifier in Go is given the
    same key and, if there is one, the same earlier checkpoint."""
    policy = ("--policy", env.policy) if witnessed else ()
    done = verify(env, folder, *policy, *more)
    equal(done.returncode, 1, "exit code of verify after %s: %s" % (what, done.stdout))
    true(done.stdout or done.stderr, "no word about " + what)
    if go and env.go:
        old = ("-old", more[more.index("--old") + 1]) if "--old" in more else ()
        peer = subprocess.run([env.go, "-key", env.vkey, *(w.replace("--", "-") for w in policy),
                               *old, folder], capture_output=True)
        equal(peer.returncode, 1, "exit code of the verifier in Go after " + what)
    return done.stdout + done.stderr


def rewrite(path, content):
    os.chmod(path, 0o600)
    with open(path, "wb") as file:
        file.write(content)


def read(path):
    return pathlib.Path(path).read_bytes()


@suite.check("the untouched log is sound: ours, Go's, and a root computed here agree")
def _(env):
    true(env.size >= COUNT, "only %d entries" % env.size)
    done = verify(env, env.late)
    equal(done.returncode, 0, "exit code: " + done.stdout)
    equal(root_of([leaf_hash(e) for e in env.entries]), env.root, "root")
    equal(env.own.vkey(env.origin), env.vkey, "verifier key")
    if env.go:
        peer = subprocess.run([env.go, "-policy", env.policy, "-old", env.early + "/checkpoint",
                               env.late], capture_output=True, text=True)
        equal(peer.returncode, 0, "tlog_verify: " + peer.stderr)
    done = verify(env, env.late, "--old", env.early + "/checkpoint", "--policy", env.policy)
    equal(done.returncode, 0, "exit code with the earlier checkpoint")
    true("cosignatures 2/2 quorum met" in done.stdout, done.stdout)


@suite.check("a log written here from the same entries is taken: the files are of the public format")
def _(env):
    folder = os.path.join(env.scratch, "made")
    write_log(folder, env.entries, env.origin, env.own)
    done = verify(env, folder)
    equal(done.returncode, 0, "exit code: " + done.stdout + done.stderr)
    for kind in ("entries", "0", "1"):
        for path in newest(folder, kind):
            other = path.replace(folder, env.late)
            got = read_bundle(other) if kind == "entries" else read(other)
            true(read(path) == got, "%s differs" % os.path.relpath(path, folder))


def same_entries(path, before):
    """The few bits that fill a deflate stream up to a byte change no entry."""
    try:
        return before is not None and read_bundle(path) == before
    except (OSError, EOFError, zlib.error):
        return False


def flip_a_bit(env, path):
    raw = read(path)
    before = read_bundle(path) if "/entries/" in path else None
    while True:
        at, bit = env.rng.randrange(len(raw)), env.rng.randrange(8)
        changed = bytearray(raw)
        changed[at] ^= 1 << bit
        rewrite(path, changed)
        if not same_entries(path, before):
            return "bit %d of byte %d of %s" % (bit, at, path)


def flip_bits(env, kind):
    for n in range(25):
        folder = copy_of(env)
        path = env.rng.choice(newest(folder, kind))
        said = found(env, folder, flip_a_bit(env, path), go=n < 5)
        true(os.path.relpath(path, folder) in said or "first:" in said, "no place: " + said)


for kind in ("entries", "0", "1"):
    suite.add("25 single bits of tile/%s" % kind, flip_bits, kind)


@suite.check("every byte of the checkpoint")
def _(env):
    raw = read(env.late + "/checkpoint")
    folder = copy_of(env)
    for at in range(len(raw)):
        changed = bytearray(raw)
        changed[at] ^= 1 << env.rng.randrange(8)
        rewrite(folder + "/checkpoint", changed)
        found(env, folder, "byte %d of the checkpoint" % at, go=at % 16 == 0, witnessed=True)


def change_bundle(env, change, index=1):
    folder = copy_of(env)
    path = newest(folder, "entries")[index]
    list_ = split_bundle(read_bundle(path))
    change(list_)
    rewrite(path, join_bundle(list_))
    return folder


@suite.check("an entry dropped, doubled, put in, or exchanged with its neighbour")
def _(env):
    def swap(l):
        l[7], l[8] = l[8], l[7]

    for what, change in (("a dropped entry", lambda l: l.pop(100)),
                         ("the last entry dropped", lambda l: l.pop()),
                         ("a doubled entry", lambda l: l.insert(5, l[5])),
                         ("an entry put in", lambda l: l.insert(9, b'{"v":1}')),
                         ("an empty entry", lambda l: l.__setitem__(3, b"")),
                         ("two entries exchanged", swap)):
        for index in (0, -1):
            found(env, change_bundle(env, change, index), "%s in bundle %d" % (what, index))


@suite.check("two bundles, two tiles, or a bundle's entries and their hashes exchanged")
def _(env):
    for kinds in (("entries",), ("0",), ("entries", "0")):
        folder = copy_of(env)
        for kind in kinds:
            a, b = newest(folder, kind)[:2]
            left, right = read(a), read(b)
            rewrite(a, right)
            rewrite(b, left)
        found(env, folder, "exchanged files of " + "+".join(kinds))


@suite.check("a file cut, made longer, emptied or taken away")
def _(env):
    for kind in ("entries", "0", "1"):
        for number in range(len(newest(env.late, kind))):
            for what, change in (("cut", lambda r: r[:-1]), ("cut by half", lambda r: r[:len(r) // 2]),
                                 ("longer", lambda r: r + b"\0\0"), ("emptied", lambda r: b""),
                                 ("taken away", None)):
                folder = copy_of(env)
                path = newest(folder, kind)[number]
                if change is None:
                    os.unlink(path)
                else:
                    rewrite(path, change(read(path)))
                found(env, folder, "%s %s" % (what, path))
    folder = copy_of(env)
    os.unlink(folder + "/checkpoint")
    true(verify(env, folder).returncode != 0, "a log without a checkpoint passes")


@suite.check("an entry and all its hashes rewritten, the checkpoint kept")
def _(env):
    changed = list(env.entries)
    changed[300] = changed[300].replace(b'"us-east-1"', b'"eu-west-1"')
    true(changed[300] != env.entries[300], "nothing changed")
    folder = os.path.join(env.scratch, "rehashed")
    write_log(folder, changed, env.origin, env.own)
    shutil.copy(env.late + "/checkpoint", folder + "/checkpoint")
    found(env, folder, "a rehashed entry")


@suite.check("everything rewritten and signed by another key, with its key laid beside it")
def _(env):
    changed = list(env.entries)
    del changed[300]
    folder = os.path.join(env.scratch, "resigned")
    write_log(folder, changed, env.origin, env.other)
    found(env, folder, "another signer")
    done = env.run("audit", "verify", "--log", folder)
    true("not independent" in done.stdout + done.stderr, "no warning that the key is the log's own")
    # Whoever kept any checkpoint of the true key has that key, and the proof.
    done = env.run("audit", "verify", "--log", folder, "--old", env.early + "/checkpoint")
    equal(done.returncode, 1, "exit code with an old checkpoint")


@suite.check("the true log signed anew by another key")
def _(env):
    folder = copy_of(env)
    rewrite(folder + "/checkpoint", env.other.checkpoint(env.origin, env.size, env.root))
    found(env, folder, "another signer", go=True)
    rewrite(folder + "/checkpoint", env.own.checkpoint("audit.example.com/other", env.size,
                                                       env.root))
    found(env, folder, "another origin")


@suite.check("an earlier checkpoint put back, and the whole earlier log: found by any later one")
def _(env):
    folder = copy_of(env)
    shutil.copy(env.early + "/checkpoint", folder + "/checkpoint")
    for log in (folder, env.early):
        found(env, log, "a log gone back", "--old", env.late + "/checkpoint")


@suite.check("a fork by the holder of the true key: found by a checkpoint that was kept")
def _(env):
    forked = list(env.entries)
    forked[100] = forked[100].replace(b'"us-east-1"', b'"eu-west-1"')
    folder = os.path.join(env.scratch, "forked")
    write_log(folder, forked, env.origin, env.own)
    equal(verify(env, folder).returncode, 0, "exit code without one (the fork is sound in itself)")
    for old in (env.early, env.late):
        found(env, folder, "a fork", "--old", old + "/checkpoint")
    found(env, folder, "a fork that no witness cosigned", witnessed=True)
    shorter = os.path.join(env.scratch, "shorter")
    write_log(shorter, env.entries[:400], env.origin, env.own)
    equal(verify(env, shorter).returncode, 0, "exit code of the shorter one")
    found(env, shorter, "a truncation", "--old", env.late + "/checkpoint")
    found(env, shorter, "a truncation that no witness cosigned", witnessed=True)


@suite.check("an old checkpoint that is forged, of another log, or none is no reason to pass")
def _(env):
    path = os.path.join(env.scratch, "old-checkpoint")
    for content in (env.other.checkpoint(env.origin, 5, env.root),
                    env.own.checkpoint(env.origin, 300, env.root),
                    env.own.checkpoint("audit.example.com/us-east-1", 5, env.root), b"", b"\xff\n"):
        with open(path, "wb") as file:
            file.write(content)
        true(verify(env, env.late, "--old", path).returncode != 0, "passes with %r" % content[:60])
    true(verify(env, env.late, "--old", path + ".none").returncode != 0, "passes without the file")


# ---- at random ----

def any_file(env, folder):
    return env.rng.choice([f for kind in ("entries", "0", "1") for f in newest(folder, kind)])


def alter_bit(env, folder):
    return flip_a_bit(env, env.rng.choice([any_file(env, folder), folder + "/checkpoint"]))


def alter_entries(env, folder):
    """Some of a bundle's entries dropped, doubled or exchanged, its hashes left or made to fit."""
    path = env.rng.choice(newest(folder, "entries"))
    list_ = split_bundle(read_bundle(path))
    a, b = env.rng.sample(range(len(list_)), 2)
    how = env.rng.choice(("drop", "double", "swap"))
    if how == "drop":
        del list_[a]
    elif how == "double":
        list_.insert(a, list_[b])
    else:
        list_[a], list_[b] = list_[b], list_[a]
    rewrite(path, join_bundle(list_))
    tile = path.replace("/entries/", "/0/")
    fit = env.rng.random() < 0.5
    if fit:
        rewrite(tile, b"".join(leaf_hash(e) for e in list_))
    return "%s %d, %d of %s%s" % (how, a, b, path, ", the tile made to fit" if fit else "")


def alter_hashes(env, folder):
    """Two hashes of a tile exchanged, or one put over another."""
    path = env.rng.choice(newest(folder, "0") + newest(folder, "1"))
    raw = read(path)
    hashes = [raw[n:n + 32] for n in range(0, len(raw), 32)]
    if len(hashes) < 2:
        hashes[0] = hashlib.sha256(hashes[0]).digest()
    else:
        a, b = env.rng.sample(range(len(hashes)), 2)
        hashes[a], hashes[b] = hashes[b], env.rng.choice((hashes[a], hashes[b]))
    rewrite(path, b"".join(hashes))
    return "hashes of " + path


def alter_length(env, folder):
    path = env.rng.choice([any_file(env, folder), folder + "/checkpoint"])
    entries_ = "/entries/" in path
    raw = read_bundle(path) if entries_ and env.rng.random() < 0.5 else read(path)
    cut = env.rng.randrange(1, len(raw) + 1)
    if env.rng.random() < 0.5:
        rewrite(path, raw[:-cut])
        return "%s cut by %d" % (path, cut)
    if env.rng.random() < 0.5:  # whole hashes, or whole entries, so that the form is right
        raw = read_bundle(path) if entries_ else raw
        tail = join_bundle(split_bundle(raw)[-1:]) if entries_ else raw[-32:]
    else:
        tail = raw[-cut:]
    if path.endswith("/checkpoint"):  # a line doubled says nothing new, and is no alteration
        tail = tail[:len(tail) // 2 + 1].rstrip(b"\n") or b"="
    rewrite(path, raw + tail)
    return "%s with its tail of %d doubled" % (path, len(tail))


def alter_files(env, folder):
    """A file taken away, or two exchanged."""
    a, b = any_file(env, folder), any_file(env, folder)
    left, right = read(a), read(b)
    if left == right:
        os.unlink(a)
        return a + " taken away"
    rewrite(a, right)
    rewrite(b, left)
    return "%s and %s exchanged" % (a, b)


def alter_age(env, folder):
    """Older files with their checkpoint, some or all of them: the past, put back."""
    some = env.rng.random() < 0.5
    for kind in ("entries", "0", "1"):
        for path in newest(env.early, kind):
            if not some or env.rng.random() < 0.5:
                put_file(folder, os.path.relpath(path, env.early), read(path))
    rewrite(folder + "/checkpoint", read(env.early + "/checkpoint"))
    return "older files and their checkpoint" + (", some" if some else "")


def alter_signer(env, folder):
    """Rewritten from some entry on and signed, by another key or by the true one."""
    changed = list(env.entries)
    at = env.rng.randrange(len(changed))
    how = env.rng.choice(("drop", "cut", "change"))
    if how == "drop":
        del changed[at]
    elif how == "cut":
        del changed[max(at, 1):]
    else:
        changed[at] = changed[at].replace(b'"v":1', b'"v":2')
    signer = env.rng.choice((env.own, env.other))
    write_log(folder, changed, env.origin, signer)
    if env.rng.random() < 0.5:  # with the cosignatures of the true one pasted below
        lines = read(env.late + "/checkpoint").split(b"\n")[5:]
        rewrite(folder + "/checkpoint", read(folder + "/checkpoint") + b"\n".join(lines))
    return "%s at %d, signed by %s" % (how, at, signer.path)


@suite.check("500 random alterations: each is found by ours and by Go's, with the key, the witnesses "
             "and the last checkpoint from elsewhere")
def _(env):
    seed = int(os.environ.get("DOMICILE_SEED") or random.randrange(1 << 32))
    count = int(os.environ.get("DOMICILE_ALTERATIONS") or 500)
    print("# seed %d" % seed, flush=True)
    env.rng = random.Random(seed)
    kinds = (alter_bit, alter_entries, alter_hashes, alter_length, alter_files, alter_age,
             alter_signer)
    if not env.go:
        print("# golang-go or golang-golang-x-mod-dev is not installed: only our own verifier")
    for number in range(count):
        folder = copy_of(env)
        what = "alteration %d of seed %d: %s" % (
            number, seed, kinds[number % len(kinds)](env, folder))
        found(env, folder, what, "--old", env.late + "/checkpoint", witnessed=True)


# ---- proofs ----

def prove(env, index, *more):
    path = os.path.join(env.scratch, "proof-%s" % index)
    done = env.run("audit", "prove", "--log", env.late, "--index", index, "--out", path, *more)
    return done, path


def go_proof(env, path):
    """What the verifier in Go says of a proof file; ours where there is none."""
    if not env.go:
        return env.run("audit", "check-proof", path, "--policy", env.policy).returncode
    return subprocess.run([env.go, "-key", env.vkey, "-policy", env.policy, "-proof", path],
                          capture_output=True).returncode


@suite.check("prove and check-proof: offline, for entries at every edge of a tile")
def _(env):
    for index in (0, 1, 255, 256, 257, 511, 512, env.size - 1):
        done, path = prove(env, index)
        equal(done.returncode, 0, "exit code of prove %d: %s" % (index, done.stderr))
        done = env.run("audit", "check-proof", path, "--key", env.vkey)
        equal(done.returncode, 0, "exit code of check-proof %d: %s" % (index, done.stderr))
        true(env.entries[index].decode() in done.stdout, "the entry is not printed")
        equal(go_proof(env, path), 0, "exit code of the verifier in Go")
    for index in (env.size, env.size + 1, 1 << 62):
        true(prove(env, index)[0].returncode != 0, "proves entry %d" % index)


@suite.check("a proof does not pass under another key, and not without one")
def _(env):
    _, path = prove(env, 77)
    other = env.other.vkey(env.origin)
    equal(env.run("audit", "check-proof", path, "--key", other).returncode, 1, "exit code")
    equal(env.run("audit", "check-proof", path).returncode, 3, "exit code without a key")


@suite.check("a proof with any byte changed does not pass")
def _(env):
    _, path = prove(env, 300)
    raw = read(path)
    passed = []
    for at in range(0, len(raw), 7):
        changed = bytearray(raw)
        changed[at] ^= 1 << env.rng.randrange(8)
        with open(path, "wb") as file:
            file.write(changed)
        done = env.run("audit", "check-proof", path, "--policy", env.policy)
        if done.returncode == 0 or (at % 3 == 0 and go_proof(env, path) == 0):
            passed.append((at, bytes(raw[at:at + 12])))
    equal(passed, [], "changes that pass")


# ---- proofs over the wire, checked by the letter of RFC 6962 ----

def check_inclusion(leaf, index, size, hashes, root):
    at, last, got = index, size - 1, leaf
    for other in hashes:
        true(last > 0, "the proof is too long")
        if at & 1 or at == last:
            got = node(other, got)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            got = node(got, other)
        at, last = at >> 1, last >> 1
    equal((last, got), (0, root), "inclusion of %d in %d" % (index, size))


def check_consistency(old, new, hashes, old_root, new_root):
    hashes = list(hashes)
    if old & (old - 1) == 0:
        hashes.insert(0, old_root)
    at, last = old - 1, new - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    first = second = hashes.pop(0)
    for other in hashes:
        true(last > 0, "the proof is too long")
        if at & 1 or at == last:
            first, second = node(other, first), node(other, second)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            second = node(second, other)
        at, last = at >> 1, last >> 1
    equal((last, first, second), (0, old_root, new_root), "consistency of %d and %d" % (old, new))


@suite.check("ProveInclusion: every receipt's entry, by RFC 6962, from any region")
def _(env):
    caller = env.client(env.router_now, "live-feed", "us-east-1")
    for receipt in env.receipts[::40] + env.receipts[-1:]:
        got = caller.call(AUDIT + "ProveInclusion", region=REGION, index=receipt.index,
                          size=env.size)
        equal(bytes(got.leaf_hash), bytes(receipt.leaf_hash), "leaf hash")
        check_inclusion(bytes(receipt.leaf_hash), receipt.index, env.size,
                        [bytes(h) for h in got.hashes], env.root)


@suite.check("ProveConsistency: from any size to the newest, by RFC 6962")
def _(env):
    caller = env.client(env.router_now, "live-feed", "us-east-1")
    hashes = [leaf_hash(e) for e in env.entries]
    for old in (1, 2, 3, 255, 256, 257, 511, 512, 600, env.size - 1):
        got = caller.call(AUDIT + "ProveConsistency", region=REGION, old_size=old,
                          new_size=env.size)
        check_consistency(old, env.size, [bytes(h) for h in got.hashes], root_of(hashes[:old]),
                          env.root)


@suite.check("proofs of what is not there, and entries asked for from abroad, are refused")
def _(env):
    caller = env.client(env.router_now, "live-feed", "us-east-1")
    huge = (1 << 64) - 1
    for action in (
            lambda: caller.call(AUDIT + "ProveInclusion", region=REGION, index=huge),
            lambda: caller.call(AUDIT + "ProveInclusion", region=REGION, index=5, size=5),
            lambda: caller.call(AUDIT + "ProveInclusion", region=REGION, index=5, size=huge),
            lambda: caller.call(AUDIT + "ProveConsistency", region=REGION, old_size=huge),
            lambda: caller.call(AUDIT + "ProveConsistency", region=REGION, old_size=9, new_size=8),
            lambda: caller.call(AUDIT + "GetCheckpoint", region="nowhere"),
            lambda: caller.call(AUDIT + "GetCheckpoint", region=""),
            lambda: caller.stream(AUDIT + "ListEntries", region="nowhere"),
            lambda: env.client(env.router_now, "live-feed", REGION).stream(
                AUDIT + "ListEntries", region=REGION, from_index=huge)):
        refused(action, "INVALID_ARGUMENT")
    refused(lambda: caller.stream(AUDIT + "ListEntries", region=REGION), "PERMISSION_DENIED",
            "NO_PERMIT", ["region"])


@suite.check("usage: exit code 3")
def _(env):
    for arguments in ((), ("verify",), ("verify", "--log"), ("nope",), ("prove", "--log", env.late),
                      ("verify", "--log", env.late, "--skew", "x"),
                      ("export", "--log", env.late, "--where", "moon=full"),
                      ("export", "--log", env.late, "--from", "yesterday")):
        equal(env.run("audit", *arguments).returncode, 3, "exit code of " + " ".join(arguments))


suite.main(prepare)
