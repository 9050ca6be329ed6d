-- Messages that a vendor's channel did not take for now, and is given again.

CREATE TABLE parked (
    access_id  INTEGER NOT NULL,
    channel    INTEGER NOT NULL,
    push_id    INTEGER NOT NULL,
    device_id  INTEGER NOT NULL,
    not_before INTEGER NOT NULL, -- the vendor, or its words, ask for so long a wait
    PRIMARY KEY (access_id, channel, push_id, device_id)
) STRICT, WITHOUT ROWID;
