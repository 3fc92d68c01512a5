package clickhouse

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"leadevents"
	"leadevents/query/audience"
)

// Preview counts what a send would keep of its leads at this moment, by its event
// filters: a list filter is a send's own and comes later. It leaves nothing behind.
//
// The leads are read in the order of their phones, slice by slice, and so is, for
// each filter, whom it knows; both lie in that order and are merged here, bit by
// bit. Neither side's memory grows with the audience.
func (db *DB) Preview(ctx context.Context, org leadevents.OrgID, e audience.Evaluation) (audience.Totals, error) {
	if e.List != nil { // it would show counts that nobody gets
		return audience.Totals{}, leadevents.Errorf(leadevents.Internal, "a preview has no list filter")
	}
	v, err := db.newEvaluation(org, 0, e)
	if err != nil {
		return audience.Totals{}, err
	}
	var totals audience.Totals
	err = within(ctx, db.previews, db.evaluation.PreviewTimeout, "filters.preview_timeout", func(ctx context.Context) error {
		if err := v.exclude(ctx); err != nil {
			return err
		}
		for again := true; again; { // by the types of what is undone: each at most once
			if totals, err = v.previewAll(ctx); err != nil {
				return err
			}
			if again, err = v.undoneMeanwhile(ctx); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return audience.Totals{}, fmt.Errorf("preview: %w", err)
	}
	return totals, nil
}

// previewAll counts slice by slice.
func (v *evaluation) previewAll(ctx context.Context) (audience.Totals, error) {
	totals := audience.Totals{DroppedByFilters: make([]uint64, len(v.Filters))}
	parts, err := v.slices(ctx, v.db.evaluation.SliceLeads)
	if err != nil {
		return totals, err
	}
	ways, err := v.ways(ctx)
	if err != nil {
		return totals, err
	}
	for _, s := range parts {
		if err := v.preview(ctx, s, ways, &totals); err != nil {
			return totals, err
		}
	}
	return totals, nil
}

// preview adds the counts of a slice.
func (v *evaluation) preview(ctx context.Context, s slice, ways []way, totals *audience.Totals) error {
	leads, err := v.question(s).phones(ctx)
	if err != nil || len(leads) == 0 {
		return err
	}
	var sieves []sieve
	work, working := errgroup.WithContext(ctx)
	work.SetLimit(v.db.evaluation.Threads)
	for i, f := range v.Filters {
		known := search{question: v.question(s), leads: leads, found: leads.marks()}
		sieves = append(sieves, sieve{known.found, f.Mode == audience.Exclude})
		work.Go(func() error { return known.filter(working, f, ways[i]) })
	}
	if err := work.Wait(); err != nil {
		return err
	}
	kept, dropped := sift(len(leads), sieves)
	totals.Total += uint64(len(leads))
	totals.Kept += kept
	for i, n := range dropped {
		totals.DroppedByFilters[i] += n
	}
	return nil
}

// phones reads the leads of the slice.
func (q *question) phones(ctx context.Context) (phoneList, error) {
	var (
		leads     = make(phoneList, 0, q.about)
		ascending = true
		sql       string
	)
	switch q.Leads.Source {
	case audience.Listed:
		for _, p := range q.Leads.Phones {
			if p := uint64(p); p >= q.from && p <= q.to && !q.isErasing(p) {
				leads = append(leads, p)
			}
		}
		leads.put()
		return leads, nil
	case audience.Stored:
		sql = q.storedPhones() + " ORDER BY phone"
	case audience.EverHad:
		sql = q.living() + " ORDER BY phone"
		if q.livesByEvents() {
			sql = q.living() + " GROUP BY phone ORDER BY phone"
		}
	default:
		sql = q.living() + " GROUP BY phone ORDER BY phone"
	}
	err := q.read(ctx, sql, nil, false, func(phones []uint64, _ []uint8) { leads.add(phones, &ascending) })
	if !ascending {
		leads.put()
	}
	return leads, err
}
