-- People.
CREATE TABLE accounts (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    email         text NOT NULL,
    name          text NOT NULL,
    password_hash text NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX accounts_email ON accounts (lower(email));

CREATE TABLE setup_links (
    token_hash bytea PRIMARY KEY,
    expires_at timestamptz NOT NULL,
    used_at    timestamptz
);

CREATE TABLE sessions (
    token_hash   bytea PRIMARY KEY,
    account_id   bigint NOT NULL REFERENCES accounts ON DELETE CASCADE,
    created_at   timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL
);
CREATE INDEX sessions_account ON sessions (account_id);

CREATE TABLE tokens (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id   bigint NOT NULL REFERENCES accounts ON DELETE CASCADE,
    name         text NOT NULL,
    token_hash   bytea NOT NULL UNIQUE,
    created_at   timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz
);
CREATE INDEX tokens_account ON tokens (account_id);

-- One row per failed sign-in, counted per address, per e-mail, and per both together.
CREATE TABLE sign_in_failures (
    subject text NOT NULL,
    at      timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX sign_in_failures_subject ON sign_in_failures (subject, at);
CREATE INDEX sign_in_failures_at ON sign_in_failures (at);  -- old ones are deleted by it

-- The answer of a creating request, given again for the same key. The key is taken before the work begins.
CREATE TABLE idempotency_keys (
    account_id   bigint NOT NULL DEFAULT 0,   -- 0: the operator
    key          text NOT NULL,
    request_hash bytea NOT NULL,
    status       smallint,                    -- null: under way, or its end could not be recorded
    body         bytea,
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account_id, key)
);
CREATE INDEX idempotency_keys_created_at ON idempotency_keys (created_at);

CREATE TABLE teams (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE memberships (
    team_id    bigint NOT NULL REFERENCES teams ON DELETE CASCADE,
    account_id bigint NOT NULL REFERENCES accounts ON DELETE CASCADE,
    role       text NOT NULL CHECK (role IN ('owner', 'member', 'viewer')),
    PRIMARY KEY (team_id, account_id)
);
CREATE INDEX memberships_account ON memberships (account_id);

-- What is deployed.
CREATE TABLE apps (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    team_id        bigint NOT NULL REFERENCES teams,
    name           text NOT NULL UNIQUE,
    repository     text NOT NULL,
    branch         text NOT NULL,
    base_directory text NOT NULL DEFAULT '',
    created_at     timestamptz NOT NULL DEFAULT now(),
    deleting_at    timestamptz                -- set first; the row goes when nothing is left on the host
);
CREATE INDEX apps_team ON apps (team_id);

CREATE TABLE environments (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    app_id     bigint NOT NULL REFERENCES apps ON DELETE CASCADE,
    name       text NOT NULL,
    branch     text,                          -- null: the app's
    place      integer NOT NULL UNIQUE,
    settings   jsonb NOT NULL DEFAULT '{}',
    scale      jsonb NOT NULL DEFAULT '{}',
    generation bigint NOT NULL DEFAULT 0,     -- of the newest deployment that began; the host agent fences with it
    last_release integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    deleting_at timestamptz,
    UNIQUE (app_id, name)
);

CREATE TABLE variables (
    environment_id bigint NOT NULL REFERENCES environments ON DELETE CASCADE,
    key            text NOT NULL,
    value          bytea NOT NULL,            -- sealed: key id, nonce, AES-256-GCM
    secret         boolean NOT NULL,
    updated_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (environment_id, key)
);

CREATE TABLE builds (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    environment_id bigint NOT NULL REFERENCES environments ON DELETE CASCADE,
    commit         text NOT NULL,             -- forty hex digits
    state          text NOT NULL CHECK (state IN ('building', 'ready', 'failed', 'deleting', 'deleted')),
    plan           jsonb,
    created_at     timestamptz NOT NULL DEFAULT now(),
    ended_at       timestamptz
);
CREATE INDEX builds_environment ON builds (environment_id);

CREATE TABLE releases (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    environment_id bigint NOT NULL REFERENCES environments ON DELETE CASCADE,
    number         integer NOT NULL,
    build_id       bigint NOT NULL REFERENCES builds,
    variables      bytea NOT NULL,            -- sealed JSON: key → value, as they were
    settings       jsonb NOT NULL,            -- as they were
    processes      jsonb NOT NULL,            -- name → command
    reason         text NOT NULL,             -- 'deploy', 'variables', 'settings'
    created_at     timestamptz NOT NULL DEFAULT now(),
    pruned_at      timestamptz,               -- can no longer be rolled back to
    UNIQUE (environment_id, number)
);
CREATE INDEX releases_build ON releases (build_id);

-- Where releases run. Slot 1 to 3 for releases with a web process or a public folder; an environment whose
-- release has neither holds its workers in slot 1 to 3 all the same, without a port.
CREATE TABLE slots (
    environment_id bigint NOT NULL REFERENCES environments ON DELETE CASCADE,
    number         smallint NOT NULL CHECK (number BETWEEN 1 AND 3),
    release_id     bigint NOT NULL REFERENCES releases,
    generation     bigint NOT NULL,           -- in the names of its units
    role           text NOT NULL CHECK (role IN ('incoming', 'live', 'draining', 'standby', 'stopping')),
    since          timestamptz NOT NULL DEFAULT now(),
    until          timestamptz,               -- when draining or standing by ends
    PRIMARY KEY (environment_id, number)
);
CREATE UNIQUE INDEX slots_one_live ON slots (environment_id) WHERE role = 'live';

CREATE TABLE deployments (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    environment_id bigint NOT NULL REFERENCES environments ON DELETE CASCADE,
    kind           text NOT NULL CHECK (kind IN ('deploy', 'rollback', 'variables', 'settings')),
    state          text NOT NULL CHECK (state IN ('queued', 'fetching', 'building', 'releasing', 'starting',
                       'checking', 'switching', 'live', 'failed', 'cancelled', 'superseded')),
    branch         text,
    commit         text,                      -- asked for, then resolved
    commit_subject text,
    commit_author  text,
    target_release integer,                   -- of a rollback
    generation     bigint,                    -- given when it begins
    build_id       bigint REFERENCES builds,
    release_id     bigint REFERENCES releases,
    slot           smallint,
    release_command text CHECK (release_command IN ('started', 'done')),
    cancel_asked_at timestamptz,
    undone_by      bigint REFERENCES deployments, -- the automatic rollback after a bad switch
    reason         text,                      -- why it ended as it did, in plain words
    requested_by   bigint REFERENCES accounts ON DELETE SET NULL,
    trigger        text NOT NULL,             -- 'person', 'token', 'operator', 'automatic'
    created_at     timestamptz NOT NULL DEFAULT now(),
    started_at     timestamptz,
    ended_at       timestamptz
);
CREATE INDEX deployments_environment ON deployments (environment_id, id);
CREATE UNIQUE INDEX deployments_one_at_a_time ON deployments (environment_id)
    WHERE state IN ('fetching', 'building', 'releasing', 'starting', 'checking', 'switching');
-- What a release, a build or a rollback is deleted by: no deployment may refer to it.
CREATE INDEX deployments_release ON deployments (release_id);
CREATE INDEX deployments_build ON deployments (build_id);
CREATE INDEX deployments_undone_by ON deployments (undone_by) WHERE undone_by IS NOT NULL;
CREATE INDEX deployments_open ON deployments (id)
    WHERE state NOT IN ('live', 'failed', 'cancelled', 'superseded');

CREATE TABLE deployment_phases (
    deployment_id bigint NOT NULL REFERENCES deployments ON DELETE CASCADE,
    phase         text NOT NULL,
    started_at    timestamptz NOT NULL DEFAULT now(),
    ended_at      timestamptz,
    reason        text,
    PRIMARY KEY (deployment_id, phase)
);

CREATE TABLE deployment_log (
    deployment_id bigint NOT NULL REFERENCES deployments ON DELETE CASCADE,
    number        integer NOT NULL,
    at            timestamptz NOT NULL,
    phase         text NOT NULL,
    text          text NOT NULL,
    PRIMARY KEY (deployment_id, number)
);

-- How far the one reader of the journal has come; moved in the transaction that stores what it read.
CREATE TABLE journal_cursor (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    cursor   text NOT NULL
);

CREATE TABLE crashes (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    record         text NOT NULL UNIQUE,      -- the exit record it was made from
    environment_id bigint NOT NULL REFERENCES environments ON DELETE CASCADE,
    release_number integer NOT NULL,
    generation     bigint NOT NULL,
    process        text NOT NULL,
    rank           smallint NOT NULL,
    at             timestamptz NOT NULL,
    exit_code      smallint,
    signal         text,
    out_of_memory  boolean NOT NULL,
    lines          jsonb NOT NULL             -- the last lines of its log
);
CREATE INDEX crashes_environment ON crashes (environment_id, id);

-- Who did what. Never changed; deleted when it is old (history.events_days in the settings).
CREATE TABLE events (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at             timestamptz NOT NULL DEFAULT now(),
    kind           text NOT NULL,
    actor          text NOT NULL,             -- 'account:1', 'operator', 'slipway'
    team_id        bigint,
    app_id         bigint,
    environment_id bigint,
    data           jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX events_team ON events (team_id, id);
CREATE INDEX events_app ON events (app_id, id);
CREATE INDEX events_at ON events (at);
-- From where somebody signed in before.
CREATE INDEX events_sign_ins ON events (actor, (data->>'address')) WHERE kind = 'account.signed-in';
