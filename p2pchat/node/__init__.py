"""The one place where parts are wired: machines get their inputs and their outputs carried out.

`Node` is the library (docs/architecture.md); everything that needs a network, libtorrent or a
database meets here and nowhere else.
"""

__all__: list[str] = []
