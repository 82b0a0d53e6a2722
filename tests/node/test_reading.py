"""What is read of a message is what its author, and each person, said last."""

import msgspec

from p2pchat import events
from p2pchat.core.entry import (
    DELETE,
    EDIT,
    PIN,
    REACTION,
    DeleteBody,
    EditBody,
    PinBody,
    ReactionBody,
)
from p2pchat.core.identity import Identity, id_text
from tests.node.desk import Desk


async def test_nobody_edits_or_deletes_what_another_wrote(desks: tuple[Desk, Desk]) -> None:
    near, far = desks
    entry = await near.say("mine")
    await far.take(near.committed[0])
    await far.write(EDIT, EditBody(entry.id, "yours"))
    await far.write(DELETE, DeleteBody(entry.id))
    for entries in far.committed[1:]:
        await near.take(entries)
    for desk in (near, far):
        assert [(one.text, one.edited) for one in await desk.read()] == [("mine", False)]
        assert desk.changes() == []
        assert (await desk.bodies())[entry.id] is not None


async def test_reactions_and_pins_are_toggled(
    desks: tuple[Desk, Desk], ann: Identity, bob: Identity
) -> None:
    near, far = desks
    entry = await near.say("well?")
    await near.write(REACTION, ReactionBody(entry.id, "\N{THUMBS UP SIGN}", True))
    await near.write(PIN, PinBody(entry.id, True))
    for entries in near.committed:
        await far.take(entries)
    await far.write(REACTION, ReactionBody(entry.id, "\N{THUMBS UP SIGN}", True))
    await far.write(REACTION, ReactionBody(entry.id, "no", True))
    await far.write(REACTION, ReactionBody(entry.id, "no", False))
    message = (await far.read())[0]
    both = [id_text(ann.person), id_text(bob.person)]
    assert message.reactions == [events.Reaction(text="\N{THUMBS UP SIGN}", peers=both)]
    assert message.pinned
    assert [one.id for one in await far.rooms.pinned(far.room)] == [message.id]
    await far.write(PIN, PinBody(entry.id, False))
    assert await far.rooms.pinned(far.room) == []
    assert far.changes()[-2:] == [("reaction", "no", False), ("pinned", None, False)]


async def test_an_edit_of_a_message_without_its_body_shows_nothing(
    desks: tuple[Desk, Desk],
) -> None:
    near, far = desks
    entry = await near.say("for a while", 60)
    await near.write(EDIT, EditBody(entry.id, "for how long?"))
    whole = [one for entries in near.committed for one in entries]
    await far.take(
        [msgspec.structs.replace(one, body=None) if one is entry else one for one in whole]
    )
    assert await far.texts() == await far.texts("how") == []
    assert [event for event in far.shown if isinstance(event, events.Message)] == []
