"""Writes rooms.json: `python tests/vectors/rooms.py > tests/vectors/rooms.json`.

A room of many in which one member is removed while another lets somebody in, and two admins remove
each other: the entries of each author, and what they amount to. What seals keys is random each
time, as in journal.json. Bytes are hex.
"""

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import msgspec

from p2pchat.core.acts import ADMIN, ROLE, SETTING, Role, Setting
from p2pchat.core.chain import Head
from p2pchat.core.entry import Entry
from p2pchat.core.group import Group
from tests.harness.writer import Writer, founder


def _entries(entries: list[Entry]) -> list[dict[str, str]]:
    found = []
    for entry in entries:
        assert entry.signature is not None
        assert entry.body is not None
        found.append(
            {
                "header": entry.raw.hex(),
                "body": entry.body.hex(),
                "signature": entry.signature.hex(),
            }
        )
    return found


def _amounts_to(group: Group) -> dict[str, Any]:
    membership = group.membership
    return {
        "members": {
            person.hex(): {"admin": one.role == ADMIN, "depth": one.depth}
            for person, one in sorted(membership.members.items())
        },
        "settings": {key: membership.setting(key) for key in ("name", "topic", "admit")},
        "counts_to": {chain.hex(): group.limit(chain).seq for chain in sorted(group.heads)},
        "digest": group.digest().hex(),
    }


def make() -> dict[str, Any]:
    ann, bob, carol, dave = people = founder("Ann", "Bob", "Carol", "Dave")
    erin = Writer("Erin", ann.group.room)
    for admin in (bob, carol):
        ann.act(
            ROLE, Role(ann.group.membership.seen(ann.identity.person), admin.identity.person, ADMIN)
        )
    for other in people[1:]:
        other.take_all(ann)
    ann.act(SETTING, Setting(ann.group.membership.seen(ann.identity.person), "topic", "boats"))
    heads = {id(one): one.say(f"hello from {one.identity.certificate.name}") for one in people}
    for one in people:
        for other in people:
            if other is not one:
                one.take_all(other)
    peace = _amounts_to(ann.group)
    # All at once, and none has seen the others': who stays?
    dave.admit(erin)
    ann.remove(dave, heads[id(dave)])
    bob.remove(carol, heads[id(carol)])
    carol.remove(bob, heads[id(bob)])
    judged = Group(ann.group.room)
    for one in people:
        for entry in one.written:
            certificate = one.identity.certificate
            judged.certify(certificate)
            placed = judged.placed(entry, certificate.person)
            if placed is not None:
                judged.act(placed)
            if entry.header.seq == 0:
                judged.begun(entry)
    for one in people:
        last = one.written[-1]
        judged.restore(last.chain, Head(last.header.seq, last.id, last.header.device, 0))
    war = _amounts_to(judged)
    del war["digest"]
    return {
        "people": {
            one.identity.certificate.name: {
                "person": one.identity.person.hex(),
                "prekey_secret": one.identity.prekey_secret.hex(),
                "certificate": msgspec.msgpack.encode(one.identity.certificate).hex(),
                "chain": one.chain.hex(),
                "entries": _entries(one.written),
                "in_peace": heads[id(one)].header.seq + 1,
            }
            for one in people
        },
        "room": ann.group.room.hex(),
        "in_peace": peace,
        "in_the_end": war,
    }


if __name__ == "__main__":
    json.dump(make(), sys.stdout, indent=1)
    sys.stdout.write("\n")
