#!/usr/bin/python3
"""GetRecord with the certificate of a folder, in a process of its own: for a caller whose OpenSSL has
other settings (OPENSSL_CONF). Prints the status and the reason why the identity was refused.

    get_as.py DESCRIPTORS ADDRESS FOLDER
"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "tools" / "tour"))
import client as rpc  # noqa: E402
import pki as certificates  # noqa: E402

api = rpc.Api(sys.argv[1])
caller = rpc.Client(api, sys.argv[2], "", "", (), certificates.read(sys.argv[3]))
try:
    caller.get("live_room", "r-1", purpose="serve", timeout=10)
    print("OK")
except rpc.Failure as failure:
    print(failure.code, failure.metadata.get("identity", ""))
