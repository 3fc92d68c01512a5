package backfill

import "sync"

// spares are batches and raw rows whose memory is used again, so that a run holds what its
// window holds and no garbage beside it.
type spares struct {
	batches spare[batch]
	raws    spare[rawRows]
}

// More than so many are let go: a file with a thousand types has as many batches open, all of
// them small.
const (
	spareBatches = 6
	spareRaws    = 2
)

func (s *spares) batch() *batch { return s.batches.take() }

func (s *spares) put(b *batch) {
	memory := batch{body: b.body[:0], packed: b.packed[:0], rows: b.rows[:0]}
	*b = batch{} // its span still has it
	s.batches.keep(&memory, spareBatches)
}

func (s *spares) rawRows() *rawRows { return s.raws.take() }

// putRaw takes the raw rows of a span back that is behind the mark.
func (s *spares) putRaw(r *rawRows) {
	r.reset()
	s.raws.keep(r, spareRaws)
}

// spare are some of one kind, empty.
type spare[T any] struct {
	mu   sync.Mutex
	free []*T
}

func (s *spare[T]) take() *T {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.free)
	if n == 0 {
		return new(T)
	}
	one := s.free[n-1]
	s.free = s.free[:n-1]
	return one
}

func (s *spare[T]) keep(one *T, most int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.free) < most {
		s.free = append(s.free, one)
	}
}
