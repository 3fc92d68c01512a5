package main

import (
	"fmt"
	"strings"
	"time"
)

// print shows what came of the load, and the goals.
func (b *recoveryBench) print(r *report, t timeline, atRest loss, calls, singles *stream) {
	r.linef("\n%d rows within the horizon are stored. %d connections send calls of 50,000 events, %d send single ones, each its next when the last is answered; a fifth of the events repeats stored ones from all over the horizon, the others are new. A 503 is sent again after its Retry-After, and the wait is part of its time.",
		b.rows, b.senders, b.connections)
	var (
		rows   [][]string
		shares [2]float64
	)
	normal := [2]float64{calls.between(t.warm, t.loss.emptied).perSecond, singles.between(t.warm, t.loss.emptied).perSecond}
	for _, phase := range []struct {
		name     string
		from, to time.Time
	}{
		{"normal", t.warm, t.loss.emptied},
		{"emptied, until trusted", t.loss.emptied, t.loss.trusted},
		{"trusted again", t.loss.trusted, t.end},
	} {
		if phase.to.IsZero() {
			continue
		}
		row := []string{phase.name, fmt.Sprintf("%.1f", phase.to.Sub(phase.from).Seconds())}
		for i, st := range []*stream{calls, singles} {
			p := st.between(phase.from, phase.to)
			share := p.perSecond / normal[i]
			if phase.from.Equal(t.loss.emptied) {
				shares[i] = share
			}
			row = append(row, fmt.Sprintf("%.0f", p.perSecond), fmt.Sprintf("%.2f", share),
				ms(p.latencies.quantile(0.5)), ms(p.latencies.quantile(0.99)), fmt.Sprint(p.refused))
		}
		rows = append(rows, row)
	}
	r.table([]string{"", "s", "big calls, events/s", "× normal", "p50 ms", "p99 ms", "503s", "single events/s", "× normal", "p50 ms", "p99 ms", "503s"}, rows)
	r.linef("Thousands of events of big calls in each second from FLUSHALL on: %s.", strings.Join(calls.eachSecond(t.loss.emptied, t.loss.trusted), " "))

	rows = nil
	for _, each := range []struct {
		name string
		loss
	}{{"at rest", atRest}, {"under load", t.loss}} {
		rows = append(rows, []string{each.name, fmt.Sprint(each.keys), fmt.Sprintf("%.1f", each.took().Seconds()), fmt.Sprintf("%.1f", each.per10M().Seconds())})
	}
	r.table([]string{"Redis emptied", "keys rebuilt", "s until trusted", "s for 10 M keys"}, rows)
	r.linef("Goal: at least %.2f × normal until trusted, %s (big calls %.2f, single events %.2f).",
		recoveryShareGoal, verdict(min(shares[0], shares[1]) >= recoveryShareGoal), shares[0], shares[1])
	r.linef("Goal: trusted again within %.0f s for 10 M keys, %s (under load %.1f).",
		recoveryPer10M.Seconds(), verdict(t.loss.late == nil && t.loss.per10M() <= recoveryPer10M), t.loss.per10M().Seconds())
}

// per10M is how long the same would take with 10 million keys.
func (l loss) per10M() time.Duration {
	return time.Duration(float64(l.took()) / float64(max(l.keys, 1)) * 1e7)
}

// eachSecond is the events of each second, in thousands.
func (st *stream) eachSecond(from, to time.Time) (thousands []string) {
	for ; from.Add(time.Second).Before(to); from = from.Add(time.Second) {
		thousands = append(thousands, fmt.Sprintf("%.0f", st.between(from, from.Add(time.Second)).perSecond/1000))
	}
	return thousands
}

// verdict is how a goal is reported.
func verdict(reached bool) string {
	if reached {
		return "reached"
	}
	return "NOT reached"
}
