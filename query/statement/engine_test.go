package statement

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"leadevents"
	"leadevents/internal/storetest"
)

// engine asks the real one.
type engine struct {
	storetest.ClickHouseStore
	t testing.TB
}

func newEngine(t testing.TB) engine { return engine{storetest.ClickHouse(t), t} }

// ask runs a statement with a parameter q.
func (e engine) ask(statement, q string) (status int, body string) {
	e.t.Helper()
	escaped := fieldEscapes.Replace(q)
	form := url.Values{"database": {e.Database}, "default_format": {"TSVRaw"}}
	if statement != q {
		form.Set("param_q", escaped)
	}
	request, err := http.NewRequestWithContext(e.t.Context(), http.MethodPost, "http://"+e.HTTP+"/?"+form.Encode(), strings.NewReader(statement))
	if err != nil {
		e.t.Fatal(err)
	}
	request.Header.Set("X-ClickHouse-User", e.User)
	request.Header.Set("X-ClickHouse-Key", e.Password)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		e.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		e.t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// classes is what each byte of a text is part of: w a word or sign, s a text, q a name
// in quotes, c a comment or space.
func classes(whole string, tokens []token) string {
	all := []byte(strings.Repeat("c", len(whole)))
	for _, t := range tokens {
		for i := t.at; i < t.end; i++ {
			all[i] = [...]byte{word: 'w', quoted: 'q', text: 's', sign: 'w'}[t.kind]
		}
	}
	return string(all)
}

// classes of the engine's own lexer.
func (e engine) classes(whole string) string {
	e.t.Helper()
	status, body := e.ask("SELECT tokenizeQuery({q:String}) FORMAT JSONCompactEachRow", whole)
	if status != http.StatusOK {
		e.t.Fatalf("tokenizeQuery(%q): %s", whole, body)
	}
	var rows [][]struct {
		Begin, End int
		Type       string
	}
	if err := json.Unmarshal([]byte(body), &rows); err != nil {
		e.t.Fatalf("%s: %v", body, err)
	}
	all := []byte(strings.Repeat("?", len(whole)))
	for _, t := range rows[0] {
		class := byte('w')
		switch t.Type {
		case "StringLiteral", "HereDoc":
			class = 's'
		case "QuotedIdentifier":
			class = 'q'
		case "Whitespace", "Comment":
			class = 'c'
		}
		for i := t.Begin; i < t.End; i++ {
			all[i] = class
		}
	}
	return string(all)
}

// cutSeeds are texts at which two lexers could differ.
var cutSeeds = []string{
	"SELECT 1", "SELECT 'a''b' AS \"c\"\"d\", `e``f`", "SELECT 'a\\'b'", "SELECT 'a\\\\'", "SELECT 1 -- x\n, 2", "SELECT 1 /* ' */ + 2",
	"SELECT 5e- 3", "SELECT 5e-3", "SELECT 5e--3", "SELECT 0x1p-3", "SELECT 1.5e+3 --x", "SELECT .5", "SELECT 1..2", "SELECT a.1.2",
	"SELECT x'\\' --'", "SELECT b'1'", "SELECT $$'$$", "SELECT $a$ ' $a$", "SELECT 1 # '", "SELECT 1 #! '\n", "SELECT 1 // '\n", "SELECT /* /* */ ' */ 1",
	"SELECT ‘a’", "SELECT “a”", "SELECT 1\u00a0", "SELECT 1 \u2212 2", "SELECT \ufeff1", "SELECT a::UInt8, b.:Int, c.^d, {e:UInt8}, [1], f -> g, h ? i : j",
	"SELECT @@a", "SELECT a || b", "SELECT a <=> b", "SELECT '", "SELECT `", "SELECT \"a\n\"", "SELECT `a\\`b`", "SELECT a\\G", "SELECT 1;", "SELECT 1_000, 1_e-2, 0b1--",
	"SELECT a-- '\n", "SELECT )--'\n", "SELECT 'a'--'\n", "SELECT 'a'/*'*/", "SELECT 1/*'*/", "SELECT 1e/*'*/", "SELECT 1e-/*'*/2", "SELECT 1e-'a'", "SELECT 1.'a'", "SELECT 1.--'\n2", "SELECT 1e+--'\n2", "SELECT 0x.--'", "SELECT 1p---'",
}

// Whatever lex accepts it cuts as the engine does: what is a text, a name or a comment
// to one is it to the other.
func TestTheEngineCutsAlike(t *testing.T) {
	e := newEngine(t)
	for _, whole := range cutSeeds {
		e.cutsAlike(t, whole)
	}
}

func (e engine) cutsAlike(t *testing.T, whole string) {
	t.Helper()
	if _, err := Read(whole, Limits{Bytes: 1 << 16, Nesting: 100}); err != nil {
		return
	}
	tokens, err := lex(whole)
	if err != nil {
		t.Fatal(err)
	}
	if ours, theirs := classes(whole, tokens), e.classes(whole); ours != theirs {
		t.Errorf("%q\nours   %s\ntheirs %s", whole, ours, theirs)
	}
}

// Against the real engine: run it with -fuzz for more than the seeds.
func FuzzTheEngineCutsAlike(f *testing.F) {
	for _, whole := range cutSeeds {
		f.Add(whole)
	}
	e := newEngine(f)
	f.Fuzz(func(t *testing.T, whole string) {
		if len(whole) > 1000 {
			return
		}
		e := engine{e.ClickHouseStore, t}
		e.cutsAlike(t, "SELECT "+whole)
	})
}

// zoneNamed may be about time: such functions are tried with more arguments.
var zoneNamed = regexp.MustCompile(`(?i)date|time|day|week|month|year|hour|minute|second|quarter|now|trunc|bin|bucket|interval|age`)

// zoneLast may have it behind three other arguments.
var zoneLast = regexp.MustCompile(`(?i)diff|interval|bin|bucket|default`)

// Wherever the engine takes a computed text for a time zone, the judge does not. Each
// function that is allowed is tried with one, at each place, beside arguments of the
// types that such functions have.
func TestEveryTimeZoneIsWrittenOut(t *testing.T) {
	e := newEngine(t)
	const zone = "concat('Nowhere', '/Nix')"
	beside := []string{"now()", "1", "'day'", "INTERVAL 1 DAY"}
	names := make(chan string)
	var found atomic.Int64
	var asking sync.WaitGroup
	for range 4 {
		asking.Go(func() {
			for name := range names {
				most := 2
				if zoneNamed.MatchString(name) {
					most = 3
				}
				if zoneLast.MatchString(name) {
					most = 4
				}
				for count := 1; count <= most; count++ {
					for place := range count {
						e.tryZone(name, zone, place, make([]string, 0, count), count, beside, &found)
					}
				}
			}
		})
	}
	for _, name := range functions().names {
		names <- name
	}
	close(names)
	asking.Wait()
	if found.Load() < 170 {
		t.Errorf("only %d functions and places take a time zone: are they tried as they should be?", found.Load())
	}
}

// tryZone calls name with a computed zone at place and everything else beside it, until
// one call reads the zone; that the judge must refuse. done says that no other arguments
// need be tried: the zone was read, or the engine takes no such number of them.
func (e engine) tryZone(name, zone string, place int, given []string, count int, beside []string, found *atomic.Int64) (done bool) {
	if len(given) == count {
		whole := "SELECT " + name + "(" + strings.Join(given, ", ") + ")"
		if _, body := e.ask(whole, whole); !strings.Contains(body, "Cannot load time zone Nowhere") {
			return wrongNumber.MatchString(body)
		}
		found.Add(1)
		if err := e.verdict(whole); leadevents.KindOf(err) != leadevents.InvalidQuery {
			e.t.Errorf("%s: %v", whole, err)
		}
		return true
	}
	if len(given) == place {
		return e.tryZone(name, zone, place, append(given, zone), count, beside, found)
	}
	for _, other := range beside {
		if e.tryZone(name, zone, place, append(given, other), count, beside, found) {
			return true
		}
	}
	return false
}

// wrongNumber is how the engine says that a function takes more arguments, or fewer.
var wrongNumber = regexp.MustCompile(`NUMBER_OF_ARGUMENTS_DOESNT_MATCH|TOO_(MANY|FEW)_ARGUMENTS_FOR_FUNCTION`)

// Every function of the engine is in functions.txt, allowed or refused, and none twice.
func TestEveryFunctionIsJudged(t *testing.T) {
	e := newEngine(t)
	_, body := e.ask("SELECT name FROM system.functions ORDER BY name FORMAT TSVRaw", "")
	names := strings.Fields(body)
	if len(names) < 1500 {
		t.Fatalf("the engine has %d functions", len(names))
	}
	if unjudged := Unjudged(names); len(unjudged) > 0 {
		t.Errorf("not judged: %v", unjudged)
	}
	set := functions()
	for name := range set.allowed {
		if set.refused[name] {
			t.Errorf("%s is allowed and refused", name)
		}
	}
	for _, name := range names {
		_, allowed := set.allowed[strings.ToLower(name)]
		if allowed != set.allows(name) {
			t.Errorf("%s: allowed %t, allows %t", name, allowed, set.allows(name))
		}
	}
}
