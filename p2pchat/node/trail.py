"""How far a join has come on each of its ways, and what that says of where it is stuck.

    away      the carrier itself reaches nobody (no server, no node of the DHT)
    nobody    it works, and nobody is there with the other end of the invite
    found     somebody is there, and has not answered our offer
    answered  an answer came, and the link is not up yet
    no-path   an answer came, and no packets get through
    refused   the link came up, and one of the two sides ended it

Knows neither carriers nor links: it is told what happens, and by `reach` whom each carrier sees.
"""

from collections.abc import Sequence
from urllib.parse import urlsplit

from p2pchat.errors import Unreachable
from p2pchat.events import Attempt, Stage
from signaling.carriers import Carrier

__all__ = ["Trail"]

_DEPTH: tuple[Stage, ...] = ("away", "nobody", "found", "answered", "no-path", "refused")


class Trail:
    """Of one join to `name`, over `carriers` and maybe by paste."""

    def __init__(self, name: str, carriers: Sequence[Carrier]) -> None:
        self._name = name
        self._carriers = carriers
        self._stages: dict[str, Stage] = {}
        self._why: dict[str, str] = {}
        self._pasting = False

    # -- what happens --------------------------------------------------------------------------

    def pasting(self) -> None:
        """A reply blob was given out."""
        self._pasting = True

    def found(self, via: str) -> None:
        self._reached(via, "found")

    def answered(self, via: str) -> None:
        self._reached(via, "answered")

    def no_path(self, via: str, why: str) -> None:
        if via == "paste":
            return  # the same as if nobody had pasted it, as far as can be told from here
        self._reached(via, "no-path", why)

    def refused(self, via: str, why: str) -> None:
        self._reached(via, "refused", why)

    def _reached(self, via: str, stage: Stage, why: str = "") -> None:
        if _DEPTH.index(stage) >= _DEPTH.index(self._stages.get(via, "away")):
            self._stages[via], self._why[via] = stage, why

    # -- what follows --------------------------------------------------------------------------

    def attempts(self) -> list[Attempt]:
        """Each way, with how far it has come so far."""
        found = [self._attempt(carrier) for carrier in self._carriers]
        if self._pasting:
            stage = self._stages.get("paste", "nobody")
            text = "the reply blob was not pasted back, or led to no path"
            if stage == "refused":
                text = f"the reply blob was pasted, and the link refused ({self._why['paste']})"
            found.append(Attempt(via="paste", stage=stage, text=text))
        return found

    def _attempt(self, carrier: Carrier) -> Attempt:
        via, reach = carrier.name, carrier.reach()
        stage = self._stages.get(via)
        if stage is None:
            # On a network it is no fault if nobody else is there.
            stage = "nobody" if reach.others or via == "lan" else "away"
        place = urlsplit(reach.place).netloc
        return Attempt(
            via=via,
            stage=stage,
            text=self._text(via, stage, place, reach.others),
            others=reach.others,
        )

    def _text(self, via: str, stage: Stage, place: str, others: int) -> str:
        where = {
            "lan": "on this network",
            "mailbox": f"at the mailbox {place}",
            "dht": "in the DHT",
        }
        there = where.get(via, via)
        match stage:
            case "away":
                no_answer = {"mailbox": f"the mailbox {place} does not answer"}
                return no_answer.get(via, "no node of the DHT answers")
            case "nobody" if via == "lan" and not others:
                return "nobody else is seen on this network"
            case "nobody" if via == "lan":
                return f"none of {others} others on this network waits with this invite"
            case "nobody":
                return f"nobody waits {there} with this invite"
            case "found":
                return f"{self._name} was found {there}, and did not answer"
            case "answered":
                return f"{self._name} answered {there}, and the link is not up yet"
            case "no-path":
                return f"{self._name} answered {there}, and {self._why[via]}"
        return f"{self._name} was linked {there}, and the link refused ({self._why[via]})"

    def summary(self) -> str:
        """All ways in one sentence."""
        return "; ".join(attempt.text for attempt in self.attempts()) or "there is no way to try"

    def hint(self) -> str:
        """What to do, by the way that came farthest."""
        deepest = max((_DEPTH.index(one.stage) for one in self.attempts()), default=0)
        match _DEPTH[deepest]:
            case "no-path":
                return (
                    "a NAT or a firewall is between you: name a STUN server (net.stun) or a relay "
                    "(net.turn); p2pchat doctor tells which"
                )
            case "refused":
                return "ask your friend what their p2pchat says, and for a new invite"
            case "answered":
                return (
                    "try again; if that does not help, no direct way leads from network to "
                    "network: name a relay (net.turn) at either end; p2pchat doctor tells more"
                )
            case "found":
                return "their p2pchat seems to have just ended, or to be busy: try again"
        pasted = ""
        if self._pasting:
            pasted = "if the reply was pasted, name a relay (net.turn) at either end; "
        return (
            "is your friend's p2pchat running, and waiting with the invite? "
            f"{pasted}p2pchat doctor BLOB tells which ways there are"
        )

    def error(self, limit_s: float) -> Unreachable:
        text = f"no connection with {self._name} in {limit_s:.0f} s: {self.summary()}"
        return Unreachable("unreachable", text, self.hint())
