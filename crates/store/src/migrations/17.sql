-- Pushes that may take the place of others, by when they are due: looked at each time that pushes are started.

CREATE INDEX push_to_replace ON push (CASE WHEN state = 1 THEN start_at_s ELSE 0 END, line)
    WHERE line IS NOT NULL AND finished_at IS NULL AND stopped_at IS NULL;
