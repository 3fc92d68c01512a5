package schema

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

func TestSplit(t *testing.T) {
	for claim, c := range map[string]struct {
		text string
		want []string
	}{
		"an empty text has no statement":                 {"", nil},
		"space and comments alone are no statement":      {" \n-- one; two\n/* a; b */;\n;;\n", nil},
		"statements end at semicolons":                   {"SELECT 1;\nSELECT 2;\n", []string{"SELECT 1", "SELECT 2"}},
		"the last semicolon may be missing":              {"SELECT 1;\nSELECT 2", []string{"SELECT 1", "SELECT 2"}},
		"a comment stays with what it precedes":          {"-- why; how\nSELECT 1;\n-- end;", []string{"-- why; how\nSELECT 1"}},
		"a semicolon in a string is text":                {"SELECT ';';SELECT 2;", []string{"SELECT ';'", "SELECT 2"}},
		"a doubled quote does not end a string":          {"SELECT 'it''s; so';SELECT 2;", []string{"SELECT 'it''s; so'", "SELECT 2"}},
		"an escaped quote does not end a string":         {`SELECT '\';';SELECT 2;`, []string{`SELECT '\';'`, "SELECT 2"}},
		"an escaped backslash does not escape":           {`SELECT '\\';SELECT 2;`, []string{`SELECT '\\'`, "SELECT 2"}},
		"identifiers are quoted too":                     {"SELECT `a;b`, \"c;d\";SELECT 2;", []string{"SELECT `a;b`, \"c;d\"", "SELECT 2"}},
		"a quote in a comment opens nothing":             {"SELECT 1 -- don't; stop\n, 2;SELECT 3;", []string{"SELECT 1 -- don't; stop\n, 2", "SELECT 3"}},
		"a comment in a string is text":                  {"SELECT '-- /*';SELECT 2;", []string{"SELECT '-- /*'", "SELECT 2"}},
		"a block comment hides semicolons and dashes":    {"SELECT /* ; -- ' */ 1;SELECT 2;", []string{"SELECT /* ; -- ' */ 1", "SELECT 2"}},
		"a hash with a space is a comment":               {"SELECT 1 # a; b\n;SELECT 2;", []string{"SELECT 1 # a; b", "SELECT 2"}},
		"a heredoc hides semicolons":                     {"SELECT $x$ ; ' $x$;SELECT 2;", []string{"SELECT $x$ ; ' $x$", "SELECT 2"}},
		"a dollar alone is no heredoc":                   {"SELECT a$b c;SELECT 2;", []string{"SELECT a$b c", "SELECT 2"}},
		"carriage returns are space":                     {"SELECT 1;\r\nSELECT 2;\r\n", []string{"SELECT 1", "SELECT 2"}},
		"a minus is not a comment, two in a row are one": {"SELECT 2-1, 2--1;\n;SELECT 3;", []string{"SELECT 2-1, 2--1;", "SELECT 3"}},
	} {
		t.Run(claim, func(t *testing.T) {
			got, err := split(c.text)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestSplitNamesTheLineOfWhatIsNeverClosed(t *testing.T) {
	for text, want := range map[string]string{
		"SELECT 1;\nSELECT 'a;\n":  "the quote opened in line 2 is never closed",
		"SELECT 1;\n\n/* SELECT 2": "the comment opened in line 3 is never closed",
		"SELECT $q$ 1;":            "the heredoc opened in line 1 is never closed",
		"SELECT `a\\`;":            "the quote opened in line 1 is never closed",
	} {
		if _, err := split(text); err == nil || err.Error() != want {
			t.Errorf("split(%q): got error %v, want %s", text, err, want)
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	sql := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	for claim, c := range map[string]struct {
		files fstest.MapFS
		want  string
	}{
		"no file":            {fstest.MapFS{}, "there is no migration"},
		"a gap":              {fstest.MapFS{"migrations/0001_a.sql": sql("SELECT 1"), "migrations/0003_b.sql": sql("SELECT 1")}, "0003_b.sql should have number 0002"},
		"a number twice":     {fstest.MapFS{"migrations/0001_a.sql": sql("SELECT 1"), "migrations/0001_b.sql": sql("SELECT 1")}, "0001_b.sql should have number 0002"},
		"a name of its own":  {fstest.MapFS{"migrations/first.sql": sql("SELECT 1")}, "first.sql is not named NNNN_name.sql"},
		"no statement":       {fstest.MapFS{"migrations/0001_a.sql": sql("-- later")}, "0001_a.sql has no statement"},
		"an open string":     {fstest.MapFS{"migrations/0001_a.sql": sql("SELECT '")}, "0001_a.sql: the quote opened in line 1"},
		"numbers from zero":  {fstest.MapFS{"migrations/0000_a.sql": sql("SELECT 1")}, "0000_a.sql should have number 0001"},
		"upper-case letters": {fstest.MapFS{"migrations/0001_A.sql": sql("SELECT 1")}, "0001_A.sql is not named NNNN_name.sql"},
	} {
		t.Run(claim, func(t *testing.T) {
			if _, err := load(c.files); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got error %v, want one with %q", err, c.want)
			}
		})
	}
}

// Every statement of ours must bear being run again: it is the whole safety.
func TestEveryStatementMayRunAgain(t *testing.T) {
	migrations, err := Migrations()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range migrations {
		for _, statement := range m.statements {
			upper := strings.ToUpper(statement)
			idempotent := strings.Contains(upper, "IF NOT EXISTS") || strings.Contains(upper, "IF EXISTS") || strings.Contains(upper, "MODIFY ")
			if !idempotent {
				t.Errorf("%s: neither IF NOT EXISTS, IF EXISTS nor MODIFY in\n%s", m.Name, statement)
			}
			if !strings.Contains(statement, "{database:Identifier}.") {
				t.Errorf("%s: no {database:Identifier}. in\n%s", m.Name, statement)
			}
		}
	}
}
