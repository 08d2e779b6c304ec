#!/usr/bin/python3
"""Witnesses: regions that cosign each other's logs in one process, witnesses elsewhere over HTTP and
HTTPS, and that no fork or rewind of a log finds one (promise P5).

    witness_e2e.py [PART OF A CHECK'S NAME]
"""
import pathlib
import signal
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "lib"))
from harness import *  # noqa: E402,F403
from policytext import small_policy  # noqa: E402
import hashlib  # noqa: E402
import http.client  # noqa: E402
import http.server  # noqa: E402
import ssl  # noqa: E402
import threading  # noqa: E402
import urllib.error  # noqa: E402

suite = Suite("witness")
REGION = "eu-north-1"
SHARED = pathlib.Path(os.environ.get("DOMICILE_SHARED", ROOT.parent / "shared")) / "vectors"


def put(env, router, number):
    """A write, and a read across a border, which is an entry."""
    caller = env.client(router, "room-service", REGION)
    caller.put("live_room", "w-%d" % number, "SE", {"title": "room %d" % number})
    env.client(router, "moderation", "us-east-1").call(
        RECORD + "GetRecord", kind="live_room", id="w-%d" % number, home="SE",
        purpose="moderation", fields=["title"])


def text_of(path):
    return pathlib.Path(path).read_text(encoding="utf-8")


def published(router, region=REGION, name="checkpoint"):
    path = os.path.join(router.log_dir(region), name)
    wait_until(lambda: os.path.exists(path), what=path)
    return text_of(path)


def size_of(checkpoint):
    return int(checkpoint.split("\n")[1])


def lines_of(checkpoint):
    return [l for l in checkpoint.split("\n") if l.startswith("\u2014 ")]


def grow(env, router, number, region=REGION):
    """One more entry at least, published."""
    put(env, router, number)
    size = router.covered(env.api, region)
    wait_until(lambda: size_of(published(router, region)) >= size, what="a checkpoint of %d" % size)


def verify(env, folder, *more):
    return env.run("audit", "verify", "--log", folder, *more)


class Watch:
    """A witness of its own: `domicile audit watch`."""

    def __init__(self, env, name, policy):
        self.env, self.name, self.policy = env, name, policy
        self.key = os.path.join(env.scratch, name + ".key")
        self.state = os.path.join(env.scratch, name + ".state")
        done = env.run("audit", "witness-key", "--name", name + ".example", "--out", self.key)
        equal(done.returncode, 0, "witness-key: " + done.stderr)
        self.vkey = done.stdout.strip()
        self.port = 0
        self.process = None

    def start(self):
        self.process = subprocess.Popen(
            [self.env.domicile, "audit", "watch", "--sign-key", self.key, "--state", self.state,
             "--policy", self.policy, "--listen", "127.0.0.1:%d" % self.port],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        equal(self.process.stdout.readline().strip(), "witness " + self.vkey, "first line")
        self.port = int(self.process.stdout.readline().split()[-1])

    def stop(self):
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            equal(self.process.wait(20), 0, "exit code of watch")
            self.process.stdout.close()
            self.process = None

    def post(self, body, path="/add-checkpoint", method="POST"):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.getheader("Content-Type")
        finally:
            connection.close()


def logs_policy(env, router, name):
    """A policy with the logs of a router, for who is to cosign them."""
    path = os.path.join(env.scratch, name)
    with open(path, "w", encoding="utf-8") as file:
        for region in sorted(os.listdir(router.data)):
            vkey = os.path.join(router.log_dir(region), "vkey")
            if os.path.exists(vkey):
                file.write("log " + text_of(vkey))
        file.write("quorum none\n")
    return path


def prepare(env):
    env.policy = small_policy(env.folder("policy"))
    env.main = env.router("data", env.policy)
    for n in range(3):
        put(env, env.main, n)
    grow(env, env.main, 3)


# ---- in one process ----

@suite.check("each region's checkpoint is cosigned by the next two, and an auditor can ask for that")
def _(env):
    for region in ("eu-north-1", "eu-west-1", "eu-west-2", "us-east-1"):
        folder = env.main.log_dir(region)
        wait_until(lambda: len(lines_of(published(env.main, region))) == 3,
                   what="cosignatures of " + region)
        done = verify(env, folder, "--policy", folder + "/witness-policy")
        equal(done.returncode, 0, done.stdout + done.stderr)
        true("cosignatures 2/2 quorum met" in done.stdout, done.stdout)
    names = [l.split()[1] for l in lines_of(published(env.main, "us-east-1"))]
    equal(names, ["audit.example.com/us-east-1", "audit.example.com/eu-north-1/witness",
                  "audit.example.com/eu-west-1/witness"], "who signed")
    true(env.main.metric("domicile_audit_cosignatures_total") >= 8, "metric")
    equal(env.main.metric("domicile_audit_witness_refusals_total"), 0, "refusals")


@suite.check("a checkpoint without its cosignatures, or with changed ones, fails the policy")
def _(env):
    folder = os.path.join(env.scratch, "copy")
    shutil.copytree(env.main.log_dir(REGION), folder)
    whole = text_of(folder + "/checkpoint")
    policy = folder + "/witness-policy"
    equal(verify(env, folder, "--policy", policy).returncode, 0, "exit code of the copy")
    lines = whole.split("\n")
    for number in (5, 6):
        for what, change in (("taken away", None), ("of another", lines[11 - number])):
            changed = list(lines)
            if change is None:
                del changed[number]
            else:
                changed[number] = change
            pathlib.Path(folder + "/checkpoint").write_text("\n".join(changed), encoding="utf-8")
            done = verify(env, folder, "--policy", policy)
            equal(done.returncode, 1, "exit code with line %d %s" % (number, what))
            true("quorum is not met: 1 of the policy's 2" in done.stdout, done.stdout)
            equal(verify(env, folder).returncode, 0, "exit code without a policy")
    tail = len(whole.encode()) - 60
    for at in range(0, 60, 7):
        raw = bytearray(whole.encode())
        raw[tail + at] ^= 1
        pathlib.Path(folder + "/checkpoint").write_bytes(bytes(raw))
        equal(verify(env, folder, "--policy", policy).returncode, 1, "exit code, byte %d" % at)
    pathlib.Path(folder + "/checkpoint").write_text(whole, encoding="utf-8")
    # A policy whose log is another one, or that is no policy.
    bad = os.path.join(env.scratch, "bad-policy")
    pathlib.Path(bad).write_text(text_of(policy).replace("quorum regions", "quorum nobody"),
                                 encoding="utf-8")
    done = verify(env, folder, "--policy", bad)
    equal(done.returncode, 1, "exit code of a bad policy")
    true("bad-policy: line" in done.stderr, done.stderr)
    other = os.path.join(env.main.log_dir("us-east-1"), "witness-policy")
    equal(verify(env, folder, "--policy", other).returncode, 1, "exit code of another's policy")


@suite.check("a proof is checked with the policy too")
def _(env):
    folder = env.main.log_dir(REGION)
    proof = os.path.join(env.scratch, "proof")
    equal(env.run("audit", "prove", "--log", folder, "--index", 1, "--out", proof).returncode, 0,
          "exit code of prove")
    done = env.run("audit", "check-proof", proof, "--policy", folder + "/witness-policy")
    equal(done.returncode, 0, done.stderr)
    text = text_of(proof).split("\n")
    pathlib.Path(proof).write_text("\n".join(text[:-2]) + "\n", encoding="utf-8")
    done = env.run("audit", "check-proof", proof, "--policy", folder + "/witness-policy")
    equal(done.returncode, 1, "exit code without a cosignature")
    true("quorum is not met" in done.stderr, done.stderr)


@suite.check("a region that is set back whole, its kept checkpoint too, finds no witness again")
def _(env):
    router = env.router("rewound", env.policy)
    for n in range(4):
        grow(env, router, n)
    env.stop(router)
    early = size_of(published(router))
    kept = os.path.join(router.data, "keys", REGION + ".checkpoint")
    for path, copy in ((os.path.join(router.data, REGION), "early-region"), (kept, "early-kept")):
        (shutil.copytree if os.path.isdir(path) else shutil.copy)(path,
                                                                  os.path.join(env.scratch, copy))
    router = env.router("rewound", env.policy)
    for n in range(4, 20):
        put(env, router, n)
    grow(env, router, 20)
    env.stop(router)
    late = size_of(published(router))
    true(late > early + 10, "%d, then %d" % (early, late))
    shutil.rmtree(os.path.join(router.data, REGION))
    shutil.copytree(os.path.join(env.scratch, "early-region"), os.path.join(router.data, REGION))
    shutil.copy(os.path.join(env.scratch, "early-kept"), kept)
    router = env.router("rewound", env.policy)
    grow(env, router, 50)
    wait_until(lambda: router.metric("domicile_audit_witness_refusals_total") >= 2,
               what="two refusals")
    folder = router.log_dir(REGION)
    equal(len(lines_of(published(router))), 1, "signatures")
    equal(verify(env, folder).returncode, 0, "exit code without a policy: nobody else can tell")
    done = verify(env, folder, "--policy", folder + "/witness-policy")
    equal(done.returncode, 1, "exit code")
    true("0 of the policy's 2" in done.stdout, done.stdout)
    # It grows past the old size: another history of that size, and still nobody cosigns.
    for n in range(60, 60 + late):
        put(env, router, n)
    grow(env, router, 900)
    true(size_of(published(router)) > late, "not long enough")
    equal(len(lines_of(published(router))), 1, "signatures of the fork")
    true("store.witness_refused" in text_of(router.log_path), "nothing in the log")
    env.stop(router)


# ---- elsewhere ----

@suite.check("a witness elsewhere: its cosignature is published, and its silence costs nothing")
def _(env):
    watch = Watch(env, "outside", logs_policy(env, env.main, "logs"))
    watch.start()
    policy = os.path.join(env.scratch, "outside-policy")
    pathlib.Path(policy).write_text(
        "log %switness out %s http://127.0.0.1:%d\nquorum out\n" % (
            text_of(env.main.log_dir(REGION) + "/vkey"), watch.vkey, watch.port), encoding="utf-8")
    env.stop(env.main)
    router = env.main = env.router(
        "data", env.policy, 'witness = { policy = "%s"; timeout_ms = 300; };' % policy)
    folder = router.log_dir(REGION)
    cosigned = folder + "/checkpoint.cosigned"
    try:
        grow(env, router, 100)
        size = size_of(published(router))
        wait_until(lambda: os.path.exists(cosigned) and size_of(text_of(cosigned)) >= size,
                   what="checkpoint.cosigned")
        equal(len(lines_of(text_of(cosigned))), 4, "signatures")
        done = verify(env, folder, "--policy", policy)
        equal(done.returncode, 0, done.stdout)
        true("cosignatures 1/1 quorum met" in done.stdout, done.stdout)
        watch.process.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        for n in range(101, 111):
            put(env, router, n)
        took = time.monotonic() - began
        grow(env, router, 111)
        equal(len(lines_of(published(router))), 3, "signatures while it is silent")
        true(took < 2, "ten writes took %.1f s" % took)
        wait_until(lambda: router.metric("domicile_audit_witness_failures_total") > 0,
                   what="a failure told")
        done = verify(env, folder, "--policy", policy)
        equal(done.returncode, 0, done.stdout)
        true("quorum met at size" in done.stdout, done.stdout)
        # A proof ends in what the witness cosigned, as long as that covers the entry.
        proof = os.path.join(env.scratch, "outside-proof")
        for more, code in (((), 0), (("--checkpoint", "cosigned"), 0), (("--checkpoint", "newest"), 1)):
            done = env.run("audit", "prove", "--log", folder, "--index", 1, "--out", proof, *more)
            equal(done.returncode, 0, done.stderr)
            done = env.run("audit", "check-proof", proof, "--policy", policy)
            equal(done.returncode, code, "check-proof with the policy, %s: %s" % (more, done.stderr))
            equal(env.run("audit", "check-proof", proof, "--policy", folder + "/witness-policy")
                  .returncode, 0, "check-proof with the regions' policy")
        last = size_of(published(router)) - 1
        done = env.run("audit", "prove", "--log", folder, "--index", last, "--out", proof)
        equal(done.returncode, 0, done.stderr)
        equal(env.run("audit", "check-proof", proof, "--policy", policy).returncode, 1,
              "check-proof of an entry that no outside witness has seen")
        size = size_of(published(router))
        watch.process.send_signal(signal.SIGCONT)
        wait_until(lambda: size_of(text_of(cosigned)) >= size, what="it catches up")
        # Killed, and started again: it remembers.
        watch.stop()
        watch.start()
        grow(env, router, 112)
        size = size_of(published(router))
        wait_until(lambda: size_of(text_of(cosigned)) >= size, 70, what="it goes on")
        equal(router.metric("domicile_audit_witness_refusals_total"), 0, "refusals")
        # checkpoint.cosigned of another history is found.
        copy = os.path.join(env.scratch, "copy-cosigned")
        shutil.copytree(folder, copy)
        pathlib.Path(copy + "/checkpoint.cosigned").write_text(
            text_of(cosigned).replace("\n%d\n" % size, "\n%d\n" % (size - 1), 1), encoding="utf-8")
        equal(verify(env, copy, "--policy", policy).returncode, 1, "exit code of a changed one")
        os.unlink(copy + "/checkpoint.cosigned")
        done = verify(env, copy, "--policy", policy)
        equal(done.returncode, 1, "exit code without checkpoint.cosigned")
    finally:
        watch.stop()


def tls_proxy(env, port):
    """HTTPS in front of a witness; returns its port and what to believe."""
    cert, key = os.path.join(env.scratch, "tls.pem"), os.path.join(env.scratch, "tls.key")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-keyout", key, "-out",
                    cert, "-days", "2", "-subj", "/CN=witness", "-addext",
                    "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):  # noqa: N802: the library's name
            body = self.rfile.read(int(self.headers["Content-Length"]))
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            try:
                connection.request("POST", self.path.replace("/prefix", ""), body)
                answer = connection.getresponse()
                said = answer.read()
            except OSError:  # the witness has ended: so does this
                self.close_connection = True
                return
            finally:
                connection.close()
            self.send_response(answer.status)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(cert, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, server.server_address[1], cert


@suite.check("over HTTPS: with the CA that is named it is believed, without it is not")
def _(env):
    watch = Watch(env, "tls", logs_policy(env, env.main, "logs"))
    watch.start()
    server, port, cert = tls_proxy(env, watch.port)
    policy = os.path.join(env.scratch, "tls-policy")
    pathlib.Path(policy).write_text("witness t %s https://127.0.0.1:%d/prefix/\nquorum t\n" % (
        watch.vkey, port), encoding="utf-8")
    try:
        for believed in (False, True):
            env.stop(env.main)
            router = env.main = env.router("data", env.policy, 'witness = { policy = "%s"; %s };' % (
                policy, 'ca = "%s";' % cert if believed else ""))
            cosigned = router.log_dir(REGION) + "/checkpoint.cosigned"
            if os.path.exists(cosigned):
                os.unlink(cosigned)
            grow(env, router, 200 + believed)
            if believed:
                wait_until(lambda: os.path.exists(cosigned), what="checkpoint.cosigned")
                true("tls.example" in text_of(cosigned), "who signed")
            else:
                wait_until(lambda: router.metric("domicile_audit_witness_failures_total") > 0,
                           what="a failure told")
                true(not os.path.exists(cosigned), "cosigned over a connection that is not proven")
    finally:
        server.shutdown()
        server.server_close()
        watch.stop()


@suite.check("the regions of another router are witnesses too")
def _(env):
    other = env.router("other", env.policy, 'witness = { listen = "127.0.0.1:0"; logs = "%s"; };' %
                       logs_policy(env, env.main, "logs"))
    # A region of it that does not cosign a log of the same origin at home already.
    told = other.log_dir("eu-west-1") + "/witness-policy"
    wait_until(lambda: os.path.exists(told) and "witness us-east-1" in text_of(told),
               what="witness-policy")
    vkey = next(l.split()[2] for l in text_of(told).split("\n")
        if l.startswith("witness us-east-1"))
    policy = os.path.join(env.scratch, "other-policy")
    pathlib.Path(policy).write_text("witness o %s http://127.0.0.1:%d/us-east-1\nquorum o\n" % (
        vkey, other.witness_port), encoding="utf-8")
    env.stop(env.main)
    router = env.main = env.router("data", env.policy, 'witness = { policy = "%s"; };' % policy)
    cosigned = router.log_dir(REGION) + "/checkpoint.cosigned"
    grow(env, router, 300)
    size = size_of(published(router))
    wait_until(lambda: os.path.exists(cosigned) and size_of(text_of(cosigned)) >= size and
               vkey.split("+")[0] in text_of(cosigned), what="checkpoint.cosigned")
    done = verify(env, router.log_dir(REGION), "--policy", policy)
    equal(done.returncode, 0, done.stdout)
    for path, status in (("/nowhere/add-checkpoint", 404), ("/add-checkpoint", 404),
                         ("/eu-west-1/other", 404), ("/eu-west-1/add-checkpoint", 400)):
        try:
            urllib.request.urlopen("http://127.0.0.1:%d%s" % (other.witness_port, path), b"x", 10)
            raise AssertionError("%s is answered" % path)
        except urllib.error.HTTPError as error:
            equal(error.code, status, "status of " + path)
            error.close()
    env.stop(other)


@suite.check("the endpoint: bodies, methods and paths beyond what is allowed")
def _(env):
    watch = Watch(env, "endpoint", logs_policy(env, env.main, "logs"))
    watch.start()
    try:
        limit = 96 << 10
        equal(watch.post(b"x" * limit)[0], 400, "at the limit")
        equal(watch.post(b"x" * (limit + 1))[0], 413, "beyond the limit")
        equal(watch.post(b"x" * (8 << 20))[0], 413, "far beyond")
        equal(watch.post(b"", method="GET")[0], 405, "GET")
        equal(watch.post(b"", path="/")[0], 404, "another path")
        equal(watch.post(b"")[0], 400, "nothing")
        checkpoint = published(env.main).encode()
        status, body, kind = watch.post(b"old 0\n\n" + checkpoint)
        equal(status, 200, body)
        size = size_of(checkpoint.decode())
        status, body, kind = watch.post(b"old 1\n\n" + checkpoint)
        equal((status, body, kind), (409, b"%d\n" % size, "text/x.tlog.size"), "conflict")
        equal(watch.post(b"old %d\n\n" % (size + 1) + checkpoint)[0], 400, "old size over size")
        equal(watch.post(b"old %d\n\n" % size + checkpoint.replace(b"audit.example", b"audit.other"))
              [0], 404, "unknown log")
    finally:
        watch.stop()


@suite.check("the transcripts of another witness, over HTTP")
def _(env):
    path = SHARED / "witness_transcripts.json"
    if not path.exists():
        print("# skipped: no vectors here")
        return
    vectors = json.loads(path.read_text(encoding="utf-8"))
    origin, public = vectors["log_origin"], bytes.fromhex(vectors["log_ed25519_pk_hex"])
    key_id = hashlib.sha256(origin.encode() + b"\n\1" + public).hexdigest()[:8]
    policy = os.path.join(env.scratch, "transcripts")
    pathlib.Path(policy).write_text("log %s+%s+%s\nquorum none\n" % (
        origin, key_id, base64.b64encode(b"\1" + public).decode()), encoding="utf-8")
    watch = Watch(env, "transcripts", policy)
    watch.start()
    try:
        for number, one in enumerate(vectors["transcripts"]):
            status, body, _ = watch.post(base64.b64decode(one["request_b64"]))
            # The unknown origin is 404 in the specification by now; the file says so.
            equal(status, 404 if number == 2 else one["status"], "status of %d" % number)
            if status == 200:
                true(body.decode().startswith("\u2014 transcripts.example "), body)
            if number == 4:  # and what it cosigned outlives it
                watch.process.kill()
                watch.process.wait()
                watch.process.stdout.close()
                watch.start()
    finally:
        watch.stop()


@suite.check("settings that cannot be meant are refused at the start, with their place")
def _(env):
    good = logs_policy(env, env.main, "logs")
    bad = os.path.join(env.scratch, "refused")
    vkey = Watch(env, "refused", good).vkey
    cases = (
        ('witness = { regions = 9; };', None, "witness.regions is 9; it must be 0 to 8"),
        ('witness = { listen = "127.0.0.1:0"; };', None, "witness.listen wants witness.logs"),
        ('witness = { listen = "nowhere"; logs = "%s"; };' % good, None, "not HOST:PORT"),
        ('witness = { policy = "%s"; };' % bad, "quorum none\n", "no witness in it has an address"),
        ('witness = { policy = "%s"; };' % bad, "quorum\n", "refused: line 1"),
        ('witness = { policy = "%s"; };' % bad, "witness w %s ftp://x\nquorum w\n" % vkey,
         "is no http or https address"),
        ('witness = { listen = "127.0.0.1:0"; logs = "%s"; };' % bad, "quorum none\n",
         "there is no log in it"),
    )
    for extra, text, words in cases:
        if text is not None:
            pathlib.Path(bad).write_text(text, encoding="utf-8")
        try:
            env.router("refused-data", env.policy, extra)
            raise AssertionError("started with " + extra)
        except RuntimeError as error:
            true(words in str(error), "no \"%s\" in: %s" % (words, error))
    done = env.run("audit", "witness-key", "--name", "x", "--out", bad)
    equal(done.returncode, 1, "a key over a file that is there")
    for arguments in (("watch",), ("watch", "--state", "x"), ("witness-key", "--name", "x"),
                      ("tail", "--log", "x", "--policy", "x")):
        equal(env.run("audit", *arguments).returncode, 3, "exit code of " + " ".join(arguments))


suite.main(prepare)
