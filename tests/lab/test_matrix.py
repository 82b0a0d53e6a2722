"""A representative part of the table of docs/networks.md; `make lab` runs all of it."""

import pytest

from tests.harness.internet import needs_internet
from tests.lab.matrix import ALL, SOME, Cell, Result, expected, opened, run, table


@pytest.fixture(scope="module")
def results() -> dict[Cell, Result]:
    """All at once, since most of them wait."""
    with opened() as grid:
        found = dict(run(grid, SOME, at_once=6))
    print(table(found))
    return found


@needs_internet("turnserver")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("cell", SOME, ids=str)
def test_people_meet_where_ice_can_and_are_told_where_not(
    results: dict[Cell, Result], cell: Cell
) -> None:
    result = results[cell]
    assert result.outcome == expected(cell), result
    if result.outcome == "fails":
        assert result.code == 5
        # How far it came by that carrier, and what would help: UDP alone cannot be cured by words.
        assert cell.carrier in result.tried, result
        assert result.why
        assert "net.turn" in result.hint or cell.network == "UDP blocked", result
    else:
        assert (result.code, result.via) == (0, cell.carrier)


def test_the_part_that_is_run_has_each_network_carrier_and_choice_of_servers() -> None:
    assert set(SOME) < set(ALL)
    for field in ("network", "carrier", "servers"):
        assert {getattr(cell, field) for cell in SOME} == {getattr(cell, field) for cell in ALL}
    assert {expected(cell) for cell in SOME} == {"direct", "relayed", "fails"}
