package backfill

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"github.com/parquet-go/parquet-go"

	"leadevents"
	"leadevents/internal/rawjson"
)

// parquetBatch is how many rows are taken out of the column pages at once.
const parquetBatch = 256

// parquetReader reads rows out of row groups, with the memory of a page of each
// column. Parquet needs its file's end first, so what is compressed as a whole,
// or comes from standard input, is spooled to a temporary file.
type parquetReader struct {
	*shaper
	spooled *os.File // or nil
	read    *atomic.Int64
	size    int64
	total   uint64 // rows

	groups []parquet.RowGroup // that are left, the open one first
	rows   parquet.Rows       // of groups[0]; nil: not open
	batch  []parquet.Row
	have   int // rows in batch
	used   int // of them
	row    uint64

	columns   []*parquetNode // the top
	order     []*parquetNode // of the metadata
	phoneNode *parquetNode
	timeNode  *parquetNode
	typeNode  *parquetNode // or nil
	jsonNode  *parquetNode // the column that is the metadata, or nil
	stored    []bool       // by columns: in order
	values    leaves
	scan      rawjson.Scanner
	cells     [3][]byte
}

var errSpool = errors.New("it would have to be spooled")

func newParquet(name string, s *shaper, in *input, w *window, lookOnly bool) (_ *parquetReader, err error) {
	if lookOnly && !in.plain {
		return nil, errSpool
	}
	r := &parquetReader{shaper: s, read: in.read}
	file := in.file
	if !in.plain {
		if r.spooled, err = spool(in, w); err != nil {
			return nil, err
		}
		file = r.spooled
	}
	defer func() {
		if err != nil {
			r.close()
		}
	}()
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("ask for the size of the file: %w", err)
	}
	f, err := openParquet(file, info.Size())
	if err != nil {
		return nil, err
	}
	if in.plain {
		r.size = info.Size()
	}
	r.groups, r.total = f.RowGroups(), uint64(f.NumRows())
	r.batch = make([]parquet.Row, parquetBatch)
	if err := r.tell(name, f.Root()); err != nil {
		return nil, err
	}
	return r, nil
}

// openParquet reads a file's end. The library panics over some broken files.
func openParquet(file *os.File, size int64) (f *parquet.File, err error) {
	defer recovered(&err)
	f, err = parquet.OpenFile(file, size, parquet.SkipBloomFilters(true), parquet.ReadBufferSize(64<<10))
	if err != nil {
		return nil, fmt.Errorf("read the Parquet file's end: %w", err)
	}
	return f, nil
}

func recovered(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("read Parquet: the file is broken: %v", p)
	}
}

// spool copies what is read from the beginning of a stream to a file without a
// name, which is gone when it is closed.
func spool(in *input, w *window) (*os.File, error) {
	f, err := os.CreateTemp("", "leadevents-backfill-*.parquet")
	if err != nil {
		return nil, fmt.Errorf("make a temporary file for Parquet that is compressed or from standard input: %w", err)
	}
	_ = os.Remove(f.Name()) // where that is not possible while it is open, it stays behind
	if _, err = f.Write(w.text()); err == nil {
		if w.err == nil {
			_, err = io.Copy(f, in)
		} else if w.err != io.EOF {
			err = w.err
		}
	}
	if err != nil {
		_ = f.Close() // given up
		return nil, fmt.Errorf("copy Parquet to a temporary file: %w", err)
	}
	return f, nil
}

// tell finds out which of the columns are what.
func (r *parquetReader) tell(name string, root *parquet.Column) (err error) {
	defer recovered(&err) // over types that contradict each other
	leafs := 0
	byName := map[string]*parquetNode{}
	var names []string
	for _, column := range root.Columns() {
		n := newParquetNode(column, 0, 0, &leafs)
		r.columns = append(r.columns, n)
		names = append(names, n.name)
		byName[n.name] = n
	}
	r.values = newLeaves(leafs)
	cols, err := tellColumns(name, names, false, r.mapping, func(column string) bool {
		n := byName[column]
		return n.form == formGroup || n.form == formMap || n.form == formLeaf && n.text
	})
	if err != nil {
		return err
	}
	r.phoneNode, r.timeNode, r.typeNode, r.jsonNode = byName[cols.phone], byName[cols.occurredAt], byName[cols.eventType], byName[cols.metadata]
	for flag, n := range map[string]*parquetNode{FlagPhone: r.phoneNode, FlagOccurredAt: r.timeNode, FlagTypeColumn: r.typeNode} {
		if n != nil && (n.form != formLeaf || n.repeated) {
			return leadevents.Errorf(leadevents.InvalidRequest, "the column %q of %s has other columns inside: --%s must name one with values", n.name, name, flag)
		}
	}
	r.stored = make([]bool, len(r.columns))
	for i, n := range r.columns {
		remains := n != r.phoneNode && n != r.timeNode && n != r.typeNode
		r.stored[i] = remains && !cols.none && cols.chosen == nil && cols.metadata == ""
		if r.stored[i] {
			r.order = append(r.order, n)
		}
	}
	for _, column := range cols.chosen {
		r.order = append(r.order, byName[column])
	}
	return nil
}

func (r *parquetReader) next(row *Row) (err error) {
	defer recovered(&err)
	if r.used == r.have {
		if err := r.more(); err != nil {
			return err
		}
	}
	values := r.batch[r.used]
	r.used++
	r.row++
	row.Line = r.row
	r.values.set(values)
	r.shape(row)
	return nil
}

// more reads the next rows.
func (r *parquetReader) more() error {
	if r.total > 0 && r.size > 0 {
		r.read.Store(int64(float64(r.size) * float64(r.row) / float64(r.total)))
	}
	r.have, r.used = 0, 0
	for len(r.groups) > 0 {
		if r.rows == nil {
			r.rows = r.groups[0].Rows()
		}
		n, err := r.rows.ReadRows(r.batch)
		if n > 0 {
			r.have = n
			return nil
		}
		if err == nil {
			err = io.ErrNoProgress
		}
		if err != io.EOF {
			return fmt.Errorf("read Parquet: %w", err)
		}
		if err := r.endGroup(); err != nil {
			return err
		}
	}
	if r.row < r.total {
		return fmt.Errorf("read Parquet: the file has %d rows, %d were said to be there", r.row, r.total)
	}
	return io.EOF
}

func (r *parquetReader) endGroup() error {
	rows := r.rows
	r.rows, r.groups = nil, r.groups[1:]
	if rows == nil {
		return nil
	}
	if err := rows.Close(); err != nil {
		return fmt.Errorf("end a row group of Parquet: %w", err)
	}
	return nil
}

func (r *parquetReader) position() Position { return Position{Row: r.row, Line: r.row} }

func (r *parquetReader) jump(_ context.Context, _ *input, at Position) (err error) {
	defer recovered(&err)
	if at.Row > r.total {
		return io.EOF
	}
	r.row = at.Row
	within := at.Row
	for len(r.groups) > 0 && within >= uint64(r.groups[0].NumRows()) {
		within -= uint64(r.groups[0].NumRows())
		r.groups = r.groups[1:]
	}
	if within == 0 {
		return nil
	}
	r.rows = r.groups[0].Rows()
	if err := r.rows.SeekToRow(int64(within)); err != nil {
		return fmt.Errorf("go to row %d of Parquet: %w", at.Row+1, err)
	}
	return nil
}

func (r *parquetReader) close() {
	if r.rows != nil {
		_ = r.rows.Close() // only read
		r.rows = nil
	}
	if r.spooled != nil {
		_ = r.spooled.Close() // only read
		r.spooled = nil
	}
}
