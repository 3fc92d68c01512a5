package configs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// yamlFile is the file's values as text, as written: `password: 0123` is the
// password "0123" and not the number 83.
type yamlFile struct {
	tree  map[string]any // groups nested, leaves text
	lines map[string]int // by key, where each stands
}

// readFile reads the YAML file at path, if there is one, and reports keys that
// are unknown, stand twice, or have no value or one of the wrong shape.
func readFile(path string, all []setting, faults *Faults) (yamlFile, error) {
	file := yamlFile{tree: map[string]any{}, lines: map[string]int{}}
	if path == "" {
		return file, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return file, &Unreadable{fmt.Errorf("read the settings: %w", err)}
	}
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var doc yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return file, nil // empty: all defaults
	case err != nil:
		return file, &Unreadable{fmt.Errorf("read the settings in %s: %w", path, err)}
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return file, &Unreadable{fmt.Errorf("read the settings in %s: a second YAML document follows the first (---)", path)}
	}
	r := reader{all: all, name: filepath.Base(path), lines: file.lines, faults: faults}
	r.keys, r.groups = names(all)
	r.group(doc.Content[0], "", file.tree)
	return file, nil
}

// Unreadable is a file of settings that is not there, or no YAML.
type Unreadable struct{ err error }

func (e *Unreadable) Error() string { return e.err.Error() }

// Unwrap is what reading or parsing it came to.
func (e *Unreadable) Unwrap() error { return e.err }

type reader struct {
	all          []setting
	keys, groups []string
	name         string
	lines        map[string]int
	faults       *Faults
}

func (r *reader) fault(n *yaml.Node, format string, args ...any) {
	r.faults.add(fmt.Sprintf("%s:%d", r.name, n.Line), format, args...)
}

// group reads a mapping of keys that begin with prefix into tree.
func (r *reader) group(n *yaml.Node, prefix string, tree map[string]any) {
	name := "the file"
	if prefix != "" {
		name = strings.TrimSuffix(prefix, ".")
	}
	if n.Tag == "!!null" {
		return // a group whose lines are all commented out
	}
	if n.Kind != yaml.MappingNode {
		r.fault(n, "%s must be a group of settings, not a single value", name)
		return
	}
	seen := map[string]bool{}
	for i := 0; i < len(n.Content); i += 2 {
		at, value := n.Content[i], n.Content[i+1]
		key := prefix + at.Value
		switch {
		case seen[key]:
			r.fault(at, "%s is set twice", key)
		case prefix == "" && slices.Contains(r.groups, key):
			inner := map[string]any{}
			r.group(value, key+".", inner)
			tree[at.Value] = inner
		case !slices.Contains(r.keys, key):
			r.fault(at, "%s is no setting%s", key, suggest(key, slices.Concat(r.keys, r.groups)))
		default:
			if text, ok := r.leaf(key, value); ok {
				tree[at.Value] = text
				r.lines[key] = at.Line
			}
		}
		seen[key] = true
	}
}

// leaf is one value as text; a list is joined with commas.
func (r *reader) leaf(key string, n *yaml.Node) (string, bool) {
	list := slices.ContainsFunc(r.all, func(s setting) bool { return s.key == key && s.kind == listType })
	switch {
	case n.Tag == "!!null":
		r.fault(n, "%s has no value: give one, or leave the line out to get the default", key)
	case n.Kind == yaml.ScalarNode:
		return n.Value, true
	case list && n.Kind == yaml.SequenceNode:
		items := make([]string, len(n.Content))
		for i, item := range n.Content {
			if item.Kind != yaml.ScalarNode || item.Tag == "!!null" || strings.Contains(item.Value, ",") {
				r.fault(item, "%s must be a list of single values without commas", key)
				return "", false
			}
			items[i] = item.Value
		}
		return strings.Join(items, ","), true
	case list:
		r.fault(n, "%s must be one value or a list of values", key)
	default:
		r.fault(n, "%s must be a single value", key)
	}
	return "", false
}
