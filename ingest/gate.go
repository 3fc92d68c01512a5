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
)

// gate bounds the large bodies that are taken apart at once, in bytes. A body
// that waits costs its own bytes, one beyond the gate three to six times as much
// (decompressed, rows, columns, what goes to ClickHouse): eight of 10 MB held
// 500 to 700 MiB without it, most of it waiting for a lane. What it lets
// through keeps all bulk lanes busy, and one call more is ready for the next.
type gate struct {
	bytes *semaphore.Weighted
	lanes int
	wait  time.Duration
}

func newGate(bulkLanes int, wait time.Duration) *gate {
	return &gate{bytes: semaphore.NewWeighted(int64(bulkLanes+1) * MaxBodyBytes), lanes: bulkLanes, wait: wait}
}

// pass is what one body holds of the gate.
type pass struct {
	gate *gate
	held int64
}

// enter waits until the body may be decompressed and decoded; the caller leaves.
func (g *gate) enter(ctx context.Context, body *httpserver.Body) (*pass, error) {
	p := &pass{gate: g}
	size := len(body.Raw())
	if body.Encoded() {
		if size <= smallEncoded {
			return p, nil // settle will know
		}
		size = MaxBodyBytes
	}
	return p, p.settle(ctx, size)
}

// settle makes the pass one for size bytes, what the body turned out to have.
func (p *pass) settle(ctx context.Context, size int) error {
	want := int64(size)
	if size <= smallBody {
		want = 0
	}
	if want <= p.held {
		p.gate.bytes.Release(p.held - want)
		p.held = want
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, p.gate.wait)
	defer cancel()
	// Nothing is held while more is waited for: held is 0, or all that a body
	// can be.
	if err := p.gate.bytes.Acquire(ctx, want-p.held); err != nil {
		if cause := context.Cause(ctx); isFinal(cause) { // a store has died meanwhile
			return cause
		}
		return leadevents.Wrap(leadevents.Unavailable, err,
			"large bodies have waited %s to be stored, %d at once (ingest.bulk_lanes); send the same request again in a moment", p.gate.wait, p.gate.lanes)
	}
	p.held = want
	return nil
}

func (p *pass) leave() {
	p.gate.bytes.Release(p.held)
	p.held = 0
}
