-- Calls to language models: each is written as reserved and committed before it is sent, and settled by the commit of its reply.
CREATE TABLE model_call (
    id TEXT PRIMARY KEY,                -- hash of run, key and attempt
    run TEXT NOT NULL,                  -- the run it was made in
    feature INTEGER NOT NULL,           -- global feature id; -1 for calls that belong to none
    step TEXT NOT NULL,                 -- part of the work, for example score/label/detection
    ordinal INTEGER NOT NULL,           -- which call of that step, from 0
    attempt INTEGER NOT NULL,           -- how many rows of this run had the same key before
    key TEXT NOT NULL,                  -- hash of seed, feature, step, ordinal, model and request: the key of the cache
    model TEXT NOT NULL,                -- for example vllm:judge-1b
    request TEXT NOT NULL,              -- what was asked, as JSON
    reply TEXT,                         -- what came back, as JSON; null until settled
    status TEXT NOT NULL,               -- reserved, settled or failed; reserved rows of a process that has ended count as spent
    reason TEXT,                        -- why it failed
    tokens INTEGER NOT NULL,            -- tokens counted against a budget: the worst case until settled, then prompt and reply
    cost REAL,                          -- US dollars counted likewise; null where the price is not known
    prompt_tokens INTEGER,              -- tokens of the prompt; null until settled
    cached_tokens INTEGER,              -- those of them read from the server's prefix cache, as far as it tells
    completion_tokens INTEGER,          -- tokens of the reply
    latency REAL,                       -- seconds from sending to the whole reply; left out of comparisons
    hit INTEGER NOT NULL,               -- 1: taken from another run and not sent; tokens and cost are the original ones
    started TEXT NOT NULL               -- UTC time it was reserved; left out of comparisons
) STRICT;
CREATE INDEX model_call_key ON model_call (key);
CREATE INDEX model_call_run ON model_call (run);
