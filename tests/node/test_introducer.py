"""What a common member passes on: only between members, only to whom it was meant, and not much."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from p2pchat.core.wire import Answer, Introduce, Introduced, Introduction, Near
from p2pchat.node import introducer as module
from p2pchat.node.introducer import Introducer

ME = b"m" * 32


class Link:
    def __init__(self, name: str) -> None:
        self.name = name
        self.peer = name[:1].encode() * 32
        self.transcript = name.encode() * 16


class Table:
    """One who introduces, in rooms whose members are first letters."""

    def __init__(self, *rooms: str) -> None:
        self.said: list[tuple[str, Introduction]] = []
        self.links: list[Link] = []
        self.groups: list[Any] = [
            SimpleNamespace(members={letter.encode() * 32: None for letter in room})
            for room in rooms
        ]
        self._number = 0
        self.own = Introducer(
            lambda: ME,
            lambda: self.groups,
            lambda: iter(self.links),  # type: ignore[arg-type,return-value]
            self._say,  # type: ignore[arg-type]
            self._random,
        )

    def _say(self, link: Link, frame: Introduction) -> None:
        self.said.append((link.name, frame))

    def _random(self, count: int) -> bytes:
        self._number += 1
        return self._number.to_bytes(count, "big")

    def link(self, name: str) -> Link:
        link = Link(name)
        self.links.append(link)
        self.own.entered(link)  # type: ignore[arg-type]
        return link

    def cut(self, link: Link) -> None:
        self.links.remove(link)
        self.own.left(link)  # type: ignore[arg-type]

    def offer(self, link: Link, to: str, name: bytes = b"n" * 16) -> None:
        self.own.pass_on(link, Introduce(to.encode() * 32, name, b"sealed"))  # type: ignore[arg-type]

    def take(self) -> list[tuple[str, Introduction]]:
        said, self.said = self.said, []
        return said


def person(name: str) -> bytes:
    return name.encode() * 32


async def test_the_lower_of_two_members_is_told_of_the_other_once() -> None:
    table = Table("mab")
    table.link("b")
    assert table.take() == []
    a = table.link("a")
    assert table.take() == [("a", Near((person("b"),)))]
    table.own.followed(table.groups[0])
    assert table.take() == []
    table.cut(a)
    table.link("a")
    assert table.take() == [("a", Near((person("b"),)))]


async def test_who_comes_back_is_told_of_again() -> None:
    table = Table("mab")
    table.link("a")
    b = table.link("b")
    assert table.take() == [("a", Near((person("b"),)))]
    table.cut(b)
    table.link("b")
    assert table.take() == [("a", Near((person("b"),)))]


async def test_strangers_to_each_other_are_not_told_of() -> None:
    table = Table("ma", "mb", "ab")
    a = table.link("a")
    table.link("b")
    assert table.take() == []
    table.offer(a, "b")
    assert table.take() == [("a", Answer(b"n" * 16, None))]
    table.groups[0].members[person("b")] = None
    table.own.followed(table.groups[0])
    assert table.take() == [("a", Near((person("b"),)))]
    del table.groups[0].members[ME]
    table.offer(a, "b")
    assert table.take() == [("a", Answer(b"n" * 16, None))]


async def test_an_offer_goes_there_and_its_answer_back_once() -> None:
    table = Table("mabc")
    a, b, c = (table.link(name) for name in "abc")
    table.take()
    table.offer(a, "b")
    ((name, frame),) = table.take()
    assert name == "b"
    assert isinstance(frame, Introduced)
    assert (frame.person, frame.offer) == (person("a"), b"sealed")
    assert frame.call != b"n" * 16
    answer = Answer(frame.call, b"sealed too")
    assert not table.own.answered(c, answer)  # type: ignore[arg-type]
    assert table.own.answered(b, answer)  # type: ignore[arg-type]
    assert not table.own.answered(b, answer)  # type: ignore[arg-type]
    assert table.take() == [("a", Answer(b"n" * 16, b"sealed too"))]
    assert not table.own._calls


async def test_whoever_waits_is_told_when_the_other_leaves() -> None:
    table = Table("mabc")
    a, b, _ = (table.link(name) for name in "abc")
    table.take()
    table.offer(a, "b")
    table.offer(b, "c")
    table.take()
    table.cut(b)
    assert table.take() == [("a", Answer(b"n" * 16, None))]
    assert not table.own._calls
    table.offer(a, "b")
    assert table.take() == [("a", Answer(b"n" * 16, None))]


@pytest.mark.parametrize("other", ["a", "m"])
async def test_nobody_is_introduced_to_themselves_or_to_us(other: str) -> None:
    table = Table("mab")
    a = table.link("a")
    table.offer(a, other)
    assert table.take() == [("a", Answer(b"n" * 16, None))]


async def test_what_one_link_has_passed_on_is_bounded() -> None:
    table = Table("mab")
    a = table.link("a")
    table.link("b")
    table.take()
    for number in range(1_000):
        table.offer(a, "b", number.to_bytes(16, "big"))
    passed = [frame for name, frame in table.take() if name == "b"]
    assert len(passed) == module._CALLS_EACH_MAX
    assert len(table.own._calls) == module._CALLS_EACH_MAX


async def test_an_offer_that_is_not_answered_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ANSWER_S", 0.01)
    table = Table("mab")
    a, b = table.link("a"), table.link("b")
    table.take()
    table.offer(a, "b")
    ((_, frame),) = table.take()
    async with asyncio.timeout(10):
        while table.own._calls:
            await asyncio.sleep(0.01)
    assert isinstance(frame, Introduced)
    assert not table.own.answered(b, Answer(frame.call, b"late"))  # type: ignore[arg-type]
