// Package loadgen makes lead events that look real and are the same every time.
//
// Event number i is a pure function of the [Config] and i, so any part of a
// load can be made alone, again, or by somebody else: in Go ([Generator.Event],
// request bodies, NDJSON, CSV), or inside ClickHouse ([Generator.SelectSQL], tens
// of millions of rows a minute). Both give the same rows to the bit, since both are
// integer arithmetic over ClickHouse's intHash64; a table filled by SQL and then
// sent the same events through the API answers only duplicates.
//
// What makes the data look real:
//
//   - phones of 30 countries, each a valid mobile number, scattered over the
//     number ranges; a lead is a fixed phone out of a pool of configurable size;
//   - activity is skewed: the busiest 1 % of the leads have 10 % of the events;
//   - twelve event types, Zipf distributed (the first has 32 % of the calls);
//     a call has one event type, as in the API;
//   - metadata as such companies send it: order ids, amounts, nested objects, some absent;
//   - occurredAt of the last minutes, of the horizon, or of years, in order or not;
//   - repeats of earlier events and rows that must be rejected, at a chosen rate.
package loadgen
