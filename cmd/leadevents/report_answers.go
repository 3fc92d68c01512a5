package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"leadevents/query/report"
)

// answered is a report's answer that can be shown.
type answered interface {
	// chart draws it.
	chart(c canvas) string
	// rows are it as a table, the numbers as they came.
	rows() (head []string, rows [][]string)
}

// groupAnswer is the name of a group.
type groupAnswer struct {
	Kind  report.GroupKind
	Value json.RawMessage
}

// String is the group for people: a string without its quotes, what is no value in
// parentheses. An empty string, or one that might be taken for something else, keeps
// its quotes.
func (g *groupAnswer) String() string {
	if g.Kind != report.OfValue {
		return "(" + string(g.Kind) + ")"
	}
	var text string
	if json.Unmarshal(g.Value, &text) != nil || text == "" || strings.TrimSpace(text) != text || text[0] == '(' || text[0] == '"' || json.Valid([]byte(text)) || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return string(g.Value)
	}
	return text
}

// cells are the group in a table: its kind, and its value as JSON.
func (g *groupAnswer) cells() []string { return []string{string(g.Kind), string(g.Value)} }

type rangeAnswer struct {
	From, To    time.Time
	Approximate bool
}

// timeFormats are how the start of an interval is written, in the report's time zone.
var timeFormats = map[report.Interval]string{
	report.Minute: "2006-01-02 15:04", report.Hour: "2006-01-02 15:04", report.Day: "Mon 2006-01-02", report.Week: "2006-01-02", report.Month: "2006-01",
}

func inZone(t time.Time, zone string) time.Time {
	if z, err := report.LoadZone(zone, "timeZone"); err == nil {
		return t.In(z.Location)
	}
	return t
}

type timeseriesAnswer struct {
	rangeAnswer
	Measure   report.Measure
	Interval  report.Interval
	TimeZone  string
	Intervals []time.Time
	Series    []seriesAnswer
}

type seriesAnswer struct {
	EventType string
	Group     *groupAnswer
	Counts    []uint64
}

// name is a series' name for people.
func (a *timeseriesAnswer) name(i int) string {
	if s := a.Series[i]; s.Group != nil {
		return s.EventType + " " + s.Group.String()
	}
	return a.Series[i].EventType
}

func (a *timeseriesAnswer) rows() (head []string, rows [][]string) {
	head = []string{"start", "eventType", "group", "value", string(a.Measure)}
	for i, start := range a.Intervals {
		for _, s := range a.Series {
			group := []string{"", ""}
			if s.Group != nil {
				group = s.Group.cells()
			}
			rows = append(rows, []string{inZone(start, a.TimeZone).Format(time.RFC3339), s.EventType, group[0], group[1], strconv.FormatUint(s.Counts[i], 10)})
		}
	}
	return head, rows
}

type numbersAnswer struct {
	Events    uint64
	Sum       *json.Number
	Avg       *json.Number
	Min, Max  *json.Number
	Quantiles []struct {
		Q     json.Number
		Value *json.Number
	}
}

type partAnswer struct {
	Group  *groupAnswer
	Events uint64
	Leads  uint64
	Number *numbersAnswer
}

type breakdownAnswer struct {
	rangeAnswer
	EventType, Path string
	OrderBy         report.Measure
	Groups          []partAnswer
	Total           partAnswer
}

// all are the groups and the total.
func (a *breakdownAnswer) all() []partAnswer {
	return append(append([]partAnswer{}, a.Groups...), a.Total)
}

func (a *breakdownAnswer) rows() (head []string, rows [][]string) {
	head = []string{"group", "value", "events", "leads"}
	for _, p := range a.all() {
		row := []string{"total", ""}
		if p.Group != nil {
			row = p.Group.cells()
		}
		row = append(row, strconv.FormatUint(p.Events, 10), strconv.FormatUint(p.Leads, 10))
		if n := p.Number; n != nil {
			row = append(row, strconv.FormatUint(n.Events, 10), text(n.Sum), text(n.Avg), text(n.Min), text(n.Max))
			for _, q := range n.Quantiles {
				row = append(row, text(q.Value))
			}
		}
		rows = append(rows, row)
	}
	if n := a.Total.Number; n != nil {
		head = append(head, "numbers", "sum", "avg", "min", "max")
		for _, q := range n.Quantiles {
			head = append(head, "q"+q.Q.String())
		}
	}
	return head, rows
}

func text(n *json.Number) string {
	if n == nil {
		return ""
	}
	return n.String()
}

type wayAnswer struct {
	Group *groupAnswer
	Steps []struct {
		EventType                string
		Leads                    uint64
		Conversion, FromPrevious *float64
		MedianMillis             *int64
	}
}

type funnelAnswer struct {
	rangeAnswer
	wayAnswer
	Groups []wayAnswer
}

// all are the way of all leads, and those of groups.
func (a *funnelAnswer) all() []wayAnswer { return append([]wayAnswer{a.wayAnswer}, a.Groups...) }

func (a *funnelAnswer) rows() (head []string, rows [][]string) {
	head = []string{"group", "value", "step", "eventType", "leads", "conversion", "fromPrevious", "medianMillis"}
	for _, way := range a.all() {
		group := []string{"all", ""}
		if way.Group != nil {
			group = way.Group.cells()
		}
		for i, s := range way.Steps {
			median := ""
			if s.MedianMillis != nil {
				median = strconv.FormatInt(*s.MedianMillis, 10)
			}
			rows = append(rows, []string{group[0], group[1], strconv.Itoa(i + 1), s.EventType, strconv.FormatUint(s.Leads, 10), shareText(s.Conversion), shareText(s.FromPrevious), median})
		}
	}
	return head, rows
}

func shareText(f *float64) string {
	if f == nil {
		return ""
	}
	return strconv.FormatFloat(*f, 'g', -1, 64)
}

type retentionAnswer struct {
	rangeAnswer
	Period   report.Interval
	TimeZone string
	Cohorts  []struct {
		Start    time.Time
		Leads    uint64
		Returned []uint64
		Shares   []*float64
	}
}

func (a *retentionAnswer) rows() (head []string, rows [][]string) {
	head = []string{"cohort", "leads", "offset", "returned", "share"}
	for _, c := range a.Cohorts {
		for offset, n := range c.Returned {
			rows = append(rows, []string{inZone(c.Start, a.TimeZone).Format(time.RFC3339), strconv.FormatUint(c.Leads, 10), strconv.Itoa(offset), strconv.FormatUint(n, 10), shareText(c.Shares[offset])})
		}
	}
	return head, rows
}

func printCSV(w io.Writer, head []string, rows [][]string) error {
	out := csv.NewWriter(w)
	err := out.WriteAll(append([][]string{head}, rows...))
	if err != nil {
		return fmt.Errorf("print the CSV: %w", err)
	}
	return nil
}
