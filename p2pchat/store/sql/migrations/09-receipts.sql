-- Up to where somebody has told to have, and to have read, one chain; `person` is empty for ourselves.
CREATE TABLE receipts (
    room   BLOB NOT NULL REFERENCES rooms,
    person BLOB NOT NULL,
    chain  BLOB NOT NULL,
    had    INTEGER NOT NULL,
    read   INTEGER NOT NULL,
    PRIMARY KEY (room, person, chain)
) STRICT, WITHOUT ROWID;
-- What is here already counts as read.
INSERT INTO receipts SELECT room, x'', chain, head_seq, head_seq FROM chains;
