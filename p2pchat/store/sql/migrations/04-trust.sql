-- What we say of people, contacts or not. `how` is NULL while not verified.
CREATE TABLE trust (
    person  BLOB PRIMARY KEY,
    alias   TEXT NOT NULL,
    how     TEXT CHECK (how IN ('number', 'proof')),
    place   TEXT NOT NULL,
    since   REAL NOT NULL,
    blocked INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO trust
    SELECT person, alias, CASE verified WHEN 1 THEN 'number' END, '', created, 0
    FROM contacts WHERE alias != '' OR verified;
ALTER TABLE contacts DROP COLUMN alias;
ALTER TABLE contacts DROP COLUMN verified;
