package clickhouse

import (
	"slices"
	"testing"
	"time"

	"leadevents"
	"leadevents/internal/storetest"
	"leadevents/query/audience"
)

// What was left by a process that died between a list and its entry, and by a
// query that outlived its run's removal, goes; what a send is asked for stays.
func TestASweepOfSendsTakesWhatNobodyCanAskFor(t *testing.T) {
	db := credentialsIn(t, storetest.ClickHouse(t))
	ctx := t.Context()
	add := func(org leadevents.OrgID, send string, entries ...audience.SendEntry) {
		t.Helper()
		for i, e := range entries {
			e.Sequence = uint64(i + 1)
			if err := db.AddSendEntry(ctx, org, send, e); err != nil {
				t.Fatal(err)
			}
		}
	}
	defined := func(id, phones uint64) audience.SendEntry {
		return audience.SendEntry{ID: id, Kind: audience.SendDefined, Definition: audience.Definition{Phones: phones, Audience: audience.Reference{Source: audience.Listed}}}
	}
	listed := func(id, list uint64) audience.SendEntry {
		return audience.SendEntry{ID: id, Kind: audience.SendListed, ListFilter: audience.ListFilter{List: audience.List{ID: list, Mode: audience.Include}}}
	}
	claimed := func(run, definition, list uint64) audience.SendEntry {
		return audience.SendEntry{ID: run, Kind: audience.SendClaimed, DefinitionID: definition, ListID: list}
	}
	done := audience.SendEntry{ID: 9, Kind: audience.SendDone, Run: 7, Totals: audience.Totals{DroppedByFilters: []uint64{}}}
	// Lists 1 to 5 and runs 6 to 8 of two organizations; only the first has a send.
	for _, org := range []leadevents.OrgID{42, 43} {
		for list := range uint64(5) {
			if err := db.StoreList(ctx, org, list+1, []leadevents.Phone{15551230000}, nil); err != nil {
				t.Fatal(err)
			}
		}
		for _, table := range []string{"send_leads (organization_id, run, phone)", "send_evidence (organization_id, run, phone)"} {
			if err := db.conn.Exec(ctx, "INSERT INTO "+table+" SELECT ?, arrayJoin([6, 7, 8]), 15551230000", uint64(org)); err != nil {
				t.Fatal(err)
			}
		}
	}
	add(42, "s", defined(1, 1), defined(2, 2), listed(3, 3), claimed(6, 1, 0), claimed(7, 2, 3), done)
	add(42, "t", listed(4, 4))

	left := func(sql string) (ids []uint64) {
		t.Helper()
		rows, err := db.conn.Query(ctx, sql)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var id uint64
			if err := rows.Scan(&id); err != nil {
				t.Fatal(err)
			}
			ids = append(ids, id)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		return ids
	}
	sweep := func(grace time.Duration, want audience.Sweep, lists, runs []uint64) {
		t.Helper()
		got, err := db.SweepSends(ctx, grace)
		if err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("swept %+v, want %+v", got, want)
		}
		if l := left("SELECT DISTINCT organization_id * 10 + list AS x FROM send_lists ORDER BY x"); !slices.Equal(l, lists) {
			t.Errorf("lists %v are left, want %v", l, lists)
		}
		for _, table := range []string{"send_leads", "send_evidence"} {
			if r := left("SELECT DISTINCT organization_id * 10 + run AS x FROM " + table + " ORDER BY x"); !slices.Equal(r, runs) {
				t.Errorf("%s: runs %v are left, want %v", table, r, runs)
			}
		}
	}
	every := []uint64{421, 422, 423, 424, 425, 431, 432, 433, 434, 435}
	// Run 6 may not know yet that it does not count; 8, and all of 43, was never claimed.
	sweep(time.Hour, audience.Sweep{Runs: 4}, every, []uint64{426, 427})
	ahead := -time.Hour // all was written before it
	sweep(ahead, audience.Sweep{Runs: 1, Lists: 7}, []uint64{422, 423, 424}, []uint64{427})
	sweep(ahead, audience.Sweep{}, []uint64{422, 423, 424}, []uint64{427})
}
