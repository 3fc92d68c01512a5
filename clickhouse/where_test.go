package clickhouse

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"leadevents"
	"leadevents/internal/storetest"
	"leadevents/query/audience"
)

// whereSeed is LEADEVENTS_WHERE_SEED, or another one each run; it is logged, so
// that a failure can be had again.
func whereSeed(t *testing.T) source {
	seed := rand.Uint64()
	if text := os.Getenv("LEADEVENTS_WHERE_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("LEADEVENTS_WHERE_SEED: %v", err)
		}
	}
	t.Logf("LEADEVENTS_WHERE_SEED=%d", seed)
	return source{rand.New(rand.NewPCG(seed, 0))}
}

// whereStore is a database with a table of events.
func whereStore(t *testing.T) *DB {
	t.Helper()
	store := storetest.ClickHouse(t)
	db, err := Open(Config{Addrs: []string{store.Native}, Database: store.Database, User: store.User, Password: store.Password})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	err = db.conn.Exec(t.Context(), `CREATE TABLE events (phone UInt64, event_type LowCardinality(String), occurred_at DateTime64(3,'UTC'), metadata String)
		ENGINE = MergeTree ORDER BY (event_type, occurred_at, phone)`)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

type whereRow struct {
	phone uint64
	event audience.Event
}

func storeRows(t *testing.T, db *DB, rows []whereRow) {
	t.Helper()
	batch, err := db.conn.PrepareBatch(t.Context(), "INSERT INTO events")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if err := batch.Append(r.phone, r.event.EventType, r.event.OccurredAt.Time(), string(r.event.Metadata)); err != nil {
			t.Fatal(err)
		}
	}
	if err := batch.Send(); err != nil {
		t.Fatal(err)
	}
}

// ask answers a query of one row of UInt64 arrays, each sorted.
func ask(t *testing.T, db *DB, w *where, query string, columns int) [][]uint64 {
	t.Helper()
	answer := make([][]uint64, columns)
	targets := make([]any, columns)
	for i := range answer {
		targets[i] = &answer[i]
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := db.conn.QueryRow(w.bind(ctx), query).Scan(targets...); err != nil {
		t.Fatalf("%v\n%.4000s", err, query)
	}
	for i := range answer {
		slices.Sort(answer[i])
	}
	return answer
}

// holders asks ClickHouse which rows each condition holds for.
func holders(t *testing.T, db *DB, conditions []audience.Condition) [][]uint64 {
	t.Helper()
	w := newWhere()
	columns := make([]string, len(conditions))
	for i, c := range conditions {
		columns[i] = "groupArrayIf(phone, " + w.holdAll("metadata", []audience.Condition{c}) + ")"
	}
	return ask(t, db, w, "SELECT "+strings.Join(columns, ", ")+" FROM events", len(columns))
}

// metadataRows numbers the documents from 0.
func metadataRows(documents []string) []whereRow {
	rows := make([]whereRow, len(documents))
	for i, d := range documents {
		rows[i] = whereRow{uint64(i), audience.Event{EventType: "x", Metadata: []byte(d)}}
	}
	return rows
}

// differ compares ClickHouse's answers with Go's, for every pair.
func differ(t *testing.T, rows []whereRow, conditions []audience.Condition, answers [][]uint64) (held int) {
	t.Helper()
	shown := 0
	for i, c := range conditions {
		filter := audience.Filter{Mode: audience.Include, EventType: "x", MinCount: 1, Where: []audience.Condition{c}}
		for _, r := range rows {
			inGo := audience.HoldAll(filter.Where, r.event.Metadata)
			_, inSQL := slices.BinarySearch(answers[i], r.phone)
			if inGo {
				held++
			}
			if inGo != inSQL && shown < 20 {
				shown++
				t.Errorf("%s\nof %s\nGo says %t, ClickHouse %t", filter.AppendJSON(nil), r.event.Metadata, inGo, inSQL)
			}
		}
	}
	return held
}

func TestWhereEqualsMatchOverRandomMetadata(t *testing.T) {
	random, db := whereSeed(t), whereStore(t)
	documents := make([]string, 1000)
	for i := range documents {
		documents[i] = random.metadata()
	}
	rows := metadataRows(documents)
	storeRows(t, db, rows)
	held := 0
	const rounds, together = 6, 30
	for range rounds {
		conditions := make([]audience.Condition, together)
		for i := range conditions {
			conditions[i] = random.condition()
		}
		held += differ(t, rows, conditions, holders(t, db, conditions))
	}
	pairs := rounds * together * len(rows)
	t.Logf("%d pairs, %d held", pairs, held)
	if held < pairs/100 {
		t.Errorf("only %d of %d pairs held: the generator tests nothing", held, pairs)
	}
}

// Every number against every number, under every operator that compares: 80
// spellings at the
// edges of float64 and of 64-bit integers.
func TestWhereComparesEveryNumberExactly(t *testing.T) {
	db := whereStore(t)
	documents := make([]string, len(poolNumbers))
	for i, n := range poolNumbers {
		documents[i] = `{"a":` + n + `}`
	}
	rows := metadataRows(documents)
	storeRows(t, db, rows)
	everyAgainstEvery(t, db, rows, poolNumbers, "[5,9007199254740993,1e22,-0,18446744073709551615,0.1,9223372036854775808]")
}

// Every string against every string, under every operator that compares.
func TestWhereComparesEveryStringByCodePoint(t *testing.T) {
	db := whereStore(t)
	documents := make([]string, len(poolStrings))
	for i, s := range poolStrings {
		documents[i] = `{"a":` + s + `}`
	}
	rows := metadataRows(documents)
	storeRows(t, db, rows)
	everyAgainstEvery(t, db, rows, poolStrings, "["+strings.Join(poolStrings, ",")+"]")
}

func everyAgainstEvery(t *testing.T, db *DB, rows []whereRow, values []string, list string) {
	t.Helper()
	held := 0
	for _, op := range []audience.Op{audience.Eq, audience.Gt, audience.Gte, audience.Lt, audience.Lte, audience.In} {
		var conditions []audience.Condition
		seen := map[string]bool{} // values; other spellings of one are one condition
		for _, v := range values {
			if op == audience.In {
				v = "[" + v + "]"
			}
			c, err := parseCondition(`"a"`, op, v)
			canonical := audience.Filter{Where: []audience.Condition{c}}.AppendJSON(nil)
			if err == nil && !seen[string(canonical)] { // the error: beyond float64
				seen[string(canonical)] = true
				conditions = append(conditions, c)
			}
		}
		if op == audience.In {
			c, err := parseCondition(`"a"`, op, list)
			if err != nil {
				t.Fatal(err)
			}
			conditions = append(conditions, c)
		}
		for chunk := range slices.Chunk(conditions, 40) {
			held += differ(t, rows, chunk, holders(t, db, chunk))
		}
	}
	if held == 0 {
		t.Error("nothing held")
	}
}

func parseCondition(path string, op audience.Op, value string) (audience.Condition, error) {
	text := fmt.Sprintf(`{"mode":"include","eventType":"x","where":[{"path":%s,"op":"%s","value":%s}]}`, path, op, value)
	f, err := audience.DecodeFilter([]byte(text), "filter")
	if err != nil {
		return audience.Condition{}, err
	}
	return f.Where[0], nil
}

// Whole filters, as a query uses them: types, windows at their edges, counts and
// several conditions at once, against audience.Match lead by lead.
func TestFiltersEqualMatchOverRandomEvents(t *testing.T) {
	random, db := whereSeed(t), whereStore(t)
	fireAt := leadevents.MillisOf(time.Date(2026, 5, 12, 18, 34, 0, 0, time.UTC))
	const skew = 5 * time.Minute
	windows := []int{1, 120, 43_200, audience.MaxMinutes}
	leads := map[uint64][]audience.Event{}
	var rows []whereRow
	for phone := range uint64(400) {
		seen := map[string]bool{}
		for range random.IntN(6) {
			e := audience.Event{EventType: pick(random, []string{"a", "b", "é'\\"}), Metadata: []byte(random.metadata())}
			switch random.IntN(4) {
			case 0: // at an edge, to the millisecond
				e.OccurredAt = fireAt.Add(-time.Duration(pick(random, windows)) * time.Minute)
			case 1:
				e.OccurredAt = fireAt.Add(skew)
			case 2:
				e.OccurredAt = fireAt
			default:
				e.OccurredAt = pick(random, []leadevents.Millis{leadevents.MinOccurredAt, leadevents.MaxOccurredAt, fireAt - 1e10})
			}
			e.OccurredAt = min(max(e.OccurredAt+leadevents.Millis(random.IntN(3)-1), leadevents.MinOccurredAt), leadevents.MaxOccurredAt)
			if key := fmt.Sprint(e.EventType, e.OccurredAt); !seen[key] {
				seen[key] = true
				leads[phone] = append(leads[phone], e)
				rows = append(rows, whereRow{phone, e})
			}
		}
	}
	storeRows(t, db, rows)
	kept := 0
	for range 60 {
		f := audience.Filter{Mode: pick(random, []audience.Mode{audience.Include, audience.Exclude}), EventType: pick(random, []string{"a", "b", "é'\\", "none"}), MinCount: 1 + random.IntN(3)}
		if random.IntN(3) > 0 {
			minutes := pick(random, windows)
			f.Within = &minutes
		}
		for range random.IntN(3) {
			f.Where = append(f.Where, random.condition())
		}
		at := pick(random, []leadevents.Millis{fireAt, fireAt, fireAt, fireAt, leadevents.MinOccurredAt, leadevents.MaxOccurredAt, -1e15, 1e15})
		w := newWhere()
		matching := ask(t, db, w, fmt.Sprintf("SELECT groupArray(phone) FROM (SELECT phone FROM events WHERE %s GROUP BY phone HAVING uniqExact(occurred_at) >= %d)",
			w.matches(f, at, skew), f.MinCount), 1)[0]
		for phone := range uint64(400) {
			_, found := slices.BinarySearch(matching, phone)
			inGo, inSQL := audience.Match(f, leads[phone], at, skew), found == (f.Mode == audience.Include)
			if inGo {
				kept++
			}
			if inGo != inSQL {
				t.Errorf("%s\nat %v, lead %d with %v\nGo says %t, ClickHouse %t", f.AppendJSON(nil), at, phone, leads[phone], inGo, inSQL)
			}
		}
	}
	if kept == 0 || kept == 60*400 {
		t.Errorf("%d of %d kept: the generator tests nothing", kept, 60*400)
	}
}

// Metadata that ingest never stores, but a script may, must not differ either,
// nor make the query fail.
func TestWhereOfMetadataThatIsNoObject(t *testing.T) {
	db := whereStore(t)
	rows := metadataRows([]string{
		"", " ", "null", "[]", `[{"a":1}]`, `"a"`, "5", "{", `{"a":1`, `{"a":1}}`, `{"a":1}x`, `{"a":1,}`, `{"a":01}`, `{"a":1.}`, `{"a":+1}`, `{"a":.5}`, `{"a":1e}`, `{"a":NaN}`, `{"a":Infinity}`,
		`{'a':1}`, `{a:1}`, `{"a":tru}`, "{\"a\":\"\n\"}", "{\"a\":\"\x00\"}", `{"a":"\x"}`, `{"a":"\ud8zz"}`, `{"a":"\u12"}`, "{\"a\":\"\xff\"}", "{\"a\":1}\x00", `{"a":1e999}x`, `{"a":1e999`, `{"a":"\ud83d}`, "{\"a\":1}\n",
	})
	storeRows(t, db, rows)
	var conditions []audience.Condition
	for _, text := range [][3]string{{`"a"`, "exists", "true"}, {`"a"`, "exists", "false"}, {`"a"`, "eq", "1"}, {`"a"`, "ne", "1"}, {`"a"`, "gt", "0"}, {`"a"`, "eq", `"\n"`}, {`"0"`, "exists", "true"}} {
		c, err := parseCondition(text[0], audience.Op(text[1]), text[2])
		if err != nil {
			t.Fatal(err)
		}
		conditions = append(conditions, c)
	}
	differ(t, rows, conditions, holders(t, db, conditions))
}

// The largest filters that the codec accepts fit into one query.
func TestLargestFiltersFitIntoOneQuery(t *testing.T) {
	db := whereStore(t)
	long := strings.Repeat("x", 31)
	deepest := `"` + strings.Repeat(long+".", 63) + long + `"`
	rows := metadataRows([]string{strings.Repeat(`{"`+long+`":`, 64) + "500.5" + strings.Repeat("}", 64), "{}"})
	storeRows(t, db, rows)
	var list strings.Builder
	for i := range 499 {
		fmt.Fprintf(&list, `%d.5,"%d\n'",`, 2*i, i)
	}
	w := newWhere()
	var all []string
	for range audience.MaxFilters {
		var conditions []audience.Condition
		for i := range audience.MaxConditions {
			op, value := audience.Gt, fmt.Sprint(i)
			if i == 0 {
				op, value = audience.In, "["+list.String()+"9007199254740993]"
			}
			c, err := parseCondition(deepest, op, value)
			if err != nil {
				t.Fatal(err)
			}
			conditions = append(conditions, c)
		}
		all = append(all, w.holdAll("metadata", conditions))
	}
	got := ask(t, db, w, "SELECT groupArray(phone) FROM events WHERE "+strings.Join(all, " AND "), 1)[0]
	if !slices.Equal(got, []uint64{0}) {
		t.Errorf("rows %v hold, want row 0 alone", got)
	}
}
