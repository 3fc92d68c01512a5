package ledger_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"leadevents"
	"leadevents/ingest/ledger"
)

// All keys and claims of some leads go, of one organization and every type and time, from
// buckets of any size and whatever bytes their phones have; what is next to them stays.
func TestForgetTakesAllKeysOfALeadAndNoOthers(t *testing.T) {
	f := open(t, func(c *ledger.Config) { c.SlotBits = 1 })
	now := leadevents.MillisOf(time.Now())
	const plain = leadevents.Phone(15550000007)
	globs := leadevents.Phone(0x0000002a5b3f5c2d) // "*[?\-" among its bytes
	var all []leadevents.Key
	add := func(org leadevents.OrgID, eventType string, phone leadevents.Phone, at leadevents.Millis) {
		all = append(all, leadevents.Key{Org: org, EventType: eventType, Phone: phone, OccurredAt: at})
	}
	for _, org := range []leadevents.OrgID{42, 43, 4} {
		for _, phone := range []leadevents.Phone{plain, plain + 1, plain << 8, globs, globs + 1, globs - 256} {
			for _, eventType := range []string{"t", "t:2", "16", ":"} {
				for _, at := range []leadevents.Millis{now, now + 1, now - 400_000_000, now - 90_000_000_000} {
					add(org, eventType, phone, at)
				}
			}
		}
	}
	for i := range 6000 { // some buckets are large
		add(42, "t", leadevents.Phone(16660000000+i), now)
	}
	for i := range 3000 { // and mostly of one lead
		add(42, "many", plain, now-leadevents.Millis(i))
	}
	f.own(t, all, 7)
	claimed := []leadevents.Key{{Org: 42, EventType: "claimed", Phone: globs, OccurredAt: now}, {Org: 43, EventType: "claimed", Phone: globs, OccurredAt: now}}
	f.peek(claimed, 9)

	erased := func(k leadevents.Key) bool { return k.Org == 42 && (k.Phone == plain || k.Phone == globs) }
	want := 1 // the claim
	for _, k := range all {
		if erased(k) {
			want++
		}
	}
	n, err := f.Forget(t.Context(), 42, []leadevents.Phone{plain, globs})
	if err != nil || n != want {
		t.Errorf("%d keys were removed, want %d: %v", n, want, err)
	}
	if n, err := f.Forget(t.Context(), 42, []leadevents.Phone{plain, globs}); err != nil || n != 0 {
		t.Errorf("again: %d, %v", n, err)
	}
	_, owners := f.peek(all, 0)
	for i, k := range all {
		if (owners[i] == 0) != erased(k) {
			t.Fatalf("%+v is owned by %d", k, owners[i])
		}
	}
	if names, err := f.redis.Keys(t.Context(), f.cfg.Prefix+"k*:17:*:claimed").Result(); err != nil || len(names) != 1 {
		t.Errorf("another's claim: %q, %v", names, err)
	}
	if n, err := f.Forget(t.Context(), 44, []leadevents.Phone{plain}); err != nil || n != 0 {
		t.Errorf("of an organization without keys: %d, %v", n, err)
	}
}

// own makes a batch the owner of keys.
func (f *fixture) own(t *testing.T, list []leadevents.Key, batch leadevents.BatchID) {
	t.Helper()
	view, owners := f.peek(list, 0)
	if _, err := f.Seal(t.Context(), view, list, slices.Repeat([]leadevents.BatchID{batch}, len(list)), 0, owners); err != nil {
		t.Fatal(err)
	}
}

// An epoch is believed only while it is trusted, by a look of that moment.
func TestBelievedLooksAtOnce(t *testing.T) {
	f := open(t, func(c *ledger.Config) { c.HeartbeatEvery = time.Hour })
	epoch, trusted := f.Believed(t.Context())
	if !trusted || epoch == "" {
		t.Fatalf("%q, %t", epoch, trusted)
	}
	names, err := f.redis.Keys(t.Context(), f.cfg.Prefix+"*").Result()
	if err != nil {
		t.Fatal(err)
	}
	if err := f.redis.Del(t.Context(), names...).Err(); err != nil {
		t.Fatal(err)
	}
	// No heartbeat tells, for an hour; a rebuild of nothing may have ended by then.
	if now, _ := f.Believed(t.Context()); now == epoch {
		t.Errorf("an epoch that was lost is believed")
	}
	if err := f.Compact(t.Context()); err != nil && !strings.Contains(err.Error(), "log") {
		t.Errorf("%v", err)
	}
}
