-- Pushes that are stopped, revoked or replaced, and the recipients who will not get them because of it.

ALTER TABLE push ADD COLUMN stopped INTEGER NOT NULL DEFAULT 0;
ALTER TABLE push ADD COLUMN stopped_at INTEGER;
ALTER TABLE push ADD COLUMN takes_back INTEGER;
ALTER TABLE push ADD COLUMN line INTEGER;

CREATE INDEX push_to_stop ON push (push_id) WHERE waiting > 0 AND stopped_at IS NOT NULL;
CREATE UNIQUE INDEX push_that_takes_back ON push (takes_back) WHERE takes_back IS NOT NULL;
-- Of each line those that are not over: what was replaced leaves it, however long a line becomes.
CREATE INDEX push_of_line ON push (line, push_id)
    WHERE line IS NOT NULL AND (finished_at IS NULL OR stopped_at IS NULL);
