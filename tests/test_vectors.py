"""What a second implementation has to agree with: tests/vectors, and the core reads them."""

import base64
import hashlib
import json
import typing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from nacl.signing import VerifyKey

from p2pchat.core import proof
from p2pchat.core.brief import Brief
from p2pchat.core.chain import Accepted, Chains, Fork, ForkProof, Head, Verdict
from p2pchat.core.entry import (
    VOUCH,
    Entry,
    EpochBody,
    MessageBody,
    VouchBody,
    chain_id,
    decode_body,
    entry_id,
    parse_header,
    signature_holds,
)
from p2pchat.core.group import Group
from p2pchat.core.identity import Certificate, Identity, direct_room, id_text, mac
from p2pchat.core.safety import safety_number
from p2pchat.core.sealing import epoch_id
from p2pchat.core.wire import Fork as ForkFrame
from p2pchat.core.wire import Frame, Run, decode, encode
from signaling.invite import Invite
from tests.core.test_timeline import Memory, Node
from tests.vectors import rules as rules_made

Vectors = dict[str, Any]


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    found: Vectors = json.loads((Path(__file__).parent / "vectors" / "journal.json").read_text())
    return found


def _hex(text: str) -> bytes:
    return bytes.fromhex(text)


def _identity(fields: Vectors) -> Identity:
    certificate = msgspec.msgpack.decode(_hex(fields["certificate"]), type=Certificate)
    seeds = [_hex(fields[name]) for name in ("person_seed", "device_seed", "prekey_secret")]
    return Identity(*seeds, certificate)


def _chains(vectors: Vectors) -> Chains:
    persons = [_hex(one["person"]) for one in vectors["identities"].values()]
    return Chains(_hex(vectors["room"]), frozenset(persons))


def _take(chains: Chains, entries: list[Vectors]) -> object:
    return chains.accept(
        [_hex(entry["header"]) for entry in entries],
        [_hex(entry["body"]) for entry in entries],
        _hex(entries[-1]["signature"]),
    )


def test_identities_and_the_room_of_two(vectors: Vectors) -> None:
    for fields in vectors["identities"].values():
        identity = _identity(fields)
        assert identity.person == _hex(fields["person"])
        assert id_text(identity.person) == fields["peer_id"]
        assert identity.certificate.holds()
        made = Identity._certified(
            *(nacl_key(fields[name]) for name in ("person_seed", "device_seed")),
            _hex(fields["prekey_secret"]),
            identity.certificate.name,
        )
        assert made.certificate == identity.certificate
    persons = [_hex(one["person"]) for one in vectors["identities"].values()]
    assert direct_room(*persons) == direct_room(*persons[::-1]) == _hex(vectors["room"])
    ann = _identity(vectors["identities"]["ann"])
    chain = chain_id(_hex(vectors["room"]), ann.device, _hex(vectors["incarnation"]))
    assert chain == _hex(vectors["chain"])


def nacl_key(seed: str) -> Any:
    from nacl.signing import SigningKey

    return SigningKey(_hex(seed))


def test_entries_are_accepted_and_read(vectors: Vectors) -> None:
    chains = _chains(vectors)
    entries = vectors["entries"]
    by_chain: dict[bytes, list[Vectors]] = {}
    for entry in entries:
        header = parse_header(_hex(entry["header"]))
        assert header is not None
        assert entry_id(_hex(entry["header"])) == _hex(entry["id"])
        chain = chain_id(header.room, header.device, header.incarnation)
        by_chain.setdefault(chain, []).append(entry)
    bob = _identity(vectors["identities"]["bob"])
    texts = []
    for run in by_chain.values():
        taken = _take(chains, run)
        assert isinstance(taken, Accepted)
        for entry in taken.entries:
            body = decode_body(entry.header.kind, entry.body or b"")
            if isinstance(body, EpochBody):
                persons = [recipient.person for recipient in body.recipients]
                key = _hex(vectors["epoch"]["key"])
                assert epoch_id(chains.room, key, persons) == _hex(vectors["epoch"]["id"])
            chains.open_epochs(entry, bob)
            read = chains.read(entry)
            if isinstance(read, MessageBody):
                texts.append(read.text)
    assert texts == vectors["texts"]
    assert chains.epochs == {_hex(vectors["epoch"]["id"]): _hex(vectors["epoch"]["key"])}
    assert chains.digest() == _hex(vectors["digest"])


def test_a_run_with_headers_in_brief(vectors: Vectors) -> None:
    chains = _chains(vectors)
    run = decode(_hex(vectors["frames"]["run in brief"]))
    assert isinstance(run, Run)
    assert [type(header) for header in run.headers] == [bytes, Brief, Brief, Brief]
    taken = chains.accept(run.headers, run.bodies, run.signature)
    assert isinstance(taken, Accepted)
    named = [(entry.id.hex(), entry.raw.hex()) for entry in taken.entries]
    assert named == [(entry["id"], entry["header"]) for entry in vectors["entries"]][: len(named)]


def test_the_order_of_entries(vectors: Vectors) -> None:
    memory = Memory()
    places = []
    for entry in vectors["entries"]:
        header = parse_header(_hex(entry["header"]))
        assert header is not None
        causes = (header.prev, *header.after) if header.seq else header.after
        memory.insert([Node(_hex(entry["id"]), header.time, causes, prev=header.prev)])
        chain = chain_id(header.room, header.device, header.incarnation)
        places.append((_hex(entry["id"]), chain, header.seq))
    placed = sorted(places, key=lambda place: (memory.kept[place[0]].eff, place[1], place[2]))
    found = [
        {"id": id_.hex(), "time": memory.kept[id_].time, "eff": memory.kept[id_].eff}
        for id_, _, _ in placed
    ]
    assert found == vectors["order"]


def test_frames_are_these_bytes(vectors: Vectors) -> None:
    tag = mac(_hex(vectors["room"]), b"p2pchat/1/room", _hex(vectors["transcript"]))[:16]
    assert tag == _hex(vectors["tag"])
    shown = set()
    for data in vectors["frames"].values():
        frame = decode(_hex(data))
        assert frame is not None
        shown.add(type(frame))
        assert encode(frame) == _hex(data)
        assert getattr(frame, "tag", tag) == tag
    assert shown == set(typing.get_args(Frame)), "one of each type"


def test_a_fork_is_proven(vectors: Vectors) -> None:
    chains = _chains(vectors)
    ann, bob = vectors["entries"][:4], vectors["entries"][4:]
    assert isinstance(_take(chains, ann[:3]), Accepted)
    assert isinstance(_take(chains, ann[3:]), Accepted)
    assert isinstance(_take(chains, bob), Accepted)
    frame = decode(_hex(vectors["frames"]["fork"]))
    assert isinstance(frame, ForkFrame)
    other = frame.proof.other
    result = chains.accept(other.headers, [_hex(ann[3]["body"])], other.signature)
    assert isinstance(result, Fork)
    assert chains.prove(frame.proof) == _hex(vectors["chain"])
    assert chains.digest() == _hex(vectors["digest_with_anns_chain_forked"])
    assert _take(chains, ann) is Verdict.FORKED


def test_an_invite(vectors: Vectors) -> None:
    fields = vectors["invite"]
    invite = Invite.parse(fields["blob"], now=0)
    assert (
        invite.inviter,
        invite.secret,
        invite.app,
        invite.id,
        invite.slot_secret,
        invite.psk,
    ) == (tuple(_hex(fields[n]) for n in ("inviter", "secret", "app", "id", "slot_secret", "psk")))
    assert invite.expires == fields["expires"]
    assert invite.description is not None
    assert [candidate.port for candidate in invite.description.candidates] == [50_000, 50_001]


def test_a_safety_number_is_derived_as_the_protocol_says() -> None:
    fields = _trust()
    people = [_hex(one["person"]) for one in fields["persons"].values()]
    shown = safety_number(*people)
    expected = fields["safety_number"]
    assert (" ".join(shown.digits), " ".join(shown.words), shown.qr) == (
        expected["digits"],
        expected["words"],
        expected["qr"],
    )
    # Without our code: docs/protocol.md, 10.
    halves = []
    for key in people:
        found = b"p2pchat/1/safety" + key
        for _ in range(5_200):
            found = hashlib.sha512(found + key).digest()
        numbers = (int.from_bytes(found[at : at + 5], "big") % 100_000 for at in range(0, 30, 5))
        halves.append("".join(f"{number:05}" for number in numbers))
    assert "".join(sorted(halves)) == expected["digits"].replace(" ", "")


def test_a_proof_is_read_as_the_protocol_says() -> None:
    fields = _trust()
    ann = _hex(fields["persons"]["ann"]["person"])
    found = proof.find(fields["proof"]["text"], ann)
    assert (found.name, found.time, found.place) == tuple(
        fields["proof"][name] for name in ("name", "time", "place")
    )
    # Without our code: docs/protocol.md, 10.
    text = "".join(fields["proof"]["text"].split("p2pproof1\n")[1].split("-----")[0].split())
    data = base64.b32decode(text.upper() + "=" * (-len(text) % 8))
    length = int.from_bytes(data[:2], "big")
    statement, signature = data[2 : 2 + length], data[2 + length : 66 + length]
    VerifyKey(ann).verify(b"p2pchat/1/proof" + statement, signature)
    checksum = hashlib.sha256(b"p2pchat/1/proof/checksum" + statement + signature).digest()[:4]
    assert data[66 + length :] == checksum
    assert msgspec.msgpack.decode(statement) == [ann, found.name, found.time, found.place]


def test_a_vouch_is_these_bytes() -> None:
    fields = _trust()
    bob = _hex(fields["persons"]["bob"]["person"])
    body = decode_body(VOUCH, _hex(fields["vouch_for_bob"]))
    assert body == VouchBody(bob, verified=True)


def _trust() -> Vectors:
    found: Vectors = json.loads((Path(__file__).parent / "vectors" / "trust.json").read_text())
    return found


@pytest.fixture
def rooms() -> Vectors:
    found: Vectors = json.loads((Path(__file__).parent / "vectors" / "rooms.json").read_text())
    return found


def test_a_room_of_many_comes_to_what_it_says(rooms: Vectors) -> None:
    group = Group(_hex(rooms["room"]))
    for name, person in rooms["people"].items():
        for entry in person["entries"][: person["in_peace"]]:
            taken = _take(group, [entry])
            assert isinstance(taken, Accepted), name
    told = rooms["in_peace"]
    assert group.digest() == _hex(told["digest"])
    _compare(group, told)
    assert [group.limit(_hex(chain)).seq for chain in told["counts_to"]] == [
        *told["counts_to"].values()
    ]


def test_acts_that_have_not_seen_each_other_come_to_one_end(rooms: Vectors) -> None:
    acts = [
        (name, entry, person)
        for name, person in rooms["people"].items()
        for entry in person["entries"]
    ]
    for order in (acts, acts[::-1]):
        group = Group(_hex(rooms["room"]))
        for _, fields, person in order:
            raw, body = _hex(fields["header"]), _hex(fields["body"])
            header = parse_header(raw)
            assert header is not None
            chain, signature = _hex(person["chain"]), _hex(fields["signature"])
            entry = Entry(entry_id(raw), chain, header, raw, body, signature)
            assert signature_holds(entry)
            placed = group.placed(entry, _hex(person["person"]))
            if placed is not None:
                group.act(placed)
            if header.seq == 0:
                group.begun(entry)
            if header.seq >= group.seq(chain):
                group.restore(chain, Head(header.seq, entry.id, header.device, 0))
        _compare(group, rooms["in_the_end"])
        for chain_text, seq in rooms["in_the_end"]["counts_to"].items():
            assert group.limit(_hex(chain_text)).seq == seq


def _compare(group: Group, told: Vectors) -> None:
    members = {
        person.hex(): {"admin": group.membership.is_admin(person), "depth": one.depth}
        for person, one in group.membership.members.items()
    }
    assert members == told["members"]
    assert {key: group.membership.setting(key) for key in told["settings"]} == told["settings"]


@pytest.fixture(scope="module")
def rules() -> Vectors:
    found: Vectors = json.loads((Path(__file__).parent / "vectors" / "rules.json").read_text())
    return found


def _bob_has(rules: Vectors, count: int) -> Chains:
    """What he knows of the room who took that many of Ann's entries."""
    chains = Chains(_hex(rules["room"]), frozenset(map(_hex, rules["persons"])))
    for entry in rules["chain"][:count]:
        assert isinstance(_take(chains, [entry]), Accepted)
    return chains


def test_the_rules_are_as_they_are_written() -> None:
    written = (Path(__file__).parent / "vectors" / "rules.json").read_text()
    assert json.dumps(rules_made.make(), indent=1) + "\n" == written


def test_headers_at_the_edges_of_the_rules(rules: Vectors) -> None:
    found = {one["name"]: parse_header(_hex(one["header"])) is not None for one in rules["headers"]}
    assert found == {one["name"]: one["holds"] for one in rules["headers"]}


def test_runs_are_taken_or_refused_as_told(rules: Vectors) -> None:
    found = {}
    for case in rules["runs"]:
        run = decode(_hex(case["run"]))
        assert isinstance(run, Run)
        taken = _bob_has(rules, case["have"]).accept(run.headers, run.bodies, run.signature)
        if isinstance(taken, Verdict):
            found[case["name"]] = taken.value
        else:
            is_fork = isinstance(taken, Fork)
            found[case["name"]] = "fork" if is_fork else f"takes {len(taken.entries)}"
    assert found == {case["name"]: case["verdict"] for case in rules["runs"]}


def test_proofs_of_forks_prove_what_is_told(rules: Vectors) -> None:
    found = {}
    for case in rules["proofs"]:
        proof = msgspec.msgpack.decode(_hex(case["proof"]), type=ForkProof)
        found[case["name"]] = _bob_has(rules, 4).prove(proof) is not None
    assert found == {case["name"]: case["proves"] for case in rules["proofs"]}


def test_digests_name_the_forked_until_their_author_is_barred(rules: Vectors) -> None:
    # Without our code: docs/protocol.md, 7.
    for case in rules["digests"]:
        barred = len(case["forked"]) > 16
        heads = [
            _hex(chain) + seq.to_bytes(8, "big") + _hex(id_)
            for chain, seq, id_ in case["heads"]
            if not (barred and chain == case["chain"])
        ]
        named = [b"barred" + _hex(case["author"])] if barred else []
        if not barred:
            named = [b"fork" + _hex(chain) for chain in sorted(case["forked"])]
        digest = hashlib.sha256(b"".join([*sorted(heads), *named])).hexdigest()
        assert digest == case["digest"]


def test_wrong_clocks_are_put_in_order_as_told(rules: Vectors) -> None:
    for case in rules["orders"]:
        memory = Memory()
        for row in sorted(case["entries"], key=lambda row: row["seq"]):
            id_, prev = _hex(row["id"]), _hex(row["prev"])
            after = tuple(map(_hex, row["after"]))
            node = Node(id_, row["time"], (prev, *after) if prev else after, prev=prev)
            memory.insert([node])
        places = [
            (memory.kept[_hex(row["id"])].eff, row["chain"], row["seq"]) for row in case["entries"]
        ]
        told = [(row["eff"], row["chain"], row["seq"]) for row in case["entries"]]
        assert places == told == sorted(told), case["name"]
