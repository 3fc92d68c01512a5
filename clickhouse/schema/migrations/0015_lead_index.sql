-- One lead's events lie everywhere, since time stands before phone in the key: to look
-- at all phones of 33 million events took 270 ms of processor time. A bloom filter in
-- each granule tells where a phone can be. It costs 1.26 bytes a row (8 %); of one with
-- five false answers in a hundred instead of one, 0.87 bytes, the granules read in vain
-- were most of the time: half a millisecond each, where to ask all filters took 20.
-- Only files of the index are written for parts that are there, beside all other work
-- (33 million rows: 6 s on a busy machine); until then queries read what it would
-- have ruled out. Both statements may run again.
ALTER TABLE {database:Identifier}.lead_events ADD INDEX IF NOT EXISTS lead phone TYPE bloom_filter(0.01) GRANULARITY 1;

ALTER TABLE {database:Identifier}.lead_events MATERIALIZE INDEX IF EXISTS lead;
