package main

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"
)

// sample is the measurements of one contestant.
type sample []time.Duration

func (s sample) quantile(q float64) time.Duration { return quantile(s, q) }

// quantile is a value of the list, zero of an empty one.
func quantile[T cmp.Ordered](list []T, q float64) (value T) {
	if len(list) == 0 {
		return value
	}
	sorted := slices.Sorted(slices.Values(list))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

func (s sample) median() time.Duration { return s.quantile(0.5) }

// String is "median (lower–upper quartile)" in ms.
func (s sample) String() string {
	return fmt.Sprintf("%s (%s–%s)", ms(s.median()), ms(s.quantile(0.25)), ms(s.quantile(0.75)))
}

// ms writes a duration in ms with three digits.
func ms(d time.Duration) string { return threeDigits(float64(d.Nanoseconds()) / 1e6) }

// threeDigits writes a value as its size deserves.
func threeDigits(v float64) string {
	switch {
	case v < 10:
		return fmt.Sprintf("%.2f", v)
	case v < 100:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

// ratio is a over b with two decimals.
func ratio(a, b time.Duration) string { return fmt.Sprintf("%.2f", float64(a)/float64(b)) }

// trial is one measurement: run is timed, check (if not nil) comes after it and
// says whether run did what it should have.
type trial struct {
	run   func(ctx context.Context) error
	check func() error
}

// contestant is one thing to measure; what it has to prepare is not timed.
type contestant struct {
	name    string
	prepare func(round int) (trial, error)
}

// compete runs every contestant once a round, in random order; round 0 warms up
// and is not counted. keep, if not nil, hears each measurement that counts.
func compete(ctx context.Context, rounds int, contestants []contestant, keep func(name string, round int, took time.Duration)) (map[string]sample, error) {
	samples := map[string]sample{}
	for round := range rounds + 1 {
		for _, i := range rand.Perm(len(contestants)) {
			c := contestants[i]
			t, err := c.prepare(round)
			if err != nil {
				return nil, fmt.Errorf("prepare %s: %w", c.name, err)
			}
			runtime.GC() // what preparing left is not the contestant's to pay for
			began := time.Now()
			err = t.run(ctx)
			took := time.Since(began)
			if err == nil && t.check != nil {
				err = t.check()
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
			if round == 0 {
				continue
			}
			samples[c.name] = append(samples[c.name], took)
			if keep != nil {
				keep(c.name, round, took)
			}
		}
	}
	return samples, nil
}
