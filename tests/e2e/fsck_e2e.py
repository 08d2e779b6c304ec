#!/usr/bin/python3
"""The scheduled check of logs and databases: what it finds is in the health service, the metrics, the
router's log and the region's audit log, and goes when the damage has gone.

    fsck_e2e.py [PART OF A CHECK'S NAME]
"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "lib"))
from harness import *  # noqa: E402,F403
from policytext import small_policy  # noqa: E402

suite = Suite("fsck")
REGION = "eu-north-1"
SERVICE = "domicile.v1.AuditService/fsck"


def health(env):
    caller = env.client(env.main, "live-feed", REGION)
    return caller.call("grpc.health.v1.Health/Check", service=SERVICE).status


def flip(path, at):
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))


def prepare(env):
    tour.Router.audit += " fsck_interval_s = 1; fsck_kib_per_s = 65536;"
    env.main = env.router("data", small_policy(env.folder("policy")))
    rooms = env.client(env.main, "room-service", REGION)
    rooms.put("live_room", "f-1", "SE", {"title": "room"})
    env.main.published(env.api, REGION)


@suite.check("a sound store: SERVING, runs counted, the time of the last told")
def _(env):
    wait_until(lambda: env.main.metric("domicile_fsck_runs_total") >= 8, what="two whole rounds")
    equal(health(env), 1, "health")
    equal(env.main.metric("domicile_fsck_findings_total"), 0, "findings")
    true(env.main.metric("domicile_fsck_sound_timestamp_seconds") > 0, "time")
    true(env.main.metric("domicile_fsck_bytes_total") > 0, "bytes")


@suite.check("one flipped bit: NOT_SERVING, metric, entry; traffic goes on; and back when it is mended")
def _(env):
    path = os.path.join(env.main.log_dir(REGION), "tile", "0", "000.p")
    path = os.path.join(path, max(os.listdir(path), key=int))
    flip(path, 5)
    wait_until(lambda: health(env) == 2, what="NOT_SERVING")
    equal(env.main.metric("domicile_fsck_damaged"), 1, "regions damaged")
    rooms = env.client(env.main, "room-service", REGION)
    rooms.put("live_room", "f-2", "SE", {"title": "room"})
    wait_until(lambda: any(json.loads(b).get("detail", {}).get("state") == "damaged"
                           for _, b in entries(env, env.main, REGION)), what="an entry")
    entry = next(json.loads(b) for _, b in entries(env, env.main, REGION)
                 if json.loads(b).get("detail", {}).get("state") == "damaged")
    equal((entry["type"], entry["detail"]["name"]), ("sink", "fsck"), "what the entry is")
    true("tile/0/000" in entry["detail"]["reason"], entry["detail"]["reason"])
    # The tool finds the same, at a rate of its own; the entry made a new partial tile, so the
    # check has come to rest by itself unless the bit was in a file that is still served.
    wait_until(lambda: health(env) == 1, what="SERVING again: the tile was published anew")
    text = pathlib.Path(env.main.log_path).read_text(encoding="utf-8")
    true("event=store.fsck" in text and "state=damaged" in text, "nothing in the router's log")


@suite.check("domicile audit fsck: the same check offline, at a bounded rate")
def _(env):
    folder = os.path.join(env.scratch, "copy")
    shutil.copytree(env.main.log_dir(REGION), folder)
    total = sum(os.path.getsize(os.path.join(r, n)) for r, _, f in os.walk(folder + "/tile")
                for n in f if not r.endswith(".p") or n == max(f, key=int))
    begin = time.monotonic()
    done = env.run("audit", "fsck", "--log", folder, "--rate", total)
    took = time.monotonic() - begin
    equal(done.returncode, 0, done.stdout + done.stderr)
    true(took >= 0.9, "%d bytes at that rate took %.2f s" % (total, took))
    flip(os.path.join(folder, "checkpoint"), 3)
    equal(env.run("audit", "fsck", "--log", folder).returncode, 1, "exit code after a flip")
    equal(env.run("audit", "fsck", "--log", folder, "--rate", "x").returncode, 3, "usage")


suite.main(prepare)
