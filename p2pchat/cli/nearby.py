"""nearby, knock."""

import asyncio
import sys
from contextlib import aclosing

import click
import msgspec

from p2pchat import events
from p2pchat.api.attach import Attached
from p2pchat.api.routes.meeting import JoinRequest, KnockAnswerRequest, KnockRequest, NearbyRequest
from p2pchat.cli.command import SECONDS, Common, command
from p2pchat.cli.invite import greet
from p2pchat.cli.output import Output
from p2pchat.errors import Error, Refused
from signaling.tasks import owned_tasks

__all__ = ["knock_", "nearby_"]


@command
@click.option("--visible", is_flag=True, help="Be seen, and be knocked at, while this runs.")
@click.option(
    "--timeout", type=SECONDS, help="Seconds to look (default 3), or with --visible to be seen."
)
async def nearby_(out: Output, common: Common, timeout: float | None, *, visible: bool) -> None:
    """List the people and rooms on this network that can be knocked at: p2pchat knock NAME

    Nobody is listed who did not choose to be: by --visible while it runs, by lan.visible=true, and
    rooms by lan.rooms. What is listed is what they call themselves; anybody can take any name.
    """
    async with common.attach() as node:
        greet(out, node)
        if visible:
            try:
                async with asyncio.timeout(timeout):
                    await _be_seen(out, node)
            except TimeoutError:
                return
        else:
            await _look(out, node, NearbyRequest(timeout=timeout or 3.0))


async def _look(out: Output, node: Attached, request: NearbyRequest) -> None:
    found = False
    async for event in node.client.ask("nearby", request):
        found = True
        out.row(event)
    if not found:
        out.note("nobody is visible on this network; they run: p2pchat nearby --visible")


async def _be_seen(out: Output, node: Attached) -> None:
    """On a terminal, `y` or `n` answers the knock that came last."""
    waiting: list[events.Knock] = []
    async with owned_tasks() as tasks:
        async for event in node.client.ask("nearby", NearbyRequest(visible=True)):
            out.event(event)
            if not isinstance(event, events.Knock):
                continue
            waiting[:] = [one for one in waiting if one.knock != event.knock]
            if event.state == "waiting":
                waiting.append(event)
                if sys.stdin.isatty() and not out.json:
                    out.note("  the same words there? y or n, and Enter")
                    if len(waiting) == 1:
                        tasks.create_task(_answers(out, node, waiting))


async def _answers(out: Output, node: Attached, waiting: list[events.Knock]) -> None:
    from p2pchat.cli.terminal import lines

    async with aclosing(lines()) as typed:
        async for line in typed:
            said = line.strip().lower()
            if not waiting or said not in ("y", "yes", "n", "no"):
                continue
            request = KnockAnswerRequest(knock=waiting[-1].knock, accept=said.startswith("y"))
            try:
                async for _ in node.client.ask("knock-answers", request):
                    pass
            except Error as error:
                out.note(f"p2pchat: {error.message}\nhint: {error.hint}")


@command
@click.argument("whom", metavar="NAME")
@click.option("--yes", is_flag=True, help="Do not ask whether the words are the same.")
@click.option("--no-chat", is_flag=True, help="Do not open the chat afterwards.")
@click.option("--timeout", type=SECONDS, help="Give up after this many seconds.")
async def knock_(
    out: Output, common: Common, whom: str, timeout: float | None, *, yes: bool, no_chat: bool
) -> None:
    """Ask somebody on this network, or a room shown there, to let you in.

    NAME is as p2pchat nearby lists it, or the beginning of the id there; @NAME a person's only.
    Both sides are shown three words. Compare them by voice: they differ if somebody is in between.
    Then the other side runs p2pchat approve YOU; a room's members approve as always.

    On a terminal it asks whether the words were the same before it goes on. Elsewhere nobody is
    there to ask: the other side compares, or nobody does, and p2pchat verify can make up for it.
    """
    joined: events.Joined | None = None
    async with common.attach() as node:
        greet(out, node)
        given: events.Knock | None = None
        async for event in node.client.ask("knocks", KnockRequest(name=whom, timeout=timeout)):
            if isinstance(event, events.Knock) and event.blob is not None:
                given = event
            # The invite is for us alone, and no script needs it.
            out.event(_without_blob(event) if out.json else event)
        assert given is not None
        assert given.blob is not None
        if not yes and not out.json and sys.stdin.isatty() and not await _same(out, given):
            raise Refused(
                "knock-declined",
                f"the words differ: this is not {given.name}, or somebody is in between",
                "use another network, or an invite: p2pchat invite",
            )
        request = JoinRequest(blob=given.blob, timeout=timeout, approval=node.hosted)
        async for event in node.client.ask("joins", request):
            out.event(event)
            if isinstance(event, events.Joined):
                joined = event
        if joined is not None and not no_chat and not out.json and sys.stdin.isatty():
            from p2pchat.cli.chat import chat

            await chat(out, node.client, joined.room, bell=common.config().notify.bell)
        elif node.hosted and joined is not None:
            out.note("to stay reachable run: p2pchat up")


async def _same(out: Output, knock: events.Knock) -> bool:
    """Ask the person, while links to others go on."""
    from p2pchat.cli.terminal import lines

    words = knock.words.replace(" ", "-")
    out.note(f"  were the words the same there, {words}? y or n, and Enter")
    async with aclosing(lines()) as typed:
        async for line in typed:
            said = line.strip().lower()
            if said in ("y", "yes", "n", "no"):
                return said.startswith("y")
    return False


def _without_blob(event: events.Event) -> events.Event:
    return msgspec.structs.replace(event, blob=None) if isinstance(event, events.Knock) else event
