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
package backfill
