import asyncio
from collections.abc import AsyncIterator

import pytest

from p2pchat import events
from p2pchat.cli import terminal
from p2pchat.cli.nearby import _same, _without_blob
from p2pchat.cli.output import Output

KNOCK = events.Knock(knock="ab", name="Ann", words="a b c", state="accepted", blob="p2p1x")


@pytest.mark.parametrize(
    ("typed", "same"), [(["y\n"], True), (["what\n", "No\n"], False), ([], False)]
)
def test_only_a_yes_takes_the_words_for_the_same(
    typed: list[str],
    same: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def lines() -> AsyncIterator[str]:
        for line in typed:
            yield line

    monkeypatch.setattr(terminal, "lines", lines)
    assert asyncio.run(_same(Output(json=False), KNOCK)) is same


def test_no_script_is_shown_the_invite_of_a_knock() -> None:
    shown = _without_blob(KNOCK)
    assert isinstance(shown, events.Knock)
    assert shown.blob is None
    assert shown.words == KNOCK.words
