package backfill

import (
	"context"
	"fmt"
	"time"

	"leadevents"
)

// The names of the command's flags that a refusal or a hint names.
const (
	FlagPhone      = "phone-column"
	FlagOccurredAt = "time-column"
	FlagTypeColumn = "type-column"
	FlagEventType  = "event-type"
	FlagMetadata   = "metadata" // columns, separated by commas
	FlagRegion     = "region"
	FlagTimeFormat = "time-format"
	FlagTimeZone   = "time-zone"
	FlagTyped      = "typed"
)

// Bounds of a row.
const (
	MaxLine = 1 << 20  // bytes of a line, or of a CSV record or a Parquet row as JSON; a longer one is refused
	MaxRaw  = 64 << 10 // bytes that are kept of a line that is longer than MaxLine
)

// Row is one row of a source: an event, or why it is none. Its slices are valid
// until the next Next; the strings may be kept.
type Row struct {
	// Line is where the row begins: the line of the decompressed text, from 1; of
	// Parquet, the row's number, from 1.
	Line uint64

	EventType string // of the row, or the fixed one: 1 to 128 characters
	// Phone is in E.164 where a region was given and it parses there, else as the
	// file has it: UTF-8, not escaped. Whether it is one is the server's to say.
	Phone []byte
	// OccurredAt is RFC 3339 with an offset: as the file has it where it is that,
	// else UTC with milliseconds.
	OccurredAt []byte
	At         leadevents.Millis // OccurredAt
	Metadata   []byte            // a compact JSON object, or nil

	// Raw is the row as it can be fed in again, one JSON value without a line feed: the
	// NDJSON line; a CSV or Parquet row as an object of its columns; a string of
	// the text (what is not UTF-8 as U+FFFD) where the row could not be read. A line
	// of a file of rejects, {"line":…,"reason":…,"row":Raw}, is read as its row.
	Raw []byte

	// Refused says why the row is no event, so is not sent: one of the reasons of
	// API.md 1, or a sentence ("3 columns, the header has 5"). Of the other fields
	// only Line, Raw and Hint are set then.
	Refused string
	// Hint is what might mend the row, or the flag that would: also of rows that are not
	// refused, but look as if the server may refuse or misread them. It is one of
	// few texts, so that rows can be counted by it.
	Hint string
}

// Position is where a row begins: enough to go on from. With Offset it is
// reached without reading rows (plain files seek, others decompress); a position that has only
// File and Row is reached by counting rows.
type Position struct {
	File   int    `json:"file"`   // index in the list of files
	Row    uint64 `json:"row"`    // rows of that file before it, refused ones too
	Line   uint64 `json:"line"`   // lines of that file before it
	Offset int64  `json:"offset"` // bytes of its decompressed text before it; 0 of Parquet
}

// Source reads rows, in constant memory whatever the size of the files. It is
// used by one goroutine.
type Source interface {
	// Next fills row and gives its position; io.EOF at the end of the last file,
	// with the position that follows it. A broken row is a Row with Refused. A
	// file that cannot be read on (corrupt gzip, cut Parquet) is a *FileError,
	// after which no Next follows; so is the context's end an error.
	Next(row *Row) (Position, error)
	// Progress is bytes read, compressed, as on the disk, and in all: 0 if that
	// is not known (stdin). Files before the first position count as read. It may
	// be called by any goroutine.
	Progress() (read, size int64)
	// Close may follow at any time.
	Close() error
}

// FileError is a file that cannot be read on. All rows before it were given.
type FileError struct {
	Name   string
	Line   uint64 // about where: lines (of Parquet: rows) read before it
	Offset int64  // about where: bytes of the file, compressed, read before it
	Err    error
}

// Error says which file, about where, and what.
func (e *FileError) Error() string {
	return fmt.Sprintf("%s cannot be read on after line %d, near byte %d: %v", e.Name, e.Line, e.Offset, e.Err)
}

// Unwrap is the cause.
func (e *FileError) Unwrap() error { return e.Err }

// Formats and compressions of a File. Empty: told when it is opened (stdin).
const (
	CSV     = "csv"
	NDJSON  = "ndjson"
	Parquet = "parquet"

	Plain = "plain"
	Gzip  = "gzip"
	Zstd  = "zstd"
)

// Stdin is the name of standard input.
const Stdin = "-"

// File is something to read, and its identity.
type File struct {
	Name        string    `json:"name"` // as given, or found in a directory; Stdin
	Size        int64     `json:"size"`
	ModTime     time.Time `json:"modTime"`
	Head        [32]byte  `json:"head"` // SHA-256 of the first MiB and the size; zero of stdin
	Format      string    `json:"format"`
	Compression string    `json:"compression"`
}

// Mapping says which columns are what. Columns that are not named are guessed;
// the zero Mapping guesses all.
type Mapping struct {
	Phone, OccurredAt, EventType string // columns

	// FixedType is the type of rows without a column for it, or with an empty cell
	// there. With it no type column is guessed.
	FixedType string
	// Region is the region of numbers without + or 00 ("US"); empty: none.
	Region string
	// TimeFormat is auto (also if empty), rfc3339, seconds, millis, micros, nanos, or a layout as
	// Go ("02.01.2006 15:04") or strftime ("%d.%m.%Y %H:%M") has them.
	TimeFormat string
	// TimeZone is of times without an offset; nil: such times are refused.
	TimeZone *time.Location
	// Metadata is the columns that are stored, by name; nil: a column called metadata
	// whose values are JSON objects, as it is; without one, all that remain.
	Metadata   []string
	NoMetadata bool
	// Typed reads numbers, true and false of CSV as what they look like, not as strings.
	Typed bool
}

// Find expands names, globs and directories (their files with a known ending, and
// those of their directories, not deeper; sorted) into files, and tells
// formats and compressions, by content first. A name twice is one file. The
// error is of kind InvalidRequest where the arguments are at fault.
func Find(args []string) ([]File, error) { return find(args) }

// CheckSame tells whether files are those of an earlier run, in their order. The
// error is of kind Conflict and names the first that is not.
func CheckSame(files, earlier []File) error { return checkSame(files, earlier) }

// Open opens files at a position. The columns of all of them are told first: an
// error of kind InvalidRequest names what is missing or ambiguous, the columns
// that the file has, and the flag.
func Open(ctx context.Context, files []File, mapping Mapping, at Position) (Source, error) {
	return open(ctx, files, mapping, at)
}
