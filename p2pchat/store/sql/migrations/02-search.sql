-- Filled when it is first asked.
INSERT INTO meta VALUES ('words', CAST('0' AS BLOB));
CREATE VIRTUAL TABLE words USING fts5 (
    text, place, content='', contentless_delete=1, tokenize="unicode61 remove_diacritics 2", prefix='3'
);
