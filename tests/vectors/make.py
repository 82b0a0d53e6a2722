"""Writes journal.json: `python tests/vectors/make.py > tests/vectors/journal.json`.

What seals an epoch key is random each time, so the file changes with every run; a change of it is a
change of the protocol all the same, unless it was made with new keys on purpose. Bytes are hex.
"""

import json
import sys
from pathlib import Path
from typing import Any

import msgspec

sys.path.insert(0, str(Path(__file__).parents[2]))

from p2pchat.core.brief import in_brief
from p2pchat.core.chain import Branch, Chains, ForkProof, Head
from p2pchat.core.entry import DEVICE, Entry, entry_id, statement
from p2pchat.core.identity import Identity, direct_room, id_text, mac
from p2pchat.core.invite import app_bytes
from p2pchat.core.timeline import Node
from p2pchat.core.wire import (
    Answer,
    Bodies,
    Body,
    Bye,
    Contested,
    Decline,
    Denied,
    Fork,
    Have,
    Heads,
    Introduce,
    Introduced,
    Lacking,
    Level,
    Near,
    Pending,
    Presence,
    Row,
    Run,
    Seen,
    SeenRow,
    Signal,
    SignedAct,
    Summary,
    Swarm,
    Typing,
    Want,
    Welcome,
    encode,
)
from signaling.invite import Invite
from signaling.sdp import Candidate, Description
from tests.core.test_timeline import Memory
from tests.harness.pair import Journal, random_from


def _identity(identity: Identity) -> dict[str, Any]:
    return {
        "person_seed": identity.person_seed.hex(),
        "device_seed": identity.device_seed.hex(),
        "prekey_secret": identity.prekey_secret.hex(),
        "person": identity.person.hex(),
        "peer_id": id_text(identity.person),
        "certificate": msgspec.msgpack.encode(identity.certificate).hex(),
    }


def _entry(entry: Entry) -> dict[str, Any]:
    assert entry.signature is not None
    assert entry.body is not None
    return {
        "header": entry.raw.hex(),
        "body": entry.body.hex(),
        "id": entry.id.hex(),
        "signature": entry.signature.hex(),
    }


def make() -> dict[str, Any]:
    ann, bob = (Identity.create(name, random_from(ord(name[0]))) for name in ("Ann", "Bob"))
    members = (ann.person, bob.person)
    journal = Journal(ann, members, 1)
    entries = [*journal.begin([bob]), journal.say("hello"), journal.say("two\nlines: \u00e4\u6771")]
    [epoch] = journal.chains.epochs.items()
    answers = Journal(bob, members, 2)
    answers.take(entries)
    answers.chains.open_epochs(entries[1], bob)
    answers.chains.certify(bob.certificate)
    answer = [answers._write(DEVICE, bob.certificate, b""), answers.say("hello yourself")]
    last = entries[-1]
    twin = msgspec.msgpack.encode(msgspec.structs.replace(last.header, time=last.header.time + 1))
    assert last.signature is not None
    proof = ForkProof(
        Branch((last.raw,), last.signature),
        Branch((twin,), ann.sign(statement(entry_id(twin)))),
    )
    transcript = bytes(range(32))
    tag = mac(journal.chains.room, b"p2pchat/1/room", transcript)[:16]
    row = Row(journal.own, last.header.seq, last.id)
    frames = {
        "summary": Summary(tag, journal.chains.digest(), journal.chains.total),
        "heads": Heads(tag, (row,), reply=True),
        "heads, tell me all": Heads(tag, (), reply=True),
        "want": Want(tag, journal.own, 1, 3),
        "run": Run(tag, (last.raw,), (last.body,), last.signature, pushed=True),
        "run in brief": Run(
            tag,
            tuple(in_brief(entries)),
            tuple(entry.body for entry in entries),
            last.signature,
            pushed=False,
        ),
        "run without a body": Run(tag, (last.raw,), (None,), last.signature, pushed=False),
        "have": Have(tag, (row,)),
        "fork": Fork(tag, proof),
        "lacking": Lacking(tag, (last.id,)),
        "bodies": Bodies(tag, (Body(last.id, last.body or b""),)),
        "contested": Contested(
            tag, (SignedAct(ann.certificate, last.raw, last.body or b"", last.signature),)
        ),
        "decline": Decline(tag, journal.own),
        "welcome": Welcome(bytes(32), "crew", ann.person, bytes(range(32))),
        "pending": Pending(bytes(32), "crew", bytes(range(32))),
        "denied": Denied(bytes(32)),
        "level": Level(tag, journal.chains.digest()),
        "signal": Signal(tag, "offer", bytes(20), "v=0\r\n"),
        "swarm": Swarm(tag, 6881, complete=True, reply=False),
        "near": Near((ann.person,)),
        "introduce": Introduce(ann.person, bytes(range(16)), b"sealed"),
        "introduced": Introduced(ann.person, bytes(range(16)), b"sealed"),
        "answer": Answer(bytes(range(16)), b"sealed"),
        "answer that nobody is here": Answer(bytes(range(16)), None),
        "presence": Presence(1),
        "typing": Typing(tag, typing=True),
        "seen": Seen(tag, (SeenRow(journal.own, last.header.seq),)),
        "bye": Bye("bye"),
    }
    forked = Chains(journal.chains.room, frozenset(members))
    for one in (entries, answer):
        head = one[-1]
        forked.restore(head.chain, Head(head.header.seq, head.id, head.header.device, 0))
    digest = forked.digest()
    forked.forks[journal.own] = None
    forked._digest = None
    description = Description(
        "actpass",
        "abcd",
        "abcdefghijklmnopqrstuv",
        bytes(range(32)),
        (Candidate("host", "192.168.1.5", 50_000), Candidate("srflx", "203.0.113.9", 50_001)),
    )
    invite = Invite(ann.person, bytes(range(16)), 1_800_000_000, app_bytes("Ann"), description)
    everything = [*entries, *answer]
    memory = Memory()
    for one in everything:
        causes = (one.header.prev, *one.header.after) if one.header.seq else one.header.after
        memory.insert([Node(one.id, one.header.time, causes, prev=one.header.prev)])
    placed = sorted(everything, key=lambda e: (memory.kept[e.id].eff, e.chain, e.header.seq))
    return {
        "identities": {"ann": _identity(ann), "bob": _identity(bob)},
        "room": direct_room(*members).hex(),
        "incarnation": journal.incarnation.hex(),
        "chain": journal.own.hex(),
        "epoch": {"id": epoch[0].hex(), "key": epoch[1].hex()},
        "entries": [_entry(entry) for entry in everything],
        "texts": ["hello", "two\nlines: \u00e4\u6771", "hello yourself"],
        "order": [
            {"id": one.id.hex(), "time": one.header.time, "eff": memory.kept[one.id].eff}
            for one in placed
        ],
        "transcript": transcript.hex(),
        "tag": tag.hex(),
        "digest": digest.hex(),
        "digest_with_anns_chain_forked": forked.digest().hex(),
        "frames": {name: encode(frame).hex() for name, frame in frames.items()},
        "invite": {
            "blob": invite.text(),
            "inviter": invite.inviter.hex(),
            "secret": invite.secret.hex(),
            "expires": invite.expires,
            "app": invite.app.hex(),
            "id": invite.id.hex(),
            "slot_secret": invite.slot_secret.hex(),
            "psk": invite.psk.hex(),
        },
    }


if __name__ == "__main__":
    json.dump(make(), sys.stdout, indent=1, sort_keys=True)
    sys.stdout.write("\n")
