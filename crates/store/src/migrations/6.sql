-- On which days a device was seen, and an app's devices in the order of their ids.

ALTER TABLE device ADD COLUMN active_days INTEGER NOT NULL DEFAULT 0;
-- One that was imported may never have been seen.
UPDATE device SET active_days = 1 WHERE password_hash IS NOT NULL;

CREATE INDEX device_of_app ON device (access_id);
