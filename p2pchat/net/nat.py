"""What the outside sees of us: several servers asked from one socket, and what follows of a NAT.

A NAT that maps one socket to one address, whoever is spoken to, lets two peers find a direct path;
one that maps it anew for each does so rarely (RFC 4787 4.1, RFC 5780 4.3 without its second
address, which public servers do not have). May know sockets; knows nothing of aiortc.
"""

import asyncio
import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, cast

from p2pchat.net.stun import binding_request, mapped_address, parse_url

__all__ = ["Answer", "Question", "Seen", "ask", "dht_question", "kind_of", "stun_question"]

_AGAIN_S = 0.5
"""UDP loses packets, and a server that is busy drops some."""


@dataclass(frozen=True, slots=True)
class Question:
    """One datagram for one server, and who can tell its answer from other things that come."""

    name: str
    host: str
    port: int
    request: bytes
    accepts: Callable[[bytes], bool]


@dataclass(frozen=True, slots=True)
class Answer:
    name: str
    source: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Seen:
    """Where a server saw us come from, and which address of ours that was."""

    server: str
    address: str
    port: int


class _Asking(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.transport: asyncio.DatagramTransport | None = None
        self.waiting: dict[str, Question] = {}
        self.answers: list[Answer] = []
        self.all_came = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        for name, question in list(self.waiting.items()):
            if question.accepts(data):
                del self.waiting[name]
                self.answers.append(Answer(name, addr[0], data))
        if not self.waiting:
            self.all_came.set()

    def error_received(self, exc: Exception) -> None:
        """No route, port unreachable: that server just stays silent."""


async def ask(
    questions: Sequence[Question], local: str, timeout_s: float
) -> tuple[list[Answer], int]:
    """Answers that came in time, and the port asked from, 0 if there was no socket.

    `local`: the IPv4 address to ask from, `0.0.0.0` for any.
    """
    loop = asyncio.get_running_loop()
    try:
        transport, asking = await loop.create_datagram_endpoint(_Asking, local_addr=(local, 0))
    except OSError:
        return [], 0
    places: dict[str, tuple[str, int]] = {}

    async def find(question: Question) -> None:
        try:
            found = await loop.getaddrinfo(
                question.host, question.port, family=socket.AF_INET, type=socket.SOCK_DGRAM
            )
        except OSError:
            return
        places[question.name] = (str(found[0][4][0]), question.port)

    async def repeat() -> None:
        while not asking.all_came.is_set():
            for name, question in list(asking.waiting.items()):
                if name in places:
                    transport.sendto(question.request, places[name])
            try:
                async with asyncio.timeout(_AGAIN_S):
                    await asking.all_came.wait()
            except TimeoutError:
                continue

    try:
        asking.waiting = {question.name: question for question in questions}
        async with asyncio.timeout(timeout_s), asyncio.TaskGroup() as tasks:
            for question in questions:
                tasks.create_task(find(question))
            if questions:
                tasks.create_task(repeat())
    except TimeoutError:
        pass
    finally:
        port = int(transport.get_extra_info("sockname")[1])
        transport.close()
    return asking.answers, port


def stun_question(url: str) -> tuple[Question, Callable[[Answer], Seen]]:
    """A Binding request to `stun:host[:port]`, and how to read its answer. Raises ValueError."""
    host, port = parse_url(url)
    transaction = os.urandom(12)

    def read(answer: Answer) -> Seen:
        mapped = mapped_address(answer.data, transaction)
        assert mapped is not None
        return Seen(answer.source, *mapped)

    def accepts(data: bytes) -> bool:
        return mapped_address(data, transaction) is not None

    return Question(url, host, port, binding_request(transaction), accepts), read


def dht_question(host: str, port: int) -> Question:
    """A ping to a node of the DHT (BEP 5)."""
    transaction = os.urandom(4)
    request = b"d1:ad2:id20:" + os.urandom(20) + b"e1:q4:ping1:t4:" + transaction + b"1:y1:qe"

    def accepts(data: bytes) -> bool:
        # Bencoded dictionaries are sorted, but what stands between differs from node to node.
        return data[:1] == b"d" and b"1:t4:" + transaction in data and b"1:y1:r" in data

    return Question(f"{host}:{port}", host, port, request, accepts)


def kind_of(
    seen: Sequence[Seen], own: Sequence[str], port: int
) -> Literal["open", "same", "differs", "one"]:
    """`open`: no NAT; `same`: one mapping for all servers; `differs`; `one`: only one answered.

    `own`: addresses of this machine; `port`: the one asked from. `seen` is not empty.
    """
    mappings = {(one.address, one.port) for one in seen}
    if len(mappings) > 1:
        return "differs"
    if all(one.address in own and one.port == port for one in seen):
        return "open"
    return "same" if len({one.server for one in seen}) > 1 else "one"
