package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// sizesFor is made-up costs, which grow with the size.
func sizesFor(sizes ...uint64) (all []sizeCost) {
	for i, events := range sizes {
		ms := time.Duration(150+10*i) * time.Millisecond
		all = append(all, sizeCost{events: events, call: sample{ms, ms + 20*time.Millisecond, ms + 40*time.Millisecond}, memory: 90 + float64(i), stored: events, rows: events * 13, states: events * 3, redis: int64(events * 80)})
	}
	return all
}

func TestThePlotIsWellFormedAndShowsEveryValue(t *testing.T) {
	for claim, all := range map[string][]sizeCost{
		"four sizes": sizesFor(10_000, 100_000, 1_000_000, 10_000_000),
		"one size":   sizesFor(10_000),
	} {
		file := filepath.Join(t.TempDir(), "plot.svg")
		p := sizesPlot(all)
		p.note = "a <processor> & more"
		if err := writePlot(file, p); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for d := xml.NewDecoder(strings.NewReader(string(text))); ; {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: no XML: %v", claim, err)
			}
		}
		if strings.Contains(string(text), "NaN") || strings.Contains(string(text), "Inf") {
			t.Errorf("%s: a place is no number:\n%s", claim, text)
		}
		if dots := strings.Count(string(text), "<circle"); dots != 5*len(all) {
			t.Errorf("%s: %d dots for %d sizes", claim, dots, len(all))
		}
		for _, want := range []string{"prefers-color-scheme: dark", "stored events", "10 k", ">events<", ">states<", "MiB", "a &lt;processor&gt; &amp; more"} {
			if !strings.Contains(string(text), want) {
				t.Errorf("%s: nothing says %q", claim, want)
			}
		}
	}
}

// Whatever the values, all of them lie within the panel, and greater ones higher.
func TestAxesHoldTheirValues(t *testing.T) {
	for _, high := range []float64{0.9, 1, 3, 99, 101, 870, 12_345} {
		for name, axis := range map[string]func() (func(float64) float64, []mark){
			"linear":      func() (func(float64) float64, []mark) { return linear(high) },
			"logarithmic": func() (func(float64) float64, []mark) { return logarithmic(high/300, high) },
		} {
			up, rules := axis()
			if top, bottom := up(high), up(high/300); top < 0 || bottom > panelHeight || top >= bottom {
				t.Errorf("%s, up to %g: drawn from %g to %g of %g", name, high, bottom, top, panelHeight)
			}
			if len(rules) < 3 || len(rules) > 8 {
				t.Errorf("%s, up to %g: %d rules", name, high, len(rules))
			}
			for _, r := range rules {
				if r.At < 0 || r.At > panelHeight {
					t.Errorf("%s, up to %g: the rule %s is at %g", name, high, r.Text, r.At)
				}
			}
		}
	}
}
