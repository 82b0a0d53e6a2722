"""Away after a while, writing for a moment; and no flood of either."""

from p2pchat.core.presence import (
    AWAY_S,
    TYPING_S,
    OwnPresence,
    OwnTyping,
    PeerPresence,
    PeerTyping,
    Presences,
)

ROOM, BOB = b"room", b"bob"


def facts(machine: Presences) -> list[object]:
    return [output.fact for output in machine.outputs()]


def test_who_does_nothing_for_a_while_is_away_and_back_with_a_key() -> None:
    machine = Presences(0.0)
    machine.active(100.0)
    assert machine.next_timer() == 100.0 + AWAY_S
    machine.handle_timer(99.0 + AWAY_S)
    assert facts(machine) == []
    machine.handle_timer(100.0 + AWAY_S)
    assert facts(machine) == [OwnPresence(away=True)]
    assert machine.next_timer() is None
    machine.active(500.0)
    machine.active(501.0)
    assert facts(machine) == [OwnPresence(away=False)]


def test_who_says_to_be_away_is_so_until_a_line_is_written() -> None:
    machine = Presences(0.0)
    machine.leave(1.0)
    machine.active(2.0)
    assert machine.away
    machine.active(3.0, wrote=True)
    assert facts(machine) == [OwnPresence(away=True), OwnPresence(away=False)]


def test_our_writing_is_told_now_and_then_and_its_end_once() -> None:
    machine = Presences(0.0)
    for tenth in range(40):
        machine.write(ROOM, tenth / 10, typing=True)
    machine.write(ROOM, 4.0, typing=False)
    machine.write(ROOM, 4.1, typing=False)
    begun, ended = OwnTyping(ROOM, typing=True), OwnTyping(ROOM, typing=False)
    assert facts(machine) == [begun, begun, ended]


def test_another_who_writes_is_shown_once_and_forgotten_by_itself() -> None:
    machine = Presences(0.0)
    begun, ended = PeerTyping(ROOM, BOB, typing=True), PeerTyping(ROOM, BOB, typing=False)
    machine.writes(ROOM, BOB, 0.0, typing=True)
    machine.writes(ROOM, BOB, 3.0, typing=True)
    assert facts(machine) == [begun]
    assert machine.next_timer() == 3.0 + TYPING_S
    machine.handle_timer(3.0 + TYPING_S)
    assert facts(machine) == [ended]
    machine.writes(ROOM, BOB, 20.0, typing=True)
    machine.writes(ROOM, BOB, 21.0, typing=False)
    machine.wrote(ROOM, BOB)
    assert facts(machine) == [begun, ended]


def test_another_is_what_they_say_until_their_link_ends() -> None:
    machine = Presences(0.0)
    assert machine.state(BOB) is None
    for state in (0, 0, 1, 7, 1):
        machine.says(BOB, state, 1.0)
    assert facts(machine) == [PeerPresence(BOB, away=False), PeerPresence(BOB, away=True)]
    machine.writes(ROOM, BOB, 1.0, typing=True)
    machine.gone(BOB)
    assert machine.state(BOB) is None
    assert facts(machine)[-1] == PeerTyping(ROOM, BOB, typing=False)


def test_who_says_more_than_a_person_could_is_not_heard() -> None:
    machine = Presences(0.0)
    for turn in range(1_000):
        machine.says(BOB, turn % 2, 1.0)
        machine.writes(turn.to_bytes(32, "big"), BOB, 1.0, typing=True)
    told = facts(machine)
    assert 0 < sum(isinstance(fact, PeerPresence) for fact in told) <= 8
    assert 0 < sum(isinstance(fact, PeerTyping) for fact in told) <= 16
    machine.says(b"carol", 1, 1.0)
    assert facts(machine) == [PeerPresence(b"carol", away=True)], "others are heard all the same"
