package clickhouse

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"leadevents"
	"leadevents/internal/storetest"
)

const audienceOrg leadevents.OrgID = 7

// staged stores leads ("phone:id phone:id") as an upload in pieces of two.
func staged(t *testing.T, db *DB, layer leadevents.Layer, leads string) uint64 {
	t.Helper()
	var piece leadevents.LeadPiece
	words := strings.Fields(leads)
	for i := 0; i < len(words); i += 2 {
		piece.Reset(uint64(i))
		for _, word := range words[i:min(i+2, len(words))] {
			var phone leadevents.Phone
			text, id, _ := strings.Cut(word, ":")
			if _, err := fmt.Sscan(text, &phone); err != nil {
				t.Fatal(err)
			}
			piece.Append(phone, []byte(id))
		}
		if err := db.StageLeads(t.Context(), audienceOrg, layer, &piece); err != nil {
			t.Fatal(err)
		}
	}
	return uint64(len(words))
}

// leadsOf is what the layers have, in their order and by phone.
func leadsOf(t *testing.T, db *DB, layers ...leadevents.Layer) string {
	t.Helper()
	var all []string
	for _, layer := range layers {
		rows, err := db.conn.Query(t.Context(), `SELECT phone, external_id FROM audience_leads WHERE organization_id = ? AND layer = ? ORDER BY phone`, uint64(audienceOrg), layer)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var phone uint64
			var id string
			if err := rows.Scan(&phone, &id); err != nil {
				t.Fatal(err)
			}
			all = append(all, fmt.Sprintf("%d:%s", phone, id))
		}
		if err := rows.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return strings.Join(all, " ")
}

func count(t *testing.T, db *DB, table string) (n uint64) {
	t.Helper()
	if err := db.conn.QueryRow(t.Context(), "SELECT count() FROM "+table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestALayerHasEachPhoneOnceAndTheFirstId(t *testing.T) {
	db := credentialsIn(t, storetest.ClickHouse(t))
	rows := staged(t, db, 1, "30:a 10:b 30:c 20: 10:d 40:é'\\ 20:e 30:f")
	leads, err := db.FinishLayer(t.Context(), audienceOrg, 1, rows, nil)
	if want := "10:b 20: 30:a 40:é'\\"; err != nil || leads != 4 || leadsOf(t, db, 1) != want {
		t.Errorf("%d leads, %v: %q; want %q", leads, err, leadsOf(t, db, 1), want)
	}
	// A piece that is sent again, as after an unknown outcome.
	rows = staged(t, db, 2, "30:a 10:b 30:c")
	staged(t, db, 2, "30:a 10:b 30:c")
	if leads, err := db.FinishLayer(t.Context(), audienceOrg, 2, rows, nil); err != nil || leads != 2 || leadsOf(t, db, 2) != "10:b 30:a" {
		t.Errorf("sent again: %d leads, %v: %q", leads, err, leadsOf(t, db, 2))
	}
	// What one organization stages is not in another's layer of the same id.
	staged(t, db, 3, "30:a")
	if leads, err := db.FinishLayer(t.Context(), audienceOrg+1, 3, 1, nil); err != nil || leads != 0 {
		t.Errorf("another organization's: %d leads, %v", leads, err)
	}
	for layer := range leadevents.Layer(3) {
		if err := db.DropUpload(t.Context(), layer+1); err != nil {
			t.Fatal(err)
		}
	}
	if n := count(t, db, "audience_uploads"); n != 0 {
		t.Errorf("%d rows are staged still", n)
	}
	if err := db.DropUpload(t.Context(), 99); err != nil {
		t.Errorf("drop what is not there: %v", err)
	}
}

// Few rows are looked for in what is there, many are merged with it: the same comes out.
func TestAnAdditionHasWhatIsNew(t *testing.T) {
	db := credentialsIn(t, storetest.ClickHouse(t))
	make := func(layer leadevents.Layer, rows uint64, leads string, others ...leadevents.Layer) uint64 {
		t.Helper()
		staged(t, db, layer, leads)
		n, err := db.FinishLayer(t.Context(), audienceOrg, layer, rows, others)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	make(1, 3, "10:a 20:b 30:c")
	make(2, 2, "40:d 50:e")
	make(3, 1, "70:no")
	for i, rows := range []uint64{6, fewLeads + 1} {
		layer := leadevents.Layer(10 + i)
		n := make(layer, rows, "20:x 60:y 50:z 70:w 60:v 5:u", 1, 2)
		if want := "5:u 60:y 70:w"; n != 3 || leadsOf(t, db, layer) != want {
			t.Errorf("of %d rows: %d leads: %s; want %s", rows, n, leadsOf(t, db, layer), want)
		}
		if n := make(layer+5, rows, "20:x 50:z", 1, 2); n != 0 {
			t.Errorf("of %d rows that are all there: %d leads", rows, n)
		}
	}
}

func TestMergedLayersHaveTheSameLeads(t *testing.T) {
	db := credentialsIn(t, storetest.ClickHouse(t))
	for layer, leads := range map[leadevents.Layer]string{9: "10:a 20:b", 3: "20:c 30:d", 5: "20:e 30:f 40:g"} {
		if _, err := db.FinishLayer(t.Context(), audienceOrg, layer, staged(t, db, layer, leads), nil); err != nil {
			t.Fatal(err)
		}
	}
	leads, err := db.MergeLayers(t.Context(), audienceOrg, 100, []leadevents.Layer{9, 3, 5})
	if want := "10:a 20:b 30:d 40:g"; err != nil || leads != 4 || leadsOf(t, db, 100) != want {
		t.Errorf("%d leads, %v: %s; want %s", leads, err, leadsOf(t, db, 100), want)
	}
}

func TestAudiencesAreListedByTheirIds(t *testing.T) {
	db := credentialsIn(t, storetest.ClickHouse(t))
	commit := func(org leadevents.OrgID, id string, c leadevents.AudienceCommit) {
		t.Helper()
		if err := db.CommitAudience(t.Context(), org, id, c); err != nil {
			t.Fatal(err)
		}
	}
	var want []string
	for i := range 40 {
		id := fmt.Sprintf("a-%02d", i)
		commit(audienceOrg, id, leadevents.AudienceCommit{Sequence: 1, Layer: leadevents.Layer(2*i + 1), Replaces: true, Leads: uint64(i)})
		switch {
		case i%4 == 0 || i > 10 && i < 30: // whole pages of deleted ones
			commit(audienceOrg, id, leadevents.AudienceCommit{Sequence: 2, Layer: leadevents.Layer(2*i + 2), Deleted: true})
		default:
			want = append(want, id)
			commit(audienceOrg, id, leadevents.AudienceCommit{Sequence: 2, Layer: leadevents.Layer(2*i + 2), Base: leadevents.Layer(2*i + 1), Leads: 1})
		}
	}
	commit(audienceOrg+1, "a-05x", leadevents.AudienceCommit{Sequence: 1, Layer: 1, Replaces: true})
	for _, limit := range []int{1, 3, 7, 1000} {
		var got []string
		after := ""
		for {
			page, err := db.Audiences(t.Context(), audienceOrg, after, limit)
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range page {
				var i uint64
				if _, err := fmt.Sscanf(a.ID, "a-%02d", &i); err != nil || a.Leads != i+1 || a.CreatedAt == 0 || a.ChangedAt < a.CreatedAt {
					t.Errorf("%+v (%v)", a, err)
				}
				got = append(got, a.ID)
			}
			if len(page) > limit {
				t.Fatalf("%d in a page of %d", len(page), limit)
			}
			if len(page) < limit {
				break
			}
			after = page[len(page)-1].ID
		}
		if !slices.Equal(got, want) {
			t.Errorf("in pages of %d: %v; want %v", limit, got, want)
		}
	}
}

func TestTimesOfACommit(t *testing.T) {
	db := credentialsIn(t, storetest.ClickHouse(t))
	given := leadevents.AudienceCommit{Sequence: 3, Layer: 1<<63 - 1, Base: 5, Merged: []leadevents.Layer{1, 2}, Leads: 9, Since: 1000, ChangedAt: 2000}
	if err := db.CommitAudience(t.Context(), audienceOrg, "x", given); err != nil {
		t.Fatal(err)
	}
	log, err := db.AudienceLog(t.Context(), audienceOrg, "x")
	if err != nil || len(log) != 1 {
		t.Fatalf("%+v, %v", log, err)
	}
	got := log[0]
	if age := time.Since(got.CommittedAt.Time()); age < -time.Second || age > time.Minute {
		t.Errorf("committed at %s", got.CommittedAt)
	}
	got.CommittedAt = 0
	if fmt.Sprint(got) != fmt.Sprint(given) {
		t.Errorf("%+v; want %+v", got, given)
	}
	if err := db.CommitAudience(t.Context(), audienceOrg, "y", leadevents.AudienceCommit{Sequence: 1, Layer: 1, Replaces: true}); err != nil {
		t.Fatal(err)
	}
	log, err = db.AudienceLog(t.Context(), audienceOrg, "y")
	if err != nil || log[0].Since != log[0].CommittedAt || log[0].ChangedAt != log[0].CommittedAt {
		t.Errorf("%+v, %v", log, err)
	}
}

// A sweep takes what is left of dead uploads and of audiences' pasts, and nothing
// of what is there, of what is on its way, or within the grace.
func TestASweepTakesWhatNobodyCanAskFor(t *testing.T) {
	db := credentialsIn(t, storetest.ClickHouse(t))
	ctx := t.Context()
	layer := func(l leadevents.Layer) {
		t.Helper()
		if _, err := db.FinishLayer(ctx, audienceOrg, l, staged(t, db, l, fmt.Sprintf("%d:x", l)), nil); err != nil {
			t.Fatal(err)
		}
		if err := db.DropUpload(ctx, l); err != nil {
			t.Fatal(err)
		}
	}
	commit := func(id string, c leadevents.AudienceCommit) {
		t.Helper()
		if c.Leads = 1; c.Deleted {
			c.Leads = 0
		} else {
			layer(c.Layer)
		}
		if err := db.CommitAudience(ctx, audienceOrg, id, c); err != nil {
			t.Fatal(err)
		}
	}
	commit("replaced", leadevents.AudienceCommit{Sequence: 1, Layer: 11, Replaces: true})
	commit("replaced", leadevents.AudienceCommit{Sequence: 2, Layer: 12, Base: 11})
	commit("replaced", leadevents.AudienceCommit{Sequence: 3, Layer: 13, Replaces: true})
	commit("merged", leadevents.AudienceCommit{Sequence: 1, Layer: 21, Replaces: true})
	commit("merged", leadevents.AudienceCommit{Sequence: 2, Layer: 22, Base: 21})
	commit("merged", leadevents.AudienceCommit{Sequence: 1, Layer: 23, Base: 21, Merged: []leadevents.Layer{21, 22}})
	commit("deleted", leadevents.AudienceCommit{Sequence: 1, Layer: 31, Replaces: true})
	commit("deleted", leadevents.AudienceCommit{Sequence: 2, Layer: 32, Deleted: true})
	layer(41)               // never committed
	staged(t, db, 51, "1:") // never finished
	stored := func() (layers []leadevents.Layer) {
		t.Helper()
		if err := db.conn.QueryRow(ctx, `SELECT arraySort(groupUniqArray(layer)) FROM audience_leads`).Scan(&layers); err != nil {
			t.Fatal(err)
		}
		return layers
	}
	sweep := func(unfinished, grace time.Duration, want leadevents.AudienceSweep, layers ...leadevents.Layer) {
		t.Helper()
		got, err := db.SweepAudiences(ctx, unfinished, grace)
		if err != nil || got != want {
			t.Errorf("swept %+v, %v; want %+v", got, err, want)
		}
		if left := stored(); !slices.Equal(left, layers) {
			t.Errorf("left are %v; want %v", left, layers)
		}
	}
	sweep(time.Hour, time.Hour, leadevents.AudienceSweep{}, 11, 12, 13, 21, 22, 23, 31, 41)
	// A negative time is the next hour: all that is there is older.
	const next = -time.Hour
	sweep(time.Hour, next, leadevents.AudienceSweep{Layers: 5}, 13, 23, 41)
	sweep(next, time.Hour, leadevents.AudienceSweep{Uploads: 1, Layers: 1}, 13, 23)
	// The commits of layers that are gone go next; the head of a merge stays.
	sweep(next, next, leadevents.AudienceSweep{Commits: 4}, 13, 23)
	sweep(next, next, leadevents.AudienceSweep{Commits: 1}, 13, 23) // the delete, alone now
	sweep(next, next, leadevents.AudienceSweep{}, 13, 23)
	if n := count(t, db, "audience_layers"); n != 3 {
		t.Errorf("%d commits are left, want 3", n)
	}
	for id, want := range map[string]string{"replaced": "[13] true", "merged": "[23] true", "deleted": "[] false"} {
		layers, found, err := db.AudienceLayers(ctx, audienceOrg, id)
		if got := fmt.Sprint(layers, found); err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", id, got, err, want)
		}
	}
	if n := count(t, db, "audience_uploads"); n != 0 {
		t.Errorf("%d rows are staged still", n)
	}
}
