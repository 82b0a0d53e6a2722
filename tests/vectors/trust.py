"""Writes trust.json: `python tests/vectors/trust.py > tests/vectors/trust.json`.

Safety numbers and a proof are functions of keys and nothing random, so the file never changes
unless the protocol does. Bytes are hex.
"""

import json
import sys
from pathlib import Path
from typing import Any

import msgspec

sys.path.insert(0, str(Path(__file__).parents[2]))

from p2pchat.core import proof
from p2pchat.core.entry import VouchBody
from p2pchat.core.identity import Identity
from p2pchat.core.safety import safety_number
from tests.harness.pair import random_from

TIME = 1_800_000_000
PLACE = "https://example.org/~ann"


def make() -> dict[str, Any]:
    ann, bob = (Identity.create(name, random_from(ord(name[0]))) for name in ("Ann", "Bob"))
    number = safety_number(ann.person, bob.person)
    return {
        "persons": {
            name: {"seed": one.person_seed.hex(), "person": one.person.hex()}
            for name, one in (("ann", ann), ("bob", bob))
        },
        "safety_number": {
            "digits": " ".join(number.digits),
            "words": " ".join(number.words),
            "qr": number.qr,
        },
        "proof": {
            "name": "Ann",
            "time": TIME,
            "place": PLACE,
            "text": proof.make(ann, float(TIME), PLACE),
        },
        "vouch_for_bob": msgspec.msgpack.encode(VouchBody(bob.person, verified=True)).hex(),
    }


if __name__ == "__main__":
    json.dump(make(), sys.stdout, indent=1, sort_keys=True)
    sys.stdout.write("\n")
