package query_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"leadevents"
	"leadevents/query"
)

func TestUploadsReplaceAndAdd(t *testing.T) {
	w := newWorld(t)
	a := w.process(nil, nil)
	step := func(replace bool, u *rows, want, content string) {
		t.Helper()
		got, err := a.Upload(t.Context(), org, "x", u, replace, 0)
		if err != nil || told(got) != want || w.content("x") != content {
			t.Errorf("%s, %v: %s; want %s, %s", told(got), err, w.content("x"), want, content)
		}
		if shown, err := a.Audience(t.Context(), org, "x"); err != nil || int(shown.Leads) != len(strings.Fields(content)) {
			t.Errorf("shown as %+v, %v", shown, err)
		}
	}
	step(false, numbers("a", 1, 2, 1, -1), "4=2+1+1", "15550000001:a 15550000002:a") // an addition makes it
	step(false, numbers("b", 2, 3, 3), "3=1+2+0", "15550000001:a 15550000002:a 15550000003:b")
	step(false, numbers("c", 1, 2), "2=0+2+0", "15550000001:a 15550000002:a 15550000003:b")
	before, _ := a.Audience(t.Context(), org, "x")
	step(false, numbers("c"), "0=0+0+0", "15550000001:a 15550000002:a 15550000003:b")
	if after, _ := a.Audience(t.Context(), org, "x"); after != before {
		t.Errorf("what added nothing changed %+v to %+v", before, after)
	}
	step(true, numbers("d", 3, 4, 4), "3=2+1+0", "15550000003:d 15550000004:d")
	if after, _ := a.Audience(t.Context(), org, "x"); after.CreatedAt != before.CreatedAt || after.ChangedAt <= before.ChangedAt {
		t.Errorf("a replace changed %+v to %+v", before, after)
	}
	step(true, numbers("e"), "0=0+0+0", "")
	step(false, numbers("f", 1), "1=1+0+0", "15550000001:f")
	if err := a.Delete(t.Context(), org, "x"); err != nil || w.content("x") != "none" {
		t.Errorf("deleted: %v, %s", err, w.content("x"))
	}
	if err := a.Delete(t.Context(), org, "x"); leadevents.KindOf(err) != leadevents.NotFound {
		t.Errorf("deleted again: %v", err)
	}
	if _, err := a.Audience(t.Context(), org, "x"); leadevents.KindOf(err) != leadevents.NotFound {
		t.Errorf("a deleted one: %v", err)
	}
	step(false, numbers("g", 1), "1=1+0+0", "15550000001:g")
	if after, _ := a.Audience(t.Context(), org, "x"); after.CreatedAt <= before.CreatedAt {
		t.Errorf("made anew, but created at %s, as before the delete", after.CreatedAt)
	}
	step(false, numbers("h"), "0=0+0+0", "15550000001:g")
	if n := w.count("audience_uploads"); n != 0 {
		t.Errorf("%d rows are staged still", n)
	}
}

// More rows than two pieces, in no order, every lead three times: the first one's
// id stays, wherever the pieces' borders are.
func TestAnUploadOfManyPieces(t *testing.T) {
	w := newWorld(t)
	a := w.process(nil, nil)
	const leads = 120_000
	r := rand.New(rand.NewPCG(1, 2))
	order := make([]int, 3*leads)
	for i := range order {
		order[i] = i % leads
	}
	r.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	first := make(map[int]int, leads)
	for i, n := range order {
		if _, seen := first[n]; !seen {
			first[n] = i
		}
	}
	up := &rows{n: len(order), row: func(i int) (int, string) { return order[i], fmt.Sprint(i) }}
	got, err := a.Upload(t.Context(), org, "x", up, true, 0)
	if err != nil || told(got) != "360000=120000+240000+0" {
		t.Fatalf("%s, %v", told(got), err)
	}
	layers, _, err := w.db.AudienceLayers(t.Context(), org, "x")
	if err != nil || len(layers) != 1 {
		t.Fatal(layers, err)
	}
	for i, l := range w.leads(layers[0]) {
		if l.phone != 15550000000+uint64(i) || l.id != fmt.Sprint(first[i]) {
			t.Fatalf("lead %d is %+v; its first row was %d", i, l, first[i])
		}
	}
	// More than are looked for one by one, half of them new.
	got, err = a.Upload(t.Context(), org, "x", &rows{n: leads, row: func(i int) (int, string) { return i + leads/2, "" }}, false, 0)
	if err != nil || told(got) != "120000=60000+60000+0" {
		t.Errorf("%s, %v", told(got), err)
	}
}

func TestTheFirst50RejectsAreShown(t *testing.T) {
	a := newWorld(t).process(nil, nil)
	got, err := a.Upload(t.Context(), org, "x", &rows{n: 200, row: func(i int) (int, string) {
		switch i % 3 {
		case 0:
			return -1 - i, ""
		case 1:
			return i, strings.Repeat("é", 257)
		}
		return i, strings.Repeat("é", 256)
	}}, true, 0)
	if err != nil || told(got) != "200=66+0+134" || len(got.Rejects) != 50 {
		t.Fatalf("%s, %d shown, %v", told(got), len(got.Rejects), err)
	}
	for i, r := range got.Rejects {
		index, reason := i/2*3+i%2, [...]string{"invalid phoneE164", "invalid externalId"}[i%2]
		if r.Index != index || r.Reason != reason || !r.HasPhone {
			t.Errorf("reject %d is %+v; want %d, %s", i, r, index, reason)
		}
	}
}

// Whatever ends an upload, nothing of it is seen; where the end of the commit
// itself is unknown, all of it or nothing.
func TestAnUploadThatFailsChangesNothing(t *testing.T) {
	w := newWorld(t)
	if _, err := w.process(nil, nil).Upload(t.Context(), org, "x", numbers("old", 1, 2), true, 0); err != nil {
		t.Fatal(err)
	}
	const old, all = "15550000001:old 15550000002:old", "15550000003:new"
	cut := leadevents.Errorf(leadevents.InvalidRequest, "cut")
	for _, tc := range []struct {
		name          string
		step          string
		before, after bool
		end           error
		want          error
	}{
		{name: "rows that cannot be stored", step: "stage", before: true, want: errBroken},
		{name: "rows that are stored, but it is not known", step: "stage", after: true, want: errBroken},
		{name: "a layer that is not made", step: "finish", before: true, want: errBroken},
		{name: "a layer that is made, but it is not known", step: "finish", after: true, want: errBroken},
		{name: "a commit that fails", step: "commit", before: true, want: errBroken},
		{name: "a connection that is cut", end: cut, want: cut},
		{name: "a connection that is cut, and rows that cannot be dropped", step: "drop", before: true, end: cut, want: cut},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := w.process(func(s query.AudienceStore) query.AudienceStore {
				return &broken{s, func(step string) (bool, bool) { return tc.before && step == tc.step, tc.after && step == tc.step }}
			}, nil)
			for _, replace := range []bool{true, false} {
				up := numbers("new", 3)
				up.end = tc.end
				if got, err := a.Upload(t.Context(), org, "x", up, replace, 0); !errors.Is(err, tc.want) {
					t.Errorf("replace %v: %+v, %v", replace, got, err)
				}
				if got := w.content("x"); got != old {
					t.Errorf("replace %v: the audience is %s", replace, got)
				}
			}
		})
	}
	t.Run("a commit that lands, but it is not known", func(t *testing.T) {
		a := w.process(func(s query.AudienceStore) query.AudienceStore {
			return &broken{s, func(step string) (bool, bool) { return false, step == "commit" }}
		}, nil)
		if _, err := a.Upload(t.Context(), org, "x", numbers("new", 3), true, 0); !errors.Is(err, errBroken) {
			t.Error(err)
		}
		if got := w.content("x"); got != all {
			t.Errorf("the audience is %s", got)
		}
		// Sent again, as the 503 says.
		if got, err := w.process(nil, nil).Upload(t.Context(), org, "x", numbers("new", 3), true, 0); err != nil || told(got) != "1=1+0+0" || w.content("x") != all {
			t.Errorf("%s, %v: %s", told(got), err, w.content("x"))
		}
	})
}

// A piece whose outcome was unknown is stored again, and counts once.
func TestAPieceIsSentAgain(t *testing.T) {
	w := newWorld(t)
	var calls atomic.Int64
	a := w.process(func(s query.AudienceStore) query.AudienceStore {
		return &broken{s, func(step string) (bool, bool) { return false, step == "stage" && calls.Add(1)%2 == 1 }}
	}, nil)
	got, err := a.Upload(t.Context(), org, "x", numbers("a", 1, 2, 1), true, 0)
	if err != nil || told(got) != "3=2+1+0" || calls.Load() != 2 || w.content("x") != "15550000001:a 15550000002:a" {
		t.Errorf("%s, %v, %d calls: %s", told(got), err, calls.Load(), w.content("x"))
	}
}

// Four clients at two processes add overlapping leads: each lead is new to one.
func TestTwoProcessesAddAtOnce(t *testing.T) {
	w := newWorld(t)
	processes := []*query.Audiences{w.process(nil, nil), w.process(nil, nil)}
	var (
		clients sync.WaitGroup
		stored  atomic.Uint64
	)
	for client := range 4 {
		clients.Go(func() {
			for round := range 12 {
				from := 10*round + 5*client
				got, err := processes[client%2].Upload(t.Context(), org, "x", numbers("a", between(from, from+20)...), false, 0)
				if err != nil {
					t.Error(err)
				}
				stored.Add(got.Stored)
			}
		})
	}
	clients.Wait()
	content := len(strings.Fields(w.content("x")))
	shown, err := processes[0].Audience(t.Context(), org, "x")
	if want := 10*11 + 5*3 + 20; err != nil || content != want || int(stored.Load()) != want || int(shown.Leads) != want {
		t.Errorf("%d leads, %d told stored, shown %+v (%v); want %d", content, stored.Load(), shown, err, want)
	}
}

// The same without locks, with replaces and deletes in between: what was added
// after the last of them, and answered, is there.
func TestWithoutLocksNoAdditionIsLost(t *testing.T) {
	w := newWorld(t)
	processes := []*query.Audiences{w.process(nil, free{}), w.process(nil, free{}), w.process(nil, free{})}
	for round := range 4 {
		var clients sync.WaitGroup
		for client, a := range processes {
			clients.Go(func() {
				if _, err := a.Upload(t.Context(), org, "x", numbers("replace", client), client != 1, 0); err != nil {
					t.Error(err)
				}
				if client == 2 {
					if err := a.Delete(t.Context(), org, "x"); err != nil && leadevents.KindOf(err) != leadevents.NotFound {
						t.Error(err)
					}
				}
			})
		}
		clients.Wait()
		before := len(strings.Fields(strings.ReplaceAll(w.content("x"), "none", "")))
		for client, a := range processes {
			clients.Go(func() {
				for i := range 15 { // 45 layers: merges, too, meet
					from := 1000 + 10*i + client
					if _, err := a.Upload(t.Context(), org, "x", numbers("added", from, from+1), false, 0); err != nil {
						t.Error(err)
					}
				}
			})
		}
		clients.Wait()
		got := w.content("x")
		for client := range processes {
			for i := range 15 {
				for _, n := range []int{1000 + 10*i + client, 1001 + 10*i + client} {
					if !strings.Contains(got, fmt.Sprintf("1555%07d:added", n)) {
						t.Errorf("round %d: lead %d was added, and is not there", round, n)
					}
				}
			}
		}
		if n := len(strings.Fields(got)); n != before+15*4 {
			t.Errorf("round %d: %d leads; want %d and 60", round, n, before)
		}
	}
}

func TestManySmallAdditionsAreMergedAndChangeNothing(t *testing.T) {
	w := newWorld(t)
	a := w.process(nil, nil)
	if _, err := a.Upload(t.Context(), org, "x", numbers("base", between(0, 500)...), true, 0); err != nil {
		t.Fatal(err)
	}
	most := 0
	for i := range 100 {
		n := 500 + i
		if got, err := a.Upload(t.Context(), org, "x", numbers(fmt.Sprint("added ", n), n-1, n), false, 0); err != nil || told(got) != "2=1+1+0" {
			t.Fatalf("%s, %v", told(got), err)
		}
		layers, _, err := w.db.AudienceLayers(t.Context(), org, "x")
		if err != nil {
			t.Fatal(err)
		}
		most = max(most, len(layers))
	}
	if most != 32 {
		t.Errorf("there were up to %d layers", most)
	}
	var want []string
	for n := range 600 {
		id := "base"
		if n >= 500 {
			id = fmt.Sprint("added ", n)
		}
		want = append(want, fmt.Sprintf("1555%07d:%s", n, id))
	}
	if got := w.content("x"); got != strings.Join(want, " ") {
		t.Errorf("the audience is %s", got)
	}
	shown, err := a.Audience(t.Context(), org, "x")
	if err != nil || shown.Leads != 600 {
		t.Errorf("%+v, %v", shown, err)
	}
	log, err := w.db.AudienceLog(t.Context(), org, "x")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range log { // 500 leads were not written again for the sake of one
		if len(c.Merged) > 0 && c.Leads > 100 {
			t.Errorf("a merge of %d leads", c.Leads)
		}
	}
}

// A merge that fails is no reason to refuse the addition.
func TestAMergeThatFailsIsTriedAgain(t *testing.T) {
	w := newWorld(t)
	var broke atomic.Bool
	a := w.process(func(s query.AudienceStore) query.AudienceStore {
		return &broken{s, func(step string) (bool, bool) { return step == "merge" && broke.CompareAndSwap(false, true), false }}
	}, nil)
	for n := range 40 {
		if _, err := a.Upload(t.Context(), org, "x", numbers("a", n), false, 0); err != nil {
			t.Fatal(err)
		}
	}
	layers, _, err := w.db.AudienceLayers(t.Context(), org, "x")
	if n := len(strings.Fields(w.content("x"))); err != nil || !broke.Load() || n != 40 || len(layers) > 10 {
		t.Errorf("%d leads in %d layers, %v", n, len(layers), err)
	}
}

// A reader that resolves the layers once and then reads them, while the audience
// is replaced, added to, deleted and swept: it sees one version whole.
func TestAReaderSeesOnlyWholeVersions(t *testing.T) {
	w := newWorld(t)
	writer, second := w.process(nil, nil), w.process(nil, nil)
	const versions, size = 25, 400
	done := make(chan struct{})
	var reader sync.WaitGroup
	reader.Go(func() {
		last := 0
		for reads := 0; ; reads++ {
			over := false
			select {
			case <-done:
				over = true
			default:
			}
			content := w.content("x")
			seen := map[string]int{}
			for word := range strings.FieldsSeq(content) {
				_, version, _ := strings.Cut(word, ":")
				seen[version]++
			}
			if content != "none" && content != "" {
				var version, got int
				for text, n := range seen {
					if _, err := fmt.Sscanf(text, "v%d", &version); err != nil {
						t.Error(text, err)
					}
					got = n
				}
				if len(seen) != 1 || got != size+version && got != 2*size+version || version < last {
					t.Errorf("read %d: a mix of versions: %v, after %d", reads, seen, last)
				}
				last = version
			}
			if over {
				if reads < 10 || last != versions {
					t.Errorf("only %d reads, the last of version %d: nothing was proven", reads, last)
				}
				return
			}
		}
	})
	for version := 1; version <= versions; version++ {
		id := fmt.Sprintf("v%d", version)
		if _, err := writer.Upload(t.Context(), org, "x", numbers(id, between(0, size+version)...), true, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := second.Upload(t.Context(), org, "x", numbers(id, between(size, 2*size+version)...), false, 0); err != nil {
			t.Fatal(err)
		}
		if version%5 == 0 && version < versions {
			if err := second.Delete(t.Context(), org, "x"); err != nil {
				t.Fatal(err)
			}
		}
	}
	close(done)
	reader.Wait()
}

func TestPlacesForUploadsAreBounded(t *testing.T) {
	a := newWorld(t).process(nil, free{})
	first, err := a.Enter()
	if err != nil {
		t.Fatal(err)
	}
	second, err := a.Enter()
	if err != nil {
		t.Fatal(err)
	}
	_, err = a.Enter()
	if e, ok := errors.AsType[*leadevents.Error](err); !ok || e.Kind != leadevents.Unavailable || e.RetryAfter == 0 || !strings.Contains(e.Message, "2 uploads are running already (audiences.max_uploads)") {
		t.Errorf("a third: %v", err)
	}
	first()
	if first, err = a.Enter(); err != nil {
		t.Errorf("a place was given back, and not taken: %v", err)
	}
	first()
	second()
}
