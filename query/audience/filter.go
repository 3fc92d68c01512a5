package audience

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"leadevents"
)

// Mode says what a filter does with a lead that has the events it asks for.
type Mode string

// The modes.
const (
	Include Mode = "include" // keeps it, and drops all others
	Exclude Mode = "exclude" // drops it, and keeps all others
)

// Op is a condition's operator.
type Op string

// The operators; doc.go says when each holds.
const (
	Eq     Op = "eq"
	Ne     Op = "ne"
	Gt     Op = "gt"
	Gte    Op = "gte"
	Lt     Op = "lt"
	Lte    Op = "lte"
	In     Op = "in"
	Exists Op = "exists"
)

// Ops lists the operators, in the contract's order.
func Ops() []Op { return []Op{Eq, Ne, Gt, Gte, Lt, Lte, In, Exists} }

// Limits of filters. Those the contract names are fixed; the others are bounds
// that no real filter comes near.
const (
	MaxFilters    = 10
	MaxConditions = 10        // of one filter
	MaxMinutes    = 5_256_000 // ten years of 365 days
	// MaxMinCount: a lead with a million events of one type is a machine.
	MaxMinCount = 1_000_000
	// MaxEventType is in code points, as for ingest.
	MaxEventType = 128
	// MaxLevels: metadata nests at most 64 deep, the object itself included, so
	// a longer path can never exist.
	MaxLevels = 64
	// MaxPathBytes is far above what 64 levels of words need.
	MaxPathBytes = 2_048
	// MaxValueBytes bounds a condition's value as canonical JSON. Metadata holds
	// 8,192 bytes at most, so a longer string equals nothing; the rest is room
	// for lists.
	MaxValueBytes = 65_536
	// MaxValues bounds a value that is a list.
	MaxValues = 1_000
)

// Filter keeps or drops leads by their events of one type.
type Filter struct {
	Mode      Mode
	EventType string // 1 to 128 code points, case-sensitive
	// Within is the length of the window before the send fires, in minutes; nil
	// makes the filter sticky: any event counts, whenever it occurred.
	Within *int
	// MinCount is how many distinct events make a lead match, at least 1.
	MinCount int
	// Where holds conditions on the metadata that an event must all meet.
	Where []Condition
}

// Condition is one demand on an event's metadata.
type Condition struct {
	Path  string // keys joined by dots
	Op    Op
	Value Value
}

// Levels are the keys of the path, outermost first.
func (c Condition) Levels() []string { return strings.Split(c.Path, ".") }

// Sticky tells whether the filter has no window.
func (f Filter) Sticky() bool { return f.Within == nil }

// Window is the time in which an event must have occurred to count, both ends
// included; bounded is false for a sticky filter. The window is open to the
// future by clockSkew, because the clocks of those who send events may be ahead
// of ours.
func (f Filter) Window(fireAt leadevents.Millis, clockSkew time.Duration) (from, to leadevents.Millis, bounded bool) {
	if f.Within == nil {
		return 0, 0, false
	}
	return fireAt.Add(-time.Duration(*f.Within) * time.Minute), fireAt.Add(clockSkew), true
}

// ValidateFilters checks filters that were made in Go as strictly as the codec
// checks those it reads. at names the list in the errors, which are
// leadevents.InvalidRequest.
func ValidateFilters(filters []Filter, at string) error {
	if len(filters) > MaxFilters {
		return refuse(at, "holds %d filters; at most %d are allowed", len(filters), MaxFilters)
	}
	for i, f := range filters {
		if err := f.Validate(index(at, i)); err != nil {
			return err
		}
	}
	return nil
}

// Validate checks one filter; at names it in the error, which is
// leadevents.InvalidRequest.
func (f Filter) Validate(at string) error {
	if f.Mode != Include && f.Mode != Exclude {
		return refuse(at+".mode", "must be include or exclude; got %s", quoted(string(f.Mode)))
	}
	if err := validateEventType(f.EventType, at+".eventType"); err != nil {
		return err
	}
	if f.Within != nil && (*f.Within < 1 || *f.Within > MaxMinutes) {
		return refuseMinutes(at + ".within.minutes")
	}
	if f.MinCount < 1 || f.MinCount > MaxMinCount {
		return refuseMinCount(at + ".minCount")
	}
	if len(f.Where) > MaxConditions {
		return refuse(at+".where", "holds %d conditions; at most %d are allowed", len(f.Where), MaxConditions)
	}
	for i, c := range f.Where {
		if err := c.validate(index(at+".where", i)); err != nil {
			return err
		}
	}
	return nil
}

func (c Condition) validate(at string) error {
	if err := validatePath(c.Path, at+".path"); err != nil {
		return err
	}
	if !slices.Contains(Ops(), c.Op) {
		return refuse(at+".op", "must be one of %s; got %s", opNames(), quoted(string(c.Op)))
	}
	kind := c.Value.Kind
	if kind == NoValue {
		return refuse(at+".value", "is missing; every operator takes a value")
	}
	switch c.Op {
	case Gt, Gte, Lt, Lte:
		if kind != NumberValue && kind != StringValue {
			return refuse(at+".value", "must be a number or a string for the operator %s", c.Op)
		}
	case In:
		if kind != ArrayValue {
			return refuse(at+".value", "must be an array for the operator in")
		}
	case Exists:
		if kind != BoolValue {
			return refuse(at+".value", "must be true or false for the operator exists")
		}
	}
	if n := len(c.Value.Elements); n > MaxValues {
		return refuseValues(at+".value", n)
	}
	if !c.Value.valid() {
		return refuse(at+".value", "is no JSON value in UTF-8")
	}
	if size := len(c.Value.appendJSON(nil)); size > MaxValueBytes {
		return refuse(at+".value", "is %d bytes of JSON long; at most %d are allowed", size, MaxValueBytes)
	}
	return nil
}

func validatePath(path, at string) error {
	switch levels := strings.Count(path, ".") + 1; {
	case path == "":
		return refuse(at, "must not be empty")
	case levels > MaxLevels:
		return refuse(at, "has %d levels; metadata nests at most %d deep", levels, MaxLevels)
	case len(path) > MaxPathBytes:
		return refuse(at, "is %d bytes long; at most %d are allowed", len(path), MaxPathBytes)
	case path[0] == '.' || path[len(path)-1] == '.' || strings.Contains(path, ".."):
		return refuse(at, "has an empty level: keys are joined by single dots, as in utm.source; got %s", quoted(path))
	case !utf8.ValidString(path):
		return refuse(at, "is not UTF-8")
	default:
		return nil
	}
}

func validateEventType(eventType, at string) error {
	switch n := utf8.RuneCountInString(eventType); {
	case n == 0:
		return refuse(at, "must not be empty")
	case n > MaxEventType:
		return refuse(at, "is %d characters long; at most %d are allowed", n, MaxEventType)
	case !utf8.ValidString(eventType):
		return refuse(at, "is not UTF-8")
	default:
		return nil
	}
}

func opNames() string {
	names := make([]string, 0, len(Ops()))
	for _, op := range Ops() {
		names = append(names, string(op))
	}
	return strings.Join(names, ", ")
}
