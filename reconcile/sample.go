package reconcile

import (
	"context"
	"errors"
	"fmt"

	"leadevents"
	"leadevents/ingest/ledger"
)

// sample compares random keys of the ledger with the rows, and random rows with the keys.
func (l *run) sample(ctx context.Context) error {
	standing, err := l.ledger.Standing(ctx)
	if err != nil {
		return err
	}
	if standing.Doubt != "" {
		return errors.New(standing.Doubt + ": counts are exact meanwhile, and its keys prove nothing")
	}
	if err := l.rowless(ctx, standing); err != nil {
		return err
	}
	return l.keyless(ctx, standing)
}

// rowless looks for keys whose row is not stored. A key is sealed when its row can be
// seen, so one look would do, but for rows that are being removed: their keys follow.
func (l *run) rowless(ctx context.Context, s ledger.Standing) error {
	sample, err := l.ledger.Sample(ctx, s, l.org, l.cfg.Sample)
	if err != nil {
		return err
	}
	l.report.Keys = len(sample)
	lost, err := l.withoutRow(ctx, keysOf(sample))
	if err != nil || len(lost) == 0 {
		return err
	}
	if err := l.pause(ctx, 1); err != nil {
		return err
	}
	owners, err := l.ledger.Owners(ctx, s, lost)
	if err != nil {
		return err
	}
	var still []leadevents.Key
	for i, key := range lost {
		if owners[i] != 0 {
			still = append(still, key)
		}
	}
	if still, err = l.withoutRow(ctx, still); err != nil {
		return err
	}
	for eventType, keys := range byType(still) {
		l.found(Difference{Kind: LedgerRowless, EventType: eventType, Count: uint64(len(keys)), Example: shown(keys[0])})
	}
	return nil
}

// withoutRow are the keys that ClickHouse has no row of.
func (l *run) withoutRow(ctx context.Context, keys []leadevents.Key) ([]leadevents.Key, error) {
	var lost []leadevents.Key
	for eventType, keys := range byType(keys) {
		phones, times := make([]uint64, len(keys)), make([]int64, len(keys))
		for i, key := range keys {
			phones[i], times[i] = uint64(key.Phone), int64(key.OccurredAt)
		}
		rows, err := l.store.FindKeys(ctx, l.org, eventType, phones, times)
		if err != nil {
			return nil, err
		}
		stored := make(map[leadevents.Key]bool, len(rows))
		for _, row := range rows {
			stored[leadevents.Key{Org: l.org, EventType: eventType, Phone: row.Phone, OccurredAt: row.OccurredAt}] = true
		}
		for _, key := range keys {
			if !stored[key] && !l.around.Erasing[key.Phone] {
				lost = append(lost, key)
			}
		}
	}
	return lost, nil
}

// keyless looks for rows without a key though there must be one: the event lies within the
// horizon, and the row's batch has a receipt. A row without one may be of a call that died
// before its seal, which nobody was told of.
func (l *run) keyless(ctx context.Context, s ledger.Standing) error {
	rows, err := l.store.SampleRows(ctx, l.org, s.StaysFrom(), s.Now.Add(-l.cfg.Settled), l.cfg.Sample)
	if err != nil {
		return err
	}
	l.report.Rows = len(rows)
	lost, err := l.withoutKey(ctx, s, rows)
	if err != nil || len(lost) == 0 {
		return err
	}
	if err := l.pause(ctx, 1); err != nil {
		return err
	}
	if lost, err = l.withoutKey(ctx, s, lost); err != nil || len(lost) == 0 {
		return err
	}
	// Rows that were removed meanwhile have no keys any more.
	keys := make([]leadevents.Key, len(lost))
	for i := range lost {
		keys[i] = lost[i].Key
	}
	gone, err := l.withoutRow(ctx, keys)
	if err != nil {
		return err
	}
	left := make(map[leadevents.Key]leadevents.BatchID, len(lost))
	for _, row := range lost {
		left[row.Key] = row.Batch
	}
	for _, key := range gone {
		delete(left, key)
	}
	keys, owners := keys[:0], make([]leadevents.BatchID, 0, len(left))
	for key, owner := range left {
		keys, owners = append(keys, key), append(owners, owner)
	}
	repaired := false
	if l.repair && len(keys) > 0 {
		if err := l.ledger.Restore(ctx, s, keys, owners); err != nil {
			return fmt.Errorf("set %d keys again: %w", len(keys), err)
		}
		repaired = true
	}
	for eventType, keys := range byType(keys) {
		d := Difference{Kind: LedgerKeyless, EventType: eventType, Count: uint64(len(keys)), Example: shown(keys[0])}
		if repaired {
			d.Repaired = d.Count
		}
		l.found(d)
	}
	return nil
}

// withoutKey are the rows of answered batches whose key nobody has sealed, each with the
// batch that it is to be sealed for: the winner where it was contested.
func (l *run) withoutKey(ctx context.Context, s ledger.Standing, rows []Row) ([]Row, error) {
	keys := make([]leadevents.Key, len(rows))
	for i := range rows {
		keys[i] = rows[i].Key
	}
	owners, err := l.ledger.Owners(ctx, s, keys)
	if err != nil {
		return nil, err
	}
	var (
		lost    []Row
		batches []leadevents.BatchRef
		named   = map[leadevents.BatchID]bool{}
	)
	for i, row := range rows {
		if owners[i] != 0 || l.around.Erasing[row.Key.Phone] || l.around.expires(row.Key.EventType) {
			continue
		}
		lost = append(lost, row)
		if !named[row.Batch] {
			named[row.Batch] = true
			batches = append(batches, leadevents.BatchRef{Org: l.org, Batch: row.Batch})
		}
	}
	if len(lost) == 0 {
		return nil, nil
	}
	receipts, err := l.store.ReceiptsOf(ctx, batches, 0)
	if err != nil {
		return nil, err
	}
	contests, err := l.store.ContestsOf(ctx, batches)
	if err != nil {
		return nil, err
	}
	winners := make(map[leadevents.Key]leadevents.BatchID, len(contests))
	for _, c := range contests {
		winners[c.Key] = c.Winner
	}
	answered := lost[:0]
	for _, row := range lost {
		if receipts[leadevents.BatchRef{Org: l.org, Batch: row.Batch}].State != leadevents.BatchDone {
			continue
		}
		if winner := winners[row.Key]; winner != 0 {
			row.Batch = winner
		}
		answered = append(answered, row)
	}
	return answered, nil
}

func keysOf(sample []ledger.Sealed) []leadevents.Key {
	keys := make([]leadevents.Key, len(sample))
	for i := range sample {
		keys[i] = sample[i].Key
	}
	return keys
}

func byType(keys []leadevents.Key) map[string][]leadevents.Key {
	types := map[string][]leadevents.Key{}
	for _, key := range keys {
		types[key.EventType] = append(types[key.EventType], key)
	}
	return types
}

func shown(key leadevents.Key) string {
	return fmt.Sprintf("lead +%d at %s", uint64(key.Phone), key.OccurredAt)
}
