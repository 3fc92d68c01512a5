package query_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"leadevents"
)

// However many processes make audiences at once, there are as many as there may be, and
// what there was is there.
func TestAudiencesAreMadeWhileThereIsRoom(t *testing.T) {
	w := newWorld(t)
	a, b := w.process(nil, nil), w.process(nil, nil)
	const most = 3
	var made, refused atomic.Int64
	var all sync.WaitGroup
	for i := range 6 {
		all.Go(func() {
			process := a
			if i%2 == 1 {
				process = b
			}
			_, err := process.Upload(t.Context(), org, fmt.Sprint("new", i), numbers("a", i+1), i < 3, most)
			switch {
			case err == nil:
				made.Add(1)
			case leadevents.KindOf(err) == leadevents.Conflict && strings.Contains(err.Error(), "at most 3 may be stored (storedAudiences)"):
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	all.Wait()
	found, _, err := a.List(t.Context(), org, "", 100)
	if err != nil || len(found) != most || made.Load() != most || refused.Load() != 3 {
		t.Fatalf("%d audiences, %d made, %d refused; %v", len(found), made.Load(), refused.Load(), err)
	}
	for _, replace := range []bool{true, false} {
		if _, err := b.Upload(t.Context(), org, found[0].ID, numbers("b", 7, 8), replace, 1); err != nil {
			t.Errorf("an audience that is there, replaced %t: %v", replace, err)
		}
	}
	if err := b.RoomFor(t.Context(), org, found[0].ID, 1); err != nil {
		t.Errorf("an audience that is there: %v", err)
	}
	if err := b.RoomFor(t.Context(), org, "another", most); leadevents.KindOf(err) != leadevents.Conflict {
		t.Errorf("one too many: %v", err)
	}
	if err := b.RoomFor(t.Context(), org+1, "another", 1); err != nil {
		t.Errorf("another organization: %v", err)
	}
}

// The number is that of the list, whatever an audience has gone through.
func TestTheNumberOfAudiencesIsThatOfTheList(t *testing.T) {
	w := newWorld(t)
	a := w.process(nil, nil)
	upload := func(id string, replace bool) {
		t.Helper()
		if _, err := a.Upload(t.Context(), org, id, numbers("a", 1), replace, 0); err != nil {
			t.Fatal(err)
		}
	}
	remove := func(id string) {
		t.Helper()
		if err := a.Delete(t.Context(), org, id); err != nil {
			t.Fatal(err)
		}
	}
	same := func(after string, want int) {
		t.Helper()
		n, err := w.db.CountAudiences(t.Context(), org)
		found, _, listErr := a.List(t.Context(), org, "", 100)
		if err != nil || listErr != nil || n != uint64(want) || len(found) != want {
			t.Errorf("after %s: %d counted, %d listed, want %d (%v, %v)", after, n, len(found), want, err, listErr)
		}
	}
	same("nothing", 0)
	upload("added", false)
	upload("replaced", true)
	upload("empty", true)
	same("three", 3)
	upload("added", false)
	upload("replaced", false)
	upload("replaced", true)
	same("the same again", 3)
	remove("added")
	remove("replaced")
	same("two were deleted", 1)
	upload("added", false)
	same("one was added to after it was deleted", 2)
	upload("replaced", true)
	same("the other replaced", 3)
	remove("added")
	// An addition that was on its way when its audience was deleted.
	log, err := w.db.AudienceLog(t.Context(), org, "added")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.db.CommitAudience(t.Context(), org, "added", leadevents.AudienceCommit{Sequence: log.Next(), Layer: leadevents.NewLayer(), Base: leadevents.NewLayer(), Leads: 1}); err != nil {
		t.Fatal(err)
	}
	same("an addition to what was there before", 2)
}
