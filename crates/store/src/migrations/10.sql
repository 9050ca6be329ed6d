-- Devices that a push leaves out: those of another package, and those that are not in its sample.

ALTER TABLE push ADD COLUMN exclude_upload_id INTEGER;
ALTER TABLE push ADD COLUMN excluded INTEGER NOT NULL DEFAULT 0;
ALTER TABLE push ADD COLUMN sampled_out INTEGER NOT NULL DEFAULT 0;

CREATE INDEX push_that_excludes ON push (exclude_upload_id) WHERE exclude_upload_id IS NOT NULL;
