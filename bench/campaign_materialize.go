package main

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"leadevents"
	"leadevents/query/audience"
)

// materializations measures what a send does when it fires: decide, store, and read
// the kept leads as NDJSON.
func (b *campaignBench) materializations(ctx context.Context, r *report, all, tenth *campaignData) error {
	r.linef("\nWithout HTTP: materialization with both filters, and all kept leads read as NDJSON. %d rounds.", b.rounds)
	var rows [][]string
	took := map[string]time.Duration{}
	var memory uint64
	for _, c := range []struct {
		name   string
		d      *campaignData
		layer  leadevents.Layer
		rounds int
	}{
		{fmt.Sprintf("audience of %d, %d events", b.audience, all.events), all, layerAudience, b.rounds},
		{fmt.Sprintf("audience of %d, %d events", b.audience, tenth.events), tenth, layerAudience, b.rounds},
		{fmt.Sprintf("audience of %d, %d events", b.leads, all.events), all, layerHuge, min(b.rounds, 3)},
	} {
		s, err := b.send(ctx, c.d, c.layer, twoFilters(), c.rounds)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		took[c.name], memory = s.both.median(), max(memory, s.memory)
		rows = append(rows, []string{c.name, s.materialize.String(), s.read.String(), s.both.String(), fmt.Sprint(s.kept), fmt.Sprintf("%.0f", s.cpu.Seconds()*1000), fmt.Sprint(s.memory >> 20), fmt.Sprint(s.heap >> 20)})
	}
	r.table([]string{"", "materialize ms", "read ms", "both ms", "kept", "CPU ms", "peak MiB", "Go heap MiB"}, rows)
	r.atMost("10 × the events, times the time", float64(took[rows[0][0]])/float64(took[rows[1][0]]), goalTenfold)
	r.atMost("GiB that a query holds in ClickHouse", float64(memory)/(1<<30), goalMemory)
	return b.kinds(ctx, r, all)
}

// sends are measurements of one materialization.
type sends struct {
	materialize, read, both sample
	kept                    uint64
	cpu                     time.Duration
	memory                  uint64
	heap                    uint64 // of this process, the most
}

// send materializes and reads, rounds times, and warms up before.
func (b *campaignBench) send(ctx context.Context, d *campaignData, layer leadevents.Layer, filters []audience.Filter, rounds int) (*sends, error) {
	s, m := &sends{}, newMeter(d.conn)
	for round := range rounds + 1 {
		run := uint64(leadevents.NewLayer())
		var materialized time.Duration
		var kept int
		runtime.GC()
		heap := watchHeap()
		began := time.Now()
		err := m.around("", func(ctx context.Context) error {
			totals, err := d.ours.Materialize(ctx, campaignOrg, run, b.evaluation(layer, filters), nil)
			if err != nil {
				return err
			}
			materialized, s.kept = time.Since(began), totals.Kept
			kept, err = readNDJSON(ctx, d, run)
			return err
		})(ctx)
		both := time.Since(began)
		s.heap = max(s.heap, heap())
		if err != nil {
			return nil, err
		}
		if uint64(kept) != s.kept {
			return nil, fmt.Errorf("%d leads were read, %d kept", kept, s.kept)
		}
		if err := d.ours.DropRun(ctx, campaignOrg, run); err != nil {
			return nil, err
		}
		if err := waitForMerges(ctx, d.conn); err != nil {
			return nil, err
		}
		if round > 0 {
			s.materialize, s.read, s.both = append(s.materialize, materialized), append(s.read, both-materialized), append(s.both, both)
		}
	}
	var err error
	s.cpu, s.memory, err = m.spent(ctx, "")
	return s, err
}

// readNDJSON writes the lines that an HTTP answer would have, and drops them.
func readNDJSON(ctx context.Context, d *campaignData, run uint64) (leads int, err error) {
	var lines []byte
	err = d.ours.SendLeads(ctx, campaignOrg, run, func(phones []leadevents.Phone, ids []string) error {
		lines = lines[:0]
		for i, p := range phones {
			lines = append(lines, `{"phoneE164":"`...)
			lines = p.AppendTo(lines)
			lines = append(lines, `","externalId":"`...)
			lines = append(lines, ids[i]...)
			lines = append(lines, '"', '}', '\n')
		}
		leads += len(phones)
		return nil
	})
	return leads, err
}

// watchHeap samples what Go holds until it is asked for the most.
func watchHeap() (most func() uint64) {
	var peak atomic.Uint64
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			peak.Store(max(peak.Load(), m.HeapInuse))
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	return func() uint64 {
		close(stop)
		<-ended
		return peak.Load()
	}
}

// kinds measures filters of other kinds, beside each other.
func (b *campaignBench) kinds(ctx context.Context, r *report, d *campaignData) error {
	amount := audience.Condition{Path: "amountUsd", Op: audience.Gt, Value: audience.Value{Kind: audience.NumberValue, Number: audience.NumberOf(100)}}
	r.linef("\nFilters of one kind, the audience of %d, %d events:", b.audience, d.events)
	var rows [][]string
	for _, k := range []struct {
		name   string
		filter audience.Filter
	}{
		{"ever, of the most frequent type", audience.Filter{Mode: audience.Include, EventType: typeMonth, MinCount: 1}},
		{"ever, at least 3", audience.Filter{Mode: audience.Include, EventType: typeMonth, MinCount: 3}},
		{"within 30 days, at least 3", audience.Filter{Mode: audience.Include, EventType: typeMonth, MinCount: 3, Within: within(30 * campaignDay)}},
		{"ever, where amountUsd > 100", audience.Filter{Mode: audience.Include, EventType: "mastery_purchase", MinCount: 1, Where: []audience.Condition{amount}}},
	} {
		filters := []audience.Filter{k.filter}
		samples, err := compete(ctx, b.rounds, []contestant{{k.name, func(int) (trial, error) {
			return trial{run: func(ctx context.Context) error {
				_, err := d.ours.Preview(ctx, campaignOrg, b.evaluation(layerAudience, filters))
				return err
			}}, nil
		}}}, nil)
		if err != nil {
			return fmt.Errorf("%s: %w", k.name, err)
		}
		s, err := b.send(ctx, d, layerAudience, filters, b.rounds)
		if err != nil {
			return fmt.Errorf("%s: %w", k.name, err)
		}
		rows = append(rows, []string{k.name, samples[k.name].String(), s.both.String(), fmt.Sprint(s.kept), fmt.Sprintf("%.0f", s.cpu.Seconds()*1000), fmt.Sprint(s.memory >> 20)})
	}
	r.table([]string{"", "preview ms", "materialize and read ms", "kept", "CPU ms", "peak MiB"}, rows)
	return nil
}
