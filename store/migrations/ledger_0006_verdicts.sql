-- What people say of labels. Never updated: who thinks otherwise later gives another verdict.
CREATE TABLE verdict (
    id TEXT PRIMARY KEY,                -- hash of everything else in the row
    feature INTEGER NOT NULL,           -- global feature id
    label TEXT,                         -- id of the label that is meant; null where the feature had none
    verdict TEXT,                       -- right, partly, wrong or unsure; null for a correction without a verdict
    comment TEXT NOT NULL,              -- why, in the person's words
    correction TEXT,                    -- id of the label that the person wrote instead
    person TEXT NOT NULL,               -- the name that was given; empty where none was
    given TEXT NOT NULL                 -- UTC time; left out of comparisons
) STRICT;
CREATE INDEX verdict_feature ON verdict (feature);
