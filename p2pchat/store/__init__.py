"""What is on disk: one profile directory, one encrypted database (SQLCipher).

Functions of the table modules take an open transaction and are called through `Database.write` and
`Database.read`. Knows bytes and core values; decides nothing.
"""

__all__: list[str] = []
