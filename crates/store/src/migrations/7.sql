-- A push that does not wait for its time is due, whatever the clock says now.

DROP INDEX push_unfinished;
CREATE INDEX push_unfinished ON push (CASE WHEN state = 1 THEN start_at_s ELSE 0 END) WHERE finished_at IS NULL;
