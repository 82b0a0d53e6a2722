import html
import os
import textwrap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pchat import errors
from p2pchat.core import proof
from p2pchat.core.identity import Identity

ANN = Identity.create("Ann", lambda count: bytes([1]) * count)
EVE = Identity.create("Eve", lambda count: bytes([2]) * count)
PLACE = "https://example.org/~ann"
TEXT = proof.make(ANN, 1_700_000_000.0, PLACE)


def code(text: str, person: bytes = ANN.person) -> str:
    with pytest.raises(errors.Error) as caught:
        proof.find(text, person)
    return caught.value.code


WAYS = {
    "as it is": TEXT,
    "quoted": textwrap.indent(TEXT, "> "),
    "quoted twice": textwrap.indent(TEXT, ">> "),
    "wrapped": "\n".join(textwrap.wrap(TEXT, 31)),
    "in one line": TEXT.replace("\n", " "),
    "wrapped within words": "\r\n".join(TEXT[at : at + 40] for at in range(0, len(TEXT), 40)),
    "upper case": TEXT.upper(),
    "in HTML": f"<html><p class='a'>{html.escape(TEXT).replace(chr(10), '<br/>')}</p></html>",
    "in spans": "".join(f"<span>{line}</span><wbr>" for line in TEXT.splitlines()),
    "with entities": TEXT.replace("\n", "&nbsp;&#10;"),
    "in JSON": TEXT.replace("\n", "\\n"),
    "in typographic quotes": f"“{TEXT}”",
    "among other text": f"Hello, this is p2pproof of mine:\n\n{TEXT}\nSee you 2morrow!",
    "after somebody else's": f"{proof.make(EVE, 1.0)}\n{TEXT}",
    "without the lines around": "\n".join(TEXT.splitlines()[5:-1]),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_proof_survives_what_pages_and_mail_do_to_it(way: str) -> None:
    found = proof.find(WAYS[way], ANN.person)
    assert (found.person, found.name, found.time, found.place) == (
        ANN.person,
        "Ann",
        1_700_000_000,
        PLACE,
    )


@settings(deadline=None)
@given(
    st.text(min_size=1, max_size=20).filter(lambda name: name.isprintable()),
    st.integers(0, (1 << 32) - 1),
    st.text("abc/:.?=é", max_size=60),
)
def test_what_is_made_is_found(name: str, time: int, place: str) -> None:
    someone = Identity.create(name, os.urandom)
    found = proof.find(proof.make(someone, float(time), place), someone.person)
    assert (found.time, found.place) == (time, place)
    assert found.safe_name() == someone.certificate.safe_name()


@given(st.data())
def test_no_changed_letter_is_accepted(data: st.DataObject) -> None:
    head, body = TEXT.split("p2pproof1\n")
    body = body.split("-----")[0]
    at = data.draw(st.sampled_from([i for i, one in enumerate(body.rstrip()) if one != "\n"]))
    other = data.draw(st.sampled_from([one for one in "abcxyz237" if one != body[at]]))
    changed = f"{head}p2pproof1\n{body[:at]}{other}{body[at + 1 :]}"
    if at == len(body.rstrip()) - 1:
        # The last letter has bits to spare.
        return
    assert code(changed) in ("proof-damaged", "proof-forged")


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    assert code(text) in errors.CODES
    assert code("p2pproof1" + text) in errors.CODES


def test_what_is_wrong_is_said() -> None:
    assert code("hello") == "proof-foreign"
    assert code(TEXT[: len(TEXT) // 2]) == "proof-damaged"
    assert code(TEXT.replace("p2pproof1", "p2pproof2")) == "proof-newer"
    assert code(TEXT, EVE.person) == "proof-wrong-key"


def test_a_proof_signed_by_another_key_is_forged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Identity, "sign_as_person", lambda _, message: EVE.sign(message))
    assert code(proof.make(ANN, 1.0)) == "proof-forged"


def test_a_place_that_cannot_be_shown_is_refused() -> None:
    for place in ("x" * 600, "a\nb", "\x1b[31m"):
        with pytest.raises(errors.Usage):
            proof.make(ANN, 1.0, place)


def test_the_lines_for_people_have_no_control_characters() -> None:
    nasty = Identity.create("A\x1b\u202e", os.urandom)
    assert proof.make(nasty, 1.0, "https://é.example").isascii()
