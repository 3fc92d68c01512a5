package backfill

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"

	"leadevents"
)

// Report is what a dry run has found.
type Report struct {
	Counts   Counts
	Types    []TypeReport // the most frequent first
	MoreRows uint64       // rows of types beyond the first surveyTypes
	Reasons  []ReasonReport
	Unnamed  uint64 // rejected rows that were not looked at one by one
}

// TypeReport is the rows of one event type.
type TypeReport struct {
	EventType   string
	Rows        uint64
	First, Last leadevents.Millis
}

// ReasonReport is the rows that are rejected for one reason.
type ReasonReport struct {
	Reason string
	Rows   uint64
	Lines  []Place // the first of them
	Hints  []string
}

// Place is a line of a file.
type Place struct {
	File string `json:"file"`
	Line uint64 `json:"line"`
}

// Bounds of a report.
const (
	surveyTypes   = 1_000
	surveyReasons = 100
	surveyLines   = 5
	surveyHints   = 3
	// surveyRejects is how many rejected rows are looked at one by one: each call shows 50, so a
	// file that is wrong from top to bottom would cost thousands of calls.
	surveyRejects = 5_000
)

// survey gathers a report. The nil survey of a real run gathers nothing.
type survey struct {
	files []File

	mu      sync.Mutex
	types   map[string]*TypeReport
	reasons map[string]*ReasonReport
	more    uint64
	unnamed uint64
	named   uint64
}

func newSurvey(files []File) *survey {
	return &survey{files: files, types: map[string]*TypeReport{}, reasons: map[string]*ReasonReport{}}
}

// row counts a row that is sent.
func (s *survey) row(row *Row) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.types[row.EventType]
	if t == nil {
		if len(s.types) >= surveyTypes {
			s.more++
			return
		}
		t = &TypeReport{EventType: row.EventType, First: row.At, Last: row.At}
		s.types[row.EventType] = t
	}
	t.Rows++
	t.First, t.Last = min(t.First, row.At), max(t.Last, row.At)
}

// refused counts a row that is not sent.
func (s *survey) refused(file int, row *Row) {
	if s != nil {
		s.reject(file, row.Line, row.Refused, row.Hint)
	}
}

func (s *survey) reject(file int, line uint64, reason, hint string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.reasons[reason]
	if r == nil {
		if len(s.reasons) >= surveyReasons {
			s.unnamed++
			return
		}
		r = &ReasonReport{Reason: reason}
		s.reasons[reason] = r
	}
	r.Rows++
	if hint != "" && len(r.Hints) < surveyHints && !slices.Contains(r.Hints, hint) {
		r.Hints = append(r.Hints, hint)
	}
	// Calls are answered in any order: the first lines are the least ones.
	at := Place{Line: line}
	if file < len(s.files) {
		at.File = s.files[file].Name
	}
	i, _ := slices.BinarySearchFunc(r.Lines, at, func(a, b Place) int {
		if c := s.order(a.File) - s.order(b.File); c != 0 {
			return c
		}
		return int(a.Line) - int(b.Line)
	})
	if i < surveyLines {
		r.Lines = slices.Insert(r.Lines, i, at)
		r.Lines = r.Lines[:min(len(r.Lines), surveyLines)]
	}
}

func (s *survey) order(file string) int {
	return slices.IndexFunc(s.files, func(f File) bool { return f.Name == file })
}

// room says whether n rejected rows more are looked at, and if not notes them.
func (s *survey) room(n, shown uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.named+n > surveyRejects {
		s.unnamed += n - shown
		return false
	}
	s.named += n
	return true
}

// tryOut is the dry run of a batch.
func (f *flights) tryOut(stop context.Context, number int, fl *flight, b *batch) error {
	a, err := f.caller.try(stop, number, b.body)
	if err != nil {
		return err
	}
	shown := a.Rejects
	if a.Rejected > uint64(len(shown)) && f.survey.room(a.Rejected, uint64(len(shown))) {
		if shown, err = f.caller.rejects(stop, number, b, &a); err != nil {
			return err
		}
	}
	for _, r := range shown {
		f.survey.reject(fl.span.at.File, b.rows[r.Index].line, r.Reason, b.hints[r.Index])
	}
	f.settle(fl, b, answered{Received: a.Received, Inserted: a.Inserted, Duplicates: a.Duplicates, Rejected: a.Rejected}, nil)
	return nil
}

// Report is what a dry run has found; Go has ended.
func (r *Runner) Report() Report {
	s := r.flights.Load().survey
	counts := r.Progress().Counts
	s.mu.Lock()
	defer s.mu.Unlock()
	report := Report{Counts: counts, MoreRows: s.more, Unnamed: s.unnamed}
	for _, t := range slices.SortedFunc(maps.Values(s.types), func(a, b *TypeReport) int {
		if a.Rows != b.Rows {
			return int(b.Rows) - int(a.Rows)
		}
		return strings.Compare(a.EventType, b.EventType)
	}) {
		report.Types = append(report.Types, *t)
	}
	for _, r := range slices.SortedFunc(maps.Values(s.reasons), func(a, b *ReasonReport) int {
		if a.Rows != b.Rows {
			return int(b.Rows) - int(a.Rows)
		}
		return strings.Compare(a.Reason, b.Reason)
	}) {
		report.Reasons = append(report.Reasons, *r)
	}
	return report
}
