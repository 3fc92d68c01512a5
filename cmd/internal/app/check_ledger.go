package app

import (
	"fmt"
	"time"

	"leadevents/configs"
	"leadevents/ingest/ledger"
)

// checkLedger says how far Redis is believed, as the servers have noted it in
// both stores. None of it is broken: counts stay exact, only slower.
func checkLedger(s configs.Settings, archive ledger.ArchiveState, redis ledger.Facts) Finding {
	const (
		subject = "ledger"
		wait    = "nothing: counts are exact meanwhile, but every event is looked up in ClickHouse; the log and /readyz say when it is over"
		start   = "start a server (`leadevents serve`): it finds this out, keeps counts exact, and rebuilds the ledger from ClickHouse"
	)
	warn := func(remedy, format string, args ...any) Finding {
		return Finding{Warning, subject, fmt.Sprintf(format, args...), remedy}
	}
	t := redis.Trust
	switch {
	case t == nil && archive.Number == 0 && archive.Empty:
		return Finding{OK, subject, "it is empty, and so is ClickHouse: the first server begins it", ""}
	case t == nil:
		return warn(start, "Redis has no trust record, and ClickHouse has events: Redis was flushed or replaced, or never used with this ClickHouse")
	case t.Epoch == "":
		return warn(start, "Redis' trust record cannot be read")
	case t.Table != archive.Table:
		return warn(start, "Redis remembers another table lead_events than ClickHouse has")
	case t.Number < archive.Number:
		return warn(start, "Redis has gone back in time: its trust record is number %d, ClickHouse's %d", t.Number, archive.Number)
	case t.HorizonMs != s.Ledger.Horizon.Milliseconds():
		return warn("nothing, if it is meant: the next start of a server rebuilds the ledger for it; else set ledger.horizon back",
			"ledger.horizon is %s, and the ledger was built for %s", s.Ledger.Horizon, time.Duration(t.HorizonMs)*time.Millisecond)
	case t.State == ledger.Trusted:
		return Finding{OK, subject, fmt.Sprintf("it is trusted since %s", t.Since), ""}
	case redis.Rebuild.Running:
		return warn(wait, "it is %s (%s): %d keys have been set again, %d slices of time are done", t.State, t.Reason, redis.Rebuild.Keys, redis.Rebuild.Slices)
	}
	return warn(start, "it is %s (%s), and no server rebuilds it: %d keys have been set again, %d slices of time are done", t.State, t.Reason, redis.Rebuild.Keys, redis.Rebuild.Slices)
}
