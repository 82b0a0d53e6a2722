import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.pairing import (
    FRAME_MAX,
    Broken,
    Delivered,
    Guess,
    Guest,
    Host,
    Output,
    Refused,
    Right,
    Send,
    Wrong,
)
from tests.harness.pair import random_from

RIGHT, WRONG = b"r" * 32, b"w" * 32


def ends(secret: bytes = RIGHT, nameplate: int = 4) -> tuple[Guest, Host]:
    return (
        Guest(nameplate, secret, random_from(1)),
        Host(4, RIGHT, b"the invite", random_from(2)),
    )


def run(guest: Guest, host: Host, left: int | str = 2) -> tuple[list[Output], list[Output]]:
    """What each end said but frames; `left` is what the host's count answers."""
    said: tuple[list[Output], list[Output]] = ([], [])
    moved = True
    while moved:
        moved = False
        for one, other, told in ((guest, host, said[0]), (host, guest, said[1])):
            for output in one.outputs():
                moved = True
                if isinstance(output, Send):
                    assert len(output.frame) <= FRAME_MAX
                    other.receive(output.frame)
                    continue
                told.append(output)
                if isinstance(output, Guess) and isinstance(one, Guest):
                    one.guess()
                elif isinstance(output, Guess) and isinstance(left, int):
                    host.guess(left)
                elif isinstance(output, Guess):
                    host.refuse(str(left))
    return said


def test_the_right_code_is_delivered_the_invite() -> None:
    guest, host = run(*ends())
    assert guest == [Guess(), Delivered(b"the invite")]
    assert host == [Guess(), Right()]


def test_a_wrong_code_is_told_to_both_ends() -> None:
    guest, host = run(*ends(WRONG))
    assert guest == [Guess(), Refused("password-wrong", 2)]
    assert host == [Guess(), Wrong(2)]


def test_the_right_words_at_another_nameplate_are_wrong() -> None:
    assert run(*ends(nameplate=5))[1] == [Guess(), Wrong(2)]


def test_what_is_not_counted_is_not_looked_at() -> None:
    guest, host = run(*ends(), left="invite-locked")
    assert guest == [Guess(), Refused("invite-locked", 0)]
    assert host == [Guess()]


def frames(machine: Guest | Host) -> list[bytes]:
    return [output.frame for output in machine.outputs() if isinstance(output, Send)]


def test_nothing_that_tests_a_code_is_said_before_the_guess() -> None:
    # What both say before is the same for any words but for a random point.
    for secret in (RIGHT, WRONG):
        guest, host = ends(secret)
        (call,) = frames(guest)
        host.receive(call)
        (answer,) = frames(host)
        assert len(call) == len(answer) == 2 + 33
        guest.receive(answer)
        assert [*guest.outputs()] == [Guess()]
        guest.guess()
        (proof,) = frames(guest)
        host.receive(proof)
        assert [*host.outputs()] == [Guess()]


def test_a_recorded_talk_gets_nothing_when_played_again() -> None:
    guest, host = ends()
    (call,) = frames(guest)
    host.receive(call)
    (answer,) = frames(host)
    guest.receive(answer)
    [*guest.outputs()]
    guest.guess()
    (proof,) = frames(guest)
    again = Host(4, RIGHT, b"the invite", random_from(3))
    again.receive(call)
    again.receive(proof)
    [*again.outputs()]
    again.guess(2)
    assert Wrong(2) in [*again.outputs()]


def test_a_changed_delivery_is_broken() -> None:
    guest, host = ends()
    host.receive(frames(guest)[0])
    guest.receive(frames(host)[0])
    [*guest.outputs()]
    guest.guess()
    host.receive(frames(guest)[0])
    [*host.outputs()]
    host.guess(2)
    (delivery,) = frames(host)
    guest.receive(delivery[:-1] + bytes((delivery[-1] ^ 1,)))
    assert [*guest.outputs()] == [Broken()]


@given(st.lists(st.binary(max_size=80) | st.binary(max_size=80).map(lambda b: b"\1" + b)))
def test_arbitrary_frames_end_it_and_never_raise(received: list[bytes]) -> None:
    for machine in ends():
        for frame in received:
            machine.receive(frame)
        outputs = [*machine.outputs()]
        assert not any(isinstance(output, Delivered | Right | Refused) for output in outputs)
        assert (machine.state == "closed") == (Broken() in outputs)


@pytest.mark.parametrize("end", [0, 1])
@pytest.mark.parametrize("kind", range(7))
def test_a_frame_out_of_turn_ends_it(end: int, kind: int) -> None:
    machine = ends()[end]
    machine.receive(bytes((1, kind)) + bytes(40))
    assert [*machine.outputs()][-1] == Broken()
    machine.receive(b"\1\1more")
    assert [*machine.outputs()] == []


@pytest.mark.parametrize("payload", [b"", b"\2", b"\2no-such-code", b"\2\xff"])
def test_an_unknown_refusal_is_broken(payload: bytes) -> None:
    guest, host = ends()
    host.receive(frames(guest)[0])
    guest.receive(frames(host)[0])
    [*guest.outputs()]
    guest.guess()
    [*guest.outputs()]
    guest.receive(b"\1\5" + payload)
    assert [*guest.outputs()] == [Broken()]
