package report

import (
	"slices"

	"leadevents"
	"leadevents/query/audience"
)

// Retention counts how many leads come back.
//
// A lead belongs to the cohort of the period in which its very first event of First
// occurred, if that lies in the range: who had one before the range is in no cohort. It
// returns in each period of the range in which it has an event of Returning that occurred
// at or after that first event and is not itself. Offset 0 is the cohort's own period.
type Retention struct {
	Range
	First, Returning Selection
	Period           Interval // day, week or month
	Zone             Zone
}

// Periods lists the periods of cohorts.
func Periods() []Interval { return []Interval{Day, Week, Month} }

// DecodeRetention reads the question, strictly. Its errors are those of
// [audience.ReadObject].
func DecodeRetention(raw []byte) (Retention, error) {
	var q Retention
	o, err := audience.ReadObject(raw, "", "first", "returning", "period", fieldFrom, fieldTo, fieldTimeZone, fieldApproximate)
	if err != nil {
		return q, err
	}
	if q.First, err = selectionAt(o, "first"); err != nil {
		return q, err
	}
	if q.Returning, err = selectionAt(o, "returning"); err != nil {
		return q, err
	}
	period, err := o.Text("period")
	if err != nil {
		return q, err
	}
	q.Period = Interval(period)
	if q.Range, err = decodeRange(o); err != nil {
		return q, err
	}
	if q.Zone, err = decodeZone(o); err != nil {
		return q, err
	}
	return q, q.Validate()
}

// Validate checks a question that was made in Go as strictly as the codec checks
// those it reads. Errors are leadevents.InvalidRequest.
func (q Retention) Validate() error {
	if err := q.First.validate("first."); err != nil {
		return err
	}
	if err := q.Returning.validate("returning."); err != nil {
		return err
	}
	if !slices.Contains(Periods(), q.Period) {
		return leadevents.Errorf(leadevents.InvalidRequest, "period must be one of %s; got %s", intervalNames(Periods()), audience.Quoted(string(q.Period)))
	}
	if err := q.Range.validate(); err != nil {
		return err
	}
	if _, ok := q.Zone.starts(q.From, q.To, q.Period, MaxPeriods); !ok {
		return leadevents.Errorf(leadevents.InvalidRequest, "the range has more than %d periods of one %s, which is the most: ask for longer periods, or a shorter range", MaxPeriods, q.Period)
	}
	return nil
}

// Starts are the starts of the periods, of which the first may be before From. The
// question must be valid.
func (q Retention) Starts() []leadevents.Millis {
	starts, _ := q.Zone.starts(q.From, q.To, q.Period, MaxPeriods)
	return starts
}

// AppendJSON appends the question's canonical JSON.
func (q Retention) AppendJSON(b []byte) []byte {
	b = q.First.appendJSON(append(b, `{"first":`...))
	b = q.Returning.appendJSON(append(b, `,"returning":`...))
	b = appendText(append(b, `,"period":`...), string(q.Period))
	return append(q.Zone.appendJSON(q.Range.appendJSON(b)), '}')
}

// Cohort is the leads whose first event lies in one period.
type Cohort struct {
	Start leadevents.Millis `json:"-"`
	Leads uint64            `json:"leads"`
	// Returned is how many came back, by offset: as many periods as the range has from
	// the cohort's own on. Shares is the same over Leads, nil where there are none.
	Returned []uint64   `json:"returned"`
	Shares   []*float64 `json:"shares"`
}

// Cohorts makes the answer out of the leads of each period and, for each period of
// cohorts and offset, how many returned.
func (q Retention) Cohorts(leads []uint64, returned [][]uint64) []Cohort {
	starts := q.Starts()
	all := make([]Cohort, len(starts))
	for i, start := range starts {
		all[i] = Cohort{Start: start, Leads: leads[i], Returned: returned[i], Shares: make([]*float64, len(returned[i]))}
		for offset, n := range returned[i] {
			all[i].Shares[offset] = share(n, leads[i])
		}
	}
	return all
}

// Triangle makes room for the counts of n periods: of each as many offsets as there are
// periods from it on.
func Triangle(n int) [][]uint64 {
	all := make([][]uint64, n)
	for i := range all {
		all[i] = make([]uint64, n-i)
	}
	return all
}

// Follow answers the question about rows: the meaning that the store's answer must
// equal.
func (q Retention) Follow(rows []Event) []Cohort {
	starts := q.Starts()
	period := func(at leadevents.Millis) int {
		i, exact := slices.BinarySearch(starts, at)
		if !exact {
			i--
		}
		return i
	}
	events := Deduplicated(rows)
	firsts := map[leadevents.Phone]Event{}
	for _, e := range events {
		if _, has := firsts[e.Phone]; !has && q.First.matches(e) {
			firsts[e.Phone] = e
		}
	}
	leads, returned := make([]uint64, len(starts)), Triangle(len(starts))
	for phone, first := range firsts {
		if first.OccurredAt < q.From || first.OccurredAt >= q.To {
			continue
		}
		cohort := period(first.OccurredAt)
		leads[cohort]++
		in := map[int]bool{}
		for _, e := range events {
			itself := e.EventType == first.EventType && e.OccurredAt == first.OccurredAt
			if e.Phone == phone && e.OccurredAt >= first.OccurredAt && e.OccurredAt < q.To && q.Returning.matches(e) && !itself {
				in[period(e.OccurredAt)] = true
			}
		}
		for p := range in {
			returned[cohort][p-cohort]++
		}
	}
	return q.Cohorts(leads, returned)
}
