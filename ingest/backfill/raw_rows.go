package backfill

import (
	"encoding/binary"
	"fmt"
	"sort"

	"github.com/klauspost/compress/s2"
)

// rawBlock is how much of the rows is compressed at once: a row that is asked for costs as much.
const rawBlock = 128 << 10

// rawRows are a span's rows as the file has them, for those that are rejected, which are few or
// none. They are held compressed (JSON to a third and less, at a second for 2 GB): as they are
// they would be half of a run's memory.
type rawRows struct {
	blocks []rawRowsBlock
	packed []byte // all blocks
	open   []byte // rows that are in no block yet, each behind its length
	first  uint32 // of them
	rows   uint32
}

type rawRowsBlock struct {
	first uint32 // row
	end   int    // in packed
}

func (r *rawRows) reset() {
	*r = rawRows{blocks: r.blocks[:0], packed: r.packed[:0], open: r.open[:0]}
}

func (r *rawRows) add(raw []byte) {
	r.open = binary.AppendUvarint(r.open, uint64(len(raw)))
	r.open = append(r.open, raw...)
	r.rows++
	if len(r.open) >= rawBlock {
		r.close()
	}
}

// close puts what is left into a block.
func (r *rawRows) close() {
	if len(r.open) == 0 {
		return
	}
	most := s2.MaxEncodedLen(len(r.open))
	at := len(r.packed)
	if cap(r.packed)-at < most {
		r.packed = append(make([]byte, 0, max(cap(r.packed)*5/4, at+most)), r.packed...)
	}
	r.packed = r.packed[:at+len(s2.Encode(r.packed[at:at+most:at+most], r.open))]
	r.blocks = append(r.blocks, rawRowsBlock{r.first, len(r.packed)})
	r.open, r.first = r.open[:0], r.rows
}

// size is the bytes that it holds.
func (r *rawRows) size() int { return cap(r.packed) }

// rawReader reads rows of a span that is cut, the cheaper the nearer the next is to the last.
type rawReader struct {
	of    *rawRows
	block int // that text is of; -1: none
	text  []byte
	row   uint32 // that begins at text[at:]
	at    int
}

func (r *rawRows) reader() *rawReader { return &rawReader{of: r, block: -1} }

// raw is row i, valid until the next call.
func (r *rawReader) raw(i uint32) ([]byte, error) {
	block := sort.Search(len(r.of.blocks), func(n int) bool { return r.of.blocks[n].first > i }) - 1
	if block < 0 || i >= r.of.rows {
		return nil, fmt.Errorf("row %d of a span that has %d", i, r.of.rows)
	}
	if block != r.block {
		start := 0
		if block > 0 {
			start = r.of.blocks[block-1].end
		}
		text, err := s2.Decode(r.text[:cap(r.text)], r.of.packed[start:r.of.blocks[block].end])
		if err != nil {
			return nil, fmt.Errorf("read a row again: %w", err)
		}
		r.block, r.text, r.row, r.at = block, text, r.of.blocks[block].first, 0
	} else if i < r.row {
		r.row, r.at = r.of.blocks[block].first, 0
	}
	for ; ; r.row++ {
		n, length := binary.Uvarint(r.text[r.at:])
		begin := r.at + length
		if r.row == i {
			return r.text[begin : begin+int(n)], nil
		}
		r.at = begin + int(n)
	}
}
