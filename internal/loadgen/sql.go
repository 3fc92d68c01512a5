package loadgen

import (
	"fmt"
	"strings"
)

// Columns are the columns that [Generator.SelectSQL] gives, in its order.
const Columns = "organization_id, event_type, phone, occurred_at, metadata, ingested_at, batch_id"

// InsertSQL is an INSERT SELECT of events first … first+count−1 into table
// (written as in SQL, "db.lead_events"). ClickHouse makes the rows itself.
func (g *Generator) InsertSQL(table string, first, count uint64) string {
	return fmt.Sprintf("INSERT INTO %s (%s)\n%s", table, Columns, g.SelectSQL(first, count))
}

// SelectSQL is a SELECT of events first … first+count−1, rejected ones left
// out, as they would be stored. Each expression is that of the method of [Generator]
// that it is named after; a test compares their results row by row.
func (g *Generator) SelectSQL(first, count uint64) string {
	c := g.cfg
	random := func(sequence int, of string) string {
		return fmt.Sprintf("intHash64(%s + toUInt64(%d))", of, g.start[sequence])
	}
	var sql strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&sql, format+"\n", args...) }

	line("SELECT")
	line("    toUInt64(%d) AS organization_id,", c.Org)
	line("    %s[kind + 1] AS event_type,", stringArray(c.EventTypes))
	line("    %s[slot + 1] + bitAnd(phone_bits, toUInt64(72057594037927935)) %% %s[slot + 1] AS phone,",
		numberArray(func(i int) uint64 { return ranges[i].first }), numberArray(func(i int) uint64 { return ranges[i].size }))
	line("    fromUnixTimestamp64Milli(toInt64(%d + %s), 'UTC') AS occurred_at,", c.Times.From, g.occurredSQL(random))
	line("    %s AS metadata,", g.metadataSQL())
	line("    fromUnixTimestamp64Milli(toInt64(%s), 'UTC') AS ingested_at,", g.arrivedSQL(random))
	line("    bitOr(bitShiftRight(%s, 1), toUInt64(1)) AS batch_id", random(ofBatch, "batch"))
	line("FROM")
	line("(")
	line("    SELECT")
	line("        number AS i,")
	line("        intDiv(i, toUInt64(%d)) AS batch,", c.BatchRows)
	line("        %s[batch %% %d + 1] AS kind,", numberArray(func(i int) uint64 { return uint64(g.schedule[i]) }), slots)
	line("        %s AS source,", g.sourceSQL(random))
	line("        bitShiftRight(%s, 32) AS lead_bits,", random(ofLead, "source"))
	line("        bitShiftRight(bitShiftRight(lead_bits * lead_bits, 32) * toUInt64(%d), 32) AS lead,", c.Leads)
	line("        %s AS phone_bits,", random(ofPhone, "lead"))
	line("        bitShiftRight(phone_bits, 56) AS slot,")
	line("        %s AS metadata_bits", random(ofMetadata, "source"))
	line("    FROM numbers_mt(%d, %d)", first, count)
	if c.Rejects > 0 {
		line("    WHERE %s %% 1000 >= %d", random(ofReject, "number"), c.Rejects)
	}
	line(")")
	return sql.String()
}

func (g *Generator) sourceSQL(random func(int, string) string) string {
	if g.cfg.Repeats == 0 {
		return "i"
	}
	r, place, rounds := random(ofSource, "i"), fmt.Sprintf("i %% toUInt64(%d)", g.cfg.BatchRows), fmt.Sprintf("intDiv(batch, %d)", slots)
	// greatest keeps the branch not taken from dividing by zero.
	return fmt.Sprintf("multiIf(%s %% 1000 >= %d, i, %s > 0 AND (%s = 0 OR %s %% 8 = 0), i - 1 - bitShiftRight(%s, 3) %% greatest(%s, 1), "+
		"%s > 0, i - toUInt64(%d) * (1 + bitShiftRight(%s, 3) %% greatest(%s, 1)), i)::UInt64",
		random(ofRepeat, "i"), g.cfg.Repeats, place, rounds, r, r, place, rounds, slots*g.cfg.BatchRows, r, rounds)
}

func (g *Generator) occurredSQL(random func(int, string) string) string {
	r := random(ofTime, "source")
	if g.step > 0 {
		return fmt.Sprintf("source * toUInt64(%d) + %s %% toUInt64(%d)", g.step, r, g.step)
	}
	return fmt.Sprintf("%s %% toUInt64(%d)", r, g.span)
}

func (g *Generator) arrivedSQL(random func(int, string) string) string {
	t := g.cfg.Times
	switch {
	case t.ArrivedFrom > 0:
		return fmt.Sprintf("%d + intDiv(batch * toUInt64(%d), 200)", t.ArrivedFrom, g.cfg.BatchRows)
	case g.step > 0:
		return fmt.Sprintf("%d + (batch + 1) * toUInt64(%d) + %s %% 2000", t.From, g.cfg.BatchRows*g.step, random(ofArrival, "batch"))
	}
	return fmt.Sprintf("%d + %s %% 2000", t.To, random(ofArrival, "batch"))
}

func (g *Generator) metadataSQL() string {
	var sql strings.Builder
	sql.WriteString("multiIf(")
	for kind := range g.cfg.EventTypes {
		t := templateOf(kind)
		fmt.Fprintf(&sql, "kind = %d AND metadata_bits %% 100 < %d, %s, kind = %d, concat(''", kind, t.absent, quoted(noMetadata), kind)
		for _, p := range t.pieces {
			sql.WriteString(", " + quoted(p.text))
			value := fmt.Sprintf("bitShiftRight(metadata_bits, %d) %% toUInt64(%d)", p.shift, max(p.mod, 1))
			switch {
			case p.words != nil:
				fmt.Fprintf(&sql, ", %s[%s + 1]", stringArray(p.words), value)
			case p.mod > 0:
				fmt.Fprintf(&sql, ", toString(%s + %d)", value, p.min)
			}
		}
		sql.WriteString("), ")
	}
	return sql.String() + "'')"
}

// quoted is an SQL string. Question marks and braces need no care: the text is
// sent without parameters.
func quoted(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

func stringArray(values []string) string {
	list := make([]string, len(values))
	for i, v := range values {
		list[i] = quoted(v)
	}
	return "[" + strings.Join(list, ",") + "]"
}

// numberArray is one of the tables of [slots] numbers.
func numberArray(value func(i int) uint64) string {
	list := make([]string, slots)
	for i := range list {
		list[i] = fmt.Sprint(value(i))
	}
	// The cast keeps sums and remainders in UInt64 whatever the largest number is.
	return "[" + strings.Join(list, ",") + "]::Array(UInt64)"
}
