#!/usr/bin/python3
"""Callers proven by certificates, as services in other languages see it: three regions over mTLS,
claims that are never believed, certificates that name nobody, files that rotate under load, roles.

    mtls_e2e.py [PART OF A CHECK'S NAME]
"""
import pathlib
import re
import socket
import ssl
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "lib"))
from harness import *  # noqa: E402,F403

suite = Suite("mtls")
ROOM = {"title": "Evening talk", "cover_url": "https://img.example/1", "owner_id": "u-77",
        "ip": "198.51.100.7"}
REGIONS = ("eu-central-1", "us-west-2", "ap-southeast-1")


def policy_text(version=None, approvals=2):
    """The shipped policy with another version, asking for two administrators."""
    text = POLICY.read_text(encoding="utf-8")
    if approvals is not None:
        text, found = re.subn(r"(?m)^rollout = \{", "rollout = { approvals = %d;" % approvals, text)
        true(found == 1, "the policy has no rollout section")
    if version is not None:
        text, found = re.subn(r"(?m)^(\s*version\s*=\s*)\d+", r"\g<1>%d" % version, text, count=1)
        true(found == 1, "the policy has no version line")
    return text


def prepare(env):
    env.pki = certificates.Pki(env.domicile, env.folder("pki"))
    env.policy = pathlib.Path(env.folder("policy")) / "policy.cfg"
    env.policy.write_text(policy_text(), encoding="utf-8")
    auditors = ", ".join('"%s"' % env.pki.id("auditor", r) for r in REGIONS)
    admins = ", ".join('"%s"' % env.pki.id(s, "eu-central-1") for s in ("law-a", "law-b"))
    env.main = env.router(
        "main", env.policy, "roles = { auditors = (%s); policy = (%s); operators = (\"%s\"); };\n"
        % (auditors, admins, env.pki.id("ops", "eu-central-1")), env.pki)
    env.rooms = env.client(env.main, "room-service", "eu-central-1")
    env.rooms.put("live_room", "r-1", "DE", ROOM)


def bare(env, folder, extra=()):
    """A client with the certificate of a folder."""
    caller = rpc.Client(env.api, env.main.address, "", "", extra, certificates.read(folder))
    env.clients.append((env.main, caller))
    return caller


def openssl(*arguments):
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True)
    true(done.returncode == 0, "openssl %s: %s" % (arguments[0], done.stderr))


def forge(env, name, san, ca=None, algorithm="ec", digest="sha256", days=1, dates=None):
    """A certificate that `domicile pki` would never make, in SPIRE's layout."""
    folder = env.folder("forged-" + name)
    ca = ca or env.pki.ca
    key, csr = os.path.join(folder, "svid_key.pem"), os.path.join(folder, "csr.pem")
    kind = {"ec": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
            "rsa1024": ["-newkey", "rsa:1024"]}[algorithm]
    openssl("req", "-new", *kind, "-nodes", "-keyout", key, "-out", csr, "-subj", "/CN=" + name)
    os.chmod(key, 0o600)
    conf = os.path.join(folder, "ca.cfg")
    with open(conf, "w", encoding="ascii") as f:
        f.write("[ca]\ndefault_ca = d\n[d]\ndatabase = %s/index\nrand_serial = yes\n"
                "policy = p\nnew_certs_dir = %s\nunique_subject = no\nx509_extensions = e\n"
                "[p]\nCN = supplied\n[e]\nbasicConstraints = CA:FALSE\n%s"
                % (folder, folder, "subjectAltName = %s\n" % san if san else ""))
    open(os.path.join(folder, "index"), "w").close()
    when = ["-startdate", dates[0], "-enddate", dates[1]] if dates else ["-days", str(days)]
    openssl("ca", "-batch", "-config", conf, "-in", csr, "-out",
            os.path.join(folder, "svid.pem"), "-cert", os.path.join(ca, "ca.pem"), "-keyfile",
            os.path.join(ca, "ca.key"), "-md", digest, "-notext", *when)
    shutil.copy(os.path.join(env.pki.ca, "ca.pem"), os.path.join(folder, "bundle.pem"))
    return folder


# ---- who is who ----

@suite.check("three regions: what each certificate may see is what the policy says of its region")
def _(env):
    home = env.rooms.get("live_room", "r-1", purpose="serve")
    equal(rpc.values(home.record), ROOM, "at home")
    true(not home.decision.cross_border, "a read at home crosses")
    abroad = env.client(env.main, "moderation", "us-west-2").get(
        "live_room", "r-1", purpose="moderation")
    true(abroad.decision.cross_border, "a read from the US does not cross")
    true(rpc.values(abroad.record)["ip"] is None, "the address left the EEA")
    with NewEntries(env, env.main, "eu-central-1") as new:
        refused(lambda: env.client(env.main, "live-feed", "ap-southeast-1").get(
            "live_room", "r-1", home="DE", fields=["ip"]), "PERMISSION_DENIED")
    equal([e["actor"]["region"] for _, _, e in new.list], ["ap-southeast-1"], "actor.region")


@suite.check("an entry carries the proof: SPIFFE id, region, country, serial, key hash")
def _(env):
    caller = env.client(env.main, "moderation", "us-west-2")
    with NewEntries(env, env.main, "eu-central-1") as new:
        caller.get("live_room", "r-1", purpose="moderation")
    actor = new.list[0][2]["actor"]
    folder = env.pki.issue("moderation", "us-west-2")
    shown = env.run("pki", "show", os.path.join(folder, "svid.pem")).stdout
    facts = dict(line.split(None, 1) for line in shown.splitlines())
    equal(actor["id"], env.pki.id("moderation", "us-west-2"), "actor.id")
    equal((actor["region"], actor["country"]), ("us-west-2", "US"), "place")
    equal(actor["cert"], {"serial": env.pki.serials[folder], "key": facts["key"]}, "actor.cert")
    true("claim" not in new.list[0][2], "a claim nobody made")


@suite.check("a spoofed region: metadata, authority and forwarded-for change nothing but the claim")
def _(env):
    before = env.main.metric("domicile_identity_claims_differing_total")
    lies = [("domicile-region", "eu-central-1"), ("domicile-service", "room-service"),
            ("x-forwarded-for", "198.51.100.1"), ("forwarded", "for=198.51.100.1;host=eu"),
            ("x-forwarded-client-cert",
             "URI=" + env.pki.id("room-service", "eu-central-1")),
            ("domicile-country", "DE")]
    folder = env.pki.issue("moderation", "us-west-2")
    caller = bare(env, folder, lies)
    options = [("grpc.default_authority", "eu-central-1.example")]
    caller.channel.close()
    caller.channel = grpc.secure_channel(
        env.main.address, grpc.ssl_channel_credentials(*certificates.read(folder)),
        options=options + [("grpc.ssl_target_name_override", "localhost")])
    with NewEntries(env, env.main, "eu-central-1") as new:
        refused(lambda: caller.get("live_room", "r-1", home="DE", fields=["owner_id", "ip"]),
                "PERMISSION_DENIED")
        got = caller.get("live_room", "r-1", purpose="moderation")
    true(rpc.values(got.record)["ip"] is None, "the address left the EEA")
    for _, _, entry in new.list:
        equal(entry["actor"]["region"], "us-west-2", "actor.region")
        equal(entry["claim"], {"region": "eu-central-1", "service": "room-service"}, "claim")
    equal(len(new.list), 2, "entries")
    equal(env.main.metric("domicile_identity_claims_differing_total"), before + 2, "counted")


@suite.check("a claim that agrees with the certificate is none")
def _(env):
    caller = bare(env, env.pki.issue("moderation", "us-west-2"),
                  [("domicile-region", "us-west-2"), ("domicile-service", "moderation")])
    with NewEntries(env, env.main, "eu-central-1") as new:
        caller.get("live_room", "r-1", purpose="moderation")
    true("claim" not in new.list[0][2], "a claim where there is no difference")


# ---- certificates that name nobody ----

BAD_NAMES = [
    ("no-san", None, "SAN_MISSING"),
    ("dns-only", "DNS:room-service.example", "SAN_MISSING"),
    ("two-uris", "URI:spiffe://tour.example/region/eu-central-1/service/room-service,"
                 "URI:spiffe://tour.example/region/us-west-2/service/room-service",
     "SAN_AMBIGUOUS"),
    ("dots", "URI:spiffe://tour.example/region/../service/room-service", "SAN_MALFORMED"),
    ("upper", "URI:spiffe://tour.example/region/EU-central-1/service/room-service",
     "SAN_MALFORMED"),
    ("percent", "URI:spiffe://tour.example/region/eu%2Dcentral-1/service/room-service",
     "SAN_MALFORMED"),
    ("slash", "URI:spiffe://tour.example/region/eu-central-1/service/room-service/",
     "SAN_MALFORMED"),
    ("domain", "URI:spiffe://other.example/region/eu-central-1/service/room-service",
     "TRUST_DOMAIN"),
    ("region", "URI:spiffe://tour.example/region/atlantis-1/service/room-service",
     "REGION_UNKNOWN"),
]


def counter(env, line):
    for row in env.main.metrics().splitlines():
        if row.startswith(line + " "):
            return int(row.rsplit(" ", 1)[1])
    raise AssertionError("no metric " + line)


def first_region(env):
    """Where entries about callers of no known region lie: the policy's first."""
    return sweeping.Where(env.domicile, str(env.policy)).regions[0]


def refused_with_entry(env, name, san, reason):
    region = first_region(env)
    named = re.search(r"region/([a-z0-9-]+)/", san or "")
    if reason == "TRUST_DOMAIN" and named:
        region = named.group(1)
    auditor = env.pki.id("auditor", region)
    size = log_entries(env, region)
    caller = bare(env, forge(env, name, san))
    metric = 'domicile_identity_refused_total{reason="%s"}' % reason
    before = counter(env, metric)
    failure = refused(lambda: caller.get("live_room", "r-1", purpose="serve"), "UNAUTHENTICATED",
                      "UNAUTHENTICATED")
    equal(failure.metadata.get("identity"), reason, "reason for " + auditor)
    equal(counter(env, metric), before + 1, "counted")
    equal(log_entries(env, region), size + 1, "entries of " + region)
    # In a log that may be read here, the entry itself.
    if region in REGIONS:
        entry = json.loads(entries(env, env.main, region)[-1][1])
        equal((entry["type"], entry["op"], entry["decision"]["reason"]),
              ("deny", "read", "UNAUTHENTICATED"), "entry")
        equal(entry["detail"], {"identity": reason}, "detail")
        true(len(entry["actor"]["cert"]["key"]) == 64, "the certificate's key is not told")


def log_entries(env, region):
    for row in env.main.metrics().splitlines():
        if row.startswith('domicile_audit_entries_total{region="%s"}' % region):
            return int(row.rsplit(" ", 1)[1])
    raise AssertionError("no log " + region)


for _name, _san, _reason in BAD_NAMES:
    suite.add("refused with %s and an entry: %s" % (_reason, _name), refused_with_entry, _name,
              _san, _reason)


@suite.check("a service that the policy does not know is denied, with an entry across a border")
def _(env):
    caller = env.client(env.main, "nobody", "us-west-2")
    with NewEntries(env, env.main, "eu-central-1") as new:
        refused(lambda: caller.get("live_room", "r-1", home="DE", fields=["ip"],
                                   purpose="moderation"), "PERMISSION_DENIED", "SERVICE_DENIED")
    equal(new.list[0][2]["actor"]["id"], env.pki.id("nobody", "us-west-2"), "actor.id")


def told_with_entry(env, folder, reason, actor, region, call):
    """The refusal names the reason, and one entry of `region` says whose certificate it was."""
    metric = 'domicile_identity_refused_total{reason="%s"}' % reason
    before = counter(env, metric)
    size = log_entries(env, region)
    handshakes = env.main.metric("domicile_tls_handshakes_refused_total")
    call(folder)
    equal(counter(env, metric), before + 1, "counted: " + reason)
    equal(log_entries(env, region), size + 1, "entries of %s: %s" % (region, reason))
    equal(env.main.metric("domicile_tls_handshakes_refused_total"), handshakes, "handshakes")
    if region in REGIONS:
        entry = json.loads(entries(env, env.main, region)[-1][1])
        equal(entry["detail"], {"identity": reason}, "detail")
        equal(entry["actor"].get("id"), actor, "actor")


@suite.check("expired, not yet valid: refused with the reason and an entry that names the caller")
def _(env):
    name = env.pki.id("room-service", "eu-central-1")
    read = lambda folder: refused(  # noqa: E731
        lambda: bare(env, folder).get("live_room", "r-1", timeout=5), "UNAUTHENTICATED",
        "UNAUTHENTICATED")
    told_with_entry(env, forge(env, "expired", "URI:" + name,
                               dates=("20200101000000Z", "20210101000000Z")),
                    "EXPIRED", name, "eu-central-1", read)
    told_with_entry(env, forge(env, "future", "URI:" + name,
                               dates=("20400101000000Z", "20410101000000Z")),
                    "NOT_YET_VALID", name, "eu-central-1", read)


@suite.check("another CA: refused with UNTRUSTED; its names are claims, and strangers share one entry")
def _(env):
    name = env.pki.id("room-service", "eu-central-1")
    region = first_region(env)
    other = certificates.Pki(env.domicile, env.folder("other-pki"))
    callers = [bare(env, forge(env, "other-ca-%d" % i, "URI:" + name, ca=other.ca))
               for i in range(5)]
    while time.time() % 1 > 0.3:
        time.sleep(0.02)  # the five calls lie within one second of the clock
    size = log_entries(env, region)
    for caller in callers:
        failure = refused(lambda: caller.get("live_room", "r-1", timeout=5), "UNAUTHENTICATED",
                          "UNAUTHENTICATED")
        equal(failure.metadata.get("identity"), "UNTRUSTED", "reason")
    true(1 <= log_entries(env, region) - size <= 2,
         "%d entries of strangers" % (log_entries(env, region) - size))
    if region in REGIONS:
        entry = json.loads(entries(env, env.main, region)[-1][1])
        true("id" not in entry["actor"] and "region" not in entry["actor"], "taken for proven")
        equal(entry["claim"]["service"], "room-service", "claim")
    refused(lambda: callers[0].call("grpc.health.v1.Health/Check"), "UNAUTHENTICATED",
            "UNAUTHENTICATED")


@suite.check("RSA 1024 and SHA-1: refused with the reason where the machine's own level lets them by")
def _(env):
    name = env.pki.id("room-service", "eu-central-1")
    openssl = os.path.join(env.scratch, "weak.cnf")
    pathlib.Path(openssl).write_text(
        "openssl_conf = a\n[a]\nssl_conf = b\n[b]\nsystem_default = c\n"
        "[c]\nCipherString = DEFAULT@SECLEVEL=0\n", encoding="utf-8")

    def read(reason):
        def run(folder):
            done = subprocess.run(
                [sys.executable, str(ROOT / "tests" / "e2e" / "lib" / "get_as.py"),
                 env.descriptors, env.main.address, folder],
                env=dict(os.environ, OPENSSL_CONF=openssl), capture_output=True, timeout=30,
                text=True)
            equal(done.stdout.strip(), "UNAUTHENTICATED " + reason, done.stderr[-300:])
        return run
    told_with_entry(env, forge(env, "rsa1024", "URI:" + name, algorithm="rsa1024"), "KEY_WEAK",
                    name, "eu-central-1", read("KEY_WEAK"))
    told_with_entry(env, forge(env, "sha1", "URI:" + name, digest="sha1"), "SIGNATURE_WEAK", name,
                    "eu-central-1", read("SIGNATURE_WEAK"))


@suite.check("openssl s_client: TLS 1.3, h2, the chain verifies; 1.2, 1.1 and no certificate do not")
def _(env):
    folder = env.pki.issue("room-service", "eu-central-1")

    def dial(*arguments, certificate=True):
        own = ["-cert", folder + "/svid.pem", "-key", folder + "/svid_key.pem"]
        return subprocess.run(
            ["openssl", "s_client", "-connect", env.main.address, "-CAfile",
             folder + "/bundle.pem", "-alpn", "h2", *(own if certificate else ()), *arguments],
            stdin=subprocess.DEVNULL, capture_output=True, timeout=20).stdout.decode(
                errors="replace")
    good = dial("-verify_return_error", "-verify_hostname", "localhost")
    for words in ("TLSv1.3", "ALPN protocol: h2", "Verify return code: 0 (ok)"):
        true(words in good, "not said: " + words)
    before = env.main.metric("domicile_tls_handshakes_refused_total")
    true("Cipher is (NONE)" in dial("-tls1_2"), "TLS 1.2 was accepted")
    true("Cipher is (NONE)" in dial("-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"), "TLS 1.1")
    wait_until(lambda: env.main.metric("domicile_tls_handshakes_refused_total") >= before + 2,
               what="counting")


@suite.check("openssl s_client: a session is resumed")
def _(env):
    folder = env.pki.issue("room-service", "eu-central-1")
    session = os.path.join(env.scratch, "session.pem")

    def dial(option):
        # The ticket comes after the handshake: it is waited for until the end of input.
        done = subprocess.run(
            "sleep 0.5 | openssl s_client -connect %s -CAfile %s/bundle.pem -alpn h2 -cert "
            "%s/svid.pem -key %s/svid_key.pem %s %s" % (env.main.address, folder, folder, folder,
                                                       option, session),
            shell=True, capture_output=True, timeout=20)
        return done.stdout.decode(errors="replace")
    true("New, TLSv1.3" in dial("-sess_out"), "no first session")
    true("Reused, TLSv1.3" in dial("-sess_in"), "not resumed")


@suite.check("plain text and TLS 1.2: refused, counted, logged once for each source and second")
def _(env):
    host, port = env.main.address.rsplit(":", 1)
    before = env.main.metric("domicile_tls_handshakes_refused_total")

    def lines():
        text = pathlib.Path(env.main.log_path).read_text(encoding="utf-8")
        return re.findall(r"tls.handshake_refused source=(\S+) ", text)
    old = len(lines())
    sources = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
    hello12 = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    hello12.check_hostname = False
    hello12.verify_mode = ssl.CERT_NONE
    hello12.maximum_version = ssl.TLSVersion.TLSv1_2
    begun = time.time()
    for source in sources:
        for how in range(6):
            with socket.create_connection((host, int(port)), 5, (source, 0)) as s:
                if how % 2 == 0:
                    s.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
                    while s.recv(4096):
                        pass
                else:
                    try:
                        hello12.wrap_socket(s)
                        raise AssertionError("TLS 1.2 was accepted")
                    except (ssl.SSLError, ConnectionError):
                        pass
    seconds = int(time.time() - begun) + 2
    wait_until(lambda: env.main.metric("domicile_tls_handshakes_refused_total") >= before + 18,
               what="counting")
    new = lines()[old:]
    for source in sources:
        true(1 <= new.count(source) <= seconds, "%s: %d lines in %d s" % (
            source, new.count(source), seconds))
    equal(set(new), set(sources), "sources")


@suite.check("a refused call is logged with its source, once a second")
def _(env):
    caller = bare(env, forge(env, "logged", "DNS:nobody.example"))
    for _ in range(20):
        refused(lambda: caller.get("live_room", "r-1"), "UNAUTHENTICATED")
    with open(env.main.log_path, encoding="utf-8") as f:
        lines = [line for line in f if "event=identity.refused" in line]
    serial = set(re.search(r"serial=(\S+)", line).group(1) for line in lines[-1:])
    mine = [line for line in lines if serial & set(re.findall(r"serial=(\S+)", line))]
    true(1 <= len(mine) <= 4 and "peer=ipv4:127.0.0.1:" in mine[0], str(mine))


# ---- while it runs ----

def reloaded(env, action, taken=True):
    name = "domicile_tls_reloads_total" if taken else "domicile_tls_reloads_failed_total"
    before = env.main.metric(name)
    action()
    wait_until(lambda: env.main.metric(name) > before, what=name)


@suite.check("reload under load: certificate, key, CA and lists change, no call fails")
def _(env):
    stop = threading.Event()
    failures, done = [], [0]

    def work(service, region):
        caller = env.main.client(env.api, service, region)
        while not stop.is_set():
            try:
                caller.get("live_room", "r-1", purpose="serve" if region[:2] == "eu" else
                           "moderation", timeout=10)
                done[0] += 1
            except Exception as error:  # noqa: BLE001: every failure counts
                failures.append(str(error))
        caller.close()

    threads = [threading.Thread(target=work, args=who) for who in
               [("room-service", "eu-central-1"), ("live-feed", "eu-west-1"),
                ("moderation", "us-west-2")]]
    for thread in threads:
        thread.start()
    try:
        for round in range(4):
            reloaded(env, lambda: env.pki.renew("router", "any", "router"))
            reloaded(env, lambda: env.pki.revoke(
                env.pki.renew("victim", "eu-central-1", "victim-%d" % round)))
            # A new connection by the new certificate, in the midst of it.
            env.client(env.main, "room-service", "eu-central-1").get(
                "live_room", "r-1", purpose="serve")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    equal(failures[:3], [], "failures of %d calls" % done[0])
    true(done[0] > 50, "only %d calls" % done[0])


@suite.check("a bundle that is empty or half-written stays out, loudly, and calls go on")
def _(env):
    folder = env.pki.issue("router", "any", "router")
    path = os.path.join(folder, "bundle.pem")
    with open(path, "rb") as f:
        whole = f.read()
    for broken in (b"", whole[:len(whole) // 2], whole + whole[:100], b"garbage\n"):
        def replace(content=broken):
            with open(path, "wb") as f:  # in place: as a careless tool does it
                f.write(content)
        reloaded(env, replace, taken=False)
        env.rooms.get("live_room", "r-1", purpose="serve")
        env.client(env.main, "live-feed", "eu-central-1").get("live_room", "r-1", purpose="serve")
    with open(env.main.log_path, encoding="utf-8") as f:
        true("event=tls.refused" in f.read(), "nothing in the log")
    reloaded(env, lambda: pathlib.Path(path).write_bytes(whole))


@suite.check("revoked by the list while the connection is open: the next call is refused")
def _(env):
    folder = env.pki.issue("live-feed", "eu-west-2", "to-revoke")
    caller = bare(env, folder)
    failure_before = None
    try:
        caller.get("live_room", "r-1", purpose="serve")
    except rpc.Failure as error:
        failure_before = error.code
    true(failure_before in (None, "PERMISSION_DENIED", "NOT_FOUND"), "before: %s" % failure_before)
    reloaded(env, lambda: env.pki.revoke(folder))
    failure = refused(lambda: caller.get("live_room", "r-1", purpose="serve"), "UNAUTHENTICATED")
    equal(failure.metadata.get("identity"), "REVOKED", "reason")


# ---- roles ----

@suite.check("entries are for auditors of the log's jurisdiction, and for nobody else")
def _(env):
    def listing(service, region, log="eu-central-1"):
        caller = env.client(env.main, service, region)
        return list(caller.stream(AUDIT + "ListEntries", region=log))
    true(listing("auditor", "eu-central-1"), "no entries")
    for other in ("room-service", "ops", "law-a"):
        refused(lambda: listing(other, "eu-central-1"), "PERMISSION_DENIED", "ROLE_DENIED")
    refused(lambda: listing("auditor", "us-west-2"), "PERMISSION_DENIED", "NO_PERMIT")
    env.client(env.main, "room-service", "us-west-2").call(
        AUDIT + "GetCheckpoint", region="eu-central-1")


@suite.check("an auditor never writes")
def _(env):
    caller = env.client(env.main, "auditor", "eu-central-1")
    refused(lambda: caller.put("live_room", "by-auditor", "DE", {"title": "x"}),
            "PERMISSION_DENIED", "ROLE_DENIED")
    refused(lambda: caller.call(RECORD + "DeleteRecord", kind="live_room", id="r-1", home="DE",
                                purpose="serve"), "PERMISSION_DENIED", "ROLE_DENIED")


@suite.check("a reload needs two distinct administrators who want the same bytes: the policy says so")
def _(env):
    reload = POLICY_SERVICE + "ReloadPolicy"
    first = env.client(env.main, "law-a", "eu-central-1")
    second = env.client(env.main, "law-b", "eu-central-1")
    for other in ("room-service", "auditor", "ops"):
        refused(lambda: env.client(env.main, other, "eu-central-1").call(reload),
                "PERMISSION_DENIED", "ROLE_DENIED")
    env.policy.write_text(policy_text(2), encoding="utf-8")
    refused(lambda: first.call(reload), "FAILED_PRECONDITION", "SECOND_OPERATOR")
    refused(lambda: first.call(reload), "FAILED_PRECONDITION", "SECOND_OPERATOR")
    env.policy.write_text(policy_text(3), encoding="utf-8")
    refused(lambda: second.call(reload), "FAILED_PRECONDITION", "SECOND_OPERATOR")
    answer = first.call(reload)
    equal((answer.version, answer.changed), (3, True), "answer")
    entry = [json.loads(b) for _, b in entries(env, env.main, "eu-central-1")
             if json.loads(b)["type"] == "policy"][-1]
    equal(entry["detail"], {"operator": env.pki.id("law-a", "eu-central-1"),
                            "operator_first": env.pki.id("law-b", "eu-central-1")}, "detail")


@suite.check("an operator drains: an entry in every log, calls finish, exit code 0; nobody else may")
def _(env):
    router = env.router("drained", env.policy, 'roles = { operators = ("%s"); auditors = ("%s"); '
                        'policy = ("%s"); };\n' % tuple(env.pki.id(s, "eu-central-1") for s in (
                            "ops", "auditor", "law-a")), env.pki)
    drain = "domicile.v1.AdminService/Drain"
    for other in ("auditor", "law-a", "room-service"):
        refused(lambda: env.client(router, other, "eu-central-1").call(drain),
                "PERMISSION_DENIED", "ROLE_DENIED")
    refused(lambda: env.client(router, "ops", "eu-central-1").call(drain, reason="x" * 257),
            "INVALID_ARGUMENT")
    folder = env.pki.issue("ops", "eu-central-1")
    done = env.run("drain", "--reason", "new kernel", "--address", router.address, "--cert",
                   folder + "/svid.pem", "--key", folder + "/svid_key.pem", "--ca",
                   folder + "/bundle.pem")
    equal((done.returncode, "draining" in done.stdout), (0, True), done.stderr)
    env.leave(router)
    equal(router.process.wait(30), 0, "exit code")
    for region in REGIONS:
        out = os.path.join(env.scratch, "drained-%s.jsonl" % region)
        env.run("audit", "export", "--log", router.log_dir(region), "--out", out)
        last = [json.loads(line)["entry"] for line in open(out, encoding="utf-8")]
        told = [e for e in last if e["type"] == "sink" and
                e["detail"].get("state") == "draining"]
        equal(len(told), 1, "entries of " + region)
        equal((told[0]["detail"]["operator"], told[0]["detail"]["reason"]),
              (env.pki.id("ops", "eu-central-1"), "new kernel"), "detail")


@suite.check("one is enough where neither policy nor configuration asks for two; a policy can begin to")
def _(env):
    path = pathlib.Path(env.folder("one")) / "policy.cfg"
    path.write_text(policy_text(1, None), encoding="utf-8")
    roles = 'roles = { policy = ("%s", "%s"); %%s };\n' % (
        env.pki.id("law-a", "eu-central-1"), env.pki.id("law-b", "eu-central-1"))
    reload = POLICY_SERVICE + "ReloadPolicy"
    router = env.router("one", path, roles % "", env.pki)
    first = env.client(router, "law-a", "eu-central-1")
    path.write_text(policy_text(2), encoding="utf-8")
    equal(first.call(reload).version, 2, "version")
    path.write_text(policy_text(3, None), encoding="utf-8")
    refused(lambda: first.call(reload), "FAILED_PRECONDITION", "SECOND_OPERATOR")
    equal(env.client(router, "law-b", "eu-central-1").call(reload).version, 3, "version")
    equal(env.stop(router), 0, "exit code")
    path.write_text(policy_text(1, None), encoding="utf-8")
    router = env.router("two", path, roles % "approvals = 2;", env.pki)
    path.write_text(policy_text(2, None), encoding="utf-8")
    refused(lambda: env.client(router, "law-a", "eu-central-1").call(reload),
            "FAILED_PRECONDITION", "SECOND_OPERATOR")
    equal(env.stop(router), 0, "exit code")


@suite.check("a signal alone reloads no policy where two administrators are required")
def _(env):
    env.policy.write_text(policy_text(4), encoding="utf-8")
    env.main.process.send_signal(1)
    wait_until(lambda: "two administrators are required" in pathlib.Path(
        env.main.log_path).read_text(encoding="utf-8"), what="the refusal")
    equal(env.main.metric("domicile_policy_version"), 3, "version")
    env.policy.write_text(policy_text(3), encoding="utf-8")


@suite.check("a region that the policy removes is refused at the next call of an open connection")
def _(env):
    removed = "ca-central-1"
    caller = env.client(env.main, "live-feed", removed)
    refused(lambda: caller.get("live_room", "nobody", purpose="serve"), "NOT_FOUND")
    text = policy_text(5).replace(removed, "ca-central-9")
    env.policy.write_text(text, encoding="utf-8")
    reload = POLICY_SERVICE + "ReloadPolicy"
    refused(lambda: env.client(env.main, "law-a", "eu-central-1").call(reload),
            "FAILED_PRECONDITION")
    env.client(env.main, "law-b", "eu-central-1").call(reload)
    failure = refused(lambda: caller.get("live_room", "nobody", purpose="serve"),
                      "UNAUTHENTICATED")
    equal(failure.metadata.get("identity"), "REGION_UNKNOWN", "reason")


# ---- the command line ----

@suite.check("record says what is missing, and takes flags, variables or a context file")
def _(env):
    folder = env.pki.issue("room-service", "eu-central-1")
    clean = {k: v for k, v in os.environ.items() if not k.startswith("DOMICILE_")}
    clean.update(HOME=env.scratch, XDG_CONFIG_HOME=env.folder("xdg"))
    ask = ("record", "get", "live_room", "r-1", "--purpose", "serve")
    flags = ("--cert", folder + "/svid.pem", "--key", folder + "/svid_key.pem", "--ca",
             folder + "/bundle.pem", "--address", env.main.address)
    none = env.run(*ask, env=clean)
    equal(none.returncode, 3, "exit code")
    true("--cert, --key and --ca" in none.stderr, none.stderr)
    half = env.run(*ask, "--cert", folder + "/svid.pem", env=clean)
    true(half.returncode == 3 and "--key is missing (or set DOMICILE_KEY)" in half.stderr,
         half.stderr)
    equal(env.run(*ask, *flags, env=clean).returncode, 0, "with flags")
    variables = dict(clean, DOMICILE_ADDRESS=env.main.address, **certificates.environment(folder))
    equal(env.run(*ask, env=variables).returncode, 0, "with variables")
    context = pathlib.Path(env.folder("xdg/domicile")) / "context.cfg"
    context.write_text('address = "%s";\ncert = "me/svid.pem";\nkey = "me/svid_key.pem";\n'
                       'ca = "me/bundle.pem";\n' % env.main.address, encoding="utf-8")
    shutil.copytree(folder, context.parent / "me")
    equal(env.run(*ask, env=clean).returncode, 0, "with a context file")
    context.write_text('adress = "x";\n', encoding="utf-8")
    bad = env.run(*ask, env=clean)
    true(bad.returncode == 3 and 'context.cfg:1: "adress" is unknown' in bad.stderr, bad.stderr)
    plain = env.run(*ask, "--service", "room-service", "--region", "eu-central-1", "--address",
                    env.main.address, env=dict(clean, XDG_CONFIG_HOME=env.folder("none")))
    true(plain.returncode == 1 and "give --cert, --key and --ca" in plain.stderr, plain.stderr)
    os.chmod(folder + "/svid_key.pem", 0o644)
    loose = env.run(*ask, *flags, env=dict(clean, XDG_CONFIG_HOME=env.folder("none")))
    os.chmod(folder + "/svid_key.pem", 0o600)
    true(loose.returncode == 3 and "chmod" in loose.stderr, loose.stderr)


@suite.check("a configuration that proves nobody does not start")
def _(env):
    path = os.path.join(env.folder("configs"), "c.cfg")
    base = 'listen = "127.0.0.1:0";\ndata = "d";\npolicy = "%s";\n' % POLICY
    cases = [
        ('identity = "trust-me";', "one of"),
        ('identity = "mtls";', "tls.cert is missing"),
        ('identity = "mtls"; tls = { cert = "c"; key = "k"; ca = "a"; };',
         "tls.trust_domain is missing"),
        ('identity = "mtls"; tls = { dir = "x"; trust_domain = "Up.example"; };',
         "tls.trust_domain"),
        ('identity = "insecure-loopback"; roles = { auditors = ("spiffe://a/region/b/service/c"); };',
         "mean nothing"),
        ('identity = "mtls"; tls = { dir = "x"; trust_domain = "tour.example"; }; '
         'roles = { operators = ("ops"); };', "roles.operators: item 1"),
        ('identity = "mtls"; tls = { dir = "x"; trust_domain = "tour.example"; }; '
         'roles = { operators = ("spiffe://other/region/b/service/c"); };', "trust domain"),
        ('identity = "mtls"; tls = { dir = "x"; trust_domain = "tour.example"; }; '
         'roles = { approvals = 3; };', "1 to 2"),
        ('identity = "mtls"; tls = { dir = "x"; trust_domain = "tour.example"; };',
         "policy_root is missing"),
        ('identity = "mtls"; tls = { dir = "x"; trust_domain = "tour.example"; }; '
         'policy_unsigned = true; policy_root = "r";', "exclude each other"),
        ('identity = "mtls"; tls = { dir = "x"; trust_domain = "tour.example"; }; '
         'policy_unsigned = true; policy_bundle = "b";', "policy_bundle"),
        ('identity = "mtls"; tls = { dir = "x"; trust_domain = "tour.example"; }; '
         'policy_unsigned = true;', "x/svid.pem"),
    ]
    for text, words in cases:
        with open(path, "w", encoding="utf-8") as f:
            f.write(base + text + "\n")
        done = env.run("serve", "--config", path, "--check")
        true(done.returncode == 1 and words in done.stderr, "%s: %s" % (text, done.stderr))


@suite.check("SPIRE's file names are taken as they are")
def _(env):
    own = env.pki.issue("router", "any", "router")
    for names in (("svid.pem", "svid_key.pem", "bundle.pem"),
                  ("svid.pem", "svid_key.pem", "svid_bundle.pem"),
                  ("svid.pem", "svid.key", "bundle.pem"),
                  ("svid.0.pem", "svid.0.key", "bundle.0.pem")):
        folder = env.folder("spire-" + "-".join(names))
        for name, old in zip(names, ("svid.pem", "svid_key.pem", "bundle.pem")):
            shutil.copy(os.path.join(own, old), os.path.join(folder, name))
        path = os.path.join(folder, "c.cfg")
        with open(path, "w", encoding="utf-8") as f:
            f.write('listen = "127.0.0.1:0"; data = "%s"; policy = "%s"; log = "warn";\n'
                    'identity = "mtls"; tls = { dir = "."; trust_domain = "tour.example"; };\n'
                    'policy_unsigned = true;\n'
                    % (env.folder("spire-data"), POLICY))
        done = env.run("serve", "--config", path, "--check")
        equal(done.returncode, 0, "serve --check with %s: %s" % (names, done.stderr))


@suite.check("pki refuses what would not be a name, and never writes over a CA")
def _(env):
    out = env.folder("pki-refusals")
    for arguments, words in [
            (("ca", "--out", env.pki.ca, "--trust-domain", "x"), "never written over"),
            (("ca", "--out", out + "/a", "--trust-domain", "X Y"), "trust domain"),
            (("issue", "--ca", env.pki.ca, "--region", "..", "--service", "s", "--out", out),
             "SPIFFE id"),
            (("issue", "--ca", env.pki.ca, "--region", "EU", "--service", "s", "--out", out),
             "SPIFFE id"),
            (("issue", "--ca", env.pki.ca, "--region", "e", "--service", "s", "--out", out,
              "--name", "a b"), "DNS name"),
            (("issue", "--ca", out, "--region", "e", "--service", "s", "--out", out), "ca.pem"),
            (("revoke", "--ca", env.pki.ca, "--serial", "xyz"), "hex"),
            (("show", "/nonexistent"), "nonexistent")]:
        done = env.run("pki", *arguments)
        true(done.returncode == 1 and words in done.stderr, "%s: %s" % (arguments, done.stderr))
    equal(env.run("pki", "issue").returncode, 3, "usage")
    key = os.stat(os.path.join(env.pki.ca, "ca.key"))
    equal(key.st_mode & 0o777, 0o600, "mode of the key")


@suite.check("the router ends cleanly")
def _(env):
    equal(env.stop(env.main), 0, "exit code")


suite.main(prepare)
