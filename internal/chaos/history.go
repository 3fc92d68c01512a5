package chaos

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"
)

// Counts are the numbers of an answer.
type Counts struct {
	Received   int `json:"received"`
	Inserted   int `json:"inserted"`
	Duplicates int `json:"duplicates"`
	Rejected   int `json:"rejected"`
}

// Attempt is one request, and its answer if there was one.
type Attempt struct {
	Call   *Call         `json:"-"`
	Server int           `json:"server"`
	Start  time.Duration `json:"start"` // since the history began
	End    time.Duration `json:"end"`   // when the answer was read, or nothing more could come
	Status int           `json:"status"`
	Error  string        `json:"error,omitempty"` // what came instead of an answer
	Batch  string        `json:"batchId,omitempty"`
	Counts
}

func (a *Attempt) answered() bool { return a.Status == 200 }

// History is every request of a run. Its methods may be called at once.
type History struct {
	begun time.Time

	mu       sync.Mutex
	attempts []*Attempt
}

// NewHistory begins a history.
func NewHistory() *History { return &History{begun: time.Now()} }

// Now is the time of the history, monotonic.
func (h *History) Now() time.Duration { return time.Since(h.begun) }

// Add keeps an attempt that has ended.
func (h *History) Add(a *Attempt) {
	h.mu.Lock()
	h.attempts = append(h.attempts, a)
	h.mu.Unlock()
}

// Attempts is all of them so far, as they ended.
func (h *History) Attempts() []*Attempt {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.attempts)
}

// Write writes the history as JSON, a line an attempt, with the events of its
// call's first rows.
func (h *History) Write(to io.Writer, w *Workload) error {
	encode := json.NewEncoder(to)
	for _, a := range h.Attempts() {
		line := struct {
			Call       int  `json:"call"`
			Idempotent bool `json:"idempotent"`
			Rows       int  `json:"rows"`
			*Attempt
			Keys []int `json:"keys"`
		}{a.Call.ID, a.Call.Idempotent, len(a.Call.Rows), a, a.Call.Rows}
		if err := encode.Encode(line); err != nil {
			return fmt.Errorf("write the history: %w", err)
		}
	}
	return nil
}
