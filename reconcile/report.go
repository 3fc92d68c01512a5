package reconcile

import "leadevents"

// Kind names a difference.
type Kind string

// The kinds; doc.go says what each is.
const (
	ReceiptsMissing Kind = "receipts.missing"
	ReceiptsSurplus Kind = "receipts.surplus"
	ReceiptsUndone  Kind = "receipts.undone"
	StatesMissing   Kind = "states.missing"
	StatesNarrow    Kind = "states.narrow"
	StatesWide      Kind = "states.wide"
	StatesExtra     Kind = "states.extra"
	LedgerRowless   Kind = "ledger.rowless"
	LedgerKeyless   Kind = "ledger.keyless"
)

// facts are what to say of each kind: what it is, and what to do about it.
var facts = map[Kind]struct{ what, remedy string }{
	ReceiptsMissing: {"keys that receipts count as inserted are not stored",
		"rows were lost or removed by hand: restore them from a backup, or send those batches again without their Idempotency-Keys once the ledger has been rebuilt"},
	ReceiptsSurplus: {"keys are stored by batches whose receipts do not count them",
		"nothing is lost; rows were written by hand, or the table contested has lost rows"},
	ReceiptsUndone: {"keys of batches that were undone are still stored",
		"wait for the end of the undo, or undo the batch again"},
	StatesMissing: {"leads have events and no state: filters do not find them",
		"run `leadevents check --deep --repair`"},
	StatesNarrow: {"leads have events before the first or after the last that their state knows: filters with a window may miss them",
		"run `leadevents check --deep --repair`"},
	StatesWide: {"leads have a state that reaches beyond their events: filters may find what is not there",
		"run `leadevents check --deep --repair`"},
	StatesExtra: {"leads have a state and no events: filters find them all the same",
		"run `leadevents check --deep --repair`"},
	LedgerRowless: {"keys of the sample are in Redis and their rows not in ClickHouse: sent again these events are told duplicate, and stored nowhere",
		"ClickHouse has lost rows. Empty the ledger (FLUSHDB on its Redis, or delete all keys with redis.key_prefix): servers rebuild it from what is stored, and counts stay exact meanwhile"},
	LedgerKeyless: {"rows of the sample are stored and answered, and their keys are not in Redis: sent again they are counted twice",
		"run `leadevents check --deep --repair`, which seals those of its sample; were there many, empty the ledger (FLUSHDB on its Redis): servers rebuild all of it"},
}

// What is what a kind of difference is, in words.
func (k Kind) What() string { return facts[k].what }

// Remedy is what to do about it.
func (k Kind) Remedy() string { return facts[k].remedy }

// Difference is one that was found, and found again.
type Difference struct {
	Kind      Kind
	EventType string
	Day       string // of ingestion (UTC), of receipts
	Count     uint64
	Example   string // a batch, or a lead with what is told and what is stored
	// Explained is why it may be right as it is; empty where nothing explains it.
	Explained string
	Repaired  uint64
}

// Day is what the receipts of a day and type came to, and what is stored of them.
type Day struct {
	EventType string
	Day       string // 2026-05-12, UTC
	Batches   uint64 // answered
	Inserted  uint64 // as their receipts say, those that were undone not counted
	Stored    uint64 // keys that are theirs
	// Unanswered are keys of calls that were stored that day and never answered.
	Unanswered uint64

	Missing, Surplus, Undone                uint64
	MissingBatch, SurplusBatch, UndoneBatch leadevents.BatchID
}

// Report is what one organization came to.
type Report struct {
	Org         leadevents.OrgID
	From, To    leadevents.Millis // of the receipts
	At          leadevents.Millis // when it began, by ClickHouse's clock
	Days        []Day
	Leads       uint64 // whose states were compared, by type
	Keys, Rows  int    // of the ledger's sample
	Differences []Difference
	// Skipped is what was not looked at, or not to its end, and why.
	Skipped []string
}
