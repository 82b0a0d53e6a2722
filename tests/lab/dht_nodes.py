"""A DHT on the addresses given, as a program for a server of an internet.

Prints its nodes as a JSON list, as `dht.bootstrap` wants them, and runs until its input ends.
"""

import json
import sys

from tests.harness.dht import own_dht

if __name__ == "__main__":
    with own_dht(addresses=sys.argv[1:]) as bootstrap:
        print(json.dumps(bootstrap), flush=True)
        sys.stdin.read()
