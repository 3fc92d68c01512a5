package clickhouse

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"leadevents"
	"leadevents/internal/storetest"
	"leadevents/query/audience"
)

// Every entry is read back as it was written, twice as once, by its organization
// alone.
func TestASendsLogIsReadBack(t *testing.T) {
	db := credentialsIn(t, storetest.ClickHouse(t))
	within := 120
	entries := audience.SendLog{
		{Sequence: 1, ID: 11, Kind: audience.SendListed, ListFilter: audience.ListFilter{List: audience.List{ID: 5, Mode: audience.Exclude}, Hash: [32]byte{0, 1, 255}, Leads: 2}},
		{Sequence: 2, ID: 12, Kind: audience.SendDefined, Definition: audience.Definition{
			CampaignID: "spring 'é'\n", Audience: audience.Reference{Source: audience.Stored, AudienceID: "a.b-c"}, FireAt: 1_778_610_840_001,
			Filters: []audience.Filter{{Mode: audience.Include, EventType: "it's \"x\"", Within: &within, MinCount: 3}},
		}},
		{Sequence: 3, ID: 13, Kind: audience.SendDefined, Definition: audience.Definition{
			Audience: audience.Reference{Source: audience.Listed, Phones: []leadevents.Phone{}}, Phones: 1 << 62, PhoneCount: 9, PhonesHash: [32]byte{31: 7}, Filters: []audience.Filter{},
		}},
		{Sequence: 4, ID: 1<<63 - 1, Kind: audience.SendClaimed, DefinitionID: 12, ListID: 11, FireAt: 1, AsOf: 1_778_610_840_123},
		{Sequence: 5, ID: 15, Kind: audience.SendDone, Run: 1<<63 - 1, Totals: audience.Totals{Total: 10, Kept: 4, DroppedByList: 1, DroppedByFilters: []uint64{2, 3}}},
		{Sequence: 6, ID: 16, Kind: audience.SendFailure, Run: 3, Reason: "why \x00 not"},
	}
	for _, e := range append(slices.Clone(entries), entries[0]) {
		if err := db.AddSendEntry(t.Context(), 42, "s", e); err != nil {
			t.Fatal(err)
		}
	}
	log, err := db.SendLog(t.Context(), 42, "s")
	if err != nil {
		t.Fatal(err)
	}
	now := leadevents.MillisOf(time.Now())
	for i := range log {
		if at := log[i].WrittenAt; at < now.Add(-time.Minute) || at > now.Add(time.Minute) {
			t.Errorf("written at %s", at)
		}
		log[i].WrittenAt = 0
	}
	slices.SortFunc(log, func(a, b audience.SendEntry) int { return int(a.Sequence) - int(b.Sequence) })
	want := slices.Insert(slices.Clone(entries), 0, entries[0])
	if diff := cmp.Diff(want, log); diff != "" {
		t.Errorf("written (-) and read (+):\n%s", diff)
	}
	for _, other := range []struct {
		org leadevents.OrgID
		id  string
	}{{43, "s"}, {42, "S"}} {
		if log, err := db.SendLog(t.Context(), other.org, other.id); err != nil || len(log) != 0 {
			t.Errorf("%d %s: %d entries, %v", other.org, other.id, len(log), err)
		}
	}
}

func TestListsOfSends(t *testing.T) {
	db := credentialsIn(t, storetest.ClickHouse(t))
	phones := make([]leadevents.Phone, listBlock+5)
	ids := make([]string, listBlock)
	for i := range phones {
		phones[i] = leadevents.Phone(1_000_000 + i)
	}
	for i := range ids {
		ids[i] = fmt.Sprint("id ", i)
	}
	for _, list := range []uint64{1, 2} {
		if err := db.StoreList(t.Context(), 42, list, phones, ids); err != nil {
			t.Fatal(err)
		}
	}
	count := func(list uint64) (byPhone, byID uint64) {
		t.Helper()
		if err := db.conn.QueryRow(t.Context(), "SELECT uniqExactIf(phone, external_id = ''), uniqExactIf(external_id, phone = 0) FROM send_lists WHERE list = ?", list).Scan(&byPhone, &byID); err != nil {
			t.Fatal(err)
		}
		return byPhone, byID
	}
	if p, i := count(1); p != uint64(len(phones)) || i != uint64(len(ids)) {
		t.Errorf("%d phones and %d ids are stored", p, i)
	}
	if err := db.StoreList(t.Context(), 42, 3, phones[:3], nil); err != nil {
		t.Fatal(err)
	}
	for list, want := range map[uint64]int{1: len(phones) + len(ids), 3: 3, 4: 0} {
		if n, err := db.ListLeads(t.Context(), 42, list); err != nil || n != uint64(want) {
			t.Errorf("list %d has %d leads, want %d: %v", list, n, want, err)
		}
	}
	if n, err := db.ListLeads(t.Context(), 43, 1); err != nil || n != 0 {
		t.Errorf("another organization's list has %d leads: %v", n, err)
	}
}

// A lease holds for its time by the server's clock; the last renewal counts, and an
// ended one is not found.
func TestLeases(t *testing.T) {
	db := credentialsIn(t, storetest.ClickHouse(t))
	ref := audience.SendRef{Org: 42, ID: "s"}
	expired := func() []uint64 {
		t.Helper()
		leases, err := db.ExpiredLeases(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var runs []uint64
		for _, l := range leases {
			if l.Send.Org == 42 { // the database is the test's own
				runs = append(runs, l.Run)
			}
		}
		return runs
	}
	set := func(renewal uint64, ended bool, d time.Duration) {
		t.Helper()
		if err := db.SetLeases(t.Context(), d, audience.Lease{Send: ref, Run: 7, Renewal: renewal, Done: 2, Parts: 5, Ended: ended}); err != nil {
			t.Fatal(err)
		}
	}
	if _, alive, err := db.Lease(t.Context(), ref, 7); alive || err != nil {
		t.Errorf("no lease: %v %v", alive, err)
	}
	set(1, false, time.Hour)
	l, alive, err := db.Lease(t.Context(), ref, 7)
	if want := (audience.Lease{Send: ref, Run: 7, Renewal: 1, Done: 2, Parts: 5}); err != nil || !alive || l != want {
		t.Errorf("%+v %v %v", l, alive, err)
	}
	if got := expired(); len(got) != 0 {
		t.Errorf("expired at once: %v", got)
	}
	set(2, false, 0)
	if got := expired(); !slices.Equal(got, []uint64{7}) {
		t.Errorf("it has expired, and expired are %v", got)
	}
	other := audience.Lease{Send: audience.SendRef{Org: 42, ID: "other"}, Run: 8, Renewal: 1, Left: true}
	if err := db.SetLeases(t.Context(), time.Hour, other, audience.Lease{Send: ref, Run: 9, Renewal: 1}); err != nil {
		t.Fatal(err)
	}
	if got := expired(); !slices.Equal(got, []uint64{8, 7}) {
		t.Errorf("one is left, and expired are %v", got)
	}
	if l, alive, err := db.Lease(t.Context(), other.Send, 8); err != nil || alive || l != other {
		t.Errorf("left: %+v %v %v", l, alive, err)
	}
	other.Renewal, other.Left, other.Ended = 2, false, true
	if err := db.SetLeases(t.Context(), 0, other); err != nil {
		t.Fatal(err)
	}
	set(3, true, 0)
	if got := expired(); len(got) != 0 {
		t.Errorf("ended, and expired are %v", got)
	}
	if _, _, err := db.Lease(t.Context(), audience.SendRef{Org: 43, ID: "s"}, 7); err != nil {
		t.Error(err)
	}
}
