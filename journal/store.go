package journal

import (
	"context"
	"time"

	"leadevents"
	"leadevents/audit"
	"leadevents/auth"
)

// Store keeps the journal, and has what it is about (ClickHouse). Its errors are
// *leadevents.Error or bugs. Whatever removes something waits until it is removed, does
// no harm when it is done again, and reads from the journal whose rows to remove.
type Store interface {
	// Whatever is erased or allowed is in the audit log before.
	audit.Store

	// Clock is the one clock by which records are written.
	Clock(ctx context.Context) (leadevents.Millis, error)
	// AppendJournal is durable when it returns; after an error the records may be there.
	AppendJournal(ctx context.Context, org leadevents.OrgID, records ...Record) error
	// Journal reads the entries of a lead that is known by any of some hashes.
	Journal(ctx context.Context, org leadevents.OrgID, hashes []Hash) ([]Log, error)
	// OpenJournal reads the entries of all organizations that still name a phone.
	OpenJournal(ctx context.Context) (map[leadevents.OrgID][]Log, error)
	// ErasedStamps is a number an organization that has erased leads, which differs after
	// every erasure and every return; ErasedHashes are its erased leads.
	ErasedStamps(ctx context.Context) (map[leadevents.OrgID]uint64, error)
	ErasedHashes(ctx context.Context, org leadevents.OrgID) ([]Hash, error)

	// Collect looks for rows of the phones of entries, everywhere.
	Collect(ctx context.Context, org leadevents.OrgID, entries []uint64) (map[uint64]Found, error)
	RemoveEvents(ctx context.Context, org leadevents.OrgID, entries []uint64) error
	RemoveStates(ctx context.Context, org leadevents.OrgID, entries []uint64) error
	RemoveElsewhere(ctx context.Context, org leadevents.OrgID, entries []uint64) error
	// RecountLayers corrects how many leads audiences' layers have, and RehashLists what
	// sends say of their lists.
	RecountLayers(ctx context.Context, org leadevents.OrgID, layers []leadevents.Layer) error
	RehashLists(ctx context.Context, org leadevents.OrgID, lists []uint64) error
	// Writers are the statements that write at this moment, and EndedWriters tells whether
	// none of these runs any more.
	Writers(ctx context.Context) ([]string, error)
	EndedWriters(ctx context.Context, ids []string) (bool, error)
	// BlankPhones takes the phones of entries out of the journal.
	BlankPhones(ctx context.Context, org leadevents.OrgID, entries []uint64) error

	// Purge has the deleted rows of all parts removed from the disk, and Purged tells
	// whether the parts that still held them at a moment have left it.
	Purge(ctx context.Context) error
	Purged(ctx context.Context, since leadevents.Millis) (bool, error)
	// Unpurged reads which entries are verified and not purged.
	Unpurged(ctx context.Context) ([]Unpurged, error)
}

// Unpurged is an entry of which rows may still lie in parts on the disk.
type Unpurged struct {
	Org        leadevents.OrgID
	Entry      uint64
	Kind       Kind
	VerifiedAt leadevents.Millis
}

// Ledger is the memory of keys (Redis; package ledger).
type Ledger interface {
	// Forget removes all keys of leads, and claims on them, whatever their tokens; n is
	// how many there were.
	Forget(ctx context.Context, org leadevents.OrgID, phones []leadevents.Phone) (n int, err error)
	// Believed is the epoch of a ledger that is trusted; false while it is not.
	Believed(ctx context.Context) (epoch string, trusted bool)
	// Compact has what was removed leave the ledger's log on the disk, too.
	Compact(ctx context.Context) error
}

// Locks are named locks over all processes (Redis). They are a courtesy: they may be
// lost, and what two holders do at once must do no harm.
type Locks interface {
	Hold(ctx context.Context, name string, d time.Duration) (held bool, release func(), err error)
}

// DataKeys are the server's own keys (auth.Directory).
type DataKeys interface {
	DataKeys(ctx context.Context) ([]auth.PlainDataKey, error)
	MakeDataKey(ctx context.Context) ([]auth.PlainDataKey, error)
}
