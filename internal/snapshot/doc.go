// Package snapshot keeps a copy of something small that changes rarely, such as the
// leads that an organization has erased, so that every request may look at it.
//
// A copy is used for at most [Config.Stale] after the store was asked, so a change holds
// in every process within that time. Whoever looks at one that is older than
// [Config.Fresh] asks the store first, one at a time, while others use it as it is. Where
// the store does not answer, a copy that is too old is refused, not used.
//
// It has no goroutine: what nobody looks at is not asked for.
package snapshot
