import io

import pytest

from p2pchat.cli.terminal import blobs, lines
from signaling.blob import Kind, encode

REPLY = encode(Kind.REPLY, bytes(range(100)))


async def _blobs(text: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    return ["".join(found.split()) async for found in blobs()]


async def test_lines_end_with_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("a\nb"))
    assert [line async for line in lines()] == ["a\n", "b"]


async def test_a_wrapped_blob_is_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    wrapped = "\n".join(REPLY[start : start + 30] for start in range(0, len(REPLY), 30))
    assert await _blobs(wrapped + "\n", monkeypatch) == [REPLY]
    assert await _blobs(f"{REPLY}\n{REPLY}\n", monkeypatch) == [REPLY, REPLY]


async def test_what_is_no_blob_is_handed_on_to_be_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert await _blobs("hello\n" + REPLY + "\n", monkeypatch) == ["hello", REPLY]
    assert await _blobs(REPLY[:40] + "\n\n" + REPLY + "\n", monkeypatch) == [REPLY[:40], REPLY]
    assert await _blobs(REPLY[:40], monkeypatch) == [REPLY[:40]]
