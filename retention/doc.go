// Package retention says for how many days events are kept, by organization and event
// type, and removes those that are older.
//
// An event is expired when it occurred more than so many days of 24 hours before now. By
// default nothing ever is. What that means for each part of the program:
//
//   - ingest rejects an expired event ("expired occurredAt"): it is stored nowhere, and
//     counted as rejected, whether it was stored before or not;
//   - filters do not count it, to the millisecond ("ever" is "ever within the retention"),
//     whether its row is still there or not: clickhouse, question.border;
//   - its row is removed by a sweep, a grace after it has expired.
//
// # The grace
//
// A key of the ledger must not outlive its row: should the retention be made longer
// again, the event could come, be told duplicate by its key, and be stored nowhere. So a
// row stays until its key cannot be there any more. A key's bucket lives until
// max(the slot's end + T, its last seal + Tshort, or + 24 h with an Idempotency-Key), and
// an event of a slot is sealed at the latest when the slot's end expires. From the time
// that the event occurred that is at most slot + T, or slot + days + max(24 h, Tshort): the
// row goes at days + [Config.Grace], with
//
//	grace = slot + max(24 h, Tshort, T − days) + an hour for clocks and requests under way
//
// 99 hours 34 minutes by default (123 h 34 min for one day), since a slot of history is 3.1
// days wide. A row that is removed is
// unknown to both stores, and the same event, should it ever be wanted again, is new.
//
// # The sweep
//
// One process at a time looks once an hour, and removes whole days (UTC): of each
// organization and type one stretch of the sorting key, so nothing else is touched. Rows
// are masked, waited for, and taken off the disk once a day. Partitions are years of all
// organizations, so none can be dropped; a TTL would have to know the settings of each,
// and would run whenever a merge happens to, which is nothing to rely on.
//
// A state whose last event expired is removed with it. Of one whose first event did,
// first_at becomes the border of the sweep: no event that is still there is older, though
// the first may be younger. Filters ask last_at alone.
//
// Expiry of the events is no erasure: audiences, results of sends and receipts stay.
package retention
