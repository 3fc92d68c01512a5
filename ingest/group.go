package ingest

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"leadevents"
	"leadevents/ingest/ledger"
)

// group is calls that go through the store together: one big call, or many
// small ones (group commit), all with an Idempotency-Key or all without. Its
// steps are those of the package comment.
type group struct {
	in    *Ingester
	calls []*Call

	// The distinct keys of the calls; a key belongs to the first call that
	// brought it, which is its candidate for "inserted".
	keys   []leadevents.Key
	tokens []leadevents.BatchID // of that call
	events []leadevents.Event
	rows   [][]int32 // rows[c][r]: which key row r of call c is; ^key where the call brought it before

	owners []leadevents.BatchID // after the peek, and then after the seal
	known  []bool               // the owner is certain: nothing is to be sealed
	stored []bool               // our row is in the store already (an earlier attempt's)
	orphan []bool               // a duplicate by its row alone: to be sealed for its owner
	view   ledger.View
	// yielded are contests that are not recorded yet, of calls that are sent again.
	yielded []leadevents.Contest
}

// run takes the group through every step and answers its calls. What goes wrong
// with a group goes wrong for all its calls: they get the same 503, and sending
// any of them again is safe.
func (g *group) run(ctx context.Context) error {
	m := &g.in.metrics
	if err := g.refuse(ctx); err != nil {
		return err
	}
	g.collapse()

	// 2. peek. The deadline of the whole runs from the stamp that it takes.
	timer := m.step("peek")
	if err := g.peek(ctx); err != nil {
		return fmt.Errorf("peek: %w", err)
	}
	timer()
	ctx, cancel := context.WithTimeout(ctx, g.in.ledger.Deadline())
	defer cancel()

	// 3. cold check.
	timer = m.step("cold_check")
	if err := g.coldCheck(ctx); err != nil {
		return fmt.Errorf("cold check: %w", err)
	}
	timer()
	if g.calls[0].DryRun {
		inserted := func(k int) bool { return !g.known[k] || g.owners[k] == g.tokens[k] }
		g.count(inserted)
		g.conflicts(ctx, inserted)
		return nil
	}

	// 4. store.
	timer = m.step("insert")
	if err := g.store(ctx); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	timer()

	// 5. seal.
	timer = m.step("seal")
	contests, err := g.seal(ctx)
	if err != nil {
		return fmt.Errorf("seal: %w", err)
	}
	contests = append(contests, g.yielded...)
	for _, claim := range g.view.Claims {
		if g.owners[claim.Key] == g.tokens[claim.Key] {
			contests = append(contests, leadevents.Contest{Key: g.keys[claim.Key], Winner: g.tokens[claim.Key], Loser: claim.Batch})
		}
	}
	timer()
	inserted := func(k int) bool { return g.owners[k] == g.tokens[k] }
	g.count(inserted)
	g.conflicts(ctx, inserted)

	// 6. contests and 7. receipts: durable before the answer.
	timer = m.step("receipt")
	if err := g.record(ctx, contests); err != nil {
		return fmt.Errorf("write receipts: %w", err)
	}
	timer()
	// An answer that rests on what Redis knew and ClickHouse was not asked holds
	// only if ClickHouse is still the one that was examined.
	last := g.calls[len(g.calls)-1] // the receipts of a group are one insert
	if err := g.in.ledger.Confirm(ctx, g.view, last.Org, last.id); err != nil {
		return fmt.Errorf("confirm: %w", err)
	}
	return nil
}

// 1. collapse: a key that repeats inside a call counts once for it, and inside a
// group goes to the store once.
func (g *group) collapse() {
	total := 0
	for _, call := range g.calls {
		total += len(call.Events)
	}
	g.keys = make([]leadevents.Key, 0, total)
	g.tokens = make([]leadevents.BatchID, 0, total)
	g.events = make([]leadevents.Event, 0, total)
	g.rows = make([][]int32, len(g.calls))

	families := map[family]uint32{}
	of := make([]uint32, 0, total) // the families of the keys
	seen := newPlaces(total)
	lastCall := make([]int32, 0, total) // the last call that brought the key
	for c, call := range g.calls {
		f := family{call.Org, call.EventType}
		id, ok := families[f]
		if !ok {
			id = uint32(len(families))
			families[f] = id
		}
		rows := make([]int32, len(call.Events))
		for r, event := range call.Events {
			place := seen.of(hashOf(event.Phone, event.OccurredAt, id), func(k int32) bool {
				return of[k] == id && g.isOf(k, event.Phone, event.OccurredAt)
			})
			k := *place - 1
			switch {
			case k < 0:
				k = int32(len(g.keys))
				*place = k + 1
				g.keys = append(g.keys, leadevents.Key{Org: call.Org, EventType: call.EventType, Phone: event.Phone, OccurredAt: event.OccurredAt})
				g.tokens = append(g.tokens, call.id)
				g.events = append(g.events, event)
				of = append(of, id)
				lastCall = append(lastCall, int32(c))
				rows[r] = k
			case lastCall[k] == int32(c):
				rows[r] = ^k
			default:
				lastCall[k] = int32(c)
				rows[r] = k
			}
		}
		g.rows[c] = rows
	}
	g.owners = make([]leadevents.BatchID, len(g.keys))
	g.known = make([]bool, len(g.keys))
	g.stored = make([]bool, len(g.keys))
	g.orphan = make([]bool, len(g.keys))
}

func (g *group) peek(ctx context.Context) error {
	var claims []leadevents.BatchID
	if g.calls[0].once() { // so are all of them
		claims = g.tokens
	}
	var err error
	g.view, err = g.in.ledger.Peek(ctx, g.keys, claims, g.owners)
	if err != nil {
		return err
	}
	for k, owner := range g.owners {
		g.known[k] = owner != 0
		if g.known[k] {
			g.in.metrics.ledgerHits.Inc()
		}
	}
	return nil
}

// family is the keys that one query can ask for.
type family struct {
	org       leadevents.OrgID
	eventType string
}

// coldCheck asks ClickHouse for the keys whose absence from Redis proves
// nothing: one query per organization and event type.
func (g *group) coldCheck(ctx context.Context) error {
	var cold map[family][]int32
	for k := range g.keys {
		if g.known[k] || g.in.ledger.Absent(g.view, g.keys[k].OccurredAt) {
			continue
		}
		if cold == nil {
			cold = map[family][]int32{}
		}
		f := family{g.keys[k].Org, g.keys[k].EventType}
		cold[f] = append(cold[f], int32(k))
	}
	resumed, err := g.contests(ctx)
	if err != nil {
		return err
	}
	for k, key := range g.keys {
		// Redis may name us where a rebuild took our row before it read of the
		// contest that we lost.
		if resumed != nil && g.known[k] && g.owners[k] == g.tokens[k] {
			if winner, ok := resumed[key]; ok && winner != g.tokens[k] {
				g.owners[k] = winner
			}
		}
	}
	checks, checking := errgroup.WithContext(ctx)
	checks.SetLimit(4)
	for f, keys := range cold {
		checks.Go(func() error { return g.coldCheckFamily(checking, f.org, f.eventType, keys, resumed) })
	}
	if err := checks.Wait(); err != nil {
		return err
	}
	if err := g.lost(ctx, resumed); err != nil {
		return err
	}
	return g.yield(ctx, resumed)
}

// storedRow is a row that ClickHouse has of a key of the group.
type storedRow struct {
	leadevents.StoredKey
	key int32
}

// isOf says whether a key is of a phone and a moment.
func (g *group) isOf(k int32, phone leadevents.Phone, at leadevents.Millis) bool {
	return g.keys[k].Phone == phone && g.keys[k].OccurredAt == at
}

// question is some keys of one family as the store is asked for them. where finds a key by what
// the store answers; false for one that was not asked for.
func (g *group) question(keys []int32) (phones []uint64, times []int64, where func(leadevents.Phone, leadevents.Millis) (k int32, ok bool)) {
	phones, times = make([]uint64, len(keys)), make([]int64, len(keys))
	asked := newPlaces(len(keys))
	place := func(phone leadevents.Phone, at leadevents.Millis) *int32 {
		return asked.of(hashOf(phone, at, 0), func(k int32) bool { return g.isOf(k, phone, at) })
	}
	for i, k := range keys {
		phones[i], times[i] = uint64(g.keys[k].Phone), int64(g.keys[k].OccurredAt)
		*place(g.keys[k].Phone, g.keys[k].OccurredAt) = k + 1
	}
	return phones, times, func(phone leadevents.Phone, at leadevents.Millis) (int32, bool) {
		k := *place(phone, at) - 1
		return k, k >= 0
	}
}

// find reads the rows of some keys, all of one family.
func (g *group) find(ctx context.Context, f family, keys []int32) ([]storedRow, error) {
	phones, times, where := g.question(keys)
	found, err := g.in.store.FindKeys(ctx, f.org, f.eventType, phones, times)
	if err != nil {
		return nil, err
	}
	rows := make([]storedRow, 0, len(found))
	for _, row := range found {
		if k, ok := where(row.Phone, row.OccurredAt); ok {
			rows = append(rows, storedRow{row, k})
		}
	}
	return rows, nil
}

func (g *group) coldCheckFamily(ctx context.Context, org leadevents.OrgID, eventType string, cold []int32, resumed map[leadevents.Key]leadevents.BatchID) error {
	rows := map[int32][]leadevents.BatchID{} // whose rows a key has
	found, err := g.find(ctx, family{org, eventType}, cold)
	if err != nil {
		return err
	}
	g.in.metrics.coldChecked.Add(float64(len(cold)))
	for _, version := range found {
		k := version.key
		rows[k] = append(rows[k], version.Batch)
		switch {
		case version.Batch == g.tokens[k]:
			g.stored[k] = true
		case g.in.ledger.StoredMeansDuplicate(g.view, version.IngestedAt):
			g.known[k], g.owners[k] = true, version.Batch
			g.orphan[k] = g.orphan[k] || g.in.ledger.Orphan(g.view, version.OccurredAt, version.IngestedAt)
		}
	}
	for _, k := range cold {
		if resumed == nil {
			break
		}
		winner, contested := resumed[g.keys[k]]
		switch {
		case contested && winner != g.tokens[k]:
			g.known[k], g.owners[k], g.orphan[k] = true, winner, false // sealed when it was recorded
		case contested || g.stored[k]:
			// Ours: our earlier attempt won it, or stored it and nobody has
			// recorded that they won it from us (they would have, before their
			// answer: our claim was on the key). On to the seal.
			g.known[k], g.owners[k], g.orphan[k] = false, 0, false
		}
	}
	return g.ensureStates(ctx, org, eventType, rows)
}

// store inserts the rows of the keys that nobody owns. Those that an earlier attempt
// of ours has stored stay as they are: stored again they would look young, and who
// was told duplicate because of them could be told inserted. On an unknown outcome the
// identical rows go again under the same token; when it stays unknown the query
// is ended, so that nothing arrives after the 503, and nothing is sealed.
func (g *group) store(ctx context.Context) error {
	rows := &leadevents.Rows{IngestedAt: g.view.Now}
	missing := 0
	for k := range g.keys {
		if !g.known[k] && !g.stored[k] {
			missing++
		}
	}
	if missing == 0 {
		return nil
	}
	rows.Grow(missing)
	for k := range g.keys {
		if !g.known[k] && !g.stored[k] {
			rows.Append(g.keys[k].Org, g.keys[k].EventType, g.events[k], g.tokens[k])
		}
	}
	token := leadevents.NewBatchID().String()
	var last error
	var queries []string
	for attempt := range 3 {
		if attempt > 0 {
			g.in.metrics.resends.Inc()
			if err := sleep(ctx, time.Duration(attempt)*100*time.Millisecond); err != nil {
				break
			}
		}
		queryID := "leadevents-" + token + "-" + string(rune('0'+attempt))
		queries = append(queries, queryID)
		last = g.insert(ctx, rows, token, queryID)
		if last == nil {
			return nil
		}
		if isFinal(last) {
			break
		}
		g.in.log.Warn("insert outcome unknown", "rows", rows.Len(), "attempt", attempt+1, "error", last)
		// The attempt may still be at work behind a dead connection.
		g.kill(ctx, queryID)
		if ctx.Err() != nil {
			break
		}
	}
	// Rows may be there without their state, and their client may never come again.
	g.in.mender.add(rows.IngestedAt, queries)
	if isFinal(last) {
		return last
	}
	return leadevents.Wrap(leadevents.Unavailable, last, "the event store (ClickHouse) did not confirm the insert; send the same request again")
}

func (g *group) insert(ctx context.Context, rows *leadevents.Rows, token, queryID string) error {
	ctx, cancel := context.WithTimeout(ctx, g.in.cfg.InsertTimeout)
	defer cancel()
	return g.in.store.InsertEvents(ctx, rows, token, queryID)
}

// kill has a time of its own: it matters most when the group's has run out.
func (g *group) kill(ctx context.Context, queryID string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if err := g.in.store.Kill(ctx, queryID); err != nil {
		g.in.log.Warn("insert could not be ended", "query", queryID, "error", err)
	}
}

// seal decides the counts: of all that stored a key, one seals it. Orphans are
// sealed for the batch whose row was found.
func (g *group) seal(ctx context.Context) ([]leadevents.Contest, error) {
	index, orphans := make([]int32, 0, len(g.keys)), 0
	for k := range g.keys {
		if !g.known[k] || g.orphan[k] {
			index = append(index, int32(k))
		}
		if g.orphan[k] {
			orphans++
		}
	}
	if len(index) == 0 {
		return nil, nil
	}
	g.in.metrics.orphans.Add(float64(orphans))
	keys, tokens, owners := g.keys, g.tokens, g.owners
	if len(index) < len(g.keys) || orphans > 0 {
		keys = make([]leadevents.Key, len(index))
		tokens = make([]leadevents.BatchID, len(index))
		owners = make([]leadevents.BatchID, len(index))
		for i, k := range index {
			keys[i], tokens[i] = g.keys[k], g.tokens[k]
			if g.orphan[k] {
				tokens[i] = g.owners[k]
			}
		}
	}
	keep := time.Duration(0)
	if g.calls[0].once() {
		// Until the Idempotency-Key is forgotten, a retry finds its keys in Redis.
		keep = leadevents.IdempotencyLife
	}
	var (
		contests []leadevents.Contest
		err      error
	)
	for attempt := range 3 {
		contests, err = g.in.ledger.Seal(ctx, g.view, keys, tokens, keep, owners)
		if err == nil || ctx.Err() != nil || attempt == 2 {
			break
		}
		// The same tokens find their own seals again, so another try is safe; it
		// ends by itself when the epoch has changed or the deadline has passed.
		if sleep(ctx, 100*time.Millisecond) != nil {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	if len(index) < len(g.keys) || orphans > 0 {
		for i, k := range index {
			g.owners[k] = owners[i]
		}
	}
	return contests, nil
}

// count gives every call its numbers. A row is inserted if it is the first of
// its key in the call and the key became, or is, the call's.
func (g *group) count(inserted func(k int) bool) {
	for c, call := range g.calls {
		n := 0
		for _, k := range g.rows[c] {
			if k >= 0 && g.tokens[k] == call.id && inserted(int(k)) {
				n++
			}
		}
		call.result = Result{
			Received: call.Received, Inserted: n, Duplicates: len(call.Events) - n, Rejected: len(call.Rejects),
			Rejects: call.Rejects[:min(len(call.Rejects), leadevents.MaxRejectsShown)],
		}
		if !call.DryRun {
			call.result.Batch = call.id
		}
	}
}

// record writes contests and receipts. A receipt says that the contests of its batch are
// recorded: whoever finds it, and none, takes the batch for the winner of what it stored.
func (g *group) record(ctx context.Context, contests []leadevents.Contest) error {
	receipts := make([]leadevents.Receipt, len(g.calls))
	now := g.in.now()
	for c, call := range g.calls {
		receipts[c] = call.receipt(leadevents.BatchDone, leadevents.MillisOf(now))
	}
	if len(contests) > 0 {
		g.in.metrics.contested.Add(float64(len(contests)))
		if err := g.in.store.SaveContests(ctx, contests); err != nil {
			return err
		}
	}
	return g.in.store.SaveReceipts(ctx, receipts)
}
