package ingest

import (
	"context"
	"slices"

	"leadevents"
	"leadevents/ingest/ledger"
)

// contests reads what is known of the keys of calls that are sent again: who won
// those that others stored too. Nil where there are none: new tokens have no past.
// Their keys are no other call's of the group.
func (g *group) contests(ctx context.Context) (map[leadevents.Key]leadevents.BatchID, error) {
	var resumed []leadevents.BatchRef
	for _, call := range g.calls {
		if call.resumed {
			resumed = append(resumed, leadevents.BatchRef{Org: call.Org, Batch: call.id})
		}
	}
	if len(resumed) == 0 {
		return nil, nil
	}
	contests, err := g.in.store.ContestsOf(ctx, resumed)
	if err != nil {
		return nil, err
	}
	winners := make(map[leadevents.Key]leadevents.BatchID, len(contests))
	for _, contest := range contests {
		winners[contest.Key] = contest.Winner
	}
	return winners, nil
}

// yield records the keys of a resumed call that another batch has, though an earlier
// attempt of the call has stored a row of them: who won them may have died before it wrote
// that down, or did not know. The row may outlive the winner's in a merge, and whoever
// undoes one of the two has to know whose the key is. It comes before the seal, which
// tells of those that it loses itself.
func (g *group) yield(ctx context.Context, resumed map[leadevents.Key]leadevents.BatchID) error {
	if resumed == nil {
		return nil
	}
	again := map[leadevents.BatchID]bool{}
	for _, call := range g.calls {
		again[call.id] = call.resumed
	}
	others := map[family][]int32{}
	for k, key := range g.keys {
		if winner, contested := resumed[key]; again[g.tokens[k]] && g.known[k] && g.owners[k] != g.tokens[k] && !(contested && winner == g.owners[k]) {
			f := family{key.Org, key.EventType}
			others[f] = append(others[f], int32(k))
		}
	}
	for f, keys := range others {
		found, err := g.find(ctx, f, keys)
		if err != nil {
			return err
		}
		for _, row := range found {
			if row.Batch == g.tokens[row.key] {
				g.yielded = append(g.yielded, leadevents.Contest{Key: g.keys[row.key], Winner: g.owners[row.key], Loser: row.Batch})
			}
		}
	}
	return nil
}

// lost finds the keys that a resumed call takes for its own, though another batch has won
// them and knew nothing of it: Redis lost the call's claim, the rebuild had been where its
// rows came to lie, and Redis lost the other's seal as well. Such a batch has a row of the
// key and a receipt, and no contest that it lost to the call: it stores only what it takes
// for new, and records what it loses before its receipt.
func (g *group) lost(ctx context.Context, resumed map[leadevents.Key]leadevents.BatchID) error {
	if resumed == nil {
		return nil
	}
	again := map[leadevents.BatchID]bool{}
	for _, call := range g.calls {
		again[call.id] = call.resumed
	}
	ours := map[family][]int32{}
	for k, key := range g.keys {
		_, contested := resumed[key]
		if again[g.tokens[k]] && !contested && (g.stored[k] && !g.known[k] || g.known[k] && g.owners[k] == g.tokens[k]) {
			f := family{key.Org, key.EventType}
			ours[f] = append(ours[f], int32(k))
		}
	}
	for f, keys := range ours {
		if err := g.lostFamily(ctx, f, keys); err != nil {
			return err
		}
	}
	return nil
}

// lostReceipts is how many receipts are asked for at once: a granule each.
const lostReceipts = 1000

func (g *group) lostFamily(ctx context.Context, f family, keys []int32) error {
	found, err := g.find(ctx, f, keys)
	if err != nil {
		return err
	}
	others := map[leadevents.BatchID][]storedRow{}
	var asked []ledger.Landed
	for _, row := range found {
		if row.Batch == g.tokens[row.key] {
			continue
		}
		if others[row.Batch] == nil {
			asked = append(asked, ledger.Landed{Org: f.org, Batch: row.Batch})
		}
		others[row.Batch] = append(others[row.Batch], row)
	}
	for some := range slices.Chunk(asked, lostReceipts) {
		lacking, err := g.in.store.LackReceipts(ctx, some)
		if err != nil {
			return err
		}
		for _, l := range lacking {
			delete(others, l.Batch)
		}
	}
	// Where Redis has the key for us, its presence is all that others ask of it.
	present := map[int32]bool{}
	for _, k := range keys {
		present[k] = g.known[k]
	}
	for batch, rows := range others {
		for _, row := range rows {
			k := row.key
			// As in the cold check: one row of several is enough.
			g.orphan[k] = g.orphan[k] || !present[k] && g.in.ledger.Orphan(g.view, row.OccurredAt, row.IngestedAt)
			g.known[k], g.owners[k] = true, batch
		}
	}
	return nil
}
