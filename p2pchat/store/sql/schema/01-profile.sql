-- Small named values: identity, incarnation.
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- People we have met. `certificate` is the newest that their device showed.
CREATE TABLE contacts (
    person      BLOB PRIMARY KEY,
    certificate BLOB NOT NULL,
    secret      BLOB NOT NULL,
    alias       TEXT NOT NULL DEFAULT '',
    verified    INTEGER NOT NULL DEFAULT 0,
    created     REAL NOT NULL,
    last_seen   REAL NOT NULL
) STRICT, WITHOUT ROWID;

-- Our own invites: open -> claimed -> used, or dead.
CREATE TABLE invites (
    id      BLOB PRIMARY KEY,
    secret  BLOB NOT NULL,
    expires REAL NOT NULL,
    state   TEXT NOT NULL CHECK (state IN ('open', 'claimed', 'used', 'dead')),
    device  BLOB
) STRICT, WITHOUT ROWID;

-- What we offer, and what we fetch.
CREATE TABLE shares (
    id      BLOB PRIMARY KEY,
    record  BLOB NOT NULL,
    created REAL NOT NULL
) STRICT, WITHOUT ROWID;
