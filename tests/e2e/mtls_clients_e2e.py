#!/usr/bin/python3
"""grpc-js and `buf curl` over mTLS, from three regions. Says so and passes unless `npm ci` was run in
this folder.

    mtls_clients_e2e.py [PART OF A CHECK'S NAME]
"""
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "lib"))
from harness import *  # noqa: E402,F403

suite = Suite("mtls-clients")
MODULES = HERE / "node_modules"
BUF = MODULES / ".bin" / "buf"
READ = {"kind": "live_room", "id": "js-1", "home": "DE", "purpose": "moderation"}


def prepare(env):
    env.pki = certificates.Pki(env.domicile, env.folder("pki"))
    auditor = env.pki.id("auditor", "eu-central-1")
    env.main = env.router("main", extra='roles = { auditors = ("%s"); };\n' % auditor, pki=env.pki)


def node(env, who, method, request, *claimed, address=None):
    done = subprocess.run(
        ["node", str(HERE / "lib" / "mtls_client.mjs"), address or env.main.address,
         who if os.path.isabs(who) else env.pki.issue(*who.split("@")), method,
         json.dumps(request), *claimed], capture_output=True, text=True, timeout=60)
    true(done.stdout, done.stderr)
    return json.loads(done.stdout)


def buf(env, who, method, request, *more, tls=True):
    folder = env.pki.issue(*who.split("@"))
    own = ["--cert", folder + "/svid.pem", "--key", folder + "/svid_key.pem", "--cacert",
           folder + "/bundle.pem"]
    return subprocess.run(
        [str(BUF), "curl", "--protocol", "grpc", *(own if tls else ["--cacert", own[-1]]), *more,
         "-d", json.dumps(request), "https://%s/%s" % (env.main.address, method)],
        capture_output=True, text=True, timeout=60, env=dict(os.environ, HOME=env.scratch))


@suite.check("grpc-js: a write and a read at home, by a certificate")
def _(env):
    fields = [{"name": "title", "text": "Evening"}, {"name": "ip", "text": "198.51.100.7"},
              {"name": "owner_id", "text": "u-77"}]
    put = node(env, "room-service@eu-central-1", "PutRecord",
               {"kind": "live_room", "id": "js-1", "home": "DE", "purpose": "serve",
                "fields": fields})
    equal(put.get("homeRegion"), "eu-central-1", "answer %s" % put)
    got = node(env, "room-service@eu-central-1", "GetRecord",
               {"kind": "live_room", "id": "js-1", "purpose": "serve"})
    equal(len(got["record"]["fields"]), 3, "fields")


@suite.check("grpc-js: from the US the policy's answer, whatever the metadata claims")
def _(env):
    with NewEntries(env, env.main, "eu-central-1") as new:
        got = node(env, "moderation@us-west-2", "GetRecord", READ, "eu-central-1")
    true("198.51.100.7" not in json.dumps(got) and "u-77" not in json.dumps(got), str(got))
    equal(new.list[0][2]["claim"], {"region": "eu-central-1"}, "claim")
    equal(new.list[0][2]["actor"]["region"], "us-west-2", "actor.region")


@suite.check("grpc-js: from Singapore a denial")
def _(env):
    got = node(env, "live-feed@ap-southeast-1", "GetRecord",
               dict(READ, purpose="", fields=["ip"]))
    equal(got.get("code"), "PERMISSION_DENIED", str(got))


@suite.check("grpc-js: another CA's certificate and plain text are refused")
def _(env):
    other = certificates.Pki(env.domicile, env.folder("other"))
    folder = other.issue("room-service", "eu-central-1")
    shutil.copy(os.path.join(env.pki.ca, "ca.pem"), os.path.join(folder, "bundle.pem"))
    equal(node(env, folder, "GetRecord", READ).get("code"), "UNAUTHENTICATED", "another CA")
    equal(node(env, "room-service@eu-central-1", "GetRecord", READ,
               address="plain:" + env.main.address).get("code"), "UNAVAILABLE", "plain text")


@suite.check("buf curl: three regions by reflection over mTLS")
def _(env):
    method = RECORD + "GetRecord"
    home = buf(env, "room-service@eu-central-1", method,
               {"kind": "live_room", "id": "js-1", "purpose": "serve"})
    true(home.returncode == 0 and "198.51.100.7" in home.stdout, home.stderr)
    abroad = buf(env, "moderation@us-west-2", method, READ, "-H",
                 "domicile-region: eu-central-1")
    true(abroad.returncode == 0 and "leafHash" in abroad.stdout, abroad.stderr)
    true("198.51.100.7" not in abroad.stdout, "the address left the EEA")
    denied = buf(env, "live-feed@ap-southeast-1", method, dict(READ, purpose="", fields=["ip"]))
    true(denied.returncode != 0 and "permission_denied" in denied.stderr, denied.stderr)


@suite.check("buf curl: no certificate, no answer")
def _(env):
    done = buf(env, "room-service@eu-central-1", RECORD + "GetRecord", READ, tls=False)
    true(done.returncode != 0, done.stdout)


@suite.check("buf curl: a certificate of an unknown region is told the reason")
def _(env):
    done = buf(env, "room-service@atlantis-1", RECORD + "GetRecord", READ)
    true(done.returncode != 0 and "unauthenticated" in done.stderr, done.stderr)


if not (MODULES / "@grpc" / "grpc-js").exists() or not BUF.exists():
    print("skipped: npm ci was not run in tests/e2e\n0 passed, 0 failed")
    sys.exit(0)
suite.main(prepare)
