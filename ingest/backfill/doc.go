// Package backfill turns files of any size into events, in constant memory: CSV,
// NDJSON and Parquet, each plain, gzip or zstd, from files, directories, globs and
// standard input.
//
// [Find] tells what there is to read, [Open] reads it row by row, from the
// beginning or from any [Position] that an earlier [Source] gave. What the
// columns mean is the [Mapping]'s, or guessed from the header or the first rows,
// so always from a file's beginning: it does not depend on where reading began.
//
//	File ─ bytes ─ gzip/zstd ─ lines ┬ CSV records ──┬ Row
//	                                 ├ NDJSON lines ─┤
//	File ─ bytes ─ spooled, if it is compressed ─ Parquet rows ┘
//
// What goes wrong where:
//
//	a row that is no event         a Row with Refused: the next one is read
//	a file that cannot be read on  a *FileError, after all rows before it
//	columns that cannot be told    an error of kind InvalidRequest, from Open
//
// A [Runner] sends them: a [cutter] makes spans of rows, each with a batch for each event
// type in it, and a batch is one call under the Idempotency-Key backfill-<run>-<where it begins>.
//
//	Source ─ rows ─ cutter ─ span ┬ batch ─ call, until it is answered ┐
//	                              └ batch ─ call, …                    ┴ mark ─ rejects file, checkpoint
//
// The mark is behind the last span before which all are answered. What a kill leaves at each step, and what
// the next attempt does:
//
//	a span is cut, nothing sent      it is cut again, into the same bytes under the same keys
//	sent, not answered               sent again: the server answers as it did, or would have
//	answered, not in the checkpoint  the same
//	rejects written, not counted     the file is cut to the length that the checkpoint has
//	the checkpoint half written      the one before it is there
//
// Where a cut is made depends on the rows and the limits alone. That is the whole of it: were it by the clock or by
// answers, the second attempt would send other bodies under other keys, and totals would be those of neither.
package backfill
