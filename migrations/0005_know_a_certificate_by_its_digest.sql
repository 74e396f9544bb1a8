-- SHA-256 of the file with chain and key, so that one that was changed by hand is seen.

ALTER TABLE certificates ADD COLUMN digest text;
