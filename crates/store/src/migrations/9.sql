-- The parts of the day in which messages may go out. Pushes accepted before this step have none here.

CREATE TABLE accept_time (
    push_id   INTEGER NOT NULL,
    start_min INTEGER NOT NULL,
    end_min   INTEGER NOT NULL,
    PRIMARY KEY (push_id, start_min)
) STRICT, WITHOUT ROWID;

CREATE INDEX accept_time_by_start ON accept_time (start_min, push_id);
