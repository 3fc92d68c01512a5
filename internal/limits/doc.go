// Package limits counts what organizations do, and refuses what is more than their
// limits allow: so much a second, so much at once.
//
// Both are counted in Redis, by its clock, for all server processes together. A call
// asks once for all that it needs, in one script: it gets everything or takes
// nothing. One whose organization has no limits asks nobody.
//
//	            answers                       does not answer for Timeout
//	[shared] ─────────────┐  ┌────────────────────────────────┐
//	   ▲ all processes    │  │                                ▼
//	   │ count together   └──┘       [each process counts for itself]
//	   └── one call in every Pause asks Redis again, and it answers ──┘
//
// While Redis does not answer, each process counts for itself, from a full allowance:
// three processes let through three times as much. A limit is there to keep
// neighbours apart, and neither refusing everybody nor letting everybody in does
// that. No call fails because Redis is away; one in every Pause waits for Timeout.
//
// # Rates
//
// A bucket holds up to a second's allowance, and lets a call pass while one is left in
// it. Then it may fall below zero: a call of 50,000 rows passes an allowance of 1,000
// a second, and nothing passes for the 50 seconds after it. So a call of any size
// passes some time, and over time no more passes than the rate allows. (Refusing what
// is larger than the bucket would make a limit below 50,000 rows a second refuse
// calls that the contract allows.) In t seconds requests pass at most rate × (t + 1)
// times.
//
// # Places
//
// A place is held by a lease of 30 s that is renewed: one whose process dies is free
// again after the lease. Giving it back is a second question to Redis, before the
// answer goes out: who waits for each answer must find the place free.
package limits
