"""What became of an invite, in the words that a person is told."""

import asyncio
from typing import Any

import pytest

from p2pchat import errors
from p2pchat.net.transport import ConnectFailed
from p2pchat.node.outcome import mapped, result_of, settle
from p2pchat.node.peers import LinkRefused
from p2pchat.node.session import Session
from signaling.errors import SignalingError


def _outcome() -> "asyncio.Future[Session]":
    return asyncio.get_running_loop().create_future()


@pytest.mark.parametrize(
    ("failure", "kind", "code"),
    [
        (LinkRefused("invite-used"), errors.Refused, "invite-used"),
        (LinkRefused("invite-expired"), errors.Refused, "invite-expired"),
        (LinkRefused("invite-withdrawn"), errors.Refused, "invite-withdrawn"),
        (LinkRefused("invite-locked"), errors.Refused, "invite-locked"),
        (LinkRefused("password-wrong", 2), errors.Refused, "password-wrong"),
        (LinkRefused("not-expected"), errors.Refused, "identity-mismatch"),
        (LinkRefused("bye"), errors.Unreachable, "unreachable"),
        (ConnectFailed("ice", "no path"), errors.Unreachable, "unreachable"),
    ],
)
async def test_a_link_that_failed_is_told_by_its_cause(
    failure: Exception, kind: type[errors.Error], code: str
) -> None:
    outcome = _outcome()
    settle(outcome, failure)
    with pytest.raises(kind) as caught:
        await result_of(outcome)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("left", "text"), [(1, "1 try is left"), (0, "0 tries"), (99, "3 tries"), (-1, "0 tries")]
)
async def test_how_many_tries_are_left_is_the_hosts_word_within_reason(
    left: int, text: str
) -> None:
    outcome = _outcome()
    settle(outcome, LinkRefused("password-wrong", left))
    with pytest.raises(errors.Refused, match=text):
        await result_of(outcome)


async def test_what_came_first_stands() -> None:
    outcome = _outcome()
    session: Any = object.__new__(Session)
    settle(outcome, session)
    settle(outcome, ConnectFailed("ice", "too late"))
    assert await result_of(outcome) is session


def test_errors_of_signaling_become_ours_by_their_code() -> None:
    with pytest.raises(errors.BadInput) as caught, mapped():
        raise SignalingError("blob-damaged", "no blob", "paste all of it")
    assert (caught.value.code, caught.value.hint) == ("blob-damaged", "paste all of it")
