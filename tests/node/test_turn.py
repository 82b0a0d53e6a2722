"""A lock that can say whether taking it would wait."""

import asyncio

from p2pchat.node.turn import Turn


async def test_it_is_free_where_nobody_has_it_or_waits_for_it() -> None:
    turn = Turn()
    order: list[str] = []

    async def use(name: str) -> None:
        async with turn:
            order.append(name)

    assert turn.free
    await turn.take()
    assert not turn.free
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(use("first"))
        given_up = tasks.create_task(use("second"))
        tasks.create_task(use("third"))
        for _ in range(3):
            await asyncio.sleep(0)
        given_up.cancel()
        turn.end()
        assert not turn.free, "somebody waits, who was not there yet"
    assert order == ["first", "third"]
    assert turn.free


async def test_to_take_a_free_one_waits_for_nothing() -> None:
    turn = Turn()
    taking = turn.take()
    try:
        taking.send(None)
    except StopIteration:
        pass
    else:
        raise AssertionError("it waited")
    assert not turn.free
