package leadevents

// Rows are events as columns, ready for one insert: row i is the i-th element
// of each slice. Rows of several batches may stand in one Rows.
type Rows struct {
	Orgs       []uint64
	EventTypes []string
	Phones     []uint64
	OccurredAt []int64 // ms since 1970
	Metadata   [][]byte
	BatchIDs   []uint64
	IngestedAt Millis // one moment for all: Redis' clock before the store
}

// Len is the number of rows.
func (r *Rows) Len() int { return len(r.Phones) }

// Grow makes room for n more rows.
func (r *Rows) Grow(n int) {
	if cap(r.Phones)-len(r.Phones) >= n {
		return
	}
	r.Orgs = grow(r.Orgs, n)
	r.EventTypes = grow(r.EventTypes, n)
	r.Phones = grow(r.Phones, n)
	r.OccurredAt = grow(r.OccurredAt, n)
	r.Metadata = grow(r.Metadata, n)
	r.BatchIDs = grow(r.BatchIDs, n)
}

func grow[T any](s []T, n int) []T {
	bigger := make([]T, len(s), len(s)+n)
	copy(bigger, s)
	return bigger
}

// Append adds an event of a batch.
func (r *Rows) Append(org OrgID, eventType string, event Event, batch BatchID) {
	r.Orgs = append(r.Orgs, uint64(org))
	r.EventTypes = append(r.EventTypes, eventType)
	r.Phones = append(r.Phones, uint64(event.Phone))
	r.OccurredAt = append(r.OccurredAt, int64(event.OccurredAt))
	r.Metadata = append(r.Metadata, event.Metadata)
	r.BatchIDs = append(r.BatchIDs, uint64(batch))
}

// StoredKey is a version of a row as the cold check finds it. A key may have
// several versions until a merge keeps one of them.
type StoredKey struct {
	Phone      Phone
	OccurredAt Millis
	Batch      BatchID
	IngestedAt Millis
}

// StoredMetadata is the hash (xxHash64) of a stored row's metadata.
type StoredMetadata struct {
	Phone      Phone
	OccurredAt Millis
	Hash       uint64
}

// Contest is a key that Loser stored too, after Winner had sealed it or before
// Winner did. Merges may keep either's row, so this record is what says whose
// the key is.
type Contest struct {
	Key    Key
	Winner BatchID
	Loser  BatchID
}
