"""Terminal commands. They speak to `api` and to nothing below it."""

__all__: list[str] = []
