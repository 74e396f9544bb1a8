-- How far each journal was read; moved in the transaction that stores what was read. Empty: the machine's own.
CREATE TABLE journal_cursors (
    namespace text PRIMARY KEY,
    cursor    text NOT NULL
);
INSERT INTO journal_cursors SELECT '', cursor FROM journal_cursor;
DROP TABLE journal_cursor;

-- What is on the disk, in bytes, as it was when it was last measured.
ALTER TABLE builds ADD COLUMN bytes bigint;           -- null: not measured yet
ALTER TABLE apps ADD COLUMN disk_budget integer;      -- MiB; null: disk.app of the settings
CREATE TABLE disk_usage (
    environment_id bigint PRIMARY KEY REFERENCES environments ON DELETE CASCADE,
    cache          bigint NOT NULL,
    data           bigint NOT NULL,
    measured_at    timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE mirror_usage (
    app_id      bigint PRIMARY KEY REFERENCES apps ON DELETE CASCADE,
    bytes       bigint NOT NULL,
    measured_at timestamptz NOT NULL DEFAULT now()
);
