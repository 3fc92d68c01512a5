package clickhouse

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"leadevents"
)

// maxSwept bounds one mutation: its text holds what it deletes, 30 bytes each.
const maxSwept = 5000

// owned is a layer, a run or a list of an organization.
type owned struct{ org, id uint64 }

// SweepAudiences removes, of all organizations, what nobody can ask for: uploads
// and layers that were left unfinished that long ago, layers that no audience
// has had for grace, and commits that only spoke of such.
//
// Which layers are stored is read before the logs: one that is committed in
// between is known from its log.
func (db *DB) SweepAudiences(ctx context.Context, unfinished, grace time.Duration) (leadevents.AudienceSweep, error) {
	var sweep leadevents.AudienceSweep
	now, err := db.Clock(ctx)
	if err != nil {
		return sweep, err
	}
	before := clickhouse.Parameters{"before": strconv.FormatInt(int64(now.Add(-unfinished)), 10)}
	left, err := db.uploadsLeft(ctx, before)
	if err != nil {
		return sweep, err
	}
	for _, layer := range left {
		if err := db.DropUpload(ctx, layer); err != nil {
			return sweep, err
		}
		sweep.Uploads++
	}
	stored, err := db.storedOwned(ctx, "audience_layers_stored", before)
	if err != nil {
		return sweep, err
	}
	layers, commits, err := db.dead(ctx, stored, now.Add(-grace))
	if err != nil {
		return sweep, err
	}
	for l, old := range stored {
		if old {
			layers = append(layers, l)
		}
	}
	if sweep.Layers, err = db.deleteOwned(ctx, "audience_leads", "layer", layers); err != nil {
		return sweep, err
	}
	sweep.Commits, err = db.deleteOwned(ctx, "audience_layers", "layer", commits)
	return sweep, err
}

func (db *DB) uploadsLeft(ctx context.Context, before clickhouse.Parameters) (left []leadevents.Layer, err error) {
	err = db.stream(ctx, "audience_uploads_left", before, func(rows driver.Rows) error {
		var layer leadevents.Layer
		err := rows.Scan(&layer)
		left = append(left, layer)
		return err
	})
	return left, err
}

// dead reads all logs: which layers no audience has had since, and which commits
// can go because their layers have gone. What any log speaks of is taken from
// stored.
func (db *DB) dead(ctx context.Context, stored map[owned]bool, since leadevents.Millis) (layers, commits []owned, err error) {
	var (
		log leadevents.AudienceLog
		org uint64
		id  string
	)
	end := func() {
		for _, d := range log.Dead() {
			l := owned{org, d.Layer}
			_, there := stored[l]
			switch {
			case d.Since >= since:
			case there:
				layers = append(layers, l)
			case !d.Head, d.Alone: // a head alone deletes: one that replaces is content, or merged
				commits = append(commits, l)
			}
		}
		for i := range log {
			delete(stored, owned{org, log[i].Layer})
		}
		log = log[:0]
	}
	err = db.stream(ctx, "audience_logs", nil, func(rows driver.Rows) error {
		var nextOrg uint64
		nextID, c, err := scanCommit(rows, &nextOrg)
		if nextOrg != org || nextID != id {
			end()
			org, id = nextOrg, nextID
		}
		log = append(log, c)
		return err
	})
	end()
	return layers, commits, err
}

// storedOwned reads what is stored, and whether it was written before a moment.
func (db *DB) storedOwned(ctx context.Context, document string, before clickhouse.Parameters) (map[owned]bool, error) {
	stored := map[owned]bool{}
	err := db.stream(ctx, document, before, func(rows driver.Rows) error {
		var (
			o   owned
			old uint8
		)
		err := rows.Scan(&o.org, &o.id, &old)
		stored[o] = old != 0
		return err
	})
	return stored, err
}

// deleteOwned deletes the rows of up to maxSwept of them, and waits for it.
func (db *DB) deleteOwned(ctx context.Context, table, column string, dead []owned) (deleted int, err error) {
	dead = dead[:min(len(dead), maxSwept)]
	if len(dead) == 0 {
		return 0, nil
	}
	var orgs, ids []uint64
	for _, l := range dead {
		orgs, ids = append(orgs, l.org), append(ids, l.id)
	}
	p := clickhouse.Parameters{"organizations": parameterNumbers(orgs), "ids": parameterNumbers(ids)}
	err = db.silently(params(ctx, p), `ALTER TABLE `+table+` DELETE WHERE (organization_id, `+column+`) IN
		arrayZip({organizations:Array(UInt64)}, {ids:Array(UInt64)}) SETTINGS mutations_sync = 1`)
	if err != nil {
		return 0, unavailable(fmt.Errorf("delete what %d of %s left: %w", len(dead), table, err))
	}
	return len(dead), nil
}
