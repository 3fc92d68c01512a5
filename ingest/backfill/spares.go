package backfill

import "sync"

// spares are batches whose memory is used again, so that a run holds what its window
// holds and no garbage beside it. More than spareBatches are let go: a file with a thousand
// types has as many batches open, all of them small.
type spares struct {
	mu   sync.Mutex
	free []*batch
	raw  []*rawRows
}

const spareBatches = 6

func (s *spares) batch() *batch {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.free); n > 0 {
		b := s.free[n-1]
		s.free = s.free[:n-1]
		return b
	}
	return &batch{}
}

func (s *spares) put(b *batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	memory := batch{body: b.body[:0], packed: b.packed[:0], rows: b.rows[:0]}
	*b = batch{} // its span still has it
	if len(s.free) < spareBatches {
		s.free = append(s.free, &memory)
	}
}

func (s *spares) rawRows() *rawRows {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.raw); n > 0 {
		r := s.raw[n-1]
		s.raw = s.raw[:n-1]
		r.reset()
		return r
	}
	return &rawRows{}
}

// putRaw takes the raw rows of a span back that is behind the mark.
func (s *spares) putRaw(r *rawRows) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.raw) < spareRaws {
		s.raw = append(s.raw, r)
	}
}

const spareRaws = 2
