"""Rooms of many people, each with a process of its own: nobody is needed for good."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.harness.homes import Home

NAMES = ("Ann", "Bob", "Cat", "Dan", "Eve", "Fay", "Gus", "Hal", "Ida", "Joe")
_PATIENCE_S = 90.0


@pytest.fixture
def homes(tmp_path: Path) -> Iterator[dict[str, Home]]:
    found = {name: Home(name, tmp_path / name) for name in NAMES}
    yield found
    at_once(Home.end, [home for home in found.values() if home.path.exists()])


def at_once(do: Callable[[Home], object], homes: Sequence[Home]) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(do, homes))


def all_up(homes: Sequence[Home]) -> None:
    at_once(Home.up, homes)


def all_down(homes: Sequence[Home]) -> None:
    at_once(lambda home: home.run("down"), homes)


def invite(host: Home, guest: Home, *flags: str) -> str:
    """Bring a guest into the crew; answers what its join came to."""
    blob = host.run("invite", "crew", "--no-wait", *flags).found("invite")[0]["blob"]
    rows = guest.run("join", blob, "--no-chat").rows
    return str(rows[-2]["event"])


def until(holds: Callable[[], bool], what: str) -> None:
    """Other processes do not tell us when: ask until they say so."""
    limit = time.monotonic() + _PATIENCE_S
    while not holds():
        assert time.monotonic() < limit, f"not within {_PATIENCE_S:.0f} s: {what}"
        time.sleep(0.2)


def until_same(home: Home, found: Callable[[], list[str]], wanted: Sequence[str]) -> list[str]:
    """In any order; answers the order that it was found in."""
    limit = time.monotonic() + _PATIENCE_S
    while sorted(now := found()) != sorted(wanted):
        late = f"{home.name} has {now} after {_PATIENCE_S:.0f} s, not {wanted}"
        assert time.monotonic() < limit, late
        time.sleep(0.2)
    return now


def members(home: Home) -> list[str]:
    return sorted(row["name"] for row in home.run("members", "crew").found("member"))


def requests(home: Home) -> list[str]:
    return [row["name"] for row in home.run("members", "crew").found("join-request")]


def all_see(homes: Sequence[Home], names: Sequence[str]) -> None:
    for home in homes:
        until_same(home, lambda: members(home), names)  # noqa: B023


def all_read(homes: Sequence[Home], texts: Sequence[str]) -> None:
    orders = [
        until_same(home, lambda: home.texts("crew"), texts)  # noqa: B023
        for home in homes
    ]
    assert all(order == orders[0] for order in orders), orders


@pytest.mark.timeout(600)
def test_ten_people_share_a_room_through_all_that_happens_to_it(homes: dict[str, Home]) -> None:
    ann, bob, cat, dan, eve, fay, gus, hal, ida, joe = homes.values()
    first = [ann, bob, cat, dan, eve]
    all_up(first)

    # Some come at once.
    ann.run("room", "create", "crew", "--topic", "boats")
    ann.run("send", "crew", "welcome")
    for guest in first[1:]:
        assert invite(ann, guest) == "joined"
    all_see(first, NAMES[:5])
    # Members reach each other without her who invited them.
    bob.run("send", "crew", "hello from bob")
    all_read(first, ["welcome", "hello from bob"])

    # Others ask, of anybody; anybody answers.
    all_up([fay, gus, hal])
    assert invite(bob, fay, "--ask") == "pending"
    assert fay.run("rooms").found("room")[-1]["state"] == "pending"
    until(lambda: requests(cat) == ["Fay"], "cat sees the request")
    cat.run("approve", "crew", "Fay")
    all_see([*first, fay], NAMES[:6])
    assert invite(dan, gus, "--ask") == "pending"
    until(lambda: requests(eve) == ["Gus"], "eve sees the request")
    eve.run("deny", "crew", "Gus")
    until(lambda: not requests(dan), "the request is answered")
    until(lambda: gus.run("rooms").found("room")[-1]["kind"] == "direct", "gus is told")
    assert gus.run("log", "crew", code=3).rows[-2]["code"] == "room-unknown"
    assert invite(fay, gus) == "joined"
    assert invite(gus, hal) == "joined"
    all_see([*first, fay, gus, hal], NAMES[:8])

    # The newcomer has the whole history.
    all_read([hal], ["welcome", "hello from bob"])

    # Apart: one side removes somebody who talks with the other side meanwhile.
    until(lambda: len(members(ann)) == 8, "ann has them all")
    ann.run("role", "crew", "Bob", "admin")
    all_down([cat, dan, eve, fay])
    ann.run("remove", "crew", "Hal")
    all_see([ann, bob, gus], [name for name in NAMES[:8] if name != "Hal"])
    all_down([ann, bob, gus])
    all_up([cat, dan])
    hal.run("down")
    hal.up()
    hal.run("send", "crew", "nobody told me", code=None)
    cat.run("send", "crew", "cat was here")
    until(lambda: "cat was here" in dan.texts("crew"), "cat and dan are in touch")
    all_up([ann, bob, eve, fay, gus])
    left = [ann, bob, cat, dan, eve, fay, gus]
    all_see(left, [home.name for home in left])
    ann.run("send", "crew", "behind his back")
    said = ["welcome", "hello from bob", "cat was here", "behind his back"]
    all_read(left, said)
    assert "behind his back" not in hal.texts("crew")
    assert hal.run("send", "crew", "hello?", code=None).code in (0, 4)

    # The founder leaves for good; the room goes on, and grows.
    ann.run("room", "leave", "crew")
    all_see([bob, cat, dan, eve, fay, gus], [home.name for home in left[1:]])
    ann.run("down")
    all_up([ida, joe])
    assert invite(bob, ida) == "joined"
    assert invite(ida, joe) == "joined"
    crew = [bob, cat, dan, eve, fay, gus, ida, joe]
    all_see(crew, [home.name for home in crew])
    joe.run("send", "crew", "who is ann?")
    all_read(crew, [*said, "who is ann?"])
    # What is to be removed is removed by whom she made an admin.
    bob.run("remove", "crew", "Gus")
    all_see([home for home in crew if home is not gus], [h.name for h in crew if h is not gus])
    until(lambda: gus.run("send", "crew", "and me?", code=None).code == 4, "gus is told")


@pytest.mark.timeout(300)
def test_any_one_of_five_has_everything_and_lets_a_sixth_have_it(homes: dict[str, Home]) -> None:
    five, sixth = list(homes.values())[:5], homes["Fay"]
    all_up(five)
    five[0].run("room", "create", "crew")
    for guest in five[1:]:
        assert invite(five[0], guest) == "joined"
    all_see(five, NAMES[:5])
    said = []
    for home in five:
        for number in range(3):
            said.append(f"{home.name} {number}")
            home.run("send", "crew", said[-1])
    all_read(five, said)
    for home in five[:4]:
        home.kill()
    survivor = five[4]
    assert sorted(survivor.texts("crew")) == sorted(said)
    sixth.up()
    assert invite(survivor, sixth) == "joined"
    all_read([survivor, sixth], said)
    all_see([survivor, sixth], NAMES[:6])
    sixth.run("send", "crew", "glad to be here")
    all_up(five[:4])
    all_read([*five, sixth], [*said, "glad to be here"])
