-- The tables of one loft. Times are unix milliseconds unless the column says `_s` (unix seconds).
-- Words are those of docs/ARCHITECTURE.md; what the small integers mean stands in the model crate.

CREATE TABLE app (
    access_id  INTEGER PRIMARY KEY,
    secret_key TEXT    NOT NULL,
    access_key TEXT    NOT NULL,
    platform   TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    bad_rows   TEXT    NOT NULL DEFAULT 'refuse',
    created_at INTEGER NOT NULL,
    allowed    TEXT    NOT NULL DEFAULT '' -- networks its servers may call from; none: everywhere
) STRICT;

-- What calls were answered that may be repeated under a key of their caller's: a row from the transaction that did what was
-- asked, until it is too old.
CREATE TABLE kept_answer (
    access_id INTEGER NOT NULL,
    call      INTEGER NOT NULL, -- 0 push, 1 upload
    key       TEXT    NOT NULL,
    asked     BLOB    NOT NULL, -- SHA-256 of the body, or of the file
    answer    TEXT    NOT NULL, -- JSON
    given_at  INTEGER NOT NULL,
    PRIMARY KEY (access_id, call, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX kept_answer_by_age ON kept_answer (given_at);

-- AUTOINCREMENT: a device id is part of message ids, so it must never name a second device.
CREATE TABLE device (
    device_id     INTEGER PRIMARY KEY AUTOINCREMENT,
    access_id     INTEGER NOT NULL REFERENCES app (access_id),
    token         BLOB    NOT NULL, -- the 18 bytes that its 36 characters write
    password_hash BLOB,             -- SHA-256; NULL: imported and not yet claimed by the device itself
    environment   INTEGER NOT NULL, -- 0 product, 1 dev
    created_at    INTEGER NOT NULL,
    seen_at       INTEGER NOT NULL,
    active_days   INTEGER NOT NULL DEFAULT 0, -- bit 0: the day of seen_at, bit n: the day n days before, up to 62
    UNIQUE (access_id, token)
) STRICT;

-- An app's devices in the order of their ids, which is the one in which audiences without rows are walked.
CREATE INDEX device_of_app ON device (access_id);

-- Devices of an app by day. How many there were at the end of one is the sum of `devices` up to it.
CREATE TABLE device_day (
    access_id INTEGER NOT NULL,
    day       INTEGER NOT NULL, -- counted from 1970-01-01, in the zone that was configured
    added     INTEGER NOT NULL,
    active    INTEGER NOT NULL, -- registered, or began a session; each once
    devices   INTEGER NOT NULL, -- by how much their number changed
    PRIMARY KEY (access_id, day)
) STRICT, WITHOUT ROWID;

CREATE TABLE device_channel (
    device_id     INTEGER NOT NULL REFERENCES device (device_id) ON DELETE CASCADE,
    channel       TEXT    NOT NULL,
    channel_token TEXT    NOT NULL,
    detail        TEXT,                       -- what the channel needs beside the token: apns a topic, webpush keys
    registered_at INTEGER NOT NULL DEFAULT 0, -- when the device last said so
    PRIMARY KEY (device_id, channel)
) STRICT, WITHOUT ROWID;

-- Whose a vendor's token was before another device came with it.
CREATE INDEX device_channel_by_token ON device_channel (channel_token, channel);

-- The credentials of an app with a vendor, sealed with a key that is not in here.
CREATE TABLE app_channel (
    access_id  INTEGER NOT NULL REFERENCES app (access_id),
    channel    TEXT    NOT NULL,
    sealed     BLOB    NOT NULL,
    changed_at INTEGER NOT NULL,
    PRIMARY KEY (access_id, channel)
) STRICT, WITHOUT ROWID;

-- Who is bound, in the order a sorted package asks for: by name. No foreign key: it would look up the device of each row
-- that an import adds. Who deletes a device takes it out of here.
CREATE TABLE account (
    access_id    INTEGER NOT NULL,
    account_type INTEGER NOT NULL,
    name         TEXT    NOT NULL,
    device_id    INTEGER NOT NULL,
    bound_at     INTEGER NOT NULL,
    PRIMARY KEY (access_id, account_type, name, device_id)
) STRICT, WITHOUT ROWID;

-- Where to look for what a device is bound to; it holds one account of each type. Every row of `account` has one here,
-- while a row here alone binds nothing: an import writes these first.
CREATE TABLE account_of_device (
    device_id    INTEGER NOT NULL REFERENCES device (device_id) ON DELETE CASCADE,
    account_type INTEGER NOT NULL,
    name         TEXT    NOT NULL,
    PRIMARY KEY (device_id, account_type)
) STRICT, WITHOUT ROWID;

-- A tag is here as long as a device has it. AUTOINCREMENT: what is left of a deleted one must never be another's.
CREATE TABLE tag (
    tag_id    INTEGER PRIMARY KEY AUTOINCREMENT,
    access_id INTEGER NOT NULL REFERENCES app (access_id),
    tag_type  INTEGER NOT NULL,
    name      TEXT    NOT NULL,
    UNIQUE (access_id, tag_type, name)
) STRICT;

CREATE TABLE tag_of_device (
    device_id INTEGER NOT NULL REFERENCES device (device_id) ON DELETE CASCADE,
    tag_type  INTEGER NOT NULL,
    tag_id    INTEGER NOT NULL,
    PRIMARY KEY (device_id, tag_type, tag_id)
) STRICT, WITHOUT ROWID;

-- The same the other way round, for sets of devices. No foreign keys, as for accounts.
CREATE TABLE device_of_tag (
    tag_id    INTEGER NOT NULL,
    device_id INTEGER NOT NULL,
    PRIMARY KEY (tag_id, device_id)
) STRICT, WITHOUT ROWID;

-- Tags that were taken off all devices at once, whose rows in the two tables above are cleared step by step.
CREATE TABLE deleted_tag (
    tag_id INTEGER PRIMARY KEY
) STRICT;

-- Names that an app has declared for attributes of its devices. AUTOINCREMENT: values of a name that is declared no more
-- are never another's.
CREATE TABLE attribute_name (
    name_id   INTEGER PRIMARY KEY AUTOINCREMENT,
    access_id INTEGER NOT NULL REFERENCES app (access_id),
    name      TEXT    NOT NULL,
    UNIQUE (access_id, name)
) STRICT;

-- What devices have under these names. No foreign key on the name: to take one off, all devices' values would have to go in
-- one transaction.
CREATE TABLE attribute (
    device_id INTEGER NOT NULL REFERENCES device (device_id) ON DELETE CASCADE,
    name_id   INTEGER NOT NULL,
    value     TEXT    NOT NULL,
    PRIMARY KEY (device_id, name_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE package (
    upload_id       INTEGER PRIMARY KEY AUTOINCREMENT,
    access_id       INTEGER NOT NULL REFERENCES app (access_id),
    stored_as       TEXT    NOT NULL UNIQUE, -- name of its file in the packages folder
    file_name       TEXT    NOT NULL,
    format          TEXT    NOT NULL,
    rows            INTEGER NOT NULL,
    duplicates      INTEGER NOT NULL,
    blanks          INTEGER NOT NULL,
    bad_rows        INTEGER NOT NULL,
    bytes           INTEGER NOT NULL,
    not_tokens      INTEGER NOT NULL,
    first_not_token TEXT,                    -- where, in words; NULL where every row may be a token
    created_at      INTEGER NOT NULL,
    last_used_at    INTEGER NOT NULL
) STRICT;

CREATE INDEX package_of_app ON package (access_id, upload_id);
CREATE INDEX package_by_use ON package (last_used_at);

CREATE TABLE push (
    push_id       INTEGER PRIMARY KEY AUTOINCREMENT,
    access_id     INTEGER NOT NULL REFERENCES app (access_id),
    state         INTEGER NOT NULL,
    request       TEXT    NOT NULL, -- the validated push, as JSON
    template      TEXT    NOT NULL, -- the payload of its messages
    upload_id     INTEGER,          -- of its package, if it has one
    created_at    INTEGER NOT NULL,
    start_at_s    INTEGER NOT NULL,
    expire_at_s   INTEGER NOT NULL,
    started_at    INTEGER,
    finished_at   INTEGER,
    stopped_at    INTEGER,          -- since then nobody more is to get it: stopped, revoked, or replaced
    takes_back    INTEGER,          -- of a revocation: the push that it tells devices to take back
    line          INTEGER,          -- the first of the pushes of which each takes the place of those before it
    failure       TEXT,
    audience_rows INTEGER NOT NULL,
    rows_done     INTEGER NOT NULL DEFAULT 0, -- as it is shown; inside a window it is an estimate
    no_device     INTEGER NOT NULL DEFAULT 0, -- rows that name no device
    targets       INTEGER NOT NULL DEFAULT 0, -- recipients: the sum of the next nine
    waiting       INTEGER NOT NULL DEFAULT 0,
    arrived       INTEGER NOT NULL DEFAULT 0,
    expired       INTEGER NOT NULL DEFAULT 0,
    not_kept      INTEGER NOT NULL DEFAULT 0,
    no_channel    INTEGER NOT NULL DEFAULT 0,
    gone          INTEGER NOT NULL DEFAULT 0,
    stopped       INTEGER NOT NULL DEFAULT 0,
    accepted      INTEGER NOT NULL DEFAULT 0,
    unknown       INTEGER NOT NULL DEFAULT 0,
    sent          INTEGER NOT NULL DEFAULT 0, -- accepted by a channel, whatever came of it
    shown         INTEGER NOT NULL DEFAULT 0,
    clicked       INTEGER NOT NULL DEFAULT 0,
    cleared       INTEGER NOT NULL DEFAULT 0,
    window_row    INTEGER NOT NULL DEFAULT 0, -- the cursor: rows before it are dealt with, and of the window after it
    window_end    INTEGER,                    -- (up to this row; NULL where nothing of one is recorded)
    window_device INTEGER,                    -- the devices up to this one
    day           INTEGER NOT NULL DEFAULT 0, -- of its start, counted from 1970-01-01, in the zone that was configured
    message_type  INTEGER NOT NULL DEFAULT 0,
    audience      INTEGER NOT NULL DEFAULT 0, -- its kind
    plan_id       TEXT,                       -- what it counts in beside its app
    group_id      TEXT,
    exclude_upload_id INTEGER,                -- of the package whose devices are left out, if there is one
    excluded      INTEGER NOT NULL DEFAULT 0, -- devices of the audience left out for it
    sampled_out   INTEGER NOT NULL DEFAULT 0, -- and those that are not in the sample
    first_device  INTEGER,                    -- of an audience without rows: row n is the device id n after this one
    digest        BLOB,                       -- that of no other push that starts within an hour of it
    vendors_only  INTEGER NOT NULL DEFAULT 0  -- 1: it is kept off our own channel, and no session is shown what waits of it
) STRICT;

-- State 1 waits for its time; every other that is not finished is due, whatever the clock says now.
CREATE INDEX push_unfinished ON push (CASE WHEN state = 1 THEN start_at_s ELSE 0 END) WHERE finished_at IS NULL;
CREATE INDEX push_to_expire ON push (expire_at_s) WHERE waiting > 0;
CREATE INDEX push_to_stop ON push (push_id) WHERE waiting > 0 AND stopped_at IS NOT NULL;
CREATE UNIQUE INDEX push_that_takes_back ON push (takes_back) WHERE takes_back IS NOT NULL;
-- Of each line those that are not over: what was replaced leaves it, however long a line becomes.
CREATE INDEX push_of_line ON push (line, push_id)
    WHERE line IS NOT NULL AND (finished_at IS NULL OR stopped_at IS NULL);
-- Those that may take the place of others, by when they are due: looked at each time that pushes are started.
CREATE INDEX push_to_replace ON push (CASE WHEN state = 1 THEN start_at_s ELSE 0 END, line)
    WHERE line IS NOT NULL AND finished_at IS NULL AND stopped_at IS NULL;
CREATE INDEX push_of_app ON push (access_id, push_id);
CREATE INDEX push_by_day ON push (access_id, day, push_id, message_type, audience);
CREATE INDEX push_by_digest ON push (access_id, digest, start_at_s) WHERE digest IS NOT NULL;
CREATE INDEX push_of_package ON push (upload_id) WHERE upload_id IS NOT NULL;
CREATE INDEX push_that_excludes ON push (exclude_upload_id) WHERE exclude_upload_id IS NOT NULL;

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

CREATE TABLE plan (
    plan_id     INTEGER PRIMARY KEY AUTOINCREMENT,
    access_id   INTEGER NOT NULL REFERENCES app (access_id),
    name        TEXT    NOT NULL,
    description TEXT    NOT NULL,
    created_at  INTEGER NOT NULL
) STRICT;

CREATE INDEX plan_of_app ON plan (access_id);

CREATE TABLE recipient (
    push_id    INTEGER NOT NULL,
    device_id  INTEGER NOT NULL,
    outcome    INTEGER NOT NULL,
    receipts   INTEGER NOT NULL DEFAULT 0, -- bits: shown, clicked, cleared
    sent_at    INTEGER,
    arrived_at INTEGER,
    channel    INTEGER NOT NULL DEFAULT 0, -- the one it went through, or waits on
    code       TEXT,                       -- why a vendor's channel did not take it: channel and the vendor's word
    PRIMARY KEY (push_id, device_id)
) STRICT, WITHOUT ROWID;

-- What of the sums of a push is of a vendor's channel; the rest is of our own.
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

-- Those of a day are moved from our own channel to the vendor's. A row begins with zeros.
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

-- Messages that wait for a device: one row for each recipient whose outcome is not final. Those of a push that is kept off our
-- own channel wait for their vendor, and no session is shown them.
CREATE TABLE inbox (
    device_id INTEGER NOT NULL,
    push_id   INTEGER NOT NULL,
    PRIMARY KEY (device_id, push_id)
) STRICT, WITHOUT ROWID;

-- Messages that a vendor's channel did not take for now and is given again, beside the inbox. A row whose recipient does not
-- wait any more says nothing: who comes to it takes it away. By app and channel, for each has its own pace.
CREATE TABLE parked (
    access_id  INTEGER NOT NULL,
    channel    INTEGER NOT NULL,
    push_id    INTEGER NOT NULL,
    device_id  INTEGER NOT NULL,
    not_before INTEGER NOT NULL, -- the vendor, or its words, ask for so long a wait
    PRIMARY KEY (access_id, channel, push_id, device_id)
) STRICT, WITHOUT ROWID;

-- The parts of the day in which the messages of a push may go out; of a push without a row here, at any time. No two of a
-- push touch.
CREATE TABLE accept_time (
    push_id   INTEGER NOT NULL,
    start_min INTEGER NOT NULL, -- a minute of the day, 0-1439, on a clock in the server's zone
    end_min   INTEGER NOT NULL, -- before this one; from 1440 on it is one of the next day
    PRIMARY KEY (push_id, start_min)
) STRICT, WITHOUT ROWID;

CREATE INDEX accept_time_by_start ON accept_time (start_min, push_id);

-- What devices said of messages whose batch is not on record yet.
CREATE TABLE early_receipt (
    push_id   INTEGER NOT NULL,
    device_id INTEGER NOT NULL REFERENCES device (device_id) ON DELETE CASCADE,
    receipts  INTEGER NOT NULL,
    PRIMARY KEY (push_id, device_id)
) STRICT, WITHOUT ROWID;

-- Devices that were deleted while a push was under way, whose batches may still name them: who is recorded as waiting then
-- is gone. No foreign keys: a device is not there any more, and a push may be of another app.
CREATE TABLE deleted_device (
    device_id INTEGER PRIMARY KEY,
    last_push INTEGER NOT NULL -- the newest push as of then
) STRICT;

-- Which of them no push under way can name any more.
CREATE INDEX deleted_device_by_push ON deleted_device (last_push);
