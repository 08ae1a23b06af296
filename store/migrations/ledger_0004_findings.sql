-- What agents thought and did: hypotheses, the experiments that tested them, and what every hypothesis said beforehand.
CREATE TABLE hypothesis (
    id TEXT PRIMARY KEY,                -- hash of run, feature, round and content
    run TEXT NOT NULL,                  -- the run it was made in
    feature INTEGER NOT NULL,           -- global feature id
    round INTEGER NOT NULL,             -- 0: before any experiment; then the round whose results led to it
    ordinal INTEGER NOT NULL,           -- place among those of the feature: 1 is called H1
    side TEXT NOT NULL,                 -- input: when the feature fires; output: what it makes the model say
    name TEXT NOT NULL,                 -- at most eight words
    description TEXT NOT NULL,          -- what is claimed
    facets TEXT NOT NULL,               -- JSON array of {description, pattern}
    pattern TEXT,                       -- executable form of the description
    parents TEXT NOT NULL,              -- JSON array of the hypotheses it was made from
    author TEXT NOT NULL,               -- who made it
    status TEXT NOT NULL                -- proposed, supported, refuted or inconclusive; set by code from the verdicts
) STRICT;
CREATE INDEX hypothesis_run ON hypothesis (run, feature);
CREATE TABLE experiment (
    id TEXT PRIMARY KEY,                -- hash of run, feature, round and content
    run TEXT NOT NULL,                  -- the run it was made in
    feature INTEGER NOT NULL,           -- global feature id
    round INTEGER NOT NULL,             -- round of experiments, from 1
    ordinal INTEGER NOT NULL,           -- place among those of the feature: 1 is called E1
    kind TEXT NOT NULL,                 -- write, edit, steer, ablate, or look for a tool that tests nothing
    tool TEXT NOT NULL,                 -- the tool that was called
    arguments TEXT NOT NULL,            -- its arguments as JSON
    focus TEXT NOT NULL,                -- the word that is looked at; empty for the whole text
    purpose TEXT NOT NULL,              -- why it was made, in its author's words
    author TEXT NOT NULL,               -- who made it
    result TEXT,                        -- what came out, as JSON; null until it was run
    reason TEXT,                        -- why it could not be run
    forwarded INTEGER NOT NULL,         -- tokens it ran through the subject
    read INTEGER NOT NULL               -- contexts it read
) STRICT;
CREATE INDEX experiment_run ON experiment (run, feature);
CREATE TABLE prediction (
    id TEXT PRIMARY KEY,                -- hash of experiment and hypothesis
    experiment TEXT NOT NULL,           -- id of the experiment
    hypothesis TEXT NOT NULL,           -- id of the hypothesis
    outcome TEXT NOT NULL,              -- fires, silent, stronger, weaker, unchanged, promotes, suppresses or unsure
    verdict TEXT,                       -- held, failed or inconclusive, by code from the result; null until it was run
    because TEXT                        -- the figures behind the verdict, in one sentence
) STRICT;
CREATE INDEX prediction_experiment ON prediction (experiment);
CREATE INDEX prediction_hypothesis ON prediction (hypothesis);
-- Nobody can say afterwards what would come out, and nobody can change what was said.
CREATE TRIGGER prediction_is_made_before BEFORE INSERT ON prediction
WHEN EXISTS (SELECT 1 FROM experiment WHERE id = NEW.experiment AND (result IS NOT NULL OR reason IS NOT NULL))
    AND NOT EXISTS (SELECT 1 FROM prediction WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'a prediction has to be written before its experiment is run'); END;
CREATE TRIGGER prediction_stands BEFORE UPDATE OF experiment, hypothesis, outcome ON prediction
BEGIN SELECT RAISE(ABORT, 'a prediction cannot be changed'); END;
CREATE TRIGGER result_stands BEFORE UPDATE OF result ON experiment WHEN OLD.result IS NOT NULL AND OLD.result IS NOT NEW.result
BEGIN SELECT RAISE(ABORT, 'the result of an experiment cannot be changed'); END;
-- Every step of an agent on a feature, in order: the trail that can be shown.
CREATE TABLE step (
    id TEXT PRIMARY KEY,                -- hash of run, feature and ordinal
    run TEXT NOT NULL,                  -- the run
    feature INTEGER NOT NULL,           -- global feature id
    ordinal INTEGER NOT NULL,           -- place in the trail, from 0
    node TEXT NOT NULL,                 -- gather, propose, design, experiment, revise, score, debate or record
    content TEXT NOT NULL,              -- what was done, as a JSON object
    written TEXT NOT NULL               -- UTC time; left out of comparisons
) STRICT;
CREATE INDEX step_run ON step (run, feature);
-- Notes that agents leave for those who come after them.
CREATE TABLE note (
    id TEXT PRIMARY KEY,                -- hash of run, feature and text
    run TEXT NOT NULL,                  -- the run
    feature INTEGER NOT NULL,           -- global feature id
    text TEXT NOT NULL                  -- what was noted
) STRICT;
-- What happened to a run that its outcome depends on, besides the models' replies: admissions and budget stops.
CREATE TABLE event (
    id TEXT PRIMARY KEY,                -- hash of run and ordinal
    run TEXT NOT NULL,                  -- the run
    ordinal INTEGER NOT NULL,           -- order in the run
    kind TEXT NOT NULL,                 -- admitted, budget, paused or resumed
    feature INTEGER NOT NULL,           -- global feature id; -1 where it concerns none
    content TEXT NOT NULL               -- JSON object
) STRICT;
CREATE INDEX event_run ON event (run);
-- Where a label comes from, besides its evidence.
ALTER TABLE label ADD COLUMN experiments TEXT NOT NULL DEFAULT '[]';
ALTER TABLE label ADD COLUMN prompt TEXT;
ALTER TABLE label ADD COLUMN confidence REAL;
