package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// The contestants, and what else is measured.
const (
	speedNew       = "50,000 new live events"
	speedAgain     = "50,000 live events again, all duplicates"
	speedOld       = "50,000 new old events, no order over five years"
	speedOldDay    = "50,000 new old events of one day"
	speedFew       = "50,000 new live events, 1 M rows stored"
	speedBare      = "bare ClickHouse, JSONEachRow over HTTP"
	speedBareSent  = "the same, events as clients send them to us"
	speedPostgres  = "PostgreSQL, COPY and ON CONFLICT, 5 M rows stored"
	speedNaive     = "naive Go service"
	speedSustained = "20 calls from 4 clients"
	floorSustained = "floor, 20 calls' worth from 1 client"
	speedMany      = "single events, 1,024 connections"
	fiberMany      = "the same requests, Fiber without stores"
	speedSome      = "single events, 64 connections"
	speedPhones    = "50,000 phones in E.164"
	libraryPhones  = "50,000 phones in E.164, libphonenumber"

	speedP99    = "p99"
	speedStored = "stored"
	speedMemory = "memory"
)

// speedRow is a row of the table. Its measured value is, of each round, the time of
// the contestants over (added up) by that of those under; or the figures named figure.
type speedRow struct {
	name, what  string
	must, aim   float64
	atLeast     bool
	unit        string
	over, under []string
	figure      string
	with        []string // contestants that run beside over and under
}

// speedTable is the table of the project's goals for its speed.
func speedTable() []speedRow {
	floor := []string{floorRedis, floorInsert}
	one := func(name string) []string { return []string{name} }
	return []speedRow{
		{name: "floor", what: "a call of 50,000 new live events / its floor (pipeline and bare insert)", must: 1.6, aim: 1.2, over: one(speedNew), under: floor},
		{name: "json", what: "the same / bare ClickHouse, JSONEachRow over HTTP", must: 1.5, aim: 1.0, over: one(speedNew), under: one(speedBare), with: one(speedBareSent)},
		{name: "postgres", what: "the same / PostgreSQL, ON CONFLICT into 5 M rows", must: 0.4, aim: 0.25, over: one(speedNew), under: one(speedPostgres)},
		{name: "duplicates", what: "the same, all duplicates / all new", must: 0.35, aim: 0.2, over: one(speedAgain), under: one(speedNew)},
		{name: "sustained", what: "events a second of 4 clients / of the floor with one", must: 0.7, aim: 1.0, atLeast: true, over: one(floorSustained), under: one(speedSustained)},
		{name: "singles", what: "single events a second, 1,024 connections / Fiber without stores", must: 0.25, aim: 0.45, atLeast: true, over: one(fiberMany), under: one(speedMany)},
		{name: "p99", what: "single events, 64 connections: p99", must: 60, aim: 25, unit: " ms", figure: speedP99, with: one(speedSome)},
		{name: "old", what: "50,000 old events that need the cold check / live ones", must: 2.0, aim: 1.4, over: one(speedOld), under: one(speedNew), with: one(speedOldDay)},
		{name: "naive", what: "naive Go service / ours, 50,000 new live events", must: 5, aim: 10, atLeast: true, over: one(speedNaive), under: one(speedNew)},
		{name: "phones", what: "phones in E.164, libphonenumber / ours", must: 20, aim: 100, atLeast: true, over: one(libraryPhones), under: one(speedPhones)},
		{name: "bytes", what: "bytes in ClickHouse an event, without metadata", must: 12, aim: 8, figure: speedStored, with: one(speedStored)},
		{name: "memory", what: "most memory that the server held under all of these", must: 400, aim: 200, unit: " MiB", figure: speedMemory,
			with: []string{speedMemory, speedNew, speedAgain, speedOld, speedSustained, speedMany, speedSome}},
		{name: "size", what: "a call of 50,000 new live events with all rows stored / with 1 M", must: 1.3, aim: 1.1, over: one(speedNew), under: one(speedFew)},
	}
}

// speedNames lists what --only can name.
func speedNames() string {
	var names []string
	for _, row := range speedTable() {
		names = append(names, row.name)
	}
	return strings.Join(names, ", ")
}

// pickRows are the rows whose name or text the pattern matches.
func pickRows(pattern *regexp.Regexp) []speedRow {
	return slices.DeleteFunc(speedTable(), func(r speedRow) bool {
		return !pattern.MatchString(r.name) && !pattern.MatchString(r.what)
	})
}

// contestantsOf are those without which a row cannot be told.
func contestantsOf(rows []speedRow) map[string]bool {
	needs := map[string]bool{}
	for _, row := range rows {
		for _, name := range slices.Concat(row.over, row.under, row.with) {
			needs[name] = true
		}
	}
	return needs
}

// measured are the row's values, one a round.
func (r speedRow) measured(samples map[string]sample, figures map[string][]float64) ([]float64, error) {
	if r.figure != "" {
		if len(figures[r.figure]) == 0 {
			return nil, fmt.Errorf("%s: nothing was measured", r.what)
		}
		return figures[r.figure], nil
	}
	over, err := inTurn(samples, r.over)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.what, err)
	}
	under, err := inTurn(samples, r.under)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.what, err)
	}
	if len(over) != len(under) {
		return nil, fmt.Errorf("%s: %d rounds beside %d", r.what, len(over), len(under))
	}
	ratios := make([]float64, len(over))
	for i := range over {
		ratios[i] = float64(over[i]) / float64(under[i])
	}
	return ratios, nil
}

// inTurn adds up what contestants took in each round.
func inTurn(samples map[string]sample, names []string) (sample, error) {
	total := slices.Clone(samples[names[0]])
	for _, name := range names {
		if len(samples[name]) == 0 || len(samples[name]) != len(total) {
			return nil, fmt.Errorf("%q has %d rounds", name, len(samples[name]))
		}
	}
	for _, name := range names[1:] {
		for i, took := range samples[name] {
			total[i] += took
		}
	}
	return total, nil
}

// verdict says which goal a value has reached.
func (r speedRow) verdict(value float64) string {
	reaches := func(goal float64) bool { return value <= goal }
	if r.atLeast {
		reaches = func(goal float64) bool { return value >= goal }
	}
	switch {
	case reaches(r.aim):
		return "aim"
	case reaches(r.must):
		return "must"
	}
	return "**no**"
}

func (r speedRow) goal(value float64) string {
	sign := "≤"
	if r.atLeast {
		sign = "≥"
	}
	return fmt.Sprintf("%s %v%s", sign, value, r.unit)
}

// figure notes a value that is no time of a contestant.
func (w *speedWorld) figure(name string, value float64) {
	w.figures[name] = append(w.figures[name], value)
}

// print writes the table, and the times behind it.
func (w *speedWorld) print() error {
	if w.needs[speedMemory] {
		peak, err := w.server.peakMemory()
		if err != nil {
			return err
		}
		w.figure(speedMemory, peak)
	}
	w.report.linef("\n%d rows of %d years are stored; ratios are of the times of one round: median (quartiles) of %d rounds of calls, %d of single events, %d of sustained load.",
		w.rows, speedYears, w.rounds, w.singleRounds(), w.sustainedRounds())
	var rows [][]string
	var errs []error
	for _, row := range w.table {
		values, err := row.measured(w.samples, w.figures)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		median := quantile(values, 0.5)
		text := threeDigits(median) + row.unit
		if len(values) > 1 {
			text += fmt.Sprintf(" (%s–%s)", threeDigits(quantile(values, 0.25)), threeDigits(quantile(values, 0.75)))
		}
		rows = append(rows, []string{row.what, row.goal(row.must), row.goal(row.aim), text, row.verdict(median)})
	}
	w.report.table([]string{"what", "must", "aim", "measured", "reached"}, rows)
	w.times()
	for _, note := range w.notes {
		w.report.linef("%s", note)
	}
	return errors.Join(errs...)
}

// times prints what the contestants took.
func (w *speedWorld) times() {
	events := map[string]float64{
		speedSustained: sustainedCalls * callRows, floorSustained: sustainedCalls * callRows,
		speedMany: manyRequests, fiberMany: manyRequests, speedSome: someRequests,
	}
	var rows [][]string
	for _, name := range []string{
		speedNew, floorRedis, floorInsert, speedBare, speedBareSent, speedPostgres, speedNaive, speedAgain, speedOld, speedOldDay, speedFew,
		speedSustained, floorSustained, speedMany, fiberMany, speedSome, speedPhones, libraryPhones,
	} {
		s, ok := w.samples[name]
		if !ok {
			continue
		}
		n := float64(callRows)
		if other, ok := events[name]; ok {
			n = other
		}
		rows = append(rows, []string{name, s.String(), fmt.Sprintf("%.0f", n/s.median().Seconds())})
	}
	if len(rows) == 0 {
		return
	}
	w.report.linef("The times behind them, ms: median (quartiles).")
	w.report.table([]string{"", "ms", "a second"}, rows)
}
