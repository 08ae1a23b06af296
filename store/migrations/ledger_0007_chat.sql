-- Threads of the chat: what was said, which tools were called with what result, and what was found worth keeping.
CREATE TABLE chat_thread (
    id TEXT PRIMARY KEY,                -- random, so that a thread of a deleted one's name shares nothing with it; model calls of the thread have it as their run
    name TEXT NOT NULL UNIQUE,          -- what people call it
    started TEXT NOT NULL               -- UTC time; left out of comparisons
) STRICT;

CREATE TABLE chat_entry (
    id TEXT PRIMARY KEY,                -- hash of thread and place
    thread TEXT NOT NULL,               -- id of the thread
    turn INTEGER NOT NULL,              -- which question of the user it belongs to, from 1
    kind TEXT NOT NULL,                 -- asked, said, step, told, question, reply, answer or stopped
    content TEXT NOT NULL,              -- JSON
    written TEXT NOT NULL               -- UTC time; left out of comparisons
) STRICT;
CREATE INDEX chat_entry_thread ON chat_entry (thread);

CREATE TABLE chat_step (
    id TEXT PRIMARY KEY,                -- hash of thread and number
    thread TEXT NOT NULL,               -- id of the thread
    number INTEGER NOT NULL,            -- which tool call of the thread, from 1: E1 and so on
    tool TEXT NOT NULL,                 -- its name
    arguments TEXT NOT NULL,            -- JSON object, or the text that was no JSON object
    result TEXT NOT NULL,               -- what the model was shown
    data TEXT,                          -- the same as JSON; null where it failed
    failed INTEGER NOT NULL,            -- 1: it was called wrongly or not run; the result says why
    forwarded INTEGER NOT NULL,         -- tokens run through the subject
    read INTEGER NOT NULL,              -- stored examples shown
    written TEXT NOT NULL               -- UTC time; left out of comparisons
) STRICT;
CREATE INDEX chat_step_thread ON chat_step (thread, number);

-- What an investigation found, kept with what it rests on.
CREATE TABLE finding (
    id TEXT PRIMARY KEY,                -- hash of thread, features and content
    thread TEXT NOT NULL,               -- id of the thread it was made in, which may be deleted since
    features TEXT NOT NULL,             -- JSON array of global feature ids
    text TEXT NOT NULL,                 -- what was found
    citations TEXT NOT NULL,            -- JSON array of ids of chat_step rows, which stay when the thread is deleted
    conjecture INTEGER NOT NULL,        -- 1: what it cites does not bear it out, as far as code can tell
    because TEXT NOT NULL,              -- why not
    model TEXT NOT NULL,                -- who found it
    written TEXT NOT NULL               -- UTC time; left out of comparisons
) STRICT;
