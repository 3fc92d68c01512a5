package clickhouse

import (
	"context"
	"fmt"
)

const (
	// statesWorthMerging is how many rows beside the largest part are worth it: fewer
	// cost a filter that asks all of them 10 ms.
	statesWorthMerging = 1_000_000
	// statesToMerge bounds a merge, to some 4 minutes (76 million rows took 17 s on two
	// cores) and 16 GB to rewrite. Larger tables are left to ClickHouse's own merges.
	statesToMerge = 1 << 30
)

// MergeStates makes one part of lead_states where the parts beside the largest hold half
// as many rows as that one, or more; merged says whether it did.
//
// A lead has a state in every part, and a preview reads them all. ClickHouse's merges
// leave parts of equal size for long: 100 million events of 10 million leads left 76
// million states, of which 48 were left in one part, and a preview of a million leads
// took half as long. Its merge_selector_base at 2 instead of 5 was tried: two fifths
// more rows rewritten, and still a fourth more than there are states. As it is done here
// the table has to grow by half before it is written again, so a row is rewritten by
// this a few times in its life.
func (db *DB) MergeStates(ctx context.Context) (merged bool, err error) {
	return db.mergeStates(ctx, statesWorthMerging)
}

func (db *DB) mergeStates(ctx context.Context, worth uint64) (merged bool, err error) {
	var all, largest uint64
	if err := db.conn.QueryRow(ctx, sqlText("states_parts")).Scan(&all, &largest); err != nil {
		return false, unavailable(fmt.Errorf("look at the parts of the states: %w", err))
	}
	if rest := all - largest; rest < worth || rest < largest/2 || all > statesToMerge {
		return false, nil
	}
	// Where some parts are being merged this does nothing, which is no error.
	if err := db.silently(ctx, "OPTIMIZE TABLE lead_states FINAL SETTINGS optimize_throw_if_noop = 0"); err != nil {
		return false, unavailable(fmt.Errorf("merge the states: %w", err))
	}
	return true, nil
}
