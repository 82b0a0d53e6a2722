"""What doctor says of the network; every server is ours, on loopback."""

import os
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from aiohttp import web

from p2pchat import config
from p2pchat.events import Finding
from p2pchat.node import network
from p2pchat.node.network import Situation, examine, mailbox_finding
from signaling.carriers import Answer, Carrier, Offer, Reach, Registration
from signaling.envelope import SlotKeys
from signaling.server.app import Server, Settings
from tests.net.test_nat import mapping
from tests.net.test_stun import response, serve

LO = 'net.interfaces=["lo"]'


def situation(
    *settings: str, carriers: list[Carrier] | None = None, wall: Callable[[], float] = time.time
) -> Situation:
    return Situation(config.load(None, {}, settings), carriers, os.urandom, wall)


async def found(*settings: str, **more: object) -> dict[str, Finding]:
    findings = await examine(situation(*settings, **more))  # type: ignore[arg-type]
    assert len({finding.check for finding in findings}) == len(findings)
    return {finding.check: finding for finding in findings}


class Standing:
    """A carrier that sees so many others."""

    def __init__(self, name: str, others: int) -> None:
        self.name = name
        self._others = others

    def reach(self) -> Reach:
        return Reach(self._others)

    def serve(self, slot: SlotKeys, answer: Answer) -> Registration:
        raise NotImplementedError

    def seek(self, slot: SlotKeys, offer: Offer) -> Registration:
        raise NotImplementedError


async def test_on_loopback_nothing_is_asked_and_nothing_is_wrong() -> None:
    findings = await found(LO, "net.stun=[]")
    assert all(finding.ok for finding in findings.values()), findings
    assert "not tried" in findings["udp"].text
    assert "this machine" in findings["interfaces"].text
    assert "ipv6" not in findings


async def test_on_loopback_nobody_elsewhere_is_asked_even_where_settings_name_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    async def ask(questions: object, *_: object) -> tuple[list[object], int]:
        asked.append(questions)
        return [], 0

    monkeypatch.setattr("p2pchat.net.nat.ask", ask)
    await found(
        LO,
        'net.stun=["stun:stun.example"]',
        'dht.bootstrap=["dht.example:6881"]',
        "mailbox.url=https://mail.example",
    )
    assert not any(asked)
    # An invite may name one as well.
    (kept,) = await mailbox_finding(situation(LO), "wss://mail.example/mailbox")
    assert "not asked" in kept.text
    # With its own interfaces it does ask.
    await network._udp(situation('net.stun=["stun:192.0.2.1"]'))
    assert asked[-1]


async def test_an_interface_that_is_not_there_is_named() -> None:
    finding = (await found('net.interfaces=["lo", "nothing0"]', "lan.enabled=false"))["interfaces"]
    assert not finding.ok
    assert "nothing0" in finding.text
    assert finding.hint


async def test_the_kind_of_nat_is_told_by_two_servers() -> None:
    one, two, other = await serve(response), await serve(response), await serve(mapping)
    findings = await found(LO, f'net.stun=["{one.url}", "{two.url}"]')
    assert findings["udp"].ok
    assert "no NAT" in findings["nat"].text
    symmetric = await found(LO, f'net.stun=["{one.url}", "{other.url}"]')
    assert not symmetric["nat"].ok
    assert "net.turn" in str(symmetric["nat"].hint)


async def test_silence_over_udp_and_a_dead_server_have_remedies() -> None:
    live, dead = await serve(response), await serve(lambda _data, _port: None)
    partly = await found(LO, f'net.stun=["{live.url}", "{dead.url}"]')
    assert partly["udp"].ok
    assert not partly["stun"].ok
    assert dead.url in partly["stun"].text
    silent = await found(LO, f'net.stun=["{dead.url}"]', "lan.enabled=false")
    assert not silent["udp"].ok
    assert silent["udp"].hint
    assert "nat" not in silent
    (bad,) = await network._udp(situation('net.stun=["turn:x"]'))
    assert not bad.ok


async def test_carriers_of_a_running_node_say_whom_they_see() -> None:
    carriers: list[Carrier] = [Standing("lan", 3), Standing("dht", 0)]
    findings = await found(LO, carriers=carriers)
    assert "3 other" in findings["lan"].text
    assert not findings["dht"].ok
    assert (await found(LO, carriers=[Standing("dht", 5)]))["dht"].text.startswith("5 nodes")
    assert not (await found(LO, carriers=[]))["lan"].ok


async def test_nodes_to_start_from_are_asked_where_no_node_runs() -> None:
    dead = await serve(lambda _data, _port: None)
    port = dead.url.rpartition(":")[2]
    findings = await found(LO, f'dht.bootstrap=["127.0.0.1:{port}"]', "lan.enabled=false")
    assert not findings["dht"].ok
    assert dead.asked
    off = await found(LO, "dht.enabled=false", "lan.enabled=false")
    assert off["dht"].ok
    assert off["lan"].ok
    assert off["dht"].hint
    assert off["lan"].hint


async def test_a_mailbox_answers_and_tells_the_time() -> None:
    async with Server.open(Settings(port=0)) as server:
        url = f"mailbox.url=http://127.0.0.1:{server.port}"
        here = await found(LO, url, "lan.enabled=false")
        assert here["mailbox"].ok
        assert here["time"].ok
        late = await found(LO, url, "lan.enabled=false", wall=lambda: time.time() - 600)
        assert not late["time"].ok
        assert "behind" in late["time"].text
        assert late["time"].hint
    gone = await found(LO, url, "lan.enabled=false")
    assert not gone["mailbox"].ok
    assert "p2pchat-signal" in str(gone["mailbox"].hint)


async def test_a_web_server_that_is_no_mailbox_is_told_as_such() -> None:
    runner = web.AppRunner(web.Application())
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        finding = (await mailbox_finding(situation(LO), f"ws://127.0.0.1:{port}/mailbox"))[0]
    finally:
        await runner.cleanup()
    assert not finding.ok
    assert "no mailbox (HTTP 404)" in finding.text


async def test_a_check_that_takes_too_long_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "_LIMIT_S", 0.05)
    finding = (await found(LO))["lan"]
    assert not finding.ok
    assert finding.hint


def test_loopback_is_told_from_names_and_other_addresses() -> None:
    lo = situation(LO)
    assert lo.local
    assert lo.source == "127.0.0.1"
    assert [lo.may_ask(host) for host in ("127.0.0.9", "localhost", "192.0.2.1", "a.example")] == [
        True, True, False, False,
    ]  # fmt: skip
    assert replace(lo, config=config.load(None, {}, ())).may_ask("a.example")
