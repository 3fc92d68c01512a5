package auth_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"leadevents"
	"leadevents/auth"
	"leadevents/internal/storetest/credentials"
)

// Whatever is hashed under a data key is hashed under the same one for ever: in every
// process, after a rotation of the master key, and after one that was interrupted.
func TestADataKeyOutlivesItsMasterKey(t *testing.T) {
	store := credentials.NewMemory()
	first := newProcess(t, store, auth.Config{MasterKeys: masterKeys(t, oldKey)})
	if keys, err := first.DataKeys(t.Context()); err != nil || len(keys) != 0 {
		t.Fatalf("before one is made: %v, %v", keys, err)
	}
	made, err := first.MakeDataKey(t.Context())
	if err != nil || len(made) != 1 || len(made[0].Key) != 32 {
		t.Fatalf("%v, %v", made, err)
	}
	same := func(claim string, keys ...string) {
		t.Helper()
		got, err := newProcess(t, store, auth.Config{MasterKeys: masterKeys(t, keys...)}).MakeDataKey(t.Context())
		if err != nil || len(got) != 1 || got[0].ID != made[0].ID || !bytes.Equal(got[0].Key, made[0].Key) {
			t.Errorf("%s: %d keys, %v", claim, len(got), err)
		}
	}
	same("another process", oldKey)
	same("before the rotation", newKey, oldKey)
	if _, err := newProcess(t, store, auth.Config{MasterKeys: masterKeys(t, newKey)}).DataKeys(t.Context()); leadevents.KindOf(err) != leadevents.Unavailable || !strings.Contains(err.Error(), made[0].ID) {
		t.Errorf("without its master key: %v", err)
	}
	rotating := newProcess(t, store, auth.Config{MasterKeys: masterKeys(t, newKey, oldKey)})
	before, after, err := rotating.RotateMasterKey(t.Context())
	if err != nil || before.Old != 1 || after.Old != 0 || after.Current != 1 {
		t.Fatalf("%+v, then %+v, %v", before, after, err)
	}
	same("after the rotation", newKey)
	stored, err := store.DataKeys(t.Context())
	if err != nil || len(stored) != 1 || strings.Contains(stored[0].Sealed, string(made[0].Key)) {
		t.Errorf("%+v, %v", stored, err)
	}
	// One that was copied over another's id does not decrypt.
	stored[0].ID, stored[0].Version = "another0001", 1
	if err := store.PutDataKey(t.Context(), stored[0]); err != nil {
		t.Fatal(err)
	}
	if use, err := rotating.ExamineMasterKeys(t.Context()); err != nil || use.Readable || len(use.Unreadable) != 1 || !strings.HasPrefix(use.Unreadable[0], "data key another0001: ") {
		t.Errorf("%+v, %v", use, err)
	}
}

func TestWithoutAMasterKeyThereIsNoDataKey(t *testing.T) {
	p := newProcess(t, credentials.NewMemory(), auth.Config{})
	_, err := p.MakeDataKey(t.Context())
	if e, ok := errors.AsType[*leadevents.Error](err); !ok || e.Kind != leadevents.Conflict || !strings.Contains(e.Message, "LEADEVENTS_MASTER_KEY") {
		t.Errorf("%v", err)
	}
}
