package leadevents

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// logged writes commits as they are shown: 1:a+ is a replace by layer a at
// sequence 1, 2:b<a an addition to it, 3:x- a delete, 2:m<a=bc a merge of b and c.
func logged(t *testing.T, text string) AudienceLog {
	t.Helper()
	var log AudienceLog
	for _, word := range strings.Fields(text) {
		var c AudienceCommit
		rest := word[2:]
		c.Sequence, c.Layer, rest = uint64(word[0]-'0'), Layer(rest[0]), rest[1:]
		switch {
		case rest == "+":
			c.Replaces = true
		case rest == "-":
			c.Deleted = true
		case rest != "":
			base, merged, _ := strings.Cut(rest[1:], "=")
			if base != "" {
				c.Base = Layer(base[0])
			}
			for _, l := range merged {
				c.Merged = append(c.Merged, Layer(l))
			}
		}
		c.Leads, c.CommittedAt = 1, Millis(len(log)+1)
		c.Since, c.ChangedAt = c.CommittedAt, c.CommittedAt
		log = append(log, c)
	}
	return log
}

func TestWhatAnAudienceConsistsOf(t *testing.T) {
	for _, tc := range []struct{ name, log, want, dead string }{
		{name: "nothing", want: "none"},
		{name: "a replace", log: "1:a+", want: "a"},
		{name: "an addition to nothing", log: "1:a", want: "a"},
		{name: "additions to a replace, in the order of their sequences", log: "3:c<a 1:a+ 2:b<a", want: "abc"},
		{name: "of one sequence, in that of their layers", log: "2:d<a 1:a+ 2:c<a", want: "acd"},
		{name: "a replace", log: "1:a+ 2:b<a 3:c+", want: "c", dead: "a3 b3"},
		{name: "two replaces that met: the last by its layer", log: "2:c+ 1:a+ 2:b+", want: "c", dead: "a2 b3"},
		{name: "additions to nothing, and a replace", log: "1:a 2:b 3:c+", want: "c", dead: "a3 b3"},
		{name: "a delete", log: "1:a+ 2:b<a 3:x-", want: "none", dead: "a3 b3 x3!"},
		{name: "a delete, then an addition", log: "1:a+ 2:x- 3:b<x", want: "b", dead: "a2 x2!"},
		{name: "a delete, then a replace", log: "1:a+ 2:x- 3:b+", want: "b", dead: "a2 x3"},
		{name: "an addition that comes late belongs to what it was made on", log: "1:a+ 2:c+ 3:b<a", want: "c", dead: "a2 b3"},
		{name: "of a merge and what it merged, the merge", log: "1:a+ 2:b<a 3:c<a 2:m<a=bc", want: "am", dead: "b4 c4"},
		{name: "of a merge of all, the merge; the head stays the head", log: "1:a+ 2:b<a 1:m<a=ab", want: "m", dead: "a3! b3"},
		{name: "an addition that a merge did not know of, however late", log: "1:a+ 3:b<a 1:m<a=ab 2:c<a", want: "mc", dead: "a3! b3"},
		{name: "a merge that comes late", log: "1:a+ 2:b<a 3:c+ 1:m<a=ab", want: "c", dead: "a3 b3 m4"},
		{name: "a merge of a merge", log: "1:a+ 2:b<a 1:m<a=ab 3:c<a 1:n<a=abcm", want: "n", dead: "a3! b3 m5 c5"},
		{name: "a merge of a merge that is gone, with the head alone left of it", log: "1:a+ 1:n<a=abcm", want: "n", dead: "a2!"},
		{name: "a delete that is gone with what it deleted", log: "3:b<x 4:c", want: "bc"},
		{name: "a delete alone", log: "5:x-", want: "none", dead: "x1!."},
		{name: "a commit that was sent twice", log: "1:a+ 2:b<a 2:b<a", want: "ab"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			log := logged(t, tc.log)
			for range 20 {
				got, exists := "", false
				content, exists := log.Content()
				for _, c := range content {
					got += string(rune(c.Layer))
				}
				if !exists {
					got += "none"
				}
				if got != tc.want {
					t.Fatalf("%s has the content %s; want %s", tc.log, got, tc.want)
				}
				var dead []string
				for _, d := range log.Dead() {
					word := fmt.Sprintf("%c%d", rune(d.Layer), d.Since)
					if d.Head {
						word += "!"
					}
					if d.Alone {
						word += "."
					}
					dead = append(dead, word)
				}
				want := strings.Fields(tc.dead)
				slices.Sort(dead)
				slices.Sort(want)
				if !slices.Equal(dead, want) {
					t.Fatalf("%s has the dead %v; want %v", tc.log, dead, want)
				}
				rand.Shuffle(len(log), func(i, j int) { log[i], log[j] = log[j], log[i] })
			}
		})
	}
}

func TestAnAudienceIsShown(t *testing.T) {
	at := func(d int) Millis { return Millis(1000 * d) }
	log := AudienceLog{
		{Sequence: 1, Layer: 1, Replaces: true, Leads: 5, Since: at(1), ChangedAt: at(1)},
		{Sequence: 2, Layer: 2, Base: 1, Leads: 3, Since: at(1), ChangedAt: at(2)},
		{Sequence: 3, Layer: 3, Base: 1, Leads: 0, Since: at(1), ChangedAt: at(3)},
	}
	if got, exists := log.Audience("x"); !exists || got != (Audience{ID: "x", Leads: 8, CreatedAt: at(1), ChangedAt: at(3)}) {
		t.Errorf("%+v", got)
	}
	if layers, _ := log.Layers(); !slices.Equal(layers, []Layer{1, 2}) {
		t.Errorf("layers with leads: %v", layers)
	}
	log = append(log, AudienceCommit{Sequence: 1, Layer: 4, Base: 1, Leads: 8, Merged: []Layer{1, 2, 3}, Since: at(1), ChangedAt: at(3)})
	if got, _ := log.Audience("x"); got != (Audience{ID: "x", Leads: 8, CreatedAt: at(1), ChangedAt: at(3)}) {
		t.Errorf("merged: %+v", got)
	}
	if _, exists := (AudienceLog{}).Audience("x"); exists {
		t.Error("an audience without commits exists")
	}
}

// Writers that see the log as it was some time ago, as if there were no lock, and
// land in any order, with sweeps in between. Whatever happens: an addition to the
// head is in the content, until the audience is replaced or deleted; a merge
// changes nothing; of what is not there any more nothing comes back.
func TestNoOrderOfCommitsLosesAnAddition(t *testing.T) {
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 1))
		var (
			log   AudienceLog
			past  []AudienceLog              // what slow writers still see
			leads = map[Layer]map[int]bool{} // of each layer
			lead  int
			now   Millis
		)
		phones := func(log AudienceLog) map[int]bool {
			all := map[int]bool{}
			layers, _ := log.Content()
			for _, c := range layers {
				for l := range leads[c.Layer] {
					all[l] = true
				}
			}
			return all
		}
		land := func(c AudienceCommit, own map[int]bool) {
			now++
			c.Layer, c.CommittedAt, c.Leads = Layer(r.Uint64()>>1|1), now, uint64(len(own))
			leads[c.Layer] = own
			log = append(slices.Clone(log), c)
		}
		for range 40 {
			past = append(past, log)
			seen := past[max(0, len(past)-1-r.IntN(6))]
			before := phones(log)
			headBefore := log.Base()
			lead++
			switch r.IntN(8) {
			case 0:
				land(AudienceCommit{Sequence: seen.Next(), Replaces: true}, map[int]bool{lead: true})
			case 1:
				land(AudienceCommit{Sequence: seen.Next(), Deleted: true}, nil)
			case 2, 3: // a merge of some of the content that it saw
				content, _ := seen.Content()
				if len(content) < 2 {
					continue
				}
				from := r.IntN(len(content) - 1)
				own := map[int]bool{}
				for _, c := range content[from:] {
					for l := range leads[c.Layer] {
						own[l] = true
					}
				}
				land(AudienceCommit{Sequence: content[from].Sequence, Base: seen.Base(), Merged: seen.Merge(content[from:])}, own)
				if log.Base() != headBefore || len(phones(log)) != len(before) {
					t.Fatalf("seed %d: a merge changed %v to %v: %+v", seed, before, phones(log), log)
				}
			case 4: // a sweep: all dead layers lose their leads, and then their commits
				for _, d := range log.Dead() {
					if len(leads[d.Layer]) > 0 {
						delete(leads, d.Layer)
					} else if !d.Head || d.Alone {
						log = slices.DeleteFunc(slices.Clone(log), func(c AudienceCommit) bool { return c.Layer == d.Layer })
					}
				}
				past = past[:0] // nobody is slower than the grace
				if got := phones(log); len(got) != len(before) {
					t.Fatalf("seed %d: a sweep changed %v to %v: %+v", seed, before, got, log)
				}
			default:
				own := map[int]bool{lead: true}
				land(AudienceCommit{Sequence: seen.Next(), Base: seen.Base()}, own)
				if seen.Base() == headBefore && !phones(log)[lead] {
					t.Fatalf("seed %d: an addition to the head is not there: %+v", seed, log)
				}
			}
			after := phones(log)
			if log.Base() == headBefore {
				for l := range before {
					if !after[l] {
						t.Fatalf("seed %d: lead %d is lost though the head is the same: %+v", seed, l, log)
					}
				}
			}
			for l := range after {
				if !before[l] && l != lead {
					t.Fatalf("seed %d: lead %d came back: %+v", seed, l, log)
				}
			}
		}
	}
}

func TestLeadPiecesKeepTheirMemory(t *testing.T) {
	var p LeadPiece
	for round := range 3 {
		p.Reset(uint64(round))
		p.Append(15551234567, []byte("a"))
		p.Append(442079460000, nil)
		p.Append(442079460001, []byte("éé"))
		ids := p.ExternalIDs()
		if p.Len() != 3 || p.Bytes() != 5 || p.First != uint64(round) || string(ids[0]) != "a" || string(ids[1]) != "" || string(ids[2]) != "éé" {
			t.Fatalf("round %d: %+v, %q", round, p, ids)
		}
	}
	if n := testing.AllocsPerRun(100, func() { p.Reset(0); p.Append(1, []byte("abc")); p.ExternalIDs() }); n > 0 {
		t.Errorf("%v allocations a round", n)
	}
}
