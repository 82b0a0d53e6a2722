"""The table of routes agrees with what it names."""

import inspect
import typing

import pytest

from p2pchat.api.routes import ROUTES
from p2pchat.api.routes.asking import Request
from p2pchat.node.node import Node


@pytest.mark.parametrize("route", ROUTES)
def test_a_route_takes_the_request_that_its_row_names(route: str) -> None:
    kind, handler = ROUTES[route]
    assert issubclass(kind, Request)
    assert inspect.isasyncgenfunction(handler)
    hints = typing.get_type_hints(handler, localns={"Node": Node})
    assert list(hints.values())[:2] == [Node, kind]


def test_no_handler_is_without_a_route() -> None:
    handlers = [handler for _, handler in ROUTES.values()]
    assert len(set(handlers)) == len(handlers)
    for module in {inspect.getmodule(handler) for handler in handlers}:
        assert module is not None
        own = [
            one
            for name, one in inspect.getmembers(module, inspect.isasyncgenfunction)
            if one.__module__ == module.__name__ and not name.startswith("_")
        ]
        assert set(own) <= set(handlers)
