-- What can be read of edits, deletes, reactions and pins: who says what of which entry. The target
-- may not be here yet. `text`: of a reaction. `kind` is negative where it does not count, for there
-- are too many later ones by that person.
CREATE TABLE amendments (
    id      BLOB PRIMARY KEY,
    target  BLOB NOT NULL,
    kind    INTEGER NOT NULL,
    room    BLOB NOT NULL,
    person  BLOB NOT NULL,
    time    INTEGER NOT NULL,
    text    TEXT,
    state   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX amendments_of_target ON amendments (target, kind, person, time, id);

-- Entries whose bodies are gone for good: deleted, disappeared.
CREATE TABLE dropped (
    id BLOB PRIMARY KEY
) STRICT, WITHOUT ROWID;

-- Entries that came without their bodies and are not known to be deleted; `tries`: how often they
-- were asked for.
CREATE TABLE lacking (
    id    BLOB PRIMARY KEY,
    room  BLOB NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX lacking_of_room ON lacking (room, tries);

-- Messages that will disappear, and when by our clock: Unix milliseconds.
CREATE TABLE expiring (
    id         BLOB PRIMARY KEY,
    lifetime_s INTEGER NOT NULL,
    at         INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX expiring_at ON expiring (at);

-- Entries that came before their epoch's key, in the order of their coming.
CREATE TABLE late (
    number INTEGER PRIMARY KEY,
    epoch  BLOB NOT NULL,
    id     BLOB NOT NULL
) STRICT;
CREATE INDEX late_of_epoch ON late (epoch, number);
