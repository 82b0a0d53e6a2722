"""A blob works once, for one device, whatever happens in between."""

from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from p2pchat.store import database as database_module
from p2pchat.store import groups, invites
from p2pchat.store.database import Connection, Database
from tests.store.conftest import ROOM

ID = b"invite-1"


async def test_an_invite_goes_from_open_over_claimed_to_used(database: Database) -> None:
    async def state() -> list[str]:
        return [row.state for row in await database.read(invites.living)]

    await database.write(lambda tx: invites.add(tx, ID, b"secret", 100.5))
    (row,) = await database.read(invites.living)
    assert row == invites.InviteRow(ID, b"secret", 100.5, "open")
    await database.write(lambda tx: invites.use(tx, ID))
    assert await state() == ["open"]  # nobody has claimed it
    assert await database.write(lambda tx: invites.claim(tx, ID, b"device")) is None
    assert await state() == ["claimed"]
    assert await database.write(lambda tx: invites.claim(tx, ID, b"another")) == "invite-used"
    assert await database.write(lambda tx: invites.claim(tx, ID, b"device")) is None
    await database.write(lambda tx: invites.use(tx, ID))
    assert await state() == ["used"]
    assert await database.write(lambda tx: invites.claim(tx, ID, b"device")) is None
    assert await state() == ["used"]
    assert await database.write(lambda tx: invites.claim(tx, ID, b"another")) == "invite-used"


async def test_a_withdrawn_invite_cannot_be_claimed(database: Database) -> None:
    await database.write(lambda tx: invites.add(tx, ID, b"secret", 100))
    assert await database.write(lambda tx: invites.withdraw(tx, ID))
    assert not await database.write(lambda tx: invites.withdraw(tx, ID))
    assert await database.write(lambda tx: invites.claim(tx, ID, b"d")) == "invite-withdrawn"


async def test_a_claim_outlives_the_process(path: Path, key: bytes) -> None:
    first = await Database.open(path, key)
    await first.write(lambda tx: invites.add(tx, ID, b"secret", 100))
    await first.write(lambda tx: invites.claim(tx, ID, b"device"))
    await first.aclose()
    second = await Database.open(path, key)
    assert await second.write(lambda tx: invites.claim(tx, ID, b"another")) == "invite-used"
    assert await second.write(lambda tx: invites.claim(tx, ID, b"device")) is None
    await second.aclose()


async def test_three_guesses_lock_an_invite_for_good(path: Path, key: bytes) -> None:
    first = await Database.open(path, key)
    await first.write(lambda tx: invites.add(tx, ID, b"secret", 100, b"password"))
    (row,) = await first.read(invites.living)
    assert row.password == b"password"
    assert await first.write(lambda tx: invites.guess(tx, ID)) == 2
    assert await first.write(lambda tx: invites.guess(tx, ID)) == 1
    await first.aclose()
    second = await Database.open(path, key)
    assert await second.write(lambda tx: invites.guess(tx, ID)) == 0
    for _ in range(2):
        assert await second.write(lambda tx: invites.guess(tx, ID)) == "invite-locked"
    assert await second.write(lambda tx: invites.withdraw(tx, ID))
    assert await second.write(lambda tx: invites.guess(tx, ID)) == "invite-locked"
    await second.aclose()


async def test_the_right_guess_is_given_back_with_the_claim(database: Database) -> None:
    await database.write(lambda tx: invites.add(tx, ID, b"secret", 100, b"password"))
    assert await database.write(lambda tx: invites.guess(tx, ID)) == 2
    for _ in range(4):  # the device that has it comes again and again
        assert await database.write(lambda tx: invites.guess(tx, ID)) == 1
        assert await database.write(lambda tx: invites.claim(tx, ID, b"device")) is None
    # Another who knows the password hears the truth, and its guesses stay counted.
    for left in (1, 0):
        assert await database.write(lambda tx: invites.guess(tx, ID)) == left
        assert await database.write(lambda tx: invites.claim(tx, ID, b"other")) == "invite-used"
    assert await database.write(lambda tx: invites.guess(tx, ID)) == "invite-used"


async def test_a_withdrawn_or_unknown_invite_is_not_guessed_at(database: Database) -> None:
    await database.write(lambda tx: invites.add(tx, ID, b"secret", 100, b"password"))
    await database.write(lambda tx: invites.withdraw(tx, ID))
    assert await database.write(lambda tx: invites.guess(tx, ID)) == "invite-withdrawn"
    assert await database.write(lambda tx: invites.guess(tx, b"?")) == "invite-withdrawn"


async def test_the_guesses_at_a_code_are_given_back_once(database: Database) -> None:
    await database.write(lambda tx: invites.add(tx, ID, b"secret", 100, b"words", 4))
    (row,) = await database.read(invites.living)
    assert (row.password, row.nameplate) == (b"words", 4)
    assert await database.write(lambda tx: invites.guess(tx, ID)) == 2
    assert await database.write(lambda tx: invites.guess(tx, ID)) == 1
    await database.write(lambda tx: invites.right(tx, ID))
    # The claim of whoever it was delivered to is no right guess besides.
    assert await database.write(lambda tx: invites.claim(tx, ID, b"device")) is None
    assert await database.write(lambda tx: invites.guess(tx, ID)) == 1


async def test_a_code_that_was_guessed_at_thrice_is_not_claimed(database: Database) -> None:
    await database.write(lambda tx: invites.add(tx, ID, b"secret", 100, b"words", 4))
    for left in (2, 1, 0):
        assert await database.write(lambda tx: invites.guess(tx, ID)) == left
    assert await database.write(lambda tx: invites.claim(tx, ID, b"device")) == "invite-locked"


async def test_what_has_expired_is_forgotten_with_where_it_led(database: Database) -> None:
    def work(tx: Connection) -> None:
        for id_, expires in ((ID, 100), (b"later", 200)):
            invites.add(tx, id_, b"secret", expires)
            groups.set_invite_room(tx, id_, ROOM, ask=False)
        invites.forget_expired(tx, 150)

    await database.write(work)
    assert [row.id for row in await database.read(invites.living)] == [b"later"]
    assert await database.read(lambda tx: groups.invite_room(tx, ID)) is None
    assert await database.read(lambda tx: groups.invite_room(tx, b"later")) is not None


class Invites(RuleBasedStateMachine):
    """The table against a dictionary."""

    ids = st.sampled_from([b"a", b"b", b"c"])
    devices = st.sampled_from([b"x", b"y"])

    def __init__(self) -> None:
        super().__init__()
        self.tx, self.reader = database_module._prepare(Path(":memory:"), bytes(32))
        self.known: dict[bytes, tuple[str, bytes, float]] = {}
        self.admitted: dict[bytes, set[bytes]] = {}

    def teardown(self) -> None:
        self.tx.close()
        self.reader.close()

    @rule(id_=ids, expires=st.integers(1, 9))
    def add(self, id_: bytes, expires: int) -> None:
        if id_ not in self.known:
            invites.add(self.tx, id_, b"s", expires)
            self.known[id_] = ("open", b"", expires)
            self.admitted[id_] = set()

    @rule(id_=ids, device=devices)
    def claim(self, id_: bytes, device: bytes) -> None:
        answer = invites.claim(self.tx, id_, device)
        state, holder, expires = self.known.get(id_, ("dead", b"", 0))
        if state == "open":
            self.known[id_] = ("claimed", device, expires)
        if answer is None:
            self.admitted[id_].add(device)
        expected = {"open": None, "dead": "invite-withdrawn"}
        assert answer == expected.get(state, None if holder == device else "invite-used")

    @rule(id_=ids)
    def use(self, id_: bytes) -> None:
        invites.use(self.tx, id_)
        state, holder, expires = self.known.get(id_, ("dead", b"", 0))
        if state == "claimed":
            self.known[id_] = ("used", holder, expires)

    @rule(id_=ids)
    def withdraw(self, id_: bytes) -> None:
        state, holder, expires = self.known.get(id_, ("dead", b"", 0))
        assert invites.withdraw(self.tx, id_) == (state == "open")
        if state == "open":
            self.known[id_] = ("dead", holder, expires)

    @rule(before=st.integers(0, 10))
    def forget(self, before: int) -> None:
        invites.forget_expired(self.tx, before)
        self.known = {id_: row for id_, row in self.known.items() if row[2] >= before}

    @invariant()
    def the_table_agrees(self) -> None:
        rows = {row.id: (row.state, row.expires) for row in invites.living(self.tx)}
        assert rows == {id_: (row[0], row[2]) for id_, row in self.known.items()}

    @invariant()
    def nobody_shares_an_invite(self) -> None:
        assert all(len(devices) <= 1 for devices in self.admitted.values())


TestInvites = Invites.TestCase
TestInvites.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
