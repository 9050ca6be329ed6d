-- Devices that were deleted while a push was under way, whose batches may still name them.

CREATE TABLE deleted_device (
    device_id INTEGER PRIMARY KEY,
    last_push INTEGER NOT NULL -- the newest push as of then
) STRICT;

CREATE INDEX deleted_device_by_push ON deleted_device (last_push);
