package backfill

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/zstd"

	"leadevents"
)

// write makes a file in a directory of the test.
func write(t testing.TB, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func gzipped(t testing.TB, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zstded(t testing.TB, content []byte) []byte {
	t.Helper()
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = z.Close() }()
	return z.EncodeAll(content, nil)
}

// typed is the mapping of most tests.
var typed = Mapping{FixedType: "purchase"}

// kept is a row whose texts may be kept.
type kept struct {
	At                                 Position
	Line                               uint64
	Type, Phone, OccurredAt, Meta, Raw string
	Refused, Hint                      string
	Millis                             leadevents.Millis
}

func keep(row *Row, at Position) kept {
	return kept{at, row.Line, row.EventType, string(row.Phone), string(row.OccurredAt), string(row.Metadata), string(row.Raw), row.Refused, row.Hint, row.At}
}

// short is what most tests look at.
func (k kept) short() string {
	if k.Refused != "" {
		return fmt.Sprintf("%d! %s", k.Line, k.Refused)
	}
	return fmt.Sprintf("%d %s %s %s %s", k.Line, k.Type, k.Phone, k.OccurredAt, k.Meta)
}

// readFrom reads files from a position to their end, or to the error.
func readFrom(t testing.TB, files []File, m Mapping, at Position) ([]kept, error) {
	t.Helper()
	source, err := Open(t.Context(), files, m, at)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err := source.Close(); err != nil {
			t.Error(err)
		}
	}()
	var rows []kept
	var row Row
	for {
		at, err := source.Next(&row)
		if errors.Is(err, io.EOF) {
			if want := (Position{File: len(files)}); at != want {
				t.Errorf("the end is at %+v, want %+v", at, want)
			}
			return rows, nil
		}
		if err != nil {
			if _, again := source.Next(&row); again == nil {
				t.Error("after an error there is another row")
			}
			return rows, err
		}
		rows = append(rows, keep(&row, at))
	}
}

func findAll(t testing.TB, args ...string) []File {
	t.Helper()
	files, err := Find(args)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// read is all rows of one file.
func read(t testing.TB, name string, content []byte, m Mapping) ([]kept, error) {
	t.Helper()
	return readFrom(t, findAll(t, write(t, name, content)), m, Position{})
}

func shorts(rows []kept) []string {
	var all []string
	for _, row := range rows {
		all = append(all, row.short())
	}
	return all
}
