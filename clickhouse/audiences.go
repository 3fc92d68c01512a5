package clickhouse

import (
	"context"
	"strconv"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"leadevents"
)

// AudienceLog reads the commits of one audience; without any there is none.
func (db *DB) AudienceLog(ctx context.Context, org leadevents.OrgID, audienceID string) (leadevents.AudienceLog, error) {
	var log leadevents.AudienceLog
	p := clickhouse.Parameters{"organization": org.String(), "audience": audienceID}
	err := db.stream(ctx, "audience_log", p, func(rows driver.Rows) error {
		_, c, err := scanCommit(rows)
		log = append(log, c)
		return err
	})
	return log, err
}

// AudienceLayers is the layers that an audience consists of now; false if there
// is no such audience. They are what audience_leads has under (organization_id,
// layer), and stay there for an hour at least, whatever becomes of the audience
// meanwhile: who reads them reads the audience as it was at one moment. Layers
// share no phones, unless two additions met without seeing each other; then the
// layer that comes first here has the phone's external_id.
func (db *DB) AudienceLayers(ctx context.Context, org leadevents.OrgID, audienceID string) (layers []leadevents.Layer, found bool, err error) {
	log, err := db.AudienceLog(ctx, org, audienceID)
	if err != nil {
		return nil, false, err
	}
	layers, found = log.Layers()
	return layers, found, nil
}

// Audiences lists audiences by id, those after the given one, at most limit.
func (db *DB) Audiences(ctx context.Context, org leadevents.OrgID, after string, limit int) ([]leadevents.Audience, error) {
	var found []leadevents.Audience
	for {
		var (
			log  leadevents.AudienceLog
			last string
			ids  int
		)
		end := func() {
			if a, exists := log.Audience(last); exists && len(found) < limit {
				found = append(found, a)
			}
			log = log[:0]
		}
		p := clickhouse.Parameters{"organization": org.String(), "after": after, "limit": strconv.Itoa(limit)}
		err := db.stream(ctx, "audiences_page", p, func(rows driver.Rows) error {
			id, c, err := scanCommit(rows)
			if id != last {
				end()
				last, ids = id, ids+1
			}
			log = append(log, c)
			return err
		})
		if err != nil {
			return nil, err
		}
		end()
		// Deleted audiences stay in the log for a while: the page may go on.
		if len(found) == limit || ids < limit {
			return found, nil
		}
		after = last
	}
}

// CountAudiences counts an organization's audiences.
func (db *DB) CountAudiences(ctx context.Context, org leadevents.OrgID) (n uint64, err error) {
	err = db.stream(ctx, "audiences_count", clickhouse.Parameters{"organization": org.String()}, func(rows driver.Rows) error { return rows.Scan(&n) })
	return n, err
}

// scanCommit reads the columns that audience_log selects, and what stands before
// them.
func scanCommit(rows driver.Rows, before ...any) (id string, c leadevents.AudienceCommit, err error) {
	var since, changed, committed int64
	err = rows.Scan(append(before, &id, &c.Sequence, &c.Layer, &c.Base, &c.Replaces, &c.Deleted, &c.Merged, &c.Leads, &since, &changed, &committed)...)
	c.Since, c.ChangedAt, c.CommittedAt = leadevents.Millis(since), leadevents.Millis(changed), leadevents.Millis(committed)
	return id, c, err
}
