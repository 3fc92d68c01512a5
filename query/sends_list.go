package query

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"leadevents"
)

// ListedLeads are the leads that a list filter names.
type ListedLeads struct {
	Phones      []leadevents.Phone
	ExternalIDs []string
}

// normalize sorts them and leaves each once.
func (l *ListedLeads) normalize() {
	slices.Sort(l.Phones)
	slices.Sort(l.ExternalIDs)
	l.Phones, l.ExternalIDs = slices.Compact(l.Phones), slices.Compact(l.ExternalIDs)
}

// hashOfLeads tells sets of leads apart. Everything in it has its length before it, so
// that no two sets are the same bytes.
func hashOfLeads(mode string, phones []leadevents.Phone, externalIDs []string) [32]byte {
	h := sha256.New()
	number := func(n uint64) { _, _ = h.Write(binary.LittleEndian.AppendUint64(nil, n)) }
	text := func(s string) {
		number(uint64(len(s)))
		_, _ = h.Write([]byte(s))
	}
	text(mode)
	number(uint64(len(phones)))
	for _, p := range phones {
		number(uint64(p))
	}
	number(uint64(len(externalIDs)))
	for _, id := range externalIDs {
		text(id)
	}
	return [32]byte(h.Sum(nil))
}
