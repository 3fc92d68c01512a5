package house

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var fuzzTest = regexp.MustCompile(`(?m)^func (Fuzz[A-Za-z0-9_]*)\(`)

// A fuzz test that nobody runs finds nothing: make fuzz runs each that is written,
// also one that a build tag hides or whose arguments are wrong.
func TestMakeFuzzRunsEveryFuzzTest(t *testing.T) {
	root := filepath.Join("..", "..")
	out, err := exec.CommandContext(t.Context(), filepath.Join(root, ".ci", "fuzz"), "--list").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	run := strings.Fields(strings.ReplaceAll(strings.TrimSpace(string(out)), " ", "/"))
	var written []string
	err = filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			if entry != nil && entry.IsDir() && (entry.Name() == ".git" || entry.Name() == "testdata") {
				return filepath.SkipDir
			}
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		room, err := filepath.Rel(root, filepath.Dir(path))
		for _, m := range fuzzTest.FindAllStringSubmatch(string(text), -1) {
			written = append(written, filepath.ToSlash(filepath.Join(module, room, m[1])))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(run)
	slices.Sort(written)
	if diff := cmp.Diff(written, run); diff != "" || len(run) < 20 {
		t.Errorf("%d fuzz tests; written (-) and run (+):\n%s", len(run), diff)
	}
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil || !regexp.MustCompile(`(?m)^fuzz:.*\n\t@.*\.ci/fuzz$`).Match(makefile) {
		t.Errorf("make fuzz does not run .ci/fuzz (%v)", err)
	}
}
