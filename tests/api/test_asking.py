from pathlib import Path

import msgspec
import pytest

from p2pchat import errors
from p2pchat.api.routes.asking import NameRequest, absolute
from p2pchat.api.routes.history import SyncRequest
from p2pchat.api.routes.messages import LogRequest


def test_a_field_that_is_not_known_is_refused() -> None:
    assert msgspec.json.decode(b'{"name":"Ann"}', type=NameRequest) == NameRequest(name="Ann")
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"name":"Ann","nam":1}', type=NameRequest)


def test_a_path_is_named_from_the_root_on() -> None:
    assert absolute("/etc") == Path("/etc")
    with pytest.raises(errors.Usage) as caught:
        absolute("etc")
    assert caught.value.code == "usage"


def test_numbers_that_nothing_can_count_to_are_refused() -> None:
    for fields, kind in (
        (b'{"room":"R","last":99999999999999999999}', LogRequest),
        (b'{"room":"R","last":-1}', LogRequest),
        (b'{"room":"R","since":1e300}', LogRequest),
        (b'{"wait":true,"timeout":1e300}', SyncRequest),
    ):
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(fields, type=kind)
