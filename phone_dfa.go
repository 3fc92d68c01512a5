package leadevents

import (
	"fmt"
	"regexp/syntax"
	"slices"
)

// digitDFA tells, in a step a digit and mostly after the first, whether an
// expression anchored at the start may match one digit or more of a number. It
// may err on the side of "yes" (the expression itself is asked then), never on
// that of "no".
//
// It is what keeps ordinary numbers off regexp: Argentina's prefix expression
// begins with area codes that are also how its numbers begin ("11…15" strips,
// "11…" does not), China's with 1[12] like its mobiles.
type digitDFA struct {
	states  []dfaState
	longest int // digits of its longest match
}

// dfaState 0 is where nothing can match any more, 1 the start.
type dfaState struct {
	next      [10]uint16
	matches   bool // what was read so far matches
	atEndOnly bool // it matches if nothing follows ("$")
}

const dfaDead, dfaStart = 0, 1

// mayMatch says whether the expression may match at least a digit of digits.
func (d *digitDFA) mayMatch(digits string) bool {
	state := uint16(dfaStart)
	for i := range len(digits) {
		state = d.states[state].next[digits[i]-'0']
		if state == dfaDead {
			return false
		}
		if d.states[state].matches {
			return true
		}
	}
	return d.states[state].atEndOnly
}

// newDigitDFA makes the automaton of expr by subset construction. An expression
// that also matches nothing at all is fine: removing nothing changes nothing.
// It panics on an expression that regexp would refuse, as the library does.
func newDigitDFA(expr string) *digitDFA {
	parsed, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		panic(fmt.Sprintf("parse a national prefix expression: %v", err))
	}
	prog, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		panic(fmt.Sprintf("compile a national prefix expression: %v", err))
	}

	d := &digitDFA{states: make([]dfaState, 2)}
	sets := [][]uint32{nil, {uint32(prog.Start)}} // a state's instructions
	ids := map[string]uint16{"[]": dfaDead}
	for id := dfaStart; id < len(sets); id++ {
		open, matches := closure(prog, sets[id], id == dfaStart, false)
		_, atEnd := closure(prog, sets[id], id == dfaStart, true)
		d.states[id].matches, d.states[id].atEndOnly = matches, atEnd
		for digit := range 10 {
			var reached []uint32
			for _, pc := range open {
				if inst := &prog.Inst[pc]; inst.MatchRune(rune('0' + digit)) {
					reached = append(reached, inst.Out)
				}
			}
			slices.Sort(reached)
			reached = slices.Compact(reached)
			key := fmt.Sprint(reached)
			next, known := ids[key]
			if !known {
				next = uint16(len(sets))
				ids[key] = next
				sets = append(sets, reached)
				d.states = append(d.states, dfaState{})
			}
			d.states[id].next[digit] = next
		}
	}
	d.longest = d.depth()
	return d
}

// closure is what can be reached from pcs without reading a digit: the
// instructions that read one, and whether the match is reached.
func closure(prog *syntax.Prog, pcs []uint32, atStart, atEnd bool) (open []uint32, matches bool) {
	seen := make(map[uint32]bool)
	todo := slices.Clone(pcs)
	for len(todo) > 0 {
		pc := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if seen[pc] {
			continue
		}
		seen[pc] = true
		switch inst := &prog.Inst[pc]; inst.Op {
		case syntax.InstMatch:
			matches = true
		case syntax.InstAlt, syntax.InstAltMatch:
			todo = append(todo, inst.Out, inst.Arg)
		case syntax.InstCapture, syntax.InstNop:
			todo = append(todo, inst.Out)
		case syntax.InstEmptyWidth:
			// Anything else than ^ and $ counts as holding: see digitDFA.
			need := syntax.EmptyOp(inst.Arg)
			if need&syntax.EmptyBeginText != 0 && !atStart || need&syntax.EmptyEndText != 0 && !atEnd {
				continue
			}
			todo = append(todo, inst.Out)
		case syntax.InstRune, syntax.InstRune1, syntax.InstRuneAny, syntax.InstRuneAnyNotNL:
			open = append(open, pc)
		}
	}
	return open, matches
}

// depth is the most digits that can be read from the start before nothing can
// match any more. With an unbounded repeat it is that of any phone text.
func (d *digitDFA) depth() int {
	alive := map[uint16]bool{dfaStart: true}
	for read := 0; ; read++ {
		reached := map[uint16]bool{}
		for state := range alive {
			for _, next := range d.states[state].next {
				if next != dfaDead {
					reached[next] = true
				}
			}
		}
		if len(reached) == 0 || read == maxPhoneText {
			return read
		}
		alive = reached
	}
}
