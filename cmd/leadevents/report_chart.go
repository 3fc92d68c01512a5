package main

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/mattn/go-runewidth"

	"leadevents"
	"leadevents/query/report"
)

// head is what stands above a chart.
func (a rangeAnswer) head(what, zone string) string {
	format := "2006-01-02 15:04"
	from, to := inZone(a.From, zone), inZone(a.To, zone)
	approximate := ""
	if a.Approximate {
		approximate = ", approximate"
	}
	return fmt.Sprintf("%s, %s to %s %s%s\n", what, from.Format(format), to.Format(format), zone, approximate)
}

// nothing is drawn where there is nothing: an empty chart would not say whether a type
// is misspelt.
const nothing = "There are no such events. `leadevents events --types` shows which types\nthere are, and when the first and the last event of each occurred.\n"

var articles = map[report.Interval]string{report.Minute: "a", report.Hour: "an", report.Day: "a", report.Week: "a", report.Month: "a"}

const (
	// bars of intervals up to so many fit on a screen; more are columns.
	mostBars = 48
	// columnsHigh is how many lines a chart of columns has.
	columnsHigh = 8
	longestName = 32
)

func (a *timeseriesAnswer) chart(c canvas) string {
	var out strings.Builder
	out.WriteString(a.head(string(a.Measure)+" "+articles[a.Interval]+" "+string(a.Interval), a.TimeZone))
	if !slices.ContainsFunc(a.Series, func(s seriesAnswer) bool { return slices.Max(append([]uint64{0}, s.Counts...)) > 0 }) {
		out.WriteString("\n" + nothing)
		return out.String()
	}
	most := uint64(0) // all series have one scale
	for _, s := range a.Series {
		most = max(most, slices.Max(append([]uint64{0}, s.Counts...)))
	}
	for i := range a.Series {
		out.WriteString("\n" + c.left(a.name(i), c.width) + "\n")
		if len(a.Intervals) <= mostBars {
			a.bars(&out, c, a.Series[i].Counts, most)
		} else {
			a.columns(&out, c, a.Series[i].Counts, most)
		}
	}
	out.WriteString(a.cut())
	return trimLines(out.String())
}

// cut says which intervals the range cuts: their bars are short for that alone.
func (a *timeseriesAnswer) cut() string {
	var which []string
	if a.Intervals[0].Before(a.From) {
		which = append(which, "first")
	}
	if zone, err := report.LoadZone(a.TimeZone, "timeZone"); err == nil {
		to := leadevents.MillisOf(a.To)
		next := report.Timeseries{Range: report.Range{From: to, To: to + 1}, Zone: zone, Interval: a.Interval}.Starts()
		if len(next) > 0 && next[0] < to {
			which = append(which, "last")
		}
	}
	if len(which) == 0 {
		return ""
	}
	return fmt.Sprintf("\nThe range has only a part of the %s %s.\n", strings.Join(which, " and the "), a.Interval)
}

func (a *timeseriesAnswer) label(i int) string {
	return inZone(a.Intervals[i], a.TimeZone).Format(timeFormats[a.Interval])
}

// bars are a line an interval.
func (a *timeseriesAnswer) bars(out *strings.Builder, c canvas, counts []uint64, most uint64) {
	digits := len(thousands(most))
	width := max(c.width-len(a.label(0))-digits-4, 1)
	for i, n := range counts {
		fmt.Fprintf(out, "%s  %s  %s\n", a.label(i), right(thousands(n), digits), c.bar(part(n, most), width))
	}
}

// columns are a column an interval, or for several their mean, on one scale for all
// series.
func (a *timeseriesAnswer) columns(out *strings.Builder, c canvas, counts []uint64, most uint64) {
	width := c.width - len(thousands(most)) - 3
	each := (len(counts) + width - 1) / width
	means := func(counts []uint64) (all []float64) {
		for some := range slices.Chunk(counts, each) {
			sum := 0.0
			for _, n := range some {
				sum += float64(n)
			}
			all = append(all, sum/float64(len(some)))
		}
		return all
	}
	top := 0.0
	for _, s := range a.Series {
		top = max(top, slices.Max(means(s.Counts)))
	}
	scale := thousands(uint64(math.Round(top)))
	if top < 10 && each > 1 {
		scale = fmt.Sprintf("%.1f", top)
	}
	shares := means(counts)
	for i := range shares {
		if top > 0 {
			shares[i] /= top
		}
	}
	for i, line := range c.columns(shares, columnsHigh) {
		label := ""
		if i == 0 {
			label = scale
		}
		fmt.Fprintf(out, "%s %s%s\n", right(label, len(scale)), c.sign("┤", "|"), line)
	}
	fmt.Fprintf(out, "%s %s%s\n", right("0", len(scale)), c.sign("┼", "+"), strings.Repeat(c.sign("─", "-"), len(shares)))
	first, last, margin := a.label(0), a.label(len(counts)-1), strings.Repeat(" ", len(scale)+2)
	fmt.Fprintf(out, "%s%s%s%s\n", margin, first, strings.Repeat(" ", max(len(shares)-len(first)-len(last), 1)), last)
	if each > 1 {
		fmt.Fprintf(out, "%sa column is the mean of %d %ss\n", margin, each, a.Interval)
	}
}

// part is the share of n in most.
func part(n, most uint64) float64 {
	if most == 0 {
		return 0
	}
	return float64(n) / float64(most)
}

func (a *breakdownAnswer) chart(c canvas) string {
	var out strings.Builder
	out.WriteString(a.head(fmt.Sprintf("%s by %s", c.plain(a.EventType), c.plain(a.Path)), "UTC") + "\n")
	if a.Total.Events == 0 {
		out.WriteString(nothing)
		return out.String()
	}
	count := func(p partAnswer) uint64 {
		if a.OrderBy == report.Leads {
			return p.Leads
		}
		return p.Events
	}
	head := []string{"", "events", "share", "leads"}
	if n := a.Total.Number; n != nil {
		head = append(head, "sum", "avg", "min", "max")
		for _, q := range n.Quantiles {
			head = append(head, "q"+q.Q.String())
		}
	}
	table := [][]string{head}
	most := uint64(0)
	for _, p := range a.all() {
		name := "total"
		if p.Group != nil {
			name = c.cut(p.Group.String(), longestName)
			most = max(most, count(p))
		}
		share := part(p.Events, a.Total.Events)
		row := []string{name, thousands(p.Events), percent(&share), thousands(p.Leads)}
		if n := p.Number; n != nil {
			row = append(row, text(n.Sum), short(n.Avg), text(n.Min), text(n.Max))
			for _, q := range n.Quantiles {
				row = append(row, text(q.Value))
			}
		}
		table = append(table, row)
	}
	columns := layoutOf(table, c.width, head[0])
	used := -len(gap)
	for _, width := range columns.widths {
		used += width + len(gap)
	}
	for i, row := range table {
		row[0] = c.cut(row[0], columns.widths[0])
		line := columns.line(row)
		if bar := c.width - used - len(gap); i > 0 && i <= len(a.Groups) && bar >= 8 {
			line = runewidth.FillRight(line, used) + gap + c.bar(part(count(a.Groups[i-1]), most), min(bar, 40))
		}
		out.WriteString(line + "\n")
	}
	return trimLines(out.String())
}

// short is a number for people: two decimals.
func short(n *json.Number) string {
	if n == nil {
		return ""
	}
	if f, err := n.Float64(); err == nil && f < 1e15 && f > -1e15 {
		return strings.TrimSuffix(fmt.Sprintf("%.2f", f), ".00")
	}
	return n.String()
}

func (a *funnelAnswer) chart(c canvas) string {
	var out strings.Builder
	out.WriteString(a.head("funnel", "UTC"))
	if a.Steps[0].Leads == 0 {
		fmt.Fprintf(&out, "\nNo lead has an event of the first step, %s, in this time.\n`leadevents events --types` shows which types there are.\n", c.plain(a.Steps[0].EventType))
		return out.String()
	}
	var names []string
	for i, s := range a.Steps {
		names = append(names, fmt.Sprintf("%d %s", i+1, s.EventType))
	}
	name := c.longest(names, min(longestName, c.width/3))
	for _, way := range a.all() {
		out.WriteString("\n")
		if way.Group != nil {
			out.WriteString(c.left(way.Group.String(), c.width) + "\n")
		}
		digits := len(thousands(way.Steps[0].Leads))
		const figures = len("  100.0%")
		bar := max(c.width-name-digits-figures-4, 4)
		for i, s := range way.Steps {
			if i > 0 {
				took := ""
				if s.MedianMillis != nil {
					took = ", median " + period(time.Duration(*s.MedianMillis)*time.Millisecond)
				}
				fmt.Fprintf(&out, "%s  %s %s%s\n", right("", name), c.sign("↓", "v"), percent(s.FromPrevious), took)
			}
			fmt.Fprintf(&out, "%s  %s  %s  %s\n", c.left(names[i], name), right(thousands(s.Leads), digits), right(percent(s.Conversion), figures-2), c.bar(part(s.Leads, way.Steps[0].Leads), bar))
		}
	}
	return trimLines(out.String())
}

func (a *retentionAnswer) chart(c canvas) string {
	var out strings.Builder
	out.WriteString(a.head("retention by "+string(a.Period), a.TimeZone) + "\n")
	most := uint64(0)
	for _, cohort := range a.Cohorts {
		most = max(most, cohort.Leads)
	}
	if most == 0 {
		out.WriteString("No lead has its first such event in this time.\n`leadevents events --types` shows which types there are.\n")
		return out.String()
	}
	label := len(inZone(a.From, a.TimeZone).Format(timeFormats[a.Period]))
	digits := max(len(thousands(most)), len("leads"))
	cell := len("  100.0%")
	cell = max(cell, len(fmt.Sprintf("  %s %d", a.Period, len(a.Cohorts)-1)))
	shown := min(max((c.width-label-digits-2)/cell, 1), len(a.Cohorts))
	fmt.Fprintf(&out, "%s  %s", c.left("first in", label), right("leads", digits))
	for offset := range shown {
		out.WriteString(right(fmt.Sprintf("%s %d", a.Period, offset), cell))
	}
	out.WriteString("\n")
	for _, cohort := range a.Cohorts {
		fmt.Fprintf(&out, "%s  %s", inZone(cohort.Start, a.TimeZone).Format(timeFormats[a.Period]), right(thousands(cohort.Leads), digits))
		for _, share := range cohort.Shares[:min(shown, len(cohort.Shares))] {
			out.WriteString(right(percent(share), cell))
		}
		out.WriteString("\n")
	}
	if rest := len(a.Cohorts) - shown; rest > 0 {
		fmt.Fprintf(&out, "%d more columns do not fit; --format csv has all\n", rest)
	}
	return trimLines(out.String())
}

// trimLines cuts the spaces off the ends of lines.
func trimLines(text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		out.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	return out.String()
}
