-- Proof that an author wrote two different entries for one place: the two branches, as signed.
CREATE TABLE forks (
    chain BLOB PRIMARY KEY,
    room  BLOB NOT NULL REFERENCES rooms,
    proof BLOB NOT NULL
) STRICT, WITHOUT ROWID;
