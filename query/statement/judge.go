package statement

import (
	"strings"

	"leadevents"
)

// nodes are the kinds of nodes that may be in a tree. What a clause hides from the tree
// is in the package's documentation.
var nodes = map[string]bool{
	"SelectWithUnionQuery": true, "SelectIntersectExceptQuery": true, "SelectQuery": true, "Subquery": true, "WithElement": true,
	"ExpressionList": true, "Function": true, "Literal": true, "Identifier": true,
	"Asterisk": true, "QualifiedAsterisk": true, "ColumnsListMatcher": true, "ColumnsRegexpMatcher": true,
	"QualifiedColumnsListMatcher": true, "QualifiedColumnsRegexpMatcher": true,
	"ColumnsTransformerList": true, "ColumnsExceptTransformer": true, "ColumnsReplaceTransformer": true, "ColumnsReplaceTransformer::Replacement": true,
	"TablesInSelectQuery": true, "TablesInSelectQueryElement": true, "TableExpression": true, "TableIdentifier": true, "TableJoin": true, "ArrayJoin": true,
	"OrderByElement": true, "InterpolateElement": true, "WindowDefinition": true, "WindowListElement": true,
}

// judge goes through a tree.
type judge struct {
	statement Statement
	unknown   map[string]bool // functions of this server that nobody has judged
}

// Judge looks at what EXPLAIN AST printed of the statement. more are names of functions
// that the server has, as far as known: those that nobody has judged are refused under
// any name. The error is an invalid_query that names what is refused.
func (s Statement) Judge(printed string, more map[string]bool) error {
	root, err := readTree(printed)
	if err != nil {
		return leadevents.Wrap(leadevents.InvalidQuery, err, "query cannot be understood")
	}
	j := judge{s, more}
	if root.kind != "SelectWithUnionQuery" || len(root.children) != 1 {
		return leadevents.Errorf(leadevents.InvalidQuery, "query must be one SELECT, or WITH … SELECT, without clauses about its output")
	}
	return j.node(root, nil)
}

func (j judge) refuse(name, format string, args ...any) error {
	return refuse(j.statement.Text, j.statement.find(name), format, args...)
}

// node judges a node below another.
func (j judge) node(n, above *node) error {
	if !nodes[n.kind] {
		return j.refuseNode(n)
	}
	var err error
	switch n.kind {
	case "Function":
		err = j.function(n, above)
	case "Identifier":
		err = j.identifier(n)
	case "TableIdentifier":
		err = j.table(n)
	case "Literal":
		// Whichever function reads it as a type.
		switch {
		case strings.Contains(strings.ToLower(n.name), "aggregatefunction"):
			err = j.refuse("AggregateFunction", "states of aggregate functions are not allowed")
		// A time zone of such a name is read from that file, under a lock of all of ClickHouse: a pipe
		// (file:/proc/self/fd/0) stops everybody for good.
		case strings.Contains(n.name, "'"+zoneFile):
			err = leadevents.Errorf(leadevents.InvalidQuery, "no text may begin with %s, as ClickHouse would read a time zone from a file", zoneFile)
		}
	}
	if err != nil {
		return err
	}
	for _, child := range n.children {
		if err := j.node(child, n); err != nil {
			return err
		}
	}
	return nil
}

func (j judge) refuseNode(n *node) error {
	switch n.kind {
	case "Set":
		return j.refuse("SETTINGS", "SETTINGS are not allowed: limits are the server's")
	case "ColumnsApplyTransformer":
		return j.refuse("APPLY", "APPLY is not allowed: name the columns")
	case "ASTStreamSettings":
		return j.refuse("STREAM", "STREAM is not allowed: a statement has an end")
	case "SampleRatio":
		return j.refuse("SAMPLE", "SAMPLE is not allowed: events are not sampled")
	}
	return leadevents.Errorf(leadevents.InvalidQuery, "query has a part that is not allowed (%s)", strings.TrimPrefix(n.kind, "AST"))
}

// table refuses tables of other databases. A bare name is a table of the analyst's own
// database, or a name that the statement gave.
func (j judge) table(n *node) error {
	if strings.Contains(n.name, ".") {
		return j.refuse(firstPart(n.word()), "%s cannot be read: the table is events", n.name)
	}
	return nil
}

func firstPart(name string) string {
	first, _, _ := strings.Cut(name, ".")
	return first
}

// zoneFile begins the names of time zones that are files.
const zoneFile = "file:"

// databaseColumn is one that ClickHouse adds to every table. It says what the database of
// the view is called, whose number among those made ahead tells how many organizations
// there are.
const databaseColumn = "_database"

// identifier refuses names of functions that may not be called: arrayMap(file, …) calls
// one, and the tree has an identifier there.
func (j judge) identifier(n *node) error {
	name := n.word()
	if name == databaseColumn || strings.HasSuffix(name, "."+databaseColumn) {
		return j.refuse(databaseColumn, "%s cannot be read: it is the server's", databaseColumn)
	}
	lower := strings.ToLower(name)
	if anyZone[lower] {
		return j.refuse(name, "%s needs its arguments: write x -> %s(x)", name, name)
	}
	if functions().refused[lower] || j.unknown[lower] {
		return j.refuse(name, "%s is the name of a function that is not allowed: columns need another name", name)
	}
	return nil
}

func (j judge) function(n, above *node) error {
	name := n.word()
	if above != nil && above.kind == "TableExpression" {
		if strings.EqualFold(name, "values") {
			if err := j.typed(n, 0); err != nil {
				return err
			}
		}
		if !tableFunctions[strings.ToLower(name)] {
			return j.refuse(name, "the table function %s is not allowed; these are: %s", name, strings.Join(TableFunctions(), ", "))
		}
		return nil
	}
	if !functions().allows(name) {
		return j.refuse(name, "the function %s is not allowed or does not exist; GET /api/v1/sql/schema lists those that are", name)
	}
	if err := j.zone(n); err != nil {
		return err
	}
	switch lower := strings.ToLower(name); {
	case sets[lower]:
		return j.set(n)
	case strings.HasSuffix(lower, "cast"), strings.HasPrefix(lower, "accuratecast"), lower == "dynamicelement", lower == "variantelement":
		return j.typed(n, 1)
	case lower == "jsonextract", lower == "jsonextractcaseinsensitive", strings.HasPrefix(lower, "jsonextractkeysandvalues"):
		return j.typed(n, len(n.arguments())-1)
	}
	return nil
}

// sets are the functions behind IN.
var sets = map[string]bool{
	"in": true, "notin": true, "nullin": true, "notnullin": true, "inignoreset": true, "notinignoreset": true, "nullinignoreset": true, "notnullinignoreset": true,
	"globalin": true, "globalnotin": true, "globalnullin": true, "globalnotnullin": true, "globalinignoreset": true, "globalnotinignoreset": true, "globalnullinignoreset": true, "globalnotnullinignoreset": true,
}

// arguments of a function, in order.
func (n *node) arguments() []*node {
	if len(n.children) == 0 || n.children[0].kind != "ExpressionList" {
		return nil
	}
	return n.children[0].children
}

// set judges what stands right of IN: it may be a table, or a table function.
func (j judge) set(n *node) error {
	arguments := n.arguments()
	if len(arguments) != 2 {
		return nil
	}
	right := arguments[1]
	switch {
	case right.kind == "Identifier" && strings.Contains(right.name, "."):
		return j.refuse(firstPart(right.word()), "%s cannot stand right of IN: write (SELECT … FROM events), or has()", right.name)
	case right.kind == "Function" && tableFunctions[strings.ToLower(right.word())]:
		return j.refuse(right.word(), "%s cannot stand right of IN", right.word())
	}
	return nil
}

// typed asks that a type stands there as it is, for the words of Read to be all of it.
func (j judge) typed(n *node, place int) error {
	arguments := n.arguments()
	if place < 0 || place >= len(arguments) {
		return nil // which ClickHouse refuses
	}
	if arguments[place].kind != "Literal" {
		return j.refuse(n.word(), "%s needs its type written out", n.word())
	}
	if strings.Contains(arguments[place].name, `\\`) { // f\x69le: to whoever reads the type
		return j.refuse(n.word(), "%s cannot have a backslash in its type", n.word())
	}
	return nil
}

// anyZone are the functions that take a zone from any column, not from a constant alone;
// so they may not be called by their names (arrayMap(toString, …, zones)).
var anyZone = map[string]bool{
	"tostring": true, "formatdatetime": true, "date_format": true, "formatdatetimeinjodasyntax": true,
	"fromunixtimestamp": true, "from_unixtime": true, "fromunixtimestampinjodasyntax": true,
}

// origins are functions whose third argument is a time zone, or, before one, a moment.
var origins = map[string]bool{"tostartofinterval": true, "date_bin": true, "time_bucket": true}

// zone asks that a time zone stands there as it is, for it to be seen which. (A parameter
// is a literal in the tree.)
func (j judge) zone(n *node) error {
	name, arguments := strings.ToLower(n.word()), n.arguments()
	for _, place := range functions().zones[name] {
		if place >= len(arguments) || arguments[place].kind == "Literal" {
			continue
		}
		if origins[name] && place == 2 {
			if len(arguments) > 3 {
				continue
			}
			return j.refuse(n.word(), "%s needs its time zone written out, behind an origin too: %s(x, interval, origin, 'UTC')", n.word(), n.word())
		}
		return j.refuse(n.word(), "%s needs its time zone written out, as text or as a parameter", n.word())
	}
	return nil
}
