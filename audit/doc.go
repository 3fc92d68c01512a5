// Package audit says who did what to an organization, when and from where: the
// creation and end of credentials, changes of settings, of audiences and of sends,
// and results that were taken away whole. An organization's entries are its own.
//
// What is audited is written before it is done, and what became of it after:
//
//	          durable, or nothing is done (503)       added, if it can be
//	[asked] ─────────────▶ begun ─────── act ────────▶ done | failed
//
//	what happens                      what is there
//	the log cannot be written         nothing was done, and no entry
//	a crash before or in the act      an entry that stays begun: it was done or not
//	a crash, or a log that cannot     an entry that stays begun, and the act is done
//	be written, after the act
//	the act's own outcome is unknown  an entry that stays begun, as its caller was told
//	the act was refused               an entry that has failed
//
// So there may be an entry of what never happened, and never an act without an entry.
// The last step is not waited for by anybody's safety: its failure is logged, and the
// caller is told what is true, that it was done.
//
// Nothing is changed or removed: an entry and what became of it are rows that are
// added ([Store] can do no more), and readers take the last word of each.
//
// Not audited are calls of ingest, each of which has a receipt that names its key
// (batches), reading but for results that are taken whole, refusals (the request
// log has them), and calls that changed nothing because it was so already.
package audit
