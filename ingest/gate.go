package ingest

import (
	"context"
	"time"

	"golang.org/x/sync/semaphore"

	"leadevents"
	"leadevents/internal/httpserver"
)

const (
	// smallBody is the size up to which a body does not pass the gate: a single
	// event must not wait behind a backfill.
	smallBody = 256 << 10
	// smallEncoded is the same for a compressed body, whose size is only known
	// when it is decompressed: ours shrinks to an eighth.
	smallEncoded = 32 << 10

	// A row of a body may be two bytes ("1,"), and its reject takes thirty times as
	// much here: 300 bodies of 184 bytes, each 50,000 such rows compressed, held more
	// than a gigabyte.
	rowBytes    = 2
	rejectBytes = 64
	// fewRejects are those of a body that are not counted.
	fewRejects = 64 << 10
	// smallRejects is what all small bodies together may hold of rejects.
	smallRejects = 32 << 20
)

// worst is the most that the rejects of a body of so many bytes can take.
func worst(size int) int64 {
	return int64(min(leadevents.MaxEvents, size/rowBytes)) * rejectBytes
}

// gate bounds the large bodies that are taken apart at once, in bytes. A body
// that waits costs its own bytes, one beyond the gate three to six times as much
// (decompressed, rows, columns, what goes to ClickHouse): eight of 10 MB held
// 500 to 700 MiB without it, most of it waiting for a lane. What it lets
// through keeps all bulk lanes busy, and one call more is ready for the next.
type gate struct {
	bytes *semaphore.Weighted
	small *semaphore.Weighted // of small bodies' rejects; who waits for one of the two holds nothing of the other
	lanes int
	wait  time.Duration
}

func newGate(bulkLanes int, wait time.Duration) *gate {
	return &gate{bytes: semaphore.NewWeighted(int64(bulkLanes+1) * MaxBodyBytes), small: semaphore.NewWeighted(smallRejects), lanes: bulkLanes, wait: wait}
}

// pass is what one body holds of the gate.
type pass struct {
	gate  *gate
	held  int64
	small int64
}

// isLarge says whether a body passes the gate before its size is known.
func isLarge(body *httpserver.Body) bool {
	if body.Encoded() {
		return len(body.Raw()) > smallEncoded
	}
	return len(body.Raw()) > smallBody
}

// enter waits until the body may be decompressed and decoded; the caller leaves.
func (g *gate) enter(up func() context.Context, body *httpserver.Body) (*pass, error) {
	p := &pass{gate: g}
	size := len(body.Raw())
	if body.Encoded() {
		if !isLarge(body) {
			return p, nil // settle will know
		}
		size = MaxBodyBytes
	}
	return p, p.settle(up, size)
}

// settle makes the pass one for size bytes, what the body turned out to have.
func (p *pass) settle(up func() context.Context, size int) error {
	want := max(int64(size), worst(size))
	if size <= smallBody {
		want = 0
	}
	if want <= p.held {
		p.gate.bytes.Release(p.held - want)
		p.held = want
		return nil
	}
	// Nothing is held while more is waited for: held is 0, or all that a body
	// can be.
	if err := p.gate.acquire(up, p.gate.bytes, want-p.held, "large bodies"); err != nil {
		return err
	}
	p.held = want
	return nil
}

// acquire asks for its context only where it waits.
func (g *gate) acquire(up func() context.Context, of *semaphore.Weighted, n int64, who string) error {
	if of.TryAcquire(n) {
		return nil
	}
	ctx, cancel := context.WithTimeout(up(), g.wait)
	defer cancel()
	if err := of.Acquire(ctx, n); err != nil {
		if cause := context.Cause(ctx); isFinal(cause) { // a store has died meanwhile
			return cause
		}
		return leadevents.Wrap(leadevents.Unavailable, err,
			"%s have waited %s to be stored, %d at once (ingest.bulk_lanes); send the same request again in a moment", who, g.wait, g.lanes)
	}
	return nil
}

// decode waits until a small body may be decoded, which may come to rejects alone.
func (p *pass) decode(up func() context.Context, size int) error {
	want := worst(size)
	if size > smallBody || want <= fewRejects {
		return nil
	}
	if err := p.gate.acquire(up, p.gate.small, want, "calls of very many rows"); err != nil {
		return err
	}
	p.small = want
	return nil
}

// room waits until a body of size bytes may be taken apart.
func (p *pass) room(up func() context.Context, size int) error {
	if err := p.settle(up, size); err != nil {
		return err
	}
	return p.decode(up, size)
}

// decoded gives back what the body did not come to.
func (p *pass) decoded(rejects int) {
	keep := int64(rejects) * rejectBytes
	if keep <= fewRejects {
		keep = 0
	}
	if keep < p.small {
		p.gate.small.Release(p.small - keep)
		p.small = keep
	}
}

func (p *pass) leave() {
	p.gate.bytes.Release(p.held)
	p.gate.small.Release(p.small)
	p.held, p.small = 0, 0
}
