-- Whom bodies that are lacking were asked of, so that no one person counts for many: the first 8
-- bytes of each one's key, as often as that was.
CREATE TABLE lacking_asked (
    id     BLOB PRIMARY KEY,
    people BLOB NOT NULL
) STRICT, WITHOUT ROWID;
UPDATE lacking SET tries = 0;
