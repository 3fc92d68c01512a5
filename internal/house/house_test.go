package house

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "leadevents"

// floors lists the rooms from the ground up. A package imports only from floors
// below its own: never up, never sideways. "x/..." is x and all below it; a
// longer name wins over a shorter one.
var floors = [][]string{
	{"."},
	{"internal/child/...", "internal/httpserver/...", "internal/house"},
	{"internal/redisserver/...", "internal/...", "audit", "clickhouse/analyst"},
	{"ingest/ledger/...", "auth/...", "query/audience/...", "query/upload/...", "query/statement", "clickhouse/schema/...", "clickhouse/embedded/..."},
	{"query/report/...", "journal", "retention", "reconcile"}, // query/report speaks of conditions as filters do
	{"ingest", "query", "clickhouse", "ingest/backfill/...", "console/..."},
	{"configs"},
	{"cmd/internal/app/..."},
	{"cmd/leadevents/...", "cmd/loadgen/...", "bench/..."},
}

// testRooms start real stores for tests: they may import what they start, and
// only tests may import them.
var testRooms = []string{"internal/storetest/..."}

// rooms of the drivers. A pattern that ends in ".go" names files.
var rooms = []struct {
	imports string // this module and its packages
	only    []string
	why     string
}{
	{"github.com/ClickHouse/clickhouse-go", []string{"clickhouse", "clickhouse/schema", "bench/..."}, "every statement is written in one place; benchmarks measure the bare driver"},
	{"github.com/ClickHouse/ch-go", []string{"clickhouse", "clickhouse/schema", "bench/..."}, "every statement is written in one place; benchmarks measure the bare driver"},
	{"github.com/redis/go-redis", []string{"ingest/ledger", "internal/limits", "internal/notify", "bench/..."}, "what Redis may lose is thought through there; benchmarks measure the bare driver"},
	{"github.com/gofiber/fiber", []string{"internal/httpserver", "handler*.go", "bench/..."}, "the rest must not know that there is HTTP; benchmarks measure it bare"},
	{"github.com/ebitengine/purego", []string{"clickhouse/embedded"}, "only the engine's child calls foreign code"},
	{"github.com/spf13/viper", []string{"configs"}, "everybody else gets typed settings"},
	{"github.com/spf13/cobra", []string{"cmd/leadevents", "cmd/loadgen", "bench/..."}, "only programs have a command line"},
}

// emptyNames say nothing about what a package is for.
var emptyNames = []string{"util", "utils", "common", "helper", "helpers", "models", "types", "manager", "misc", "base", "shared"}

// maxLines is where a file hides a noun: look for it, and give it a file.
const maxLines = 500

type pkg struct {
	ImportPath, Name, Dir, Doc                         string
	Imports, TestImports, XTestImports                 []string
	GoFiles, TestGoFiles, XTestGoFiles, IgnoredGoFiles []string
}

// room is the package's folder from the module's root, "." for the root.
func (p pkg) room() string { return roomOf(p.ImportPath) }

func roomOf(importPath string) string {
	if importPath == module {
		return "."
	}
	return strings.TrimPrefix(importPath, module+"/")
}

func ours(importPath string) bool {
	return importPath == module || strings.HasPrefix(importPath, module+"/")
}

func matches(pattern, room string) bool {
	if base, deep := strings.CutSuffix(pattern, "/..."); deep {
		return room == base || strings.HasPrefix(room, base+"/")
	}
	return room == pattern
}

func anyMatch(patterns []string, room string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, room) })
}

// floorOf is the floor of the longest pattern that holds room, -1 without one.
func floorOf(room string) int {
	floor, longest := -1, -1
	for i, patterns := range floors {
		for _, p := range patterns {
			if matches(p, room) && len(p) > longest {
				floor, longest = i, len(p)
			}
		}
	}
	return floor
}

func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-e", "-json=ImportPath,Name,Dir,Doc,Imports,TestImports,XTestImports,GoFiles,TestGoFiles,XTestGoFiles,IgnoredGoFiles", module+"/...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	var all []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("read go list: %v", err)
		}
		all = append(all, p)
	}
	if len(all) < 3 {
		t.Fatalf("go list found %d packages: the walk would prove nothing", len(all))
	}
	return all
}

func TestImportsPointDown(t *testing.T) {
	for _, p := range packages(t) {
		room := p.room()
		if anyMatch(testRooms, room) {
			continue
		}
		floor := floorOf(room)
		if floor < 0 {
			t.Errorf("%s stands on no floor: say in floors where it belongs", room)
			continue
		}
		for _, imp := range p.Imports {
			if !ours(imp) {
				continue
			}
			other := roomOf(imp)
			if anyMatch(testRooms, other) {
				t.Errorf("%s imports %s, which is for tests", room, other)
				continue
			}
			if below := floorOf(other); below >= floor && !strings.HasPrefix(other, room+"/internal/") {
				t.Errorf("%s (floor %d) imports %s (floor %d): imports point down only; let %s own an interface instead", room, floor, other, below, room)
			}
		}
	}
}

func TestDriversStayInTheirRooms(t *testing.T) {
	for _, p := range packages(t) {
		room := p.room()
		if anyMatch(testRooms, room) {
			continue
		}
		for _, name := range slices.Concat(p.GoFiles, p.IgnoredGoFiles) {
			file := filepath.Join(p.Dir, name)
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
			if err != nil {
				t.Errorf("%s: %v", file, err)
				continue
			}
			for _, spec := range parsed.Imports {
				imp, _ := strconv.Unquote(spec.Path.Value)
				for _, r := range rooms {
					if imp != r.imports && !strings.HasPrefix(imp, r.imports+"/") {
						continue
					}
					if !slices.ContainsFunc(r.only, func(only string) bool {
						if strings.HasSuffix(only, ".go") {
							ok, _ := path.Match(only, name)
							return ok
						}
						return matches(only, room)
					}) {
						t.Errorf("%s/%s imports %s; only %s may: %s", room, name, imp, strings.Join(r.only, ", "), r.why)
					}
				}
			}
		}
	}
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	for _, p := range packages(t) {
		room := p.room()
		if len(p.GoFiles) == 0 {
			continue // tests only
		}
		if p.Doc == "" {
			t.Errorf("%s has no package comment", room)
		}
		if p.Name != "main" && !slices.Contains(p.GoFiles, "doc.go") {
			t.Errorf("%s has no doc.go", room)
		}
		for _, part := range strings.Split(room, "/") {
			if slices.Contains(emptyNames, part) {
				t.Errorf("%s: %q says nothing about what the package is for", room, part)
			}
		}
	}
}

func TestNoFileHidesANoun(t *testing.T) {
	for _, p := range packages(t) {
		for _, name := range slices.Concat(p.GoFiles, p.TestGoFiles, p.XTestGoFiles, p.IgnoredGoFiles) {
			text, err := os.ReadFile(filepath.Join(p.Dir, name))
			if err != nil {
				t.Error(err)
				continue
			}
			if lines := bytes.Count(text, []byte("\n")); lines > maxLines {
				t.Errorf("%s/%s has %d lines, over %d: split it by the noun it hides", p.room(), name, lines, maxLines)
			}
		}
	}
}

// The rules themselves: without these, a typo in the table would pass anything.
func TestFloors(t *testing.T) {
	for _, c := range []struct {
		claim, lower, upper string
	}{
		{"the vocabulary is the ground", ".", "internal/child"},
		{"a store's process stands on child processes", "internal/child", "internal/redisserver"},
		{"the ledger is below ingest", "ingest/ledger", "ingest"},
		{"the schema is below clickhouse", "clickhouse/schema", "clickhouse"},
		{"the object graph is above the settings", "configs", "cmd/internal/app"},
		{"programs are above the object graph", "cmd/internal/app", "cmd/leadevents"},
	} {
		if floorOf(c.lower) < 0 || floorOf(c.lower) >= floorOf(c.upper) {
			t.Errorf("%s: %s is on floor %d, %s on %d", c.claim, c.lower, floorOf(c.lower), c.upper, floorOf(c.upper))
		}
	}
	for _, peers := range [][]string{{"ingest", "query", "clickhouse"}} {
		for _, p := range peers {
			if floorOf(p) != floorOf(peers[0]) {
				t.Errorf("%s and %s stand on different floors: one could import the other", p, peers[0])
			}
		}
	}
	if floor := floorOf("somewhere/else"); floor != -1 {
		t.Errorf("an unknown room stands on floor %d", floor)
	}
}
