CREATE TABLE public.access_log_position (
    only_row boolean DEFAULT true NOT NULL,
    inode bigint NOT NULL,
    "offset" bigint NOT NULL,
    CONSTRAINT access_log_position_only_row_check CHECK (only_row)
);
CREATE TABLE public.accounts (
    id bigint NOT NULL,
    email text NOT NULL,
    name text NOT NULL,
    password_hash text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);
ALTER TABLE public.accounts ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.accounts_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.apps (
    id bigint NOT NULL,
    team_id bigint NOT NULL,
    name text NOT NULL,
    repository text NOT NULL,
    branch text NOT NULL,
    base_directory text DEFAULT ''::text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    deleting_at timestamp with time zone,
    disk_budget integer
);
ALTER TABLE public.apps ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.apps_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.box_figures (
    step smallint NOT NULL,
    at timestamp with time zone NOT NULL,
    samples integer NOT NULL,
    measured_seconds double precision NOT NULL,
    cpu_seconds double precision NOT NULL,
    received_bytes bigint NOT NULL,
    sent_bytes bigint NOT NULL,
    memory bigint NOT NULL,
    memory_most bigint NOT NULL,
    swap bigint NOT NULL,
    disk bigint NOT NULL,
    load double precision NOT NULL,
    requests integer NOT NULL,
    answers_2xx integer NOT NULL,
    answers_3xx integer NOT NULL,
    answers_4xx integer NOT NULL,
    answers_5xx integer NOT NULL,
    answer_seconds double precision NOT NULL,
    slowest_seconds double precision NOT NULL
)
PARTITION BY LIST (step);
CREATE TABLE public.box_figures_minute (
    step smallint NOT NULL,
    at timestamp with time zone NOT NULL,
    samples integer NOT NULL,
    measured_seconds double precision NOT NULL,
    cpu_seconds double precision NOT NULL,
    received_bytes bigint NOT NULL,
    sent_bytes bigint NOT NULL,
    memory bigint NOT NULL,
    memory_most bigint NOT NULL,
    swap bigint NOT NULL,
    disk bigint NOT NULL,
    load double precision NOT NULL,
    requests integer NOT NULL,
    answers_2xx integer NOT NULL,
    answers_3xx integer NOT NULL,
    answers_4xx integer NOT NULL,
    answers_5xx integer NOT NULL,
    answer_seconds double precision NOT NULL,
    slowest_seconds double precision NOT NULL
)
PARTITION BY RANGE (at);
CREATE TABLE public.box_figures_quarter (
    step smallint NOT NULL,
    at timestamp with time zone NOT NULL,
    samples integer NOT NULL,
    measured_seconds double precision NOT NULL,
    cpu_seconds double precision NOT NULL,
    received_bytes bigint NOT NULL,
    sent_bytes bigint NOT NULL,
    memory bigint NOT NULL,
    memory_most bigint NOT NULL,
    swap bigint NOT NULL,
    disk bigint NOT NULL,
    load double precision NOT NULL,
    requests integer NOT NULL,
    answers_2xx integer NOT NULL,
    answers_3xx integer NOT NULL,
    answers_4xx integer NOT NULL,
    answers_5xx integer NOT NULL,
    answer_seconds double precision NOT NULL,
    slowest_seconds double precision NOT NULL
)
PARTITION BY RANGE (at);
CREATE TABLE public.box_figures_sampled (
    step smallint NOT NULL,
    at timestamp with time zone NOT NULL,
    samples integer NOT NULL,
    measured_seconds double precision NOT NULL,
    cpu_seconds double precision NOT NULL,
    received_bytes bigint NOT NULL,
    sent_bytes bigint NOT NULL,
    memory bigint NOT NULL,
    memory_most bigint NOT NULL,
    swap bigint NOT NULL,
    disk bigint NOT NULL,
    load double precision NOT NULL,
    requests integer NOT NULL,
    answers_2xx integer NOT NULL,
    answers_3xx integer NOT NULL,
    answers_4xx integer NOT NULL,
    answers_5xx integer NOT NULL,
    answer_seconds double precision NOT NULL,
    slowest_seconds double precision NOT NULL
)
PARTITION BY RANGE (at);
CREATE TABLE public.builds (
    id bigint NOT NULL,
    environment_id bigint NOT NULL,
    commit text NOT NULL,
    state text NOT NULL,
    plan jsonb,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    ended_at timestamp with time zone,
    bytes bigint,
    CONSTRAINT builds_state_check CHECK ((state = ANY (ARRAY['building'::text, 'ready'::text, 'failed'::text, 'deleting'::text, 'deleted'::text])))
);
ALTER TABLE public.builds ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.builds_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.certificates (
    id bigint NOT NULL,
    hostname text NOT NULL,
    environment_id bigint,
    state text DEFAULT 'wanted'::text NOT NULL,
    reason text,
    failures integer DEFAULT 0 NOT NULL,
    tried_at timestamp with time zone,
    next_try_at timestamp with time zone DEFAULT now() NOT NULL,
    issuer text,
    serial text,
    not_before timestamp with time zone,
    not_after timestamp with time zone,
    renewals integer DEFAULT 0 NOT NULL,
    digest text,
    CONSTRAINT certificates_state_check CHECK ((state = ANY (ARRAY['wanted'::text, 'obtaining'::text, 'valid'::text, 'failed'::text])))
);
ALTER TABLE public.certificates ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.certificates_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.crashes (
    id bigint NOT NULL,
    record text NOT NULL,
    environment_id bigint NOT NULL,
    release_number integer NOT NULL,
    generation bigint NOT NULL,
    process text NOT NULL,
    rank smallint NOT NULL,
    at timestamp with time zone NOT NULL,
    exit_code smallint,
    signal text,
    out_of_memory boolean NOT NULL,
    lines jsonb NOT NULL
);
ALTER TABLE public.crashes ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.crashes_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.deployment_log (
    deployment_id bigint NOT NULL,
    number integer NOT NULL,
    at timestamp with time zone NOT NULL,
    phase text NOT NULL,
    text text NOT NULL
);
CREATE TABLE public.deployment_phases (
    deployment_id bigint NOT NULL,
    phase text NOT NULL,
    started_at timestamp with time zone DEFAULT now() NOT NULL,
    ended_at timestamp with time zone,
    reason text
);
CREATE TABLE public.deployments (
    id bigint NOT NULL,
    environment_id bigint NOT NULL,
    kind text NOT NULL,
    state text NOT NULL,
    branch text,
    commit text,
    commit_subject text,
    commit_author text,
    target_release integer,
    generation bigint,
    build_id bigint,
    release_id bigint,
    slot smallint,
    release_command text,
    cancel_asked_at timestamp with time zone,
    undone_by bigint,
    reason text,
    requested_by bigint,
    trigger text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    started_at timestamp with time zone,
    ended_at timestamp with time zone,
    CONSTRAINT deployments_kind_check CHECK ((kind = ANY (ARRAY['deploy'::text, 'rollback'::text, 'variables'::text, 'settings'::text]))),
    CONSTRAINT deployments_release_command_check CHECK ((release_command = ANY (ARRAY['started'::text, 'done'::text]))),
    CONSTRAINT deployments_state_check CHECK ((state = ANY (ARRAY['queued'::text, 'fetching'::text, 'building'::text, 'releasing'::text, 'starting'::text, 'checking'::text, 'switching'::text, 'live'::text, 'failed'::text, 'cancelled'::text, 'superseded'::text])))
);
ALTER TABLE public.deployments ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.deployments_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.disk_usage (
    environment_id bigint NOT NULL,
    cache bigint NOT NULL,
    data bigint NOT NULL,
    measured_at timestamp with time zone DEFAULT now() NOT NULL
);
CREATE TABLE public.environment_figures (
    environment_id bigint NOT NULL,
    step smallint NOT NULL,
    at timestamp with time zone NOT NULL,
    samples integer NOT NULL,
    measured_seconds double precision NOT NULL,
    cpu_seconds double precision NOT NULL,
    read_bytes bigint NOT NULL,
    written_bytes bigint NOT NULL,
    oom_kills integer NOT NULL,
    memory bigint NOT NULL,
    memory_most bigint NOT NULL,
    tasks_most integer NOT NULL,
    requests integer NOT NULL,
    answers_2xx integer NOT NULL,
    answers_3xx integer NOT NULL,
    answers_4xx integer NOT NULL,
    answers_5xx integer NOT NULL,
    answer_seconds double precision NOT NULL,
    slowest_seconds double precision NOT NULL
)
PARTITION BY LIST (step);
CREATE TABLE public.environment_figures_minute (
    environment_id bigint NOT NULL,
    step smallint NOT NULL,
    at timestamp with time zone NOT NULL,
    samples integer NOT NULL,
    measured_seconds double precision NOT NULL,
    cpu_seconds double precision NOT NULL,
    read_bytes bigint NOT NULL,
    written_bytes bigint NOT NULL,
    oom_kills integer NOT NULL,
    memory bigint NOT NULL,
    memory_most bigint NOT NULL,
    tasks_most integer NOT NULL,
    requests integer NOT NULL,
    answers_2xx integer NOT NULL,
    answers_3xx integer NOT NULL,
    answers_4xx integer NOT NULL,
    answers_5xx integer NOT NULL,
    answer_seconds double precision NOT NULL,
    slowest_seconds double precision NOT NULL
)
PARTITION BY RANGE (at);
CREATE TABLE public.environment_figures_quarter (
    environment_id bigint NOT NULL,
    step smallint NOT NULL,
    at timestamp with time zone NOT NULL,
    samples integer NOT NULL,
    measured_seconds double precision NOT NULL,
    cpu_seconds double precision NOT NULL,
    read_bytes bigint NOT NULL,
    written_bytes bigint NOT NULL,
    oom_kills integer NOT NULL,
    memory bigint NOT NULL,
    memory_most bigint NOT NULL,
    tasks_most integer NOT NULL,
    requests integer NOT NULL,
    answers_2xx integer NOT NULL,
    answers_3xx integer NOT NULL,
    answers_4xx integer NOT NULL,
    answers_5xx integer NOT NULL,
    answer_seconds double precision NOT NULL,
    slowest_seconds double precision NOT NULL
)
PARTITION BY RANGE (at);
CREATE TABLE public.environment_figures_sampled (
    environment_id bigint NOT NULL,
    step smallint NOT NULL,
    at timestamp with time zone NOT NULL,
    samples integer NOT NULL,
    measured_seconds double precision NOT NULL,
    cpu_seconds double precision NOT NULL,
    read_bytes bigint NOT NULL,
    written_bytes bigint NOT NULL,
    oom_kills integer NOT NULL,
    memory bigint NOT NULL,
    memory_most bigint NOT NULL,
    tasks_most integer NOT NULL,
    requests integer NOT NULL,
    answers_2xx integer NOT NULL,
    answers_3xx integer NOT NULL,
    answers_4xx integer NOT NULL,
    answers_5xx integer NOT NULL,
    answer_seconds double precision NOT NULL,
    slowest_seconds double precision NOT NULL
)
PARTITION BY RANGE (at);
CREATE TABLE public.environments (
    id bigint NOT NULL,
    app_id bigint NOT NULL,
    name text NOT NULL,
    branch text,
    place integer NOT NULL,
    settings jsonb DEFAULT '{}'::jsonb NOT NULL,
    scale jsonb DEFAULT '{}'::jsonb NOT NULL,
    generation bigint DEFAULT 0 NOT NULL,
    last_release integer DEFAULT 0 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    deleting_at timestamp with time zone
);
ALTER TABLE public.environments ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.environments_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.events (
    id bigint NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL,
    kind text NOT NULL,
    actor text NOT NULL,
    team_id bigint,
    app_id bigint,
    environment_id bigint,
    data jsonb DEFAULT '{}'::jsonb NOT NULL
);
ALTER TABLE public.events ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.events_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.figures_rolled_up (
    step smallint NOT NULL,
    until timestamp with time zone NOT NULL
);
CREATE TABLE public.idempotency_keys (
    account_id bigint DEFAULT 0 NOT NULL,
    key text NOT NULL,
    request_hash bytea NOT NULL,
    status smallint,
    body bytea,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);
CREATE TABLE public.journal_cursors (
    namespace text NOT NULL,
    cursor text NOT NULL
);
CREATE TABLE public.memberships (
    team_id bigint NOT NULL,
    account_id bigint NOT NULL,
    role text NOT NULL,
    CONSTRAINT memberships_role_check CHECK ((role = ANY (ARRAY['owner'::text, 'member'::text, 'viewer'::text])))
);
CREATE TABLE public.mirror_usage (
    app_id bigint NOT NULL,
    bytes bigint NOT NULL,
    measured_at timestamp with time zone DEFAULT now() NOT NULL
);
CREATE TABLE public.releases (
    id bigint NOT NULL,
    environment_id bigint NOT NULL,
    number integer NOT NULL,
    build_id bigint NOT NULL,
    variables bytea NOT NULL,
    settings jsonb NOT NULL,
    processes jsonb NOT NULL,
    reason text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    pruned_at timestamp with time zone
);
ALTER TABLE public.releases ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.releases_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.schema_migrations (
    number integer NOT NULL,
    name text NOT NULL,
    sha256 text NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL
);
CREATE TABLE public.sessions (
    token_hash bytea NOT NULL,
    account_id bigint NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    last_seen_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone NOT NULL
);
CREATE TABLE public.setup_links (
    token_hash bytea NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    used_at timestamp with time zone
);
CREATE TABLE public.sign_in_failures (
    subject text NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL
);
CREATE TABLE public.slots (
    environment_id bigint NOT NULL,
    number smallint NOT NULL,
    release_id bigint NOT NULL,
    generation bigint NOT NULL,
    role text NOT NULL,
    since timestamp with time zone DEFAULT now() NOT NULL,
    until timestamp with time zone,
    CONSTRAINT slots_number_check CHECK (((number >= 1) AND (number <= 3))),
    CONSTRAINT slots_role_check CHECK ((role = ANY (ARRAY['incoming'::text, 'live'::text, 'draining'::text, 'standby'::text, 'stopping'::text])))
);
CREATE TABLE public.teams (
    id bigint NOT NULL,
    name text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);
ALTER TABLE public.teams ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.teams_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.tokens (
    id bigint NOT NULL,
    account_id bigint NOT NULL,
    name text NOT NULL,
    token_hash bytea NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    last_used_at timestamp with time zone
);
ALTER TABLE public.tokens ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.tokens_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.variables (
    environment_id bigint NOT NULL,
    key text NOT NULL,
    value bytea NOT NULL,
    secret boolean NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL
);
ALTER TABLE ONLY public.box_figures ATTACH PARTITION public.box_figures_minute FOR VALUES IN ('60');
ALTER TABLE ONLY public.box_figures ATTACH PARTITION public.box_figures_quarter FOR VALUES IN ('900');
ALTER TABLE ONLY public.box_figures ATTACH PARTITION public.box_figures_sampled FOR VALUES IN ('0');
ALTER TABLE ONLY public.environment_figures ATTACH PARTITION public.environment_figures_minute FOR VALUES IN ('60');
ALTER TABLE ONLY public.environment_figures ATTACH PARTITION public.environment_figures_quarter FOR VALUES IN ('900');
ALTER TABLE ONLY public.environment_figures ATTACH PARTITION public.environment_figures_sampled FOR VALUES IN ('0');
ALTER TABLE ONLY public.access_log_position
    ADD CONSTRAINT access_log_position_pkey PRIMARY KEY (only_row);
ALTER TABLE ONLY public.accounts
    ADD CONSTRAINT accounts_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.apps
    ADD CONSTRAINT apps_name_key UNIQUE (name);
ALTER TABLE ONLY public.apps
    ADD CONSTRAINT apps_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.box_figures
    ADD CONSTRAINT box_figures_pkey PRIMARY KEY (step, at);
ALTER TABLE ONLY public.box_figures_minute
    ADD CONSTRAINT box_figures_minute_pkey PRIMARY KEY (step, at);
ALTER TABLE ONLY public.box_figures_quarter
    ADD CONSTRAINT box_figures_quarter_pkey PRIMARY KEY (step, at);
ALTER TABLE ONLY public.box_figures_sampled
    ADD CONSTRAINT box_figures_sampled_pkey PRIMARY KEY (step, at);
ALTER TABLE ONLY public.builds
    ADD CONSTRAINT builds_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.certificates
    ADD CONSTRAINT certificates_hostname_key UNIQUE (hostname);
ALTER TABLE ONLY public.certificates
    ADD CONSTRAINT certificates_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.crashes
    ADD CONSTRAINT crashes_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.crashes
    ADD CONSTRAINT crashes_record_key UNIQUE (record);
ALTER TABLE ONLY public.deployment_log
    ADD CONSTRAINT deployment_log_pkey PRIMARY KEY (deployment_id, number);
ALTER TABLE ONLY public.deployment_phases
    ADD CONSTRAINT deployment_phases_pkey PRIMARY KEY (deployment_id, phase);
ALTER TABLE ONLY public.deployments
    ADD CONSTRAINT deployments_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.disk_usage
    ADD CONSTRAINT disk_usage_pkey PRIMARY KEY (environment_id);
ALTER TABLE ONLY public.environment_figures
    ADD CONSTRAINT environment_figures_pkey PRIMARY KEY (environment_id, step, at);
ALTER TABLE ONLY public.environment_figures_minute
    ADD CONSTRAINT environment_figures_minute_pkey PRIMARY KEY (environment_id, step, at);
ALTER TABLE ONLY public.environment_figures_quarter
    ADD CONSTRAINT environment_figures_quarter_pkey PRIMARY KEY (environment_id, step, at);
ALTER TABLE ONLY public.environment_figures_sampled
    ADD CONSTRAINT environment_figures_sampled_pkey PRIMARY KEY (environment_id, step, at);
ALTER TABLE ONLY public.environments
    ADD CONSTRAINT environments_app_id_name_key UNIQUE (app_id, name);
ALTER TABLE ONLY public.environments
    ADD CONSTRAINT environments_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.environments
    ADD CONSTRAINT environments_place_key UNIQUE (place);
ALTER TABLE ONLY public.events
    ADD CONSTRAINT events_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.figures_rolled_up
    ADD CONSTRAINT figures_rolled_up_pkey PRIMARY KEY (step);
ALTER TABLE ONLY public.idempotency_keys
    ADD CONSTRAINT idempotency_keys_pkey PRIMARY KEY (account_id, key);
ALTER TABLE ONLY public.journal_cursors
    ADD CONSTRAINT journal_cursors_pkey PRIMARY KEY (namespace);
ALTER TABLE ONLY public.memberships
    ADD CONSTRAINT memberships_pkey PRIMARY KEY (team_id, account_id);
ALTER TABLE ONLY public.mirror_usage
    ADD CONSTRAINT mirror_usage_pkey PRIMARY KEY (app_id);
ALTER TABLE ONLY public.releases
    ADD CONSTRAINT releases_environment_id_number_key UNIQUE (environment_id, number);
ALTER TABLE ONLY public.releases
    ADD CONSTRAINT releases_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.schema_migrations
    ADD CONSTRAINT schema_migrations_pkey PRIMARY KEY (number);
ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT sessions_pkey PRIMARY KEY (token_hash);
ALTER TABLE ONLY public.setup_links
    ADD CONSTRAINT setup_links_pkey PRIMARY KEY (token_hash);
ALTER TABLE ONLY public.slots
    ADD CONSTRAINT slots_pkey PRIMARY KEY (environment_id, number);
ALTER TABLE ONLY public.teams
    ADD CONSTRAINT teams_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.tokens
    ADD CONSTRAINT tokens_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.tokens
    ADD CONSTRAINT tokens_token_hash_key UNIQUE (token_hash);
ALTER TABLE ONLY public.variables
    ADD CONSTRAINT variables_pkey PRIMARY KEY (environment_id, key);
CREATE UNIQUE INDEX accounts_email ON public.accounts USING btree (lower(email));
CREATE INDEX apps_team ON public.apps USING btree (team_id);
CREATE INDEX builds_environment ON public.builds USING btree (environment_id);
CREATE INDEX crashes_environment ON public.crashes USING btree (environment_id, id);
CREATE INDEX deployments_build ON public.deployments USING btree (build_id);
CREATE INDEX deployments_environment ON public.deployments USING btree (environment_id, id);
CREATE UNIQUE INDEX deployments_one_at_a_time ON public.deployments USING btree (environment_id) WHERE (state = ANY (ARRAY['fetching'::text, 'building'::text, 'releasing'::text, 'starting'::text, 'checking'::text, 'switching'::text]));
CREATE INDEX deployments_open ON public.deployments USING btree (id) WHERE (state <> ALL (ARRAY['live'::text, 'failed'::text, 'cancelled'::text, 'superseded'::text]));
CREATE INDEX deployments_release ON public.deployments USING btree (release_id);
CREATE INDEX deployments_undone_by ON public.deployments USING btree (undone_by) WHERE (undone_by IS NOT NULL);
CREATE INDEX events_app ON public.events USING btree (app_id, id);
CREATE INDEX events_at ON public.events USING btree (at);
CREATE INDEX events_sign_ins ON public.events USING btree (actor, ((data ->> 'address'::text))) WHERE (kind = 'account.signed-in'::text);
CREATE INDEX events_team ON public.events USING btree (team_id, id);
CREATE INDEX idempotency_keys_created_at ON public.idempotency_keys USING btree (created_at);
CREATE INDEX memberships_account ON public.memberships USING btree (account_id);
CREATE INDEX releases_build ON public.releases USING btree (build_id);
CREATE INDEX sessions_account ON public.sessions USING btree (account_id);
CREATE INDEX sign_in_failures_at ON public.sign_in_failures USING btree (at);
CREATE INDEX sign_in_failures_subject ON public.sign_in_failures USING btree (subject, at);
CREATE UNIQUE INDEX slots_one_live ON public.slots USING btree (environment_id) WHERE (role = 'live'::text);
CREATE INDEX tokens_account ON public.tokens USING btree (account_id);
ALTER INDEX public.box_figures_pkey ATTACH PARTITION public.box_figures_minute_pkey;
ALTER INDEX public.box_figures_pkey ATTACH PARTITION public.box_figures_quarter_pkey;
ALTER INDEX public.box_figures_pkey ATTACH PARTITION public.box_figures_sampled_pkey;
ALTER INDEX public.environment_figures_pkey ATTACH PARTITION public.environment_figures_minute_pkey;
ALTER INDEX public.environment_figures_pkey ATTACH PARTITION public.environment_figures_quarter_pkey;
ALTER INDEX public.environment_figures_pkey ATTACH PARTITION public.environment_figures_sampled_pkey;
ALTER TABLE ONLY public.apps
    ADD CONSTRAINT apps_team_id_fkey FOREIGN KEY (team_id) REFERENCES public.teams(id);
ALTER TABLE ONLY public.builds
    ADD CONSTRAINT builds_environment_id_fkey FOREIGN KEY (environment_id) REFERENCES public.environments(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.crashes
    ADD CONSTRAINT crashes_environment_id_fkey FOREIGN KEY (environment_id) REFERENCES public.environments(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.deployment_log
    ADD CONSTRAINT deployment_log_deployment_id_fkey FOREIGN KEY (deployment_id) REFERENCES public.deployments(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.deployment_phases
    ADD CONSTRAINT deployment_phases_deployment_id_fkey FOREIGN KEY (deployment_id) REFERENCES public.deployments(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.deployments
    ADD CONSTRAINT deployments_build_id_fkey FOREIGN KEY (build_id) REFERENCES public.builds(id);
ALTER TABLE ONLY public.deployments
    ADD CONSTRAINT deployments_environment_id_fkey FOREIGN KEY (environment_id) REFERENCES public.environments(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.deployments
    ADD CONSTRAINT deployments_release_id_fkey FOREIGN KEY (release_id) REFERENCES public.releases(id);
ALTER TABLE ONLY public.deployments
    ADD CONSTRAINT deployments_requested_by_fkey FOREIGN KEY (requested_by) REFERENCES public.accounts(id) ON DELETE SET NULL;
ALTER TABLE ONLY public.deployments
    ADD CONSTRAINT deployments_undone_by_fkey FOREIGN KEY (undone_by) REFERENCES public.deployments(id);
ALTER TABLE ONLY public.disk_usage
    ADD CONSTRAINT disk_usage_environment_id_fkey FOREIGN KEY (environment_id) REFERENCES public.environments(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.environments
    ADD CONSTRAINT environments_app_id_fkey FOREIGN KEY (app_id) REFERENCES public.apps(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.memberships
    ADD CONSTRAINT memberships_account_id_fkey FOREIGN KEY (account_id) REFERENCES public.accounts(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.memberships
    ADD CONSTRAINT memberships_team_id_fkey FOREIGN KEY (team_id) REFERENCES public.teams(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.mirror_usage
    ADD CONSTRAINT mirror_usage_app_id_fkey FOREIGN KEY (app_id) REFERENCES public.apps(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.releases
    ADD CONSTRAINT releases_build_id_fkey FOREIGN KEY (build_id) REFERENCES public.builds(id);
ALTER TABLE ONLY public.releases
    ADD CONSTRAINT releases_environment_id_fkey FOREIGN KEY (environment_id) REFERENCES public.environments(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT sessions_account_id_fkey FOREIGN KEY (account_id) REFERENCES public.accounts(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.slots
    ADD CONSTRAINT slots_environment_id_fkey FOREIGN KEY (environment_id) REFERENCES public.environments(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.slots
    ADD CONSTRAINT slots_release_id_fkey FOREIGN KEY (release_id) REFERENCES public.releases(id);
ALTER TABLE ONLY public.tokens
    ADD CONSTRAINT tokens_account_id_fkey FOREIGN KEY (account_id) REFERENCES public.accounts(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.variables
    ADD CONSTRAINT variables_environment_id_fkey FOREIGN KEY (environment_id) REFERENCES public.environments(id) ON DELETE CASCADE;
