"""What the doctor looks at."""

from pathlib import Path

import pytest

from p2pchat import errors
from tests.node.people import person


async def test_without_an_invite_profile_and_network_are_looked_at(tmp_path: Path) -> None:
    async with person(tmp_path, "Ann", online=False) as ann:
        checks = [finding.check async for finding in ann.doctor()]
    assert {"journal", "interfaces"} <= set(checks)
    assert checks.index("journal") < checks.index("interfaces")


async def test_an_invite_is_looked_at_in_their_place(tmp_path: Path) -> None:
    async with person(tmp_path, "Ann") as ann:
        blob = (await ann.invite()).blob
        own = [finding async for finding in ann.doctor(blob)]
        assert "journal" not in {finding.check for finding in own}
        assert not all(finding.ok for finding in own), "it is our own"
        with pytest.raises(errors.BadInput):
            [_ async for _ in ann.doctor("no invite")]
