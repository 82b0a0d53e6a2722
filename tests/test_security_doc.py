"""docs/security.md promises nothing that no test guards."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "docs" / "security.md").read_text()
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", TEXT)


def promises() -> list[str]:
    """What stands in a list under `Cannot:`."""
    found: list[str] = []
    within = False
    for line in TEXT.splitlines():
        if not line.startswith("- ") and line:
            within = line.startswith("Cannot")
        elif within and line:
            found.append(line)
    return found


@pytest.mark.parametrize(("path", "name"), sorted(set(NAMED)))
def test_every_test_that_a_promise_names_is_there(path: str, name: str) -> None:
    tree = ast.parse((ROOT / path).read_text())
    functions = {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert name in functions


def test_every_promise_names_a_test() -> None:
    assert len(promises()) > 40
    assert [line for line in promises() if "::" not in line] == []


def test_all_adversaries_are_dealt_with() -> None:
    for heading in TEXT.split("\n## ")[1:]:
        if not heading.startswith("Beside others"):
            assert "an:\n" in heading or "an, besides" in heading, heading[:40]
            assert "Cannot:\n" in heading, heading[:40]
