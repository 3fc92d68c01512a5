package house

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

var (
	namedTest   = regexp.MustCompile("`(Test[A-Za-z0-9_]+)`")
	writtenTest = regexp.MustCompile(`(?m)^func (Test[A-Za-z0-9_]+)\(`)
)

// What a page claims is shown by the tests that it names: they exist.
func TestPagesNameTestsThatExist(t *testing.T) {
	root := filepath.Join("..", "..")
	written := map[string]bool{}
	for _, p := range packages(t) {
		for _, name := range append(p.TestGoFiles, p.XTestGoFiles...) {
			text, err := os.ReadFile(filepath.Join(p.Dir, name))
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range writtenTest.FindAllStringSubmatch(string(text), -1) {
				written[m[1]] = true
			}
		}
	}
	for _, page := range []string{"README.md", "SECURITY.md", "docs/decisions.md", "docs/filters.md", "docs/events.md", "docs/sql.md", "docs/bi.md", "docs/erase.md", "docs/retention.md"} {
		text, err := os.ReadFile(filepath.Join(root, page))
		if err != nil {
			t.Fatal(err)
		}
		named := namedTest.FindAllStringSubmatch(string(text), -1)
		if len(named) == 0 && page[0] < 'a' {
			t.Errorf("%s names no test: this proves nothing", page)
		}
		for _, m := range named {
			if !written[m[1]] {
				t.Errorf("%s names %s, which is no test", page, m[1])
			}
		}
	}
}
