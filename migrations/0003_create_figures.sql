-- What environments and the box use, over time. Amounts, not rates: rows of a finer step add up to one of a coarser.
-- Each step is a table of its own, cut by time into partitions that the daemon makes ahead and drops whole.
CREATE TABLE environment_figures (
    environment_id   bigint NOT NULL,             -- without a reference: what is deleted goes with its partition
    step             smallint NOT NULL,           -- seconds that a row stands for; 0: as it was sampled
    at               timestamptz NOT NULL,        -- the beginning of what the row stands for
    samples          integer NOT NULL,            -- looks at the control group; 0: only requests are known
    measured_seconds double precision NOT NULL,   -- in which what follows was counted
    cpu_seconds      double precision NOT NULL,
    read_bytes       bigint NOT NULL,
    written_bytes    bigint NOT NULL,
    oom_kills        integer NOT NULL,
    memory           bigint NOT NULL,             -- bytes, on average
    memory_most      bigint NOT NULL,
    tasks_most       integer NOT NULL,
    requests         integer NOT NULL,
    answers_2xx      integer NOT NULL,
    answers_3xx      integer NOT NULL,
    answers_4xx      integer NOT NULL,
    answers_5xx      integer NOT NULL,
    answer_seconds   double precision NOT NULL,   -- until answers began, of all requests together
    slowest_seconds  double precision NOT NULL,
    PRIMARY KEY (environment_id, step, at)
) PARTITION BY LIST (step);
CREATE TABLE environment_figures_sampled PARTITION OF environment_figures FOR VALUES IN (0) PARTITION BY RANGE (at);
CREATE TABLE environment_figures_minute PARTITION OF environment_figures FOR VALUES IN (60) PARTITION BY RANGE (at);
CREATE TABLE environment_figures_quarter PARTITION OF environment_figures FOR VALUES IN (900) PARTITION BY RANGE (at);

CREATE TABLE box_figures (
    step             smallint NOT NULL,
    at               timestamptz NOT NULL,
    samples          integer NOT NULL,
    measured_seconds double precision NOT NULL,
    cpu_seconds      double precision NOT NULL,
    received_bytes   bigint NOT NULL,             -- on all networks but the machine's own loopback
    sent_bytes       bigint NOT NULL,
    memory           bigint NOT NULL,
    memory_most      bigint NOT NULL,
    swap             bigint NOT NULL,
    disk             bigint NOT NULL,             -- bytes in use where apps lie
    load             double precision NOT NULL,   -- the mean of the last minute, on average
    requests         integer NOT NULL,            -- of all apps and of Slipway's own pages
    answers_2xx      integer NOT NULL,
    answers_3xx      integer NOT NULL,
    answers_4xx      integer NOT NULL,
    answers_5xx      integer NOT NULL,
    answer_seconds   double precision NOT NULL,
    slowest_seconds  double precision NOT NULL,
    PRIMARY KEY (step, at)
) PARTITION BY LIST (step);
CREATE TABLE box_figures_sampled PARTITION OF box_figures FOR VALUES IN (0) PARTITION BY RANGE (at);
CREATE TABLE box_figures_minute PARTITION OF box_figures FOR VALUES IN (60) PARTITION BY RANGE (at);
CREATE TABLE box_figures_quarter PARTITION OF box_figures FOR VALUES IN (900) PARTITION BY RANGE (at);

-- Up to where each step has been made of the finer one; moved in the transaction that makes it.
CREATE TABLE figures_rolled_up (
    step  smallint PRIMARY KEY,
    until timestamptz NOT NULL
);

-- How far nginx's access log has been counted; moved in the transaction that stores the counts.
CREATE TABLE access_log_position (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    inode    bigint NOT NULL,
    "offset" bigint NOT NULL
);
