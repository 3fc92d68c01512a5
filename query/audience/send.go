package audience

import (
	"cmp"
	"slices"

	"leadevents"
)

// SendState is where a send stands.
type SendState string

// The states of a send.
const (
	SendDraft         SendState = "draft"
	SendMaterializing SendState = "materializing"
	SendMaterialized  SendState = "materialized"
	SendFailed        SendState = "failed"
)

// SendKind is what an entry of a send's log says.
type SendKind string

// The kinds of entries.
const (
	SendDefined SendKind = "defined" // Definition
	SendListed  SendKind = "listed"  // ListFilter
	SendClaimed SendKind = "claimed" // a run was begun: the entry's ID is its number
	SendDone    SendKind = "done"    // Run, Totals
	SendFailure SendKind = "failed"  // Run, Reason
)

// SendEntry is one row of a send's log.
type SendEntry struct {
	Sequence  uint64
	ID        uint64 // random, 63 bits
	Kind      SendKind
	WrittenAt leadevents.Millis // by the store's clock

	Definition Definition // of defined
	ListFilter ListFilter // of listed

	// Of claimed: the entries that the run goes by (no list: 0), and its moments.
	DefinitionID, ListID uint64
	FireAt, AsOf         leadevents.Millis

	Run    uint64 // of done and failed
	Totals Totals // of done
	// Reason is why a run failed; or, of a claim, what became of the run in whose
	// place it is, if that says nothing against the send.
	Reason string
}

// Definition is what a send asks.
type Definition struct {
	CampaignID string
	Audience   Reference // without its phones, see Phones
	// Phones is the stored list that holds the phones of a [Listed] audience, with
	// their number and hash.
	Phones     uint64
	PhoneCount uint64
	PhonesHash [32]byte
	Filters    []Filter
	FireAt     leadevents.Millis // 0: when it is materialized
}

// Equal compares what two definitions ask; Phones only says where.
func (d *Definition) Equal(other *Definition) bool {
	return d.CampaignID == other.CampaignID && d.FireAt == other.FireAt && d.PhonesHash == other.PhonesHash &&
		string(d.Audience.AppendJSON(nil)) == string(other.Audience.AppendJSON(nil)) &&
		string(AppendFilters(nil, d.Filters)) == string(AppendFilters(nil, other.Filters))
}

// ListFilter is a list that a webhook named.
type ListFilter struct {
	List
	Hash  [32]byte // of mode and leads: equal lists have equal hashes
	Leads uint64   // distinct
}

// before is the order of entries.
func (e *SendEntry) before(other *SendEntry) int {
	return cmp.Or(cmp.Compare(e.Sequence, other.Sequence), cmp.Compare(e.ID, other.ID))
}

// SendLog is all entries of one send, in any order.
//
// Its last definition and last list filter are what the next run goes by. A run
// begins with a claim, which names both, and ends done or failed. Of several runs
// that are done the one with the newest claim counts: a process that was taken
// for dead, and lives on, changes nothing when it is late. A run that is done ends
// everything; without one, the newest claim says where the send stands.
type SendLog []SendEntry

// last is the newest entry of a kind that holds; nil without one.
func (log SendLog) last(kind SendKind, holds func(*SendEntry) bool) *SendEntry {
	var found *SendEntry
	for i := range log {
		e := &log[i]
		if e.Kind == kind && (holds == nil || holds(e)) && (found == nil || found.before(e) < 0) {
			found = e
		}
	}
	return found
}

// Next is the sequence of an entry made now.
func (log SendLog) Next() uint64 {
	last := uint64(0)
	for i := range log {
		last = max(last, log[i].Sequence)
	}
	return last + 1
}

// Has tells whether an entry is there.
func (log SendLog) Has(id uint64) bool {
	return slices.ContainsFunc(log, func(e SendEntry) bool { return e.ID == id })
}

// Defined is the definition that counts now; nil for a send that was never
// defined, list filter or not.
func (log SendLog) Defined() *SendEntry { return log.last(SendDefined, nil) }

// Listed is the list filter that counts now; nil without one.
func (log SendLog) Listed() *SendEntry { return log.last(SendListed, nil) }

// Claim is the newest claim; nil without one.
func (log SendLog) Claim() *SendEntry { return log.last(SendClaimed, nil) }

// Claims are all claims, oldest first.
func (log SendLog) Claims() []SendEntry {
	claims := slices.DeleteFunc(slices.Clone(log), func(e SendEntry) bool { return e.Kind != SendClaimed })
	slices.SortFunc(claims, func(a, b SendEntry) int { return a.before(&b) })
	return claims
}

// Attempts counts the claims since the last failure, or the first, without those
// in the place of a run that had not begun: it took nobody with it.
func (log SendLog) Attempts() int {
	failure, attempts := log.last(SendFailure, nil), 0
	for i := range log {
		e := &log[i]
		if e.Kind == SendClaimed && e.Reason == "" && (failure == nil || failure.before(e) < 0) {
			attempts++
		}
	}
	return attempts
}

// end is how a run ended: done before failed, nil while it has not.
func (log SendLog) end(run uint64) *SendEntry {
	ofRun := func(e *SendEntry) bool { return e.Run == run }
	if done := log.last(SendDone, ofRun); done != nil {
		return done
	}
	return log.last(SendFailure, ofRun)
}

// Result is the claim of the run whose result counts, and its end; nil while
// there is none.
func (log SendLog) Result() (claim, done *SendEntry) {
	claim = log.last(SendClaimed, func(e *SendEntry) bool {
		end := log.end(e.ID)
		return end != nil && end.Kind == SendDone
	})
	if claim == nil {
		return nil, nil
	}
	return claim, log.end(claim.ID)
}

// entry finds one by its id.
func (log SendLog) entry(kind SendKind, id uint64) *SendEntry {
	return log.last(kind, func(e *SendEntry) bool { return e.ID == id })
}

// Send is what a log comes to.
type Send struct {
	State SendState
	// Definition and ListFilter are those of Run, or without one the last that
	// came; ListFilter is nil without a list filter.
	Definition *Definition
	ListFilter *ListFilter

	Run            uint64            // the run whose result counts, or that is under way, or that failed last; 0 without one
	FireAt         leadevents.Millis // of the run, or as defined; 0 if it will be known at the materialization
	AsOf           leadevents.Millis // of the run
	Totals         Totals            // once materialized
	MaterializedAt leadevents.Millis
	Reason         string // once failed
}

// Send is the send now; false if it was never defined.
func (log SendLog) Send() (Send, bool) {
	defined, listed := log.Defined(), log.Listed()
	if defined == nil {
		return Send{}, false
	}
	s := Send{State: SendDraft}
	claim, end := log.Result()
	if claim == nil {
		if claim = log.Claim(); claim != nil {
			end = log.end(claim.ID)
		}
	}
	if claim != nil && (end == nil || end.Kind == SendDone) {
		// What came later than its claim, by a process that had not seen it, is not the
		// run's.
		defined, listed = log.entry(SendDefined, claim.DefinitionID), log.entry(SendListed, claim.ListID)
		if defined == nil {
			return Send{}, false
		}
	}
	s.Definition, s.FireAt = &defined.Definition, defined.Definition.FireAt
	if listed != nil {
		s.ListFilter = &listed.ListFilter
	}
	switch {
	case claim == nil:
	case end == nil:
		s.State, s.Run, s.FireAt, s.AsOf = SendMaterializing, claim.ID, claim.FireAt, claim.AsOf
	case end.Kind == SendDone:
		s.State, s.Run, s.FireAt, s.AsOf = SendMaterialized, claim.ID, claim.FireAt, claim.AsOf
		s.Totals, s.MaterializedAt = end.Totals, end.WrittenAt
	case end.before(defined) < 0 || listed != nil && end.before(listed) < 0: // changed since it failed
	default:
		s.State, s.Run, s.Reason = SendFailed, claim.ID, end.Reason
	}
	return s, true
}

// GoesBy tells whether a claim is of the definition and the list that count now.
func (log SendLog) GoesBy(claim *SendEntry) bool {
	defined, listed := log.Defined(), log.Listed()
	list := uint64(0)
	if listed != nil {
		list = listed.ID
	}
	return defined != nil && defined.ID == claim.DefinitionID && list == claim.ListID
}

// Needed is what the stored rows of a send are still asked for by.
type Needed struct{ Runs, Lists []uint64 }

// Needed are the run whose result counts, or that is under way, and every one
// that was begun after since, which may not know yet that it does not count; and
// the lists of those, and of the next one.
func (log SendLog) Needed(since leadevents.Millis) (n Needed) {
	list := func(defined, listed *SendEntry) {
		if defined != nil && defined.Definition.Phones != 0 {
			n.Lists = append(n.Lists, defined.Definition.Phones)
		}
		if listed != nil {
			n.Lists = append(n.Lists, listed.ListFilter.ID)
		}
	}
	list(log.Defined(), log.Listed())
	counts, _ := log.Result()
	if counts == nil {
		counts = log.Claim()
	}
	for i := range log {
		e := &log[i]
		if e.Kind != SendClaimed || (e != counts && e.WrittenAt < since) {
			continue
		}
		list(log.entry(SendDefined, e.DefinitionID), log.entry(SendListed, e.ListID))
		if end := log.end(e.ID); end == nil || end.Kind == SendDone || e.WrittenAt >= since {
			n.Runs = append(n.Runs, e.ID)
		}
	}
	return n
}

// Sweep is what a sweep did: how much it removed that no send can ask for, and
// how many runs have a lease again.
type Sweep struct{ Runs, Lists, Leases int }

// SendRef names a send; it is its organization's.
type SendRef struct {
	Org leadevents.OrgID
	ID  string
}

// Lease says who works at a run, and how far it has come.
type Lease struct {
	Send        SendRef
	Run         uint64
	Renewal     uint64 // 1, 2, …
	Done, Parts int    // Parts is 0 until the run has begun
	Ended       bool
	Left        bool // given up by its process, for any other to take over at once
}
