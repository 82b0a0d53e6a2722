"""Who others are to us: contacts, names, what we have verified of them, and whom we will not hear.

A key that nobody has verified is shown as such everywhere; a name that comes with another key than
the one known under it is told as an event and marked wherever it is shown. Links are made elsewhere
(peers): what this decides about them is only whom we refuse.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from p2pchat import errors, events
from p2pchat.core import proof
from p2pchat.core.chain import Chains
from p2pchat.core.colour import colour
from p2pchat.core.entry import DEVICE, Entry
from p2pchat.core.group import Group
from p2pchat.core.handshake import Proven
from p2pchat.core.identity import Certificate, Identity, id_text
from p2pchat.core.names import Claim, Rank, clashes, skeleton
from p2pchat.core.safety import safety_number
from p2pchat.core.vouching import Word
from p2pchat.node.rooms import Author, Rooms
from p2pchat.node.vouching import Vouching, Write
from p2pchat.store import contacts, trust
from p2pchat.store.contacts import Contact
from p2pchat.store.database import Connection, Database
from p2pchat.store.trust import Mark
from p2pchat.text import checked_name, folded, printable

if TYPE_CHECKING:
    from p2pchat.node.session import Session

__all__ = ["People"]

_PREFIX_MIN = 4


class People:
    """`write` puts an entry of ours into a room; `vouching`: whether we tell whom we verified."""

    def __init__(
        self,
        database: Database,
        rooms: Rooms,
        me: Callable[[], Identity],
        publish: Callable[[events.Event], None],
        wall: Callable[[], float],
        write: Write,
        *,
        vouching: bool,
    ) -> None:
        self._database = database
        self._rooms = rooms
        self._me = me
        self._publish = publish
        self._wall = wall
        self._contacts: dict[bytes, Contact] = {}
        self._marks: dict[bytes, Mark] = {}
        self._vouching = Vouching(rooms, me, write, self._vouched, enabled=vouching)
        self._certificates: dict[bytes, Certificate] | None = None
        """of people in our rooms; None: to be gathered anew"""
        self._clashes: dict[bytes, bytes] | None = None
        """who comes under whose name; None: likewise"""
        self._told: set[tuple[bytes, bytes]] = set()
        self.session: Callable[[bytes], Session | None] = lambda _: None
        self.presence: Callable[[bytes], Literal["online", "away", "offline"] | None]
        self.presence = lambda _: None
        rooms.shown_as = self._author
        rooms.listeners.append(self._heard)

    async def load(self) -> None:
        """Read all of it from the store; rooms are there already."""

        def read(tx: Connection) -> tuple[list[Contact], dict[bytes, Mark], list[Entry]]:
            return contacts.all_contacts(tx), trust.all_marks(tx), self._vouching.read(tx)

        known, self._marks, words = await self._database.read(read)
        self._contacts = {contact.person: contact for contact in known}
        self._changed()
        self._vouching.load(words)

    def _changed(self) -> None:
        self._certificates = self._clashes = None

    # -- contacts ------------------------------------------------------------------------------

    @property
    def contacts(self) -> Iterable[Contact]:
        return self._contacts.values()

    def contact(self, person: bytes) -> Contact | None:
        return self._contacts.get(person)

    def admit(self, tx: Connection, proven: Proven) -> None:
        """Put somebody who came by an invite into the contacts, and make the room of us two."""
        contacts.put(tx, proven.certificate, proven.contact_secret, self._wall())
        self._rooms.create_direct(tx, proven.certificate.person)

    async def met(self, certificate: Certificate) -> Contact | None:
        """A link to its owner stands: keep what it showed."""
        now = self._wall()

        def write(tx: Connection) -> list[Contact]:
            contacts.put(tx, certificate, None, now)
            return contacts.all_contacts(tx)

        self._contacts = {row.person: row for row in await self._database.write(write)}
        self._changed()
        return self._contacts.get(certificate.person)

    async def parted(self, persons: Sequence[bytes]) -> None:
        """The last link to each has ended: that is when we saw them last."""
        now = self._wall()

        def write(tx: Connection) -> None:
            for person in persons:
                contacts.seen(tx, person, now)

        await self._database.write(write)
        for person in persons:
            if (contact := self._contacts.get(person)) is not None:
                self._contacts[person] = replace(contact, last_seen=now)

    async def meet(self, certificate: Certificate, secret: bytes) -> Contact | None:
        """Make a member of a room of ours a contact; None if it is one, or blocked."""
        if certificate.person in self._contacts or self.blocked(certificate.person):
            return None

        def write(tx: Connection) -> list[Contact]:
            contacts.meet(tx, certificate, secret, self._wall())
            return contacts.all_contacts(tx)

        self._contacts = {row.person: row for row in await self._database.write(write)}
        self._changed()
        return self._contacts[certificate.person]

    # -- names ---------------------------------------------------------------------------------

    def _known(self) -> Iterator[bytes]:
        """Contacts, in the order in which they came, then everybody else in our rooms."""
        own = self._me().person
        seen = {own, *self._contacts}
        yield from self._contacts
        for chains in self._rooms.all():
            for person in sorted(chains.members - seen):
                seen.add(person)
                yield person
        for person in sorted(self._marks.keys() - seen):
            yield person

    def certificate(self, person: bytes) -> Certificate | None:
        """The newest that we have of somebody, of a contact or a member."""
        if person == self._me().person:
            return self._me().certificate
        contact = self._contacts.get(person)
        if contact is not None:
            return contact.certificate
        if self._certificates is None:
            self._certificates = {
                certificate.person: certificate
                for chains in self._rooms.all()
                for certificate in chains.certificates.values()
            }
        return self._certificates.get(person)

    def certificates_in(self, room: bytes) -> list[Certificate]:
        """Those of a room's members that are contacts."""
        chains = self._rooms.get(room)
        assert chains is not None
        return [
            contact.certificate
            for person in chains.members
            if (contact := self.contact(person)) is not None
        ]

    def own_name(self, person: bytes) -> str:
        """The name that they chose."""
        certificate = self.certificate(person)
        return certificate.safe_name() if certificate else id_text(person)[:8]

    def name_of(self, person: bytes) -> str:
        """Our alias, else the name that they chose."""
        return self._mark(person).alias or self.own_name(person)

    def _mark(self, person: bytes) -> Mark:
        return self._marks.get(person, _NOTHING)

    def find(self, reference: str, among: Set[bytes] | None = None) -> bytes:
        """Whom an alias, a name or the beginning of an id means, of all or `among` some.

        A name of exactly that case goes first.

        Raises errors.BadInput: `peer-unknown`, `peer-ambiguous`.
        """
        wanted = reference.strip().removeprefix("@")
        known = list(self._known()) if among is None else sorted(among)
        shown = printable(reference)
        found = [person for person in known if wanted and self._mark(person).alias == wanted]
        found = found or [person for person in known if self.own_name(person) == wanted]
        if not found and len(wanted) >= _PREFIX_MIN:
            found = [person for person in known if id_text(person).startswith(wanted.lower())]
        if not found and wanted:
            found = [
                person
                for person in known
                if folded(wanted) in (folded(self.name_of(person)), folded(self.own_name(person)))
            ]
        if not found:
            raise errors.BadInput(
                "peer-unknown",
                f"nobody known here is named {shown!r}",
                "p2pchat peers lists contacts, p2pchat members ROOM those of a room",
            )
        if len(found) > 1:
            ids = ", ".join(id_text(person)[:8] for person in found[:8])
            raise errors.BadInput(
                "peer-ambiguous",
                f"{len(found)} people are named {shown!r}: {ids}",
                "name one by the beginning of the id; p2pchat alias gives a name of your own",
            )
        return found[0]

    def known_as(self, reference: str) -> bytes | None:
        """Whom `find` would find; None where that is nobody."""
        try:
            return self.find(reference)
        except errors.BadInput as error:
            if error.code == "peer-ambiguous":
                raise
            return None

    def clash(self, person: bytes) -> bytes | None:
        """Whom we knew before under the name that this person comes under."""
        if self._clashes is None:
            self._clashes = self._find_clashes()
        return self._clashes.get(person)

    def _find_clashes(self) -> dict[bytes, bytes]:
        claims = []
        for person in (self._me().person, *self._known()):
            contact = self._contacts.get(person)
            rank = Rank.CONTACT if contact else Rank.MEMBER
            if person == self._me().person:
                rank = Rank.OURSELVES
            elif self._mark(person).verified:
                rank = Rank.VERIFIED
            since = contact.created if contact else 0.0
            claims.append(Claim(rank, since, person, self.name_of(person), self.own_name(person)))
        return clashes(claims)

    def name_clash(self, person: bytes) -> events.NameClash | None:
        known = self.clash(person)
        if known is None:
            return None
        return events.NameClash(
            peer=id_text(person),
            name=self.name_of(person),
            known=id_text(known),
            verified=known == self._me().person or self._mark(known).verified,
        )

    def tell_clash(self, person: bytes, *, again: bool = False) -> None:
        """Say so where somebody comes under another's name; `again`: though it was said before."""
        event, known = self.name_clash(person), self.clash(person)
        if event is None or known is None or self.blocked(person):
            return
        if again or (person, known) not in self._told:
            self._told.add((person, known))
            self._publish(event)

    # -- how they are shown --------------------------------------------------------------------

    def verified(self, person: bytes) -> bool | None:
        """None for ourselves."""
        return None if person == self._me().person else self._mark(person).verified

    def _author(self, certificate: Certificate) -> Author:
        person = certificate.person
        clash = self.clash(person)
        return Author(
            name=self._mark(person).alias or certificate.safe_name(),
            colour=colour(person),
            verified=self.verified(person),
            clash=id_text(clash) if clash else None,
            blocked=self._mark(person).blocked,
        )

    def vouchers(self, person: bytes) -> list[events.Voucher]:
        """Those of whom we have verified that say to have verified this person."""
        if person == self._me().person:
            return []
        trusted = [
            voucher for voucher, mark in self._marks.items() if mark.verified and not mark.blocked
        ]
        return [
            events.Voucher(peer=id_text(voucher), name=self.name_of(voucher))
            for voucher in self._vouching.vouchers(person, sorted(trusted))
        ]

    def row(self, person: bytes) -> events.Peer:
        """All that we know of somebody."""
        session, mark = self.session(person), self._mark(person)
        clash = self.clash(person)
        return events.Peer(
            peer=id_text(person),
            name=self.name_of(person),
            state="connected" if session else "disconnected",
            via=session.via if session else None,
            path=session.path if session else None,
            verified=self.verified(person),
            forked=any(person in self._rooms.forked(chains.room) for chains in self._rooms.all()),
            last_seen=self._last_seen(person),
            how=mark.how,
            place=mark.place or None,
            own_name=self.own_name(person) if mark.alias else None,
            blocked=mark.blocked,
            vouchers=self.vouchers(person),
            clash=id_text(clash) if clash else None,
            colour=colour(person),
            presence=self.presence(person),
        )

    def _last_seen(self, person: bytes) -> str | None:
        contact = self.contact(person)
        return events.rfc3339(contact.last_seen) if contact and contact.last_seen else None

    def rows(self) -> list[events.Peer]:
        """Contacts, and whoever else we have said something of."""
        others = [person for person in self._marks if person not in self._contacts]
        return [self.row(person) for person in (*self._contacts, *sorted(others))]

    def members(self, chains: Chains, online: set[str]) -> list[events.Member]:
        own, forked = self._me().person, self._rooms.forked(chains.room)
        found = []
        for person in sorted(chains.members):
            clash = self.clash(person)
            found.append(
                events.Member(
                    room=id_text(chains.room),
                    peer=id_text(person),
                    name=self.name_of(person),
                    online=id_text(person) in online or person == own,
                    me=person == own,
                    role=_role(chains, person),
                    forked=person in forked,
                    verified=self.verified(person),
                    blocked=self.blocked(person),
                    vouchers=self.vouchers(person),
                    clash=id_text(clash) if clash else None,
                    colour=colour(person),
                    presence=self.presence(person),
                    last_seen=self._last_seen(person),
                )
            )
        return found

    # -- what we say of them -------------------------------------------------------------------

    async def _put(self, person: bytes, mark: Mark) -> None:
        await self._database.write(lambda tx: trust.put(tx, person, mark))
        if mark == _NOTHING:
            self._marks.pop(person, None)
        else:
            self._marks[person] = mark
        self._changed()

    async def rename(self, person: bytes, alias: str) -> events.Peer:
        """Show somebody under a name of ours; an empty one takes it away.

        Raises errors.Refused `alias-taken`, errors.BadInput for a bad name.
        """
        if alias:
            alias = checked_name(alias)
            for other in (self._me().person, *self._known()):
                names = {skeleton(self.name_of(other)), skeleton(self.own_name(other))}
                if other != person and skeleton(alias) in names:
                    raise errors.Refused(
                        "alias-taken",
                        f"{alias!r} is, or looks like, the name of {id_text(other)[:8]}",
                        "choose another alias",
                    )
        await self._put(person, replace(self._mark(person), alias=alias))
        return self.row(person)

    def blocked(self, person: bytes) -> bool:
        return self._mark(person).blocked

    async def block(self, person: bytes, *, blocked: bool) -> None:
        """Hear nothing more of somebody, or again. Links are the caller's."""
        await self._put(person, replace(self._mark(person), blocked=blocked))

    async def number(self, person: bytes) -> events.SafetyNumber:
        """What both compare."""
        found = await asyncio.to_thread(safety_number, self._me().person, person)
        mark = self._mark(person)
        return events.SafetyNumber(
            peer=id_text(person),
            name=self.name_of(person),
            number=" ".join(found.digits),
            words=" ".join(found.words),
            qr=found.qr,
            verified=mark.verified,
            how=mark.how,
            vouchers=self.vouchers(person),
        )

    async def confirm(self, person: bytes) -> events.Peer:
        """Both have seen the same safety number."""
        mark = self._mark(person)
        if mark.how != "number":
            await self._put(person, replace(mark, how="number", place="", since=self._wall()))
        await self._vouching.say(person, verified=True)
        return self.row(person)

    async def revoke(self, person: bytes) -> events.Peer:
        """Take a verification back, and our word for it."""
        await self._put(person, replace(self._mark(person), how=None, place="", since=0.0))
        await self._vouching.say(person, verified=False)
        return self.row(person)

    async def check(self, person: bytes, text: str) -> events.Proof:
        """Verify somebody by a proof that was found where only they can write.

        Raises errors.BadInput, errors.Refused as `core.proof.find`.
        """
        found = await asyncio.to_thread(proof.find, text, person)
        place = printable(found.place)
        mark = self._mark(person)
        # To have compared numbers is more, and stays.
        if mark.how != "number":
            await self._put(person, replace(mark, how="proof", place=place, since=self._wall()))
        return events.Proof(
            peer=id_text(person),
            name=found.safe_name(),
            time=events.rfc3339(found.time),
            place=place or None,
        )

    def proof(self, place: str) -> events.Proof:
        """A statement of our key, to post. Raises errors.Usage for a bad place."""
        me, now = self._me(), self._wall()
        text = proof.make(me, now, place)
        return events.Proof(
            peer=id_text(me.person),
            name=me.certificate.safe_name(),
            time=events.rfc3339(int(now)),
            place=place.strip() or None,
            text=text,
        )

    # -- what comes in -------------------------------------------------------------------------

    def _heard(self, room: bytes, entries: Sequence[Entry], source: object) -> None:
        """New entries are on disk (`rooms.Listener`)."""
        del source
        chains = self._rooms.get(room)
        assert chains is not None
        devices = {entry.header.device for entry in entries if entry.header.kind == DEVICE}
        for device in devices:
            certificate = chains.certificates.get(device)
            if certificate is None:
                continue
            person = certificate.person
            if (contact := self._contacts.get(person)) is not None:
                self._contacts[person] = replace(contact, certificate=certificate)
            self._changed()
            self.tell_clash(person)

    def moved(self, chains: Chains) -> None:
        """Members of a room have come or gone."""
        self._changed()
        self._vouching.retry()
        for person in list(chains.members):
            self.tell_clash(person)

    async def vouch(self, group: Group) -> None:
        """Say in a room whom of its members we vouch for, if we have not yet."""
        await self._vouching.follow(group)

    def when_keyed(self, again: Callable[[Group], None]) -> None:
        """Have `again` hear of rooms to `vouch` in that had no key when that was tried."""
        self._vouching.keyed = again

    def _vouched(self, word: Word) -> None:
        own, verified = self._me().person, self._mark(word.author).verified
        # A word of somebody unverified is worth nothing, but what is said of us we should know.
        if self.blocked(word.author) or not (verified or word.subject == own):
            return
        self._publish(
            events.Vouch(
                author=id_text(word.author),
                author_name=self.name_of(word.author),
                peer=id_text(word.subject),
                name=self.name_of(word.subject),
                vouches=word.verified,
                verified=verified,
                me=word.subject == own,
            )
        )


def _role(chains: Chains, person: bytes) -> Literal["admin", "member"] | None:
    if not isinstance(chains, Group):
        return None
    return "admin" if chains.membership.is_admin(person) else "member"


_NOTHING = Mark()
