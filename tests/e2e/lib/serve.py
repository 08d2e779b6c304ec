#!/usr/bin/python3
"""Starts a router on the shipped policy for a check in another language: prints its address, and
serves until standard input ends, so that it never outlives who started it.

    serve.py NAME
"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from harness import Env  # noqa: E402

env = Env(sys.argv[1])
try:
    router = env.router("data")
    print("listening on %s" % router.address, flush=True)
    sys.stdin.read()
    code = router.stop()
finally:
    env.close()
sys.exit(code)
