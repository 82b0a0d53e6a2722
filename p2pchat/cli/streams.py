"""stdin, stdout, stderr and arguments as they come: closed, full, in whatever encoding.

Text comes in through here, and what is no text is refused; what goes out never fails for its
encoding, and where nobody can take it that is told as such, not as a fault of the profile.
"""

import codecs
import errno
import io
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress

from p2pchat.cli.interrupt import unwinding
from p2pchat.errors import BadInput, Error

__all__ = ["STDIN_MAX", "Closed", "check_given", "is_secret", "lost", "read_stdin", "settle"]

STDIN_MAX = 1 << 20
"""Bytes; more than any text or blob may have."""
_SECRETS = ("PASSPHRASE", "PASSWORD")
"""Of variables that may be any bytes: they are hashed, not shown."""


class Closed(Exception):
    """Whoever read our output has had enough; that is no error of ours."""


def settle() -> None:
    """What an output stream cannot encode is replaced, not failed at."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def check_given(arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """Raises errors.BadInput `text-malformed` for bytes that are no text."""
    for number, argument in enumerate(arguments, 1):
        _check(argument, f"argument {number}")
    for name, value in environment.items():
        if name.startswith("P2PCHAT_") and not is_secret(name):
            _check(value, name)


def is_secret(variable: str) -> bool:
    """Whether an environment variable of this name is a secret of ours."""
    return variable.startswith("P2PCHAT_") and variable.endswith(_SECRETS)


def _check(text: str, what: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        # Python keeps bytes that it could not decode as lone surrogates.
        raise _malformed(what, sys.getfilesystemencoding()) from None


def _malformed(what: str, encoding: str) -> BadInput:
    return BadInput(
        "text-malformed",
        f"{what} is not valid {encoding.upper()}",
        "convert it first, for example with iconv; or check the terminal's encoding (LC_ALL)",
    )


def read_stdin(size: int = STDIN_MAX, *, errors: str = "strict") -> str:
    """All that stdin says, `size` bytes at most; Ctrl-C ends it at once.

    Lines end as they do here, wherever they were written. What is no text is taken as `errors`
    says; raises errors.BadInput `text-malformed` where that is `strict`.
    """
    with unwinding():
        try:
            data = sys.stdin.buffer.read(size + 1)
        except AttributeError:  # replaced by an object that has text alone
            return sys.stdin.read(size)
    encoding = sys.stdin.encoding or "utf-8"
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    try:
        # What is cut off may be cut within a character.
        text = decoder.decode(data[:size], final=len(data) <= size)
    except UnicodeDecodeError:
        raise _malformed("what stdin says", encoding) from None
    return text.removeprefix("\ufeff").replace("\r\n", "\n")


def lost(error: OSError, stands: str) -> Exception:
    """What to raise where stdout took nothing; `stands` says what was done before."""
    with suppress(OSError, ValueError):
        # What is held for it would fail once more when the process ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):
        return Closed()
    message = f"the output cannot be written: {error.strerror}"
    return Error(
        "disk-full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "output-unwritable",
        f"{stands}, but {message}" if stands else message,
        "do not run it again: only what it prints is missing"
        if stands
        else "give it a place to write to, and run it again",
    )
