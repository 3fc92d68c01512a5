package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"leadevents"
	"leadevents/internal/loadgen"
)

// load is which events to make, as flags.
type load struct {
	seed       uint64
	org        uint64
	eventTypes []string
	leads      uint64
	batch      uint64
	events     uint64
	first      uint64
	times      string
	years      int
	inOrder    bool
	now        string
	duplicates float64
	rejects    float64
}

func (l *load) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.Uint64Var(&l.seed, "seed", 1, "the same seed makes the same events")
	f.Uint64Var(&l.org, "org", 1, "organization `id`")
	f.StringSliceVar(&l.eventTypes, "event-type", nil, "event `types`, the most frequent first (twelve of our own without it)")
	f.Uint64Var(&l.leads, "leads", 1_000_000, "size of the pool of leads")
	f.Uint64Var(&l.batch, "batch", 50_000, "events of one call, all of one type")
	f.Uint64Var(&l.events, "events", 100_000, "how many events")
	f.Uint64Var(&l.first, "first", 0, "number of the first event, a multiple of --batch; ranges that overlap repeat events")
	f.StringVar(&l.times, "times", "live", "when they occurred: live (last 5 minutes), horizon (last 72 hours) or history (--years, older than the horizon)")
	f.IntVar(&l.years, "years", 3, "how far back history goes, 1 to 50")
	f.BoolVar(&l.inOrder, "in-order", false, "sorted by occurredAt, oldest first")
	f.StringVar(&l.now, "now", "", "the `moment` that --times counts back from, RFC 3339 (the present without it: say one to get the same bytes again)")
	f.Float64Var(&l.duplicates, "duplicates", 0, "`percent` of the events that take another one's key, below 100")
	f.Float64Var(&l.rejects, "rejects", 0, "`percent` of the events with a phone that must be rejected, below 100")
}

// generator checks the flags and makes their generator.
func (l *load) generator() (*loadgen.Generator, error) {
	now := leadevents.MillisOf(time.Now())
	if l.now != "" {
		t, err := time.Parse(time.RFC3339, l.now)
		if err != nil {
			return nil, fmt.Errorf("--now %q is not a moment like 2026-11-24T12:00:00Z", l.now)
		}
		now = leadevents.MillisOf(t)
	}
	cfg := loadgen.Config{
		Seed: l.seed, Org: leadevents.OrgID(l.org), EventTypes: l.eventTypes, Leads: l.leads, BatchRows: l.batch,
		Repeats: perMille(l.duplicates), Rejects: perMille(l.rejects),
	}
	switch l.times {
	case "live":
		cfg.Times = loadgen.Live(now)
	case "horizon":
		cfg.Times = loadgen.Horizon(now)
	case "history":
		if l.years < 1 || l.years > 50 {
			return nil, fmt.Errorf("--years %d is not between 1 and 50", l.years)
		}
		cfg.Times = loadgen.History(now, l.years, 0)
	default:
		return nil, fmt.Errorf("--times %q is none of live, horizon and history", l.times)
	}
	switch {
	case l.events == 0:
		return nil, fmt.Errorf("--events must be above 0")
	case l.batch == 0:
		return nil, fmt.Errorf("--batch must be above 0")
	case l.first%l.batch != 0:
		return nil, fmt.Errorf("--first %d is not a multiple of --batch %d", l.first, l.batch)
	}
	if l.inOrder {
		cfg.Times.InOrder = l.first + l.events
	}
	return loadgen.New(cfg)
}

func perMille(percent float64) uint64 {
	if percent < 0 {
		return 1000 // refused by loadgen.New
	}
	return uint64(percent*10 + 0.5)
}
