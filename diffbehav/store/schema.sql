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
    world          VARCHAR,                -- JSON: the simulated world that answers calls; NULL where one turn is asked
    prompt_tokens  INTEGER NOT NULL CHECK (prompt_tokens > 0)
);
CREATE TABLE completions (
    condition_id   VARCHAR NOT NULL,
    side           VARCHAR NOT NULL CHECK (side IN ('candidate', 'trusted', 'replicate')),
    sample         INTEGER NOT NULL CHECK (sample >= 0),
    turn           INTEGER NOT NULL CHECK (turn >= 0),   -- 0 answers the condition itself, a later one the results
    seed           BIGINT  NOT NULL,
    text           VARCHAR NOT NULL,       -- everything the model wrote
    content        VARCHAR NOT NULL,       -- the text beside the calls
    token_ids      INTEGER[] NOT NULL,
    finish_reason  VARCHAR NOT NULL,       -- stop | length
    parse          VARCHAR NOT NULL CHECK (parse IN ('none', 'parsed', 'failed')),
    calls          VARCHAR NOT NULL,       -- JSON array of {"name", "arguments"}
    results        VARCHAR,                -- JSON array of {"status", "text"}, simulated; NULL where no call was answered
    prompt_digest  VARCHAR,                -- of the token ids of a later turn's prompt; NULL in turn 0
    parse_reason   VARCHAR,                -- why parse is failed; NULL otherwise
    PRIMARY KEY (condition_id, side, sample, turn),
    CHECK ((prompt_digest IS NULL) = (turn = 0)),
    CHECK ((parse_reason IS NULL) = (parse <> 'failed'))
);
CREATE TABLE episodes (                    -- empty where the suite asks for one turn
    condition_id   VARCHAR NOT NULL,
    side           VARCHAR NOT NULL CHECK (side IN ('candidate', 'trusted', 'replicate')),
    sample         INTEGER NOT NULL CHECK (sample >= 0),
    turns          INTEGER NOT NULL CHECK (turns >= 1),
    ended          VARCHAR NOT NULL CHECK (ended IN ('final', 'turn_limit', 'length', 'parse_failed', 'unmeasured')),
    reason         VARCHAR,                -- why an unmeasured episode could not go on
    state          VARCHAR NOT NULL,       -- JSON: files {path: {"before", "after"}} and rows {table: [row]} that changed
    state_digest   VARCHAR NOT NULL,       -- equal where the simulated worlds ended alike
    PRIMARY KEY (condition_id, side, sample),
    CHECK ((ended = 'unmeasured') = (reason IS NOT NULL))
);
CREATE TABLE world_changes (               -- where the simulated worlds of one sample ended differently
    condition_id  VARCHAR NOT NULL,
    sample        INTEGER NOT NULL,
    change        VARCHAR NOT NULL CHECK (change IN ('added', 'removed', 'changed')),   -- seen from the trusted side
    place         VARCHAR NOT NULL,        -- the path of a file or the name of a table
    candidate     VARCHAR,                 -- content of the file or JSON of the row; NULL where there is none
    trusted       VARCHAR
);
CREATE TABLE divergences (                 -- a row per condition and distance; an index that says so would be
    condition_id  VARCHAR NOT NULL,        -- several times as large as the table
    distance      VARCHAR NOT NULL,        -- a name of diffbehav.compare.DISTANCES
    value         DOUBLE,
    reason        VARCHAR,                 -- why value is NULL
    CHECK ((value IS NULL) <> (reason IS NULL))
);
CREATE TABLE spans (                       -- where the log-likelihood-ratio scan found its maximum
    condition_id  VARCHAR PRIMARY KEY,
    sample        INTEGER NOT NULL,
    turn          INTEGER NOT NULL,
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
CREATE TABLE code_blocks (                 -- code in the answers: fenced blocks, and arguments that are code
    condition_id  VARCHAR NOT NULL,
    side          VARCHAR NOT NULL CHECK (side IN ('candidate', 'trusted', 'replicate')),
    sample        INTEGER NOT NULL,
    turn          INTEGER NOT NULL,
    block         INTEGER NOT NULL CHECK (block >= 0),   -- its place in the answer
    source        VARCHAR NOT NULL CHECK (source IN ('text', 'argument')),
    reason        VARCHAR,                 -- why it was not analysed; NULL where it was
    PRIMARY KEY (condition_id, side, sample, turn, block)
);
CREATE TABLE code_findings (               -- static findings; an analysed block without a row here has none
    condition_id  VARCHAR NOT NULL,
    side          VARCHAR NOT NULL CHECK (side IN ('candidate', 'trusted', 'replicate')),
    sample        INTEGER NOT NULL,
    turn          INTEGER NOT NULL,
    block         INTEGER NOT NULL,
    test          VARCHAR NOT NULL,        -- of the analyser, such as B608
    cwe           INTEGER,                 -- Common Weakness Enumeration; NULL where the test names none
    severity      VARCHAR NOT NULL CHECK (severity IN ('LOW', 'MEDIUM', 'HIGH', 'UNDEFINED')),
    confidence    VARCHAR NOT NULL CHECK (confidence IN ('LOW', 'MEDIUM', 'HIGH', 'UNDEFINED')),
    line          INTEGER NOT NULL         -- of the block, from 1
);
CREATE TABLE violations (                  -- calls that the policy does not allow; empty where no policy was given
    condition_id  VARCHAR NOT NULL,
    side          VARCHAR NOT NULL CHECK (side IN ('candidate', 'trusted', 'replicate')),
    sample        INTEGER NOT NULL,
    call          INTEGER NOT NULL CHECK (call >= 0),   -- place of the call in the answer
    tool          VARCHAR NOT NULL,        -- the name as the model wrote it
    kind          VARCHAR NOT NULL CHECK (kind IN ('unknown_tool', 'tool_not_offered', 'path_not_allowed',
                  'path_forbidden', 'domain_not_allowed', 'method_not_allowed', 'too_many_calls', 'not_confirmed',
                  'unverifiable')),        -- unverifiable: a limit holds and the call does not say whether it is kept
    path          VARCHAR NOT NULL,        -- JSON path of the argument; '$' for a whole call
    value         VARCHAR,                 -- what is not allowed; NULL for a whole call
    resembles     VARCHAR,                 -- the known tool or allowed host that it looks like without being it
    severity      DOUBLE  NOT NULL CHECK (severity > 0 AND severity <= 1)   -- of the tool
);
CREATE TABLE screen (
    condition_id  VARCHAR PRIMARY KEY,
    score         DOUBLE,                  -- standardised within task, folded over the channels
    channel       VARCHAR,                 -- the channel that gave the score
    reason        VARCHAR,
    CHECK ((score IS NULL) <> (reason IS NULL))
);
CREATE TABLE outcomes (                    -- what came out of every condition, beside its levels: for charts under a filter
    condition_id            VARCHAR NOT NULL,
    task                    VARCHAR NOT NULL,
    {factor_columns}
    score                   DOUBLE,        -- that of `screen`
    flagged                 BOOLEAN,       -- the score is above the threshold of the run; NULL where there is none
    calls_differ            BOOLEAN,       -- in some sample, candidate against trusted, as written; NULL: not answered
    text_differs            BOOLEAN,
    replicate_calls_differ  BOOLEAN,       -- the trusted model against its own replicate, that is with other seeds
    replicate_text_differs  BOOLEAN,
    said                    VARCHAR,       -- refuses | claims it is done | announces | other text | silent: a heuristic
    did                     VARCHAR,       -- no call | same calls | other arguments | missing call | other tool |
                                           -- extra call | broken call: the most remarkable sample
    CHECK ((score IS NULL) = (flagged IS NULL)),
    CHECK ((said IS NULL) = (did IS NULL))
);
CREATE TABLE slices (                      -- counts for the whole run, every level, and every pair of levels that was met
    factor_a           VARCHAR,            -- a factor or `task`; NULL, both factors, for the whole run
    level_a            VARCHAR,
    factor_b           VARCHAR,            -- later in the order of the suite than factor_a; NULL for a single level
    level_b            VARCHAR,
    n_conditions       BIGINT NOT NULL CHECK (n_conditions >= 0),
    n                  BIGINT NOT NULL,    -- with a screen score
    n_flagged          BIGINT NOT NULL,
    max_score          DOUBLE,             -- NULL where n = 0
    n_answered         BIGINT NOT NULL,    -- by candidate and trusted
    n_calls            BIGINT NOT NULL,    -- whose calls differ
    n_text             BIGINT NOT NULL,    -- whose text differs
    n_replicated       BIGINT NOT NULL,    -- answered by the replicate too
    n_replicate_calls  BIGINT NOT NULL,
    n_replicate_text   BIGINT NOT NULL,
    p99_score          DOUBLE,             -- NULL for pairs of levels
    CHECK ((factor_a IS NULL) = (level_a IS NULL) AND (factor_b IS NULL) = (level_b IS NULL))
);
CREATE TABLE coverage_columns (            -- what coverage is counted over: the task, every axis, every derived factor
    name      VARCHAR PRIMARY KEY,
    position  INTEGER NOT NULL,
    kind      VARCHAR NOT NULL CHECK (kind IN ('task', 'declared', 'pooled', 'derived')),
    source    VARCHAR,                     -- the pooled factor it is one level of, or the factor it is derived from
    n_levels  INTEGER NOT NULL CHECK (n_levels >= 1)
);
CREATE TABLE coverage (                    -- combinations of levels of so many axes; derived factors are no axes
    scope      VARCHAR NOT NULL CHECK (scope IN ('run', 'ledger')),   -- ledger: with the earlier runs of its ledger
    strength   INTEGER NOT NULL CHECK (strength BETWEEN 1 AND 3),
    sets       BIGINT  NOT NULL,           -- sets of so many axes that were counted
    uncounted  BIGINT  NOT NULL,           -- sets with too many combinations to be counted, in none of the sums
    possible   BIGINT  NOT NULL,           -- combinations that the exclusions leave
    once       BIGINT  NOT NULL,           -- of these, exposed by a condition with a screen score
    often      BIGINT  NOT NULL,           -- exposed as often as the stated sensitivity asks for: run.coverage.exposures
    PRIMARY KEY (scope, strength),
    CHECK (often <= once AND once <= possible)
);
CREATE TABLE coverage_pairs (              -- the same by pair of columns of which neither decides the other
    scope      VARCHAR NOT NULL CHECK (scope IN ('run', 'ledger')),
    first      VARCHAR NOT NULL,
    second     VARCHAR NOT NULL,
    possible   BIGINT  NOT NULL,
    once       BIGINT  NOT NULL,
    often      BIGINT  NOT NULL,
    least      BIGINT  NOT NULL,           -- exposures of the rarest combination
    PRIMARY KEY (scope, first, second),
    CHECK (often <= once AND once <= possible)
);
CREATE TABLE underexposed (                -- combinations below run.coverage.exposures, the largest first; how many more
    scope      VARCHAR NOT NULL CHECK (scope IN ('run', 'ledger')),   -- there are: run.coverage.unlisted
    rank       INTEGER NOT NULL CHECK (rank >= 1),
    levels     VARCHAR NOT NULL,           -- JSON: column -> level
    exposures  BIGINT  NOT NULL CHECK (exposures >= 0),
    share      DOUBLE  NOT NULL CHECK (share BETWEEN 0 AND 1),   -- of the grid, exclusions aside
    PRIMARY KEY (scope, rank)
);
CREATE TABLE detectable (                  -- how large a trigger can be, as a share of the suite's sampled distribution
    sensitivity  DOUBLE PRIMARY KEY CHECK (sensitivity > 0 AND sensitivity <= 1),   -- chance that one exposure shows
    contexts     BIGINT NOT NULL CHECK (contexts >= 0),   -- independent ones: run.coverage.contexts_how
    share        DOUBLE NOT NULL CHECK (share BETWEEN 0 AND 1),   -- a larger one shows at least once with 95 %
    hits         BIGINT CHECK (hits BETWEEN 0 AND contexts),      -- contexts that may be triggered ones
    bound        DOUBLE CHECK (bound BETWEEN 0 AND 1),    -- 95 % upper bound of what triggers, given the hits
    reason       VARCHAR,                  -- why hits and bound are NULL
    CHECK ((bound IS NULL) = (hits IS NULL) AND (bound IS NULL) <> (reason IS NULL))
);
CREATE TABLE findings (
    finding_id      VARCHAR PRIMARY KEY,   -- F001 is the best
    rank            INTEGER NOT NULL UNIQUE CHECK (rank >= 1),
    rule            VARCHAR NOT NULL,      -- JSON: factor -> [levels], {"from", "to"} or {"absent": [levels]}
    status          VARCHAR NOT NULL CHECK (status IN ('CONFIRMED', 'NOT CONFIRMED', 'INCONCLUSIVE', 'NOT TESTED')),
    kind            VARCHAR NOT NULL CHECK (kind IN ('tool_call', 'code', 'text', 'distribution')),
    score           DOUBLE,                -- NULL, this and the other numbers, with reason. Ranks findings of one
                                           -- status. NOT TESTED: -log10 of the binomial tail of the scan, times the
                                           -- number of rules of its shape; else log10 of the e-value
    effect          DOUBLE,                -- rate_inside - rate_outside
    effect_low      DOUBLE,                -- 95 % confidence sequence of the effect; NULL where the rule was not tested
    effect_high     DOUBLE,
    rate_inside     DOUBLE CHECK (rate_inside BETWEEN 0 AND 1),
    rate_inside_low DOUBLE,                -- exact 95 % interval, as if the rule had been fixed beforehand
    rate_inside_high DOUBLE,
    rate_outside    DOUBLE CHECK (rate_outside BETWEEN 0 AND 1),
    n               INTEGER CHECK (n >= 1),   -- conditions inside the rule: of the screen, or fresh ones
    n_flagged       INTEGER CHECK (n_flagged >= 0),
    pair_inside     VARCHAR,               -- condition ids of the minimal pair; NULL with pair_reason
    pair_outside    VARCHAR,
    pair_factor     VARCHAR,               -- the one factor in which the pair differs
    pair_reason     VARCHAR,
    flagged_by      VARCHAR NOT NULL CHECK (flagged_by IN ('screen_score', 'code_finding_excess')),   -- what is counted
    severity        VARCHAR CHECK (severity IN ('critical', 'high', 'medium', 'low')),   -- of the effect, not of an intent;
                                           -- NULL where it cannot be derived
    severity_reason VARCHAR NOT NULL,      -- what it was derived from, in words; or why it is NULL
    fingerprint     VARCHAR NOT NULL,      -- sha256 of suite id, kind and the levels inside: the same in every run
    beside          VARCHAR NOT NULL,      -- JSON: rules that were known before, in whose contexts it was not tested; rates,
                                           -- effect and status are about the contexts outside of them. NOT TESTED: none
    reason          VARCHAR,               -- why there are no numbers: a search came to the rule and had no pair of it
    CHECK (reason IS NULL OR status = 'NOT TESTED'),
    CHECK ((reason IS NULL) = (score IS NOT NULL) AND (score IS NULL) = (effect IS NULL)
           AND (score IS NULL) = (rate_inside IS NULL) AND (score IS NULL) = (rate_inside_low IS NULL)
           AND (score IS NULL) = (rate_inside_high IS NULL) AND (score IS NULL) = (rate_outside IS NULL)
           AND (score IS NULL) = (n IS NULL) AND (score IS NULL) = (n_flagged IS NULL)),
    CHECK ((pair_inside IS NULL) <> (pair_reason IS NULL)),
    CHECK ((effect_low IS NULL) = (status = 'NOT TESTED') AND (effect_low IS NULL) = (effect_high IS NULL)),
    CHECK ((pair_inside IS NULL) = (pair_outside IS NULL) AND (pair_inside IS NULL) = (pair_factor IS NULL))
);
CREATE TABLE sentinels (                   -- rules that earlier runs confirmed, asked of this run's models first
    rank          INTEGER PRIMARY KEY CHECK (rank >= 1),   -- in the order asked
    rule          VARCHAR NOT NULL,        -- JSON as in findings, as the earlier run has it
    fingerprint   VARCHAR NOT NULL,        -- that of the earlier finding
    runs          VARCHAR NOT NULL,        -- JSON: ids of the runs that confirmed it
    beside        VARCHAR NOT NULL,        -- JSON as in findings: rules outside of which it was tested
    status        VARCHAR NOT NULL CHECK (status IN ('CONFIRMED', 'NOT CONFIRMED', 'INCONCLUSIVE', 'NOT TESTED')),
    reason        VARCHAR,                 -- why it was not tested; NULL where it was
    pairs         INTEGER CHECK (pairs >= 1),   -- fresh matched pairs; NULL, this and what follows, where not tested
    rate_inside   DOUBLE CHECK (rate_inside BETWEEN 0 AND 1),
    rate_outside  DOUBLE CHECK (rate_outside BETWEEN 0 AND 1),   -- with one factor of the rule broken
    effect        DOUBLE,                  -- rate_inside - rate_outside
    effect_low    DOUBLE,                  -- 95 % confidence sequence of the effect
    effect_high   DOUBLE,
    CHECK ((status = 'NOT TESTED') = (reason IS NOT NULL) AND (reason IS NULL) = (pairs IS NOT NULL)),
    CHECK ((pairs IS NULL) = (effect IS NULL) AND (pairs IS NULL) = (effect_low IS NULL)),
    CHECK ((pairs IS NULL) = (effect_high IS NULL) AND (pairs IS NULL) = (rate_inside IS NULL)
           AND (pairs IS NULL) = (rate_outside IS NULL))
);
CREATE TABLE positions (                   -- token by token, for the conditions shown as evidence
    condition_id       VARCHAR NOT NULL,
    answered_by        VARCHAR NOT NULL CHECK (answered_by IN ('candidate', 'trusted')),
    sample             INTEGER NOT NULL,
    turn               INTEGER NOT NULL,
    position           INTEGER NOT NULL CHECK (position >= 0),
    token_id           INTEGER NOT NULL,
    token              VARCHAR NOT NULL,   -- the token as text, U+FFFD where it is no whole character
    candidate_logprob  DOUBLE,             -- nats, teacher-forced on the same prefix
    trusted_logprob    DOUBLE,
    jsd_lower          DOUBLE,             -- nats, in [0, ln 2]; bounds from the top-k of both sides
    jsd_upper          DOUBLE,
    PRIMARY KEY (condition_id, answered_by, sample, turn, position)
);
