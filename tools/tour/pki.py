"""Certificates for the tour and the end-to-end tests, made by `domicile pki`."""

import os
import subprocess

TRUST_DOMAIN = "tour.example"


class Pki:
    """A development CA in a folder, and the certificates that it has issued."""

    def __init__(self, domicile, folder, trust_domain=TRUST_DOMAIN):
        self.domicile = domicile
        self.folder = folder
        self.trust_domain = trust_domain
        self.ca = os.path.join(folder, "ca")
        self.serials = {}
        if not os.path.exists(os.path.join(self.ca, "ca.pem")):
            self._run("ca", "--out", self.ca, "--trust-domain", trust_domain)

    def _run(self, *arguments):
        done = subprocess.run(
            [self.domicile, "pki", *arguments], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        return done.stdout.strip()

    def id(self, service, region):
        return "spiffe://%s/region/%s/service/%s" % (self.trust_domain, region, service)

    def issue(self, service, region, name=None, days=1):
        """The folder of a certificate; made at the first question."""
        out = os.path.join(self.folder, name or "%s@%s" % (service, region))
        if out not in self.serials:
            self.serials[out] = self._run(
                "issue", "--ca", self.ca, "--region", region, "--service", service,
                "--out", out, "--days", str(days))
        return out

    def renew(self, service, region, name=None):
        """New certificate and key in the same folder."""
        self.serials.pop(os.path.join(self.folder, name or "%s@%s" % (service, region)), None)
        return self.issue(service, region, name)

    def revoke(self, folder):
        self._run("revoke", "--ca", self.ca, "--serial", self.serials[folder])

    @property
    def crl(self):
        return os.path.join(self.ca, "crl.pem")


def environment(folder):
    """What `domicile record` takes its certificate from."""
    return {
        "DOMICILE_CERT": os.path.join(folder, "svid.pem"),
        "DOMICILE_KEY": os.path.join(folder, "svid_key.pem"),
        "DOMICILE_CA": os.path.join(folder, "bundle.pem"),
    }


def read(folder):
    """(CA bundle, key, chain) as grpc wants them."""
    out = []
    for name in ("bundle.pem", "svid_key.pem", "svid.pem"):
        with open(os.path.join(folder, name), "rb") as f:
            out.append(f.read())
    return tuple(out)
