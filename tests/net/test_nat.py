"""Several servers asked from one socket; every server here is a socket of ours on 127.0.0.x."""

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pchat.net.nat import Answer, Question, Seen, ask, dht_question, kind_of, stun_question
from tests.net.test_stun import response, serve

HERE = "127.0.0.1"


def mapping(request: bytes, port: int) -> bytes:
    """A NAT that maps us to another port than ours."""
    return response(request, port ^ 1)


async def test_two_servers_that_see_one_address_are_told_apart_from_two_that_do_not() -> None:
    one, two, other = await serve(response), await serve(response), await serve(mapping)
    for servers, kind in (((one, two), "open"), ((one, other), "differs")):
        questions, readers = zip(*(stun_question(server.url) for server in servers), strict=True)
        answers, port = await ask(questions, HERE, 5)
        read = dict(zip([question.name for question in questions], readers, strict=True))
        seen = [read[answer.name](answer) for answer in answers]
        assert kind_of(seen, [HERE], port) == kind
        assert {one.address for one in seen} == {HERE}


@pytest.mark.parametrize(
    ("seen", "kind"),
    [
        ([Seen("a", "203.0.113.1", 5)], "one"),
        ([Seen("a", "203.0.113.1", 5), Seen("b", "203.0.113.1", 5)], "same"),
        ([Seen("a", "203.0.113.1", 5), Seen("b", "203.0.113.1", 6)], "differs"),
        # Two ports of one server prove nothing of others.
        ([Seen("a", "203.0.113.1", 5), Seen("a", "203.0.113.1", 5)], "one"),
        ([Seen("a", HERE, 4)], "open"),
        # An address of ours with another port is a NAT of our own.
        ([Seen("a", HERE, 5)], "one"),
    ],
)
def test_what_follows_of_what_servers_see(seen: list[Seen], kind: str) -> None:
    assert kind_of(seen, [HERE], 4) == kind


async def test_a_lost_packet_is_asked_again_and_a_dead_server_costs_the_time_given() -> None:
    lost = []

    def forgetful(request: bytes, port: int) -> bytes | None:
        lost.append(request)
        return response(request, port) if len(lost) > 1 else None

    live, dead = await serve(forgetful), await serve(lambda _data, _port: None)
    questions = [stun_question(server.url)[0] for server in (live, dead)]
    answers, _ = await ask(questions, HERE, 1.5)
    assert [answer.name for answer in answers] == [live.url]
    assert dead.asked > 1


async def test_a_node_of_the_dht_is_known_by_its_answer() -> None:
    def pong(request: bytes, _port: int) -> bytes:
        start = request.index(b"1:t4:") + 5
        token = request[start : start + 4]
        return b"d1:rd2:id20:" + bytes(20) + b"e1:t4:" + token + b"1:y1:re"

    def refuses(request: bytes, port: int) -> bytes:
        return pong(request, port).replace(b"1:y1:re", b"1:y1:ee")

    for answer, known in ((pong, 1), (refuses, 0)):
        server = await serve(answer)
        port = int(server.url.rpartition(":")[2])
        answers, _ = await ask([dht_question(HERE, port)], HERE, 1)
        assert len(answers) == known


async def test_without_a_socket_or_a_name_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror("no such name")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert await ask([], "192.0.2.7", 1) == ([], 0)
    question = Question("x", "name.invalid", 1, b"?", lambda _: True)
    answers, port = await ask([question], HERE, 0.5)
    assert answers == []
    assert port > 0


@given(st.binary(max_size=64))
def test_rubbish_is_nobodys_answer(data: bytes) -> None:
    assert not stun_question("stun:127.0.0.1")[0].accepts(data)
    assert not dht_question(HERE, 1).accepts(data)


def test_an_address_of_a_server_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="stun"):
        stun_question("turn:127.0.0.1")


def test_an_answer_is_read_with_the_server_it_came_from() -> None:
    question, read = stun_question("stun:127.0.0.1:9")
    data = response(question.request, 77)
    assert read(Answer(question.name, "127.0.0.9", data)) == Seen("127.0.0.9", HERE, 77)
