// Package query is the read path: what was stored, asked by the organization that
// stored it. The organization is an argument of every question, right after the
// context; it comes from the credential, never from the request.
//
// So far it answers for batches: what each ingest call came to, with all of its
// rejects, and whether a call whose answer never arrived has landed. Only
// handler*.go knows Fiber.
package query
