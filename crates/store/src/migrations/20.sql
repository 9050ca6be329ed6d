-- Pushes whose messages no session is shown, because their rules keep them off our own channel. Of those that are over nothing
-- waits.

ALTER TABLE push ADD COLUMN vendors_only INTEGER NOT NULL DEFAULT 0;

UPDATE push SET vendors_only = EXISTS (
    SELECT 1 FROM json_each(request, '$.channel_rules') WHERE value ->> 'channel' = 'xg' AND value ->> 'disable')
WHERE finished_at IS NULL AND json_valid(request);
