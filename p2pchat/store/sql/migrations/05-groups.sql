-- Entries beyond where a removal cut their chain, and acts that came without a chain: they may
-- count one day, and are judged with the others. `certificate` is the author's.
CREATE TABLE withheld (
    id          BLOB PRIMARY KEY,
    room        BLOB NOT NULL REFERENCES rooms,
    chain       BLOB NOT NULL,
    seq         INTEGER NOT NULL,
    kind        INTEGER NOT NULL,
    certificate BLOB NOT NULL,
    header      BLOB NOT NULL,
    body        BLOB,
    signature   BLOB
) STRICT, WITHOUT ROWID;
CREATE INDEX withheld_in_order ON withheld (chain, seq);

-- People whom an invite into a room has brought, until the entry that says so is written.
CREATE TABLE arrivals (
    room        BLOB NOT NULL REFERENCES rooms,
    person      BLOB NOT NULL,
    certificate BLOB NOT NULL,
    ask         INTEGER NOT NULL,
    PRIMARY KEY (room, person)
) STRICT, WITHOUT ROWID;

-- Rooms that we were invited to, until we are in: `room` and `secret` once members are asked.
CREATE TABLE joins (
    host   BLOB NOT NULL,
    room   BLOB,
    name   TEXT NOT NULL,
    secret BLOB,
    made   REAL NOT NULL,
    PRIMARY KEY (host)
) STRICT, WITHOUT ROWID;

-- Into which room an invite leads; 0: at once, 1: members are asked.
CREATE TABLE invite_rooms (
    id   BLOB PRIMARY KEY,
    room BLOB NOT NULL REFERENCES rooms,
    ask  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
