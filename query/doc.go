// Package query is the read path, and what campaigns keep for it: what was stored,
// asked by the organization that stored it. The organization is an argument of
// every question, right after the context; it comes from the credential, never from
// the request.
//
//   - [Batches] answers for ingest calls: what each came to, with all of its
//     rejects, and whether a call whose answer never arrived has landed.
//   - [Audiences] keeps lists of leads of any size, which are uploaded, replaced
//     whole or added to.
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
// Only handler*.go knows Fiber.
package query
