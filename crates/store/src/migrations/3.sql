-- Receipts of messages whose batch is not on record yet have a place to wait.
CREATE TABLE early_receipt (
    push_id   INTEGER NOT NULL,
    device_id INTEGER NOT NULL REFERENCES device (device_id) ON DELETE CASCADE,
    receipts  INTEGER NOT NULL,
    PRIMARY KEY (push_id, device_id)
) STRICT, WITHOUT ROWID;
