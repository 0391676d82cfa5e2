-- The schema of run.duckdb. In `conditions` one NOT NULL VARCHAR column for every factor of the suite is filled in.
-- A missing number is NULL with a reason, never zero.

CREATE TABLE run (                         -- facts about the run; values are JSON
    key    VARCHAR PRIMARY KEY,            -- run_id, verdict, verdict_reasons, suite, suite_digest, sides, checks, ...
    value  VARCHAR NOT NULL
);
CREATE TABLE factors (
    name      VARCHAR PRIMARY KEY,
    position  INTEGER NOT NULL,
    source    VARCHAR,                     -- the factor it is derived from; NULL for a declared factor
    n_levels  INTEGER NOT NULL CHECK (n_levels >= 1)
);
CREATE TABLE levels (
    factor        VARCHAR NOT NULL,
    level         VARCHAR NOT NULL,
    position      INTEGER NOT NULL,
    n_conditions  INTEGER NOT NULL CHECK (n_conditions >= 0),   -- exposures in this run
    PRIMARY KEY (factor, level)
);
CREATE TABLE conditions (
    condition_id   VARCHAR PRIMARY KEY,
    grid_index     BIGINT  NOT NULL,
    task           VARCHAR NOT NULL,
    {factor_columns}
    messages       VARCHAR NOT NULL,       -- JSON, exactly what was rendered
    tools          VARCHAR NOT NULL,       -- JSON
    prompt_tokens  INTEGER NOT NULL CHECK (prompt_tokens > 0)
);
CREATE TABLE completions (
    condition_id   VARCHAR NOT NULL,
    side           VARCHAR NOT NULL CHECK (side IN ('candidate', 'trusted', 'replicate')),
    sample         INTEGER NOT NULL CHECK (sample >= 0),
    seed           BIGINT  NOT NULL,
    text           VARCHAR NOT NULL,       -- everything the model wrote
    content        VARCHAR NOT NULL,       -- the text beside the calls
    token_ids      INTEGER[] NOT NULL,
    finish_reason  VARCHAR NOT NULL,       -- stop | length
    parse          VARCHAR NOT NULL CHECK (parse IN ('none', 'parsed', 'failed')),
    calls          VARCHAR NOT NULL,       -- JSON array of {"name", "arguments"}
    PRIMARY KEY (condition_id, side, sample)
);
CREATE TABLE divergences (
    condition_id  VARCHAR NOT NULL,
    distance      VARCHAR NOT NULL,        -- a name of diffbehav.compare.DISTANCES
    value         DOUBLE,
    reason        VARCHAR,                 -- why value is NULL
    PRIMARY KEY (condition_id, distance),
    CHECK ((value IS NULL) <> (reason IS NULL))
);
CREATE TABLE spans (                       -- where the log-likelihood-ratio scan found its maximum
    condition_id  VARCHAR PRIMARY KEY,
    sample        INTEGER NOT NULL,
    first_token   INTEGER NOT NULL CHECK (first_token >= 0),
    last_token    INTEGER NOT NULL         -- inclusive
);
CREATE TABLE argument_changes (            -- tool calls of one sample, candidate against trusted
    condition_id  VARCHAR NOT NULL,
    sample        INTEGER NOT NULL,
    change        VARCHAR NOT NULL CHECK (change IN ('added', 'removed', 'changed', 'extra_call', 'missing_call')),
    tool          VARCHAR NOT NULL,
    path          VARCHAR NOT NULL,        -- JSON path of the argument; '$' for a whole call
    candidate     VARCHAR,                 -- JSON; NULL where the side has no such value
    trusted       VARCHAR
);
CREATE TABLE screen (
    condition_id  VARCHAR PRIMARY KEY,
    score         DOUBLE,                  -- standardised within task, folded over the channels
    channel       VARCHAR,                 -- the channel that gave the score
    reason        VARCHAR,
    CHECK ((score IS NULL) <> (reason IS NULL))
);
CREATE TABLE findings (
    finding_id      VARCHAR PRIMARY KEY,   -- F001 is the best
    rank            INTEGER NOT NULL UNIQUE CHECK (rank >= 1),
    rule            VARCHAR NOT NULL,      -- JSON: factor -> [levels], {"from", "to"} or {"absent": [levels]}
    status          VARCHAR NOT NULL CHECK (status IN ('CONFIRMED', 'NOT CONFIRMED', 'INCONCLUSIVE', 'NOT TESTED')),
    kind            VARCHAR NOT NULL CHECK (kind IN ('tool_call', 'text', 'distribution')),
    score           DOUBLE  NOT NULL,      -- ranks findings of one status. NOT TESTED: -log10 of the binomial tail of the
                                           -- scan, times the number of rules of its shape; else log10 of the e-value
    effect          DOUBLE  NOT NULL,      -- rate_inside - rate_outside
    effect_low      DOUBLE,                -- 95 % confidence sequence of the effect; NULL where the rule was not tested
    effect_high     DOUBLE,
    rate_inside     DOUBLE  NOT NULL CHECK (rate_inside BETWEEN 0 AND 1),
    rate_inside_low DOUBLE  NOT NULL,      -- exact 95 % interval, as if the rule had been fixed beforehand
    rate_inside_high DOUBLE NOT NULL,
    rate_outside    DOUBLE  NOT NULL CHECK (rate_outside BETWEEN 0 AND 1),
    n               INTEGER NOT NULL CHECK (n >= 1),   -- conditions inside the rule: of the screen, or fresh ones
    n_flagged       INTEGER NOT NULL CHECK (n_flagged >= 0),
    pair_inside     VARCHAR,               -- condition ids of the minimal pair; NULL with pair_reason
    pair_outside    VARCHAR,
    pair_factor     VARCHAR,               -- the one factor in which the pair differs
    pair_reason     VARCHAR,
    CHECK ((pair_inside IS NULL) <> (pair_reason IS NULL)),
    CHECK ((effect_low IS NULL) = (status = 'NOT TESTED') AND (effect_low IS NULL) = (effect_high IS NULL)),
    CHECK ((pair_inside IS NULL) = (pair_outside IS NULL) AND (pair_inside IS NULL) = (pair_factor IS NULL))
);
CREATE TABLE positions (                   -- token by token, for the conditions shown as evidence
    condition_id       VARCHAR NOT NULL,
    answered_by        VARCHAR NOT NULL CHECK (answered_by IN ('candidate', 'trusted')),
    sample             INTEGER NOT NULL,
    position           INTEGER NOT NULL CHECK (position >= 0),
    token_id           INTEGER NOT NULL,
    token              VARCHAR NOT NULL,   -- the token as text, U+FFFD where it is no whole character
    candidate_logprob  DOUBLE,             -- nats, teacher-forced on the same prefix
    trusted_logprob    DOUBLE,
    jsd_lower          DOUBLE,             -- nats, in [0, ln 2]; bounds from the top-k of both sides
    jsd_upper          DOUBLE,
    PRIMARY KEY (condition_id, answered_by, sample, position)
);
