-- The key of an invite's password, and how many tries at it were counted.
ALTER TABLE invites ADD COLUMN password BLOB;
ALTER TABLE invites ADD COLUMN guesses INTEGER NOT NULL DEFAULT 0;
-- Where it has one, the key is that of a spoken code, and not asked for in the handshake.
ALTER TABLE invites ADD COLUMN nameplate INTEGER;
