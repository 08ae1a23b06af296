CREATE TYPE split AS ENUM ('train', 'validation', 'test');

CREATE TABLE dictionary (
    dictionary UTINYINT PRIMARY KEY,
    name VARCHAR NOT NULL,
    first_feature UINTEGER NOT NULL,
    width UINTEGER NOT NULL,
    hook_in VARCHAR NOT NULL,
    hook_out VARCHAR NOT NULL,
    source VARCHAR NOT NULL
);
COMMENT ON TABLE dictionary IS 'One row for every dictionary of the store';
COMMENT ON COLUMN dictionary.dictionary IS 'Number of the dictionary, from 0';
COMMENT ON COLUMN dictionary.name IS 'The DICT of the address DICT/INDEX';
COMMENT ON COLUMN dictionary.first_feature IS 'Global id of its feature 0';
COMMENT ON COLUMN dictionary.width IS 'Number of features';
COMMENT ON COLUMN dictionary.hook_in IS 'Hook point it reads';
COMMENT ON COLUMN dictionary.hook_out IS 'Hook point it writes';
COMMENT ON COLUMN dictionary.source IS 'Where it was loaded from';

CREATE TABLE vocabulary (token UINTEGER NOT NULL, text VARCHAR NOT NULL);
COMMENT ON TABLE vocabulary IS 'One row for every token id';
COMMENT ON COLUMN vocabulary.token IS 'Token id';
COMMENT ON COLUMN vocabulary.text IS 'Text of the token as it stands alone';

CREATE TABLE document (
    document UINTEGER NOT NULL,
    hash VARCHAR NOT NULL,
    split split NOT NULL,
    source VARCHAR NOT NULL,
    tokens UINTEGER NOT NULL,
    text VARCHAR NOT NULL
);
COMMENT ON TABLE document IS 'One row for every document';
COMMENT ON COLUMN document.document IS 'Number of the document, in the order of the corpus';
COMMENT ON COLUMN document.hash IS 'SHA-256 of its text';
COMMENT ON COLUMN document.split IS 'train, validation or test, fixed by the hash';
COMMENT ON COLUMN document.source IS 'File or data set row it came from';
COMMENT ON COLUMN document.tokens IS 'Number of stored tokens';
COMMENT ON COLUMN document.text IS 'The text itself';

CREATE TABLE context (
    context UINTEGER NOT NULL,
    document UINTEGER NOT NULL,
    split split NOT NULL,
    ids INTEGER[] NOT NULL,
    starts INTEGER[] NOT NULL,
    ends INTEGER[] NOT NULL
);
COMMENT ON TABLE context IS 'One row for every window of tokens; a window never crosses documents';
COMMENT ON COLUMN context.context IS 'Number of the window, in the order of the corpus';
COMMENT ON COLUMN context.document IS 'Document it was cut from';
COMMENT ON COLUMN context.split IS 'Split of that document';
COMMENT ON COLUMN context.ids IS 'Token ids, without BOS, EOS and PAD';
COMMENT ON COLUMN context.starts IS 'First character of each token in the document';
COMMENT ON COLUMN context.ends IS 'Character after the last of each token in the document';

CREATE TABLE activation (
    feature UINTEGER USING COMPRESSION rle,
    split UTINYINT USING COMPRESSION rle,
    context UINTEGER USING COMPRESSION bitpacking,
    position USMALLINT USING COMPRESSION bitpacking,
    value FLOAT USING COMPRESSION alprd
);
COMMENT ON TABLE activation IS 'One row for every non-zero activation, sorted by feature, split, value descending, context, position';
COMMENT ON COLUMN activation.feature IS 'Global feature id';
COMMENT ON COLUMN activation.split IS 'Split of the context: 0 train, 1 validation, 2 test';
COMMENT ON COLUMN activation.context IS 'Window it happened in';
COMMENT ON COLUMN activation.position IS 'Place of the token in the window, from 0, BOS not counted';
COMMENT ON COLUMN activation.value IS 'Activation in the dictionary''s own units, above 0';

CREATE TABLE active_context (feature UINTEGER, split UTINYINT, context UINTEGER);
COMMENT ON TABLE active_context IS 'In a sampled store: windows in which a feature is active but whose rows were not kept; empty otherwise';
COMMENT ON COLUMN active_context.feature IS 'Global feature id';
COMMENT ON COLUMN active_context.split IS 'Split of the context: 0 train, 1 validation, 2 test';
COMMENT ON COLUMN active_context.context IS 'Window that is neither stored nor silent';

CREATE TABLE feature (
    feature UINTEGER NOT NULL,
    dictionary UTINYINT NOT NULL,
    index UINTEGER NOT NULL,
    max DOUBLE NOT NULL,
    mean DOUBLE NOT NULL,
    active UBIGINT NOT NULL,
    density DOUBLE NOT NULL,
    firing UBIGINT NOT NULL,
    firing_density DOUBLE NOT NULL,
    threshold DOUBLE NOT NULL,
    quantiles FLOAT[] NOT NULL,
    histogram UINTEGER[] NOT NULL,
    firing_contexts UBIGINT NOT NULL,
    corpus_max DOUBLE NOT NULL,
    corpus_active UBIGINT NOT NULL,
    corpus_density DOUBLE NOT NULL,
    corpus_firing_contexts UBIGINT NOT NULL,
    corpus_train_documents UINTEGER NOT NULL,
    corpus_validation_documents UINTEGER NOT NULL,
    corpus_test_documents UINTEGER NOT NULL,
    liveness VARCHAR NOT NULL,
    dense BOOLEAN NOT NULL,
    sampled BOOLEAN NOT NULL
);
COMMENT ON TABLE feature IS 'One row for every feature, never-active ones included; columns without corpus_ come from train rows only';
COMMENT ON COLUMN feature.feature IS 'Global feature id';
COMMENT ON COLUMN feature.dictionary IS 'Number of its dictionary';
COMMENT ON COLUMN feature.index IS 'Row of the feature in its dictionary';
COMMENT ON COLUMN feature.max IS 'Largest activation on train';
COMMENT ON COLUMN feature.mean IS 'Mean of the non-zero activations on train';
COMMENT ON COLUMN feature.active IS 'Train tokens with a non-zero activation';
COMMENT ON COLUMN feature.density IS 'Share of train tokens with a non-zero activation';
COMMENT ON COLUMN feature.firing IS 'Train tokens on which it fires: value above threshold';
COMMENT ON COLUMN feature.firing_density IS 'Share of train tokens on which it fires';
COMMENT ON COLUMN feature.threshold IS '0.2 times the train maximum, rounded to single precision';
COMMENT ON COLUMN feature.quantiles IS 'Quantiles of the non-zero train activations at 0, 0.1, to 1';
COMMENT ON COLUMN feature.histogram IS 'Counts of the non-zero train activations in 20 equal bins from 0 to max';
COMMENT ON COLUMN feature.firing_contexts IS 'Train windows in which it fires';
COMMENT ON COLUMN feature.corpus_max IS 'Largest activation on the whole corpus; for people, not for agents';
COMMENT ON COLUMN feature.corpus_active IS 'Tokens of the whole corpus with a non-zero activation; for people, not for agents';
COMMENT ON COLUMN feature.corpus_density IS 'Share of all tokens with a non-zero activation; for people, not for agents';
COMMENT ON COLUMN feature.corpus_firing_contexts IS 'Windows of the whole corpus in which it fires; for people, not for agents';
COMMENT ON COLUMN feature.corpus_train_documents IS 'Train documents in which it fires';
COMMENT ON COLUMN feature.corpus_validation_documents IS 'Validation documents in which it fires; for people, not for agents';
COMMENT ON COLUMN feature.corpus_test_documents IS 'Test documents in which it fires; for people, not for agents';
COMMENT ON COLUMN feature.liveness IS 'live: fires in at least 10 train, 5 validation and 10 test documents; dead: never on train; rare: between';
COMMENT ON COLUMN feature.dense IS 'Fires in more than half of all windows';
COMMENT ON COLUMN feature.sampled IS 'Only a sample of its activations is stored; the statistics are exact all the same';

CREATE TABLE top_token (feature UINTEGER, rank UTINYINT, token UINTEGER, mean_value FLOAT, count UINTEGER);
COMMENT ON TABLE top_token IS 'Tokens with the largest mean activation on train, among those it is active on at least thrice';
COMMENT ON COLUMN top_token.feature IS 'Global feature id';
COMMENT ON COLUMN top_token.rank IS 'Place in the list, from 0';
COMMENT ON COLUMN top_token.token IS 'Token id';
COMMENT ON COLUMN top_token.mean_value IS 'Mean of the non-zero activations on this token';
COMMENT ON COLUMN top_token.count IS 'How often it is active on this token';

CREATE TABLE logit_effect (feature UINTEGER, side VARCHAR, rank UTINYINT, token UINTEGER, value FLOAT);
COMMENT ON TABLE logit_effect IS 'Tokens whose logit the feature''s direction moves most, by the linear path';
COMMENT ON COLUMN logit_effect.feature IS 'Global feature id';
COMMENT ON COLUMN logit_effect.side IS 'promoted or suppressed';
COMMENT ON COLUMN logit_effect.rank IS 'Place in the list, from 0';
COMMENT ON COLUMN logit_effect.token IS 'Token id';
COMMENT ON COLUMN logit_effect.value IS 'Change of the logit for one unit of activation';

CREATE TABLE neighbour (feature UINTEGER, rank UTINYINT, other UINTEGER, cosine FLOAT);
COMMENT ON TABLE neighbour IS 'Nearest features of the same dictionary by cosine of the decoder directions';
COMMENT ON COLUMN neighbour.feature IS 'Global feature id';
COMMENT ON COLUMN neighbour.rank IS 'Place in the list, from 0';
COMMENT ON COLUMN neighbour.other IS 'Global id of the other feature';
COMMENT ON COLUMN neighbour.cosine IS 'Cosine of the two directions';

CREATE TABLE coactivation (feature UINTEGER, rank UTINYINT, other UINTEGER, jaccard FLOAT, shared UINTEGER);
COMMENT ON TABLE coactivation IS 'Features that fire on the same train tokens, counted on a fixed sample of train tokens (its size is in meta)';
COMMENT ON COLUMN coactivation.feature IS 'Global feature id';
COMMENT ON COLUMN coactivation.rank IS 'Place in the list, from 0';
COMMENT ON COLUMN coactivation.other IS 'Global id of the other feature';
COMMENT ON COLUMN coactivation.jaccard IS 'Tokens on which both fire, divided by tokens on which either fires';
COMMENT ON COLUMN coactivation.shared IS 'Sampled tokens on which both fire';

CREATE TABLE meta (key VARCHAR NOT NULL, value VARCHAR NOT NULL);
COMMENT ON TABLE meta IS 'Facts about the store that are not about one feature';
COMMENT ON COLUMN meta.key IS 'Name of the fact';
COMMENT ON COLUMN meta.value IS 'The fact as JSON';
