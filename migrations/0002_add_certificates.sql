-- One for each hostname that is served; chain and key lie with the host agent. Without a reference to environments:
-- the row says which files are to be removed when the environment is gone.
CREATE TABLE certificates (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    hostname       text NOT NULL UNIQUE,
    environment_id bigint,                    -- null: the panel's
    state          text NOT NULL DEFAULT 'wanted' CHECK (state IN ('wanted', 'obtaining', 'valid', 'failed')),
    reason         text,                      -- why the last attempt failed, in plain words
    failures       integer NOT NULL DEFAULT 0, -- in a row
    tried_at       timestamptz,
    next_try_at    timestamptz NOT NULL DEFAULT now(),
    issuer         text,                      -- from here on: of the one that is served
    serial         text,
    not_before     timestamptz,
    not_after      timestamptz,
    renewals       integer NOT NULL DEFAULT 0
);
