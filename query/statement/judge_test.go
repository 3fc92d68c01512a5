package statement

import (
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"leadevents"
)

var limits = Limits{Bytes: 64 << 10, Nesting: 100}

// verdict is what both halves of the judge say, with the engine's own tree between.
func (e engine) verdict(whole string) error {
	e.t.Helper()
	s, err := Read(whole, limits)
	if err != nil {
		return err
	}
	text := "EXPLAIN AST\n" + s.Text
	status, tree := e.ask(text, text)
	if status != http.StatusOK {
		return leadevents.Errorf(leadevents.InvalidQuery, "the engine: %s", tree)
	}
	return s.Judge(tree, nil)
}

func TestRefusalsNameTheirPlace(t *testing.T) {
	for whole, want := range map[string]string{
		"SELECT 1\n  SETTINGS a = 1":             "SETTINGS are not allowed: limits are the server's, at line 2, column 3",
		"SELECT 'é', x'41'":                      "between a word or number and ' there must be a space, at line 1, column 14",
		"SELECT 1; SELECT 2":                     "query has more than one statement, at line 1, column 9",
		"INSERT INTO x VALUES (1)":               "query must be one SELECT, or WITH … SELECT, at line 1, column 1",
		"SELECT {a:Identifier}":                  "a parameter cannot be of the type Identifier, at line 1, column 11",
		"SELECT {a}":                             "a parameter is written {name:Type}, at line 1, column 8",
		"":                                       "query is empty: it must be one SELECT, or WITH … SELECT",
		"SELECT " + strings.Repeat("(", 101):     "query is nested deeper than 100 (sql.max_nesting), at line 1, column 108",
		"SELECT '" + strings.Repeat("a", 65_536): "query has 65544 bytes, more than 65536 (sql.max_query_bytes); long lists go into params",
		"SELECT \"a\\b\"":                        "names in quotes may not have backslashes and control characters, at line 1, column 10",
		"SELECT * FROM t UUID '5-6'":             "a table may not be named by its UUID, at line 1, column 17",
		"SELECT 1 /* a /* b */ */":               "a comment has another one inside, at line 1, column 10",
		"SELECT 1 \u00a0":                        "'\\u00a0' may stand in quotes only, at line 1, column 10",
		"SELECT 'a":                              "a quote ' is not closed, at line 1, column 8",
	} {
		_, err := Read(whole, limits)
		if leadevents.KindOf(err) != leadevents.InvalidQuery || err.Error() != want {
			t.Errorf("%.60q: %v\nwant %s", whole, err, want)
		}
	}
}

// A tree that is not one is refused, and so is what nobody has judged.
func TestTreesAreReadExactly(t *testing.T) {
	good := "SelectWithUnionQuery (children 1)\n ExpressionList (children 1)\n  SelectQuery (children 1)\n   ExpressionList (children 1)\n    Literal UInt64_1\n"
	s, err := Read("SELECT 1", limits)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Judge(good, nil); err != nil {
		t.Error(err)
	}
	for what, tree := range map[string]string{
		"nothing":             "",
		"another root":        strings.Replace(good, "SelectWithUnionQuery", "InsertQuery", 1),
		"a clause of output":  strings.Replace(good, "(children 1)", "(children 2)", 1) + " Identifier JSON\n",
		"too few children":    strings.Replace(good, "(children 1)\n    Literal", "(children 2)\n    Literal", 1),
		"too many children":   good + "    Literal UInt64_2\n",
		"a second root":       good + good,
		"a leap in depth":     strings.Replace(good, "    Literal", "     Literal", 1),
		"an unknown node":     strings.Replace(good, "Literal UInt64_1", "NewThing", 1),
		"settings":            strings.Replace(good, "Literal UInt64_1", "Set", 1),
		"an unknown function": strings.Replace(good, "Literal UInt64_1", "Function brandNew", 1),
		"a refused function":  strings.Replace(good, "Literal UInt64_1", "Function file (alias count)", 1),
		"a refused name":      strings.Replace(good, "Literal UInt64_1", "Identifier FILE (alias x)", 1),
		"another database":    strings.Replace(good, "Literal UInt64_1", "TableIdentifier system.one (alias x)", 1),
		"states":              strings.Replace(good, "Literal UInt64_1", "Literal 'AggregateFunction(sum, UInt8)'", 1),
		"an empty line":       good + "\n",
	} {
		if err := s.Judge(tree, nil); leadevents.KindOf(err) != leadevents.InvalidQuery {
			t.Errorf("%s: %v", what, err)
		}
	}
	unjudged := Unjudged([]string{"count", "file", "newFunction"})
	if !maps.Equal(unjudged, map[string]bool{"newfunction": true}) {
		t.Errorf("unjudged: %v", unjudged)
	}
	if err := s.Judge(strings.Replace(good, "Literal UInt64_1", "Identifier newFunction", 1), unjudged); err == nil {
		t.Error("a function that nobody has judged passes as an identifier")
	}
}

func TestFunctionsAndTheirEndings(t *testing.T) {
	for name, want := range map[string]bool{
		"count": true, "COUNT": true, "sumIf": true, "uniqExactIfOrNull": true, "quantileArrayIf": true, "groupArrayDistinct": true, "JSONExtractFloat": true, "toStartOfDay": true,
		"sumState": false, "sumMerge": false, "uniqStateIf": false, "countSimpleState": false, "sumResample": false, "file": false, "FILE": false, "fileIf": false,
		"sleep": false, "If": true, "if": true, "array": true, "map": true, "sumIfIfIfIfIf": false, "absIf": false, "": false, "lambda": true,
	} {
		if got := functions().allows(name); got != want {
			t.Errorf("%q: %t", name, got)
		}
	}
}

func TestParametersAreBound(t *testing.T) {
	value := func(s string) map[string]jsontext.Value { return map[string]jsontext.Value{"a": jsontext.Value(s)} }
	for in, want := range map[string]string{
		`"x"`: "x", `"a\tb\\c\n"`: `a\tb\\c\n`, `"\\N"`: `\\N`, `null`: `\N`, `true`: "true", `18446744073709551615`: "18446744073709551615", `1.50e3`: "1.50e3",
		`["a'b","\\",null,1]`: `['a\'b','\\',NULL,1]`, `[[1],[2,3]]`: "[[1],[2,3]]", `[]`: "[]", `"{b:Identifier}"`: "{b:Identifier}",
	} {
		if got, err := Bind(value(in)); err != nil || got["a"] != want {
			t.Errorf("%s is bound as %q, %v; want %q", in, got["a"], err, want)
		}
	}
	for _, in := range []string{`{}`, `[{}]`, `[[[[[1]]]]]`, `"` + strings.Repeat("x", MaxParameterBytes+1) + `"`} {
		if _, err := Bind(value(in)); leadevents.KindOf(err) != leadevents.InvalidRequest {
			t.Errorf("%.40s: %v", in, err)
		}
	}
	for _, name := range []string{"", "a b", "a&b", "1a", strings.Repeat("a", 65), "é"} {
		if _, err := Bind(map[string]jsontext.Value{name: jsontext.Value("1")}); leadevents.KindOf(err) != leadevents.InvalidRequest {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// Whatever comes, the judge ends, at once, with a verdict.
func FuzzTheJudgeEnds(f *testing.F) {
	for _, whole := range cutSeeds {
		f.Add(whole, "SelectWithUnionQuery (children 1)\n ExpressionList\n")
	}
	f.Add("SELECT f(x) FROM (SELECT 1) AS t", "SelectWithUnionQuery (children 1)\n ExpressionList (children 1)\n  Function in (children 1)\n   ExpressionList (children 2)\n    Literal 1\n    Identifier a.b\n")
	f.Fuzz(func(t *testing.T, whole, tree string) {
		began := time.Now()
		s, err := Read(whole, limits)
		if err == nil {
			err = s.Judge(tree, nil)
		}
		if err != nil && leadevents.KindOf(err) != leadevents.InvalidQuery {
			t.Errorf("%v", err)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("took %s", took)
		}
	})
}

// With the engine's own trees: what works for analysts, and what does not.
func TestTheJudgeAndTheEngine(t *testing.T) {
	e := newEngine(t)
	for _, whole := range []string{
		"SELECT 1", "WITH a AS (SELECT 1 AS x) SELECT x FROM a", "(SELECT 1) UNION ALL SELECT 2", "SELECT * EXCEPT (a) REPLACE (b + 1 AS b) FROM t",
		"SELECT count() FILTER (WHERE a > 1), sum(b) OVER (PARTITION BY c ORDER BY d ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM t GROUP BY ALL WITH ROLLUP HAVING 1 ORDER BY 1 DESC NULLS LAST LIMIT 1 BY a LIMIT 2 OFFSET 3",
		"SELECT CASE a WHEN 1 THEN 'x' ELSE 'y' END, a BETWEEN 1 AND 2, a IS NULL, NOT a, -a, a ? 1 : 2, a::Decimal(10, 2), CAST(a AS Nullable(Int8)), INTERVAL 1 DAY, DATE '2026-01-01', [1, 2][1], (1, 'a').2, EXTRACT(YEAR FROM a), x -> x + 1 FROM t",
		"SELECT t.a, u.b FROM t AS t ASOF LEFT JOIN u ON t.a = u.a AND t.c >= u.c ARRAY JOIN arr AS z", "SELECT JSONExtract(m, 'a', 'b', 'Array(String)'), JSON_VALUE(m, '$.a'), arrayMap((x, y) -> x + y, [1], [2]) FROM events",
		"SELECT toStartOfInterval(a, INTERVAL 5 MINUTE) AS t, quantilesExactIf(0.5, 0.9)(b, c) FROM events GROUP BY GROUPING SETS ((t), ())", "SELECT windowFunnel(3600)(a, b = 'x', b = 'y'), retention(b = 'x', b = 'y') FROM events",
		"SELECT a FROM t ORDER BY a WITH FILL FROM 1 TO 10 STEP 2 INTERPOLATE (b AS b + 1)", "SELECT COLUMNS('a'), t.COLUMNS(b) FROM t", "SELECT * FROM t WHERE a IN (1, 2) AND (b, c) NOT IN (SELECT 1, 2) AND d GLOBAL IN u",
		"SELECT number FROM numbers(10) WHERE number % 2", "SELECT * FROM values('a UInt8', 1, 2)", "SELECT max(a) AS version FROM t",
		"SELECT toTimeZone(a, 'UTC' AS z), a AT TIME ZONE 'Europe/Berlin', toStartOfInterval(a, INTERVAL 1 DAY, toDateTime('2026-01-01'), 'UTC'), addDays(a, -b), arrayMap(x -> toString(x), [1]), toHour(a) AS hour, date_trunc('day', a) AS day FROM t",
	} {
		if err := e.verdict(whole); err != nil {
			t.Errorf("%s\n%v", whole, err)
		}
	}
	for _, whole := range []string{
		"SELECT file('x')", "SELECT arrayMap(file, ['x'])", "SELECT * APPLY(sum) FROM t", "SELECT * FROM t SAMPLE 0.1", "SELECT * FROM view(SELECT 1)", "SELECT * FROM a.b",
		"SELECT a IN b.c FROM t", "SELECT a IN numbers(3)", "SELECT * FROM t STREAM", "SELECT CAST(a, b) FROM t", "SELECT 1 FORMAT CSV", "SELECT toDateTime(0, 'file:/x')", "SELECT toDateTime(0, 'f\\x69le:/x')", "SELECT CAST(0, 'DateTime(\\'file:/x\\')')", "SELECT a::DateTime('file:/x') FROM t", "SELECT toDateTime(0, ['file:/x'][1])", "SELECT {a:DateTime('file:/x')}", "SELECT {a:DateTime('f\\x69le:/x')}",
		"SELECT toDateTime(0, concat('fi', 'le:/x'))", "WITH concat('fi', 'le:/x') AS z SELECT toTimeZone(a, z) FROM t", "SELECT toTimeZone(a, (SELECT max(b) FROM t)) FROM t", "SELECT a AT TIME ZONE b FROM t",
		"SELECT arrayMap(toString, [a], ['f' || 'ile:/x']) FROM t", "SELECT arrayMap((x, z) -> toString(x, z), [a], [b]) FROM t", "SELECT toStartOfInterval(a, INTERVAL 1 DAY, b) FROM t", "SELECT toStartOfInterval(a, INTERVAL 1 DAY, b, c) FROM t",
		"SELECT CAST(0, 'DateTime(\\'f\\\\x69le:/x\\')')", "SELECT JSONExtract(m, 'a', 'DateTime(\\'f\\\\x69le:/x\\')') FROM t", "SELECT dynamicElement(a, b) FROM t", "SELECT variantElement(a, 'DateTime(\\'f\\\\x69le:/x\\')') FROM t",
		"SELECT * FROM values('a DateTime(\\'f\\\\x69le:/x\\')', 1)", "SELECT parseDateTimeInJodaSyntax(a, 'yyyy zzz') FROM t", "SELECT makeDateTime(1, 1, 1, 1, 1, 1, lower('U')), makeDateTime64(1, 1, 1, 1, 1, 1, 1, 1, lower('U'))",
		"SELECT snowflakeIDToDateTime(a, 0, lower('U')) FROM t", "SELECT now(lower('U'))",
		"SELECT _database FROM t", "SELECT u._database FROM t AS u", "SELECT version FROM (SELECT 1 AS version)", "SELECT * FROM (EXPLAIN SELECT 1)",
	} {
		if err := e.verdict(whole); leadevents.KindOf(err) != leadevents.InvalidQuery {
			t.Errorf("%s\n%v", whole, err)
		}
	}
}
