package query

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"leadevents"
)

// lockTable is the locks of several processes that share one.
type lockTable struct {
	mu    sync.Mutex
	held  map[string]bool
	asked int
	err   error
}

// Hold implements Locks.
func (l *lockTable) Hold(_ context.Context, name string, _ time.Duration) (bool, func(), error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked++
	if l.err != nil || l.held[name] {
		return false, nil, l.err
	}
	l.held[name] = true
	return true, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.held, name)
	}, nil
}

func TestOneAtATimeHasTheTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := &lockTable{held: map[string]bool{}}
		processes := []turns{newTurns(table), newTurns(table)}
		var (
			workers sync.WaitGroup
			mu      sync.Mutex
			working = map[string]int{}
			most    int
		)
		began := time.Now()
		for i := range 20 {
			workers.Go(func() {
				name := [...]string{"a", "b"}[i%2]
				release, err := processes[i/2%2].take(t.Context(), name)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				if working[name]++; working[name] > 1 {
					t.Errorf("two have the turn %s", name)
				}
				most = max(most, working["a"]+working["b"])
				mu.Unlock()
				time.Sleep(time.Second)
				mu.Lock()
				working[name]--
				mu.Unlock()
				release()
			})
		}
		workers.Wait()
		if took := time.Since(began); took < 10*time.Second || took > 15*time.Second || most != 2 {
			t.Errorf("ten turns of a second under each of two names took %s; %d at once", took, most)
		}
		for _, p := range processes {
			if len(p.queues) != 0 {
				t.Errorf("%d queues are left", len(p.queues))
			}
		}
	})
}

func TestATurnIsNotWaitedForForever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := &lockTable{held: map[string]bool{"a": true}}
		p := newTurns(table)
		var waiters sync.WaitGroup
		for range 2 { // the first asks the lock, the second waits for the first
			waiters.Go(func() {
				began := time.Now()
				_, err := p.take(t.Context(), "a")
				e, ok := errors.AsType[*leadevents.Error](err)
				if !ok || e.Kind != leadevents.Unavailable || e.RetryAfter == 0 || time.Since(began) != turnWait {
					t.Errorf("after %s: %v", time.Since(began), err)
				}
			})
		}
		waiters.Wait()
		if table.asked > 200 || len(p.queues) != 0 {
			t.Errorf("the lock was asked for %d times; %d queues are left", table.asked, len(p.queues))
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := p.take(ctx, "a"); leadevents.KindOf(err) != leadevents.Unavailable {
			t.Errorf("under a context that has ended: %v", err)
		}
		table.err = errors.New("no Redis")
		if _, err := p.take(t.Context(), "b"); !errors.Is(err, table.err) || len(p.queues) != 0 {
			t.Errorf("without locks: %v", err)
		}
		if _, free, err := p.try(t.Context(), "b"); free || !errors.Is(err, table.err) {
			t.Errorf("try without locks: %v, %v", free, err)
		}
	})
}

func TestWhichLayersAreMerged(t *testing.T) {
	for _, tc := range []struct {
		leads []uint64
		from  int
	}{
		{[]uint64{1}, 0},
		{[]uint64{5, 4}, 1},
		{[]uint64{4, 4}, 0},
		{[]uint64{100, 1, 1, 1}, 1},
		{[]uint64{3, 1, 1, 1}, 0},
		{[]uint64{1, 100, 1}, 0},
		{[]uint64{1000, 100, 60, 50, 1}, 1},
		{[]uint64{8, 4, 2, 1}, 3},
		{[]uint64{5, 0, 0}, 1},
	} {
		var content []leadevents.AudienceCommit
		for _, n := range tc.leads {
			content = append(content, leadevents.AudienceCommit{Leads: n})
		}
		if got := mergeFrom(content); got != tc.from {
			t.Errorf("of %v from %d on; want %d", tc.leads, got, tc.from)
		}
	}
}

func TestACursorIsOfOneListAndOrganization(t *testing.T) {
	cursor := writeCursor("a1", 42, "x.y")
	if position, err := readCursor("a1", 42, cursor); err != nil || position != "x.y" {
		t.Errorf("%q, %v", position, err)
	}
	for name, read := range map[string]func() (string, error){
		"another organization": func() (string, error) { return readCursor("a1", 4, cursor) },
		"another list":         func() (string, error) { return readCursor("b1", 42, cursor) },
		"no cursor":            func() (string, error) { return readCursor("a1", 42, "x") },
		"a cursor cut":         func() (string, error) { return readCursor("a1", 42, cursor[:4]) },
	} {
		if position, err := read(); leadevents.KindOf(err) != leadevents.InvalidRequest {
			t.Errorf("%s: %q, %v", name, position, err)
		}
	}
}
