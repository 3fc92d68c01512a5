package clickhouse

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"leadevents"
	"leadevents/query/audience"
)

// SweepSends removes, of all organizations, what no send can ask for: the rows of
// runs that were begun longer than grace ago and neither count nor go on (a query
// may outlive the process that removed its run), and lists that were stored that
// long ago and that no send goes by.
//
// What is stored is read before the logs. A run is claimed there before its first
// row, so one that is in none of them has no rows to come.
//
// A run that is under way by its log, and whose lease is lost or has ended, is
// given a lease that has expired: whoever looks for those takes it over.
func (db *DB) SweepSends(ctx context.Context, grace time.Duration) (sweep audience.Sweep, err error) {
	now, err := db.Clock(ctx)
	if err != nil {
		return sweep, err
	}
	since := now.Add(-grace)
	runs, err := db.storedOwned(ctx, "send_runs_stored", nil)
	if err != nil {
		return sweep, err
	}
	lists, err := db.storedOwned(ctx, "send_lists_stored", clickhouse.Parameters{"before": strconv.FormatInt(int64(since), 10)})
	if err != nil {
		return sweep, err
	}
	var underway []audience.Lease
	err = db.sendLogs(ctx, func(org uint64, id string, log audience.SendLog) {
		if send, _ := log.Send(); send.State == audience.SendMaterializing {
			underway = append(underway, audience.Lease{Send: audience.SendRef{Org: leadevents.OrgID(org), ID: id}, Run: send.Run})
		}
		needed := log.Needed(since)
		for _, run := range needed.Runs {
			delete(runs, owned{org, run})
		}
		for _, list := range needed.Lists {
			delete(lists, owned{org, list})
		}
	})
	if err != nil {
		return sweep, err
	}
	if sweep.Leases, err = db.reviveLeases(ctx, underway); err != nil {
		return sweep, err
	}
	dead := deadOf(runs)
	for _, table := range []string{"send_leads", "send_evidence"} {
		if sweep.Runs, err = db.deleteOwned(ctx, table, "run", dead); err != nil {
			return sweep, err
		}
	}
	sweep.Lists, err = db.deleteOwned(ctx, "send_lists", "list", deadOf(lists))
	return sweep, err
}

// reviveLeases makes leases of runs that are under way, and have none.
func (db *DB) reviveLeases(ctx context.Context, underway []audience.Lease) (revived int, err error) {
	for _, u := range underway {
		l, _, err := db.Lease(ctx, u.Send, u.Run)
		if err != nil {
			return revived, err
		}
		if l.Run == u.Run && !l.Ended {
			continue
		}
		u.Renewal, u.Done, u.Parts, u.Left = l.Renewal+1, l.Done, l.Parts, true
		if err := db.SetLeases(ctx, 0, u); err != nil {
			return revived, err
		}
		revived++
	}
	return revived, nil
}

func deadOf(left map[owned]bool) (dead []owned) {
	for o, can := range left {
		if can {
			dead = append(dead, o)
		}
	}
	return dead
}

// sendLogs hands on every send's log with what its entries say of runs and lists,
// and nothing else; f must not keep it.
func (db *DB) sendLogs(ctx context.Context, f func(org uint64, id string, log audience.SendLog)) error {
	var (
		log audience.SendLog
		org uint64
		id  string
	)
	err := db.stream(ctx, "send_logs", nil, func(rows driver.Rows) error {
		var (
			e         audience.SendEntry
			nextOrg   uint64
			next      string
			kind      string
			writtenAt int64
		)
		if err := rows.Scan(&nextOrg, &next, &e.Sequence, &e.ID, &kind, &e.Definition.Phones, &e.ListFilter.ID, &e.DefinitionID, &e.ListID, &e.Run, &writtenAt); err != nil {
			return fmt.Errorf("read an entry of a send: %w", err)
		}
		e.Kind, e.WrittenAt = audience.SendKind(kind), leadevents.Millis(writtenAt)
		if nextOrg != org || next != id {
			f(org, id, log)
			org, id, log = nextOrg, next, log[:0]
		}
		log = append(log, e)
		return nil
	})
	f(org, id, log)
	return err
}
