"""Records for the tour and the residency sweep: rooms and users, homes drawn over all countries
that the policy lists, every value carrying a mark of its own that can be searched for."""

import random

# What each kind is given here; every name is declared by the shipped policy.
FIELDS = {
    "live_room": ["title", "description", "cover_url", "category", "owner_id", "ip", "device_id"],
    "user": ["display_name", "bio", "handle", "email", "phone", "ip", "birth_date"],
}


def mark(rng):
    """A mark that no compression can split into known parts and no text contains by chance."""
    return "mk-%016x" % rng.getrandbits(64)


class Record:
    def __init__(self, rng, kind, home, number):
        self.kind = kind
        self.home = home
        self.id_mark = mark(rng)
        self.id = "%s-%05d-%s" % (kind, number, self.id_mark)
        self.marks = {name: mark(rng) for name in FIELDS[kind]}
        self.fields = {name: "%s %s of %05d" % (m, name, number) for name, m in self.marks.items()}


def generate(count, homes, seed=20261122):
    """`count` records over the homes (round robin, then shuffled), half rooms, half users."""
    rng = random.Random(seed)
    drawn = [homes[i % len(homes)] for i in range(count)]
    rng.shuffle(drawn)
    return [
        Record(rng, "live_room" if i % 2 == 0 else "user", home, i) for i, home in enumerate(drawn)
    ]
