"""The residency sweep: looks into every file of every region for what may not be there, and makes
sure that what must be there is.

It trusts nothing that the router says. Where a record may lie comes from the policy alone
(`domicile policy where`); what lies there comes from RocksDB's own tools (sst_dump, ldb) and from
the raw bytes of every file. Because rows are encrypted, finding no plain text proves little: so the
sweep computes the blind key of every record for every region and looks for that, both ways. With a
store made under `test_plain = true` it looks for the plain values themselves.
"""

import base64
import gzip
import hashlib
import hmac
import json
import os
import re
import subprocess

MARK = re.compile(rb"mk-[0-9a-f]{16}")
HEX_ROW = re.compile(r"^'([0-9A-F]*)' seq:\d+, type:(\d+) => ?([0-9A-F]*)", re.M)
HEX_WORD = re.compile(r"\b0x([0-9A-Fa-f]+)")


class Where:
    """Per (kind, home): the lead, and per class the regions that may hold it."""

    def __init__(self, domicile, policy):
        self.domicile = domicile
        self.policy = policy
        out = subprocess.run(
            [domicile, "policy", "where", policy, "--format", "json"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        table = json.loads(out)
        self.regions = table["regions"]
        self.fields = table["fields"]  # kind -> field -> class
        self.homes = table["homes"]  # kind -> home -> {lead, classes}

    def homes_with_placement(self, kind):
        return sorted(h for h, p in self.homes[kind].items() if p["lead"])

    def regions_of_field(self, kind, home, field):
        return set(self.homes[kind][home]["classes"].get(self.fields[kind][field], []))

    def regions_of(self, record):
        """Every region that may hold any of the record's fields."""
        found = set()
        for name in record.fields:
            found |= self.regions_of_field(record.kind, record.home, name)
        return found


def read_keys(key_dir, region):
    """The newest blind key of a region's key file."""
    with open(os.path.join(key_dir, region + ".key"), encoding="ascii") as f:
        for line in f:
            words = line.split()
            if words and words[0] == "blind":
                return base64.b64decode(words[2])
    raise RuntimeError("%s has no blind key" % region)


def row_key(blind, kind, id, plain):
    tag = hashlib.sha256(kind.encode()).digest()[:4]
    name = kind.encode() + b"\0" + id.encode()
    return tag + (name if plain else hmac.new(blind, name, hashlib.sha256).digest())


def unpack_run(raw):
    """The audit entries of a packed run: 00 00, "L", length, an LZ4 block."""
    out, at = bytearray(), 7
    while at < len(raw):
        token = raw[at]
        at += 1
        length = token >> 4
        while length >= 15 and raw[at] == 255:
            length, at = length + 255, at + 1
        if length >= 15:
            length, at = length + raw[at], at + 1
        out += raw[at:at + length]
        at += length
        if at >= len(raw):
            break
        back, length = raw[at] | raw[at + 1] << 8, token & 15
        at += 2
        while length >= 15 and raw[at] == 255:
            length, at = length + 255, at + 1
        if length >= 15:
            length, at = length + raw[at], at + 1
        for _ in range(length + 4):
            out.append(out[-back])
    if len(out) != int.from_bytes(raw[3:7], "big"):
        raise ValueError("a packed run of %d bytes unpacks to %d" % (len(raw), len(out)))
    return bytes(out)


def run_tool(arguments):
    done = subprocess.run(arguments, capture_output=True)
    return done.stdout.decode("latin-1")


class Region:
    """Everything found in one region's folder: row keys, and bytes in which marks are searched."""

    def __init__(self, folder):
        self.keys = set()
        self.marks = set()
        self.files = 0
        self.ssts = 0
        self.wals = 0
        self.manifests = 0
        self.bundles = 0
        self.runs = 0
        looked_at = set()
        while not self._look(folder, looked_at):
            pass

    def _look(self, folder, looked_at):
        """Takes in the files that were not there before. False: one went away meanwhile, as the
        router compacts; what was in it is in a newer one, which may be none of those listed."""
        whole = True
        for root, _, names in os.walk(folder):
            for name in sorted(names):
                path = os.path.join(root, name)
                if path not in looked_at:
                    self._file(path, name)
                    whole = whole and os.path.exists(path)
                    looked_at.add(path)
        return whole

    def _file(self, path, name):
        try:
            with open(path, "rb") as f:
                raw = f.read()
        except FileNotFoundError:
            return
        self.files += 1
        if raw[:3] == b"\x1f\x8b\x08":
            raw = gzip.decompress(raw)
            self.bundles += 1
        self.marks.update(m.decode() for m in MARK.findall(raw))
        if name.endswith(".sst"):
            self.ssts += 1
            self._dump(run_tool(["sst_dump", "--file=" + path, "--command=scan", "--output_hex"]))
        elif name.endswith(".log"):
            self.wals += 1
            self._words(run_tool(["ldb", "dump_wal", "--walfile=" + path, "--header",
                                  "--print_value"]))
        elif name.startswith("MANIFEST-"):
            self.manifests += 1
            self._words(run_tool(["ldb", "manifest_dump", "--path=" + path, "--verbose", "--hex"]))

    def _bytes(self, raw):
        if raw[:3] == b"\0\0L":
            raw = unpack_run(raw)
            self.runs += 1
        self.marks.update(m.decode() for m in MARK.findall(raw))

    def _dump(self, text):
        for key, kind, value in HEX_ROW.findall(text):
            raw = bytes.fromhex(key)
            if kind == "1":
                self.keys.add(raw)
            self._bytes(raw)
            self._bytes(bytes.fromhex(value))

    def _words(self, text):
        for word in HEX_WORD.findall(text):
            if len(word) % 2 == 0:
                raw = bytes.fromhex(word)
                self.keys.add(raw)
                self._bytes(raw)


class Result:
    def __init__(self):
        self.wrong = []  # what is where it may not be
        self.missing = []  # what is not where it must be
        self.regions = 0
        self.files = 0
        self.ssts = 0
        self.wals = 0
        self.manifests = 0
        self.bundles = 0
        self.runs = 0
        self.keys_checked = 0
        self.keys_found = 0
        self.marks_found = 0

    @property
    def ok(self):
        return not self.wrong and not self.missing

    def summary(self):
        return (
            "%d regions, %d files (%d SST, %d WAL, %d MANIFEST, %d bundles and %d runs unpacked): %d blind keys looked for, %d found, "
            "%d where they may not be, %d absent where they must be, %d plain marks found"
            % (self.regions, self.files, self.ssts, self.wals, self.manifests, self.bundles,
               self.runs, self.keys_checked, self.keys_found, len(self.wrong), len(self.missing), self.marks_found)
        )


def sweep(where, data_dir, records, key_dir=None, plain=False):
    """Searches every region of the policy under data_dir for the records."""
    result = Result()
    key_dir = key_dir or os.path.join(data_dir, "keys")
    for region in where.regions:
        found = Region(os.path.join(data_dir, region))
        blind = read_keys(key_dir, region)
        result.regions += 1
        result.files += found.files
        result.ssts += found.ssts
        result.wals += found.wals
        result.manifests += found.manifests
        result.bundles += found.bundles
        result.runs += found.runs
        result.marks_found += len(found.marks)
        for record in records:
            _check_record(result, where, region, found, blind, record, plain)
    return result


def _check_record(result, where, region, found, blind, record, plain):
    key = row_key(blind, record.kind, record.id, plain)
    permitted = region in where.regions_of(record)
    present = key in found.keys
    result.keys_checked += 1
    result.keys_found += present
    if present and not permitted:
        result.wrong.append("%s: the row of %s (home %s)" % (region, record.id, record.home))
    if permitted and not present:
        result.missing.append("%s: the row of %s (home %s)" % (region, record.id, record.home))
    if record.id_mark in found.marks and not (plain and permitted):
        result.wrong.append("%s: the id of %s in plain text" % (region, record.id))
    for name, mark in record.marks.items():
        may = plain and region in where.regions_of_field(record.kind, record.home, name)
        if mark in found.marks and not may:
            result.wrong.append("%s: %s of %s in plain text" % (region, name, record.id))
        if may and mark not in found.marks:
            result.missing.append("%s: %s of %s" % (region, name, record.id))
