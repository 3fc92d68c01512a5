package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"text/template"
	"time"
)

// plot is small multiples over one kind of x, whose axis is logarithmic: four panels,
// two by two.
type plot struct {
	title, note, axis string
	panels            []panel
}

// panel is one measure.
type panel struct {
	name, unit string
	log        bool // its y is logarithmic; else it begins at 0
	curves     []curve
}

// curve is one line; low and high, where there are any, are a band around it.
type curve struct {
	name         string // empty if it is the only one
	x, y         []float64
	low, high    []float64
	text         func(float64) string // of a value, beside its dot
	belowTheLine bool                 // the values stand there, so that two curves keep theirs apart
}

// The picture's measures, in px. It is shown about 850 wide.
const (
	plotWidth, plotHeight   = 860, 640
	panelWidth, panelHeight = 330.0, 190.0
	panelLeft, panelTop     = 74.0, 100.0
	panelStepX, panelStepY  = 418.0, 280.0
	panelInset              = 22.0 // of the first and last x, so that dots do not stand on the edge
)

//go:embed plot.svg.tmpl
var plotText string

// plotTemplate is the picture: numbers and our own words only, nothing that a user wrote.
var plotTemplate = template.Must(template.New("plot").Parse(plotText))

// What the template is given.
type (
	drawing struct {
		Width, Height                    int
		PanelWidth, PanelHeight, TickEnd float64
		Title, Note, Axis                string
		Panels                           []drawnPanel
	}
	drawnPanel struct {
		X, Y         float64
		Name, Unit   string
		Rules, Ticks []mark
		Curves       []drawnCurve
	}
	drawnCurve struct {
		Class, Name, Line, Range string
		Key                      float64
		Dots                     []dot
	}
	mark struct {
		At   float64
		Text string
	}
	dot struct {
		X, Y, Off    float64
		Text, Anchor string
	}
)

func writePlot(file string, p plot) error {
	var out bytes.Buffer
	if err := plotTemplate.Execute(&out, p.draw()); err != nil {
		return fmt.Errorf("draw the plot: %w", err)
	}
	if err := os.WriteFile(file, out.Bytes(), 0o644); err != nil {
		return fmt.Errorf("write the plot: %w", err)
	}
	return nil
}

func (p plot) draw() drawing {
	d := drawing{
		Width: plotWidth, Height: plotHeight, PanelWidth: panelWidth, PanelHeight: panelHeight, TickEnd: panelHeight + 5,
		Title: p.title, Note: p.note, Axis: p.axis,
	}
	for i, panel := range p.panels {
		drawn := panel.draw()
		drawn.X, drawn.Y = panelLeft+float64(i%2)*panelStepX, panelTop+float64(i/2)*panelStepY
		d.Panels = append(d.Panels, drawn)
	}
	return d
}

// spread is the least and the greatest of all values.
func spread(lists ...[]float64) (low, high float64) {
	low, high = math.Inf(1), math.Inf(-1)
	for _, list := range lists {
		for _, v := range list {
			low, high = min(low, v), max(high, v)
		}
	}
	return low, high
}

func (p panel) draw() drawnPanel {
	var xs, ys [][]float64
	for _, c := range p.curves {
		xs, ys = append(xs, c.x), append(ys, c.y, c.low, c.high)
	}
	firstX, lastX := spread(xs...)
	across := func(x float64) float64 {
		if firstX == lastX {
			return panelWidth / 2
		}
		return round(panelInset + (panelWidth-2*panelInset)*math.Log(x/firstX)/math.Log(lastX/firstX))
	}
	low, high := spread(ys...)
	up, rules := linear(high)
	if p.log {
		up, rules = logarithmic(low, high)
	}
	d := drawnPanel{Name: p.name, Unit: p.unit, Rules: rules}
	for _, x := range p.curves[0].x {
		d.Ticks = append(d.Ticks, mark{across(x), thousands(x)})
	}
	for i, c := range p.curves {
		drawn := drawnCurve{Class: string(rune('a' + i)), Name: c.name, Key: float64(12 + 18*i)}
		var line, band, back []string
		for k, x := range c.x {
			at := func(y float64) string { return fmt.Sprintf("%g,%g", across(x), up(y)) }
			line = append(line, at(c.y[k]))
			if c.low != nil {
				band, back = append(band, at(c.high[k])), append([]string{at(c.low[k])}, back...)
			}
			off := -10.0
			if c.belowTheLine {
				off = 18
			}
			drawn.Dots = append(drawn.Dots, dot{X: across(x), Y: up(c.y[k]), Off: off, Text: c.text(c.y[k]), Anchor: "middle"})
		}
		drawn.Line, drawn.Range = strings.Join(line, " "), strings.Join(append(band, back...), " ")
		d.Curves = append(d.Curves, drawn)
	}
	return d
}

// round is to a tenth of a px: the file is read by people too.
func round(v float64) float64 { return math.Round(v*10) / 10 }

// linear is an axis from 0 to a little more than high, with a rule at each round step.
func linear(high float64) (up func(float64) float64, rules []mark) {
	step := math.Pow(10, math.Floor(math.Log10(high)))
	for _, part := range []float64{0.2, 0.25, 0.5, 1, 2, 2.5, 5} {
		if high/(step*part) <= 5 {
			step *= part
			break
		}
	}
	top := math.Ceil(high*1.12/step) * step // room for the value beside the highest dot
	up = func(y float64) float64 { return round(panelHeight * (1 - y/top)) }
	for y := 0.0; y <= top*1.001; y += step {
		rules = append(rules, mark{up(y), fmt.Sprintf("%g", round(y))})
	}
	return up, rules
}

// logarithmic is an axis of whole powers of ten around low and high; both are sizes in
// MiB above 0.
func logarithmic(low, high float64) (up func(float64) float64, rules []mark) {
	bottom, top := math.Floor(math.Log10(low)), math.Ceil(math.Log10(high*1.5))
	up = func(y float64) float64 { return round(panelHeight * (top - math.Log10(y)) / (top - bottom)) }
	for power := bottom; power <= top; power++ {
		value := math.Pow(10, power)
		rules = append(rules, mark{up(value), strconv.FormatFloat(value, 'f', max(0, -int(power)), 64)})
	}
	return up, rules
}

// thousands writes a count of events: 10 k, 1 M.
func thousands(n float64) string {
	if n >= 1e6 {
		return fmt.Sprintf("%g M", n/1e6)
	}
	return fmt.Sprintf("%g k", n/1e3)
}

// sizesPlot is what the benchmark sizes shows.
func sizesPlot(all []sizeCost) plot {
	const mib = 1 << 20
	of := func(f func(c sizeCost) float64) (ys []float64) {
		for _, c := range all {
			ys = append(ys, f(c))
		}
		return ys
	}
	x := of(func(c sizeCost) float64 { return float64(c.events) })
	inMS := func(q float64) func(sizeCost) float64 {
		return func(c sizeCost) float64 { return float64(c.call.quantile(q)) / float64(time.Millisecond) }
	}
	whole := func(v float64) string { return fmt.Sprintf("%.0f", v) }
	return plot{
		title: "What stored events cost",
		note:  fmt.Sprintf("%s; make bench-sizes at commit %s, %s", machine(), commit(), time.Now().UTC().Format(time.DateOnly)),
		axis:  "stored events",
		panels: []panel{
			{name: "One more call of 50,000 events", unit: "ms (median, quartiles)", curves: []curve{{x: x, y: of(inMS(0.5)), low: of(inMS(0.25)), high: of(inMS(0.75)), text: whole}}},
			{name: "Memory of the server", unit: "MiB at most", curves: []curve{{x: x, y: of(func(c sizeCost) float64 { return c.memory }), text: whole}}},
			{name: "Disk of ClickHouse", unit: "MiB", log: true, curves: []curve{
				{name: "events", x: x, y: of(func(c sizeCost) float64 { return float64(c.rows) / mib }), text: threeDigits},
				{name: "states", x: x, y: of(func(c sizeCost) float64 { return float64(c.states) / mib }), text: threeDigits, belowTheLine: true},
			}},
			{name: "Memory of Redis", unit: "MiB of keys", log: true, curves: []curve{{x: x, y: of(func(c sizeCost) float64 { return float64(c.redis) / mib }), text: threeDigits}}},
		},
	}
}
