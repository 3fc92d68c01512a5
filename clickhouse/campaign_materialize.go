package clickhouse

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/ClickHouse/clickhouse-go/v2"
	"golang.org/x/sync/errgroup"

	"leadevents"
	"leadevents/query/audience"
)

// Materialize decides about every lead and stores decisions and evidence under
// run, which must be new: one that was cut off is removed by [DB.DropRun] and
// begun under another number. Everything acknowledged before the call is seen.
// progress, if not nil, hears how many of the steps are done.
//
//  1. An audience that is a question to the events is written down: new events
//     must not add leads between two steps.
//  2. For each slice and filter the server counts the events of the slice's leads,
//     and stores that as evidence.
//  3. The decisions of the slice are made from the evidence alone, so that one
//     can never contradict the other.
//  4. Leads that began to be erased meanwhile are taken out, before all are counted.
//
// A crash leaves a run without totals, which nobody reads.
func (db *DB) Materialize(ctx context.Context, org leadevents.OrgID, run uint64, e audience.Evaluation, progress func(done, of int)) (totals audience.Totals, err error) {
	if run == 0 {
		return totals, leadevents.Errorf(leadevents.Internal, "a materialization needs a run number")
	}
	v, err := db.newEvaluation(org, run, e)
	if err != nil {
		return totals, err
	}
	if progress == nil {
		progress = func(int, int) {}
	}
	err = within(ctx, db.materializations, db.evaluation.MaterializeTimeout, "filters.materialize_timeout", func(ctx context.Context) error {
		if err := v.exclude(ctx); err != nil {
			return err
		}
		if err := v.freezeStill(ctx); err != nil {
			return fmt.Errorf("write the audience down: %w", err)
		}
		parts, err := v.slices(ctx, min(sliceFactor*db.evaluation.SliceLeads, int(db.evaluation.Memory/sliceMemory)))
		if err != nil {
			return err
		}
		if err := v.decideAll(ctx, parts, progress); err != nil {
			return err
		}
		if err := v.dropErasing(ctx); err != nil {
			return err
		}
		totals, err = v.totals(ctx)
		return err
	})
	if err != nil {
		return audience.Totals{}, fmt.Errorf("materialize: %w", err)
	}
	return totals, nil
}

// A slice of a materialization is larger than a preview's, as far as the memory goes:
// it reads all events of its filters. Of 10 million leads 3 slices took 18.3 s of the
// server's processors and 360 MiB, 11 took 20.8 s and 191 MiB, one 19.3 s and 758 MiB.
const (
	sliceFactor = 4   // times as many leads at most
	sliceMemory = 512 // bytes for each
)

// sideBySide is how many filters of an audience of one slice are asked at once: what one
// of them does alone (the set of its leads, the merge of the parts, the disk) the other
// fills. 1 M of 100 M events took 1.13 s instead of 1.21, while one thread each was
// 5 % slower: the longer one is left with it. Where there are more slices they are asked
// one after the other: there 5 % are not worth what it takes from inserts.
const sideBySide = 2

// decideAll stores evidence and decisions, slice by slice.
func (v *evaluation) decideAll(ctx context.Context, parts []slice, progress func(done, of int)) error {
	var mu sync.Mutex
	done, of := 0, len(parts)*(len(v.Filters)+1)
	step := func() {
		mu.Lock()
		defer mu.Unlock()
		done++
		progress(done, of)
	}
	atOnce := 1
	if len(parts) == 1 {
		atOnce = sideBySide
	}
	for _, s := range parts {
		if err := v.collectAll(ctx, s, atOnce, step); err != nil {
			return err
		}
		if err := v.question(s).decide(ctx); err != nil {
			return fmt.Errorf("decide: %w", err)
		}
		step()
	}
	return nil
}

// collectAll stores the evidence of all filters for a slice.
func (v *evaluation) collectAll(ctx context.Context, s slice, atOnce int, step func()) error {
	filters, ctx := errgroup.WithContext(ctx)
	filters.SetLimit(atOnce)
	for i, f := range v.Filters {
		filters.Go(func() error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err := v.question(s).collect(ctx, i, f); err != nil {
				return fmt.Errorf("collect the evidence of filter %d: %w", i, err)
			}
			step()
			return nil
		})
	}
	return filters.Wait()
}

// frozenAudience is the "filter" under which the phones of an audience are
// written down that is not stored otherwise.
const frozenAudience = 255

// freezeStill writes them down, again where a batch began to be undone meanwhile.
func (v *evaluation) freezeStill(ctx context.Context) error {
	for {
		if err := v.freeze(ctx); err != nil {
			return err
		}
		again, err := v.undoneMeanwhile(ctx)
		if err != nil || !again {
			return err
		}
		err = v.db.silently(params(ctx, ofRun(v.org, v.run)), fmt.Sprintf("DELETE FROM send_evidence WHERE %s AND run = {run:UInt64} AND filter = %d", ofOrganization, frozenAudience))
		if err != nil {
			return unavailable(err)
		}
	}
}

// freeze writes them down.
func (v *evaluation) freeze(ctx context.Context) error {
	const insert = "INSERT INTO send_evidence (organization_id, run, filter, phone) "
	switch v.Leads.Source {
	case audience.Stored:
		return nil
	case audience.Listed:
		// Who is listed was read before, maybe long before, this one had its turn; who was
		// erased since is in no list any more.
		if v.Leads.List != 0 {
			q := v.question(everyPhone)
			return q.write(ctx, fmt.Sprintf(insert+"SELECT {organization:UInt64}, {run:UInt64}, %d, phone FROM send_lists WHERE %s AND list = %s AND phone != 0%s GROUP BY phone",
				frozenAudience, ofOrganization, q.parameter("UInt64", strconv.FormatUint(v.Leads.List, 10)), q.notErasing()))
		}
		leads, err := v.question(everyPhone).phones(ctx)
		if err != nil || len(leads) == 0 {
			return err
		}
		n := len(leads)
		return unavailable(v.db.insertColumns(ctx, insert, slices.Repeat([]uint64{uint64(v.org)}, n), slices.Repeat([]uint64{v.run}, n), slices.Repeat([]uint8{frozenAudience}, n), []uint64(leads)))
	default:
		q := v.question(everyPhone)
		return q.write(ctx, fmt.Sprintf(insert+"SELECT {organization:UInt64}, {run:UInt64}, %d, phone FROM (%s GROUP BY phone)", frozenAudience, q.living()))
	}
}

// frozen selects the phones that were written down.
func (q *question) frozen() string {
	return fmt.Sprintf("SELECT phone FROM send_evidence WHERE %s AND run = {run:UInt64} AND filter = %d", ofSlice, frozenAudience)
}

// collect stores the evidence of a filter.
func (q *question) collect(ctx context.Context, i int, f audience.Filter) error {
	phones := q.frozen()
	if q.Leads.Source == audience.Stored {
		phones = q.storedPhones()
	}
	counted, err := q.counted(ctx, f, " AND phone IN ("+phones+")")
	if err != nil {
		return err
	}
	return q.write(ctx, fmt.Sprintf("INSERT INTO send_evidence (organization_id, run, filter, phone, events, last_at) "+
		"SELECT {organization:UInt64}, {run:UInt64}, %d, phone, events, last_at FROM (%s)", i, counted))
}

// decide stores the decisions, in the order of phones.
func (q *question) decide(ctx context.Context) error {
	leads := "SELECT phone, '' AS external_id FROM (" + q.frozen() + ")"
	if q.Leads.Source == audience.Stored {
		leads = q.stored()
	}
	passed := "0"
	for i, f := range q.Filters {
		not := ""
		if f.Mode == audience.Exclude {
			not = " NOT"
		}
		passed += fmt.Sprintf(" + if(phone%s IN (SELECT phone FROM send_evidence WHERE %s AND run = {run:UInt64} AND filter = %d AND events >= %d), %d, 0)", not, ofSlice, i, f.MinCount, 1<<i)
	}
	listed := "false"
	if q.List != nil {
		listed = "(phone IN (" + q.listedByPhone() + ") OR external_id != '' AND external_id IN (" + q.listedByID() + "))"
	}
	const columns = "organization_id, run, phone, external_id, passed, listed, dropped_by"
	return q.write(ctx, "INSERT INTO send_leads ("+columns+") SELECT {organization:UInt64}, {run:UInt64}, phone, external_id, passed, listed, "+q.droppedBy()+
		" FROM (SELECT phone, external_id, "+listed+" AS listed, toUInt16("+passed+") AS passed FROM ("+leads+"))")
}

// droppedBy is the first that drops a lead (listed, passed): send_leads says how it
// is counted.
func (q *question) droppedBy() string {
	var drops strings.Builder
	if q.List != nil {
		not := ""
		if q.List.Mode == audience.Include {
			not = "NOT "
		}
		fmt.Fprintf(&drops, "%slisted, 1, ", not)
	}
	for i := range q.Filters {
		fmt.Fprintf(&drops, "bitAnd(passed, %d) = 0, %d, ", 1<<i, 2+i)
	}
	if drops.Len() == 0 {
		return "0"
	}
	return "multiIf(" + drops.String() + "0)"
}

// totals counts the decisions.
func (v *evaluation) totals(ctx context.Context) (audience.Totals, error) {
	totals := audience.Totals{DroppedByFilters: make([]uint64, len(v.Filters))}
	rows, err := v.db.conn.Query(params(ctx, ofRun(v.org, v.run)), sqlText("send_totals"))
	if err != nil {
		return totals, unavailable(fmt.Errorf("count the decisions: %w", err))
	}
	defer rows.Close()
	for rows.Next() {
		var droppedBy uint8
		var n uint64
		if err := rows.Scan(&droppedBy, &n); err != nil {
			return totals, unavailable(fmt.Errorf("count the decisions: %w", err))
		}
		totals.Total += n
		switch droppedBy {
		case 0:
			totals.Kept = n
		case 1:
			totals.DroppedByList = n
		default:
			totals.DroppedByFilters[droppedBy-2] = n
		}
	}
	return totals, unavailable(rows.Err())
}

func ofRun(org leadevents.OrgID, run uint64) clickhouse.Parameters {
	return clickhouse.Parameters{"organization": org.String(), "run": strconv.FormatUint(run, 10)}
}
