-- Devices by day, and plans. Days before this step are those of UTC+8; who was active on them is not known.

-- How many there were at the end of one is the sum of `devices` up to it.
CREATE TABLE device_day (
    access_id INTEGER NOT NULL,
    day       INTEGER NOT NULL, -- counted from 1970-01-01, in the zone that was configured
    added     INTEGER NOT NULL,
    active    INTEGER NOT NULL, -- registered, or began a session; each once
    devices   INTEGER NOT NULL, -- by how much their number changed
    PRIMARY KEY (access_id, day)
) STRICT, WITHOUT ROWID;

INSERT INTO device_day SELECT access_id, (created_at + 28800000) / 86400000, count(*), 0, count(*) FROM device GROUP BY 1, 2;

CREATE TABLE plan (
    plan_id     INTEGER PRIMARY KEY AUTOINCREMENT,
    access_id   INTEGER NOT NULL REFERENCES app (access_id),
    name        TEXT    NOT NULL,
    description TEXT    NOT NULL,
    created_at  INTEGER NOT NULL
) STRICT;

CREATE INDEX plan_of_app ON plan (access_id);
