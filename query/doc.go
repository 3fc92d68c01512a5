// Package query is the read path, and what campaigns keep for it: what was stored,
// asked by the organization that stored it. The organization is an argument of
// every question, right after the context; it comes from the credential, never from
// the request.
//
//   - [Batches] answers for ingest calls: what each came to, with all of its
//     rejects, and whether a call whose answer never arrived has landed.
//   - [AuditLog] shows who did what.
//   - [Events] shows what is stored: the catalog of types, pages newest first, one
//     lead's timeline, and exports of all of it.
//   - [Audiences] keeps lists of leads of any size, which are uploaded, replaced
//     whole or added to.
//   - [ReportHandler] answers analysts' reports, whose meaning is package report's.
//   - [Sends] counts what filters would keep, and decides it once for a send:
//     who is kept, and why, by evidence that stays.
//
// # An upload
//
//	rows ── stage ──▶ audience_uploads ── finish ──▶ audience_leads ── commit ──▶ audience_layers
//	        pieces, as they come         one layer, each phone once    one row: now it is seen
//
//	when it ends before      what is seen      what is left, and for how long
//	stage has ended          what was before   staged rows: dropped at once, or a day later by a sweep
//	finish has ended         what was before   the same, and maybe a layer: a day
//	commit has ended         before or after   as above; the answer is a 503, and sending again is safe
//	the answer               after             nothing
//
// Changes of one audience take turns over all processes, by locks that may be lost;
// leadevents.AudienceLog says why that loses no addition. Readers ask for the layers
// once and then read those, so they take no turns.
//
// # A materialization
//
//	            POST …/materialize                  the run is through
//	draft ───────────────────────▶ materializing ──────────────────────▶ materialized
//	  ▲  │                           │  ▲   │
//	  └──┘ PUT, list filter          │  └───┘ its process died: another run
//	            POST …/materialize   ▼
//	failed ◀─────────────────────────┘ for a reason that is shown; ▶ materializing again by POST
//
// It goes in numbered steps; a run is what one of them began:
//
//  1. lease: somebody works at this run, for the next seconds (renewed to the end);
//  2. claim: the run's number, the definition and list it goes by, fireAt, and asOf by
//     ClickHouse's clock, before anything is read. Durable, then the 202;
//  3. the audience is looked up, once; each filter's evidence is stored, and from it
//     alone each lead's decision (package clickhouse);
//  4. done, with the totals: one inserted row, and the result is there;
//  5. the lease ends, and what other runs of the send have left is removed.
//
// What a crash leaves behind, and who goes on:
//
//	after step   what is seen        who goes on
//	1            what was before     whoever finds the lease expired ends it: nothing was claimed
//	2, 3         materializing       whoever finds the lease expired claims another run for
//	                                 the same definition, list and fireAt; five times from
//	                                 3, then the send has failed
//	4            materialized        the lease is ended likewise; rows of other runs stay, unread,
//	                                 until they are swept a day later, like lists that no
//	                                 entry names
//
// A stop gives its leases up, so that nobody has to wait for their end; a run whose
// store leaves is given up too. A lease that is lost is made again by the sweep. Evidence and
// decisions belong to a run and are written once, so a run that is begun again
// never meets the rows of the one before.
//
// Changes of one send take turns by a lock that may be lost. audience.SendLog says
// what then counts: of several runs that are done the one with the newest claim. A run
// looks for a newer claim, and for a result, before it ends and after it has; if it
// finds one it has nothing to say, and its rows are removed.
//
// What was acknowledged before the call is in the result on every process, because
// an acknowledged row is in ClickHouse, and the run asks ClickHouse after its claim.
//
// Only handler*.go knows Fiber.
package query
