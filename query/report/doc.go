// Package report says what analysts' reports mean, and how they are asked in JSON.
//
// There are four. A [Timeseries] counts events or leads in each interval of a range; a
// [Breakdown] divides events by their metadata; a [Funnel] follows leads along steps; a
// [Retention] counts who comes back. Each is answered here in plain Go over a list of
// rows, which says what it means. ClickHouse answers the same about millions; its answer
// must equal this one, and differential tests in package clickhouse hold the two together.
//
// # Which events count
//
// An event is a key (lead, type, moment): of rows with one key the last one that was stored
// is the event, with its metadata. Ranges are half-open. Conditions on the metadata, and
// what is a number, are those of filters (package audience).
//
// # Exactness
//
// Nothing is estimated unless it is asked for. Leads are counted one by one, quantiles
// are numbers that are there, sums are made of decimals as they are written. So two
// answers about the same events are equal to the last digit, whatever order the store
// read them in; only sums of numbers beyond 10^40 or below 10^-7 are made of
// float64, and say so.
//
// # Calendars
//
// Intervals are those of the calendar of an IANA time zone, computed here: the store is
// given their starts and never asked for a zone, so that both cannot disagree. The zones
// are those of the machine, or built in where it has none.
package report
