package main

import (
	"context"
	"fmt"
	"time"
)

// Goals of the issue, and what they aim at.
const (
	goalPreview      = 500 * time.Millisecond
	aimPreview       = 300 * time.Millisecond
	goalWindow       = 150 * time.Millisecond
	goalHugePreview  = 5 * time.Second
	goalMaterialize  = 1500 * time.Millisecond
	aimMaterialize   = 800 * time.Millisecond
	goalHugeSend     = 15 * time.Second
	goalMemory       = 1.5 // GiB of a query at ClickHouse
	goalOverObvious  = 4.0
	goalOverPostgres = 10.0
	goalTenfold      = 3.0
	goalServerMemory = 300 // MiB of the server's process
	goalIngestSlower = 1.0 / 3
)

// goal is a line that says whether a time was reached.
func (r *report) goal(what string, took, goal, aim time.Duration) {
	verdict := "reached"
	if took > goal {
		verdict = "NOT reached"
	}
	text := fmt.Sprintf("Goal: %s within %s ms, %s: %s", what, ms(goal), verdict, ms(took))
	if aim > 0 {
		text += fmt.Sprintf(" (the aim is %s)", ms(aim))
	}
	r.linef("%s.", text)
}

// atLeast is a line that says whether a ratio was reached, atMost its mirror.
func (r *report) atLeast(what string, reached, goal float64) {
	verdict := "reached"
	if reached < goal {
		verdict = "NOT reached"
	}
	r.linef("Goal: %s, at least %v ×, %s: %.2f ×.", what, goal, verdict, reached)
}

func (r *report) atMost(what string, reached, goal float64) {
	verdict := "reached"
	if reached > goal {
		verdict = "NOT reached"
	}
	r.linef("Goal: %s, at most %.2f, %s: %.2f.", what, goal, verdict, reached)
}

// previews measures every way to count the audience, then ours alone where the
// others are no match: the huge audience, a tenth of the events, one window.
func (b *campaignBench) previews(ctx context.Context, r *report, all, tenth *campaignData) error {
	ways := b.ways(all, layerAudience)
	samples, err := b.contest(ctx, r, all, fmt.Sprintf("Preview of an audience of %d, %d events: excluded who ever had %s, included who had %s within 30 days.", b.audience, all.events, typeNever, typeMonth), ways)
	if err != nil {
		return err
	}
	r.atLeast("faster than the obvious query", float64(samples[wayObvious].median())/float64(samples[wayOurs].median()), goalOverObvious)
	if err := b.tenfold(ctx, r, all, tenth); err != nil {
		return err
	}

	huge := b.ways(all, layerHuge)
	_, err = b.contest(ctx, r, all, fmt.Sprintf("The same filters of an audience of %d, %d events.", b.leads, all.events), []campaignWay{huge[0], huge[1], huge[len(huge)-2]})
	if err != nil {
		return err
	}
	return b.windows(ctx, r, all)
}

// tenfold measures ours over all the events and over a tenth of them, in turn and by
// themselves: beside queries that take gigabytes the larger one would meet cold caches,
// and the other not.
func (b *campaignBench) tenfold(ctx context.Context, r *report, all, tenth *campaignData) error {
	m := newMeter(all.conn)
	var contestants []contestant
	for _, d := range []*campaignData{tenth, all} {
		name := fmt.Sprintf("%d events", d.events)
		contestants = append(contestants, contestant{name, func(int) (trial, error) {
			return trial{run: m.around(name, func(ctx context.Context) error {
				_, err := d.ours.Preview(ctx, campaignOrg, b.evaluation(layerAudience, twoFilters()))
				return err
			})}, nil
		}})
	}
	rounds := 3 * b.rounds
	samples, err := compete(ctx, rounds, contestants, nil)
	if err != nil {
		return err
	}
	first := samples[contestants[0].name].median()
	var rows [][]string
	for _, c := range contestants {
		cpu, memory, err := m.spent(ctx, c.name)
		if err != nil {
			return err
		}
		s := samples[c.name]
		rows = append(rows, []string{c.name, s.String(), ratio(s.median(), first), fmt.Sprintf("%.0f", cpu.Seconds()*1000), fmt.Sprint(memory >> 20)})
	}
	r.linef("\nOurs, of the same audience, in turn with and without nine tenths of the events. %d rounds.", rounds)
	r.table([]string{"", "ms", "× a tenth", "CPU ms", "peak MiB"}, rows)
	r.atMost("10 × the events, times the time", float64(samples[contestants[1].name].median())/float64(first), goalTenfold)
	return nil
}

// contest measures ways that must agree.
func (b *campaignBench) contest(ctx context.Context, r *report, d *campaignData, title string, ways []campaignWay) (map[string]sample, error) {
	m := newMeter(d.conn)
	want := uint64(0)
	var contestants []contestant
	for _, w := range ways {
		contestants = append(contestants, contestant{w.name, func(int) (trial, error) {
			var kept uint64
			run := m.around(w.name, func(ctx context.Context) (err error) {
				kept, err = w.ask(ctx)
				return err
			})
			return trial{run, func() error {
				if want == 0 {
					want = kept
				}
				if kept != want || kept == 0 {
					return fmt.Errorf("kept %d, another way %d", kept, want)
				}
				return nil
			}}, nil
		}})
	}
	samples, err := compete(ctx, b.rounds, contestants, nil)
	if err != nil {
		return nil, err
	}
	var rows [][]string
	for _, w := range ways {
		cpu, memory, err := m.spent(ctx, w.name)
		if err != nil {
			return nil, err
		}
		s := samples[w.name]
		rows = append(rows, []string{w.name, s.String(), ratio(s.median(), samples[ways[0].name].median()), fmt.Sprintf("%.0f", cpu.Seconds()*1000), fmt.Sprint(memory >> 20)})
	}
	r.linef("\n%s %d leads are kept. %d rounds; the server's processor time, and the most memory of a query.", title, want, b.rounds)
	r.table([]string{"", "ms", "× ours", "CPU ms", "peak MiB"}, rows)
	return samples, nil
}

// windows measures filters with one window each.
func (b *campaignBench) windows(ctx context.Context, r *report, d *campaignData) error {
	var ways []campaignWay
	var names []string
	for _, w := range []struct {
		name    string
		minutes int
	}{{"120 minutes", 120}, {"1 day", campaignDay}, {"7 days", 7 * campaignDay}, {"30 days", 30 * campaignDay}, {"a year", 365 * campaignDay}} {
		names = append(names, w.name)
		ways = append(ways, campaignWay{w.name, func(ctx context.Context) (uint64, error) {
			totals, err := d.ours.Preview(ctx, campaignOrg, b.evaluation(layerAudience, windowed(w.minutes)))
			return totals.Kept, err
		}})
	}
	var rows [][]string
	for i, w := range ways {
		m := newMeter(d.conn)
		var kept uint64
		samples, err := compete(ctx, b.rounds, []contestant{{w.name, func(int) (trial, error) {
			return trial{run: m.around(w.name, func(ctx context.Context) (err error) {
				kept, err = w.ask(ctx)
				return err
			})}, nil
		}}}, nil)
		if err != nil {
			return err
		}
		cpu, memory, err := m.spent(ctx, w.name)
		if err != nil {
			return err
		}
		rows = append(rows, []string{names[i], samples[w.name].String(), fmt.Sprint(kept), fmt.Sprintf("%.0f", cpu.Seconds()*1000), fmt.Sprint(memory >> 20)})
		if i == 0 {
			defer r.goal("a preview of one filter with a window of 120 minutes", samples[w.name].median(), goalWindow, 0)
		}
	}
	r.linef("\nPreview of the audience with one filter: included who had %s within …", typeMonth)
	r.table([]string{"", "ms", "kept", "CPU ms", "peak MiB"}, rows)
	return nil
}
