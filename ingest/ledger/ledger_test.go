package ledger_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"leadevents"
	"leadevents/clickhouse"
	"leadevents/clickhouse/schema"
	"leadevents/ingest/ledger"
	"leadevents/internal/storetest"
)

// fixture is a ledger on real stores.
type fixture struct {
	*ledger.Ledger
	t     *testing.T
	cfg   ledger.Config
	db    *clickhouse.DB
	redis *redis.Client
}

func open(t *testing.T, change ...func(*ledger.Config)) *fixture {
	t.Helper()
	ch, store := storetest.ClickHouse(t), storetest.Redis(t)
	db, err := clickhouse.Open(clickhouse.Config{Addrs: []string{ch.Native}, Database: ch.Database, User: ch.User, Password: ch.Password})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if err := schema.Migrate(t.Context(), db.Conn(), ch.Database); err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t, db: db, redis: redis.NewClient(&redis.Options{Addr: store.Addr, Password: store.Password, Protocol: 2})}
	t.Cleanup(func() { _ = f.redis.Close() })
	f.cfg = ledger.Config{Addr: store.Addr, Password: store.Password, Prefix: store.Prefix, HeartbeatEvery: 200 * time.Millisecond}
	for _, c := range change {
		c(&f.cfg)
	}
	f.Ledger = f.another()
	return f
}

// another is one more process on the same stores.
func (f *fixture) another() *ledger.Ledger {
	f.t.Helper()
	l, err := ledger.New(f.cfg, f.db)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() {
		if err := l.Close(); err != nil {
			f.t.Error(err)
		}
	})
	return l
}

func keys(n int, at leadevents.Millis) []leadevents.Key {
	list := make([]leadevents.Key, n)
	for i := range list {
		list[i] = leadevents.Key{Org: 42, EventType: "t", Phone: leadevents.Phone(15550000000 + i), OccurredAt: at + leadevents.Millis(i%1000)}
	}
	return list
}

func (f *fixture) peek(list []leadevents.Key, claim leadevents.BatchID) (ledger.View, []leadevents.BatchID) {
	f.t.Helper()
	owners := make([]leadevents.BatchID, len(list))
	var claims []leadevents.BatchID
	if claim != 0 {
		claims = slices.Repeat([]leadevents.BatchID{claim}, len(list))
	}
	view, err := f.Peek(f.t.Context(), list, claims, owners)
	if err != nil {
		f.t.Fatalf("peek: %v", err)
	}
	return view, owners
}

func (f *fixture) seal(view ledger.View, list []leadevents.Key, batch leadevents.BatchID) ([]leadevents.BatchID, []leadevents.Contest, error) {
	f.t.Helper()
	owners, tokens := make([]leadevents.BatchID, len(list)), make([]leadevents.BatchID, len(list))
	for i := range tokens {
		tokens[i] = batch
	}
	contests, err := f.Seal(f.t.Context(), view, list, tokens, 0, owners)
	return owners, contests, err
}

func count(owners []leadevents.BatchID, batch leadevents.BatchID) (n int) {
	for _, o := range owners {
		if o == batch {
			n++
		}
	}
	return n
}

func now() leadevents.Millis { return leadevents.MillisOf(time.Now()) }

func TestTheFirstSealOwnsTheKey(t *testing.T) {
	f := open(t)
	list := keys(3500, now())
	view, owners := f.peek(list, 0)
	if count(owners, 0) != 3500 || !view.Trusted() {
		t.Fatalf("%d of 3500 are absent, trusted: %v", count(owners, 0), view.Trusted())
	}
	for range 2 { // sealing again finds its own seals
		owners, contests, err := f.seal(view, list[:2000], 1)
		if err != nil || count(owners, 1) != 2000 || len(contests) != 0 {
			t.Fatalf("%d of 2000 sealed, %d contests, %v", count(owners, 1), len(contests), err)
		}
	}
	owners, contests, err := f.seal(view, list, 2)
	if err != nil || count(owners, 1) != 2000 || count(owners, 2) != 1500 || len(contests) != 2000 {
		t.Fatalf("%d the first's, %d the second's, %d contests, %v", count(owners, 1), count(owners, 2), len(contests), err)
	}
	for _, c := range contests {
		if c.Winner != 1 || c.Loser != 2 {
			t.Fatalf("contest %+v", c)
		}
	}
	if _, owners := f.peek(list, 0); count(owners, 1) != 2000 || count(owners, 2) != 1500 {
		t.Fatalf("a peek sees %d and %d", count(owners, 1), count(owners, 2))
	}
}

// Each key of a group brings its own token.
func TestAGroupSealsForEachOfItsCalls(t *testing.T) {
	f := open(t)
	list := keys(1200, now())
	view, _ := f.peek(list, 0)
	tokens, owners := make([]leadevents.BatchID, len(list)), make([]leadevents.BatchID, len(list))
	for i := range tokens {
		tokens[i] = leadevents.BatchID(1 + i%7)
	}
	if _, err := f.Seal(t.Context(), view, list, tokens, 0, owners); err != nil {
		t.Fatal(err)
	}
	_, seen := f.peek(list, 0)
	for i := range list {
		if owners[i] != tokens[i] || seen[i] != tokens[i] {
			t.Fatalf("key %d: owner %s, seen %s, want %s", i, owners[i], seen[i], tokens[i])
		}
	}
}

func TestASealOverAClaimIsAContest(t *testing.T) {
	f := open(t)
	list := keys(300, now())
	_, owners := f.peek(list, 7)
	f.peek(list, 7) // claimed again by the same: one claim
	f.peek(list[:100], 8)
	if count(owners, 0) != 300 {
		t.Fatal("a claim counts as an owner")
	}
	view, owners := f.peek(list, 0)
	if count(owners, 0) != 300 {
		t.Fatal("a claim counts as an owner")
	}
	owners, contests, err := f.seal(view, list, 9)
	if err != nil || count(owners, 9) != 300 || len(contests) != 400 {
		t.Fatalf("%d sealed, %d contests, %v; want 300 and 400", count(owners, 9), len(contests), err)
	}
	losers := map[leadevents.BatchID]int{}
	for _, c := range contests {
		if c.Winner != 9 {
			t.Fatalf("contest %+v", c)
		}
		losers[c.Loser]++
	}
	if losers[7] != 300 || losers[8] != 100 {
		t.Fatalf("losers %v", losers)
	}
	if view, owners := f.peek(list, 7); count(owners, 9) != 300 || len(view.Claims) != 0 {
		t.Fatal("a claim took a sealed key")
	}
	// Whose answer was lost, or whose process died before the contests were recorded,
	// asks again and hears of them again.
	if owners, contests, err := f.seal(view, list, 9); err != nil || count(owners, 9) != 300 || len(contests) != 400 {
		t.Fatalf("sealed again: %d sealed, %d contests, %v; want 300 and 400", count(owners, 9), len(contests), err)
	}
	if view, owners := f.peek(list, 9); count(owners, 9) != 300 || len(view.Claims) != 400 {
		t.Fatalf("peeked again: %d sealed, %d claims; want 300 and 400", count(owners, 9), len(view.Claims))
	}
	if owners, contests, err := f.seal(view, list, 10); err != nil || count(owners, 9) != 300 || len(contests) != 300 || contests[0].Winner != 9 || contests[0].Loser != 10 {
		t.Fatalf("sealed by another: %d sealed, %d contests, %v", count(owners, 9), len(contests), err)
	}
	other := keys(10, now()+5000)
	view, _ = f.peek(other, 11)
	if _, contests, err := f.seal(view, other, 11); err != nil || len(contests) != 0 {
		t.Fatalf("the claimant's own seal: %d contests, %v", len(contests), err)
	}
}

// A rebuild finds a row before its own request seals it, and sets its key over the claim of
// another request: whoever is then told inserted has to record that contest.
func TestARebuildLeavesClaimsToWhomItSealsFor(t *testing.T) {
	f := open(t)
	list := keys(300, now())
	view, _ := f.peek(list, 0)
	f.peek(list[:200], 7)
	f.peek(list[100:], 8)
	f.peek(list[:50], 9) // its own claim is no contest
	if err := f.Load(t.Context(), list, slices.Repeat([]leadevents.BatchID{9}, len(list))); err != nil {
		t.Fatal(err)
	}
	owners, contests, err := f.seal(view, list, 9)
	if err != nil || count(owners, 9) != 300 {
		t.Fatalf("%d sealed, %v", count(owners, 9), err)
	}
	losers := map[leadevents.BatchID]int{}
	for _, c := range contests {
		losers[c.Loser]++
	}
	if losers[7] != 200 || losers[8] != 200 || len(losers) != 2 {
		t.Fatalf("losers %v, want 200 of 7 and of 8", losers)
	}
}

func TestASealAfterTheDeadlineIsRefused(t *testing.T) {
	f := open(t)
	list := keys(10, now())
	f.peek(list, 0)
	_, _, err := f.seal(f.Seen(now().Add(-f.Deadline()-time.Second)), list, 1)
	if leadevents.KindOf(err) != leadevents.Unavailable || !strings.Contains(err.Error(), "ledger.deadline (30s)") {
		t.Fatalf("got %v", err)
	}
	if _, owners := f.peek(list, 0); count(owners, 0) != 10 {
		t.Fatal("some were sealed")
	}
}

func TestASealRefusesAClockBehindItsStamp(t *testing.T) {
	f := open(t)
	list := keys(10, now())
	f.peek(list, 0)
	_, _, err := f.seal(f.Seen(now().Add(6*time.Second)), list, 1)
	if leadevents.KindOf(err) != leadevents.Unavailable || !strings.Contains(err.Error(), "clock (Redis) went back") {
		t.Fatalf("got %v", err)
	}
	if _, owners := f.peek(list, 0); count(owners, 0) != 10 {
		t.Fatal("some were sealed")
	}
}

func TestFaultRedisClockLeaps(t *testing.T) {
	for name, by := range map[string]time.Duration{"ahead": time.Hour, "back": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			f := open(t)
			f.peek(keys(1, now()), 0)
			before := f.Status().Epoch
			f.ShiftClock(by)
			deadline := time.Now().Add(time.Minute)
			for s := f.Status(); s.Epoch == before || s.State != ledger.Trusted; s = f.Status() {
				if time.Now().After(deadline) {
					t.Fatalf("not noticed, or not trusted again: %+v", s)
				}
				time.Sleep(time.Millisecond)
			}
			if s := f.Status(); !strings.Contains(s.LastReason, "clock leapt by") {
				t.Fatalf("reason %q", s.LastReason)
			}
		})
	}
}

// A peek that finds the clock elsewhere does not wait for the next look.
func TestAPeekNoticesALeap(t *testing.T) {
	f := open(t, func(c *ledger.Config) { c.HeartbeatEvery = time.Hour })
	f.peek(keys(1, now()), 0)
	before := f.Status().Epoch
	f.ShiftClock(time.Hour)
	f.peek(keys(1, now()), 0)
	for deadline := time.Now().Add(time.Minute); f.Status().Epoch == before; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not noticed")
		}
	}
}

// Of processes that start or find a fault at once, one writes the record and all
// have the same.
func TestProcessesAgreeOnTheEpoch(t *testing.T) {
	f := open(t)
	processes := []*ledger.Ledger{f.Ledger, f.another(), f.another(), f.another()}
	for round := range 3 {
		var work sync.WaitGroup
		epochs := make([]string, len(processes))
		for i, l := range processes {
			work.Go(func() {
				list := keys(1, now())
				view, err := l.Peek(t.Context(), list, nil, make([]leadevents.BatchID, 1))
				if err != nil {
					t.Error(err)
					return
				}
				epochs[i] = view.Trust.Epoch
			})
		}
		work.Wait()
		for _, epoch := range epochs {
			if epoch != epochs[0] {
				t.Fatalf("round %d: epochs %v", round, epochs)
			}
		}
		if err := f.redis.Del(t.Context(), f.cfg.Prefix+"epoch").Err(); err != nil {
			t.Fatal(err)
		}
	}
}

// Keys of former eras are removed once the new one is trusted; others' keys in
// the same Redis, and of prefixes that contain ours, are not.
func TestAFormerErasKeysAreRemovedAndNobodyElses(t *testing.T) {
	f := open(t, func(c *ledger.Config) { c.Prefix += "[x]*?:" })
	list := keys(500, now())
	view, _ := f.peek(list, 0)
	if _, _, err := f.seal(view, list, 1); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	neighbour := strings.TrimSuffix(f.cfg.Prefix, "[x]*?:") + "x-anything:k1:mine"
	if err := f.redis.Set(ctx, neighbour, "1", 0).Err(); err != nil {
		t.Fatal(err)
	}
	former := view.Trust.Era
	if err := f.redis.Del(ctx, f.cfg.Prefix+"trust").Err(); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(time.Minute)
	for {
		left := 0
		scan := f.redis.Scan(ctx, 0, "*", 1000).Iterator()
		for scan.Next(ctx) {
			if strings.HasPrefix(scan.Val(), f.cfg.Prefix+"k"+former+":") {
				left++
			}
		}
		if scan.Err() != nil {
			t.Fatal(scan.Err())
		}
		if left == 0 && f.Status().State == ledger.Trusted {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d buckets of era %s are left, %+v", left, former, f.Status())
		}
		time.Sleep(5 * time.Millisecond)
	}
	if f.redis.Get(ctx, neighbour).Val() != "1" {
		t.Fatal("a neighbour's key is gone")
	}
}

// Each key of a group is claimed for its own call.
func TestAGroupClaimsForEachOfItsCalls(t *testing.T) {
	f := open(t)
	list := keys(1200, now())
	claims, owners := make([]leadevents.BatchID, len(list)), make([]leadevents.BatchID, len(list))
	for i := range claims {
		claims[i] = leadevents.BatchID(1 + i%7)
	}
	if _, err := f.Peek(t.Context(), list, claims, owners); err != nil || count(owners, 0) != len(list) {
		t.Fatalf("%v; %d are free", err, count(owners, 0))
	}
	view, _ := f.peek(list, 0)
	_, contests, err := f.seal(view, list, 7)
	if err != nil {
		t.Fatal(err)
	}
	lost := map[leadevents.Key]leadevents.BatchID{}
	for _, c := range contests {
		lost[c.Key] = c.Loser
	}
	for i, key := range list {
		if want := claims[i]; want != 7 && lost[key] != want || want == 7 && lost[key] != 0 {
			t.Fatalf("key %d, claimed for %s, was lost by %s", i, want, lost[key])
		}
	}
}

// A key that 64 dead requests claimed says so; the others of a peek are not to
// suffer for it.
func TestACrowdedKeyIsToldApart(t *testing.T) {
	f := open(t)
	list := keys(1, now())
	owners := make([]leadevents.BatchID, 1)
	for claim := range leadevents.BatchID(64) {
		f.peek(list, claim+1)
	}
	_, err := f.Peek(t.Context(), list, []leadevents.BatchID{65}, owners)
	if !errors.Is(err, ledger.ErrCrowded) || leadevents.KindOf(err) != leadevents.Unavailable {
		t.Fatalf("the 65th claim: %v", err)
	}
	f.peek(list, 64) // has its claim
}

func TestALockIsHeldByOne(t *testing.T) {
	f := open(t)
	lock := func(l *ledger.Ledger, want string, names ...string) func() {
		t.Helper()
		held, unlock, err := l.Lock(t.Context(), names, time.Minute)
		if err != nil || fmt.Sprint(held) != want {
			t.Fatalf("locks %v: held %v, %v; want %s", names, held, err, want)
		}
		return unlock
	}
	unlock := lock(f.Ledger, "[true true]", "a", "b")
	lock(f.another(), "[false false]", "a", "b")
	second := lock(f.Ledger, "[false true]", "b", "c")
	unlock()
	lock(f.another(), "[true false true]", "a", "c", "b")
	second()
	lock(f.another(), "[false true]", "b", "c")
}

// A held lock is renewed: it outlives its own life by far, and ends with release.
func TestAHeldLockIsRenewed(t *testing.T) {
	f := open(t)
	hold := func(l *ledger.Ledger) (bool, func()) {
		t.Helper()
		held, release, err := l.Hold(t.Context(), "a", 300*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		return held, release
	}
	held, release := hold(f.Ledger)
	if !held {
		t.Fatal("a free lock was not held")
	}
	other := f.another()
	for began := time.Now(); time.Since(began) < time.Second; time.Sleep(20 * time.Millisecond) {
		if twice, _ := hold(other); twice {
			t.Fatalf("held twice after %s", time.Since(began))
		}
	}
	release()
	if held, release = hold(other); !held {
		t.Fatal("a released lock is not free")
	}
	release()
}
