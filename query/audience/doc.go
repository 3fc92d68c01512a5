// Package audience says which leads a send keeps: what a filter means, how it
// is written in JSON, and how an audience is named.
//
// A [Filter] asks for one event type, optionally within the minutes before the
// send fires, at least so many times, and only where the event's metadata meets
// some conditions. [Match] answers it in plain Go over one lead's events;
// [Evaluate] answers a list of them and keeps the evidence. ClickHouse answers
// the same question for millions of leads: its answer must equal Match's, and a
// differential test in package clickhouse holds the two together.
//
// # Reading a filter
//
// The codec is strict, since a filter that is misread sends a message to people
// who should not get it: an unknown field, mode or operator, a field twice, a
// null, a value out of range are all errors that name the place, as in
// "eventFilters[2].where[0].op". Absent, empty, unknown and malformed are four
// different things: no filters ([]) filter nothing, an empty `in` holds for
// nothing, an empty phone list is no lead. [AppendFilters] writes the one
// canonical form, so that equal filters are equal bytes.
//
// # What a condition means
//
// The metadata is read as JSON text by its grammar (RFC 8259), not as one
// program or another happens to read it.
//
//   - A path is split at its dots; each level descends into an object, never
//     into an array, and "0" is a key like any other. A key that contains a dot,
//     or is empty, cannot be addressed, and a path with an empty level ("a..b")
//     is refused: it is a typing error, and a path that never exists would make
//     an exclude keep everybody.
//   - Of a key that stands twice in one object the first one counts, whatever it
//     holds. Keys and strings are compared after their escapes are resolved:
//     "\u00e9" is "é". An unpaired surrogate escape, which stands for no
//     character, is read as U+FFFD.
//   - A path that is missing or null does not exist, and only
//     {"op":"exists","value":false} holds.
//   - eq and in hold for an equal value of the same JSON type: a string, number
//     or boolean. Null, arrays and objects equal nothing, themselves included.
//   - ne holds for every existing value that eq does not hold for. So it holds
//     where the types differ ("5" is not 5) and for every array and object: "not
//     equal" said of two things that are not equal is true. It does not hold for
//     a missing path, which has no value to differ.
//   - gt, gte, lt, lte hold for two numbers or two strings. Strings are ordered
//     by code point, which is the order of their UTF-8 bytes.
//   - Numbers have one exact value each: an integer written without fraction or
//     exponent from -2^63 to 2^64-1 is itself, so that 64-bit ids never collide;
//     every other number is the nearest float64 (beyond the largest float64, the
//     largest), and -0 is 0. They are compared by that value: 5, 5.0 and 5e0 are
//     equal, 9007199254740993 and 9007199254740992 are not.
//
// # What counts as an event
//
// Events are counted by their key: for one lead, by (event type, occurredAt).
// Without a window an event counts whenever it occurred, in the future of the
// send too. With one, fireAt − minutes ≤ occurredAt ≤ fireAt + clockSkew, both
// ends included, to the millisecond.
package audience
