package query_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"leadevents"
	"leadevents/audit"
	"leadevents/query"
	"leadevents/query/audience"
)

// full is a disk that has no room for an audit log while it is set.
type full struct{ atomic.Bool }

func (f *full) append(store audit.Store, ctx context.Context, org leadevents.OrgID, e audit.Entry) error {
	if f.Load() {
		return errBroken
	}
	return store.AppendAudit(ctx, org, e)
}

type fullAudiences struct {
	query.AudienceStore
	disk *full
}

func (s fullAudiences) AppendAudit(ctx context.Context, org leadevents.OrgID, e audit.Entry) error {
	return s.disk.append(s.AudienceStore, ctx, org, e)
}

type fullSends struct {
	query.SendStore
	disk *full
}

func (s fullSends) AppendAudit(ctx context.Context, org leadevents.OrgID, e audit.Entry) error {
	return s.disk.append(s.SendStore, ctx, org, e)
}

// Every act of a campaign stands in the audit log with what is to be known of it;
// while that cannot be written nothing is done, and what is no act has no entry.
func TestActsOfCampaignsAreAudited(t *testing.T) {
	w, disk := newWorld(t), &full{}
	a := w.process(func(s query.AudienceStore) query.AudienceStore { return fullAudiences{s, disk} }, nil)
	s := w.sends(func(s query.SendStore) query.SendStore { return fullSends{s, disk} }, nil)
	ctx := audit.WithActor(t.Context(), audit.Actor{Type: audit.APIKey, ID: "7Kc9QmPxRt"})
	upload := func(replace bool, phones ...int) func() error {
		return func() error { _, err := a.Upload(ctx, org, "x", numbers("a", phones...), replace, 0); return err }
	}
	listFilter := func(n int) func() error {
		return func() error {
			_, _, err := s.Filter(ctx, org, "s", audience.Include, query.ListedLeads{Phones: phones(n)})
			return err
		}
	}
	define := func(n int) func() error {
		return func() error { _, _, err := s.Define(ctx, org, "s", listed(n)); return err }
	}
	materialize := func() error {
		_, err := s.Materialize(ctx, org, "s")
		if err == nil {
			_, err = s.Wait(ctx, org, "s")
		}
		return err
	}
	export := func() error { return s.Leads(ctx, org, "s", func([]leadevents.Phone, []string) error { return nil }) }
	gone := errors.New("the client is gone")
	broken := func() error {
		err := s.Leads(ctx, org, "s", func([]leadevents.Phone, []string) error { return gone })
		if errors.Is(err, gone) {
			return nil
		}
		return err
	}

	var want []string
	for _, act := range []struct {
		do    func() error
		entry string // "": it is none
	}{
		{upload(false, 1, 2), `done audience.create x {"before":0,"leads":2}`},
		{upload(false, 2, 3), `done audience.append x {"before":2,"leads":1}`},
		{upload(false, 2, 3), ""}, // all there already
		{upload(true, 7), `done audience.replace x {"before":3,"leads":1}`},
		{func() error { return a.Delete(ctx, org, "x") }, `done audience.delete x {"leads":1}`},
		{upload(true), `done audience.create x {"before":0,"leads":0}`},
		{listFilter(3), `done send.filter s {"leads":3,"mode":"include"}`},
		{listFilter(3), ""}, // already received
		{define(5), `done send.define s {"created":true,"eventFilters":0}`},
		{define(5), ""},
		{define(4), `done send.define s {"created":false,"eventFilters":0}`},
		{materialize, `done send.materialize s {}`},
		{materialize, ""}, // the same send
		{export, `done send.export s {"leads":3}`},
		{broken, `failed send.export s {"leads":3}`},
	} {
		if act.entry != "" {
			before := w.everything()
			disk.Store(true)
			err := act.do()
			disk.Store(false)
			if leadevents.KindOf(err) != leadevents.Unavailable || !strings.Contains(fmt.Sprint(err), "nothing was done") {
				t.Errorf("%s without its log: %v", act.entry, err)
			}
			if after := w.everything(); after != before {
				t.Errorf("%s without its log: %s became %s", act.entry, before, after)
			}
			want = append([]string{act.entry}, want...)
		}
		if err := act.do(); err != nil {
			t.Fatalf("%s: %v", act.entry, err)
		}
	}
	if _, _, err := s.Define(ctx, org, "s", listed(1)); leadevents.KindOf(err) != leadevents.Conflict {
		t.Fatalf("a refusal: %v", err)
	}

	var got []string
	log, cursor := query.NewAuditLog(w.db), ""
	for first := true; first || cursor != ""; first = false { // in pages
		found, next, err := log.Entries(ctx, org, audit.Filter{Actor: "7Kc9QmPxRt"}, cursor, 4)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range found {
			got = append(got, fmt.Sprintf("%s %s %s %s", e.Outcome, e.Action, e.Object, e.Detail))
		}
		if next != "" {
			if _, _, err := log.Entries(ctx, org+1, audit.Filter{}, next, 4); leadevents.KindOf(err) != leadevents.InvalidRequest {
				t.Errorf("another organization goes on from a cursor: %v", err)
			}
		}
		cursor = next
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// everything is how many rows say what audiences and sends are.
func (w *world) everything() string {
	return fmt.Sprint(w.count("audience_layers"), w.count("sends"), w.count("send_lists"), w.count("send_leases"))
}

// No spelling but the one that was given is a cursor.
func TestAuditCursorsAreReadStrictly(t *testing.T) {
	log := query.NewAuditLog(nil)
	for _, cursor := range []string{"x", "bDEuNDIuMQ", "bDEuNDIuMS4", "bDEuNDIuMC4x", "bDEuNDIuLTEuMQ", "bDEuNDMuMS4x", "YjEuNDIuMS4x", "bDEuNDIuMS4xLjE"} {
		if _, _, err := log.Entries(t.Context(), 42, audit.Filter{}, cursor, 1); leadevents.KindOf(err) != leadevents.InvalidRequest {
			t.Errorf("%s: %v", cursor, err)
		}
	}
}
