package ledger_test

import (
	"testing"

	"leadevents"
)

// A key is given up by its owner alone; claims on it go with it, claims that nobody has
// overridden stay.
func TestAKeyIsGivenUpByItsOwnerAlone(t *testing.T) {
	f := open(t)
	list := keys(3000, now()-2000)
	f.peek(list[:1000], 5) // claims
	view, _ := f.peek(list[:2000], 0)
	if _, _, err := f.seal(view, list[:2000], 7); err != nil {
		t.Fatal(err)
	}
	f.peek(list[2000:], 6)
	owners := make([]leadevents.BatchID, len(list))
	for i := range owners {
		if owners[i] = 7; i%2 == 1 {
			owners[i] = 8
		}
	}
	if n, err := f.Release(t.Context(), list, owners); err != nil || n != 1000 {
		t.Errorf("%d keys were given up, want 1000: %v", n, err)
	}
	if n, err := f.Release(t.Context(), list, owners); err != nil || n != 0 {
		t.Errorf("again: %d, %v", n, err)
	}
	view, found := f.peek(list, 0)
	for i, owner := range found {
		if want := map[bool]leadevents.BatchID{true: 7}[i < 2000 && i%2 == 1]; owner != want {
			t.Fatalf("key %d is owned by %d, want %d", i, owner, want)
		}
	}
	_, contests, err := f.seal(view, list, 9)
	if err != nil {
		t.Fatal(err)
	}
	// 1,000 lost to 7, and 1,000 claims of 6 overridden; those of 5 are gone.
	if len(contests) != 2000 {
		t.Errorf("%d contests, want 2000", len(contests))
	}
}
