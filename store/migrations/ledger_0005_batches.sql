-- Many calls handed to a service at once, to be answered within a day at a lower price. A batch is written, with its calls, before it
-- is handed in, and the service's own id for it as soon as it is known: a run that is killed picks it up and hands nothing in twice.
-- A call may now also end as stopped, where the run ended before it was answered, or feature_spent, where its feature's budget did.
CREATE TABLE model_batch (
    id TEXT PRIMARY KEY,                -- hash of the run and its calls; the service is told it
    run TEXT NOT NULL,                  -- the run it was made in
    model TEXT NOT NULL,                -- for example openai:gpt-4.1-mini
    server TEXT NOT NULL,               -- address it was handed to
    remote TEXT,                        -- the service's id; null until its answer is known
    status TEXT NOT NULL,               -- prepared, submitted, read (every call has an outcome) or refused
    calls INTEGER NOT NULL,             -- how many calls it holds
    started TEXT NOT NULL               -- UTC time it was written; left out of comparisons
) STRICT;
CREATE INDEX model_batch_run ON model_batch (run);

-- Which calls are in which batch.
CREATE TABLE batch_call (
    call TEXT PRIMARY KEY,              -- id of the call; the service answers under it
    batch TEXT NOT NULL                 -- id of the batch
) STRICT;
CREATE INDEX batch_call_batch ON batch_call (batch);

CREATE INDEX model_call_feature ON model_call (run, feature);
