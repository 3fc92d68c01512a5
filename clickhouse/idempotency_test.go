package clickhouse

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"leadevents"
	"leadevents/internal/storetest"
)

func TestManyIdempotencyKeysAreFoundAtOnceEachWithItsLatestRecord(t *testing.T) {
	db := credentialsIn(t, storetest.ClickHouse(t))
	ctx := t.Context()
	key := func(org leadevents.OrgID, text string) leadevents.IdempotencyKey {
		return leadevents.IdempotencyKey{Org: org, Key: text}
	}
	record := func(batch leadevents.BatchID, at leadevents.Millis) leadevents.IdempotencyRecord {
		return leadevents.IdempotencyRecord{Batch: batch, BodyHash: [16]byte{byte(batch), 0, 255}, CreatedAt: at}
	}
	now := leadevents.MillisOf(time.Now()) // after two days they are dropped
	if err := db.SaveIdempotencyKeys(ctx,
		[]leadevents.IdempotencyKey{key(1, "a"), key(1, "a"), key(2, "a"), key(1, "it's \\ \x00 \t😀"), key(1, "old")},
		[]leadevents.IdempotencyRecord{record(11, now), record(12, now+5), record(13, now), record(14, now), record(15, now-10)}); err != nil {
		t.Fatal(err)
	}
	if err := db.SaveIdempotencyKeys(ctx, []leadevents.IdempotencyKey{key(1, "a")}, []leadevents.IdempotencyRecord{record(10, now+1)}); err != nil {
		t.Fatal(err)
	}
	found, err := db.FindIdempotencyKeys(ctx, []leadevents.IdempotencyKey{
		key(1, "a"), key(2, "a"), key(3, "a"), key(1, "it's \\ \x00 \t😀"), key(1, "old"), key(1, "A"), key(1, ""),
	}, now)
	if err != nil {
		t.Fatal(err)
	}
	want := map[leadevents.IdempotencyKey]leadevents.IdempotencyRecord{
		key(1, "a"): record(12, now+5), key(2, "a"): record(13, now), key(1, "it's \\ \x00 \t😀"): record(14, now),
	}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Error("-want +got:\n" + diff)
	}
}

func TestReceiptsOfManyBatchesAreFoundAtOnce(t *testing.T) {
	db := credentialsIn(t, storetest.ClickHouse(t))
	ctx := t.Context()
	receipt := func(org leadevents.OrgID, batch leadevents.BatchID, state leadevents.BatchState, finished leadevents.Millis) leadevents.Receipt {
		return leadevents.Receipt{
			Org: org, Batch: batch, EventType: "a", State: state, KeyID: "k", IdempotencyKey: "i", BodyHash: [16]byte{1},
			Received: 3, Inserted: 2, Rejected: 1, CreatedAt: 1_795_000_000_000, FinishedAt: finished,
			Rejects: []leadevents.RowReject{{Index: 2, Phone: "x", HasPhone: true, Reason: "invalid phoneE164"}},
		}
	}
	done, undone, other := receipt(1, 7, leadevents.BatchDone, 1_795_000_000_010), receipt(1, 8, leadevents.BatchUndone, 1_795_000_000_030), receipt(2, 7, leadevents.BatchDone, 1_795_000_000_010)
	if err := db.SaveReceipts(ctx, []leadevents.Receipt{done, receipt(1, 8, leadevents.BatchDone, 1_795_000_000_020), undone, other, receipt(1, 9, leadevents.BatchDone, 1)}); err != nil {
		t.Fatal(err)
	}
	refs := []leadevents.BatchRef{{Org: 1, Batch: 7}, {Org: 1, Batch: 8}, {Org: 2, Batch: 7}, {Org: 2, Batch: 8}}
	found, err := db.ReceiptsOf(ctx, refs, 50)
	if err != nil {
		t.Fatal(err)
	}
	want := map[leadevents.BatchRef]leadevents.Receipt{refs[0]: done, refs[1]: undone, refs[2]: other}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Error("-want +got:\n" + diff)
	}
}

func TestContestsOfManyBatchesAreFoundAtOnce(t *testing.T) {
	db := credentialsIn(t, storetest.ClickHouse(t))
	ctx := t.Context()
	contest := func(org leadevents.OrgID, phone leadevents.Phone, winner, loser leadevents.BatchID) leadevents.Contest {
		return leadevents.Contest{Key: leadevents.Key{Org: org, EventType: "a", Phone: phone, OccurredAt: 1_795_000_000_000}, Winner: winner, Loser: loser}
	}
	if err := db.SaveContests(ctx, []leadevents.Contest{contest(1, 1, 5, 6), contest(1, 2, 6, 5), contest(1, 3, 7, 8), contest(2, 4, 5, 9), contest(1, 5, 9, 5)}); err != nil {
		t.Fatal(err)
	}
	found, err := db.ContestsOf(ctx, []leadevents.BatchRef{{Org: 1, Batch: 5}, {Org: 1, Batch: 8}, {Org: 2, Batch: 8}})
	if err != nil {
		t.Fatal(err)
	}
	got := map[leadevents.Contest]int{}
	for _, c := range found {
		got[c]++
	}
	want := map[leadevents.Contest]int{contest(1, 1, 5, 6): 1, contest(1, 2, 6, 5): 1, contest(1, 3, 7, 8): 1, contest(1, 5, 9, 5): 1}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("-want +got:\n" + diff)
	}
}
