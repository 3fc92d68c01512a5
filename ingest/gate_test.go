package ingest

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"leadevents"
)

// As many large bodies as there are bulk lanes, and one more, are decoded at
// once; the next waits, a small one does not.
func TestLargeBodiesWaitAndSmallOnesDoNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(2, time.Minute)
		enter := func(size int) (*pass, error) {
			p := &pass{gate: g}
			return p, p.settle(t.Context, size)
		}
		var large []*pass
		for range 3 {
			p, err := enter(MaxBodyBytes)
			if err != nil {
				t.Fatal(err)
			}
			large = append(large, p)
		}
		began := time.Now()
		if p, err := enter(smallBody); err != nil || p.held != 0 || time.Since(began) != 0 {
			t.Errorf("a small body: %v after %v, it holds %d", err, time.Since(began), p.held)
		}
		_, err := enter(smallBody + 1)
		if leadevents.KindOf(err) != leadevents.Unavailable || time.Since(began) != time.Minute {
			t.Errorf("one large body too many: %v after %v", err, time.Since(began))
		}
		if message := err.Error(); message == "" || !strings.Contains(message, "ingest.bulk_lanes") {
			t.Errorf("the refusal names no setting: %s", message)
		}

		entered := make(chan error)
		go func() {
			p, err := enter(MaxBodyBytes)
			if err == nil {
				p.leave()
			}
			entered <- err
		}()
		synctest.Wait()
		select {
		case err := <-entered:
			t.Fatalf("it did not wait: %v", err)
		default:
		}
		large[0].leave()
		large[0].leave() // what left holds nothing that could be given twice
		if err := <-entered; err != nil {
			t.Error(err)
		}

		// A compressed body enters as the largest, and keeps what it turned out to be.
		p, err := enter(MaxBodyBytes)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.settle(t.Context, 5<<20); err != nil || p.held != 5<<20 {
			t.Errorf("it holds %d, %v", p.held, err)
		}
		if err := p.settle(t.Context, 1<<20); err != nil || p.held != leadevents.MaxEvents*rejectBytes { // all of it may be rejects
			t.Errorf("it holds %d, %v", p.held, err)
		}
		if err := p.settle(t.Context, 1000); err != nil || p.held != 0 {
			t.Errorf("it holds %d, %v", p.held, err)
		}
		for _, p := range append(large, p) {
			p.leave()
		}
		if !g.bytes.TryAcquire(3 * MaxBodyBytes) {
			t.Error("not all was given back")
		}
	})
}

// A small body may be 50,000 rows of nothing, and all of them rejects.
func TestSmallBodiesOfVeryManyRowsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(2, time.Minute)
		decode := func(size, rejects int) (*pass, error) {
			p := &pass{gate: g}
			if err := p.decode(t.Context, size); err != nil {
				return nil, err
			}
			p.decoded(rejects)
			return p, nil
		}
		const rows = leadevents.MaxEvents
		var full []*pass
		for range smallRejects / (rows * rejectBytes) {
			if p, err := decode(rows*rowBytes, 3); err != nil || p.small != 0 { // a call as they are
				t.Fatalf("it holds %d, %v", p.small, err)
			}
			p, err := decode(rows*rowBytes, rows)
			if err != nil || p.small != rows*rejectBytes {
				t.Fatalf("it holds %d, %v", p.small, err)
			}
			full = append(full, p)
		}
		began := time.Now()
		if _, err := decode(500, 3); err != nil || time.Since(began) != 0 {
			t.Errorf("a single event: %v after %v", err, time.Since(began))
		}
		if _, err := decode(rows*rowBytes, rows); leadevents.KindOf(err) != leadevents.Unavailable || time.Since(began) != time.Minute {
			t.Errorf("one too many: %v after %v", err, time.Since(began))
		}
		for _, p := range full {
			p.leave()
			p.leave()
		}
		if !g.small.TryAcquire(smallRejects) {
			t.Error("not all was given back")
		}
	})
}
