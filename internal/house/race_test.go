package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What the Makefile tests without -race because it has no goroutines has none, in its tests neither.
func TestWhatIsNotRacedHasNoGoroutines(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join("..", "..", "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`(?m)^PLAIN = (.*)$`).FindSubmatch(makefile)
	if line == nil {
		t.Fatal("the Makefile has no PLAIN: which packages are meant?")
	}
	plain := strings.Fields(string(line[1]))
	all := packages(t)
	for _, name := range plain {
		i := slices.IndexFunc(all, func(p pkg) bool { return "./"+p.room() == name })
		if i < 0 {
			t.Errorf("%s in the Makefile's PLAIN is no package", name)
			continue
		}
		for _, file := range slices.Concat(all[i].GoFiles, all[i].TestGoFiles, all[i].XTestGoFiles) {
			text, err := os.ReadFile(filepath.Join(all[i].Dir, file))
			if err != nil {
				t.Fatal(err)
			}
			if found := goroutine(t, text); found != "" {
				t.Errorf("%s/%s has %s: take %s out of the Makefile's PLAIN, so that it is tested with -race", all[i].room(), file, found, name)
			}
		}
	}
}

// goroutine names what in a file starts a goroutine, or shares memory with one; empty where nothing does.
func goroutine(t *testing.T, text []byte) (found string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "", text, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	for _, spec := range file.Imports {
		if name := strings.Trim(spec.Path.Value, `"`); name == "sync" || name == "sync/atomic" {
			return "an import of " + name
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			found = "a go statement"
		case *ast.SelectorExpr:
			if slices.Contains([]string{"Go", "Parallel", "AfterFunc"}, n.Sel.Name) {
				found = "a call of " + n.Sel.Name
			}
		}
		return found == ""
	})
	return found
}

func TestGoroutinesAreFound(t *testing.T) {
	for text, want := range map[string]string{
		`package p; func f() { go f() }`:                                     "a go statement",
		`package p; func f(g interface{ Go(func()) }) { g.Go(func() {}) }`:   "a call of Go",
		`package p; import "testing"; func f(t *testing.T) { t.Parallel() }`: "a call of Parallel",
		`package p; import "sync/atomic"; var n atomic.Int64`:                "an import of sync/atomic",
		`package p; func f() { f() }`:                                        "",
	} {
		if got := goroutine(t, []byte(text)); got != want {
			t.Errorf("%s has %q, want %q", text, got, want)
		}
	}
}
