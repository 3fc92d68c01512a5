package audience

import (
	"crypto/sha256"
	"encoding/binary"

	"leadevents"
)

// HashLeads tells sets of leads apart. Everything in it has its length before it, so
// that no two sets are the same bytes.
func HashLeads(mode string, phones []leadevents.Phone, externalIDs []string) [32]byte {
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
