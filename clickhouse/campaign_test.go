package clickhouse

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"leadevents"
	"leadevents/query/audience"
)

// leads are the leads of a source, with their externalIds, as Go knows them.
func (w *campaignWorld) leads(of audience.Leads) map[leadevents.Phone]string {
	leads := map[leadevents.Phone]string{}
	switch of.Source {
	case audience.Stored:
		for _, layer := range slices.Backward(of.Layers) { // the first one wins
			maps.Copy(leads, w.layers[layer])
		}
	case audience.Listed:
		for _, p := range of.Phones {
			leads[p] = ""
		}
	default:
		for p, events := range w.events {
			if slices.ContainsFunc(events, func(e audience.Event) bool { return of.Source == audience.EveryLead || e.EventType == of.EventType }) {
				leads[p] = ""
			}
		}
	}
	return leads
}

// decisions are what audience.Evaluate says of every lead, and the list filter.
func (w *campaignWorld) decisions(e audience.Evaluation) (map[leadevents.Phone]audience.Decision, audience.Totals) {
	totals := audience.Totals{DroppedByFilters: make([]uint64, len(e.Filters))}
	decisions := map[leadevents.Phone]audience.Decision{}
	for phone, id := range w.leads(e.Leads) {
		d := audience.Decision{Verdict: audience.Evaluate(e.Filters, w.events[phone], e.FireAt, e.ClockSkew), ExternalID: id}
		if e.List != nil {
			named := w.lists[e.List.ID]
			d.Listed = named.phones[phone] || id != "" && named.ids[id]
			d.DroppedByList = !e.List.Passes(d.Listed)
		}
		totals.Total++
		switch {
		case d.DroppedByList:
			d.Kept = false
			totals.DroppedByList++
		case d.Kept:
			totals.Kept++
		default:
			totals.DroppedByFilters[d.DroppedBy]++
		}
		decisions[phone] = d
	}
	return decisions, totals
}

func describe(e audience.Evaluation) string {
	return fmt.Sprintf("%s\nat %v, leads %+v, list %+v", audience.AppendFilters(nil, e.Filters), e.FireAt, e.Leads, e.List)
}

// ClickHouse's answers are audience.Evaluate's: the counts of a preview, what a
// materialization keeps, and why.
func TestCampaignsEqualMatchOverRandomAudiences(t *testing.T) {
	w := newCampaignWorld(t)
	kept, dropped := 0, 0
	for round := range 16 {
		if round == 8 { // from here on every row stands once
			for _, table := range []string{"lead_events", "lead_states"} {
				w.exec("SYSTEM START MERGES " + table)
				w.exec("OPTIMIZE TABLE " + table + " FINAL")
			}
		}
		w.db.evaluation.SliceLeads = pick(w.source, []int{1 << 20, 1 << 20, 150, 40})
		w.db.evaluation.Memory = pick(w.source, []uint64{1 << 30, 64 << 20}) // eight parts are read in order, or all
		w.db.evaluation.Nice = w.IntN(2) * 5
		for range 3 {
			e := w.evaluation()
			e.List = nil
			_, want := w.decisions(e)
			w.preview(e, want)
			w.otherwise(e, want)
			kept, dropped = kept+int(want.Kept), dropped+int(want.Total-want.Kept)
		}
		w.materialize(w.evaluation())
	}
	t.Logf("%d kept, %d dropped", kept, dropped)
	if kept < 1000 || dropped < 1000 {
		t.Error("the generator tests nothing")
	}
}

func (w *campaignWorld) preview(e audience.Evaluation, want audience.Totals) {
	w.t.Helper()
	got, err := w.db.Preview(w.t.Context(), campaignOrg, e)
	if err != nil {
		w.t.Fatalf("%s: %v", describe(e), err)
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		w.t.Errorf("preview of %s (-Go +ClickHouse)\n%s", describe(e), diff)
	}
}

// otherwise previews with every way that could have been chosen instead, since
// tables this small decide for one.
func (w *campaignWorld) otherwise(e audience.Evaluation, want audience.Totals) {
	w.t.Helper()
	v, err := w.db.newEvaluation(campaignOrg, 0, e)
	if err != nil {
		w.t.Fatal(err)
	}
	ways, err := v.ways(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	for i, f := range e.Filters {
		switch {
		case ways[i] == byState && !f.Sticky():
			ways[i] = pick(w.source, []way{byTime, byEvents})
		case ways[i] == byTime:
			ways[i] = pick(w.source, []way{byState, byEvents})
		case ways[i] == byState:
			ways[i] = byEvents
		}
	}
	parts, err := v.slices(w.t.Context(), w.db.evaluation.SliceLeads)
	if err != nil {
		w.t.Fatal(err)
	}
	got := audience.Totals{DroppedByFilters: make([]uint64, len(e.Filters))}
	for _, s := range parts {
		if err := v.preview(w.t.Context(), s, ways, &got); err != nil {
			w.t.Fatalf("%s: %v", describe(e), err)
		}
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		w.t.Errorf("preview by %v of %s (-Go +ClickHouse)\n%s", ways, describe(e), diff)
	}
}

func (w *campaignWorld) materialize(e audience.Evaluation) {
	w.t.Helper()
	w.run++
	decisions, want := w.decisions(e)
	steps := 0
	got, err := w.db.Materialize(w.t.Context(), campaignOrg, w.run, e, func(done, of int) {
		steps++
		if done != steps || done > of {
			w.t.Errorf("step %d reports %d of %d", steps, done, of)
		}
	})
	if err != nil {
		w.t.Fatalf("%s: %v", describe(e), err)
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		w.t.Errorf("totals of %s (-Go +ClickHouse)\n%s", describe(e), diff)
	}
	if steps == 0 {
		w.t.Error("no progress was reported")
	}
	w.compareLeads(e, decisions)
	w.compareVerdicts(e, decisions)
}

func (w *campaignWorld) compareLeads(e audience.Evaluation, decisions map[leadevents.Phone]audience.Decision) {
	w.t.Helper()
	type lead struct {
		Phone leadevents.Phone
		ID    string
	}
	var want, got []lead
	for _, phone := range slices.Sorted(maps.Keys(decisions)) {
		if d := decisions[phone]; d.Kept {
			want = append(want, lead{phone, d.ExternalID})
		}
	}
	err := w.db.SendLeads(w.t.Context(), campaignOrg, w.run, func(phones []leadevents.Phone, ids []string) error {
		for i := range phones {
			got = append(got, lead{phones[i], ids[i]})
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		w.t.Errorf("leads of %s (-Go +ClickHouse)\n%s", describe(e), diff)
	}
}

func (w *campaignWorld) compareVerdicts(e audience.Evaluation, decisions map[leadevents.Phone]audience.Decision) {
	w.t.Helper()
	for range 12 {
		phone := pick(w.source, w.phones)
		want, inAudience := decisions[phone]
		got, found, err := w.db.SendVerdict(w.t.Context(), campaignOrg, w.run, e.Filters, phone)
		if err != nil {
			w.t.Fatal(err)
		}
		if found != inAudience {
			w.t.Errorf("lead %d of %s: found %t, in the audience %t", phone, describe(e), found, inAudience)
		} else if diff := gocmp.Diff(want, got); found && diff != "" {
			w.t.Errorf("lead %d of %s (-Go +ClickHouse)\n%s", phone, describe(e), diff)
		}
	}
}
