package backfill

import (
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"leadevents/internal/rawjson"
)

// leaves are a row's values by leaf column, each read from the front.
type leaves struct {
	of  [][]parquet.Value
	pos []int
	bad bool // a text that was appended is not UTF-8
}

func newLeaves(n int) leaves {
	return leaves{of: make([][]parquet.Value, n), pos: make([]int, n)}
}

// set makes a row's values those of the leaves. They are in the order of columns.
func (l *leaves) set(row parquet.Row) {
	clear(l.of)
	clear(l.pos)
	for i := 0; i < len(row); {
		column, j := row[i].Column(), i+1
		for j < len(row) && row[j].Column() == column {
			j++
		}
		l.of[column] = row[i:j]
		i = j
	}
}

// form is what a node is in JSON.
type form uint8

const (
	formLeaf  form = iota
	formGroup      // an object of its columns
	formList       // LIST: its only column repeats, and mostly wraps the element
	formMap        // MAP: its only column repeats, and has a key and a value
)

// parquetNode is a column of the schema, with those inside of it.
type parquetNode struct {
	name     string
	key      []byte // `"name":`
	form     form
	optional bool
	repeated bool
	wraps    bool // an element of a LIST stands inside
	text     bool // a leaf of text
	bytes    bool // a leaf of bytes that nobody says the meaning of
	first    int  // leaf columns: first to end, without
	end      int
	def, rep int // levels at which it is there, and repeats
	inside   []*parquetNode
	value    appendValue // of a leaf
	instant  instant     // of a leaf that is a time; nil: it is none
}

// newParquetNode makes the node of a column whose parent is there at the given levels.
func newParquetNode(c *parquet.Column, def, rep int, leafs *int) *parquetNode {
	n := &parquetNode{name: c.Name(), optional: c.Optional(), repeated: c.Repeated(), first: *leafs}
	n.key = append(rawjson.AppendQuoted(nil, validUTF8([]byte(n.name))), ':')
	if n.optional {
		def++
	}
	if n.repeated {
		def, rep = def+1, rep+1
	}
	n.def, n.rep = def, rep
	if c.Leaf() {
		*leafs++
		n.value, n.text = valueOf(c.Type())
		n.bytes = c.Type().LogicalType() == nil && (c.Type().Kind() == parquet.ByteArray || c.Type().Kind() == parquet.FixedLenByteArray)
		n.instant = instantOf(c.Type())
	} else {
		for _, column := range c.Columns() {
			n.inside = append(n.inside, newParquetNode(column, def, rep, leafs))
		}
		n.form = formOf(c, n)
	}
	n.end = *leafs
	return n
}

// formOf tells lists and maps by the format's rules for readers, old writers'
// lists among them (LogicalTypes.md, "Backward-compatibility rules").
func formOf(c *parquet.Column, n *parquetNode) form {
	logical := c.Type().LogicalType()
	if logical == nil || len(n.inside) != 1 || !n.inside[0].repeated {
		return formGroup
	}
	repeats := n.inside[0]
	switch logical.Value.(type) {
	case *format.ListType:
		repeats.wraps = repeats.form != formLeaf && len(repeats.inside) == 1 && repeats.name != "array" && repeats.name != n.name+"_tuple"
		return formList
	case *format.MapType:
		if len(repeats.inside) == 2 || len(repeats.inside) == 1 {
			return formMap
		}
	}
	return formGroup
}

// rewind goes back to a column's first values.
func (l *leaves) rewind(n *parquetNode) { clear(l.pos[n.first:n.end]) }

// isNull tells whether a node that is not repeated is null in this row.
func (l *leaves) isNull(n *parquetNode) bool {
	values, pos := l.of[n.first], l.pos[n.first]
	return pos >= len(values) || values[pos].DefinitionLevel() < n.def
}

// drop goes past a node that is not there: a null in each of its leaves.
func (l *leaves) drop(n *parquetNode) {
	for i := n.first; i < n.end; i++ {
		l.pos[i]++
	}
}

// append appends a node as JSON, and goes past it.
func (l *leaves) append(dst []byte, n *parquetNode) []byte {
	switch {
	case n.repeated:
		return l.appendList(dst, n)
	case l.isNull(n):
		l.drop(n)
		return append(dst, "null"...)
	}
	return l.appendPresent(dst, n)
}

func (l *leaves) appendPresent(dst []byte, n *parquetNode) []byte {
	switch n.form {
	case formLeaf:
		v := &l.of[n.first][l.pos[n.first]]
		l.pos[n.first]++
		if n.text && !utf8.Valid(v.ByteArray()) {
			l.bad = true
			return rawjson.AppendQuoted(dst, validUTF8(v.ByteArray()))
		}
		return n.value(dst, v)
	case formList:
		return l.appendList(dst, n.inside[0])
	case formMap:
		return l.appendMap(dst, n.inside[0])
	}
	if n.wraps {
		return l.append(dst, n.inside[0])
	}
	dst = append(dst, '{')
	for i, column := range n.inside {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = l.append(append(dst, column.key...), column)
	}
	return append(dst, '}')
}

// again tells whether a repeated node goes on behind what was read of it.
func (l *leaves) again(n *parquetNode) bool {
	values, pos := l.of[n.first], l.pos[n.first]
	return pos < len(values) && values[pos].RepetitionLevel() == n.rep
}

func (l *leaves) appendList(dst []byte, n *parquetNode) []byte {
	if l.isNull(n) {
		l.drop(n)
		return append(dst, "[]"...)
	}
	dst = append(dst, '[')
	for {
		dst = l.appendPresent(dst, n)
		if !l.again(n) {
			return append(dst, ']')
		}
		dst = append(dst, ',')
	}
}

func (l *leaves) appendMap(dst []byte, n *parquetNode) []byte {
	if l.isNull(n) {
		l.drop(n)
		return append(dst, "{}"...)
	}
	dst = append(dst, '{')
	for {
		start := len(dst)
		dst = l.append(dst, n.inside[0])
		if dst[start] != '"' { // names are strings
			dst = rawjson.AppendQuoted(dst[:start], append([]byte(nil), dst[start:]...))
		}
		dst = append(dst, ':')
		if len(n.inside) == 2 {
			dst = l.append(dst, n.inside[1])
		} else {
			dst = append(dst, "null"...)
		}
		if !l.again(n) {
			return append(dst, '}')
		}
		dst = append(dst, ',')
	}
}
