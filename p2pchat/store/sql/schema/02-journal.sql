CREATE TABLE rooms (
    room    BLOB PRIMARY KEY,
    kind    TEXT NOT NULL CHECK (kind IN ('direct', 'group')),
    name    TEXT NOT NULL,
    created REAL NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE members (
    room   BLOB NOT NULL REFERENCES rooms,
    person BLOB NOT NULL,
    PRIMARY KEY (room, person)
) STRICT, WITHOUT ROWID;

CREATE TABLE epochs (
    room  BLOB NOT NULL REFERENCES rooms,
    epoch BLOB NOT NULL,
    key   BLOB NOT NULL,
    PRIMARY KEY (room, epoch)
) STRICT, WITHOUT ROWID;

-- One row an author's log; `number` stands for it in `entries`.
CREATE TABLE chains (
    number    INTEGER PRIMARY KEY,
    chain     BLOB NOT NULL UNIQUE,
    room      BLOB NOT NULL REFERENCES rooms,
    device    BLOB NOT NULL,
    head_seq  INTEGER NOT NULL,
    head_id   BLOB NOT NULL,
    head_time INTEGER NOT NULL,
    forked    INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX chains_of_room ON chains (room);

-- `header` is as received and hashed; `body` as sealed, NULL once deleted; `signature` NULL inside
-- a run. `eff` and `high` are the display order's (docs/protocol.md, 8).
CREATE TABLE entries (
    number    INTEGER PRIMARY KEY,
    id        BLOB NOT NULL UNIQUE,
    chain     INTEGER NOT NULL REFERENCES chains,
    seq       INTEGER NOT NULL,
    kind      INTEGER NOT NULL,
    room      BLOB NOT NULL,
    chain_id  BLOB NOT NULL,
    time      INTEGER NOT NULL,
    eff       INTEGER NOT NULL DEFAULT 0,
    high      INTEGER,
    header    BLOB NOT NULL,
    body      BLOB,
    signature BLOB,
    UNIQUE (chain, seq)
) STRICT;
CREATE INDEX entries_in_order ON entries (room, kind, eff, chain_id, seq);

-- Which entries name which as their cause; predecessors are found by (chain, seq).
CREATE TABLE causes (
    cause    BLOB NOT NULL,
    follower BLOB NOT NULL,
    PRIMARY KEY (cause, follower)
) STRICT, WITHOUT ROWID;
