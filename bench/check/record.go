package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
)

// cost is what one run of a path takes.
type cost struct {
	Allocations  int64 `json:"allocations"`
	Instructions int64 `json:"instructions"`
}

// record is the costs of all paths, as one compiler made them.
type record struct {
	Go    string          `json:"go"`   // runtime.Version
	Arch  string          `json:"arch"` // runtime.GOARCH
	Paths map[string]cost `json:"paths"`
}

func newRecord() record {
	return record{Go: runtime.Version(), Arch: runtime.GOARCH, Paths: map[string]cost{}}
}

// Tolerances. Hash maps begin at random places and the runtime's own threads run beside
// a path, which moved instructions by up to 0.5 % between runs; where a path allocates
// by the thousand, a map's growth is not the same each time.
const (
	instructionTolerance = 0.03
	allocationTolerance  = 0.01
)

// rerecord is what to do when a change is meant.
const rerecord = "make bench-check BENCH=--record"

func readRecord(file string) (r record, err error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return r, fmt.Errorf("%s is not there: run from the repository's root, or record it: %s", file, rerecord)
	}
	if err != nil {
		return r, fmt.Errorf("read the record: %w", err)
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return r, fmt.Errorf("read the record %s: %w", file, err)
	}
	return r, nil
}

// write is JSON with a line for each path, so that a change shows which.
func (r record) write(file string) error {
	text, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return fmt.Errorf("write the record: %w", err)
	}
	if err := os.WriteFile(file, append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("write the record: %w", err)
	}
	return nil
}

// language is the version of Go without its patch level, whose compiler is the same
// but for mended faults.
func language(version string) string {
	parts := strings.SplitN(version, ".", 3)
	return strings.Join(parts[:min(2, len(parts))], ".")
}

// comparable is nil if instructions of both are of one compiler and one kind of
// processor; otherwise it says what is not.
func (r record) comparable(now record) error {
	if r.Arch == now.Arch && language(r.Go) == language(now.Go) {
		return nil
	}
	return fmt.Errorf("INSTRUCTIONS ARE NOT COMPARED: they were recorded with %s on %s, and this is %s on %s; allocations are. Record them anew: %s",
		r.Go, r.Arch, now.Go, now.Arch, rerecord)
}

// compare returns what became worse, each with its path's name and by how much, and
// what became better. A path without a record, and a record without its path, are
// worse: nobody would notice.
func compare(recorded, now record) (worse, better []string) {
	instructions := true
	if err := recorded.comparable(now); err != nil {
		worse, instructions = append(worse, err.Error()), false
	}
	for _, name := range slices.Sorted(maps.Keys(now.Paths)) {
		was, is := recorded.Paths[name], now.Paths[name]
		if _, ok := recorded.Paths[name]; !ok {
			worse = append(worse, name+": it has no record")
			continue
		}
		judge := func(what string, was, is int64, tolerance float64) {
			most := was + int64(float64(was)*tolerance)
			least := was - int64(float64(was)*tolerance)
			said := fmt.Sprintf("%s: %s %s a run, recorded are %s (%s)", name, count(is), what, count(was), change(was, is))
			switch {
			case is > most:
				worse = append(worse, fmt.Sprintf("%s; at most %s are allowed", said, count(most)))
			case is < least:
				better = append(better, said)
			}
		}
		judge("allocations", was.Allocations, is.Allocations, allocationTolerance)
		if instructions {
			judge("instructions", was.Instructions, is.Instructions, instructionTolerance)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(recorded.Paths)) {
		if _, ok := now.Paths[name]; !ok {
			worse = append(worse, name+": it is recorded, and no path any more")
		}
	}
	return worse, better
}

// change is how much more or less, "+12.3 %".
func change(was, is int64) string {
	if was == 0 {
		return fmt.Sprintf("%+d", is-was)
	}
	return fmt.Sprintf("%+.1f %%", 100*float64(is-was)/float64(was))
}

// count writes a number with commas.
func count(n int64) string {
	digits := strings.TrimPrefix(fmt.Sprint(n), "-")
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	if n < 0 {
		return "-" + digits
	}
	return digits
}
