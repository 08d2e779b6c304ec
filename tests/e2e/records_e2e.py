#!/usr/bin/python3
"""Records over the wire, as a service written in another language sees them: what is refused and
with which field path, what is kept, what crosses a border and what the log says about it.

    records_e2e.py [PART OF A CHECK'S NAME]
"""
import concurrent.futures
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "lib"))
from harness import *  # noqa: E402,F403

suite = Suite("records")
TITLE = {"title": "Evening talk"}
ROOM = {"title": "Evening talk", "cover_url": "https://img.example/1", "owner_id": "u-77",
        "ip": "198.51.100.7"}


def prepare(env):
    env.main = env.router("main")
    env.rooms = env.client(env.main, "room-service", "eu-central-1")
    env.rooms_us = env.client(env.main, "room-service", "us-east-1")
    env.users = env.client(env.main, "profile-service", "eu-central-1")
    env.feed = env.client(env.main, "live-feed", "eu-central-1")
    env.moderation_us = env.client(env.main, "moderation", "us-west-2")


def delete(caller, kind, id, **more):
    return caller.call(RECORD + "DeleteRecord", kind=kind, id=id, purpose="serve", **more)


# ---- preconditions, versions, retries ----

@suite.check("a put creates, a get in the home region gives it back whole")
def _(env):
    answer = env.rooms.put("live_room", "r-1", "DE", ROOM)
    equal(answer.home, "DE", "home")
    equal(answer.home_region, "eu-central-1", "home_region")
    got = env.rooms.get("live_room", "r-1", purpose="serve")
    equal(rpc.values(got.record), ROOM, "fields")
    equal(got.record.version, answer.version, "version")
    equal(got.record.home, "DE", "home")
    equal(got.decision.served_region, "eu-central-1", "served_region")
    true(not got.decision.cross_border and not got.HasField("receipt"), "a local read has a receipt")


@suite.check("every type of value comes back as it was")
def _(env):
    values = [("title", {"text": ""}), ("tags", {"data": b"\0\xff"}),
              ("viewer_count", {"integer": -(1 << 63)}), ("started_at", {"real": -0.5}),
              ("status", {"flag": False})]
    env.rooms.call(RECORD + "PutRecord", kind="live_room", id="types", home="DE", purpose="serve",
                   fields=[dict(name=n, **v) for n, v in values])
    got = rpc.values(env.rooms.get("live_room", "types", purpose="serve").record)
    equal(got, {n: list(v.values())[0] for n, v in values}, "fields")


@suite.check("a put replaces the whole record: fields left out are gone")
def _(env):
    first = env.rooms.put("live_room", "whole", "DE", ROOM)
    second = env.rooms.put("live_room", "whole", "DE", TITLE)
    true(second.version > first.version, "the version did not grow")
    got = env.rooms.get("live_room", "whole", purpose="serve", freshness={"strong": True})
    equal(rpc.values(got.record), TITLE, "fields")


@suite.check("must_not_exist: the second create is refused and changes nothing")
def _(env):
    first = env.rooms.put("live_room", "once", "DE", TITLE, must_not_exist=True)
    refused(lambda: env.rooms.put("live_room", "once", "DE", {"title": "other"},
                                  must_not_exist=True), "ALREADY_EXISTS", "ALREADY_EXISTS")
    got = env.rooms.get("live_room", "once", purpose="serve", freshness={"strong": True})
    equal((got.record.version, rpc.values(got.record)), (first.version, TITLE), "record")


@suite.check("if_version: only the version that is there")
def _(env):
    first = env.rooms.put("live_room", "cas", "DE", TITLE)
    for wrong in (first.version + 1, first.version - 1 or 99, (1 << 64) - 1):
        refused(lambda: env.rooms.put("live_room", "cas", "DE", TITLE, if_version=wrong),
                "FAILED_PRECONDITION", "VERSION_MISMATCH")
    second = env.rooms.put("live_room", "cas", "DE", TITLE, if_version=first.version)
    true(second.version > first.version, "the version did not grow")
    refused(lambda: env.rooms.put("live_room", "cas", "DE", TITLE, if_version=first.version),
            "FAILED_PRECONDITION", "VERSION_MISMATCH")


@suite.check("if_version of a record that is not there is refused")
def _(env):
    refused(lambda: env.rooms.put("live_room", "cas-none", "DE", TITLE, if_version=1),
            "FAILED_PRECONDITION", "VERSION_MISMATCH")
    refused(lambda: env.rooms.get("live_room", "cas-none", purpose="serve"), "NOT_FOUND")


@suite.check("must_not_exist together with if_version is refused, with the field")
def _(env):
    refused(lambda: env.rooms.put("live_room", "both", "DE", TITLE, must_not_exist=True,
                                  if_version=1), "INVALID_ARGUMENT", "INVALID", ["if_version"])


@suite.check("versions only grow, over deletes and creates too")
def _(env):
    seen = []
    for _ in range(4):
        seen.append(env.rooms.put("live_room", "grow", "DE", TITLE).version)
        seen.append(env.rooms.put("live_room", "grow", "DE", ROOM).version)
        seen.append(delete(env.rooms, "live_room", "grow").version)
    equal(seen, sorted(set(seen)), "versions")


@suite.check("a deleted record is gone for every reader, and deleting it again is refused")
def _(env):
    env.rooms.put("live_room", "gone", "DE", ROOM)
    delete(env.rooms, "live_room", "gone", home="DE")
    refused(lambda: env.rooms.get("live_room", "gone", purpose="serve"), "NOT_FOUND")
    refused(lambda: env.rooms.get("live_room", "gone", purpose="serve", home="DE",
                                  freshness={"strong": True}), "NOT_FOUND")
    refused(lambda: delete(env.rooms, "live_room", "gone"), "NOT_FOUND")
    refused(lambda: delete(env.rooms, "live_room", "gone", home="DE"), "NOT_FOUND")
    env.main.settle()
    north = env.client(env.main, "live-feed", "eu-north-1")
    refused(lambda: north.get("live_room", "gone", purpose="serve", home="DE"), "NOT_FOUND")


@suite.check("a deleted record is gone at once where it was at home, however late its copies are")
def _(env):
    for n in range(100):
        env.rooms.put("live_room", "late-%d" % n, "DE", ROOM)
    env.main.settle()
    for n in range(100):
        delete(env.rooms, "live_room", "late-%d" % n)
        if n % 2:
            refused(lambda: env.rooms.get("live_room", "late-%d" % n, purpose="serve"), "NOT_FOUND")
        else:  # nor is it changed: it would be made anew, under a home that nobody named
            refused(lambda: env.rooms.put("live_room", "late-%d" % n, "", ROOM), "INVALID_ARGUMENT",
                    "INVALID", ["home"])


@suite.check("delete with if_version: another version is refused")
def _(env):
    version = env.rooms.put("live_room", "del-cas", "DE", TITLE).version
    refused(lambda: delete(env.rooms, "live_room", "del-cas", if_version=version + 1),
            "FAILED_PRECONDITION", "VERSION_MISMATCH")
    env.rooms.get("live_room", "del-cas", purpose="serve")
    true(delete(env.rooms, "live_room", "del-cas", if_version=version).version > version,
         "the tombstone is not newer")


@suite.check("request_id: a retry gets the first answer and does nothing")
def _(env):
    first = env.rooms.put("live_room", "retry", "DE", TITLE, request_id="q-1")
    again = env.rooms.put("live_room", "retry", "DE", TITLE, request_id="q-1")
    true(not first.replayed and again.replayed, "replayed is wrong")
    equal((again.version, again.home, again.home_region),
          (first.version, first.home, first.home_region), "answer")
    got = env.rooms.get("live_room", "retry", purpose="serve", freshness={"strong": True})
    equal(got.record.version, first.version, "version")


@suite.check("request_id: the same id with other content is refused")
def _(env):
    first = env.rooms.put("live_room", "reuse", "DE", TITLE, request_id="q-2")
    refused(lambda: env.rooms.put("live_room", "reuse", "DE", {"title": "other"},
                                  request_id="q-2"), "INVALID_ARGUMENT")
    refused(lambda: env.rooms.put("live_room", "reuse-2", "DE", TITLE, request_id="q-2"),
            "INVALID_ARGUMENT")
    got = env.rooms.get("live_room", "reuse", purpose="serve", freshness={"strong": True})
    equal((got.record.version, rpc.values(got.record)), (first.version, TITLE), "record")
    refused(lambda: env.rooms.get("live_room", "reuse-2", purpose="serve"), "NOT_FOUND")


@suite.check("request_id: another service's same id is another request")
def _(env):
    env.rooms.put("live_room", "scope", "DE", TITLE, request_id="q-3")
    answer = env.users.put("user", "scope", "DE", {"bio": "x"}, request_id="q-3")
    true(not answer.replayed, "replayed across services")


@suite.check("request_id: a retried delete gets the first answer")
def _(env):
    env.rooms.put("live_room", "retry-del", "DE", TITLE)
    first = delete(env.rooms, "live_room", "retry-del", home="DE", request_id="q-4")
    again = delete(env.rooms, "live_room", "retry-del", home="DE", request_id="q-4")
    equal((again.version, again.replayed), (first.version, True), "answer")


# ---- one id, one home ----

@suite.check("request_id: so it does when the delete names no home")
def _(env):
    env.rooms.put("live_room", "retry-del-2", "DE", TITLE)
    first = delete(env.rooms, "live_room", "retry-del-2", request_id="q-41")
    again = delete(env.rooms, "live_room", "retry-del-2", request_id="q-41")
    equal((again.version, again.replayed, first.replayed), (first.version, True, False), "retry")
    refused(lambda: delete(env.rooms, "live_room", "retry-del-2", request_id="q-42"), "NOT_FOUND")
    refused(lambda: delete(env.rooms, "live_room", "retry-del-2"), "NOT_FOUND")
    refused(lambda: delete(env.rooms, "live_room", "no-such", request_id="q-41"),
            "INVALID_ARGUMENT")


@suite.check("an id taken under DE is refused under US, and the other way round")
def _(env):
    for first, second, near, far in (("DE", "US", env.rooms, env.rooms_us),
                                     ("US", "DE", env.rooms_us, env.rooms)):
        id = "unique-" + first
        near.put("live_room", id, first, TITLE)
        for caller in (near, far):
            failure = refused(lambda: caller.put("live_room", id, second, {"title": "x"}),
                              "FAILED_PRECONDITION")
            equal(failure.fields, ["home"], "field violations")
        refused(lambda: far.put("live_room", id, second, {"title": "x"}, must_not_exist=True),
                "FAILED_PRECONDITION", "HOME_MISMATCH")
        got = near.get("live_room", id, purpose="serve", freshness={"strong": True})
        equal((got.record.home, rpc.values(got.record)), (first, TITLE), "record")


@suite.check("after its deletion an id may be at home elsewhere")
def _(env):
    old = env.rooms.put("live_room", "moves", "DE", TITLE).version
    delete(env.rooms, "live_room", "moves")
    env.rooms_us.put("live_room", "moves", "US", TITLE)
    equal(env.rooms_us.get("live_room", "moves", purpose="serve").record.home, "US", "home")
    true(old > 0, "no version")


@suite.check("the same id of another kind is another record")
def _(env):
    env.rooms.put("live_room", "shared-id", "DE", TITLE)
    env.users.put("user", "shared-id", "FR", {"bio": "other"})
    equal(env.rooms.get("live_room", "shared-id", purpose="serve").record.home, "DE", "home")
    equal(env.users.get("user", "shared-id", purpose="serve").record.home, "FR", "home")


@suite.check("concurrent creates of one id from two homes: exactly one wins")
def _(env):
    for n in range(25):
        id = "race-%d" % n
        calls = [caller.future(RECORD + "PutRecord", kind="live_room", id=id, home=home,
                               purpose="serve", fields=[{"name": "title", "text": home}])
                 for caller, home in ((env.rooms, "DE"), (env.rooms_us, "US"))]
        outcomes = []
        for home, call in zip(("DE", "US"), calls):
            error = call.exception()
            outcomes.append(home if error is None else rpc.Failure(env.api, error))
        won = [o for o in outcomes if isinstance(o, str)]
        lost = [o for o in outcomes if isinstance(o, rpc.Failure)]
        equal(len(won), 1, "winners of %s (%s)" % (id, [str(o) for o in outcomes]))
        true(lost[0].code in ("FAILED_PRECONDITION", "ALREADY_EXISTS"),
             "the loser got %s" % lost[0].code)
        caller = env.rooms if won[0] == "DE" else env.rooms_us
        got = caller.get("live_room", id, purpose="serve", home=won[0])
        equal(rpc.values(got.record), {"title": won[0]}, "fields")


@suite.check("sixteen concurrent creates with must_not_exist: exactly one wins")
def _(env):
    for n in range(5):
        calls = [env.rooms.future(RECORD + "PutRecord", kind="live_room", id="race16-%d" % n,
                                  home="DE", purpose="serve", must_not_exist=True,
                                  fields=[{"name": "title", "text": str(i)}]) for i in range(16)]
        errors = [c.exception() for c in calls]
        equal(sum(e is None for e in errors), 1, "winners")
        true(all(e is None or e.code().name == "ALREADY_EXISTS" for e in errors), "other errors")


@suite.check("concurrent increments by if_version: none is lost")
def _(env):
    caller = env.rooms
    put = lambda n, version: caller.call(  # noqa: E731
        RECORD + "PutRecord", kind="live_room", id="count", home="DE", purpose="serve",
        if_version=version, fields=[{"name": "viewer_count", "integer": n}])
    put(0, 0)

    def add_ten(_):
        for _ in range(10):
            while True:
                got = caller.get("live_room", "count", purpose="serve",
                                 freshness={"strong": True}).record
                try:
                    put(got.fields[0].integer + 1, got.version)
                    break
                except rpc.Failure as failure:
                    equal(failure.reason, "VERSION_MISMATCH", "reason")

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(add_ten, range(4)))
    got = caller.get("live_room", "count", purpose="serve", freshness={"strong": True}).record
    equal(got.fields[0].integer, 40, "count")


# ---- what a reader gets ----

@suite.check("a field mask gives these fields and no others")
def _(env):
    env.rooms.put("live_room", "mask", "DE", ROOM)
    got = env.rooms.get("live_room", "mask", purpose="serve", fields=["ip", "title"])
    equal(rpc.values(got.record), {"title": ROOM["title"], "ip": ROOM["ip"]}, "fields")
    got = env.rooms.get("live_room", "mask", purpose="serve", fields=["description"])
    equal(rpc.values(got.record), {}, "fields that are not there")


@suite.check("a field mask with an undeclared field of a person is refused, with its index")
def _(env):
    env.users.put("user", "mask-u", "DE", {"bio": "x"})
    refused(lambda: env.users.get("user", "mask-u", purpose="serve", fields=["bio", "shoe_size"]),
            "INVALID_ARGUMENT", "INVALID", ["fields[1]"])
    refused(lambda: env.users.get("user", "mask-u", purpose="serve", fields=["Bio"]),
            "INVALID_ARGUMENT", "INVALID", ["fields[0]"])


@suite.check("257 names in a mask are refused, 256 are not")
def _(env):
    refused(lambda: env.rooms.get("live_room", "mask", purpose="serve", fields=["title"] * 257),
            "INVALID_ARGUMENT", "INVALID", ["fields"])
    env.rooms.get("live_room", "mask", purpose="serve", fields=["title"] * 256)


@suite.check("freshness: strong reads the newest write from any region of the law")
def _(env):
    north = env.client(env.main, "room-service", "eu-north-1")
    for n in range(20):
        version = env.rooms.put("live_room", "fresh", "DE", {"title": str(n)}).version
        got = north.get("live_room", "fresh", purpose="serve", freshness={"strong": True})
        equal((got.record.version, rpc.values(got.record)), (version, {"title": str(n)}), "record")
        true(not got.decision.cross_border, "DE to SE crosses no border")


@suite.check("freshness: at_least_version finds a replica or the home that has it")
def _(env):
    north = env.client(env.main, "room-service", "eu-north-1")
    for n in range(20):
        version = env.rooms.put("live_room", "fresh-2", "DE", {"title": str(n)}).version
        got = north.get("live_room", "fresh-2", purpose="serve",
                        freshness={"at_least_version": version})
        true(got.record.version >= version, "version %d" % got.record.version)


@suite.check("freshness: a version that nobody has reached is UNAVAILABLE, with a retry hint")
def _(env):
    env.rooms.put("live_room", "fresh-3", "DE", TITLE)
    failure = refused(lambda: env.rooms.get("live_room", "fresh-3", purpose="serve",
                                            freshness={"at_least_version": (1 << 63)}),
                      "UNAVAILABLE", "STALE")
    true(failure.retry_ms > 0, "no retry hint")


@suite.check("freshness: max_staleness of 0 and of a day are both served")
def _(env):
    version = env.rooms.put("live_room", "fresh-4", "DE", TITLE).version
    for region in ("eu-central-1", "eu-north-1", "eu-west-1"):
        caller = env.client(env.main, "room-service", region)
        got = caller.get("live_room", "fresh-4", purpose="serve",
                         freshness={"max_staleness_ms": 0})
        equal(got.record.version, version, "version at staleness 0 from " + region)
        caller.get("live_room", "fresh-4", purpose="serve", home="DE",
                   freshness={"max_staleness_ms": 86400000})


@suite.check("nearest replica: a reader in another region of the law is served there")
def _(env):
    env.rooms.put("live_room", "near", "DE", ROOM)
    env.main.settle()
    for region in ("eu-central-1", "eu-north-1", "eu-west-1"):
        got = env.client(env.main, "live-feed", region).get("live_room", "near", purpose="serve")
        equal(got.decision.served_region, region, "served_region")
        equal(rpc.values(got.record), ROOM, "fields")


# ---- borders and the log ----

@suite.check("local reads and writes leave no entry")
def _(env):
    env.rooms.put("live_room", "local", "DE", TITLE)
    with NewEntries(env, env.main, "eu-central-1") as new:
        env.rooms.put("live_room", "local", "DE", TITLE)
        env.rooms.get("live_room", "local", purpose="serve")
        env.feed.get("live_room", "local", purpose="serve")
        env.client(env.main, "room-service", "eu-west-1").get("live_room", "local",
                                                               purpose="serve", home="DE")
        list(env.feed.stream(RECORD + "ListRecords", kind="live_room", home="DE", purpose="serve"))
    equal([e["op"] for _, _, e in new.list], [], "entries")


@suite.check("a read across a border leaves exactly one entry, and the receipt is of it")
def _(env):
    env.rooms.put("live_room", "abroad", "DE", ROOM)
    env.main.settle()
    with NewEntries(env, env.main, "eu-central-1") as new, \
            NewEntries(env, env.main, "us-west-2") as there:
        got = env.moderation_us.get("live_room", "abroad", purpose="moderation",
                                    fields=["title", "owner_id", "ip"])
    equal(len(new.list), 1, "entries")
    equal(there.list, [], "entries of the other region")
    check_receipt(got.receipt, new.list[0])
    entry = new.list[0][2]
    equal((entry["type"], entry["op"], entry["purpose"], entry["actor"]["region"],
           entry["record"]["home"]), ("access", "read", "moderation", "us-west-2", "DE"), "entry")
    raw = new.list[0][1]
    for secret in (b"abroad", b"u-77", b"198.51.100.7", b"Evening"):
        true(secret not in raw, "the entry holds %s in clear" % secret)
    values = rpc.values(got.record)
    equal(values["title"], ROOM["title"], "title")
    true(values["owner_id"] not in (None, "", "u-77"), "owner_id is %r" % values["owner_id"])
    true(values.get("ip") is None, "ip came over")
    handled = {h.field: (h.handling, h.data_class) for h in got.decision.handled}
    equal(handled, {"owner_id": (2, "identifier"), "ip": (1, "network")}, "handled")
    true(got.decision.cross_border and got.decision.effect == 2, "decision")
    true(got.decision.ask_again_in_ms > 0 and got.decision.policy_version == 1, "decision")


@suite.check("a pseudonym is the same for the same owner and differs for another")
def _(env):
    owners = {"ps-1": "u-1", "ps-2": "u-1", "ps-3": "u-2"}
    for id, owner in owners.items():
        env.rooms.put("live_room", id, "DE", {"owner_id": owner})
    seen = [rpc.values(env.moderation_us.get("live_room", id, purpose="moderation", home="DE",
                                             fields=["owner_id"]).record)["owner_id"]
            for id in owners]
    true(seen[0] == seen[1] != seen[2], "pseudonyms %s" % seen)


@suite.check("only public fields are wanted: served by the replica there, no border, no entry")
def _(env):
    env.rooms.put("live_room", "public", "DE", ROOM)
    env.main.settle()
    with NewEntries(env, env.main, "eu-central-1") as new, \
            NewEntries(env, env.main, "us-west-2") as there:
        got = env.client(env.main, "live-feed", "us-west-2").get(
            "live_room", "public", purpose="serve", fields=["cover_url"])
    equal(rpc.values(got.record), {"cover_url": ROOM["cover_url"]}, "fields")
    equal(got.decision.served_region, "us-west-2", "served_region")
    equal((new.list, there.list), ([], []), "entries")


@suite.check("a denial leaves exactly one deny entry and tells rule, policy and home")
def _(env):
    env.rooms.put("live_room", "denied", "DE", ROOM)
    with NewEntries(env, env.main, "eu-central-1") as new:
        failure = refused(lambda: env.moderation_us.get(
            "live_room", "denied", home="DE", purpose="moderation", fields=["ip"]),
            "PERMISSION_DENIED", "NO_PERMIT")
    equal([(e["type"], e["op"], e["decision"]["effect"]) for _, _, e in new.list],
          [("deny", "read", "deny")], "entries")
    equal((failure.metadata["home"], failure.metadata["caller_region"],
           failure.metadata["policy"], failure.metadata["policy_version"]),
          ("DE", "us-west-2", "global-live", "1"), "metadata")


@suite.check("a forbidden read is told apart from one that no rule permits")
def _(env):
    beijing = env.client(env.main, "profile-service", "cn-north-1")
    env.users.put("user", "forbidden", "DE", {"email": "a@example.org"})
    with NewEntries(env, env.main, "eu-central-1") as new:
        failure = refused(lambda: beijing.get("user", "forbidden", purpose="serve", home="DE",
                                              fields=["email"]), "PERMISSION_DENIED", "FORBIDDEN")
    true("europe-not-to-china" in failure.metadata["rule"], "rule %s" % failure.metadata)
    equal([e["type"] for _, _, e in new.list], ["deny"], "entries")


@suite.check("a write from a country of concern is denied and changes nothing")
def _(env):
    beijing = env.client(env.main, "room-service", "cn-north-1")
    version = env.rooms.put("live_room", "no-entry", "DE", ROOM).version
    refused(lambda: beijing.put("live_room", "no-entry", "DE", ROOM), "PERMISSION_DENIED")
    refused(lambda: delete(beijing, "live_room", "no-entry", home="DE"), "PERMISSION_DENIED")
    refused(lambda: beijing.put("live_room", "no-entry-2", "DE", ROOM), "PERMISSION_DENIED")
    got = env.rooms.get("live_room", "no-entry", purpose="serve", freshness={"strong": True})
    equal(got.record.version, version, "version")
    refused(lambda: env.rooms.get("live_room", "no-entry-2", purpose="serve", home="DE"),
            "NOT_FOUND")


@suite.check("a write across a border leaves one entry in the home's log, with its receipt")
def _(env):
    with NewEntries(env, env.main, "eu-central-1") as new:
        answer = env.rooms_us.put("live_room", "traveller", "DE", {"title": "on a journey"})
    equal(len(new.list), 1, "entries")
    check_receipt(answer.receipt, new.list[0])
    equal((new.list[0][2]["type"], answer.decision.cross_border), ("access", True), "entry")
    equal(new.list[0][2]["transfer"]["from_region"], "us-east-1", "from_region")


@suite.check("without a home, absent and forbidden records look the same")
def _(env):
    env.users.put("user", "hidden", "DE", {"email": "h@example.org"})
    beijing = env.client(env.main, "profile-service", "cn-north-1")
    told = [refused(lambda: beijing.get("user", id, purpose="serve", fields=["email"]),
                    "NOT_FOUND") for id in ("hidden", "never-was")]
    equal((told[0].reason, str(told[0]), told[0].metadata, told[0].fields),
          (told[1].reason, str(told[1]), told[1].metadata, told[1].fields), "answers")


@suite.check("without a home, a service that may not ask hears the same of absent and present")
def _(env):
    env.users.put("user", "hidden-0", "FR", {"bio": "h"})
    told = [refused(lambda: env.feed.get("user", id, purpose="serve"), "PERMISSION_DENIED",
                    "SERVICE_DENIED") for id in ("hidden-0", "never-was")]
    equal((str(told[0]), told[0].metadata), (str(told[1]), told[1].metadata), "answers")


@suite.check("with a home, a forbidden reader is told the same whether it exists or not")
def _(env):
    env.users.put("user", "hidden-2", "DE", {"email": "h@example.org"})
    beijing = env.client(env.main, "profile-service", "cn-north-1")
    with NewEntries(env, env.main, "eu-central-1") as new:
        told = [refused(lambda: beijing.get("user", id, home="DE", purpose="serve",
                                            fields=["email"]), "PERMISSION_DENIED")
                for id in ("hidden-2", "never-was")]
    equal((told[0].reason, str(told[0]), told[0].metadata),
          (told[1].reason, str(told[1]), told[1].metadata), "answers")
    equal([e["type"] for _, _, e in new.list], ["deny", "deny"], "entries")


@suite.check("with a wrong home, a record that exists is not told")
def _(env):
    env.users.put("user", "hidden-3", "DE", {"email": "h@example.org"})
    beijing = env.client(env.main, "profile-service", "cn-north-1")
    told = [refused(lambda: beijing.get("user", id, home="FR", purpose="serve",
                                        fields=["email"]), "PERMISSION_DENIED")
            for id in ("hidden-3", "never-was")]
    equal(str(told[0]), str(told[1]), "answers")


@suite.check("deleting without a home by one who may not: absent and present look the same")
def _(env):
    env.users.put("user", "hidden-4", "DE", {"email": "h@example.org"})
    beijing = env.client(env.main, "profile-service", "cn-north-1")
    told = []
    for id in ("hidden-4", "never-was"):
        try:
            delete(beijing, "user", id)
            raise AssertionError("deleted")
        except rpc.Failure as failure:
            told.append((failure.code, failure.reason, str(failure), failure.metadata))
    equal(told[0], told[1], "answers")
    env.users.get("user", "hidden-4", purpose="serve")


@suite.check("writing without a home by one who may not: absent and present look the same")
def _(env):
    env.users.put("user", "hidden-5", "DE", {"email": "h@example.org"})
    beijing = env.client(env.main, "profile-service", "cn-north-1")
    told = []
    for id in ("hidden-5", "never-was"):
        failure = None
        try:
            beijing.put("user", id, "", {"email": "x"})
        except rpc.Failure as raised:
            failure = raised
        true(failure is not None, "written")
        told.append((failure.code, failure.reason, str(failure), failure.fields))
    equal(told[0], told[1], "answers")
    told = [refused(lambda: beijing.put("user", id, "", {"shoe_size": "44"}), "INVALID_ARGUMENT")
            for id in ("hidden-5", "never-was")]
    equal(told[0].fields, told[1].fields, "field violations of a bad field")


@suite.check("an id under another home: the refusal does not tell one who could not read it")
def _(env):
    env.users.put("user", "hidden-6", "DE", {"email": "h@example.org"})
    beijing = env.client(env.main, "profile-service", "cn-north-1")
    failure = None
    try:
        beijing.put("user", "hidden-6", "CN", {"bio": "x"})
    except rpc.Failure as raised:
        failure = raised
    true(failure is not None, "the id is at home twice")
    true("DE" not in str(failure) and "DE" not in failure.metadata.values(),
         "the home is told: %s" % failure)


@suite.check("an expired basis and an unlisted destination deny")
def _(env):
    env.rooms.put("live_room", "dest", "DE", ROOM)
    for service, purpose, region in (("moderation", "moderation", "me-jeddah-1"),
                                     ("moderation", "moderation", "cn-north-1"),
                                     ("recommendation", "recommendation", "us-east-1")):
        caller = env.client(env.main, service, region)
        refused(lambda: caller.get("live_room", "dest", purpose=purpose, home="DE",
                                   fields=["title"]), "PERMISSION_DENIED")


@suite.check("a home without a legal place is refused")
def _(env):
    for home in ("RU", "KZ", "NG", "MX", "IR"):
        refused(lambda: env.rooms.put("live_room", "homeless", home, TITLE),
                "FAILED_PRECONDITION", "NO_PLACEMENT", ["home"])


@suite.check("a class that may lie nowhere is refused, with the field")
def _(env):
    sydney = env.client(env.main, "profile-service", "ap-southeast-2")
    refused(lambda: sydney.call(
        RECORD + "PutRecord", kind="user", id="nz", home="NZ", purpose="serve",
        fields=[{"name": "bio", "text": "x"}, {"name": "latitude", "real": 1.5}]),
        "FAILED_PRECONDITION", "NO_PLACEMENT", ["fields[1].name"])
    refused(lambda: sydney.get("user", "nz", home="NZ", purpose="serve"), "NOT_FOUND")


# ---- batches and lists ----

@suite.check("a batch answers key by key in the order of the keys, bad keys among them")
def _(env):
    env.rooms.put("live_room", "b-1", "DE", TITLE)
    env.users.put("user", "b-u", "DE", {"email": "x"})
    keys = [
        ("live_room", "b-1", "", "ok"), ("live_room", "b-none", "", 5),
        ("nonsense", "b-1", "", 3), ("live_room", "", "", 3), ("live_room", "b-1", "UK", 3),
        ("live_room", "x" * 513, "", 3), ("user", "b-u", "", 7), ("user", "b-none", "", 7),
        ("live_room", "b-1", "DE", "ok"),
    ]
    got = env.rooms.call(RECORD + "BatchGetRecords", purpose="serve",
                         keys=[{"kind": k, "id": i, "home": h} for k, i, h, _ in keys])
    seen = [r.error.code if r.WhichOneof("outcome") == "error" else "ok" for r in got.results]
    equal(seen, [w for _, _, _, w in keys], "outcomes")
    equal(rpc.values(got.results[8].found.record), TITLE, "fields")
    for result in got.results[1:8]:
        true(result.error.reason and result.error.message, "an error without a reason")
    equal(got.results[6].error, got.results[7].error, "the error of a user that is not there")


@suite.check("a batch across a border: one entry for each record given or denied")
def _(env):
    for n in range(5):
        env.rooms.put("live_room", "bx-%d" % n, "DE", TITLE)
    env.users.put("user", "bx-u", "DE", {"email": "x"})
    with NewEntries(env, env.main, "eu-central-1") as new:
        got = env.moderation_us.call(
            RECORD + "BatchGetRecords", purpose="moderation",
            keys=[{"kind": "live_room", "id": "bx-%d" % n, "home": "DE"} for n in range(5)]
            + [{"kind": "user", "id": "bx-u", "home": "DE"},
               {"kind": "live_room", "id": "bx-none", "home": "DE"}])
    equal([e["type"] for _, _, e in new.list], ["access"] * 5 + ["deny"], "entries")
    for n in range(5):
        check_receipt(got.results[n].found.receipt, new.list[n])
    equal([got.results[n].error.code for n in (5, 6)], [7, 5], "errors")


@suite.check("a batch of 1,000 keys is served; 1,001 and none are refused, with the field")
def _(env):
    env.rooms.put("live_room", "b-1000", "DE", TITLE)
    key = {"kind": "live_room", "id": "b-1000"}
    got = env.rooms.call(RECORD + "BatchGetRecords", purpose="serve", keys=[key] * 1000)
    equal(sum(r.found.record.id == "b-1000" for r in got.results), 1000, "records")
    for keys in ([key] * 1001, []):
        refused(lambda: env.rooms.call(RECORD + "BatchGetRecords", purpose="serve", keys=keys),
                "INVALID_ARGUMENT", "INVALID", ["keys"])


@suite.check("a batch with an unknown purpose or a bad mask is refused or fails every key")
def _(env):
    key = {"kind": "live_room", "id": "b-1"}
    refused(lambda: env.rooms.call(RECORD + "BatchGetRecords", purpose="fun", keys=[key]),
            "INVALID_ARGUMENT", "INVALID", ["purpose"])
    got = env.rooms.call(RECORD + "BatchGetRecords", purpose="serve", keys=[key], fields=["Bad!"])
    equal(got.results[0].error.code, 3, "code")


@suite.check("a batch whose answer would be over a message fails the keys at its end")
def _(env):
    big = {"description": "x" * 900000}
    for n in range(6):
        env.rooms.put("live_room", "fat-%d" % n, "DE", big)
    got = env.rooms.call(RECORD + "BatchGetRecords", purpose="serve",
                         keys=[{"kind": "live_room", "id": "fat-%d" % n} for n in range(6)])
    seen = [r.WhichOneof("outcome") for r in got.results]
    equal(seen, ["found"] * 4 + ["error"] * 2, "outcomes")
    equal(got.results[5].error.code, 8, "code")


def put_page_rooms(env):
    if not hasattr(env, "paged"):
        env.paged = {"p-%d" % n for n in range(230)}
        rooms = env.client(env.main, "room-service", "ap-southeast-2")
        for id in sorted(env.paged):
            rooms.put("live_room", id, "NZ" if id.endswith("7") else "AU", {"title": id})
        env.australia = {i for i in env.paged if not i.endswith("7")}
        env.rooms_au = rooms
    return env.rooms_au


@suite.check("a list gives every record of the home once, page by page")
def _(env):
    caller = put_page_rooms(env)
    for size in (0, 1, 64, 1000):
        pages = list(caller.stream(RECORD + "ListRecords", kind="live_room", home="AU",
                                   purpose="serve", page_size=size))
        ids = [r.id for p in pages for r in p.records]
        equal(sorted(ids), sorted(env.australia), "ids at page size %d" % size)
        true(all(len(p.records) <= (size or 100) for p in pages), "a page is too long")
        true(all(p.next_page_token for p in pages[:-1]) and not pages[-1].next_page_token,
             "tokens at page size %d" % size)


@suite.check("a list goes on at its page token; pages_max bounds the stream")
def _(env):
    caller = put_page_rooms(env)
    ids, token, calls = [], "", 0
    while True:
        pages = list(caller.stream(RECORD + "ListRecords", kind="live_room", home="AU",
                                   purpose="serve", page_size=50, pages_max=2, page_token=token))
        true(1 <= len(pages) <= 2, "%d pages" % len(pages))
        ids += [r.id for p in pages for r in p.records]
        token = pages[-1].next_page_token
        calls += 1
        if not token:
            break
    equal(sorted(ids), sorted(env.australia), "ids")
    true(calls >= 3, "%d calls" % calls)


@suite.check("a list's bad page size, token, home, kind, mask and purpose are refused")
def _(env):
    caller = put_page_rooms(env)
    good = dict(kind="live_room", home="AU", purpose="serve")
    for field, value in (("page_size", 1001), ("page_size", (1 << 32) - 1),
                         ("page_token", "not base64!"), ("page_token", "QUJD"),
                         ("page_token", "A" * 4000), ("home", ""), ("home", "au"), ("kind", "x"),
                         ("purpose", "x")):
        refused(lambda: caller.stream(RECORD + "ListRecords", **dict(good, **{field: value})),
                "INVALID_ARGUMENT", "INVALID", [field])
    refused(lambda: caller.stream(RECORD + "ListRecords", fields=["X"], **good),
            "INVALID_ARGUMENT", "INVALID", ["fields[0]"])


@suite.check("a list across a border: one entry with its receipt for each page")
def _(env):
    put_page_rooms(env)
    caller = env.client(env.main, "live-feed", "us-east-1")
    with NewEntries(env, env.main, "ap-southeast-2") as new:
        pages = list(caller.stream(RECORD + "ListRecords", kind="live_room", home="AU",
                                   purpose="serve", page_size=100, fields=["title"]))
    equal(len(new.list), len(pages), "entries")
    for page, entry in zip(pages, new.list):
        check_receipt(page.receipt, entry)
        equal((entry[2]["op"], entry[2]["record"]["count"]), ("list", len(page.records)), "entry")


@suite.check("a denied list leaves one deny entry and sends nothing")
def _(env):
    put_page_rooms(env)
    beijing = env.client(env.main, "live-feed", "cn-north-1")
    with NewEntries(env, env.main, "ap-southeast-2") as new:
        refused(lambda: beijing.stream(RECORD + "ListRecords", kind="live_room", home="AU",
                                       purpose="serve", fields=["title"]), "PERMISSION_DENIED")
    equal([e["type"] for _, _, e in new.list], ["deny"], "entries")


# ---- explaining ----

@suite.check("ExplainAccess: six lines, JSON, and no entry")
def _(env):
    with NewEntries(env, env.main, "eu-central-1") as new:
        for op in ("read", "list", "write", "delete"):
            got = env.moderation_us.call(RECORD + "ExplainAccess", op=op, kind="live_room",
                                         home="DE", purpose="moderation",
                                         fields=["title", "owner_id", "ip"])
            lines = got.text.rstrip("\n").split("\n")
            equal(len(lines), 6, "lines of %s" % got.text)
            json.loads(got.json)
            equal(got.decision.effect, 2 if op in ("read", "list") else 3, "effect of " + op)
    equal(new.list, [], "entries")


@suite.check("ExplainAccess decides as the read does")
def _(env):
    env.rooms.put("live_room", "explained", "DE", ROOM)
    for service, region, purpose in (("moderation", "us-west-2", "moderation"),
                                     ("moderation", "us-west-2", ""),
                                     ("live-feed", "eu-west-2", "serve"),
                                     ("live-feed", "cn-north-1", "serve"),
                                     ("live-feed", "eu-north-1", "serve")):
        caller = env.client(env.main, service, region)
        told = caller.call(RECORD + "ExplainAccess", op="read", kind="live_room", home="DE",
                           purpose=purpose, fields=["title", "owner_id", "ip"]).decision
        try:
            did = caller.get("live_room", "explained", purpose=purpose, home="DE",
                             fields=["title", "owner_id", "ip"]).decision
            equal((told.effect, list(told.rules)), (did.effect, list(did.rules)),
                  "decision for %s in %s" % (service, region))
        except rpc.Failure as failure:
            equal((failure.code, told.effect), ("PERMISSION_DENIED", 3),
                  "%s in %s" % (service, region))


@suite.check("ExplainAccess refuses what it does not know, with the field")
def _(env):
    good = dict(op="read", kind="live_room", home="DE", purpose="serve")
    for field, value in (("op", ""), ("op", "READ"), ("op", "store"), ("kind", ""),
                         ("kind", "Live_Room"), ("home", "XX"), ("home", ""), ("purpose", "x")):
        refused(lambda: env.rooms.call(RECORD + "ExplainAccess", **dict(good, **{field: value})),
                "INVALID_ARGUMENT", "INVALID", [field])


# ---- limits and bad input ----

def put_raw(env, id=b"x", home=b"DE", kind=b"live_room", name=b"title", text=b"t", extra=b""):
    body = (piece(1, kind) + piece(2, id) + piece(3, home)
            + piece(4, piece(1, name) + piece(2, text)) + piece(5, b"serve") + extra)
    return raw_call(env.rooms, RECORD + "PutRecord", body)


@suite.check("an id of 512 bytes is kept; 513 and none are refused")
def _(env):
    for id in ("i" * 512, "\u00e9" * 256, "\U0001f600" * 128):
        env.rooms.put("live_room", id, "DE", TITLE)
        equal(env.rooms.get("live_room", id, purpose="serve").record.id, id, "id")
    for id in ("i" * 513, "\u00e9" * 256 + "x", ""):
        for action in (lambda: env.rooms.put("live_room", id, "DE", TITLE),
                       lambda: env.rooms.get("live_room", id, purpose="serve"),
                       lambda: delete(env.rooms, "live_room", id)):
            refused(action, "INVALID_ARGUMENT", "INVALID", ["id"])


BAD_UTF8 = {"a lone continuation byte": b"a\x80", "a cut sequence": b"a\xc3",
            "an overlong slash": b"\xc0\xaf", "a surrogate": b"\xed\xa0\x80",
            "above the last code point": b"\xf4\x90\x80\x80", "0xff": b"\xff",
            "a NUL": b"a\0b", "a NUL alone": b"\0"}


def refuse_id(env, id):
    refused(lambda: put_raw(env, id=id), "INVALID_ARGUMENT", "INVALID", ["id"])
    body = piece(1, b"live_room") + piece(2, id) + piece(4, b"serve")
    refused(lambda: raw_call(env.rooms, RECORD + "GetRecord", body), "INVALID_ARGUMENT", "INVALID",
            ["id"])


for what, id in BAD_UTF8.items():
    suite.add("an id with %s is refused" % what, refuse_id, id)


@suite.check("a text value that is not UTF-8 is refused, as data it is kept")
def _(env):
    refused(lambda: put_raw(env, id=b"text", text=b"a\xff"), "INVALID_ARGUMENT", "INVALID",
            ["fields[0].text"])
    env.rooms.call(RECORD + "PutRecord", kind="live_room", id="text", home="DE", purpose="serve",
                   fields=[{"name": "title", "data": b"a\xff"}])


@suite.check("bytes that are no message of the type are refused, and the server goes on")
def _(env):
    for body in (b"\xff", b"\x0a\xff\xff\xff\xff\x0f", b"\x0a\x05ab", b"\x0b\x0c",
                 piece(4, b"\x0a\xff"), b"\x00", b"\xff" * 4096):
        for method in ("PutRecord", "GetRecord", "BatchGetRecords", "DeleteRecord",
                       "ExplainAccess"):
            try:
                raw_call(env.rooms, RECORD + method, body)
                raise AssertionError("%s took %r" % (method, body[:20]))
            except rpc.Failure as failure:
                equal(failure.code, "INVALID_ARGUMENT", "code of %s" % method)
    env.rooms.put("live_room", "after", "DE", TITLE)


@suite.check("unknown fields of a request are passed over")
def _(env):
    put_raw(env, id=b"unknown-wire", extra=piece(900, b"later") + piece(901, 7))
    equal(rpc.values(env.rooms.get("live_room", "unknown-wire", purpose="serve").record),
          {"title": "t"}, "fields")


def fields_of(count, prefix="f"):
    return {"%s%d" % (prefix, n): "v" for n in range(count)}


@suite.check("256 fields are kept, 257 are refused")
def _(env):
    env.rooms.put("live_room", "many", "DE", fields_of(256))
    equal(len(env.rooms.get("live_room", "many", purpose="serve").record.fields), 256, "fields")
    refused(lambda: env.rooms.put("live_room", "many", "DE", fields_of(257)),
            "INVALID_ARGUMENT", "INVALID", ["fields"])
    equal(len(env.rooms.get("live_room", "many", purpose="serve").record.fields), 256, "fields")


@suite.check("a field name of 64 bytes is kept; of 65, and badly made ones, are refused")
def _(env):
    env.rooms.put("live_room", "names", "DE", {"a" * 64: "v"})
    for name in ("a" * 65, "", "A", "1a", "_a", "a-b", "a b", "a.b", "a\u0301", "\u0430", "a\0"):
        refused(lambda: env.rooms.put("live_room", "names", "DE", {"title": "t", name: "v"}),
                "INVALID_ARGUMENT", "INVALID", ["fields[1].name"])


@suite.check("a record of 1 MiB is kept, one byte more is refused")
def _(env):
    field = env.api.message("domicile.v1.Field")
    names = len("max") + len("description")  # the id and each name count besides the field
    room = (1 << 20) - names - field(name="description", text="x" * 1040000).ByteSize()
    text = "x" * (1040000 + room)
    equal(field(name="description", text=text).ByteSize() + names, 1 << 20, "size")
    env.rooms.put("live_room", "max", "DE", {"description": text})
    got = env.rooms.get("live_room", "max", purpose="serve")
    true(rpc.values(got.record)["description"] == text, "other text")
    refused(lambda: env.rooms.put("live_room", "max", "DE", {"description": text + "x"}),
            "INVALID_ARGUMENT", "INVALID", ["fields"])


@suite.check("a message over 4 MiB is refused and the connection goes on")
def _(env):
    refused(lambda: env.rooms.put("live_room", "huge", "DE", {"description": "x" * (4 << 20)}),
            "RESOURCE_EXHAUSTED")
    refused(lambda: env.rooms.put("live_room", "huge", "DE", {"description": "x" * (3 << 20)}),
            "INVALID_ARGUMENT", "INVALID", ["fields"])
    refused(lambda: env.rooms.get("live_room", "huge", purpose="serve"), "NOT_FOUND")


@suite.check("a request_id of 64 bytes is taken, of 65 is refused")
def _(env):
    env.rooms.put("live_room", "rid", "DE", TITLE, request_id="r" * 64)
    refused(lambda: env.rooms.put("live_room", "rid", "DE", TITLE, request_id="r" * 65),
            "INVALID_ARGUMENT", "INVALID", ["request_id"])
    refused(lambda: delete(env.rooms, "live_room", "rid", request_id="r" * 65),
            "INVALID_ARGUMENT", "INVALID", ["request_id"])


@suite.check("the same field twice, and a field without a value, are refused, with the index")
def _(env):
    refused(lambda: env.rooms.call(
        RECORD + "PutRecord", kind="live_room", id="twice", home="DE", purpose="serve",
        fields=[{"name": "title", "text": "a"}, {"name": "tags", "text": "b"},
                {"name": "title", "text": "c"}]), "INVALID_ARGUMENT", "INVALID",
        ["fields[2].name"])
    refused(lambda: env.rooms.call(
        RECORD + "PutRecord", kind="live_room", id="twice", home="DE", purpose="serve",
        fields=[{"name": "title"}]), "INVALID_ARGUMENT", "INVALID", ["fields[0].value"])


@suite.check("an undeclared field of a person is refused, of a room it is the strictest class")
def _(env):
    refused(lambda: env.users.put("user", "undeclared", "DE", {"bio": "x", "shoe_size": "44"}),
            "INVALID_ARGUMENT", "INVALID", ["fields[1].name"])
    answer = env.rooms.put("live_room", "undeclared", "DE", {"mood": "good"})
    equal({c for p in answer.parts for c in p.data_classes}, {"unclassified"}, "classes")
    uk = env.client(env.main, "live-feed", "eu-west-2")
    refused(lambda: uk.get("live_room", "undeclared", purpose="serve", home="DE", fields=["mood"]),
            "PERMISSION_DENIED", "FORBIDDEN")


def refuse_home(env, home, hint):
    for action in (
            lambda: env.rooms.put("live_room", "home", home, TITLE),
            lambda: env.rooms.get("live_room", "home", home=home, purpose="serve"),
            lambda: delete(env.rooms, "live_room", "home", home=home),
            lambda: env.rooms.stream(RECORD + "ListRecords", kind="live_room", home=home,
                                     purpose="serve")):
        refused(action, "INVALID_ARGUMENT", "INVALID", ["home"], hint)


for what, home, hint in (
        ("UK", "UK", "GB"), ("EL", "EL", "GR"), ("lower case de", "de", None),
        ("mixed case De", "De", None), ("a trailing blank", "DE ", None),
        ("a leading blank", " DE", None), ("a Cyrillic look-alike", "D\u0415", None),
        ("full-width letters", "\uff24\uff25", None), ("alpha-3", "DEU", None),
        ("EU", "EU", None), ("XK", "XK", None), ("a zero-width joiner", "DE\u200d", None),
        ("a NUL", "DE\0", None), ("one letter", "D", None), ("4,000 letters", "D" * 4000, None)):
    suite.add("home %s is refused, with the field" % what, refuse_home, home, hint)


@suite.check("a create without a home is refused, with the field")
def _(env):
    refused(lambda: env.rooms.put("live_room", "no-home", "", TITLE), "INVALID_ARGUMENT",
            "INVALID", ["home"])


@suite.check("an unknown kind is refused, with the field")
def _(env):
    for kind in ("", "room", "LIVE_ROOM", "live_room ", "live_room\0", "l" * 5000):
        refused(lambda: env.rooms.put(kind, "k", "DE", TITLE), "INVALID_ARGUMENT", "INVALID",
                ["kind"])
        refused(lambda: env.rooms.get(kind, "k", purpose="serve"), "INVALID_ARGUMENT", "INVALID",
                ["kind"])


@suite.check("an unknown purpose is refused, with the field")
def _(env):
    for purpose in ("Serve", "serve ", "fun", "s" * 5000, "*"):
        refused(lambda: env.rooms.put("live_room", "p", "DE", TITLE, purpose=purpose),
                "INVALID_ARGUMENT", "INVALID", ["purpose"])
        refused(lambda: env.rooms.get("live_room", "p", purpose=purpose), "INVALID_ARGUMENT",
                "INVALID", ["purpose"])


# ---- who asks ----

@suite.check("an unknown region in the metadata is not a caller")
def _(env):
    for region in ("eu-central-9", "EU-CENTRAL-1", "DE", "eu-central-1 x", "eu-central"):
        caller = env.client(env.main, "room-service", region)
        refused(lambda: caller.put("live_room", "who", "DE", TITLE), "UNAUTHENTICATED")
        refused(lambda: caller.get("live_room", "who", purpose="serve"), "UNAUTHENTICATED")


@suite.check("no name, or two, is not a caller")
def _(env):
    for identity in ([], [("domicile-service", "room-service")],
                     [("domicile-region", "eu-central-1")],
                     [("domicile-service", ""), ("domicile-region", "eu-central-1")],
                     [("domicile-service", "room-service"), ("domicile-service", "live-feed"),
                      ("domicile-region", "eu-central-1")],
                     [("domicile-service", "s" * 129), ("domicile-region", "eu-central-1")],
                     [("domicile-service", "room-service"), ("domicile-region", "eu-central-1"),
                      ("domicile-region", "us-east-1")]):
        caller = env.client(env.main, "x", "y")
        caller.identity = identity
        refused(lambda: caller.get("live_room", "who", purpose="serve"), "UNAUTHENTICATED")


@suite.check("an unknown service is denied at home as well, and may write nothing")
def _(env):
    for service in ("nobody", "room-servic", "room-service-2", "ROOM-SERVICE", "*"):
        caller = env.client(env.main, service, "eu-central-1")
        refused(lambda: caller.put("live_room", "svc", "DE", TITLE), "PERMISSION_DENIED",
                "SERVICE_DENIED")
        refused(lambda: caller.get("live_room", "svc", purpose="serve"), "PERMISSION_DENIED",
                "SERVICE_DENIED")


@suite.check("a service may ask only for its own kinds, operations and purposes")
def _(env):
    env.users.put("user", "own", "DE", {"bio": "x"})
    for caller, action in (
            (env.feed, lambda c: c.put("live_room", "own", "DE", TITLE)),
            (env.feed, lambda c: c.get("user", "own", purpose="serve", home="DE")),
            (env.feed, lambda c: c.get("user", "own", purpose="moderation", home="DE")),
            (env.rooms, lambda c: c.get("user", "own", purpose="serve", home="DE")),
            (env.users, lambda c: c.get("user", "own", purpose="billing", home="DE")),
            (env.feed, lambda c: delete(c, "live_room", "own", home="DE"))):
        refused(lambda: action(caller), "PERMISSION_DENIED", "SERVICE_DENIED")


# ---- time ----

@suite.check("a deadline that has passed is DEADLINE_EXCEEDED, and nothing is half done")
def _(env):
    for n in range(50):
        try:
            env.rooms.put("live_room", "late", "DE", {"title": str(n), "tags": str(n)},
                          timeout=0.0001 * (n % 5))
        except rpc.Failure as failure:
            equal(failure.code, "DEADLINE_EXCEEDED", "code")
    try:
        got = rpc.values(env.rooms.get("live_room", "late", purpose="serve").record)
        equal(got["title"], got["tags"], "fields of one write")
    except rpc.Failure as failure:
        equal(failure.code, "NOT_FOUND", "code")


@suite.check("cancelled calls end at the server too")
def _(env):
    put_page_rooms(env)
    for n in range(100):
        env.rooms.future(RECORD + "PutRecord", kind="live_room", id="cancel-%d" % n, home="DE",
                         purpose="serve", fields=[{"name": "title", "text": "x"}]).cancel()
        stream = env.rooms_au.stream(RECORD + "ListRecords", kind="live_room", home="AU",
                                     purpose="serve", page_size=1)
        if n % 2:
            next(stream)
        stream.close()
    wait_until(lambda: env.main.metric("domicile_rpc_in_flight") == 0, what="no call in flight")
    env.rooms.put("live_room", "after-cancel", "DE", TITLE)


@suite.check("an unknown method and service are UNIMPLEMENTED at once")
def _(env):
    for path in ("/domicile.v1.RecordService/Nope", "/domicile.v2.RecordService/GetRecord", "/x"):
        stub = env.rooms.channel.unary_unary(path)
        try:
            stub(b"", timeout=5, metadata=env.rooms.identity)
            raise AssertionError("answered")
        except grpc.RpcError as error:
            equal(error.code().name, "UNIMPLEMENTED", "code of " + path)


@suite.check("after all this every log verifies")
def _(env):
    for region in ("eu-central-1", "us-east-1", "us-west-2", "ap-southeast-2", "cn-north-1"):
        env.main.published(env.api, region)
        done = env.run("audit", "verify", "--log", env.main.log_dir(region))
        equal(done.returncode, 0, "audit verify of %s: %s" % (region, done.stdout))


suite.main(prepare)
