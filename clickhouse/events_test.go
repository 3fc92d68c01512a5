package clickhouse

import (
	"cmp"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"leadevents"
	"leadevents/internal/storetest"
)

// Two batches stored some of the keys; both versions of a row are to be found,
// and nothing that shares only the phone, the time, the type or the organization.
func TestFindKeysFindsEveryVersionOfTheKeysAndNothingElse(t *testing.T) {
	db := credentialsIn(t, storetest.ClickHouse(t))
	// A merge would keep one version of each row.
	if err := db.conn.Exec(t.Context(), "SYSTEM STOP MERGES lead_events"); err != nil {
		t.Fatal(err)
	}
	type place struct {
		phone leadevents.Phone
		at    leadevents.Millis
	}
	insert := func(org leadevents.OrgID, eventType string, batch leadevents.BatchID, ingested leadevents.Millis, places ...place) {
		t.Helper()
		rows := &leadevents.Rows{IngestedAt: ingested}
		for _, p := range places {
			rows.Append(org, eventType, leadevents.Event{Phone: p.phone, OccurredAt: p.at, Metadata: []byte("{}")}, batch)
		}
		if err := db.InsertEvents(t.Context(), rows, eventType+batch.String(), ""); err != nil {
			t.Fatal(err)
		}
	}
	day := leadevents.MillisOf(time.Date(2024, 12, 31, 12, 0, 0, 0, time.UTC))
	for name, step := range map[string]time.Duration{"keys of two days": time.Minute, "keys of eight years": 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			eventType := "webinar_attended " + name
			var places []place
			for i := range 3000 {
				places = append(places, place{15551230000 + leadevents.Phone(i), day.Add(time.Duration(i-1500) * step)})
			}
			// Stored: the first 2,000, of which 500 twice. Not: the last 1,000.
			insert(7, eventType, 1, day, places[:1500]...)
			insert(7, eventType, 2, day+1, places[1000:2000]...)
			// Close by, each in one thing only.
			var near []place
			for i := 2000; i < 3000; i++ {
				near = append(near, place{places[i].phone, places[i].at + 1}, place{places[i].phone + 1, places[i].at})
			}
			insert(7, eventType, 3, day, near...)
			insert(8, eventType, 4, day, places...)
			insert(7, "another "+eventType, 5, day, places...)

			var want []leadevents.StoredKey
			for i, p := range places[:2000] {
				if i < 1500 {
					want = append(want, leadevents.StoredKey{Phone: p.phone, OccurredAt: p.at, Batch: 1, IngestedAt: day})
				}
				if i >= 1000 {
					want = append(want, leadevents.StoredKey{Phone: p.phone, OccurredAt: p.at, Batch: 2, IngestedAt: day + 1})
				}
			}
			var phones []uint64
			var times []int64
			for i := range places { // in no order
				p := places[i*1009%len(places)]
				phones, times = append(phones, uint64(p.phone)), append(times, int64(p.at))
			}
			got, err := db.FindKeys(t.Context(), 7, eventType, phones, times)
			if err != nil {
				t.Fatal(err)
			}
			slices.SortFunc(got, func(a, b leadevents.StoredKey) int {
				return cmp.Or(cmp.Compare(a.Phone, b.Phone), cmp.Compare(a.OccurredAt, b.OccurredAt), cmp.Compare(a.Batch, b.Batch))
			})
			if diff := gocmp.Diff(want, got); diff != "" {
				t.Errorf("found (-want +got):\n%s", diff)
			}
		})
	}
}
