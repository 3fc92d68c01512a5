package httpserver

import (
	"sync"

	"leadevents"
)

// Sizes of pooled buffers. A buffer of more than the last is made to measure,
// in steps of 64 KiB, and pooled among its like.
var bufferSizes = [...]int{4 << 10, 64 << 10, 1 << 20}

// growthSteps are the sizes that a body of unknown length goes through.
var growthSteps = [...]int{4 << 10, 64 << 10, 1 << 20, 4 << 20}

const largeStep = 64 << 10

// buffer is a piece of the body memory: its capacity is charged to the quota.
type buffer struct {
	b     []byte // its full capacity
	class int    // index in bufferSizes; len(bufferSizes) is large
}

// buffers are the pools by class.
type buffers struct {
	pools [len(bufferSizes) + 1]sync.Pool
}

func classOf(n int) int {
	for i, size := range bufferSizes {
		if n <= size {
			return i
		}
	}
	return len(bufferSizes)
}

// nextSize is the capacity to go to from have bytes when up to want may come.
// Each step (4 KiB, 64 KiB, 1 MiB, 4 MiB) is earned by filling the one before,
// so a client that announces much and sends little holds little: 1,000 that
// stand still after their first byte hold 4 MiB. A body that says its length
// gets it after 1 MiB. At most 5 MiB are copied for a body of 10 MiB.
func nextSize(have, want int, lengthKnown bool) int {
	if lengthKnown && have >= growthSteps[2] {
		return want
	}
	for _, step := range growthSteps {
		if step > have {
			return min(step, want)
		}
	}
	return want
}

// takeBuffer gives a buffer of at least n bytes, charged to the body memory,
// or refuses with 503.
func (s *Server) takeBuffer(n int) (*buffer, error) {
	class := classOf(n)
	if class == len(bufferSizes) {
		n = (n + largeStep - 1) / largeStep * largeStep
	} else {
		n = bufferSizes[class]
	}
	if !s.memory.acquire(int64(n)) {
		return nil, s.memoryRefusal()
	}
	if buf, ok := s.buffers.pools[class].Get().(*buffer); ok {
		// Only large ones differ in size; one too small, or over twice as
		// large as charged for, is left to the collector.
		if c := len(buf.b); c == n {
			return buf, nil
		} else if c > n && c <= 2*n && s.memory.acquire(int64(c-n)) {
			return buf, nil
		}
	}
	return &buffer{b: make([]byte, n), class: class}, nil
}

func (s *Server) memoryRefusal() error {
	s.metrics.refused.WithLabelValues(SettingMaxBodyMemory).Inc()
	return leadevents.Errorf(leadevents.Unavailable,
		"the server holds as many bytes of request bodies as it may (%d, %s); send this one again", s.cfg.MaxBodyMemory, SettingMaxBodyMemory)
}

// growBuffer moves the first used bytes of buf (nil for none) into a buffer of
// at least n bytes. On refusal buf is unchanged.
func (s *Server) growBuffer(buf *buffer, used, n int) (*buffer, error) {
	grown, err := s.takeBuffer(n)
	if err != nil {
		return buf, err
	}
	if buf != nil {
		copy(grown.b, buf.b[:used])
		s.giveBuffer(buf)
	}
	return grown, nil
}

func (s *Server) giveBuffer(buf *buffer) {
	s.memory.release(int64(len(buf.b)))
	s.buffers.pools[buf.class].Put(buf)
}
