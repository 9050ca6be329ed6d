CREATE TABLE kept_answer (
    access_id INTEGER NOT NULL,
    call      INTEGER NOT NULL,
    key       TEXT    NOT NULL,
    asked     BLOB    NOT NULL,
    answer    TEXT    NOT NULL,
    given_at  INTEGER NOT NULL,
    PRIMARY KEY (access_id, call, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX kept_answer_by_age ON kept_answer (given_at);
