"""The tour: starts the router on the shipped policy, does its main job on real input, and checks
every step. Run by tools/quickstart."""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import client as rpc  # noqa: E402
import pki as certificates  # noqa: E402
import records as made  # noqa: E402
import sweep as sweeping  # noqa: E402

WRITERS = {"live_room": "room-service", "user": "profile-service"}


class Router:
    """A router process and what is known of it: over mTLS with a `pki`, else in
    insecure-loopback mode."""

    # A machine that builds and shows at once may be slow to sync.
    audit = "wait_ms = 2000;"

    def __init__(self, domicile, policy, data, extra="", pki=None, environment=None):
        self.domicile = domicile
        self.environment = environment
        self.policy = policy
        self.data = data
        self.pki = pki
        self.config = os.path.join(data, "domicile.cfg")
        identity = 'identity = "insecure-loopback";\n'
        if pki is not None:
            identity = 'identity = "mtls";\ntls = { dir = "%s"; crl = "%s"; trust_domain = "%s"; };\n'
            if "policy_root" not in extra:
                identity += "policy_unsigned = true;\n"
            identity = identity % (
                pki.issue("router", "any", "router"), pki.crl, pki.trust_domain)
        with open(self.config, "w", encoding="utf-8") as f:
            f.write(
                'listen = "127.0.0.1:0";\n%s'
                'metrics = "127.0.0.1:0";\ndata = "%s";\npolicy = "%s";\nlog = "warn";\n'
                'audit = { origin = "audit.example.com"; %s };\n%s'
                % (identity, data, os.path.abspath(policy), self.audit, extra)
            )
        self.log_path = os.path.join(data, "router.log")
        self.start()

    def start(self):
        self.log = open(self.log_path, "ab")
        self.process = subprocess.Popen(
            [self.domicile, "serve", "--config", self.config], stdout=subprocess.PIPE,
            stderr=self.log, env=self.environment
        )
        self.address = self.metrics_port = self.witness_port = None
        for line in self.process.stdout:
            words = line.decode().split()
            if words[:3] == ["metrics", "on", "port"]:
                self.metrics_port = int(words[3])
            if words[:3] == ["witness", "on", "port"]:
                self.witness_port = int(words[3])
            if words[:2] == ["listening", "on"]:
                self.address = words[2]
                break
        if self.address is None:
            self.log.flush()
            with open(self.log_path, encoding="utf-8") as f:
                raise RuntimeError("the router did not start:\n" + f.read()[-2000:])

    def client(self, api, service, region, extra=()):
        """A caller with its own connection, and a certificate when the router wants one."""
        tls = None
        if self.pki is not None:
            tls = certificates.read(self.pki.issue(service, region))
        return rpc.Client(api, self.address, service, region, extra, tls)

    def metrics(self):
        url = "http://127.0.0.1:%d/metrics" % self.metrics_port
        with urllib.request.urlopen(url, timeout=10) as page:
            return page.read().decode()

    def metric(self, name):
        total = 0
        for line in self.metrics().splitlines():
            if line.startswith(name) and line[len(name)] in " {":
                total += int(float(line.rsplit(" ", 1)[1]))
        return total

    def settle(self, seconds=120):
        """Waits until no region owes another a replica."""
        deadline = time.monotonic() + seconds
        while self.metric("domicile_store_outbox") != 0:
            if time.monotonic() > deadline:
                raise RuntimeError("replication did not come to rest in %d s" % seconds)
            time.sleep(0.05)  # another process's queue: there is no event to wait for

    def covered(self, api, region, seconds=10):
        """Waits until the signed checkpoint covers every entry of the region's log."""
        caller = self.client(api, "auditor", region)
        size = sum(
            len(m.entries)
            for m in caller.stream("domicile.v1.AuditService/ListEntries", region=region)
        )
        deadline = time.monotonic() + seconds
        while True:
            try:
                now = caller.call("domicile.v1.AuditService/GetCheckpoint", region=region).size
            except rpc.Failure as failure:
                if failure.code != "NOT_FOUND":
                    raise
                now = 0  # a new log: its first checkpoint comes within a second
            if now >= size:
                caller.close()
                return now
            if time.monotonic() > deadline:
                raise RuntimeError("no checkpoint covers %s within %d s" % (region, seconds))
            time.sleep(0.05)

    def published(self, api, region, seconds=20):
        """Waits until the checkpoint among the log's files covers every entry; gives their number. A
        checkpoint is signed before its files are there."""
        size = self.covered(api, region)
        path = os.path.join(self.log_dir(region), "checkpoint")
        deadline = time.monotonic() + seconds
        while True:
            if os.path.exists(path):
                with open(path, encoding="utf-8") as file:
                    if int(file.read().split("\n")[1]) >= size:
                        return size
            if time.monotonic() > deadline:
                raise RuntimeError("no files cover %s within %d s" % (region, seconds))
            time.sleep(0.02)  # another process's files: there is no event to wait for

    def log_dir(self, region):
        return os.path.join(self.data, region, "audit")

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=60)
        self.log.close()
        return code

    def run(self, *arguments, who=None):
        """The command line, as a person would use it; `who` is (service, region)."""
        environment = dict(os.environ, DOMICILE_ADDRESS=self.address)
        if who is not None and self.pki is not None:
            environment.update(certificates.environment(self.pki.issue(*who)))
        elif who is not None:
            environment.update(DOMICILE_SERVICE=who[0], DOMICILE_REGION=who[1])
        return subprocess.run(
            [self.domicile, *arguments], capture_output=True, text=True, env=environment
        )


def load(router, api, where, records, on_progress=lambda done: None):
    """Writes the records, each from its home region; returns how many were acknowledged."""
    clients = {}
    waiting = []
    done = 0

    def drain(down_to):
        nonlocal done
        while len(waiting) > down_to:
            waiting.pop(0).result()
            done += 1
            if done % 100 == 0:
                on_progress(done)

    for record in records:
        lead = where.homes[record.kind][record.home]["lead"]
        caller = clients.get((record.kind, lead))
        if caller is None:
            caller = router.client(api, WRITERS[record.kind], lead)
            clients[(record.kind, lead)] = caller
        waiting.append(
            caller.future(
                "domicile.v1.RecordService/PutRecord",
                kind=record.kind,
                id=record.id,
                home=record.home,
                purpose="serve",
                fields=[{"name": n, "text": v} for n, v in record.fields.items()],
            )
        )
        drain(128)
    drain(0)
    for caller in clients.values():
        caller.close()
    return done


class Tour:
    def __init__(self, router, api, where, count):
        self.router = router
        self.api = api
        self.where = where
        self.count = count
        self.failed = []
        self.records = []
        self.room = None

    def step(self, title, action):
        print("\n--- " + title, flush=True)
        try:
            problem = action()
        except Exception as error:  # noqa: BLE001: any failure is this step's, and is told
            problem = "%s: %s" % (type(error).__name__, error)
        if problem:
            print("FAILED: " + problem, flush=True)
            self.failed.append(title)
        else:
            print("ok", flush=True)

    def show(self, done):
        for line in (done.stdout + done.stderr).rstrip().splitlines():
            print("    " + line)

    # ---- the steps ----

    def load(self):
        homes = sorted(
            set(self.where.homes_with_placement("user"))
            & set(self.where.homes_with_placement("live_room"))
        )
        self.records = made.generate(self.count, homes)
        terminal = sys.stderr.isatty()
        start = time.monotonic()

        def progress(done):
            if terminal:
                sys.stderr.write("\r    %d of %d" % (done, self.count))

        done = load(self.router, self.api, self.where, self.records, progress)
        if terminal:
            sys.stderr.write("\r" + " " * 40 + "\r")
        spent = time.monotonic() - start
        self.router.settle()
        print("    %d records acknowledged in %.1f s, homes in %d countries; every replica in step"
              % (done, spent, len(homes)))
        self.room = next(r for r in self.records if r.kind == "live_room" and r.home == "DE")
        return None if done == self.count else "%d of %d" % (done, self.count)

    def refuse_homeless(self):
        caller = self.router.client(self.api, "profile-service", "eu-central-1")
        homeless = [h for h, p in self.where.homes["user"].items() if not p["lead"]]
        for home in homeless[:3]:
            try:
                caller.put("user", "nobody", home, {"bio": "x"})
                return "a record at home in %s was stored" % home
            except rpc.Failure as error:
                print("    home %s: %s (%s)" % (home, error.code, error.reason))
                if error.reason != "NO_PLACEMENT":
                    return "reason %s" % error.reason
        caller.close()
        return None if homeless else "every listed country has a placement"

    def german_user(self):
        command = (
            "record", "put", "user", "anna", "--home", "DE", "--purpose", "serve", "--field",
            "display_name=Anna", "--field", "email=anna@example.org", "--field",
            "ip=198.51.100.7",
        )
        who = ("profile-service", "eu-central-1")
        done = self.router.run(*command, who=who)
        self.show(done)
        answer = json.loads(self.router.run(*command, "--format", "json", who=who).stdout)
        allowed = set()
        for field in ("display_name", "email", "ip"):
            allowed |= self.where.regions_of_field("user", "DE", field)
        parts = {p["region"] for p in answer["parts"]}
        if done.returncode != 0 or parts != allowed:
            return "parts in %s, the policy allows %s" % (sorted(parts), sorted(allowed))
        return None

    def denied_read(self):
        before = self.asked("eu-central-1")
        done = self.router.run(
            "record", "get", "live_room", self.room.id, "--home", "DE", "--fields", "owner_id,ip",
            who=("moderation", "us-west-2"),
        )
        self.show(done)
        new = self.asked("eu-central-1")[len(before):]
        if done.returncode != 4 or "PERMISSION_DENIED" not in done.stderr:
            return "exit code %d" % done.returncode
        if len(new) != 1 or new[0]["type"] != "deny":
            return "the log has %d new entries" % len(new)
        print("    and the log of eu-central-1 has one more entry: a deny")
        return None

    def permitted_read(self):
        done = self.router.run(
            "record", "get", "live_room", self.room.id, "--home", "DE", "--purpose", "moderation",
            who=("moderation", "us-west-2"),
        )
        self.show(done)
        if done.returncode != 0:
            return "exit code %d" % done.returncode
        owner = self.room.fields["owner_id"]
        for part in ("owner_id pseudonymised", "ip redacted", "device_id redacted", "receipt:"):
            if part not in done.stdout:
                return "the answer does not say: " + part
        return "the owner's id left in clear" if owner in done.stdout else None

    def local_read(self):
        before = len(self.asked("eu-central-1"))
        done = self.router.run(
            "record", "get", "live_room", self.room.id, "--purpose", "serve", "--fields",
            "title,owner_id", who=("live-feed", "eu-central-1"),
        )
        self.show(done)
        after = len(self.asked("eu-central-1"))
        if done.returncode != 0 or self.room.fields["owner_id"] not in done.stdout:
            return "exit code %d" % done.returncode
        print("    entries of callers before %d, after %d" % (before, after))
        return None if before == after else "a local read made an entry"

    def claim(self):
        """The certificate says us-west-2, the metadata says home: the certificate decides."""
        before = self.asked("eu-central-1")
        done = self.router.run(
            "record", "get", "live_room", self.room.id, "--home", "DE", "--fields", "owner_id,ip",
            "--region", "eu-central-1", who=("moderation", "us-west-2"),
        )
        self.show(done)
        new = self.asked("eu-central-1")[len(before):]
        if done.returncode != 4 or len(new) != 1:
            return "exit code %d, %d new entries" % (done.returncode, len(new))
        actor, claim = new[0]["actor"], new[0].get("claim", {})
        print("    the entry: actor.region %s, cert.serial %s..., claim.region %s" % (
            actor["region"], actor["cert"]["serial"][:8], claim.get("region")))
        ok = actor["region"] == "us-west-2" and claim == {"region": "eu-central-1"}
        return None if ok else "the entry says %s and %s" % (actor, claim)

    def revoke(self):
        """A certificate that was good a moment ago, revoked while its connection is open."""
        pki = self.router.pki
        caller = self.router.client(self.api, "live-feed", "ca-central-1")
        try:
            caller.get("live_room", "nobody", purpose="serve")
        except rpc.Failure as error:
            if error.code != "NOT_FOUND":
                return "before: %s" % error.code
        loads = self.router.metric("domicile_tls_reloads_total")
        pki.revoke(pki.issue("live-feed", "ca-central-1"))
        deadline = time.monotonic() + 20
        while self.router.metric("domicile_tls_reloads_total") == loads:
            if time.monotonic() > deadline:
                return "the router did not read the revocation list"
            time.sleep(0.05)  # the router looks once a second and tells nobody
        try:
            caller.get("live_room", "nobody", purpose="serve")
        except rpc.Failure as error:
            print("    the same connection: %s, %s" % (error.code, error.metadata))
            caller.close()
            return None if error.metadata.get("identity") == "REVOKED" else "wrong reason"
        return "the call was served"

    def asked(self, region):
        """The entries that callers' operations made. Others, as `mirror`, come by themselves."""
        return [e for e in self.entries(region) if e["type"] in ("access", "deny")]

    def entries(self, region):
        caller = self.router.client(self.api, "auditor", region)
        out = []
        for message in caller.stream("domicile.v1.AuditService/ListEntries", region=region):
            out.extend(json.loads(e.entry) for e in message.entries)
        caller.close()
        return out

    def export(self):
        self.router.published(self.api, "eu-central-1")
        done = self.router.run(
            "audit", "export", "--log", self.router.log_dir("eu-central-1"), "--where", "to=US",
            "--where", "service=" + self.router.pki.id("moderation", "us-west-2"),
        )
        for line in done.stdout.splitlines():
            event = json.loads(line)
            event = event.get("entry", event)
            print("    %s %s %s by %s for \"%s\": %s %s" % (
                event["type"], event["op"], event["record"]["kind"], event["actor"]["id"],
                event.get("purpose", ""), event["decision"]["effect"],
                ",".join(event["decision"].get("rules", ()))))
        print("    " + done.stderr.strip().replace("\n", "\n    "))
        lines = len(done.stdout.splitlines())
        return None if done.returncode == 0 and lines == 2 else "%d entries" % lines

    def verify(self):
        for region in self.where.regions:
            self.router.published(self.api, region)
            done = self.router.run("audit", "verify", "--log", self.router.log_dir(region))
            if region in ("eu-central-1", "us-east-1", "cn-north-1") or done.returncode != 0:
                self.show(done)
            if done.returncode != 0:
                return region
        print("    all %d logs are sound" % len(self.where.regions))
        return None

    def flip(self):
        copy = os.path.join(self.router.data, "tampered")
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.router.log_dir("eu-central-1"), copy)
        bundles = []
        for root, _, names in os.walk(os.path.join(copy, "tile", "entries")):
            bundles += [os.path.join(root, n) for n in names]
        path = max(bundles, key=os.path.getsize)
        os.chmod(path, 0o600)
        at = random.Random(1).randrange(2, os.path.getsize(path))
        with open(path, "r+b") as f:
            f.seek(at)
            byte = f.read(1)[0]
            f.seek(at)
            f.write(bytes([byte ^ 0x01]))
        print("    one bit of byte %d of %s" % (at, os.path.relpath(path, copy)))
        done = self.router.run("audit", "verify", "--log", copy)
        self.show(done)
        return None if done.returncode == 1 else "exit code %d" % done.returncode

    def restart(self):
        code = self.router.stop()
        if code != 0:
            return "the router ended with code %d" % code
        self.router.start()
        done = self.router.run(
            "record", "get", "live_room", self.room.id, "--purpose", "serve", "--fields", "title",
            who=("live-feed", "eu-central-1"),
        )
        self.show(done)
        return None if self.room.fields["title"] in done.stdout else "the room is not there"

    def sweep(self):
        self.router.settle()
        result = sweeping.sweep(self.where, self.router.data, self.records)
        print("    " + result.summary())
        for line in (result.wrong + result.missing)[:10]:
            print("    " + line)
        if min(result.ssts, result.wals, result.manifests) == 0:
            return "a kind of file is missing: nothing would have been found in it"
        return None if result.ok else "%d wrong, %d missing" % (
            len(result.wrong), len(result.missing))


def main():
    parser = argparse.ArgumentParser(description="A tour of the router's main job.")
    parser.add_argument("--domicile", required=True)
    parser.add_argument("--descriptors", required=True)
    parser.add_argument("--policy", required=True)
    parser.add_argument("--data", help="an empty folder; default: a new one")
    parser.add_argument("--records", type=int, default=2000)
    parser.add_argument("--exit", action="store_true", help="stop when the tour is over")
    options = parser.parse_args()

    data = os.path.abspath(options.data or tempfile.mkdtemp(prefix="domicile-tour-"))
    os.makedirs(data, mode=0o700, exist_ok=True)
    print("data: " + data, flush=True)
    where = sweeping.Where(options.domicile, options.policy)
    api = rpc.Api(options.descriptors)
    pki = certificates.Pki(options.domicile, os.path.join(data, "pki"))
    auditors = ", ".join('"%s"' % pki.id("auditor", region) for region in where.regions)
    router = Router(options.domicile, options.policy, data,
                    "roles = { auditors = (%s); };\n" % auditors, pki)
    print("certificates: %s (domicile pki), one for each caller" % pki.folder, flush=True)
    print("router: %s, metrics: http://127.0.0.1:%d/metrics" % (
        router.address, router.metrics_port), flush=True)
    tour = Tour(router, api, where, options.records)
    try:
        tour.step("Load %d rooms and users, homes drawn over all countries" % options.records,
                  tour.load)
        tour.step("A home without a legal place is refused", tour.refuse_homeless)
        tour.step("A German user's write, and where its parts lie", tour.german_user)
        tour.step("A read from the US without a purpose: denied, and on record", tour.denied_read)
        tour.step("The same with a permitted purpose: served, changed, with a receipt",
                  tour.permitted_read)
        tour.step("A local read: no border, no entry", tour.local_read)
        tour.step("Export what just happened", tour.export)
        tour.step("A caller in the US that says it is at home: the certificate decides", tour.claim)
        tour.step("A certificate revoked while its connection is open", tour.revoke)
        tour.step("Verify every region's log", tour.verify)
        tour.step("Flip one bit in a copy of a log", tour.flip)
        tour.step("Stop and start again: what was acknowledged is there", tour.restart)
        tour.step("The residency sweep: every file of every region", tour.sweep)
        print()
        if tour.failed:
            print("%d steps failed: %s" % (len(tour.failed), "; ".join(tour.failed)))
        else:
            print("every step held; the data stays in " + data)
        if not options.exit:
            print("serving on %s until Ctrl-C" % router.address, flush=True)
            try:
                router.process.wait()
            except KeyboardInterrupt:
                pass
    finally:
        code = router.stop()
    if code != 0:
        print("the router ended with code %d" % code)
    sys.exit(1 if tour.failed or code != 0 else 0)


if __name__ == "__main__":
    main()
