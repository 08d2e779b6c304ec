"""Changes to a copy of the shipped policy, as a person would make them in an editor."""

import pathlib

from harness import POLICY


class Copy:
    """A copy of the policy in a folder of its own, and its version."""

    def __init__(self, folder):
        self.path = pathlib.Path(folder) / "policy.cfg"
        self.text = POLICY.read_text(encoding="utf-8")
        self.version = 1
        self.save()

    def save(self):
        # As an editor does it: whole, under another name, then in its place.
        made = self.path.with_suffix(".new")
        made.write_text(self.text, encoding="utf-8")
        made.replace(self.path)

    def change(self, old, new):
        if self.text.count(old) != 1:
            raise RuntimeError("%d places with %r" % (self.text.count(old), old))
        self.text = self.text.replace(old, new)

    def bump(self, to=None):
        version = self.version + 1 if to is None else to
        self.change("version = %dL;" % self.version, "version = %dL;" % version)
        self.version = version


# Four regions under three laws: for checks that start many routers. Shaped like the shipped one.
SMALL = """
policy = { schema = 1; name = "small"; version = 1L; expires = "2032-03-01T00:00:00Z";
           change = { ticket = "CMP-1"; reason = "tests"; author = "tests"; }; };
defaults = { uncovered_field = "redact"; hide_existence = true; };
jurisdictions = {
  EEA = { countries = ("SE", "IE", "DE"); law = "GDPR"; };
  GB = { countries = ("GB"); law = "UK-GDPR"; };
  US = { countries = ("US"); };
};
regions = {
  eu-north-1 = { country = "SE"; };
  eu-west-1 = { country = "IE"; };
  eu-west-2 = { country = "GB"; };
  us-east-1 = { country = "US"; };
};
data_classes = {
  public = { rank = 0; };
  content = { rank = 1; personal = true; };
  identifier = { rank = 2; personal = true; };
  network = { rank = 2; personal = true; };
};
purposes = { serve = {}; moderation = {}; };
services = {
  room-service = { kinds = ("live_room"); ops = ("read", "list", "write", "delete");
                   purposes = ("serve"); };
  live-feed = { kinds = ("live_room"); ops = ("read", "list"); purposes = ("serve"); };
  moderation = { kinds = ("live_room"); ops = ("read", "list"); purposes = ("moderation"); };
};
kinds = {
  live_room = {
    fields = { title = "content"; description = "content"; cover_url = "public";
               category = "public"; owner_id = "identifier"; ip = "network"; };
    subject = "owner_id";
  };
};
bases = {
  adequacy = { mechanism = "GDPR-45"; ref = "tests"; from = "2021-06-28"; until = "2031-12-27"; };
};
placement = (
  { id = "public"; home = ("EEA", "GB", "US"); classes = ("public"); regions = ("*");
    basis = "not_personal"; },
  { id = "eea"; home = ("EEA"); classes = ("content", "identifier", "network");
    regions = ("EEA"); lead = ("eu-north-1", "eu-west-1"); min_replicas = 2; },
  { id = "gb"; home = ("GB"); classes = ("content", "identifier", "network"); regions = ("GB");
    lead = ("eu-west-2"); },
  { id = "us"; home = ("US"); classes = ("content", "identifier", "network"); regions = ("US");
    lead = ("us-east-1"); }
);
rules = (
  { id = "network-stays"; effect = "forbid"; ops = ("*"); home = ("*"); to = ("*");
    classes = ("network"); },
  { id = "eea-abroad"; effect = "permit"; ops = ("read", "list"); home = ("EEA");
    to = ("GB", "US"); kinds = ("live_room"); classes = ("public", "content", "identifier");
    purposes = ("serve", "moderation"); services = ("live-feed", "moderation", "room-service");
    basis = "adequacy";
    obligations = ( { do = "pseudonymise"; classes = ("identifier"); key = "export"; } ); },
  { id = "write-from-abroad"; effect = "permit"; ops = ("write"); home = ("*");
    to = ("EEA", "GB", "US"); kinds = ("live_room");
    classes = ("public", "content", "identifier"); purposes = ("serve");
    services = ("room-service"); basis = "adequacy"; }
);
"""


def small_policy(folder):
    """Writes the small policy; returns its path."""
    path = pathlib.Path(folder) / "small.cfg"
    path.write_text(SMALL, encoding="utf-8")
    return path
