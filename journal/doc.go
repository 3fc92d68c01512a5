// Package journal changes rows and keys after the fact: it erases a lead everywhere, and
// undoes batches, so that every crash is gone on from, and keeps an erased lead from
// coming back.
//
// # An entry
//
// What is to be done is written into the journal ([Record], a log in ClickHouse, synced
// to disk) before the first row is touched; then a worker, of whichever server process,
// does it, step by step, each of which may be done again:
//
//	         [Leads.Erase]: durable, then the 202                  nothing more is found
//	         ──────────────────────▶ begun ──▶ collected ──▶ removed ─────────────▶ verified ──▶ purged
//	                                   ▲           pass 1        │      pass 2, …       │
//	                                   └── a crash: from there ──┘                      ▼
//	                                                      [Leads.Allow]: durable     allowed
//
//	1. collect    what there is of the lead, counted by kind, and which audiences' layers
//	              and lists have it; durable, since it cannot be asked any more afterwards
//	2. events     rows of lead_events are deleted, waited for
//	3. states     then its states: whoever writes one from a row (the view, a repair) has
//	              read the row before
//	4. elsewhere  audiences, uploads, lists, results and evidence of sends, contests, rejects
//	5. recount    what says how many leads a layer or a list has, and a list's hash
//	6. keys       of the ledger, whatever their token. An absent key of the lead says "new"
//	              from now on, which is true: nothing of it is stored
//	7. removed    the pass is through: the lead is erased for whoever asks
//
// A second pass comes a grace later, since a request that looked whether the lead is
// erased before it was may still store its row: it does within [Config.Grace] of the
// entry. Every pass before the last is followed by another one.
//
//  8. barrier    the statements that write and are running now are waited for: they may
//     have read what a pass then removed, and write it again
//  9. look       all tables are looked into; what is found begins another pass
//  10. verified   and the phone is taken out of the journal itself. Not before the ledger
//     is trusted, in the same epoch as before the pass: a rebuild may have read
//     rows before they were deleted, and set their keys after step 6
//  11. purge      a deleted row is masked at first, and lies in its part until that is
//     written anew: within [Config.PurgeAfter] all such parts are, and when the
//     last of the old ones has left the disk the entry is purged
//
// What a crash leaves, at any place: an entry whose last record says which pass is to be
// done (again). No step undoes another one, so it does not matter which were done. Of
// two workers at once, should the lock that keeps them apart be lost, the same holds.
//
// # An undo
//
// The other kind of entry undoes a batch ([Undos]; that of a run is one of each of its
// batches, in one block): the keys that it was told inserted. Those are
//
//	the rows with its batch_id and the keys that it has won (contested),
//	less the keys that another has won from it (contested)
//
// for a receipt is written after all contests of its batch, and a call that is sent again
// records those that its earlier attempt has lost (ingest: yield). Its steps are
//
//  1. settle     batches wait whose keys a request without a receipt has claimed, and may
//     be sealing: until it has one, or can seal no more (Config.Settle)
//  2. collect    all rows of the keys, of whatever batch, each by (key, batch, stamp), are
//     written down in undo_rows; left are rows of requests that may be
//     sealing. "collected" is recorded: from now on nobody asks again for
//     all rows of a key, for they may be new
//  3. rows       that are written down are deleted, waited for
//  4. states     of their leads and types are deleted, and made of the rows that are there
//  5. keys       leave the ledger where the token is that of a row that was written down
//  6. late       after a call that was answered within Config.Settle: rows that have come
//     meanwhile of batches that have lost a key to this one, and of requests
//     that have died, go the same way, until no row is left of which it cannot
//     be told yet
//  7. removed    the ledger was trusted in one epoch from 1 to 6. The receipt gets the
//     state undone, then "removed" is recorded
//  8. barrier    a grace later all is done once more, and the statements that write waited for
//  9. look       no row, no state that is not what the rows say, no key: else again
//  10. verified  what was written down is removed; the purge is that of erasures
//
// A key of an undone batch is new when the state is undone. Until then a call that has it
// is told duplicate, or inserted, each of which is exact: see below.
//
// # Races of an undo
//
// A call E with a key of the batch B that is undone comes before or after, key by key:
//
//   - Redis has the key: E is a duplicate until 5, and before. Then its absence says "new",
//     which is true, its rows are gone since 3: after.
//   - It has not: the cold check finds the row until 3: before; or no row: after.
//   - E's row, stored after 3, stays whenever any step is done again: what is deleted is
//     deleted by key, batch and stamp, and E's was not written down; the mutation of 3
//     does not touch parts that come later; a state that 4 deletes is made again of E's
//     row, which was there before its state was; 5 takes no key of E's token.
//   - X had peeked before B sealed, so it took the key for new, and is about to store or
//     seal. Seals before 5: it loses, records the contest, and its row is one of 6. Seals
//     after 5: it wins, and its row was not written down, for it had no receipt: after.
//     Had it claimed the key, the contest would be there already, and its row go in a
//     later pass: so 1 waits for it. It dies: its row goes by 2, if it was old, or by 6.
//   - X with an Idempotency-Key died, B won the key from it, and it is sent again when B
//     is undone: the contest says duplicate, as it would have been told the first time.
//   - A batch that lost a key to B is undone: the key is none of its keys. Its row may be
//     the one that a merge has kept: it stays for B, and is written down when B is undone.
//   - The first attempt of B was told 503. With an Idempotency-Key it has the same
//     batch_id; without, its rows are those of a dead request (2, or 6).
//   - A rebuild has read rows before 3 and sets their keys after 5: then the epoch is
//     another one, or the ledger is not trusted, and 7 is not reached, nor is 10.
//   - A repair of states read rows before 3: 8 waits for it, 9 finds it, and filters do not
//     read states of the type until 10.
//   - Two workers, should the lock be lost: all of 2 is bounded by the moment at which the
//     entry was written, so that rows that came when the other one had got to 5 are not
//     among them.
//   - Two DELETEs at once write two entries, which do the same.
//
// What is not caught: a request without an Idempotency-Key that stored a key beside B, died
// before it could record that it lost, and whose row a merge kept (its insert came after
// B's): nothing says any more that the key is B's, so it stays. And where Redis loses the
// second of its log in which 5 was written (a power cut), or orphans are sealed within
// Tshort of an epoch's begin, keys may say duplicate until the next pass, at most a
// grace later.
//
// Sends: an undo without force is refused where a materialized send, or one under way, has
// asked about the batch's type at a moment not before the batch was created, and a lead
// of the batch is in its audience. Of more than 100 batches, and of a send under way, type
// and moment alone decide. A send that is claimed at the same moment may have been missed.
//
// # Meanwhile
//
// From the moment an entry is there, until it is verified, filters, sends and results
// leave its phone out (clickhouse: notUnderJournal): the lead is in no audience, so that
// neither a state of erased rows keeps it nor a row that is still there drops it. A
// materialization that began before looks again before it counts.
//
// Of a batch that is undone the leads stay, for they have other events: filters on its
// type, and audiences of that type or of all leads, read lead_events instead of lead_states
// until it is verified, without its rows and those that lost to it (clickhouse: notUndone).
// A preview that began before looks again at its end.
//
// # What keeps a lead out
//
// The phone of an erased lead is kept nowhere. What is kept is a hash under a key that is
// itself stored only under the master key ([Hash]): whoever has the tables alone cannot
// try the 10^10 phones that there are. An ingest call, an upload or a list that names the
// phone is compared with it ([Erased], at most [snapshot.Config.Stale] old, and refused
// with 503 where it is not to be had): organizations that have erased nobody pay one
// look at a map a call, others 40 ns a row (BenchmarkProbe).
//
// The row is rejected ("erased phoneE164"), whenever its event occurred and whatever
// spelling it has, until the lead is allowed again; then its events are new. The reject
// itself shows no phone, nor do other rejects of that lead.
//
// # What shows a phone
//
//	table                where                    erased by
//	lead_events          phone                    step 2
//	lead_states          phone                    step 3
//	audience_leads       phone                    step 4; the layer's count by step 5
//	audience_uploads     phone                    step 4; a day later what is left of an upload is dropped anyway
//	audience_layers      leads (a count)          step 5
//	send_lists           phone                    step 4, noted in send_list_erasures: a run counts its lists
//	sends                list_hash: SHA-256 over  step 5: the hash and the number of the list without the lead. Of
//	                     a list, of which few     its audience and filters only what a client wrote into them
//	                     phones could be tried
//	send_leads           phone                    step 4; the totals stay: they say how many, not who
//	send_evidence        phone                    step 4
//	contested            phone                    step 4
//	undo_rows            phone                    step 4; and when the undo is verified
//	batch_rejects        phone, as it was sent    step 4: in every spelling that is this phone, and where its digits
//	                                              stand in what is none; the reject stays, with null for a phone
//	batches              counts                   stay; body_hash is over a whole body, with times and metadata,
//	                                              of which nobody has the others any more
//	idempotency_keys     what a client chose      leaves by itself after two days
//	journal              phone                    step 10
//	audit_log            never: an erasure is in it by the first half of the hash
//	organizations, api_keys, signing_keys, key_uses, organization_limits, retention, data_keys,
//	send_leases, send_list_erasures, ledger_trust, ledger_beats, server_starts: none
//	Redis                keys of the ledger and   step 6
//	                     claims on them
//	Redis' log (AOF)     the same                 step 11 has it written anew, where that is allowed
//	mutations on disk    their text names the entry, not the phone; so does ClickHouse's query log
//	logs of servers      never
//
// Not erased is what a client wrote elsewhere about a lead: a phone in another lead's
// metadata, in an externalId, in an Idempotency-Key or in the name of a send; and what
// was copied away: backups, exports that were read.
package journal
