-- Messages that the index of words lacks because their key is not here yet; number is entries'.
CREATE TABLE unread (
    number INTEGER PRIMARY KEY,
    room   BLOB NOT NULL,
    epoch  BLOB NOT NULL
) STRICT;
CREATE INDEX unread_by_epoch ON unread (room, epoch);

-- meta's `words` is the row up to which entries are indexed: numbers of rows that are gone come again.
CREATE TRIGGER entries_gone AFTER DELETE ON entries BEGIN
    DELETE FROM words WHERE rowid = old.number;
    DELETE FROM unread WHERE number = old.number;
    UPDATE meta SET value = CAST(min(
        CAST(CAST(value AS TEXT) AS INTEGER), (SELECT coalesce(max(number), 0) FROM entries)
    ) AS BLOB) WHERE name = 'words';
END;
