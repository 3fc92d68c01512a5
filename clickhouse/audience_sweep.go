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

// maxSwept bounds one mutation: its text holds every layer, 30 bytes each.
const maxSwept = 5000

// layerOf is a layer of an organization.
type layerOf struct {
	org   uint64
	layer leadevents.Layer
}

// SweepAudiences removes, of all organizations, what nobody can ask for: uploads
// and layers that were left unfinished that long ago, layers that no audience
// has had for grace, and commits that only spoke of such.
//
// Which layers are stored is read before the logs: one that is committed in
// between is known from its log.
func (db *DB) SweepAudiences(ctx context.Context, unfinished, grace time.Duration) (leadevents.AudienceSweep, error) {
	var (
		sweep leadevents.AudienceSweep
		now   int64
	)
	if err := db.conn.QueryRow(ctx, `SELECT toUnixTimestamp64Milli(now64(3))`).Scan(&now); err != nil {
		return sweep, unavailable(fmt.Errorf("read the store's clock: %w", err))
	}
	before := clickhouse.Parameters{"before": strconv.FormatInt(now-unfinished.Milliseconds(), 10)}
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
	stored := map[layerOf]bool{} // and whether it was written before
	err = db.stream(ctx, "audience_layers_stored", before, func(rows driver.Rows) error {
		var (
			l   layerOf
			old uint8
		)
		err := rows.Scan(&l.org, &l.layer, &old)
		stored[l] = old != 0
		return err
	})
	if err != nil {
		return sweep, err
	}
	layers, commits, err := db.dead(ctx, stored, leadevents.Millis(now).Add(-grace))
	if err != nil {
		return sweep, err
	}
	for l, old := range stored {
		if old {
			layers = append(layers, l)
		}
	}
	if sweep.Layers, err = db.deleteLayers(ctx, "audience_leads", layers); err != nil {
		return sweep, err
	}
	sweep.Commits, err = db.deleteLayers(ctx, "audience_layers", commits)
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
func (db *DB) dead(ctx context.Context, stored map[layerOf]bool, since leadevents.Millis) (layers, commits []layerOf, err error) {
	var (
		log leadevents.AudienceLog
		org uint64
		id  string
	)
	end := func() {
		for _, d := range log.Dead() {
			l := layerOf{org, d.Layer}
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
			delete(stored, layerOf{org, log[i].Layer})
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

// deleteLayers deletes the rows of up to maxSwept layers, and waits for it.
func (db *DB) deleteLayers(ctx context.Context, table string, layers []layerOf) (deleted int, err error) {
	layers = layers[:min(len(layers), maxSwept)]
	if len(layers) == 0 {
		return 0, nil
	}
	var orgs, ids []uint64
	for _, l := range layers {
		orgs, ids = append(orgs, l.org), append(ids, l.layer)
	}
	p := clickhouse.Parameters{"organizations": parameterLayers(orgs), "layers": parameterLayers(ids)}
	err = db.conn.Exec(params(ctx, p), `ALTER TABLE `+table+` DELETE WHERE (organization_id, layer) IN
		arrayZip({organizations:Array(UInt64)}, {layers:Array(UInt64)}) SETTINGS mutations_sync = 1`)
	if err != nil {
		return 0, unavailable(fmt.Errorf("delete %d layers from %s: %w", len(layers), table, err))
	}
	return len(layers), nil
}
