package audit_test

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"leadevents"
	"leadevents/audit"
)

// book is a store that fails when it is told to.
type book struct {
	entries []audit.Entry
	fails   func(try int) bool
	tries   int
}

func (b *book) AppendAudit(ctx context.Context, org leadevents.OrgID, e audit.Entry) error {
	b.tries++
	if org != 42 {
		return errors.New("another organization's")
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if b.fails != nil && b.fails(b.tries) {
		return errors.New("the disk is full")
	}
	b.entries = append(b.entries, e)
	return nil
}

// outcomes is what stands in the book, in order.
func (b *book) outcomes() string {
	var all []string
	for _, e := range b.entries {
		all = append(all, string(e.Outcome))
	}
	return strings.Join(all, " ")
}

var (
	noon  = time.Date(2026, 5, 12, 12, 0, 0, 0, time.UTC)
	actor = audit.Actor{Type: audit.APIKey, ID: "7Kc9QmPxRt", Client: netip.MustParseAddr("203.0.113.7"), RequestID: "r1"}
)

func logOn(b *book) (*audit.Log, *strings.Builder) {
	var text strings.Builder
	return audit.NewLog(b, func() time.Time { return noon }, slog.New(slog.NewTextHandler(&text, nil))), &text
}

// The entry is there before the act, and its outcome after; each by itself says all.
func TestAnEntryStandsBeforeTheAct(t *testing.T) {
	b := &book{}
	log, _ := logOn(b)
	act := audit.Act{Action: audit.AudienceReplace, Object: "customers", Detail: audit.Detail{"before": 3}}
	err := log.Do(audit.WithActor(t.Context(), actor), 42, act, func(_ context.Context, d audit.Detail) error {
		if b.outcomes() != "begun" {
			t.Errorf("while it is done the book has %q", b.outcomes())
		}
		d["leads"] = 7
		return nil
	})
	if err != nil || len(b.entries) != 2 {
		t.Fatalf("%v, %+v", err, b.entries)
	}
	id := b.entries[0].ID
	want := []audit.Entry{
		{ID: id, At: leadevents.MillisOf(noon), Action: audit.AudienceReplace, Outcome: audit.Begun, Actor: actor, Object: "customers", Detail: []byte(`{"before":3}`)},
		{ID: id, At: leadevents.MillisOf(noon), Action: audit.AudienceReplace, Outcome: audit.Done, Actor: actor, Object: "customers", Detail: []byte(`{"before":3,"leads":7}`)},
	}
	if diff := cmp.Diff(want, b.entries, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" || id == 0 {
		t.Error(diff)
	}
	if _, there := act.Detail["leads"]; there {
		t.Error("the act's own detail was written to")
	}
}

// What an act and its log may come to, by doc.go's table.
func TestThereIsNoActWithoutAnEntry(t *testing.T) {
	refused := leadevents.Errorf(leadevents.Conflict, "no")
	silent := leadevents.Errorf(leadevents.Unavailable, "silent")
	for _, c := range []struct {
		claim    string
		fails    func(try int) bool
		err      error // the act's
		reads    bool
		acted    bool
		outcomes string
		kind     leadevents.Kind
		logged   bool
	}{
		{claim: "all is well", acted: true, outcomes: "begun done"},
		{claim: "the log is away", fails: func(int) bool { return true }, kind: leadevents.Unavailable},
		{claim: "the log is away for a moment", fails: func(try int) bool { return try == 1 }, acted: true, outcomes: "begun done"},
		{claim: "the log leaves after the act began", fails: func(try int) bool { return try > 1 }, acted: true, outcomes: "begun", logged: true},
		{claim: "the act is refused", err: refused, acted: true, outcomes: "begun failed", kind: leadevents.Conflict},
		{claim: "nobody knows whether a change was made", err: silent, acted: true, outcomes: "begun", kind: leadevents.Unavailable},
		{claim: "nor after a bug", err: errors.New("bug"), acted: true, outcomes: "begun", kind: leadevents.Internal},
		{claim: "a reading that breaks off has ended", err: errors.New("the client is gone"), reads: true, acted: true, outcomes: "begun failed", kind: leadevents.Internal},
	} {
		t.Run(c.claim, func(t *testing.T) {
			b := &book{fails: c.fails}
			log, text := logOn(b)
			acted := false
			err := log.Do(t.Context(), 42, audit.Act{Action: audit.SendExport, Object: "s", Reads: c.reads}, func(context.Context, audit.Detail) error {
				acted = true
				return c.err
			})
			if acted != c.acted || b.outcomes() != c.outcomes {
				t.Errorf("acted: %v, in the book: %q; want %v, %q", acted, b.outcomes(), c.acted, c.outcomes)
			}
			if err == nil && c.kind != 0 || err != nil && leadevents.KindOf(err) != c.kind || c.err != nil && !errors.Is(err, c.err) {
				t.Errorf("error: %v", err)
			}
			if !acted && (err == nil || !strings.HasPrefix(err.Error(), "nothing was done, for the audit log cannot be written (send.export)")) {
				t.Errorf("it does not say that nothing was done: %v", err)
			}
			if logged := strings.Contains(text.String(), "stays begun"); logged != c.logged {
				t.Errorf("logged: %s", text)
			}
		})
	}
}

// Whoever asked goes away while it is done: its outcome is written all the same.
func TestTheOutcomeIsWrittenWhoeverStillListens(t *testing.T) {
	b := &book{}
	log, _ := logOn(b)
	ctx, cancel := context.WithCancel(t.Context())
	err := log.Do(ctx, 42, audit.Act{Action: audit.APIKeyRevoke}, func(context.Context, audit.Detail) error { cancel(); return nil })
	if err != nil || b.outcomes() != "begun done" {
		t.Errorf("%v, %q", err, b.outcomes())
	}
	if a := b.entries[0].Actor; a != (audit.Actor{Type: audit.Unknown}) {
		t.Errorf("an act of nobody is %+v's", a)
	}
	acted := false
	err = log.Do(ctx, 42, audit.Act{Action: audit.APIKeyRevoke}, func(context.Context, audit.Detail) error { acted = true; return nil })
	if leadevents.KindOf(err) != leadevents.Unavailable || acted {
		t.Errorf("after the end of the request: %v, acted: %v", err, acted)
	}
}

func TestActionsAreThoseOfTheList(t *testing.T) {
	seen := map[audit.Action]bool{}
	for _, a := range audit.Actions() {
		if parsed, err := audit.ParseAction(string(a)); err != nil || parsed != a || seen[a] {
			t.Errorf("%s: %v, %v", a, parsed, err)
		}
		seen[a] = true
	}
	for _, s := range []string{"", "api_key", "API_KEY.create", "api_key.create "} {
		if _, err := audit.ParseAction(s); leadevents.KindOf(err) != leadevents.InvalidRequest || !strings.Contains(err.Error(), "send.export") {
			t.Errorf("%q: %v", s, err)
		}
	}
}
