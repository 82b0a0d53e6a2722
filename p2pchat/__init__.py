"""p2pchat: talk and hand each other files with nobody in the middle.

The library is `Node`; everything else is the house it lives in (docs/architecture.md). Names are
loaded on first use, so that `import p2pchat` (and `p2pchat --version`) stays cheap.
"""

__version__ = "0.1.0"
__all__ = ["Node", "__version__"]

# Type checkers know the name. The module `typing` would be most of the time that passes before a
# command heeds Ctrl-C.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from p2pchat.node.node import Node


def __getattr__(name: str) -> object:
    if name == "Node":
        from p2pchat.node.node import Node

        return Node
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
