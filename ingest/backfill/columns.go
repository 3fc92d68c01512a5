package backfill

import (
	"slices"
	"strings"

	"leadevents"
)

// columns says which columns of one file are what, by their names in it; empty
// where there is none.
type columns struct {
	phone, occurredAt, eventType string
	// metadata is a column whose values are the metadata, as they are.
	metadata string
	// chosen is the columns that are stored; nil: all that remain.
	chosen []string
	none   bool // no metadata
}

// The names that are guessed, folded: the API's own first, which wins over the
// others; of the others there must be one only.
var (
	phoneNames = []string{"phonee164", "phone", "mobile", "msisdn", "phonenumber", "telephone", "mobilephone", "mobilenumber", "telephonenumber", "cell", "cellphone", "tel", "e164"}
	timeNames  = []string{"occurredat", "timestamp", "time", "date", "datetime", "createdat", "eventtime", "eventtimestamp", "eventdate", "eventat", "ts"}
	typeNames  = []string{"eventtype", "event", "type", "eventname"}
)

const metadataName = "metadata"

// fold makes Event_Time, event-time and "Event time" one name.
func fold(name string) string {
	return strings.NewReplacer("_", "", "-", "", " ", "").Replace(strings.ToLower(name))
}

// tellColumns finds out which of a file's columns are what. isObject tells
// whether a column's values are JSON objects as far as can be seen. Of sparse
// files, NDJSON, names are what the first rows have: others may come.
func tellColumns(file string, names []string, sparse bool, m *Mapping, isObject func(column string) bool) (columns, error) {
	t := teller{file: file, names: names}
	var c columns
	var err error
	if c.phone, err = t.column("the phone", FlagPhone, m.Phone, phoneNames, true); err != nil {
		return c, err
	}
	if c.occurredAt, err = t.column("the time", FlagOccurredAt, m.OccurredAt, timeNames, true); err != nil {
		return c, err
	}
	if m.EventType != "" || m.FixedType == "" {
		t.mayCome = sparse && m.FixedType != ""
		if c.eventType, err = t.column("the event type", FlagTypeColumn, m.EventType, typeNames, false); err != nil {
			return c, err
		}
		if c.eventType == "" && m.FixedType == "" {
			return c, leadevents.Errorf(leadevents.InvalidRequest, "%s has no column for the event type (%s): --%s gives all rows one, --%s names the column", file, t.listed(), FlagEventType, FlagTypeColumn)
		}
	}
	switch {
	case m.NoMetadata:
		c.none = true
	case m.Metadata != nil:
		t.mayCome = sparse
		for _, want := range m.Metadata {
			name, err := t.named(FlagMetadata, want)
			if err != nil {
				return c, err
			}
			if !slices.Contains(c.chosen, name) {
				c.chosen = append(c.chosen, name)
			}
		}
		c.none = len(c.chosen) == 0
	default:
		if name := t.guess([]string{metadataName}); len(name) == 1 && isObject(name[0]) {
			c.metadata = name[0]
		}
	}
	return c, nil
}

type teller struct {
	file    string
	names   []string
	mayCome bool // a name that was given need not be there yet
}

// column is the column that was named, or the one that is guessed.
func (t teller) column(what, flag, named string, guesses []string, needed bool) (string, error) {
	if named != "" {
		return t.named(flag, named)
	}
	if own := t.guess(guesses[:1]); len(own) == 1 {
		return own[0], nil
	}
	switch found := t.guess(guesses); {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return "", leadevents.Errorf(leadevents.InvalidRequest, "%s has %d columns that may be %s, %s: --%s says which", t.file, len(found), what, quoted(found), flag)
	case needed:
		return "", leadevents.Errorf(leadevents.InvalidRequest, "%s has no column that is known to be %s (%s): --%s names it", t.file, what, t.listed(), flag)
	}
	return "", nil
}

// named is a column by its name: exactly, else but for case and separators.
func (t teller) named(flag, want string) (string, error) {
	if slices.Contains(t.names, want) {
		return want, nil
	}
	if found := t.guess([]string{fold(want)}); len(found) == 1 {
		return found[0], nil
	}
	if t.mayCome {
		return want, nil
	}
	return "", leadevents.Errorf(leadevents.InvalidRequest, "%s has no column %q, which --%s names (%s)", t.file, want, flag, t.listed())
}

// guess is the columns whose folded names are among guesses.
func (t teller) guess(guesses []string) []string {
	var found []string
	for _, name := range t.names {
		if slices.Contains(guesses, fold(name)) {
			found = append(found, name)
		}
	}
	return found
}

// listed is the columns that the file has, for a message.
func (t teller) listed() string {
	if len(t.names) == 0 {
		return "it has no columns"
	}
	return "its columns are " + quoted(t.names)
}

// quoted is names for a message: of a file of 2,000 columns the first 50, and of
// each its beginning, for without a header they are data.
func quoted(names []string) string {
	var b strings.Builder
	for i, name := range names {
		if i == 50 {
			b.WriteString(", …")
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		if runes := []rune(name); len(runes) > 40 {
			name = string(runes[:40]) + "…"
		}
		b.WriteString(`"` + name + `"`)
	}
	return b.String()
}
