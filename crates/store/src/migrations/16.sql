-- The channels of vendors: their tokens, their credentials, and what became of the messages that went through them.

ALTER TABLE device_channel RENAME TO old_device_channel;

CREATE TABLE device_channel (
    device_id     INTEGER NOT NULL REFERENCES device (device_id) ON DELETE CASCADE,
    channel       TEXT    NOT NULL,
    channel_token TEXT    NOT NULL,
    detail        TEXT,                       -- what the channel needs beside the token: apns a topic, webpush keys
    registered_at INTEGER NOT NULL DEFAULT 0, -- when the device last said so
    PRIMARY KEY (device_id, channel)
) STRICT, WITHOUT ROWID;

INSERT INTO device_channel (device_id, channel, channel_token) SELECT device_id, channel, channel_token FROM old_device_channel;
DROP TABLE old_device_channel;

CREATE INDEX device_channel_by_token ON device_channel (channel_token, channel);

CREATE TABLE app_channel (
    access_id  INTEGER NOT NULL REFERENCES app (access_id),
    channel    TEXT    NOT NULL,
    sealed     BLOB    NOT NULL,
    changed_at INTEGER NOT NULL,
    PRIMARY KEY (access_id, channel)
) STRICT, WITHOUT ROWID;

ALTER TABLE push ADD COLUMN accepted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE push ADD COLUMN unknown INTEGER NOT NULL DEFAULT 0;
ALTER TABLE recipient ADD COLUMN channel INTEGER NOT NULL DEFAULT 0;
ALTER TABLE recipient ADD COLUMN code TEXT;

CREATE TABLE push_channel (
    push_id INTEGER NOT NULL,
    channel INTEGER NOT NULL,
    targets INTEGER NOT NULL,
    sent    INTEGER NOT NULL,
    shown   INTEGER NOT NULL,
    clicked INTEGER NOT NULL,
    cleared INTEGER NOT NULL,
    PRIMARY KEY (push_id, channel)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER push_channel_summed AFTER UPDATE ON push_channel BEGIN
    INSERT INTO push_day
    SELECT p.access_id, CASE k.tally WHEN 'p' THEN 'p' || p.plan_id WHEN 'g' THEN 'g' || p.group_id ELSE '' END, p.day,
        CASE c.sign WHEN 1 THEN new.channel ELSE 0 END, c.sign * (new.targets - old.targets), c.sign * (new.sent - old.sent), 0,
        c.sign * (new.shown - old.shown), c.sign * (new.clicked - old.clicked),
        c.sign * (new.cleared - old.cleared)
    FROM push p, (SELECT '' AS tally UNION ALL SELECT 'p' UNION ALL SELECT 'g') k,
        (SELECT 1 AS sign UNION ALL SELECT -1) c
    WHERE p.push_id = new.push_id
        AND CASE k.tally WHEN 'p' THEN p.plan_id IS NOT NULL WHEN 'g' THEN p.group_id IS NOT NULL ELSE true END
    ON CONFLICT DO UPDATE SET targets = targets + excluded.targets, sent = sent + excluded.sent,
        shown = shown + excluded.shown, clicked = clicked + excluded.clicked, cleared = cleared + excluded.cleared;
END;
