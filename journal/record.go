package journal

import (
	"cmp"
	"maps"
	"slices"

	"leadevents"
)

// Kind is what an entry does.
type Kind string

// The kinds of entries.
const (
	Erase Kind = "erase" // a lead, everywhere
	Undo  Kind = "undo"  // a batch: the keys that it was told inserted
)

// Step is what a record says of its entry.
type Step string

// The steps, in their order.
const (
	Begun     Step = "begun"
	Collected Step = "collected"
	Removed   Step = "removed"
	Verified  Step = "verified"
	Purged    Step = "purged"
	Allowed   Step = "allowed"
)

// Counts is how much there was of a lead, by kind.
type Counts map[string]uint64

// The kinds of what is erased, as answers name them.
const (
	Events       = "events"
	States       = "states"
	AudienceRows = "audienceLeads"
	UploadRows   = "uploadRows"
	ListRows     = "listLeads"
	SendRows     = "sendLeads"
	EvidenceRows = "sendEvidence"
	Contests     = "contests"
	Rejects      = "rejects"
)

// Keys is how many events an undo removes, each once, and [States] of how many leads the
// state is told anew.
const Keys = "keys"

// CountKinds lists them all.
func CountKinds() []string {
	return []string{Events, States, AudienceRows, UploadRows, ListRows, SendRows, EvidenceRows, Contests, Rejects}
}

// Sum is how much it is together.
func (c Counts) Sum() (n uint64) {
	for _, v := range c {
		n += v
	}
	return n
}

// Record is one row of the journal.
type Record struct {
	Entry uint64 // random, 63 bits
	Kind  Kind
	Step  Step
	Pass  int // of collected and removed: 1, 2, …

	Phone leadevents.Phone // of begun; 0 once the entry is verified
	Hash  Hash             // of begun
	Found Found            // of collected

	// Of begun of an undo: the batch, what its events are, and its run, if any.
	Batch     leadevents.BatchID
	EventType string
	RunID     string

	WrittenAt leadevents.Millis // by the store's clock
}

// Found is what a pass finds before it removes it.
type Found struct {
	Counts Counts
	// Layers and Lists have to be counted anew afterwards.
	Layers []leadevents.Layer
	Lists  []uint64
}

// Log is all records of one entry, in any order.
type Log []Record

// has is a record of a step and pass; nil without one.
func (log Log) has(step Step, pass int) *Record {
	for i := range log {
		if r := &log[i]; r.Step == step && r.Pass == pass {
			return r
		}
	}
	return nil
}

// At is when a step was first reached; 0 if it was not.
func (log Log) At(step Step) (at leadevents.Millis) {
	for i := range log {
		if r := &log[i]; r.Step == step && (at == 0 || r.WrittenAt < at) {
			at = r.WrittenAt
		}
	}
	return at
}

// Begun is the record that an entry begins with; nil for a log without it.
func (log Log) Begun() *Record { return log.has(Begun, 0) }

// Passes is how many passes are through.
func (log Log) Passes() (n int) {
	for i := range log {
		if log[i].Step == Removed {
			n = max(n, log[i].Pass)
		}
	}
	return n
}

// Counts is how much was removed. A pass that was cut off and done again has found less
// the second time, what it had removed already; so of one pass the most counts, and
// passes add up.
func (log Log) Counts() Counts {
	sum, passes := Counts{}, map[int]Counts{}
	for i := range log {
		r := &log[i]
		if r.Step != Collected {
			continue
		}
		most := passes[r.Pass]
		if most == nil {
			most = Counts{}
			passes[r.Pass] = most
		}
		for kind, n := range r.Found.Counts {
			most[kind] = max(most[kind], n)
		}
	}
	for _, c := range passes {
		for kind, n := range c {
			sum[kind] += n
		}
	}
	return sum
}

// Touched is what all passes have found that has to be counted anew.
func (log Log) Touched() (layers []leadevents.Layer, lists []uint64) {
	seenLayers, seenLists := map[leadevents.Layer]bool{}, map[uint64]bool{}
	for i := range log {
		for _, l := range log[i].Found.Layers {
			seenLayers[l] = true
		}
		for _, l := range log[i].Found.Lists {
			seenLists[l] = true
		}
	}
	return slices.Sorted(maps.Keys(seenLayers)), slices.Sorted(maps.Keys(seenLists))
}

// newest orders logs by when they began, the newest first.
func newest(logs []Log) {
	slices.SortFunc(logs, func(a, b Log) int {
		return cmp.Or(cmp.Compare(b.At(Begun), a.At(Begun)), cmp.Compare(b[0].Entry, a[0].Entry))
	})
}
