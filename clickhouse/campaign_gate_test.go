package clickhouse

import (
	"context"
	"runtime"
	"strings"
	"testing"

	"leadevents"
)

func TestGateBoundsWhoWorksAndWhoWaits(t *testing.T) {
	g := newGate(1, evaluationsAtOnce)
	leave, err := g.enter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	entered := make(chan func(), waitingPerPlace)
	for range waitingPerPlace {
		go func() {
			leave, err := g.enter(t.Context())
			if err != nil {
				t.Error(err)
				leave = func() {}
			}
			entered <- leave
		}()
	}
	for g.waiting.Load() < waitingPerPlace {
		runtime.Gosched()
	}
	_, err = g.enter(t.Context())
	if leadevents.KindOf(err) != leadevents.Unavailable || !strings.Contains(err.Error(), "filters.at_once") {
		t.Errorf("one more than may wait: %v", err)
	}
	leave()
	for range waitingPerPlace {
		(<-entered)() // each lets the next one in
	}
	leave, err = g.enter(t.Context())
	if err != nil {
		t.Fatalf("after all have left: %v", err)
	}
	defer leave()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := g.enter(ctx); leadevents.KindOf(err) != leadevents.Unavailable {
		t.Errorf("whoever stops waiting: %v", err)
	}
}
