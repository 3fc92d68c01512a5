// Package ledger remembers in Redis which batch owns which key, and knows when
// Redis is not to be believed.
//
// (The full page, with picture, proof and failure table, follows with the fault tests.)
package ledger
