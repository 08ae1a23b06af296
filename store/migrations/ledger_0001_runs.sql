-- Labeling and scoring runs. The id is the hash of the resolved configuration, so that the same command resumes.
CREATE TABLE run (
    id TEXT PRIMARY KEY,                -- hash of the configuration
    kind TEXT NOT NULL,                 -- label or score
    config TEXT NOT NULL,               -- the resolved configuration as canonical JSON
    status TEXT NOT NULL,               -- running, done or stopped
    started TEXT NOT NULL,              -- UTC time of the first start; left out of comparisons
    finished TEXT                       -- UTC time it was last done or stopped; left out of comparisons
) STRICT;

-- What somebody says a feature means.
CREATE TABLE label (
    id TEXT PRIMARY KEY,                -- hash of run, feature and content
    feature INTEGER NOT NULL,           -- global feature id
    run TEXT NOT NULL,                  -- the run it was made in
    name TEXT NOT NULL,                 -- at most eight words
    description TEXT NOT NULL,          -- the explanation that is scored
    facets TEXT NOT NULL,               -- JSON array of {description, pattern}
    pattern TEXT,                       -- executable form of the description
    output_claim TEXT,                  -- what the feature makes the model say
    agent TEXT NOT NULL,                -- who made it, for example induction
    model TEXT,                         -- language model behind the agent
    evidence TEXT NOT NULL,             -- JSON array of train context ids
    notes TEXT NOT NULL                 -- JSON object of further facts
) STRICT;
CREATE INDEX label_feature ON label (feature);
CREATE INDEX label_run ON label (run);

-- One measurement of a label or a control, or the reason why there is none.
CREATE TABLE score (
    id TEXT PRIMARY KEY,                -- hash of run, feature, label, scorer, judge, contestant and split
    label TEXT NOT NULL,                -- id of the label, or the name of the control and the feature
    feature INTEGER NOT NULL,           -- global feature id
    run TEXT NOT NULL,                  -- the run it was measured in
    scorer TEXT NOT NULL,               -- what was measured, for example simulation.r
    judge TEXT NOT NULL,                -- who predicted, for example pattern
    contestant TEXT NOT NULL,           -- label, or the control
    split TEXT NOT NULL,                -- split it was measured on
    value REAL,                         -- the score; null when unscored
    low REAL,                           -- lower end of the 95 % interval
    high REAL,                          -- upper end of the 95 % interval
    n INTEGER NOT NULL,                 -- number of contexts it was measured on
    unscored TEXT,                      -- why there is no value
    flags TEXT NOT NULL                 -- JSON array of remarks a reader needs
) STRICT;
CREATE INDEX score_feature ON score (feature);
CREATE INDEX score_run ON score (run, feature);

-- A step of a run that failed on a feature, with the reason.
CREATE TABLE failure (
    id TEXT PRIMARY KEY,                -- hash of run, feature and step
    run TEXT NOT NULL,                  -- the run it happened in
    feature INTEGER NOT NULL,           -- global feature id
    step TEXT NOT NULL,                 -- the step that failed
    reason TEXT NOT NULL                -- what went wrong, in one sentence
) STRICT;
CREATE INDEX failure_run ON failure (run);
