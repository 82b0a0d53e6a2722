-- Entries whose place in the order may have to move yet, by where they stood when that was found.
CREATE TABLE unsettled (
    room BLOB NOT NULL,
    eff  INTEGER NOT NULL,
    id   BLOB NOT NULL,
    PRIMARY KEY (room, eff, id)
) STRICT, WITHOUT ROWID;
