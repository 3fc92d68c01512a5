// Package upload reads the leads of an audience upload, one at a time and in
// constant memory: from CSV, NDJSON or JSON, of any length.
//
// A [Reader] gives each row as it was sent; [Lead.Judge] then accepts or rejects
// it, by the same rules whatever it came in:
//
//	reason               when
//	invalid lead         the element is not an object
//	invalid phoneE164    as in ingest, by the same code: missing, not a string, not a possible number
//	invalid externalId   neither a string nor null; or longer than 256 characters (code points)
//
// Of one row the first reason that holds is told. A row may have no externalId,
// and an empty one is none.
//
// What is not a row at all refuses the upload: quotes that do not match, broken
// JSON, bytes that are not UTF-8, an unknown field, a CSV without a column of
// phones, a row longer than 64 KiB. The error says on which line, or in which
// lead, and is for the client to read.
//
// # CSV
//
// As encoding/csv reads it (a test holds that), but that a CRLF inside of quotes is
// kept: RFC 4180, with line ends of either kind and a byte order mark at the start. The first row names the
// columns: phoneE164 or phone, and externalId if there are any, in any case and
// with spaces around; every other column is passed over. Every row has as many
// fields as the first; empty lines are passed over.
//
// # NDJSON
//
// An object a line, as in JSON's leads. Lines of white space are passed over.
//
// # JSON
//
// {"leads":[{"phoneE164":"…","externalId":"…"}]}, as strict as the other
// endpoints: no other field, none twice, nothing behind it.
package upload
