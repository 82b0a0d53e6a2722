-- Joins whose inviter has not answered yet, by the number under which they are shown; `blob` is the
-- invite's text, `password` the key of its password.
CREATE TABLE pursuits (
    number   INTEGER PRIMARY KEY,
    id       BLOB NOT NULL UNIQUE,
    blob     TEXT NOT NULL,
    password BLOB,
    expires  REAL NOT NULL,
    made     REAL NOT NULL
) STRICT;
