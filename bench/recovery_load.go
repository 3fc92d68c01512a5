package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"leadevents"
	"leadevents/internal/loadgen"
)

const (
	// storedBatch: stored events have come in calls of 20, so that every type is
	// all over the horizon.
	storedBatch = 20
	// Of five events one is a repeat of a stored one, from anywhere in the horizon:
	// while the ledger is suspect, that makes a call's look-up one through all of
	// its type.
	repeatOneIn = 5
	freshOfCall = callRows - callRows/repeatOneIn
)

// recoveryLoad is what is stored and what is sent, each key known to be the one
// or the other: they have stretches of time of their own, all within the horizon
// as long as a run may take.
type recoveryLoad struct {
	rows   uint64 // that are stored
	stored *loadgen.Generator
	// The new events of big calls and of single ones, and how many there are.
	calls, singles         *loadgen.Generator
	mostCalls, mostSingles uint64
}

func newRecoveryLoad(org leadevents.OrgID, rows uint64, now leadevents.Millis) (*recoveryLoad, error) {
	const (
		oldest = 71 * time.Hour // at the end of an hour's run still a key that Redis alone decides
		calls  = 31 * time.Hour // 2,430 calls, of 4 to 10 a second
		single = 4 * time.Hour  // 14 million
	)
	l := &recoveryLoad{
		rows:        rows,
		mostCalls:   uint64((calls - single).Milliseconds()) / freshOfCall,
		mostSingles: uint64(single.Milliseconds()),
	}
	var err error
	if l.stored, err = ordered(org, 1, storedBatch, rows, now.Add(-oldest), now.Add(-calls)); err != nil {
		return nil, err
	}
	if l.calls, err = ordered(org, 2, freshOfCall, l.mostCalls*freshOfCall, now.Add(-calls), now.Add(-single)); err != nil {
		return nil, err
	}
	l.singles, err = ordered(org, 3, 1, l.mostSingles, now.Add(-single), now)
	return l, err
}

// fill stores the rows that the load repeats.
func (l *recoveryLoad) fill(ctx context.Context, conn driver.Conn) error {
	if err := conn.Exec(ctx, l.stored.InsertSQL("lead_events", 0, l.rows)); err != nil {
		return fmt.Errorf("store %d rows: %w", l.rows, err)
	}
	// What a server stores has a receipt.
	if err := conn.Exec(ctx, `INSERT INTO batches (organization_id, batch_id, version, state, event_type, received, inserted, created_at, finished_at)
		SELECT organization_id, batch_id, 1, 'done', any(event_type), count(), count(), min(ingested_at), min(ingested_at)
		FROM lead_events GROUP BY organization_id, batch_id`); err != nil {
		return fmt.Errorf("store the receipts of %d rows: %w", l.rows, err)
	}
	if err := waitForMerges(ctx, conn); err != nil {
		return err
	}
	n, err := storedKeys(ctx, conn)
	if err == nil && n != l.rows {
		err = fmt.Errorf("%d keys are stored of %d rows", n, l.rows)
	}
	return err
}

// storedKeys counts the keys that are stored.
func storedKeys(ctx context.Context, conn driver.Conn) (n uint64, err error) {
	if err := conn.QueryRow(ctx, "SELECT count() FROM lead_events FINAL").Scan(&n); err != nil {
		return 0, fmt.Errorf("count the stored keys: %w", err)
	}
	return n, nil
}

// request is a call whose answer is known.
type request struct {
	body           []byte
	fresh, repeats int
}

// call makes big call number n, the same whenever it is made; b is reused.
func (l *recoveryLoad) call(b []byte, n uint64) (request, error) {
	if n >= l.mostCalls {
		return request{}, fmt.Errorf("the load has only %d big calls: choose fewer --seconds or --rows", l.mostCalls)
	}
	var (
		random    = rand.New(rand.NewPCG(4, n))
		eventType = l.stored.EventType(random.Uint64N(l.rows) / storedBatch)
		fresh     = n * freshOfCall
		e         loadgen.Event
	)
	b = appendHead(b[:0], l.stored.Config().Org, eventType)
	for i := range callRows {
		if i > 0 {
			b = append(b, ',')
		}
		if i%repeatOneIn == 0 {
			repeat := random.Uint64N(l.rows)
			for l.stored.EventType(repeat/storedBatch) != eventType {
				repeat = random.Uint64N(l.rows)
			}
			l.stored.Event(repeat, &e)
		} else {
			l.calls.Event(fresh, &e)
			fresh++
		}
		b = e.AppendJSON(b)
	}
	return request{append(b, "]}"...), freshOfCall, callRows - freshOfCall}, nil
}

// isRepeat says whether single event number n repeats a stored one.
func isRepeat(n uint64) bool { return n%repeatOneIn == 0 }

// single makes single event number n, the same whenever it is made; b is reused.
func (l *recoveryLoad) single(b []byte, n uint64) (request, error) {
	if n >= l.mostSingles {
		return request{}, fmt.Errorf("the load has only %d single events: choose fewer --seconds or --rows", l.mostSingles)
	}
	var (
		r = request{fresh: 1}
		e loadgen.Event
	)
	if isRepeat(n) {
		r = request{repeats: 1}
		l.stored.Event(rand.New(rand.NewPCG(5, n)).Uint64N(l.rows), &e)
	} else {
		l.singles.Event(n, &e)
	}
	b = e.AppendJSON(appendHead(b[:0], l.stored.Config().Org, e.EventType))
	r.body = append(b, "]}"...)
	return r, nil
}
