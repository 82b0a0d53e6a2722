import pytest

from p2pchat import errors
from p2pchat.api.client import Client
from p2pchat.api.routes.meeting import (
    CancelRequest,
    InviteRequest,
    JoinRequest,
    KnockAnswerRequest,
    KnockRequest,
    NearbyRequest,
    ReplyRequest,
    WithdrawRequest,
)


async def test_an_invite_lives_from_a_second_to_a_year(client: Client) -> None:
    for seconds in (0.0, -5.0, 1e12):
        with pytest.raises(errors.Usage):
            await client.one("invites", InviteRequest(expires_s=seconds))


async def test_looking_around_takes_up_to_a_minute(client: Client) -> None:
    for seconds in (0.0, 61.0):
        with pytest.raises(errors.Usage):
            await client.one("nearby", NearbyRequest(timeout=seconds))


async def test_without_a_network_nobody_is_met(client: Client) -> None:
    for route, request in (
        ("withdrawals", WithdrawRequest(invite="00")),
        ("replies", ReplyRequest(blob="x")),
        ("joins", JoinRequest(blob="x")),
        ("nearby", NearbyRequest()),
        ("knocks", KnockRequest(name="Bob")),
    ):
        with pytest.raises(errors.Error) as caught:
            await client.one(route, request)
        assert caught.value.code == "not-running"


async def test_what_does_not_wait_cannot_be_answered_or_given_up(client: Client) -> None:
    for route, request, code in (
        ("cancellations", CancelRequest(join="1"), "join-unknown"),
        ("knock-answers", KnockAnswerRequest(knock="Bob", accept=True), "knock-unknown"),
    ):
        with pytest.raises(errors.BadInput) as caught:
            await client.one(route, request)
        assert caught.value.code == code
