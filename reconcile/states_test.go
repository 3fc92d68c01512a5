package reconcile

import (
	"testing"

	"leadevents"
)

// What two looks at a lead together say is wrong: only what traffic between them cannot be.
func TestOnlyWhatDiffersAtBothLooksIsWrong(t *testing.T) {
	const none = leadevents.Millis(-1)
	of := func(rowsFirst, rowsLast, first, last leadevents.Millis) State {
		s := State{HasRows: rowsFirst != none, HasState: first != none}
		if s.HasRows {
			s.RowsFirst, s.RowsLast = rowsFirst, rowsLast
		}
		if s.HasState {
			s.First, s.Last = first, last
		}
		return s
	}
	for _, c := range []struct {
		name       string
		was, later State
		expires    bool
		want       Kind
	}{
		{"as it has to be", of(1, 5, 1, 5), of(1, 5, 1, 5), false, ""},
		{"nothing", of(none, none, none, none), of(none, none, none, none), false, ""},
		{"never a state", of(1, 5, none, none), of(1, 5, none, none), false, StatesMissing},
		{"never a state, and another row", of(1, 5, none, none), of(1, 7, none, none), false, StatesMissing},
		{"a state too late", of(1, 5, none, none), of(1, 5, 1, 5), false, ""},
		{"a state that is late and short", of(1, 5, none, none), of(1, 5, 1, 4), false, StatesNarrow},
		{"rows removed before their state came", of(1, 5, none, none), of(none, none, none, none), false, ""},
		{"never a row", of(none, none, 1, 5), of(none, none, 1, 5), false, StatesExtra},
		{"a row behind its state", of(none, none, 1, 5), of(1, 5, 1, 5), false, ""},
		{"short at the end", of(1, 5, 1, 4), of(1, 5, 1, 4), false, StatesNarrow},
		{"short at the start", of(1, 5, 2, 5), of(1, 5, 2, 5), false, StatesNarrow},
		{"short, and another row each time", of(1, 5, 1, 4), of(1, 9, 1, 8), false, ""},
		{"short, and another state beyond", of(1, 5, 1, 4), of(1, 9, 1, 12), false, ""},
		{"beyond the end", of(1, 5, 1, 6), of(1, 5, 1, 6), false, StatesWide},
		{"beyond the start", of(3, 5, 1, 5), of(3, 5, 1, 5), false, StatesWide},
		{"beyond the start, where first events expire", of(3, 5, 1, 5), of(3, 5, 1, 5), true, ""},
		{"beyond, its row a moment later", of(1, 5, 1, 6), of(1, 6, 1, 6), false, ""},
		{"beyond, its row later, and the next state before its own", of(1, 5, 1, 6), of(1, 6, 1, 9), false, ""},
		{"beyond, with the first state removed", of(1, 5, 1, 6), of(1, 5, none, none), false, ""},
		{"both removed", of(1, 5, 1, 6), of(none, none, none, none), false, ""},
		{"beyond and short", of(1, 5, 3, 7), of(1, 5, 3, 7), false, StatesWide},
	} {
		if got := c.was.still(c.later, c.expires); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
