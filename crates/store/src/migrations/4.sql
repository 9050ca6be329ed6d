-- The cursor of a push: windows of rows, each dealt with in the order of its devices.

ALTER TABLE push ADD COLUMN window_row INTEGER NOT NULL DEFAULT 0;
ALTER TABLE push ADD COLUMN window_end INTEGER;
ALTER TABLE push ADD COLUMN window_device INTEGER;

UPDATE push SET window_row = rows_done;
