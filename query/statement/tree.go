package statement

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// node is one of the tree that EXPLAIN AST prints: "Function plus (alias x) (children 1)".
type node struct {
	kind     string // "Function"
	name     string // "plus"; with its alias where it has one, for those are not told apart with certainty
	children []*node
}

var errTree = errors.New("EXPLAIN AST does not print a tree as expected")

// maxTreeDepth is far more than the engine parses (max_parser_depth is less).
const maxTreeDepth = 2000

// readTree reads what EXPLAIN AST prints. Each line is a node, its depth the spaces
// before it; a node that has not as many children as it says is an error, so a line
// that a name smuggled in would be found.
func readTree(printed string) (*node, error) {
	type open struct {
		node *node
		want int
	}
	var path []open
	var root *node
	for line := range strings.SplitSeq(strings.TrimSuffix(printed, "\n"), "\n") {
		n, want, depth, err := readNode(line)
		if err != nil {
			return nil, err
		}
		if depth > len(path) || depth > maxTreeDepth || depth == 0 && root != nil {
			return nil, fmt.Errorf("%w: depth %d after %d", errTree, depth, len(path))
		}
		for _, left := range path[depth:] {
			if len(left.node.children) != left.want {
				return nil, fmt.Errorf("%w: a node lacks children", errTree)
			}
		}
		path = path[:depth]
		if depth == 0 {
			root = n
		} else {
			above := path[depth-1].node
			above.children = append(above.children, n)
		}
		path = append(path, open{n, want})
	}
	for _, left := range path {
		if len(left.node.children) != left.want {
			return nil, fmt.Errorf("%w: a node lacks children", errTree)
		}
	}
	if root == nil {
		return nil, errTree
	}
	return root, nil
}

func readNode(line string) (n *node, children, depth int, err error) {
	rest := strings.TrimLeft(line, " ")
	depth = len(line) - len(rest)
	if at := strings.LastIndex(rest, " (children "); at >= 0 && strings.HasSuffix(rest, ")") {
		if children, err = strconv.Atoi(rest[at+len(" (children ") : len(rest)-1]); err == nil {
			rest = rest[:at]
		}
	}
	kind, name, _ := strings.Cut(rest, " ")
	if kind == "" {
		return nil, 0, 0, fmt.Errorf("%w: a line without a node", errTree)
	}
	return &node{kind: kind, name: name}, children, depth, nil
}

// word is the first word of the name: all of a function's, whose names have no spaces,
// and the beginning of an identifier's.
func (n *node) word() string {
	name, _, _ := strings.Cut(n.name, " ")
	return name
}
