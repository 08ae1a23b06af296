-- What a judge answered to each question behind a score, beside the truth: for its calibration and for the agreement of judges.
-- It holds the truth of test rows, so that no agent ever sees it.
CREATE TABLE answer (
    id TEXT PRIMARY KEY,                -- hash of run, feature, contestant, score and item
    run TEXT NOT NULL,                  -- the run it was asked in
    feature INTEGER NOT NULL,           -- global feature id
    contestant TEXT NOT NULL,           -- label, or the control
    score TEXT NOT NULL,                -- detection or fuzzing
    item INTEGER NOT NULL,              -- which question of that feature and score; the same question for every judge
    context INTEGER NOT NULL,           -- number of the context that was shown
    truth INTEGER,                      -- 1: it fires, or the highlights are right; null where it is active below the threshold
    probability REAL,                   -- of yes; null where the answer could not be read
    way TEXT NOT NULL,                  -- how it was read, for example log-probabilities
    unscored TEXT                       -- why it could not be read
) STRICT;
CREATE INDEX answer_run ON answer (run, feature);
