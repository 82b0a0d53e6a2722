import msgspec
import pytest

from p2pchat.core.bounds import HANDSHAKE_S
from p2pchat.core.handshake import Guess, Handshake, Proven, Refused, Terms, WrongPassword
from p2pchat.core.identity import Identity
from p2pchat.core.machine import Close, Emit, Output, Send
from p2pchat.core.password import password_key
from tests.harness.pair import Shake, random_from, shake

PSK = bytes(range(32))
A, B = b"a" * 32, b"b" * 32
EXPORTER = b"e" * 32


def _terms(role: str, **changes: object) -> Terms:
    own, peer = (A, B) if role == "a" else (B, A)
    fields: dict[str, object] = {
        "role": role,
        "psk": PSK,
        "own_fingerprint": own,
        "peer_fingerprint": peer,
        "exporter": EXPORTER,
        **changes,
    }
    return Terms(**fields)  # type: ignore[arg-type]


def _failed(found: Shake) -> None:
    assert found.established(0) is None
    assert found.established(1) is None


def test_both_ends_prove_each_other(ann: Identity, bob: Identity) -> None:
    found = shake(ann, bob, _terms("a", expected=bob.person), _terms("b"))
    found.run()
    one, other = found.established(0), found.established(1)
    assert one is not None
    assert other is not None
    assert one.certificate == bob.certificate
    assert other.certificate == ann.certificate
    assert one.transcript == other.transcript
    secrets = {
        fact.contact_secret for facts in found.facts for fact in facts if isinstance(fact, Proven)
    }
    assert len(secrets) == 1


def test_it_works_where_one_end_has_no_exporter(ann: Identity, bob: Identity) -> None:
    found = shake(ann, bob, _terms("a", exporter=None), _terms("b"))
    found.run()
    assert found.established(0)
    assert found.established(1)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ({"psk": bytes(32)}, {}),
        # A middleman ends DTLS on each leg, so each end sees the middleman's certificate.
        ({"peer_fingerprint": b"m" * 32}, {"peer_fingerprint": b"m" * 32}),
        ({"exporter": b"x" * 32}, {}),
        ({"expected": b"x" * 32}, {}),
        ({}, {"expected": b"x" * 32}),
    ],
)
def test_whatever_differs_there_is_no_link(
    ann: Identity, bob: Identity, a: dict[str, object], b: dict[str, object]
) -> None:
    found = shake(ann, bob, _terms("a", **a), _terms("b", **b))
    found.run()
    _failed(found)


def test_two_of_one_role_do_not_link(ann: Identity, bob: Identity) -> None:
    found = shake(ann, bob, _terms("b"), _terms("b"))
    found.run()
    _failed(found)


def test_nobody_who_does_not_know_the_secret_learns_who_we_are(
    ann: Identity, bob: Identity
) -> None:
    found = shake(ann, bob, _terms("a", psk=bytes(32)), _terms("b"))
    found.run()
    sent = b"".join(frame for frames in found.frames for frame in frames)
    # Hello and proof, and the refusal: nothing sealed, let alone a key.
    assert ann.person not in sent
    assert bob.person not in sent
    assert not any(frame[0:2] == b"\x92\x03" for frames in found.frames for frame in frames)


def test_a_reflected_hello_is_refused(ann: Identity) -> None:
    machine = Handshake(ann, _terms("a"), random_from(1), 0.0)
    hello = next(output for output in machine.outputs() if isinstance(output, Send))
    machine.receive(hello.frame, 0.0)
    assert machine.state == "closed"


def test_versions_cannot_be_pushed_down(ann: Identity, bob: Identity) -> None:
    a = Handshake(ann, _terms("a"), random_from(1), 0.0)
    b = Handshake(bob, _terms("b"), random_from(2), 0.0)
    (hello_a,) = (output.frame for output in a.outputs() if isinstance(output, Send))
    (hello_b,) = (output.frame for output in b.outputs() if isinstance(output, Send))
    altered = msgspec.msgpack.decode(hello_a)
    altered[1] = [0, 1]
    b.receive(msgspec.msgpack.encode(altered), 0.0)
    a.receive(hello_b, 0.0)
    found = Shake(a, b)
    found.run()
    _failed(found)


def test_no_common_version_is_said(ann: Identity) -> None:
    machine = Handshake(ann, _terms("a"), random_from(1), 0.0)
    list(machine.outputs())
    machine.receive(msgspec.msgpack.encode([1, [9], [1], bytes(32), []]), 0.0)
    assert Close("no-common-version") in list(machine.outputs())


def test_a_refusal_reaches_the_other_end(ann: Identity, bob: Identity) -> None:
    found = shake(ann, bob, _terms("a"), _terms("b"))
    found.run(refuse="invite-used")
    refused = found.refused(0)
    assert refused is not None
    assert refused.code == "invite-used"
    assert found.established(0) is None


def test_silence_and_garbage_end_it(ann: Identity) -> None:
    silent = Handshake(ann, _terms("a"), random_from(1), 100.0)
    assert silent.next_timer() == 100.0 + HANDSHAKE_S
    silent.handle_timer(100.0 + HANDSHAKE_S)
    assert Close("timeout") in list(silent.outputs())
    for garbage in (b"", b"\xc1", bytes(5_000), msgspec.msgpack.encode([2, bytes(32)])):
        machine = Handshake(ann, _terms("a"), random_from(1), 0.0)
        machine.receive(garbage, 0.0)
        assert machine.state == "closed"


def test_nothing_is_established_before_the_peer_is_on_disk(ann: Identity, bob: Identity) -> None:
    a = Handshake(ann, _terms("a"), random_from(1), 0.0)
    b = Handshake(bob, _terms("b"), random_from(2), 0.0)
    for _ in range(5):
        for one, other in ((a, b), (b, a)):
            for output in list(one.outputs()):
                if isinstance(output, Send):
                    other.receive(output.frame, 0.0)
    # b has seen a's identity and waits for `admit`; a has nothing of b.
    assert b.state == "admitting"
    assert a.state == "showing"


RIGHT, WRONG = password_key("acid pelican"), password_key("acid pelicans")


def test_who_has_the_password_too_is_let_in(ann: Identity, bob: Identity) -> None:
    found = shake(ann, bob, _terms("a", password=RIGHT), _terms("b", password=RIGHT))
    found.run()
    assert found.established(0)
    assert found.established(1)
    secrets = {
        fact.contact_secret for facts in found.facts for fact in facts if isinstance(fact, Proven)
    }
    assert len(secrets) == 1
    # With SPAKE2's key in it: no secret that follows from the blob alone.
    plain = shake(ann, bob, _terms("a"), _terms("b"))
    plain.run()
    assert secrets.isdisjoint(
        fact.contact_secret for facts in plain.facts for fact in facts if isinstance(fact, Proven)
    )


def test_a_wrong_password_is_told_to_both_with_the_tries_left(ann: Identity, bob: Identity) -> None:
    found = shake(ann, bob, _terms("a", password=WRONG), _terms("b", password=RIGHT))
    found.run()
    _failed(found)
    assert found.facts[0] == [Guess(), Refused("password-wrong", 2)]
    assert found.facts[1] == [Guess(), WrongPassword(2)]
    sent = b"".join(frame for frames in found.frames for frame in frames)
    assert ann.person not in sent
    assert bob.person not in sent


def test_nothing_that_tests_a_password_leaves_before_the_guess_is_counted(
    ann: Identity, bob: Identity
) -> None:
    a = Handshake(ann, _terms("a", password=WRONG), random_from(1), 0.0)
    b = Handshake(bob, _terms("b", password=RIGHT), random_from(2), 0.0)

    def drain(machine: Handshake, other: Handshake) -> list[Output]:
        done = list(machine.outputs())
        for output in done:
            if isinstance(output, Send):
                other.receive(output.frame, 0.0)
        return done

    drain(a, b)
    drain(b, a)
    drain(a, b)  # a's SPAKE2 message
    # Until now b has said its hello and a random point, whatever a's password is.
    assert [type(output) for output in drain(b, a)] == [Send]
    assert list(a.outputs()) == [Emit(Guess())]
    a.guess(0)
    drain(a, b)
    assert list(b.outputs()) == [Emit(Guess())]
    b.guess(1)
    assert [type(output) for output in b.outputs()] == [Emit, Send, Close]


def test_a_middleman_with_the_password_links_nobody(ann: Identity, bob: Identity) -> None:
    # Two DTLS legs have two transcripts, and SPAKE2 is bound to them.
    found = shake(
        ann,
        bob,
        _terms("a", password=RIGHT, peer_fingerprint=b"m" * 32),
        _terms("b", password=RIGHT, peer_fingerprint=b"m" * 32),
    )
    found.run()
    _failed(found)


@pytest.mark.parametrize("role", ["a", "b"])
def test_one_end_without_the_password_is_refused(ann: Identity, bob: Identity, role: str) -> None:
    with_it = {"password": RIGHT}
    found = shake(
        ann,
        bob,
        _terms("a", **(with_it if role == "a" else {})),
        _terms("b", **(with_it if role == "b" else {})),
    )
    found.run()
    _failed(found)


@pytest.mark.parametrize(
    "message", [b"", bytes(33), b"B" + bytes(32), b"A" * 33, b"S" + b"\1" * 32]
)
def test_a_malformed_password_message_is_a_bad_frame(ann: Identity, message: bytes) -> None:
    machine = Handshake(ann, _terms("b", password=RIGHT), random_from(1), 0.0)
    other = Handshake(ann, _terms("a", password=RIGHT), random_from(2), 0.0)
    (hello,) = (output.frame for output in other.outputs() if isinstance(output, Send))
    machine.receive(hello, 0.0)
    machine.receive(msgspec.msgpack.encode([6, message]), 0.0)
    assert list(machine.outputs())[-1] == Close("bad-frame")
