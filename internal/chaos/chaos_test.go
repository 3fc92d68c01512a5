package chaos

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"
)

const (
	servers     = 2
	clientCount = 12
)

// TestChaos is the harness on the real program.
func TestChaos(t *testing.T) {
	w := newWorld(t, servers, false)
	c := newClients(w)
	injected := w.torment(c, NewPlan(*seed, Kinds, servers, patient), *duration)

	w.heal()
	found := w.readTruth(c.load)
	violations := c.history.Check(found.isStored, found.isStated)
	violations = append(violations, w.checkTables(found)...)
	t.Logf("sending %d calls a second time", len(c.load.Calls()))
	violations = append(violations, c.again(false)...)
	t.Logf("and a third time")
	violations = append(violations, c.again(true)...)
	found = w.readTruth(c.load)
	violations = append(violations, c.history.Check(found.isStored, found.isStated)...)
	violations = append(violations, w.checkTables(found)...)
	for _, s := range w.servers {
		for _, death := range s.deaths() {
			violations = append(violations, Violation{"answer", death})
		}
	}
	w.report(c, injected, violations)
}

// torment lets the clients run while faults of the plan are injected; it returns
// how often each kind was.
func (w *world) torment(c *clients, plan *Plan, during time.Duration) map[Kind]int {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.torment(ctx, clientCount, *seed)
	}()
	defer func() {
		cancel()
		<-ended
	}()
	injected := map[Kind]int{}
	until := time.Now().Add(during)
	for n := 1; time.Now().Before(until); n++ {
		f := plan.Next()
		w.t.Logf("%s fault %d: %s", c.history.Now().Round(time.Millisecond), n, f)
		w.inject(f)
		injected[f.Kind]++
		time.Sleep(f.Pause)
	}
	for _, s := range w.servers {
		s.heal() // what is frozen would hold its clients
	}
	return injected
}

// report says what a run came to; the history stays if it failed.
func (w *world) report(c *clients, injected map[Kind]int, violations []Violation) {
	w.t.Helper()
	attempts := c.history.Attempts()
	answered, inserted, faults := 0, 0, 0
	for _, a := range attempts {
		if a.answered() {
			answered++
			inserted += a.Inserted
		}
	}
	var kinds []string
	for kind, n := range injected {
		faults += n
		kinds = append(kinds, fmt.Sprintf("%s %d", kind, n))
	}
	sort.Strings(kinds)
	w.t.Logf("seed %d: %d faults (%s)", *seed, faults, strings.Join(kinds, ", "))
	w.t.Logf("%d calls, %d requests, %d answered, %d keys inserted by answers, %d violations", len(c.load.Calls()), len(attempts), answered, inserted, len(violations))
	for _, v := range violations[:min(len(violations), 20)] {
		w.t.Errorf("%s", v)
	}
	if len(violations) == 0 {
		return
	}
	file, err := os.CreateTemp("", "leadevents-chaos-*.jsonl")
	if err != nil {
		w.t.Fatal(err)
	}
	defer file.Close()
	if err := c.history.Write(file, c.load); err != nil {
		w.t.Error(err)
	}
	w.t.Logf("%d violations in all; the history is kept in %s, the logs of the servers:", len(violations), file.Name())
	for _, s := range w.servers {
		w.t.Logf("%s\n%s", s.addr, tail(s.log.Name()))
	}
}

// TestTheHarnessCatchesANaiveLedger runs a server that remembers a key before it
// has stored its row. What it loses must be found.
func TestTheHarnessCatchesANaiveLedger(t *testing.T) {
	w := newWorld(t, servers, true)
	c := newClients(w)
	w.torment(c, NewPlan(*seed, []Kind{KillServer, CutReply, CutRequest}, servers, patient), 8*time.Second)
	w.heal()
	found := w.readTruth(c.load)
	violations := c.history.Check(found.isStored, found.isStated)
	lost := slices.IndexFunc(violations, func(v Violation) bool { return v.Invariant == "I1" })
	if lost < 0 {
		t.Fatalf("a server that loses rows went through the harness: %v", violations)
	}
	t.Logf("found: %.300s", violations[lost])
}
