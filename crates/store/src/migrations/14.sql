-- Attributes of devices, under names that their app has declared.

CREATE TABLE attribute_name (
    name_id   INTEGER PRIMARY KEY AUTOINCREMENT,
    access_id INTEGER NOT NULL REFERENCES app (access_id),
    name      TEXT    NOT NULL,
    UNIQUE (access_id, name)
) STRICT;

CREATE TABLE attribute (
    device_id INTEGER NOT NULL REFERENCES device (device_id) ON DELETE CASCADE,
    name_id   INTEGER NOT NULL,
    value     TEXT    NOT NULL,
    PRIMARY KEY (device_id, name_id)
) STRICT, WITHOUT ROWID;
