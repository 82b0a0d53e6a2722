"""Who links with whom, and what a link is shown of a room."""

from collections import deque
from pathlib import Path

import pytest

from p2pchat.node.mesh import neighbours
from tests.harness.crew import Crew


def keys(count: int) -> list[bytes]:
    return [number.to_bytes(32, "big") for number in range(count)]


@pytest.mark.parametrize("count", [1, 2, 5, 24])
def test_in_a_small_room_all_are_neighbours(count: int) -> None:
    people = keys(count)
    assert all(neighbours(people, me) == set(people) - {me} for me in people)


@pytest.mark.parametrize("count", [25, 100, 1_000])
def test_a_large_room_is_in_one_piece_with_few_links_and_few_steps(count: int) -> None:
    people = keys(count)
    links = {me: neighbours(people, me) for me in people}
    assert all(me in links[other] for me in people for other in links[me])
    assert max(map(len, links.values())) <= 2 * count.bit_length()
    steps = {people[0]: 0}
    queue = deque([people[0]])
    while queue:
        one = queue.popleft()
        for other in links[one]:
            if other not in steps:
                steps[other] = steps[one] + 1
                queue.append(other)
    assert len(steps) == count
    assert max(steps.values()) <= count.bit_length()


def test_who_is_no_member_has_no_neighbours() -> None:
    assert neighbours(keys(3), b"x" * 32) == set()


async def test_a_link_shares_the_rooms_of_members_and_no_others(tmp_path: Path) -> None:
    async with Crew.open(tmp_path, "ann", "bob", "carol") as crew:
        room = await crew.found("ann")
        await crew.bring("ann", "bob")
        await crew.link("ann", "carol")
        ann, bob, carol = (crew[name] for name in ("ann", "bob", "carol"))
        await crew.until(lambda: bool(ann.peers.session(carol.person)))
        group = ann.group(room)
        assert ann.mesh.shares(group, bob.person)
        assert not ann.mesh.shares(group, carol.person)
        held = ann.peers.held
        await crew.until(lambda: held[bob.person].reconcile.shows(room) is True)
        assert held[carol.person].reconcile.shows(room) is None
        await (await ann.room()).remove("bob")
        await crew.until(lambda: held[bob.person].reconcile.shows(room) is False)
