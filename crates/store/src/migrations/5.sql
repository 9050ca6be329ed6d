-- Recipients who will not get a message, because its push was stopped, revoked or replaced.

ALTER TABLE push ADD COLUMN stopped INTEGER NOT NULL DEFAULT 0;
