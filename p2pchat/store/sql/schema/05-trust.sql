-- What we say of people, contacts or not. `how` is NULL while not verified.
CREATE TABLE trust (
    person  BLOB PRIMARY KEY,
    alias   TEXT NOT NULL,
    how     TEXT CHECK (how IN ('number', 'proof')),
    place   TEXT NOT NULL,
    since   REAL NOT NULL,
    blocked INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
-- Their first place was with the contacts.
ALTER TABLE contacts DROP COLUMN alias;
ALTER TABLE contacts DROP COLUMN verified;
