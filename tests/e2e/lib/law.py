"""Signed policies, made byte by byte: keys that openssl holds, notes and bundles packed here, so that
the router's own code is checked by code that shares nothing with it. The tools are used where a
person would use them."""

import base64
import datetime
import hashlib
import os
import subprocess

from policytext import SMALL

DASH = "\u2014 "
ROLLOUT = """
rollout = { stages = ( { mode = "shadow"; hold = "PT%dS"; },
                       { mode = "canary"; percent = 50; hold = "PT%dS"; },
                       { mode = "enforce"; hold = "PT%dS"; } );
            abort = { new_deny_ratio = %s; eval_errors = 0; min_requests = %d; }; };
"""


def policy_text(version, hold=2, min_requests=24, ratio="0.3", changes=(), name="small"):
    """The small policy with a roll-out of short holds, and (old, new) changes to it."""
    text = SMALL + ROLLOUT % (hold, hold, hold, ratio, min_requests)
    text = text.replace("version = 1L", "version = %dL" % version)
    text = text.replace('name = "small"', 'name = "%s"' % name)
    for old, new in changes:
        if text.count(old) != 1:
            raise RuntimeError("%d places with %r" % (text.count(old), old))
        text = text.replace(old, new)
    return text


def now(offset=0):
    at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=offset)
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def sha256(data):
    return hashlib.sha256(data if isinstance(data, bytes) else data.encode()).hexdigest()


class Key:
    """An Ed25519 key that lives in a PEM file; openssl signs with it."""

    def __init__(self, folder, name):
        self.name = name
        self.pem = os.path.join(folder, name + ".pem")
        self.vkey_path = os.path.join(folder, name + ".vkey")
        subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", self.pem],
                       check=True, capture_output=True)
        der = subprocess.run(["openssl", "pkey", "-in", self.pem, "-pubout", "-outform", "DER"],
                             check=True, capture_output=True).stdout
        public = der[-32:]
        self.id = hashlib.sha256(name.encode() + b"\n\x01" + public).digest()[:4]
        self.vkey = "%s+%s+%s" % (name, self.id.hex(),
                                  base64.b64encode(b"\x01" + public).decode())
        with open(self.vkey_path, "w", encoding="utf-8") as f:
            f.write(self.vkey + "\n")
        self.command = 'openssl pkeyutl -sign -rawin -inkey %s -in "$DOMICILE_MESSAGE"' % self.pem

    def line(self, text):
        path = self.pem + ".message"
        with open(path, "wb") as f:
            f.write(text)
        signature = subprocess.run(
            ["openssl", "pkeyutl", "-sign", "-rawin", "-inkey", self.pem, "-in", path],
            check=True, capture_output=True).stdout
        return (DASH + self.name + " " + base64.b64encode(self.id + signature).decode() +
                "\n").encode()


def note(text, keys):
    text = text.encode() if isinstance(text, str) else text
    return text + b"\n" + b"".join(key.line(text) for key in keys)


def root(name, keys, threshold, timestamp=(), version=1, by=None):
    lines = ["domicile-policy-root/v1", "name " + name, "version %d" % version,
             "expires 2031-01-01T00:00:00Z", "threshold root 1", "threshold policy %d" % threshold,
             "threshold timestamp %d" % len(timestamp)]
    lines.append("key root " + keys[0].vkey)
    lines += ["key policy " + key.vkey for key in keys]
    lines += ["key timestamp " + key.vkey for key in timestamp]
    return note("\n".join(lines) + "\n", [by or keys[0]])


def pack(signed, files):
    out = b"domicile-policy-bundle/v1\nnote %d\n" % len(signed) + signed + b"\n"
    for name, data in files:
        out += b"%s %d\n" % (name.encode(), len(data)) + data + b"\n"
    return out


def note_text(name, version, previous, plan, files, created=None, expires="2032-03-01T00:00:00Z"):
    lines = ["domicile-policy-bundle/v1", "name " + name, "version %d" % version,
             "previous " + previous, "created " + (created or now()), "expires " + expires,
             "plan " + plan]
    lines += ["file %s %d %s" % (n, len(data), sha256(data)) for n, data in files]
    return "\n".join(lines) + "\n"


def timestamp(name, version, policy, keys, lasts=3600):
    return note("domicile-policy-timestamp/v1\nname %s\nversion %d\npolicy %s\ntime %s\nexpires %s\n"
                % (name, version, sha256(policy), now(), now(lasts)), keys)


def order(name, what, keys, reason="a drill", offset=0):
    return note("domicile-policy-order/v1\nname %s\norder %s\ntime %s\nreason %s\n"
                % (name, what, now(offset), reason), keys)


ZERO = "0" * 64


class Law:
    """A policy's life: who signs, and its versions one after the other."""

    def __init__(self, env, name, threshold=2, timestamps=False, **options):
        self.env = env
        self.name = "small"
        self.options = options
        self.folder = env.folder("law-" + name)
        self.keys = [Key(self.folder, who) for who in ("alice", "bob", "carol")]
        self.stranger = Key(self.folder, "mallory")
        self.clock = Key(self.folder, "clock")
        self.root_path = os.path.join(self.folder, "root")
        with open(self.root_path, "wb") as f:
            f.write(root(self.name, self.keys, threshold, [self.clock] if timestamps else []))
        self.texts = {}
        self.path = self.write(1, [])
        with open(self.path + ".bundle", "wb") as f:
            f.write(self.bundle(1, None))

    def write(self, version, changes, **options):
        """Writes version N; returns its path."""
        text = policy_text(version, changes=changes, **{**self.options, **options})
        self.texts[version] = text
        path = self.file(version)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path

    def file(self, version):
        return os.path.join(self.folder, "v%d.cfg" % version)

    def extra(self):
        return 'policy_root = "%s";\n' % self.root_path

    def plan(self, old, new):
        """(hash, text) of the plan from one version to another, by the tool."""
        done = self.env.run("policy", "plan", self.file(old), self.file(new), "--format", "json")
        if done.returncode not in (0, 2):
            raise RuntimeError(done.stderr)
        return sha256(done.stdout), done.stdout

    def bundle(self, number, upon, keys=None, **changes):
        """A bundle of version N upon another version, signed by two; `changes` to its note."""
        data = self.texts[number].encode()
        fields = {"name": self.name, "version": number,
                  "previous": ZERO if upon is None else sha256(self.texts[upon]),
                  "plan": ZERO if upon is None else self.plan(upon, number)[0],
                  "files": [("policy.cfg", data)]}
        files = changes.pop("packed", None)
        fields.update(changes)
        signed = note(note_text(**fields), self.keys[:2] if keys is None else keys)
        return pack(signed, fields["files"] if files is None else files)
