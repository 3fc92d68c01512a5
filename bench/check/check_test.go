package main

import (
	"bytes"
	"crypto/sha256"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// slower names what makes BenchmarkSample slower, in the processes that check runs.
const slower = "LEADEVENTS_CHECK_SLOWER"

var kept []byte // what escapes to it is allocated

// BenchmarkSample is a path whose costs are known: the test of the check measures it.
func BenchmarkSample(b *testing.B) {
	how := os.Getenv(slower)
	input := bytes.Repeat([]byte("x"), 4096)
	b.ReportAllocs()
	for b.Loop() {
		sum := sha256.Sum256(input)
		kept = append([]byte(nil), sum[:]...)
		switch how {
		case "an allocation":
			kept = append([]byte(nil), kept...)
		case "instructions":
			for range 5 {
				sum = sha256.Sum256(sum[:])
			}
		}
	}
}

var sample = []path{{"./bench/check", "Sample", 200}}

func measured(t *testing.T, how string) record {
	t.Helper()
	t.Setenv(slower, how)
	r, err := measure(t.Context(), filepath.Join("..", ".."), sample)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAPathMadeSlowerIsTold(t *testing.T) {
	const name = "./bench/check Sample"
	recorded := measured(t, "")
	if c := recorded.Paths[name]; c.Allocations != 1 || c.Instructions < 1000 {
		t.Fatalf("%+v", c)
	}
	if worse, better := compare(recorded, measured(t, "")); len(worse)+len(better) != 0 {
		t.Errorf("the same again: worse %q, better %q", worse, better)
	}
	worse, _ := compare(recorded, measured(t, "an allocation"))
	if len(worse) == 0 || !strings.HasPrefix(worse[0], name+": 2 allocations a run, recorded are 1 (+100.0 %)") {
		t.Errorf("an allocation more: %q", worse)
	}
	more := measured(t, "instructions")
	worse, _ = compare(recorded, more)
	if len(worse) != 1 || !strings.HasPrefix(worse[0], name+": ") || !strings.Contains(worse[0], " instructions a run, recorded are ") {
		t.Errorf("more instructions: %q", worse)
	}
	if worse, better := compare(more, recorded); len(worse) != 0 || len(better) != 1 || !strings.Contains(better[0], "(-") {
		t.Errorf("fewer instructions: worse %q, better %q", worse, better)
	}
}

// A second try does not make a path that is slower look as it was.
func TestAPathThatSeemsWorseIsMeasuredAgain(t *testing.T) {
	const name = "./bench/check Sample"
	now := measured(t, "an allocation")
	recorded := record{now.Go, now.Arch, map[string]cost{name: {1, 1000}}}
	noisy := now.Paths[name].Instructions * 2
	now.Paths[name] = cost{5, noisy}
	if err := measureAgain(t.Context(), filepath.Join("..", ".."), recorded, now, sample); err != nil {
		t.Fatal(err)
	}
	if c := now.Paths[name]; c.Allocations != 2 || c.Instructions >= noisy {
		t.Errorf("the second try is not taken: %+v", c)
	}
	if worse, _ := compare(recorded, now); len(worse) != 2 {
		t.Errorf("worse: %q", worse)
	}
}

func TestABenchmarkThatIsNotThereIsAnError(t *testing.T) {
	_, err := measure(t.Context(), filepath.Join("..", ".."), []path{{"./bench/check", "Nothing", 1}})
	if err == nil || !strings.Contains(err.Error(), "./bench/check Nothing: 0 benchmarks ran") {
		t.Errorf("measure: %v", err)
	}
}

func TestWhatIsNotComparedIsTold(t *testing.T) {
	recorded := record{Go: "go1.26.1", Arch: "amd64", Paths: map[string]cost{"a": {3, 1_000_000}, "b": {0, 10}}}
	with := func(change func(*record)) record {
		now := record{Go: "go1.26.3", Arch: "amd64", Paths: map[string]cost{"a": {3, 1_029_999}, "b": {0, 10}}}
		change(&now)
		return now
	}
	for claim, c := range map[string]struct {
		now   record
		worse []string // how each begins
	}{
		"another patch of Go, and within the tolerance": {with(func(*record) {}), nil},
		"beyond the tolerance":                          {with(func(r *record) { r.Paths["a"] = cost{3, 1_030_001} }), []string{"a: 1,030,001 instructions a run, recorded are 1,000,000 (+3.0 %); at most 1,030,000"}},
		"one allocation more":                           {with(func(r *record) { r.Paths["b"] = cost{1, 10} }), []string{"b: 1 allocations a run, recorded are 0 (+1); at most 0"}},
		"a path without a record":                       {with(func(r *record) { r.Paths["c"] = cost{} }), []string{"c: it has no record"}},
		"a record without its path":                     {with(func(r *record) { delete(r.Paths, "b") }), []string{"b: it is recorded, and no path any more"}},
		"another Go": {with(func(r *record) { r.Go, r.Paths["a"] = "go1.27.0", cost{4, 9_000_000} }),
			[]string{"INSTRUCTIONS ARE NOT COMPARED: they were recorded with go1.26.1 on amd64, and this is go1.27.0 on amd64", "a: 4 allocations a run, recorded are 3"}},
		"another processor": {with(func(r *record) { r.Arch, r.Paths["a"] = "arm64", cost{4, 9_000_000} }),
			[]string{"INSTRUCTIONS ARE NOT COMPARED: they were recorded with go1.26.1 on amd64, and this is go1.26.3 on arm64", "a: 4 allocations a run, recorded are 3"}},
	} {
		worse, _ := compare(recorded, c.now)
		if !slices.EqualFunc(worse, c.worse, strings.HasPrefix) {
			t.Errorf("%s: %q, want %q", claim, worse, c.worse)
		}
		var out bytes.Buffer
		err := tell(&out, recorded, c.now, nil)
		if (err != nil) != (len(c.worse) > 0) || err != nil && !strings.Contains(err.Error(), rerecord) {
			t.Errorf("%s: told as %v", claim, err)
		}
	}
}

// Every path has a record, and the record nothing else: checked here without measuring.
func TestTheRecordIsOfTheHotPaths(t *testing.T) {
	recorded, err := readRecord("record.json")
	if err != nil {
		t.Fatal(err)
	}
	now := record{Go: recorded.Go, Arch: recorded.Arch, Paths: map[string]cost{}}
	for _, p := range hotPaths {
		now.Paths[p.name()] = recorded.Paths[p.name()]
		if recorded.Paths[p.name()].Instructions <= 0 {
			t.Errorf("%s: no instructions are recorded", p.name())
		}
	}
	if worse, better := compare(recorded, now); len(worse)+len(better) != 0 {
		t.Errorf("%q, %q", worse, better)
	}
	if _, err := readRecord(filepath.Join(t.TempDir(), "none.json")); err == nil || !strings.Contains(err.Error(), rerecord) {
		t.Errorf("no record: %v", err)
	}
}

func TestCountsAreWrittenWithCommas(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -999: "-999", -1000: "-1,000", -123456: "-123,456"} {
		if got := count(n); got != want {
			t.Errorf("count(%d) = %q, want %q", n, got, want)
		}
	}
}
