-- Pushes by the day of their start, and sums of each day. Days before this step are those of UTC+8.

ALTER TABLE push ADD COLUMN day INTEGER NOT NULL DEFAULT 0;
ALTER TABLE push ADD COLUMN message_type INTEGER NOT NULL DEFAULT 0;
ALTER TABLE push ADD COLUMN audience INTEGER NOT NULL DEFAULT 0;
ALTER TABLE push ADD COLUMN plan_id TEXT;
ALTER TABLE push ADD COLUMN group_id TEXT;
UPDATE push SET day = (start_at_s + 28800) / 86400,
    message_type = CASE json_extract(request, '$.message_type') WHEN 'notify' THEN 1 WHEN 'message' THEN 2 ELSE 0 END,
    audience = coalesce((SELECT CASE key WHEN 'token' THEN 3 WHEN 'token_list' THEN 4 WHEN 'account' THEN 5
            WHEN 'account_list' THEN 6 WHEN 'package_account_push' THEN 7 WHEN 'package_token_push' THEN 8 END
        FROM json_each(request, '$.audience')), 0),
    plan_id = json_extract(request, '$.plan_id');

CREATE INDEX push_by_day ON push (access_id, day, push_id, message_type, audience);

-- How many pushes of each kind start on a day.
CREATE TABLE push_count (
    access_id    INTEGER NOT NULL,
    day          INTEGER NOT NULL,
    message_type INTEGER NOT NULL,
    audience     INTEGER NOT NULL,
    pushes       INTEGER NOT NULL,
    PRIMARY KEY (access_id, day, message_type, audience)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER push_counted AFTER INSERT ON push WHEN new.takes_back IS NULL BEGIN
    INSERT INTO push_count VALUES (new.access_id, new.day, new.message_type, new.audience, 1)
    ON CONFLICT DO UPDATE SET pushes = pushes + 1;
END;

-- The sums of the pushes of a day. They move with those of each push, by the triggers below and nothing else: whatever
-- changes a push cannot forget them.
CREATE TABLE push_day (
    access_id INTEGER NOT NULL,
    tally     TEXT    NOT NULL, -- '' all pushes of the app, 'p' and a plan's id, 'g' and a group's
    day       INTEGER NOT NULL,
    channel   INTEGER NOT NULL,
    targets   INTEGER NOT NULL,
    sent      INTEGER NOT NULL,
    arrived   INTEGER NOT NULL,
    shown     INTEGER NOT NULL,
    clicked   INTEGER NOT NULL,
    cleared   INTEGER NOT NULL,
    PRIMARY KEY (access_id, tally, day, channel)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER push_summed AFTER UPDATE OF targets, sent, arrived, shown, clicked, cleared ON push
WHEN new.takes_back IS NULL BEGIN
    INSERT INTO push_day SELECT new.access_id, '', new.day, 0, new.targets - old.targets, new.sent - old.sent,
        new.arrived - old.arrived, new.shown - old.shown, new.clicked - old.clicked, new.cleared - old.cleared
    WHERE true ON CONFLICT DO UPDATE SET targets = targets + excluded.targets, sent = sent + excluded.sent,
        arrived = arrived + excluded.arrived, shown = shown + excluded.shown, clicked = clicked + excluded.clicked,
        cleared = cleared + excluded.cleared;
END;

CREATE TRIGGER push_summed_beside AFTER UPDATE OF targets, sent, arrived, shown, clicked, cleared ON push
WHEN new.plan_id IS NOT NULL OR new.group_id IS NOT NULL BEGIN
    INSERT INTO push_day SELECT new.access_id, tally, new.day, 0, new.targets - old.targets, new.sent - old.sent,
        new.arrived - old.arrived, new.shown - old.shown, new.clicked - old.clicked, new.cleared - old.cleared
    FROM (SELECT 'p' || new.plan_id AS tally WHERE new.plan_id IS NOT NULL
        UNION ALL SELECT 'g' || new.group_id WHERE new.group_id IS NOT NULL)
    WHERE true ON CONFLICT DO UPDATE SET targets = targets + excluded.targets, sent = sent + excluded.sent,
        arrived = arrived + excluded.arrived, shown = shown + excluded.shown, clicked = clicked + excluded.clicked,
        cleared = cleared + excluded.cleared;
END;

INSERT INTO push_count SELECT access_id, day, message_type, audience, count(*) FROM push GROUP BY 1, 2, 3, 4;
INSERT INTO push_day SELECT access_id, '', day, 0, sum(targets), sum(sent), sum(arrived), sum(shown), sum(clicked),
    sum(cleared) FROM push GROUP BY access_id, day;
INSERT INTO push_day SELECT access_id, 'p' || plan_id, day, 0, sum(targets), sum(sent), sum(arrived), sum(shown),
    sum(clicked), sum(cleared) FROM push WHERE plan_id IS NOT NULL GROUP BY access_id, plan_id, day;
