-- The words of messages, for `log --search`; rowid is entries.number. `place` has one token, the
-- room's, so that one query finds one room's. With the text, which FTS5 needs to take a row out, and
-- secure-delete: what is taken out is in no page of the index any more.
CREATE VIRTUAL TABLE words USING fts5 (
    text, place, tokenize="unicode61 remove_diacritics 2", prefix='3'
);
INSERT INTO words (words, rank) VALUES ('secure-delete', 1);
