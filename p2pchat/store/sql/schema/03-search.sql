-- The words of messages, for `log --search`; rowid is entries.number. Contentless: the text itself
-- is in `entries` alone. `place` has one token, the room's, so that one query finds one room's.
CREATE VIRTUAL TABLE words USING fts5 (
    text, place, content='', contentless_delete=1, tokenize="unicode61 remove_diacritics 2", prefix='3'
);
