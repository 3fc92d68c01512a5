package ingest

import (
	"bytes"
	"hash/maphash"
	"math"

	"leadevents/internal/rawjson"
)

// nameSet is the set of names at the top level of a body, to find one that
// stands there twice. Usually there are three; but 10 MB hold more than a
// million, so it is a hash table (open addressing) of 8 bytes a slot, 16 MB for
// those, where a map of strings would need five times as much; and the hash is
// one that a client cannot foresee.
type nameSet struct {
	seed  maphash.Seed
	table []uint64 // the name's hash in the upper half, its place in the lower; 0: free
	count int
	plain [2][]byte // two unescaped names
}

// reset empties the set.
func (s *nameSet) reset() {
	s.count = 0
	s.plain[0], s.plain[1] = keep(s.plain[0], keepBytes/16), keep(s.plain[1], keepBytes/16)
	if len(s.table) > keepNames {
		s.table = nil
	}
	clear(s.table)
}

// add adds the name whose text starts at start in body, and tells whether it is
// new. Start is not 0: a name stands inside an object.
func (s *nameSet) add(body []byte, start uint32) bool {
	if s.table == nil {
		s.seed, s.table = maphash.MakeSeed(), make([]uint64, 16)
	} else if s.count*3 >= len(s.table)*2 {
		s.grow()
	}
	name := s.name(0, body, start)
	entry := maphash.Bytes(s.seed, name)>>32<<32 | uint64(start)
	i := s.home(entry)
	for ; s.table[i] != 0; i = s.after(i) {
		// Names of different hashes are different; that spares reading the body
		// at some random place for each slot passed, which took 3 times as long.
		if s.table[i]>>32 == entry>>32 && bytes.Equal(name, s.name(1, body, uint32(s.table[i]))) {
			return false
		}
	}
	s.table[i] = entry
	s.count++
	return true
}

// grow doubles the table.
func (s *nameSet) grow() {
	old := s.table
	s.table = make([]uint64, 2*len(old))
	for _, entry := range old {
		if entry != 0 {
			i := s.home(entry)
			for s.table[i] != 0 {
				i = s.after(i)
			}
			s.table[i] = entry
		}
	}
}

// home is the slot where an entry belongs, after the one that follows if a slot
// is taken.
func (s *nameSet) home(entry uint64) int { return int(entry>>32) & (len(s.table) - 1) }
func (s *nameSet) after(i int) int       { return (i + 1) & (len(s.table) - 1) }

// name is the unescaped name that starts at start, in the given buffer if it
// needs one.
func (s *nameSet) name(buffer int, body []byte, start uint32) []byte {
	end, _ := rawjson.ScanString(body, int(start))
	raw := body[start:end]
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw
	}
	s.plain[buffer] = rawjson.AppendUnescaped(s.plain[buffer][:0], raw, math.MaxInt)
	return s.plain[buffer]
}
