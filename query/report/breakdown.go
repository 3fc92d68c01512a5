package report

import (
	"math"
	"math/big"
	"slices"
	"strconv"

	"leadevents"
	"leadevents/query/audience"
)

// Breakdown divides the events of one type by the value at a path of their metadata.
type Breakdown struct {
	Range
	Selection
	Split
	OrderBy Measure // which groups are the largest
	Number  *Number // nil for none
}

// Number asks for statistics of the numbers at a path. What is a number is as filters have
// it: JSON numbers, and no strings.
type Number struct {
	Path      string
	Quantiles []float64 // from 0 to 1, ascending and distinct
}

// DecodeBreakdown reads the question, strictly. Its errors are those of
// [audience.ReadObject].
func DecodeBreakdown(raw []byte) (Breakdown, error) {
	var q Breakdown
	o, err := audience.ReadObject(raw, "", fieldEventType, "path", "limit", "orderBy", "number", fieldFrom, fieldTo, fieldWhere, fieldApproximate)
	if err != nil {
		return q, err
	}
	if q.Selection, err = decodeSelection(o); err != nil {
		return q, err
	}
	if q.Path, err = o.Text("path"); err != nil {
		return q, err
	}
	if q.Limit, err = o.Count("limit", DefaultGroups, MaxGroups); err != nil {
		return q, err
	}
	q.OrderBy = Events
	if o.Has("orderBy") {
		text, err := o.Text("orderBy")
		if err != nil {
			return q, err
		}
		q.OrderBy = Measure(text)
	}
	if o.Has("number") {
		if q.Number, err = decodeNumber(o); err != nil {
			return q, err
		}
	}
	if q.Range, err = decodeRange(o); err != nil {
		return q, err
	}
	return q, q.Validate()
}

func decodeNumber(o audience.Object) (*Number, error) {
	in, err := audience.ReadObject(o.Raw("number"), "number", "path", "quantiles")
	if err != nil {
		return nil, err
	}
	n := &Number{}
	if n.Path, err = in.Text("path"); err != nil || !in.Has("quantiles") {
		return n, err
	}
	levels, err := in.List("quantiles", "quantiles", 0, MaxQuantiles)
	if err != nil {
		return nil, err
	}
	for at, raw := range levels {
		v := audience.ScalarOf(raw)
		if v.Kind != audience.NumberValue {
			return nil, leadevents.Errorf(leadevents.InvalidRequest, "%s must be a number from 0 to 1", at)
		}
		n.Quantiles = append(n.Quantiles, v.Number.Float())
	}
	return n, nil
}

// Validate checks a question that was made in Go as strictly as the codec checks
// those it reads. Errors are leadevents.InvalidRequest.
func (q Breakdown) Validate() error {
	if err := q.Selection.validate(""); err != nil {
		return err
	}
	if err := audience.ValidatePath(q.Path, "path"); err != nil {
		return err
	}
	if q.Limit < 1 || q.Limit > MaxGroups {
		return leadevents.Errorf(leadevents.InvalidRequest, "limit must be a whole number from 1 to %d", MaxGroups)
	}
	if q.OrderBy != Events && q.OrderBy != Leads {
		return leadevents.Errorf(leadevents.InvalidRequest, "orderBy must be events or leads; got %s", audience.Quoted(string(q.OrderBy)))
	}
	if err := q.Range.validate(); err != nil {
		return err
	}
	if q.Number == nil {
		return nil
	}
	if err := audience.ValidatePath(q.Number.Path, "number.path"); err != nil {
		return err
	}
	if n := len(q.Number.Quantiles); n > MaxQuantiles {
		return leadevents.Errorf(leadevents.InvalidRequest, "number.quantiles holds %d quantiles; it must be 0 to %d", n, MaxQuantiles)
	}
	for i, level := range q.Number.Quantiles {
		at := place("number.quantiles", i)
		if !(level >= 0 && level <= 1) {
			return leadevents.Errorf(leadevents.InvalidRequest, "%s must be a number from 0 to 1", at)
		}
		if i > 0 && level <= q.Number.Quantiles[i-1] {
			return leadevents.Errorf(leadevents.InvalidRequest, "%s is not above the one before it: they are ascending, each once", at)
		}
	}
	return nil
}

// AppendJSON appends the question's canonical JSON.
func (q Breakdown) AppendJSON(b []byte) []byte {
	b = appendText(append(b, `{"eventType":`...), q.EventType)
	b = appendText(append(b, `,"path":`...), q.Path)
	b = strconv.AppendInt(append(b, `,"limit":`...), int64(q.Limit), 10)
	b = appendText(append(b, `,"orderBy":`...), string(q.OrderBy))
	b = appendWhere(q.Range.appendJSON(b), q.Where)
	if q.Number != nil {
		b = appendText(append(b, `,"number":{"path":`...), q.Number.Path)
		if len(q.Number.Quantiles) > 0 {
			b = append(b, `,"quantiles":[`...)
			for i, level := range q.Number.Quantiles {
				if i > 0 {
					b = append(b, ',')
				}
				b = strconv.AppendFloat(b, level, 'g', -1, 64)
			}
			b = append(b, ']')
		}
		b = append(b, '}')
	}
	return append(b, '}')
}

// Numbers are the statistics of the numbers of some events.
type Numbers struct {
	// Events is how many of the events have a number there.
	Events uint64 `json:"events"`
	// Sum is the sum of the numbers as they are written, digit for digit: ten times 0.1 is
	// 1. (One with more than 17 digits that is no integer of 64 bits is, as in filters, the
	// nearest float64.) Exact says that it is so, which needs all of them to be 0 or from
	// 1e-7 to below 1e40; else it is a sum of float64. Nil, as all below, without a number.
	Sum   *Decimal `json:"sum"`
	Exact bool     `json:"exact"`
	// Average is the float64 nearest to the sum over the events.
	Average *float64 `json:"avg"`
	Min     *Decimal `json:"min"`
	Max     *Decimal `json:"max"`
	// Quantiles are those that were asked for.
	Quantiles []Quantile `json:"quantiles,omitempty"`
}

// Quantile is the number at place floor(q × n), from 0, of the n numbers in order, for 1 the
// largest: for 0.5 of an even n the upper of the two in the middle. No number
// is made up between two.
type Quantile struct {
	Level float64  `json:"q"`
	Value *float64 `json:"value"` // nearest float64
}

// Decimal is a number in JSON, digit for digit.
type Decimal string

// MarshalJSON is the number itself.
func (d Decimal) MarshalJSON() ([]byte, error) { return []byte(d), nil }

// UnmarshalJSON keeps the number as it is.
func (d *Decimal) UnmarshalJSON(raw []byte) error {
	*d = Decimal(raw)
	return nil
}

// Float is the float64 nearest to it.
func (d Decimal) Float() float64 {
	f, _ := strconv.ParseFloat(string(d), 64)
	return f
}

// Part is what a breakdown says of a group.
type Part struct {
	Group  Group    `json:"group"`
	Events uint64   `json:"events"`
	Leads  uint64   `json:"leads"`
	Number *Numbers `json:"number,omitempty"`
}

// Parts are the answer: the groups, the largest first, others last, and all
// together.
type Parts struct {
	Groups []Part `json:"groups"`
	Total  Whole  `json:"total"`
}

// Whole is what a breakdown says of all of its events.
type Whole struct {
	Events uint64   `json:"events"`
	Leads  uint64   `json:"leads"`
	Number *Numbers `json:"number,omitempty"`
}

// Divide answers the question about rows: the meaning that the store's answer must
// equal, digit for digit but for sums that are not exact.
func (q Breakdown) Divide(rows []Event) Parts {
	var selected []Event
	for _, e := range Deduplicated(rows) {
		if e.OccurredAt >= q.From && e.OccurredAt < q.To && q.matches(e) {
			selected = append(selected, e)
		}
	}
	parts := Parts{Groups: []Part{}, Total: Whole{uint64(len(selected)), uint64(leadsOf(selected)), q.Number.of(selected)}}
	for _, g := range q.groups(selected, q.OrderBy) {
		parts.Groups = append(parts.Groups, Part{g.Group, uint64(len(g.events)), uint64(leadsOf(g.events)), q.Number.of(g.events)})
	}
	return parts
}

// Empty are the statistics of no numbers; nil where none are asked for.
func (n *Number) Empty() *Numbers {
	if n == nil {
		return nil
	}
	s := &Numbers{Exact: true}
	for _, level := range n.Quantiles {
		s.Quantiles = append(s.Quantiles, Quantile{Level: level})
	}
	return s
}

// of are the statistics of events.
func (n *Number) of(events []Event) *Numbers {
	if n == nil {
		return nil
	}
	var all []audience.Number
	for _, e := range events {
		if v := audience.ValueAt(e.Metadata, n.Path); v.Kind == audience.NumberValue {
			all = append(all, v.Number)
		}
	}
	slices.SortFunc(all, audience.Number.Compare)
	s := n.Empty()
	if s.Events = uint64(len(all)); len(all) == 0 {
		return s
	}
	for i, q := range s.Quantiles {
		f := all[min(int(q.Level*float64(len(all))), len(all)-1)].Float()
		s.Quantiles[i].Value = &f
	}
	sum, loose := new(big.Rat), 0.0
	for _, v := range all {
		if Exactly(v.Float()) {
			written, _ := new(big.Rat).SetString(v.String())
			sum.Add(sum, written)
			continue
		}
		s.Exact = false
		loose += v.Float()
	}
	smallest, largest := Decimal(all[0].String()), Decimal(all[len(all)-1].String())
	s.Min, s.Max = &smallest, &largest
	s.Total(sum, loose)
	return s
}

// Exactly tells whether a number is added digit for digit. A float64 is written with 17
// digits at most, so these end at 24 decimals, and 10^12 of the largest fit into
// the 76 digits of ClickHouse's widest decimal.
func Exactly(f float64) bool {
	f = math.Abs(f)
	return f == 0 || f >= 1e-7 && f < 1e40
}

// Total sets sum and average: exact is the sum of what is added digit for digit, loose
// that of the rest.
func (s *Numbers) Total(exact *big.Rat, loose float64) {
	if s.Exact {
		text := Decimal(trimmed(exact.FloatString(24)))
		average, _ := new(big.Rat).Quo(exact, new(big.Rat).SetUint64(s.Events)).Float64()
		s.Sum, s.Average = &text, &average
		return
	}
	f, _ := exact.Float64()
	f = min(max(f+loose, -math.MaxFloat64), math.MaxFloat64) // no JSON number is infinite
	text, average := Decimal(strconv.FormatFloat(f, 'g', -1, 64)), f/float64(s.Events)
	s.Sum, s.Average = &text, &average
}

// trimmed is a decimal without zeros at its end.
func trimmed(text string) string {
	end := len(text)
	for text[end-1] == '0' {
		end--
	}
	if text[end-1] == '.' {
		end--
	}
	if text = text[:end]; text == "-0" {
		return "0"
	}
	return text
}
