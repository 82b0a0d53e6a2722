"""What somebody tries with keys of others: a device that it claims as its own."""

import msgspec
import pytest
from nacl.signing import SigningKey

from p2pchat.core import identity as identity_module
from p2pchat.core.identity import Identity
from tests.harness.writer import Writer, founder

guarded = pytest.mark.parametrize("guard", [False, True], ids=["check taken out", "as it is"])


@guarded
def test_an_act_of_others_shown_as_ones_own(
    monkeypatch: pytest.MonkeyPatch, *, guard: bool
) -> None:
    """mallory shows bob its own removal as if it had signed it itself, before ann can."""
    if not guard:
        monkeypatch.setattr(
            identity_module, "_prekey_statement", lambda _, prekey: b"p2pchat/1/prekey" + prekey
        )
    ann, bob, mallory = founder("Ann", "Bob", "Mallory")
    # ann writes on a second device, of which bob has not heard.
    phone = Writer("Ann", ann.group.room, incarnation=b"a phone!")
    phone.identity = _second_device(ann.identity, phone.random(32))
    phone.take_all(ann)
    removal = phone.remove(mallory, mallory.say("hi"))

    stolen = msgspec.structs.replace(
        phone.identity.certificate,
        person=mallory.identity.person,
        device_signature=mallory.identity.sign_as_person(
            b"p2pchat/1/device" + phone.identity.device
        ),
    )
    assert stolen.holds() is not guard
    false = bob.group.contested(removal, stolen)
    assert (false is None) is guard
    if false is not None:
        bob.group.act(false)
    true = bob.group.contested(removal, phone.identity.certificate)
    assert true is not None
    bob.group.act(true)
    assert (mallory.identity.person in bob.group.members) is not guard


def _second_device(first: Identity, seed: bytes) -> Identity:
    return Identity._certified(
        SigningKey(first.person_seed), SigningKey(seed), first.prekey_secret, "Ann"
    )
