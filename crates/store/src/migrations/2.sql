-- Tokens as the bytes they write, environments as numbers; what an account is bound to and what a device is bound to are
-- two tables, so that each can be filled in its own order (docs/adr/0010-registry.md).

CREATE TABLE device_2 (
    device_id     INTEGER PRIMARY KEY AUTOINCREMENT,
    access_id     INTEGER NOT NULL REFERENCES app (access_id),
    token         BLOB    NOT NULL,
    password_hash BLOB,
    environment   INTEGER NOT NULL,
    created_at    INTEGER NOT NULL,
    seen_at       INTEGER NOT NULL,
    UNIQUE (access_id, token)
) STRICT;
INSERT INTO device_2
SELECT device_id, access_id, unhex(token), password_hash, environment = 'dev', created_at, seen_at FROM device
ORDER BY device_id;
-- No id is used again, not even one of a device that was deleted.
DELETE FROM sqlite_sequence WHERE name = 'device_2';
INSERT INTO sqlite_sequence (name, seq) SELECT 'device_2', seq FROM sqlite_sequence WHERE name = 'device';

CREATE TABLE account_2 (
    access_id    INTEGER NOT NULL,
    account_type INTEGER NOT NULL,
    name         TEXT    NOT NULL,
    device_id    INTEGER NOT NULL,
    bound_at     INTEGER NOT NULL,
    PRIMARY KEY (access_id, account_type, name, device_id)
) STRICT, WITHOUT ROWID;
INSERT INTO account_2
SELECT access_id, account_type, name, device_id, bound_at FROM account
ORDER BY access_id, account_type, name, device_id;

CREATE TABLE account_of_device_2 (
    device_id    INTEGER NOT NULL REFERENCES device (device_id) ON DELETE CASCADE,
    account_type INTEGER NOT NULL,
    name         TEXT    NOT NULL,
    PRIMARY KEY (device_id, account_type)
) STRICT, WITHOUT ROWID;
INSERT INTO account_of_device_2
SELECT device_id, account_type, name FROM account ORDER BY device_id, account_type;

DROP TABLE account;
DROP TABLE device;
ALTER TABLE device_2 RENAME TO device;
ALTER TABLE account_2 RENAME TO account;
ALTER TABLE account_of_device_2 RENAME TO account_of_device;
