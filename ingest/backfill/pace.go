package backfill

import (
	"context"
	"sync"
	"time"
)

// How many calls are in flight. Every answer widens the window by a share of a call, so that a
// window of answers widens it by one; a refusal (429, 503) halves it, once for all that were
// refused together; and an answer that took longer than slowAnswer narrows it by one: a call that
// waits that long has others before it, and the server gives up at 30 s.
const (
	firstWindow = 2
	slowAnswer  = 10 * time.Second
	easyAnswer  = 5 * time.Second // a slower one does not widen it
	together    = time.Second
)

// pace lets calls go.
type pace struct {
	now func() time.Time

	mu      sync.Mutex
	window  float64
	most    int
	flying  int
	until   time.Time     // nobody goes before: a 429 asked for it
	halved  time.Time     // when it was last narrowed
	changed chan struct{} // closed when somebody may go
}

func newPace(most int) *pace {
	return &pace{now: time.Now, window: float64(min(firstWindow, most)), most: most, changed: make(chan struct{})}
}

// enter waits until a call may go; leave ends it.
func (p *pace) enter(ctx context.Context) error {
	for {
		p.mu.Lock()
		wait := p.until.Sub(p.now())
		if wait <= 0 && p.flying < int(p.window) {
			p.flying++
			p.mu.Unlock()
			return nil
		}
		changed := p.changed
		p.mu.Unlock()
		if wait <= 0 {
			wait = time.Hour // until something changes
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-changed:
		case <-timer.C:
		}
		timer.Stop()
	}
}

func (p *pace) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.flying--
	p.wake()
}

func (p *pace) wake() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// answered tells of an answer.
func (p *pace) answered(took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case took > slowAnswer:
		p.narrow(p.window - 1)
	case took <= easyAnswer:
		p.window = min(p.window+1/p.window, float64(p.most))
		p.wake()
	}
}

// refused tells of a 429 or 503, of which all is to wait.
func (p *pace) refused(all time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.narrow(p.window / 2)
	if until := p.now().Add(all); until.After(p.until) {
		p.until = until
	}
}

func (p *pace) narrow(to float64) {
	if now := p.now(); now.Sub(p.halved) >= together {
		p.window, p.halved = max(to, 1), now
	}
}

// inFlight is how many calls are.
func (p *pace) inFlight() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.flying
}
