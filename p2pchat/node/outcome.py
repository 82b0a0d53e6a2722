"""What became of an invite, at either end: the session, or the error that a person is told."""

import asyncio

from p2pchat import errors
from p2pchat.core.bounds import GUESSES_MAX
from p2pchat.net.transport import ConnectFailed
from p2pchat.node.peers import LinkRefused
from p2pchat.node.session import Session
from signaling.errors import SignalingError

__all__ = ["expired", "locked", "mapped", "result_of", "settle", "tries", "unreachable"]


def settle(outcome: "asyncio.Future[Session]", result: Session | Exception) -> None:
    if outcome.done():
        return
    if isinstance(result, Session):
        outcome.set_result(result)
    else:
        outcome.set_exception(result)


async def result_of(outcome: "asyncio.Future[Session]") -> Session:
    """The session, or the error a person should see."""
    try:
        return await asyncio.shield(outcome)
    except LinkRefused as refused:
        match refused.code:
            case "invite-used":
                raise errors.Refused(
                    "invite-used",
                    "this invite is already used",
                    "an invite works once: ask your friend for a new one",
                ) from refused
            case "invite-expired":
                raise expired() from refused
            case "invite-withdrawn":
                raise errors.Refused(
                    "invite-withdrawn",
                    "this invite was withdrawn",
                    "ask your friend for a new one",
                ) from refused
            case "invite-locked":
                raise locked("ask your friend for a new one") from refused
            case "password-wrong":
                left = max(0, min(refused.left, GUESSES_MAX))
                raise errors.Refused(
                    "password-wrong",
                    f"that is not the password of this invite; {tries(left)}",
                    "ask your friend for the password, and join again"
                    if left
                    else "ask your friend for a new invite: this one is dead",
                ) from refused
            case "not-expected":
                raise errors.Refused(
                    "identity-mismatch",
                    "somebody else answered than the one who made the invite",
                    "do not trust this connection; ask your friend for a new invite",
                ) from refused
        raise unreachable(f"the link was refused ({refused.code})") from refused
    except ConnectFailed as failed:
        raise unreachable(str(failed)) from failed


def tries(left: int) -> str:
    return "1 try is left" if left == 1 else f"{left} tries are left"


def locked(hint: str, what: str = "password") -> errors.Refused:
    return errors.Refused(
        "invite-locked", f"three wrong {what}s were tried on this invite: it is dead", hint
    )


def expired() -> errors.Refused:
    return errors.Refused(
        "invite-expired", "this invite has expired", "ask for, or make, a new one"
    )


def unreachable(why: str) -> errors.Unreachable:
    return errors.Unreachable(
        "unreachable",
        f"no connection: {why}",
        "is your friend's p2pchat running, and waiting with the invite? try again, "
        "or paste the reply blob back",
    )


class mapped:  # noqa: N801  (used as a verb: `with mapped():`)
    """Turns errors of `signaling` into ours, by code."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, SignalingError):
            raise errors.error_for(error.code, error.message, error.hint) from error
