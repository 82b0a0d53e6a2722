"""What of this machine's network could keep two peers apart, each finding with its remedy.

All checks run at once and each for a few seconds at most. Nothing is asked of anybody whom the
settings do not name, and nothing leaves the machine where they keep all of it here.
"""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from urllib.parse import urlsplit

import aiohttp
import ifaddr
from aiohttp import TraceRequestEndParams

from p2pchat.config import Config
from p2pchat.events import Finding
from p2pchat.net import nat
from p2pchat.node.dht import parse_bootstrap
from signaling.carriers import Carrier
from signaling.carriers.interfaces import interfaces_of
from signaling.carriers.lan import LanCarrier

__all__ = ["Situation", "examine", "mailbox_finding"]

_SERVERS_MAX = 8
_UDP_S = 2.0
_LAN_S = 1.5
"""Neighbours answer a query within a second (RFC 6762 6)."""
_HTTP_S = 5.0
_LIMIT_S = 8.0
_CLOCK_S = 30.0
"""Half of what marks a message as having a wrong clock."""


@dataclass(frozen=True, slots=True)
class Situation:
    """What the settings allow; `carriers` those of a node that runs, None without one."""

    config: Config
    carriers: Sequence[Carrier] | None
    random: Callable[[int], bytes]
    wall: Callable[[], float]

    @property
    def names(self) -> list[str]:
        return self.config.net.interfaces

    @property
    def local(self) -> bool:
        """Whether the settings keep everything on this machine."""
        own = interfaces_of(self.names)
        return bool(self.names) and all(one.is_loopback for one in own)

    @property
    def source(self) -> str:
        """The address to ask from."""
        own = interfaces_of(self.names) if self.names else []
        return str(own[0].ip) if own else "0.0.0.0"  # noqa: S104  (of a socket that asks)

    def may_ask(self, host: str) -> bool:
        """Whether the settings let us speak to this host; a name would be looked up elsewhere."""
        if not self.local or host == "localhost":
            return True
        try:
            return ip_address(host).is_loopback
        except ValueError:
            return False

    def running(self, name: str) -> Carrier | None:
        found = (one for one in self.carriers or () if one.name == name)
        return next(found, None)


async def examine(situation: Situation) -> list[Finding]:
    """All findings, in the order in which people look for a fault."""
    checks: list[tuple[str, Callable[[Situation], Awaitable[list[Finding]]]]] = [
        ("interfaces", _interfaces),
        ("udp", _udp),
        ("ipv6", _ipv6),
        ("lan", _lan),
        ("dht", _dht),
        ("mailbox", _mailbox),
    ]
    found = await asyncio.gather(*(_bounded(name, check(situation)) for name, check in checks))
    return [finding for findings in found for finding in findings]


async def _bounded(name: str, check: Awaitable[list[Finding]]) -> list[Finding]:
    try:
        async with asyncio.timeout(_LIMIT_S):
            return await check
    except TimeoutError:
        text = f"no answer within {_LIMIT_S:.0f} s"
        return [_bad(name, text, "see whether this machine's name server (DNS) answers")]


def _good(check: str, text: str, hint: str | None = None) -> Finding:
    return Finding(check=check, ok=True, text=text, hint=hint)


def _bad(check: str, text: str, hint: str) -> Finding:
    return Finding(check=check, ok=False, text=text, hint=hint)


# -- interfaces ----------------------------------------------------------------------------------


async def _interfaces(situation: Situation) -> list[Finding]:
    adapters = ifaddr.get_adapters()
    missing = sorted(set(situation.names) - {adapter.name for adapter in adapters})
    if missing:
        text = f"net.interfaces names what this machine does not have: {', '.join(missing)}"
        return [_bad("interfaces", text, "write the names that your system shows, or [] for all")]
    if situation.local:
        text = "net.interfaces keeps everything on this machine"
        return [_good("interfaces", text, "set net.interfaces=[] to reach other machines")]
    shown = [
        f"{adapter.name} {ip.ip}"
        for adapter in adapters
        if not situation.names or adapter.name in situation.names
        for ip in adapter.ips
        if ip.is_IPv4 and not ip_address(str(ip.ip)).is_loopback
    ]
    if not shown:
        text = "no interface but loopback has an address: this machine is on no network"
        return [_bad("interfaces", text, "connect to a network; on this machine alone it works")]
    return [_good("interfaces", ", ".join(shown))]


# -- UDP and NAT ---------------------------------------------------------------------------------


async def _udp(situation: Situation) -> list[Finding]:
    config = situation.config
    readers = {}
    questions = []
    for url in dict.fromkeys(config.net.stun[:_SERVERS_MAX]):
        try:
            question, read = nat.stun_question(url)
        except ValueError as error:
            return [_bad("udp", f"net.stun: {error}", "write stun:host:port in net.stun")]
        if situation.may_ask(question.host):
            readers[question.name] = read
            questions.append(question)
    if config.dht.enabled:
        nodes = dict.fromkeys(parse_bootstrap(config.dht.bootstrap)[:_SERVERS_MAX])
        questions += [nat.dht_question(*node) for node in nodes if situation.may_ask(node[0])]
    if not questions:
        why = "" if situation.local else " (net.stun, dht.bootstrap)"
        text = f"whether UDP gets out was not tried: no server to ask is named{why}"
        findings = [_good("udp", text)]
    else:
        answers, port = await nat.ask(questions, situation.source, _UDP_S)
        findings = [_udp_finding(len(answers), len(questions))]
        seen = [readers[one.name](one) for one in answers if one.name in readers]
        silent = [name for name in readers if all(one.name != name for one in answers)]
        if silent and answers:
            text = f"no answer from {', '.join(silent)}"
            findings.append(_bad("stun", text, "name another server in net.stun"))
        if seen:
            findings.append(_nat(seen, port, relay=bool(config.net.turn)))
    if not config.net.stun and not situation.local:
        text = "no STUN server is named: where both are behind NATs, only a common network connects"
        findings.append(_good("stun", text, 'name one: net.stun = ["stun:host:port"]'))
    return findings


def _udp_finding(answered: int, asked: int) -> Finding:
    if answered:
        return _good("udp", f"UDP gets out and back: {answered} of {asked} servers answered")
    text = f"nothing came back over UDP: none of {asked} servers answered"
    hint = "let UDP through the firewall, or name a relay that speaks TCP in net.turn"
    return _bad("udp", text, hint)


def _nat(seen: Sequence[nat.Seen], port: int, *, relay: bool) -> Finding:
    own = [str(ip.ip) for adapter in ifaddr.get_adapters() for ip in adapter.ips if ip.is_IPv4]
    address = seen[0].address
    match nat.kind_of(seen, own, port):
        case "open":
            return _good("nat", f"there is no NAT: this machine is {address} to everybody")
        case "same":
            return _good("nat", f"a NAT that lets friends in: {address}, the same for every server")
        case "one":
            text = f"a NAT, seen as {address}; a second server would tell which kind it is"
            return _good("nat", text, "name two in net.stun")
    text = "a NAT that shows every server another address (symmetric): few friends get a path"
    if relay:
        return _good("nat", f"{text}, others go by the relay")
    return _bad("nat", text, "name a relay in net.turn, or forward UDP in the router")


# -- IPv6 ----------------------------------------------------------------------------------------


async def _ipv6(situation: Situation) -> list[Finding]:
    if situation.local:
        return []
    own = [
        str(ip.ip[0])
        for adapter in ifaddr.get_adapters()
        if not situation.names or adapter.name in situation.names
        for ip in adapter.ips
        if not ip.is_IPv4 and ip_address(ip.ip[0]).is_global
    ]
    if not own:
        return [_good("ipv6", "no address that others could reach; IPv4 alone has to do")]
    if not _has_route(socket.AF_INET6, "2001:db8::1"):
        text = f"{own[0]} has no way out: the router announces IPv6 and does not carry it"
        return [_bad("ipv6", text, "mend IPv6 in the router, or switch it off there")]
    return [_good("ipv6", f"{own[0]}, no NAT between friends who have it too")]


def _has_route(family: socket.AddressFamily, address: str) -> bool:
    """Connecting a UDP socket asks the routing table, and sends nothing."""
    with socket.socket(family, socket.SOCK_DGRAM) as asked:
        try:
            asked.connect((address, 9))
        except OSError:
            return False
    return True


# -- carriers ------------------------------------------------------------------------------------


async def _lan(situation: Situation) -> list[Finding]:
    if not situation.config.lan.enabled:
        hint = "set lan.enabled=true to find friends on one network"
        return [_good("lan", "discovery on the network is off (lan.enabled)", hint)]
    hint = "allow UDP port 5353 (mDNS) and multicast in the firewall"
    carrier = situation.running("lan")
    if carrier is None and situation.carriers is not None:
        return [_bad("lan", "discovery did not start: no interface takes part", hint)]
    if carrier is not None:
        count = carrier.reach().others
    else:
        try:
            async with LanCarrier.open(
                situation.names, random=situation.random, wall=situation.wall
            ) as opened:
                await asyncio.sleep(_LAN_S)
                count = opened.reach().others
        except OSError as error:
            return [_bad("lan", f"discovery does not start: {error}", hint)]
    if not count:
        text = "discovery runs, and sees nobody else: guest networks often keep devices apart"
        return [_good("lan", text)]
    return [_good("lan", f"discovery runs, and sees {count} other p2pchat")]


async def _dht(situation: Situation) -> list[Finding]:
    config = situation.config
    if not config.dht.enabled:
        hint = "set dht.enabled=true to meet over it"
        return [_good("dht", "the DHT is off (dht.enabled)", hint)]
    carrier = situation.running("dht")
    if carrier is not None:
        count = carrier.reach().others
        if count:
            return [_good("dht", f"{count} nodes of the DHT are known and answer")]
        hint = "let UDP through the firewall, or name another node in dht.bootstrap"
        return [_bad("dht", "no node of the DHT answers", hint)]
    nodes = parse_bootstrap(config.dht.bootstrap)[:_SERVERS_MAX]
    questions = [nat.dht_question(*node) for node in nodes if situation.may_ask(node[0])]
    if not nodes:
        hint = 'name one: dht.bootstrap = ["host:port"]'
        return [_good("dht", "the DHT is not used: no node to start from is named", hint)]
    answers, _ = await nat.ask(questions, situation.source, _UDP_S)
    if answers:
        return [_good("dht", f"{len(answers)} of {len(nodes)} nodes to start from answer")]
    hint = "let UDP through the firewall, or name another node in dht.bootstrap"
    return [_bad("dht", f"none of {len(nodes)} nodes to start from answers", hint)]


async def _mailbox(situation: Situation) -> list[Finding]:
    url = situation.config.mailbox_address()
    if not url:
        return [_good("mailbox", "no mailbox is named; none is needed, it saves the second paste")]
    return await mailbox_finding(situation, url)


async def mailbox_finding(situation: Situation, url: str, check: str = "mailbox") -> list[Finding]:
    """Whether a mailbox (`ws://…/mailbox`) answers, and what its clock says of ours."""
    parts = urlsplit(url)
    shown = f"{parts.hostname}" + (f":{parts.port}" if parts.port else "")
    if not situation.may_ask(parts.hostname or ""):
        text = f"{shown} was not asked: net.interfaces keeps everything on this machine"
        return [_good(check, text)]
    local = (situation.source, 0) if situation.names else None
    dates: list[str | None] = []

    async def answered(session: object, context: object, ended: TraceRequestEndParams) -> None:
        del session, context
        dates.append(ended.response.headers.get("Date"))

    trace = aiohttp.TraceConfig()
    trace.on_request_end.append(answered)
    try:
        async with (
            asyncio.timeout(_HTTP_S),
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(local_addr=local),
                trust_env=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                trace_configs=[trace],
            ) as client,
        ):
            began = time.monotonic()
            async with client.ws_connect(url):
                took = time.monotonic() - began
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
        why = _why(error)
        hint = "is p2pchat-signal running there, and the address right (mailbox.url)?"
        return [_bad(check, f"{shown} does not answer: {why}", hint)]
    findings = [_good(check, f"{shown} answers in {took * 1000:.0f} ms")]
    clock = _clock(dates[-1] if dates else None, situation.wall())
    if clock is not None and check == "mailbox":
        findings.append(clock)
    return findings


def _why(error: BaseException) -> str:
    match error:
        case TimeoutError():
            return f"nothing within {_HTTP_S:.0f} s"
        case aiohttp.WSServerHandshakeError():
            return f"it is a web server, and no mailbox (HTTP {error.status})"
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientSSLError():
            return "its certificate is not good"
        case aiohttp.ClientConnectorError():
            return error.os_error.strerror or "no connection"
    return str(error) or type(error).__name__


def _clock(date: str | None, now: float) -> Finding | None:
    """Compare with the second that a server wrote into its answer (HTTP's Date)."""
    if date is None:
        return None
    try:
        ahead = now - parsedate_to_datetime(date).timestamp()
    except ValueError:
        return None
    if abs(ahead) <= _CLOCK_S:
        return _good("time", f"this machine's clock and the mailbox's agree to {_CLOCK_S:.0f} s")
    word = "ahead of" if ahead > 0 else "behind"
    text = f"this machine's clock is {abs(ahead):.0f} s {word} the mailbox's: one of the two errs"
    return _bad("time", text, "set the clock, best by the network (NTP)")
