from pathlib import Path

import msgspec
import pytest

from p2pchat import errors
from p2pchat.api.routes.asking import NameRequest, absolute


def test_a_field_that_is_not_known_is_refused() -> None:
    assert msgspec.json.decode(b'{"name":"Ann"}', type=NameRequest) == NameRequest(name="Ann")
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"name":"Ann","nam":1}', type=NameRequest)


def test_a_path_is_named_from_the_root_on() -> None:
    assert absolute("/etc") == Path("/etc")
    with pytest.raises(errors.Usage) as caught:
        absolute("etc")
    assert caught.value.code == "usage"
