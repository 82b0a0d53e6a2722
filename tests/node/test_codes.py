"""Spoken codes over the LAN carrier: who knows the words comes in, who guesses is heard."""

import asyncio
import os
from contextlib import suppress
from pathlib import Path

import pytest

from p2pchat import errors, events
from p2pchat.node.codes import _Join
from p2pchat.node.node import Node
from p2pchat.node.password import Guarded
from signaling.carriers.lines import Line
from signaling.code import Code
from signaling.pairing import Broken, Guess, Guest, Host, Send
from signaling.words import NOUNS
from tests.node.people import WAIT_S, heard, person


def _wrong(code: str | None, times: int = 1) -> str:
    """The code with another noun."""
    assert code is not None
    right = Code.parse(code)
    noun = NOUNS[(NOUNS.index(right.noun) + times) % len(NOUNS)]
    return Code(right.nameplate, right.adjective, noun).text()


async def _code_of(guest: Node, text: str) -> str:
    """The code of the error that a join comes to."""
    with pytest.raises(errors.Refused) as caught:
        await guest.join(text, timeout=WAIT_S)
    return caught.value.code


async def test_who_was_told_the_code_comes_in(tmp_path: Path) -> None:
    async with person(tmp_path, "Ann", lan=True) as ann, person(tmp_path, "Bob", lan=True) as bob:
        invitation = await ann.invite(code=True)
        assert invitation.event.code == invitation.code
        assert invitation.code is not None
        number, adjective, noun = invitation.code.split("-")
        typed = f"{number} {adjective[:3].upper()} {noun}"
        assert (await bob.join(typed, timeout=WAIT_S)).name == "Ann"
        async with asyncio.timeout(WAIT_S):
            assert (await invitation.wait()).name == "Bob"


async def test_a_wrong_code_is_told_to_both_and_the_right_one_still_opens(tmp_path: Path) -> None:
    async with person(tmp_path, "Ann", lan=True) as ann, person(tmp_path, "Bob", lan=True) as bob:
        invitation = await ann.invite(code=True)
        with ann.events() as feed:
            with pytest.raises(errors.Refused) as caught:
                await bob.join(_wrong(invitation.code), timeout=WAIT_S)
            note = await heard(feed, events.Note, code="password-wrong", left=2)
        assert caught.value.code == "password-wrong"
        assert "2 tries are left" in caught.value.message
        assert "code" in note.text
        assert note.invite == invitation.id
        assert await ann.peers() == []
        assert (await bob.join(str(invitation.code), timeout=WAIT_S)).name == "Ann"


async def test_three_wrong_codes_end_it_across_a_restart(tmp_path: Path) -> None:
    async with person(tmp_path, "Eve", lan=True) as eve:
        async with person(tmp_path, "Ann", lan=True) as ann:
            code = str((await ann.invite(code=True)).code)
            assert [await _code_of(eve, _wrong(code, n)) for n in (1, 2)] == ["password-wrong"] * 2
        async with person(tmp_path, "Ann", lan=True) as ann:
            with ann.events() as feed:
                assert await _code_of(eve, _wrong(code, 3)) == "password-wrong"
                await heard(feed, events.Note, code="password-wrong", left=0)
            assert await _code_of(eve, code) == "invite-locked"
        async with person(tmp_path, "Ann", lan=True) as ann:
            assert await _code_of(eve, code) == "invite-locked"
            assert await ann.peers() == []


async def test_without_the_count_the_words_could_be_tried_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def uncounted(self: Guarded) -> int:
        return 2

    monkeypatch.setattr(Guarded, "begin", uncounted)
    async with person(tmp_path, "Ann", lan=True) as ann, person(tmp_path, "Eve", lan=True) as eve:
        code = str((await ann.invite(code=True)).code)
        for times in range(1, 5):
            assert await _code_of(eve, _wrong(code, times)) == "password-wrong"
        assert (await eve.join(code, timeout=WAIT_S)).name == "Ann"


async def test_a_code_outlives_a_restart_and_right_guesses_do_not_count(tmp_path: Path) -> None:
    async with person(tmp_path, "Bob", lan=True) as bob:
        async with person(tmp_path, "Ann", lan=True) as ann:
            code = str((await ann.invite(code=True)).code)
            codes = bob.online_parts.codes
            blobs = [await codes.fetch(code, WAIT_S, lambda _: None) for _ in range(4)]
            assert len(set(blobs)) == 1
        async with person(tmp_path, "Ann", lan=True):
            assert (await bob.join(code, timeout=WAIT_S)).name == "Ann"


async def test_whoever_waits_hears_that_the_code_is_dead(tmp_path: Path) -> None:
    async with person(tmp_path, "Ann", lan=True) as ann, person(tmp_path, "Eve", lan=True) as eve:
        invitation = await ann.invite(code=True)
        blob = await eve.online_parts.codes.fetch(str(invitation.code), WAIT_S, lambda _: None)
        for times in (1, 2, 3):
            await _code_of(eve, _wrong(invitation.code, times))
        with pytest.raises(errors.Refused) as caught:
            async with asyncio.timeout(WAIT_S):
                await invitation.wait()
        assert caught.value.code == "invite-locked"
        assert "codes" in caught.value.message
        # What was delivered before is dead as well.
        assert await _code_of(eve, blob) == "invite-locked"


async def test_what_cannot_work_is_said_at_once(tmp_path: Path) -> None:
    async with person(tmp_path, "Ann", lan=True) as ann, person(tmp_path, "Bob") as bob:
        code = str((await ann.invite(code=True)).code)
        assert await _code_of(ann, code) == "invite-own"
        with pytest.raises(errors.BadInput) as malformed:
            await bob.join("4-acit-pelican")
        assert malformed.value.code == "code-malformed"
        with pytest.raises(errors.Unreachable, match="no discovery, mailbox or DHT"):
            await bob.join(code)
        with pytest.raises(errors.Unreachable, match="no discovery, mailbox or DHT"):
            await bob.invite(code=True)
        with pytest.raises(errors.Usage):
            await ann.invite(code=True, password="acid")
        with pytest.raises(errors.Unreachable) as nobody:
            await ann.join(
                _wrong(code).replace(code.split("-", maxsplit=1)[0], "9999", 1), timeout=0.5
            )
        assert "nobody" in nobody.value.message


class _HangsUp:
    """A line whose guest guesses wrongly, and is gone when it should be told so."""

    def __init__(self, nameplate: int) -> None:
        self._machine = Guest(nameplate, b"a guess" * 4, os.urandom)
        self._frames = [out.frame for out in self._machine.outputs() if isinstance(out, Send)]
        self._proven = False

    async def send(self, frame: bytes) -> None:
        if self._proven:
            raise ConnectionResetError
        self._machine.receive(frame)
        assert [*self._machine.outputs()] == [Guess()]
        self._machine.guess()
        self._proven = True
        self._frames += [out.frame for out in self._machine.outputs() if isinstance(out, Send)]

    async def receive(self) -> bytes:
        return self._frames.pop(0)


async def test_a_guesser_who_hangs_up_is_told_of_all_the_same(tmp_path: Path) -> None:
    async with person(tmp_path, "Ann", lan=True) as ann:
        invitation = await ann.invite(code=True)
        codes = ann.online_parts.codes
        (hosted,) = codes._hosted.values()
        with ann.events() as feed:
            with pytest.raises(ConnectionResetError):
                await codes._answer(hosted, codes._guarded(hosted), _HangsUp(hosted.nameplate))
            note = await heard(feed, events.Note, code="password-wrong")
        assert (note.left, note.invite) == (2, invitation.id)


class _Imposter:
    """A line at whose other end somebody guesses in the host's place, and hangs up."""

    def __init__(self, *, answers: bool = True) -> None:
        self.machine = Host(4, b"a guess" * 4, b"", os.urandom)
        self.proofs = 0
        self._answers = answers

    async def send(self, frame: bytes) -> None:
        self.machine.receive(frame)

    async def receive(self) -> bytes:
        for output in self.machine.outputs():
            match output:
                case Send(frame) if self._answers:
                    return frame
                case Guess():
                    self.proofs += 1
                case Broken():
                    raise AssertionError
        raise EOFError


async def test_of_all_who_answer_one_sees_our_proof() -> None:
    join = _Join(Code(4, "acid", "pelican"), os.urandom)
    silent: Line = _Imposter(answers=False)
    with pytest.raises(EOFError):
        await join.talk(silent)
    assert not join.outcome.done()  # it saw nothing, so the others are still asked
    imposters = [_Imposter() for _ in range(5)]
    for imposter in imposters:
        with suppress(EOFError):
            await join.talk(imposter)
    assert sum(imposter.proofs for imposter in imposters) == 1
    with pytest.raises(errors.Unreachable, match="in the middle"):
        await join.outcome
