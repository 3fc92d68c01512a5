package clickhouse

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/ClickHouse/clickhouse-go/v2"

	"leadevents"
)

// fewLeads is up to how many rows of an addition are looked for in what is
// there, instead of reading all of that: see audience_layer_new.sql.
const fewLeads = 100_000

// StageLeads stores a piece of an upload as one native columnar block. Sending a
// piece again, whatever became of the first time, changes nothing.
func (db *DB) StageLeads(ctx context.Context, org leadevents.OrgID, layer leadevents.Layer, piece *leadevents.LeadPiece) error {
	n := piece.Len()
	priorities := make([]uint64, n)
	for i := range priorities {
		priorities[i] = math.MaxUint64 - (piece.First + uint64(i))
	}
	err := db.insertColumns(ctx, `INSERT INTO audience_uploads (organization_id, layer, phone, priority, external_id)`,
		slices.Repeat([]uint64{uint64(org)}, n), slices.Repeat([]uint64{layer}, n), piece.Phones, priorities, piece.ExternalIDs())
	if err != nil {
		return unavailable(fmt.Errorf("store %d leads of an upload: %w", n, err))
	}
	return nil
}

// FinishLayer makes a layer of all leads that were staged for it, each phone
// once, without the phones that the other layers have, and counts it. It is to
// be called once a layer. rows is how many were staged.
func (db *DB) FinishLayer(ctx context.Context, org leadevents.OrgID, layer leadevents.Layer, rows uint64, others []leadevents.Layer) (leads uint64, err error) {
	p := clickhouse.Parameters{"organization": org.String(), "layer": strconv.FormatUint(layer, 10)}
	document := "audience_layer_whole"
	if len(others) > 0 {
		document = "audience_layer_new"
		p["others"], p["few"] = parameterNumbers(others), strconv.FormatBool(rows <= fewLeads)
	}
	if err := db.conn.Exec(params(ctx, p), sqlText(document)); err != nil {
		return 0, unavailable(fmt.Errorf("make a layer of %d rows: %w", rows, err))
	}
	err = db.conn.QueryRow(params(ctx, p), sqlText("audience_layer_leads")).Scan(&leads)
	if err != nil {
		return 0, unavailable(fmt.Errorf("count a layer: %w", err))
	}
	return leads, nil
}

// MergeLayers makes one layer of several, whose leads it counts. Of a phone that
// several have the first one's external id stays.
func (db *DB) MergeLayers(ctx context.Context, org leadevents.OrgID, into leadevents.Layer, layers []leadevents.Layer) (leads uint64, err error) {
	p := clickhouse.Parameters{"organization": org.String(), "into": strconv.FormatUint(into, 10), "layers": parameterNumbers(layers)}
	if err := db.conn.Exec(params(ctx, p), sqlText("audience_merge")); err != nil {
		return 0, unavailable(fmt.Errorf("merge %d layers: %w", len(layers), err))
	}
	return db.FinishLayer(ctx, org, into, 0, nil)
}

// DropUpload forgets what was staged for a layer.
func (db *DB) DropUpload(ctx context.Context, layer leadevents.Layer) error {
	p := clickhouse.Parameters{"layer": strconv.FormatUint(layer, 10)}
	if err := db.conn.Exec(params(ctx, p), `ALTER TABLE audience_uploads DROP PARTITION {layer:UInt64}`); err != nil {
		return unavailable(fmt.Errorf("drop an upload: %w", err))
	}
	return nil
}

// CommitAudience adds a commit to an audience's log. Since and ChangedAt are now
// where they are zero, and CommittedAt is now.
func (db *DB) CommitAudience(ctx context.Context, org leadevents.OrgID, audienceID string, c leadevents.AudienceCommit) error {
	err := db.conn.Exec(params(ctx, clickhouse.Parameters{
		"organization": org.String(), "audience": audienceID,
		"sequence": strconv.FormatUint(c.Sequence, 10), "layer": strconv.FormatUint(c.Layer, 10), "base": strconv.FormatUint(c.Base, 10),
		"replaces": strconv.FormatBool(c.Replaces), "deleted": strconv.FormatBool(c.Deleted), "merged": parameterNumbers(c.Merged),
		"leads": strconv.FormatUint(c.Leads, 10), "since": strconv.FormatInt(int64(c.Since), 10), "changed": strconv.FormatInt(int64(c.ChangedAt), 10),
	}), sqlText("audience_commit"))
	if err != nil {
		return unavailable(fmt.Errorf("commit a layer of %d leads: %w", c.Leads, err))
	}
	return nil
}
