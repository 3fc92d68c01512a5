package audience

import (
	"math/rand/v2"
	"slices"
	"testing"

	"leadevents"
)

func defined(sequence, id uint64) SendEntry {
	return SendEntry{Sequence: sequence, ID: id, Kind: SendDefined, Definition: Definition{Audience: Reference{Source: EveryLead}, FireAt: leadevents.Millis(id)}}
}

func claimed(sequence, run, definition uint64) SendEntry {
	return SendEntry{Sequence: sequence, ID: run, Kind: SendClaimed, DefinitionID: definition, FireAt: 7, AsOf: leadevents.Millis(run)}
}

func done(sequence, run uint64) SendEntry {
	return SendEntry{Sequence: sequence, ID: 1000 + run, Kind: SendDone, Run: run, Totals: Totals{Kept: run}, WrittenAt: leadevents.Millis(sequence)}
}

func failed(sequence, run uint64) SendEntry {
	return SendEntry{Sequence: sequence, ID: 2000 + run, Kind: SendFailure, Run: run, Reason: "why"}
}

func listed(sequence, id uint64) SendEntry {
	return SendEntry{Sequence: sequence, ID: id, Kind: SendListed, ListFilter: ListFilter{List: List{ID: id, Mode: Include}}}
}

func TestWhatALogComesTo(t *testing.T) {
	for name, c := range map[string]struct {
		log        SendLog
		state      SendState // "": there is no send
		run        uint64
		definition leadevents.Millis // its fireAt
		list       uint64
		attempts   int
	}{
		"nothing":                     {SendLog{}, "", 0, 0, 0, 0},
		"a list alone":                {SendLog{listed(1, 5)}, "", 0, 0, 0, 0},
		"defined":                     {SendLog{defined(1, 2)}, SendDraft, 0, 2, 0, 0},
		"the last definition counts":  {SendLog{listed(1, 5), defined(2, 2), defined(3, 1), listed(4, 4)}, SendDraft, 0, 1, 4, 0},
		"claimed":                     {SendLog{defined(1, 2), claimed(2, 9, 2)}, SendMaterializing, 9, 2, 0, 1},
		"done":                        {SendLog{defined(1, 2), claimed(2, 9, 2), done(3, 9)}, SendMaterialized, 9, 2, 0, 1},
		"failed":                      {SendLog{defined(1, 2), claimed(2, 9, 2), failed(3, 9)}, SendFailed, 9, 2, 0, 0},
		"changed after a failure":     {SendLog{defined(1, 2), claimed(2, 9, 2), failed(3, 9), defined(4, 3)}, SendDraft, 0, 3, 0, 0},
		"listed after a failure":      {SendLog{defined(1, 2), claimed(2, 9, 2), failed(3, 9), listed(4, 5)}, SendDraft, 0, 2, 5, 0},
		"taken over before it began":  {SendLog{defined(1, 2), claimed(2, 9, 2), {Sequence: 3, ID: 8, Kind: SendClaimed, DefinitionID: 2, Reason: "not begun"}}, SendMaterializing, 8, 2, 0, 1},
		"tried again":                 {SendLog{defined(1, 2), claimed(2, 9, 2), failed(3, 9), claimed(4, 8, 2)}, SendMaterializing, 8, 2, 0, 1},
		"taken over":                  {SendLog{defined(1, 2), claimed(2, 9, 2), claimed(3, 8, 2)}, SendMaterializing, 8, 2, 0, 2},
		"the old one is late":         {SendLog{defined(1, 2), claimed(2, 9, 2), claimed(3, 8, 2), done(4, 8), done(5, 9)}, SendMaterialized, 8, 2, 0, 2},
		"the old one was through":     {SendLog{defined(1, 2), claimed(2, 9, 2), claimed(3, 8, 2), done(4, 9)}, SendMaterialized, 9, 2, 0, 2},
		"done twice in one sequence":  {SendLog{defined(1, 2), claimed(2, 8, 2), claimed(2, 9, 2), done(3, 8), done(3, 9)}, SendMaterialized, 9, 2, 0, 2},
		"defined behind the claim":    {SendLog{defined(1, 2), claimed(2, 9, 2), defined(3, 4), listed(3, 5)}, SendMaterializing, 9, 2, 0, 1},
		"done, and then said to fail": {SendLog{defined(1, 2), claimed(2, 9, 2), done(3, 9), failed(4, 9)}, SendMaterialized, 9, 2, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			// In whatever order, and with entries that were written twice.
			for range 20 {
				log := append(slices.Clone(c.log), c.log...)
				rand.Shuffle(len(log), func(i, j int) { log[i], log[j] = log[j], log[i] })
				send, exists := log.Send()
				if exists != (c.state != "") || send.State != c.state || send.Run != c.run {
					t.Fatalf("%v %s run %d, want %s run %d", exists, send.State, send.Run, c.state, c.run)
				}
				if exists && send.Definition.FireAt != c.definition {
					t.Errorf("definition %d, want %d", send.Definition.FireAt, c.definition)
				}
				if (send.ListFilter != nil) != (c.list != 0) || c.list != 0 && send.ListFilter.ID != c.list {
					t.Errorf("list %+v, want %d", send.ListFilter, c.list)
				}
				if send.State == SendMaterialized && (send.Totals.Kept != c.run || send.AsOf != leadevents.Millis(c.run)) {
					t.Errorf("totals %+v as of %d are not those of run %d", send.Totals, send.AsOf, c.run)
				}
			}
			if got := c.log.Attempts(); got != c.attempts {
				t.Errorf("%d attempts, want %d", got, c.attempts)
			}
		})
	}
}

// What a reader has seen as the result stays, whatever is written later by
// processes that saw it: no entry but a newer claim's result can replace one, and
// whoever claims or ends looks for a result first.
func TestAResultStays(t *testing.T) {
	log := SendLog{defined(1, 2), listed(2, 3), claimed(3, 9, 2), done(4, 9)}
	before, _ := log.Send()
	for _, late := range []SendEntry{defined(5, 8), listed(5, 8), failed(5, 9), claimed(5, 10, 2), failed(6, 10)} {
		log = append(log, late)
		if after, _ := log.Send(); after.State != before.State || after.Run != before.Run || after.Definition.FireAt != before.Definition.FireAt {
			t.Errorf("%s changed run %d to %d", late.Kind, before.Run, after.Run)
		}
	}
}

func TestDefinitionsThatAskTheSameAreEqual(t *testing.T) {
	within := 5
	base := Definition{CampaignID: "c", Audience: Reference{Source: Stored, AudienceID: "a"}, Filters: []Filter{{Mode: Include, EventType: "t", Within: &within, MinCount: 1}}, FireAt: 7}
	same := base
	other := 5
	same.Filters = []Filter{{Mode: Include, EventType: "t", Within: &other, MinCount: 1}}
	same.Phones = 99 // where, not what
	if !base.Equal(&same) {
		t.Error("equal definitions differ")
	}
	for name, change := range map[string]func(*Definition){
		"campaign": func(d *Definition) { d.CampaignID = "" }, "audience": func(d *Definition) { d.Audience.AudienceID = "b" },
		"phones": func(d *Definition) { d.PhonesHash[0] = 1 }, "filters": func(d *Definition) { d.Filters = nil }, "fireAt": func(d *Definition) { d.FireAt = 0 },
	} {
		changed := base
		change(&changed)
		if base.Equal(&changed) {
			t.Errorf("another %s makes no difference", name)
		}
	}
}

// What is needed is the newest definition and list, and what the run that counts,
// or goes on, went by.
func TestWhatOfASendIsNeeded(t *testing.T) {
	const before, after = 10, 30 // and since is 20
	defined := func(sequence, id, phones uint64) SendEntry {
		return SendEntry{Sequence: sequence, ID: id, Kind: SendDefined, Definition: Definition{Phones: phones}}
	}
	listed := func(sequence, id, list uint64) SendEntry {
		return SendEntry{Sequence: sequence, ID: id, Kind: SendListed, ListFilter: ListFilter{List: List{ID: list}}}
	}
	claimed := func(sequence, run, definition, list uint64, at leadevents.Millis) SendEntry {
		return SendEntry{Sequence: sequence, ID: run, Kind: SendClaimed, DefinitionID: definition, ListID: list, WrittenAt: at}
	}
	ended := func(sequence, id, run uint64, kind SendKind) SendEntry {
		return SendEntry{Sequence: sequence, ID: id, Kind: kind, Run: run}
	}
	draft := SendLog{defined(1, 1, 101), defined(2, 2, 102), listed(3, 3, 103), listed(4, 4, 104)}
	for name, c := range map[string]struct {
		log         SendLog
		runs, lists []uint64
	}{
		"nothing":             {nil, nil, nil},
		"only a list filter":  {draft[2:], nil, []uint64{104}},
		"a draft":             {draft, nil, []uint64{102, 104}},
		"under way":           {append(slices.Clone(draft), claimed(5, 5, 2, 4, before)), []uint64{5}, []uint64{102, 104}},
		"under way by an old": {append(slices.Clone(draft), claimed(5, 5, 1, 3, before)), []uint64{5}, []uint64{101, 102, 103, 104}},
		"begun again":         {append(slices.Clone(draft), claimed(5, 5, 2, 4, before), claimed(6, 6, 2, 4, before)), []uint64{6}, []uint64{102, 104}},
		"begun again just now": {append(slices.Clone(draft), claimed(5, 5, 2, 4, after), claimed(6, 6, 2, 4, after)),
			[]uint64{5, 6}, []uint64{102, 104}},
		"done, and another is not": {append(slices.Clone(draft), claimed(5, 5, 1, 3, before), ended(6, 6, 5, SendDone), claimed(7, 7, 2, 4, before)),
			[]uint64{5}, []uint64{101, 102, 103, 104}},
		"failed":          {append(slices.Clone(draft), claimed(5, 5, 2, 4, before), ended(6, 6, 5, SendFailure)), nil, []uint64{102, 104}},
		"failed just now": {append(slices.Clone(draft), claimed(5, 5, 2, 4, after), ended(6, 6, 5, SendFailure)), []uint64{5}, []uint64{102, 104}},
		"failed, and tried again": {append(slices.Clone(draft), claimed(5, 5, 1, 3, before), ended(6, 6, 5, SendFailure), claimed(7, 7, 2, 4, before)),
			[]uint64{7}, []uint64{102, 104}},
	} {
		n := c.log.Needed(20)
		slices.Sort(n.Runs)
		slices.Sort(n.Lists)
		if n.Lists = slices.Compact(n.Lists); !slices.Equal(n.Runs, c.runs) || !slices.Equal(n.Lists, c.lists) {
			t.Errorf("%s: needed %+v, want runs %v and lists %v", name, n, c.runs, c.lists)
		}
	}
}
