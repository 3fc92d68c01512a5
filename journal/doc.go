// Package journal changes rows and keys after the fact: it erases a lead everywhere, so
// that every crash is gone on from, and keeps an erased lead from coming back.
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
// An undo of a batch is another kind of entry: the same steps on the keys that the batch
// was told inserted, with keys taken only where the token is the batch's.
//
// # Meanwhile
//
// From the moment an entry is there, until it is verified, filters, sends and results
// leave its phone out (clickhouse: notUnderJournal): the lead is in no audience, so that
// neither a state of erased rows keeps it nor a row that is still there drops it. A
// materialization that began before looks again before it counts.
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
