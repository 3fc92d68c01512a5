package leadevents

import (
	"slices"
	"testing"
)

func TestLeadsAreTakenOutOfAPiece(t *testing.T) {
	var p LeadPiece
	p.Reset(7)
	for i, id := range []string{"a", "", "ccc", "dd", ""} {
		p.Append(Phone(i), []byte(id))
	}
	if n := p.Drop(func(p Phone) bool { return p == 0 || p == 3 }); n != 2 || p.First != 7 {
		t.Errorf("%d were taken out, the first is %d", n, p.First)
	}
	var ids []string
	for _, id := range p.ExternalIDs() {
		ids = append(ids, string(id))
	}
	if !slices.Equal(p.Phones, []uint64{1, 2, 4}) || !slices.Equal(ids, []string{"", "ccc", ""}) || p.Bytes() != 3 {
		t.Errorf("%v, %q, %d bytes", p.Phones, ids, p.Bytes())
	}
	if n := p.Drop(func(Phone) bool { return true }); n != 3 || p.Len() != 0 || len(p.ExternalIDs()) != 0 {
		t.Errorf("%d, %d are left", n, p.Len())
	}
}
