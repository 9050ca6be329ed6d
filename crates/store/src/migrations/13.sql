-- Tags, and audiences that have no rows.

CREATE TABLE tag (
    tag_id    INTEGER PRIMARY KEY AUTOINCREMENT,
    access_id INTEGER NOT NULL REFERENCES app (access_id),
    tag_type  INTEGER NOT NULL,
    name      TEXT    NOT NULL,
    UNIQUE (access_id, tag_type, name)
) STRICT;

CREATE TABLE tag_of_device (
    device_id INTEGER NOT NULL REFERENCES device (device_id) ON DELETE CASCADE,
    tag_type  INTEGER NOT NULL,
    tag_id    INTEGER NOT NULL,
    PRIMARY KEY (device_id, tag_type, tag_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE device_of_tag (
    tag_id    INTEGER NOT NULL,
    device_id INTEGER NOT NULL,
    PRIMARY KEY (tag_id, device_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE deleted_tag (
    tag_id INTEGER PRIMARY KEY
) STRICT;

ALTER TABLE push ADD COLUMN first_device INTEGER;
ALTER TABLE push ADD COLUMN digest BLOB;

CREATE INDEX push_by_digest ON push (access_id, digest, start_at_s) WHERE digest IS NOT NULL;
