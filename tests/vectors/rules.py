"""Writes rules.json: `python tests/vectors/rules.py > tests/vectors/rules.json`.

What is taken and what is refused, and the order of entries whose clocks are wrong: the rules of
docs/protocol.md, 7 and 8, at their edges. The same at each run. Bytes are hex.
"""

import itertools
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import msgspec

from p2pchat.core.brief import Brief
from p2pchat.core.chain import Branch, ForkProof
from p2pchat.core.entry import DEVICE, MESSAGE, Header, MessageBody, body_hash, entry_id, statement
from p2pchat.core.identity import Identity
from p2pchat.core.timeline import Node
from p2pchat.core.wire import Run, encode
from tests.core.test_timeline import Memory
from tests.harness.pair import START, Journal, forks, random_from

_encode = msgspec.msgpack.encode
_TAG = bytes(16)
_EPOCH = b"e" * 32


def _anns(identity: Identity, members: tuple[bytes, ...]) -> Journal:
    """Her chain: a device, and eight messages under an epoch whose key nobody sealed to anybody."""
    journal = Journal(identity, members, 1)
    journal._write(DEVICE, identity.certificate, b"")
    journal.chains.certify(identity.certificate)
    journal.chains.epochs[_EPOCH] = bytes(32)
    for number in range(8):
        journal._write(MESSAGE, MessageBody(f"message {number}"), _EPOCH)
    return journal


def _headers(good: Header) -> list[dict[str, Any]]:
    """Each with one thing changed."""
    ids = [bytes([number]) * 32 for number in range(5)]
    told: list[tuple[str, bool, list[Any]]] = []

    def case(name: str, holds: bool, *more: Any, **changed: Any) -> None:
        fields = list(msgspec.structs.astuple(msgspec.structs.replace(good, **changed)))
        told.append((name, holds, fields + list(more)))

    case("as it was written", True)
    case("version 2", False, version=2)
    case("a device key of 31 bytes", False, device=bytes(31))
    case("the last seq", True, seq=(1 << 63) - 1)
    case("a seq beyond it", False, seq=1 << 63)
    case("prev at seq 0", False, seq=0)
    case("no prev at seq 0", True, seq=0, prev=b"")
    case("no prev later", False, prev=b"")
    case("four after", True, after=tuple(ids[:4]))
    case("five after", False, after=tuple(ids))
    case("after out of order", False, after=(ids[1], ids[0]))
    case("one twice in after", False, after=(ids[0], ids[0]))
    case("its own prev in after", True, after=(good.prev,))
    case("the first time", True, time=1_577_836_800_000 << 16)
    case("a time before it", False, time=(1_577_836_800_000 << 16) - 1)
    case("the last time", True, time=(7_258_118_400_000 << 16) - 1)
    case("a time after it", False, time=7_258_118_400_000 << 16)
    case("kind 0", True, kind=0)
    case("the last kind", True, kind=(1 << 31) - 1)
    case("a kind beyond it", False, kind=1 << 31)
    case("a message without an epoch", True, epoch=b"")
    case("a device with an epoch", True, kind=DEVICE)
    case("an epoch of 31 bytes", False, epoch=bytes(31))
    case("the largest body", True, length=65_664)
    case("a larger body", False, length=65_665)
    case("further elements", True, "more", None, [[]])
    room = 512 - len(_encode([*msgspec.structs.astuple(good), bytes(256)])) + 256
    case("512 bytes", True, bytes(room))
    case("513 bytes", False, bytes(room + 1))
    case("a float for a time", False)
    told[-1][2][7] = float(good.time)
    case("text for bytes", False)
    told[-1][2][5] = "p" * 32
    found = [{"name": name, "header": _encode(one).hex(), "holds": ok} for name, ok, one in told]
    raw = _encode(good)
    found.append(
        {
            "name": "eleven elements",
            "header": _encode([*msgspec.structs.astuple(good)][:11]).hex(),
            "holds": False,
        }
    )
    found.append(
        {"name": "a longer encoding", "header": (b"\xdc\x00\x0c" + raw[1:]).hex(), "holds": True}
    )
    found.append({"name": "a byte behind it", "header": (raw + b"\xc0").hex(), "holds": False})
    return found


def _runs(ann: Journal) -> list[dict[str, Any]]:
    """Of Ann's chain, shown to Bob, who has `have` entries of it."""
    identity, entries = ann.identity, ann.entries[ann.own]
    found: list[dict[str, Any]] = []

    def case(
        name: str,
        have: int,
        verdict: str,
        headers: list[bytes | Brief],
        bodies: list[bytes | None],
        signature: bytes | None = None,
    ) -> None:
        last = headers[-1]
        if signature is None:
            assert isinstance(last, bytes)
            signature = identity.sign(statement(entry_id(last)))
        run = Run(_TAG, tuple(headers), tuple(bodies), signature, pushed=False)
        told = {"name": name, "have": have, "run": encode(run).hex(), "verdict": verdict}
        found.append(told)

    def raws(first: int, end: int) -> list[bytes | Brief]:
        return [entry.raw for entry in entries[first:end]]

    def bodies(first: int, end: int) -> list[bytes | None]:
        return [entry.body for entry in entries[first:end]]

    def other(at: int, body: bytes | None = None, **changed: Any) -> bytes:
        """The entry at that place, changed; with another body if one is given."""
        if body is not None:
            changed |= {"length": len(body), "body_hash": body_hash(body)}
        return _encode(msgspec.structs.replace(entries[at].header, **changed))

    case("a whole chain", 0, "takes 9", raws(0, 9), bodies(0, 9))
    case("a chain that grows", 4, "takes 2", raws(4, 6), bodies(4, 6))
    case("one that begins before the head", 4, "takes 2", raws(1, 6), bodies(1, 6))
    case("what is known", 6, "known", raws(1, 5), bodies(1, 5))
    case("what comes too early", 4, "gap", raws(5, 7), bodies(5, 7))
    case("a false signature", 4, "bad", raws(4, 6), bodies(4, 6), bytes(64))
    case(
        "a signature of the entry before", 4, "bad", raws(4, 6), bodies(4, 6), entries[4].signature
    )
    case("a message without its body", 4, "takes 2", raws(4, 6), [None, entries[5].body])
    case("a body that is not the one named", 4, "bad", raws(4, 5), [entries[5].body])
    case("a first entry that is no device", 0, "bad", [other(0, kind=MESSAGE)], [entries[0].body])
    for kind in (0, 1, 2, 6, 7, 8, 16, 31, 32):
        case(f"kind {kind} without its body", 4, "bad", [other(4, kind=kind)], [None])
    for kind in (5, 15, 33):
        case(f"kind {kind} without its body", 4, "takes 1", [other(4, kind=kind)], [None])
    good = identity.certificate
    stranger = Identity.create("Ann", random_from(7)).certificate
    more = [*msgspec.structs.astuple(good), 1]
    broken = msgspec.structs.replace(good, prekey=bytes([9, *bytes(31)]))
    for name, certificate, verdict in (
        ("a new name", msgspec.structs.replace(good, name="Anne"), "takes 1"),
        ("a name of 256 bytes", msgspec.structs.replace(good, name="\u00e4" * 128), "takes 1"),
        ("a name of 258 bytes", msgspec.structs.replace(good, name="\u00e4" * 129), "bad"),
        ("a certificate with one element more", more, "bad"),
        ("a certificate of another device", stranger, "bad"),
        ("a certificate that does not hold", broken, "bad"),
    ):
        body = _encode(certificate)
        case(name, 4, verdict, [other(4, body, kind=DEVICE, epoch=b"")], [body])
    case("an epoch that is none", 4, "takes 1", [other(4, b"\xc0", kind=2)], [b"\xc0"])
    case("an unknown kind", 4, "takes 1", [other(4, b"", kind=1_000)], [b""])
    case("a twin of the head", 4, "fork", [other(3, time=START)], bodies(3, 4))
    case(
        "a twin of the head, not signed", 4, "bad", [other(3, time=START)], bodies(3, 4), bytes(64)
    )
    case("what follows a twin", 4, "fork", [other(4, prev=bytes(32))], bodies(4, 5))
    case("a twin below the head", 4, "known", [other(2, time=START)], bodies(2, 3))
    case(
        "two that do not follow each other",
        4,
        "bad",
        [entries[4].raw, other(5, prev=bytes(32))],
        bodies(4, 6),
    )
    case(
        "one left out",
        4,
        "bad",
        [entries[4].raw, entries[6].raw],
        [entries[4].body, entries[6].body],
    )
    case("another room's", 4, "bad", [other(4, room=bytes(32))], bodies(4, 5))
    briefs = [Brief(one.header.time, one.header.kind, one.header.after, None) for one in entries]
    case(
        "headers in brief",
        4,
        "takes 3",
        [entries[4].raw, *briefs[5:7]],
        bodies(4, 7),
        entries[6].signature,
    )
    case(
        "one in brief without its body",
        4,
        "bad",
        [entries[4].raw, briefs[5]],
        [entries[4].body, None],
        entries[5].signature,
    )
    early = msgspec.structs.replace(briefs[5], time=0)
    case(
        "one in brief that breaks a rule",
        4,
        "bad",
        [entries[4].raw, early],
        bodies(4, 6),
        entries[5].signature,
    )
    return found


def _proofs(ann: Journal) -> list[dict[str, Any]]:
    identity, entries = ann.identity, ann.entries[ann.own]

    def branch(*raws: bytes) -> Branch:
        return Branch(raws, identity.sign(statement(entry_id(raws[-1]))))

    def other(at: int, **changed: Any) -> bytes:
        return _encode(msgspec.structs.replace(entries[at].header, **changed))

    raws = [entry.raw for entry in entries]
    twin = other(5, time=START)
    grown = other(6, prev=entry_id(twin))
    beside = Branch((raws[4], twin, raws[4]), entries[4].signature or b"")
    cases = (
        ("two for one place", True, branch(raws[5]), branch(twin)),
        ("one that follows a twin, and its place's other", True, branch(raws[5]), branch(grown)),
        ("two that follow twins", True, branch(raws[6]), branch(grown)),
        ("within longer branches", True, branch(*raws[3:8]), branch(raws[4], twin, grown)),
        ("the same twice", False, branch(*raws[3:6]), branch(*raws[3:6])),
        ("places apart", False, branch(raws[3]), branch(twin)),
        ("no signature", False, branch(raws[5]), Branch((twin,), bytes(64))),
        ("a gap", False, branch(raws[5]), branch(raws[3], twin)),
        ("an end that does not follow", False, branch(raws[5]), branch(twin, raws[6])),
        ("one beside what is signed", False, branch(raws[5]), beside),
        ("another chain's", False, branch(raws[5]), branch(other(5, incarnation=bytes(8)))),
        ("another room's", False, branch(raws[5]), branch(other(5, room=bytes(32)))),
    )
    return [
        {"name": name, "proof": _encode(ForkProof(one, two)).hex(), "proves": proves}
        for name, proves, one, two in cases
    ]


def _digests(ann: Journal, bob: Identity) -> list[dict[str, Any]]:
    """Of Ann's whole chain and Bob's, as more and more other chains of hers are known as forked."""
    members = tuple(sorted(ann.chains.members))
    own = Journal(bob, members, 2)
    own._write(DEVICE, bob.certificate, b"")
    own.chains.certify(bob.certificate)
    for entry in ann.entries[ann.own]:
        own.take([entry])
    found = []
    proofs = forks(Journal(ann.identity, members, 3).chains, ann.identity, 18, 4)
    forked: list[str] = []
    for count, proof in enumerate([None, *proofs]):
        if proof is not None:
            chain = own.chains.prove(proof)
            if chain is not None:
                forked.append(chain.hex())
        if count in (0, 1, 2, 16, 17, 18):
            found.append({"forked": [*forked], "digest": own.chains.digest().hex()})
    heads = [[chain.hex(), head.seq, head.id.hex()] for chain, head in own.chains.heads.items()]
    of_ann = {"author": ann.identity.person.hex(), "chain": ann.own.hex(), "heads": heads}
    return [{**of_ann, **one} for one in found]


class _Web:
    """Entries as the order sees them; ids are short here, and chains letters."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.rows: list[dict[str, Any]] = []
        self._heads: dict[str, dict[str, Any]] = {}
        self._ids = itertools.count(1)

    def add(self, chain: str, time: int, *after: str, id_: str | None = None) -> str:
        before = self._heads.get(chain)
        row: dict[str, Any] = {
            "id": id_ or f"{next(self._ids):04x}",
            "chain": chain.encode().hex(),
            "seq": before["seq"] + 1 if before else 0,
            "prev": before["id"] if before else "",
            "after": sorted(after),
            "time": time,
        }
        self.rows.append(row)
        self._heads[chain] = row
        found: str = row["id"]
        return found

    def placed(self) -> dict[str, Any]:
        memory = Memory()
        for row in self.rows:
            id_, prev = bytes.fromhex(row["id"]), bytes.fromhex(row["prev"])
            after = [bytes.fromhex(one) for one in row["after"]]
            causes = (prev, *after) if prev else tuple(after)
            memory.insert([Node(id_, row["time"], causes, prev=prev)])
        for row in self.rows:
            row["eff"] = memory.kept[bytes.fromhex(row["id"])].eff
        ordered = sorted(self.rows, key=lambda row: (row["eff"], row["chain"], row["seq"]))
        return {"name": self.name, "entries": ordered}


def _orders() -> list[dict[str, Any]]:
    webs = []

    def web(name: str) -> _Web:
        webs.append(_Web(name))
        return webs[-1]

    one = web("right clocks, and two at one time")
    first = one.add("b", 100)
    one.add("a", 200, first)
    one.add("b", 200)
    one = web("a clock behind moves no further than what it had seen")
    first = one.add("a", 100)
    one.add("b", 50, first)
    one.add("b", 60)
    one = web("a clock ahead is pulled back by a reply, with its run")
    asked = one.add("b", 100)
    one.add("a", 900, asked)
    one.add("a", 910)
    last = one.add("a", 920)
    one.add("b", 130, last)
    one = web("a run has 64: the one behind pulls it back, the one after that does not")
    asked = one.add("b", 100)
    one.add("a", 900, asked)
    for number in range(65):
        last = one.add("a", 901 + number)
    one.add("b", 130, last)
    one = web("a beginning ahead, and a later entry that is right")
    for time in (900, 910, 920, 100, 930):
        one.add("a", time)
    one = web("a beginning ends with what names others, which is of it")
    said = one.add("b", 50)
    for time in (900, 910, 920):
        one.add("a", time)
    one.add("a", 100, said)
    one.add("a", 60)
    one = web("a beginning has 64, and the one that comes next")
    for time in (900, *range(901, 964), 200, 150):
        one.add("a", time)
    one = web("two witnesses against one")
    claimed = one.add("a", 500)
    for chain, time in (("b", 600), ("c", 300), ("d", 310)):
        one.add(chain, time, claimed)
    one = web("one witness against one")
    claimed = one.add("a", 500)
    for chain, time in (("b", 500), ("c", 300)):
        one.add(chain, time, claimed)
    one = web("a witness who agrees holds the run")
    asked = one.add("b", 100)
    held = one.add("a", 900, asked)
    last = one.add("a", 910)
    one.add("c", 950, held)
    one.add("b", 130, last)
    one = web("of 17 witnesses the 16 least ids")
    claimed = one.add("a", 500)
    for number in range(8):
        one.add(f"e{number}", 300 + number, claimed, id_=f"10{number:02x}")
    for number in range(8):
        one.add(f"l{number}", 600, claimed, id_=f"20{number:02x}")
    one.add("m", 250, claimed, id_="ffff")
    one = web("names of what is not known")
    one.add("a", 900, "eeee")
    last = one.add("a", 910)
    one.add("b", 100, last, "eeef")
    one = web("its own prev in after says nothing")
    first = one.add("a", 900)
    second = one.add("a", 910, first)
    one.add("a", 920)
    one.add("a", 100)
    one.add("b", 950, second)
    one = web("its own chain's earlier entry in after is a witness's word")
    first = one.add("a", 900)
    one.add("a", 910)
    one.add("a", 100, first)
    return [one.placed() for one in webs]


def make() -> dict[str, Any]:
    ann, bob = (Identity.create(name, random_from(ord(name[0]))) for name in ("Ann", "Bob"))
    members = (ann.person, bob.person)
    journal = _anns(ann, members)
    return {
        "persons": [person.hex() for person in members],
        "room": journal.chains.room.hex(),
        "chain": [
            {
                "header": one.raw.hex(),
                "body": (one.body or b"").hex(),
                "signature": (one.signature or b"").hex(),
            }
            for one in journal.entries[journal.own]
        ],
        "headers": _headers(journal.entries[journal.own][5].header),
        "runs": _runs(journal),
        "proofs": _proofs(journal),
        "digests": _digests(journal, bob),
        "orders": _orders(),
    }


if __name__ == "__main__":
    json.dump(make(), sys.stdout, indent=1)
    sys.stdout.write("\n")
