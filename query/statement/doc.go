// Package statement judges SQL that a client wrote, before it runs. It is the second
// wall: the first is that the statement runs as a database user who may do nothing but
// read the organization's own view. Each is meant to hold alone.
//
//	text ── Read ──▶ Statement ── the engine's EXPLAIN AST ──▶ Judge ──▶ it may run
//	        words                  the tree that will run
//
// [Read] looks at the words, for what the tree does not show: settings, output
// clauses, UUIDs of tables, and names made to look like more of a tree. Where it cannot
// be sure to read a character as ClickHouse does, it refuses. [Statement.Judge] looks at
// the tree, which ClickHouse itself made of the very text that will run: every kind of
// node, every function and every table must be known and allowed; what is new in another
// version is refused until somebody has judged it (functions.txt).
//
// What EXPLAIN AST leaves out, found by trying, and who stands in for it:
//
//	EXPLAIN AST does not show                  so
//	what a SETTINGS clause sets                the word SETTINGS is refused
//	the UUID of FROM t UUID '…'                the word UUID before a text is refused
//	the function of * APPLY(f)                 APPLY is refused (its node)
//	that arrayMap(file, …) calls file          names of refused functions are refused as identifiers too
//	where an identifier with a newline ends    control characters are refused, backslashes in identifiers too
package statement
