package statement

import (
	_ "embed"
	"strconv"
	"strings"
	"sync"
)

//go:embed functions.txt
var functionsText string

// functionSet is what was judged, names in lower case: ClickHouse takes some names in
// any case, and those that differ in case only are judged alike (a test holds it).
type functionSet struct {
	allowed    map[string]bool // true: an aggregate function
	refused    map[string]bool
	names      []string // the allowed ones, as ClickHouse writes them
	aggregates []string
	zones      map[string][]int // at which places a function takes a time zone
}

var functions = sync.OnceValue(func() functionSet { return readFunctions(functionsText) })

func readFunctions(list string) functionSet {
	set := functionSet{allowed: map[string]bool{}, refused: map[string]bool{}, zones: map[string][]int{}}
	for line := range strings.Lines(list) {
		mark, names, _ := strings.Cut(line, " ")
		for _, name := range strings.Fields(names) {
			switch mark {
			case "+":
				set.allowed[strings.ToLower(name)], set.names = false, append(set.names, name)
			case "+a":
				set.allowed[strings.ToLower(name)], set.aggregates = true, append(set.aggregates, name)
			case "-":
				set.refused[strings.ToLower(name)] = true
			default:
				if place, err := strconv.Atoi(strings.TrimPrefix(mark, "z")); err == nil {
					set.zones[strings.ToLower(name)] = append(set.zones[strings.ToLower(name)], place)
				}
			}
		}
	}
	return set
}

// combinators are the endings of aggregate functions that only change what they are
// given. State, Merge and their like are not among them: states are binary, and who can
// make some up can make ClickHouse read what it never wrote.
var combinators = []string{"if", "array", "distinct", "ornull", "ordefault", "argmin", "argmax", "foreach", "map"}

// allows tells whether a function may be called.
func (f functionSet) allows(name string) bool {
	name = strings.ToLower(name)
	if _, known := f.allowed[name]; known {
		return true
	}
	if f.refused[name] {
		return false
	}
	// sumIf, uniqExactIfOrNull: at most a few endings, each known.
	for range 4 {
		cut := false
		for _, ending := range combinators {
			if base, ok := strings.CutSuffix(name, ending); ok {
				if f.allowed[base] {
					return true
				}
				if !cut {
					name, cut = base, true
				}
			}
		}
		if !cut {
			return false
		}
	}
	return false
}

// Functions lists what may be called, as ClickHouse writes the names.
func Functions() (scalar, aggregate []string) { return functions().names, functions().aggregates }

// Combinators lists the endings that aggregate functions may have.
func Combinators() []string {
	return []string{"If", "Array", "Distinct", "OrNull", "OrDefault", "ArgMin", "ArgMax", "ForEach", "Map"}
}

// tableFunctions may stand in FROM: rows out of nothing.
var tableFunctions = map[string]bool{"numbers": true, "generateseries": true, "generate_series": true, "values": true, "zeros": true}

// TableFunctions lists them.
func TableFunctions() []string {
	return []string{"numbers", "generateSeries", "generate_series", "values", "zeros"}
}

// Unjudged are those of a server's functions that are in no list.
func Unjudged(names []string) map[string]bool {
	unjudged := map[string]bool{}
	for _, name := range names {
		lower := strings.ToLower(name)
		if _, known := functions().allowed[lower]; !known && !functions().refused[lower] {
			unjudged[lower] = true
		}
	}
	return unjudged
}
