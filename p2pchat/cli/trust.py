"""verify, proof, alias, block, unblock."""

from pathlib import Path

import click

from p2pchat import events
from p2pchat.api.routes.people import (
    AliasRequest,
    BlockRequest,
    PeerRequest,
    ProofRequest,
    VerifyRequest,
)
from p2pchat.cli.command import Common, command, usage
from p2pchat.cli.invite import greet
from p2pchat.cli.output import Output
from p2pchat.cli.streams import read_stdin
from p2pchat.errors import BadInput

__all__ = ["alias_", "block_", "proof_", "unblock_", "verify_"]

_MARK = "p2pproof"
_PAGE_BYTES_MAX = 1 << 20


@command
@click.argument("peer")
@click.option("--confirm", is_flag=True, help="The numbers agree: the key is theirs.")
@click.option("--revoke", is_flag=True, help="Take that back.")
@click.option("--proof", metavar="FILE|TEXT", help="What you found where only they can write.")
async def verify_(
    out: Output, common: Common, peer: str, proof: str | None, *, confirm: bool, revoke: bool
) -> None:
    """Show the safety number that you and PEER have in common; check that a key is theirs.

    Compare it by other means: read it aloud, or side by side. Both see the same digits, words and
    code; if so, both run it with --confirm. If not, somebody is between you. `--proof` takes a
    page, or a text, with what `p2pchat proof` gave your friend (`-`: from stdin); it counts only if
    nobody else can write there.
    """
    if confirm + revoke + (proof is not None) > 1:
        raise usage("--confirm, --revoke and --proof exclude each other", "give one of them")
    text = _page(proof) if proof is not None else None
    async with common.attach(online=False) as node:
        greet(out, node)
        if not confirm and not revoke and text is None:
            shown = await node.client.one("safety-numbers", PeerRequest(peer=peer))
            out.row(shown)
            if isinstance(shown, events.SafetyNumber) and not shown.verified:
                out.note(
                    "compare it with your friend, not over this chat; if it is the same: "
                    f"p2pchat verify {shown.peer[:8]} --confirm"
                )
            return
        request = VerifyRequest(peer=peer, verified=not revoke, proof=text)
        async for event in node.client.ask("verifications", request):
            out.row(event)
        if text is not None:
            out.note(
                "it counts only if nobody but your friend can write where you found it; "
                "else take it back with --revoke"
            )


def _page(given: str) -> str:
    """The text of a file or of stdin, or `given` itself."""
    if given == "-":
        return read_stdin(_PAGE_BYTES_MAX, errors="replace")
    # A text with a proof in it may be longer than any file's name.
    if _MARK in given.lower():
        return given
    try:
        with Path(given).expanduser().open("rb") as file:
            return file.read(_PAGE_BYTES_MAX).decode("utf-8", "replace")
    except (OSError, ValueError) as error:
        raise BadInput(
            "file-missing",
            f"there is neither a proof in {given[:80]!r} nor a file of that name to read",
            "give the file that you saved, or the text with the line that begins with p2pproof1",
        ) from error


@command
@click.option("--for", "place", default="", metavar="URL", help="Where you will post it.")
async def proof_(out: Output, common: Common, place: str) -> None:
    """Print a signed statement of your key, to post where only you can write.

    On a web page or in a profile, say. Friends who find it there check it with
    `p2pchat verify YOU --proof FILE`. It survives what pages and mail do to text.
    """
    async with common.attach(online=False) as node:
        greet(out, node)
        out.row(await node.client.one("proofs", ProofRequest(place=place)))


@command
@click.argument("peer")
@click.argument("new_name", metavar="[NAME]", default="")
async def alias_(out: Output, common: Common, peer: str, new_name: str) -> None:
    """Call somebody by a name of yours; without NAME by their own again. Nobody is told."""
    async with common.attach(online=False) as node:
        greet(out, node)
        out.row(await node.client.one("aliases", AliasRequest(peer=peer, alias=new_name)))


@command
@click.argument("peer")
async def block_(out: Output, common: Common, peer: str) -> None:
    """Show nothing of what somebody writes, and take no link from them. They are not told."""
    async with common.attach(online=False) as node:
        greet(out, node)
        out.row(await node.client.one("blocks", BlockRequest(peer=peer, blocked=True)))


@command
@click.argument("peer")
async def unblock_(out: Output, common: Common, peer: str) -> None:
    """Hear somebody again; what they wrote meanwhile is shown too."""
    async with common.attach(online=False) as node:
        greet(out, node)
        out.row(await node.client.one("blocks", BlockRequest(peer=peer, blocked=False)))
