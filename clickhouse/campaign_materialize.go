package clickhouse

import (
	"context"
	"fmt"

	"leadevents"
	"leadevents/query/audience"
)

// Materialize decides about every lead and stores decisions and evidence under
// run, which must be new: a run that was cut off is removed by [DB.DropRun] and
// begun under another number. Everything acknowledged before the call is seen.
// progress, if not nil, hears how many of the parts are done.
func (db *DB) Materialize(ctx context.Context, org leadevents.OrgID, run uint64, e audience.Evaluation, progress func(done, of int)) (audience.Totals, error) {
	if run == 0 {
		return audience.Totals{}, leadevents.Errorf(leadevents.Internal, "a materialization needs a run number")
	}
	v, err := db.newEvaluation(org, run, e)
	if err != nil {
		return audience.Totals{}, err
	}
	if err := v.freeze(ctx); err != nil {
		return audience.Totals{}, fmt.Errorf("write the audience down: %w", err)
	}
	slices, err := v.slices(ctx)
	if err != nil {
		return audience.Totals{}, err
	}
	for n, s := range slices {
		for i, f := range e.Filters {
			if err := v.question(s).collect(ctx, i, f); err != nil {
				return audience.Totals{}, fmt.Errorf("collect the evidence of filter %d: %w", i, err)
			}
		}
		if err := v.question(s).decide(ctx); err != nil {
			return audience.Totals{}, fmt.Errorf("decide: %w", err)
		}
		if progress != nil {
			progress(n+1, len(slices))
		}
	}
	totals := audience.Totals{DroppedByFilters: make([]uint64, len(e.Filters))}
	err = v.question(everyPhone).count(ctx, "SELECT dropped_by, count() FROM send_leads WHERE "+ofOrganization+" AND run = {run:UInt64} GROUP BY dropped_by", &totals)
	return totals, err
}

// freeze writes the audience down where it is a question to the events: new
// events must not add leads between two steps.
func (v *evaluation) freeze(ctx context.Context) error {
	if v.Leads.Source != audience.EverHad && v.Leads.Source != audience.EveryLead {
		return nil
	}
	q := v.question(everyPhone)
	return q.exec(ctx, fmt.Sprintf("INSERT INTO send_evidence (organization_id, run, filter, phone) SELECT {organization:UInt64}, {run:UInt64}, %d, phone FROM (SELECT DISTINCT phone FROM (%s))", frozenAudience, q.living()))
}

// collect stores the evidence of a filter.
func (q *question) collect(ctx context.Context, i int, f audience.Filter) error {
	return q.exec(ctx, fmt.Sprintf("INSERT INTO send_evidence (organization_id, run, filter, phone, events, last_at) "+
		"SELECT {organization:UInt64}, {run:UInt64}, %d, phone, uniqExact(occurred_at), max(occurred_at) %s GROUP BY phone", i, q.events(f)))
}

// decide stores the decisions, by the evidence alone.
func (q *question) decide(ctx context.Context) error {
	leads := q.weighed(func(i int, f audience.Filter) string {
		return fmt.Sprintf("SELECT phone FROM send_evidence WHERE %s AND run = {run:UInt64} AND filter = %d AND events >= %d", ofSlice, i, f.MinCount)
	})
	const columns = "organization_id, run, phone, external_id, passed, listed, dropped_by"
	return q.exec(ctx, "INSERT INTO send_leads ("+columns+") "+
		q.decided("{organization:UInt64}, {run:UInt64}, phone, external_id, passed, listed", leads))
}

func (q *question) exec(ctx context.Context, sql string) error {
	ctx, err := q.context(ctx)
	if err != nil {
		return err
	}
	return unavailable(q.db.conn.Exec(ctx, sql))
}
