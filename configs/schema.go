package configs

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"leadevents/auth"
)

// EnvPrefix stands before the name of every environment variable of ours.
const EnvPrefix = "LEADEVENTS_"

// setting is one leaf of [Settings], as its tags describe it.
type setting struct {
	key      string // "redis.db"
	fallback string // the default tag
	limits   string // the range tag
	oneOf    []string
	form     string
	index    []int // the field's path, for reflect
	kind     reflect.Type
}

var (
	durationType = reflect.TypeFor[time.Duration]()
	bytesType    = reflect.TypeFor[Bytes]()
	secretType   = reflect.TypeFor[auth.Secret]()
	listType     = reflect.TypeFor[[]string]()
)

// envName is a setting's variable: LEADEVENTS_REDIS_DB.
func envName(key string) string {
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

func (s setting) secret() bool { return s.kind == secretType }

// fileKey is the key under which a secret's file may be given.
func (s setting) fileKey() string { return s.key + "_file" }

// field is the setting's value inside of settings.
func (s setting) field(settings *Settings) reflect.Value {
	return reflect.ValueOf(settings).Elem().FieldByIndex(s.index)
}

// schema lists the settings in the order of the struct, groups with a dot.
func schema() []setting { return walk(reflect.TypeFor[Settings](), "", nil) }

func walk(t reflect.Type, prefix string, index []int) []setting {
	var all []setting
	for i := range t.NumField() {
		f := t.Field(i)
		at := append(slices.Clone(index), i)
		key := prefix + f.Tag.Get("key")
		if f.Type.Kind() == reflect.Struct && f.Type != secretType {
			all = append(all, walk(f.Type, key+".", at)...)
			continue
		}
		all = append(all, setting{
			key:      key,
			fallback: f.Tag.Get("default"),
			limits:   f.Tag.Get("range"),
			oneOf:    strings.Fields(f.Tag.Get("oneof")),
			form:     f.Tag.Get("form"),
			index:    at,
			kind:     f.Type,
		})
	}
	return all
}

// names lists every key that may be given, the *_file keys of secrets included,
// and the groups.
func names(all []setting) (keys, groups []string) {
	for _, s := range all {
		keys = append(keys, s.key)
		if s.secret() {
			keys = append(keys, s.fileKey())
		}
		if group, _, ok := strings.Cut(s.key, "."); ok && !slices.Contains(groups, group) {
			groups = append(groups, group)
		}
	}
	return keys, groups
}

// Keys lists every key that may be set, in the order of the example.
func Keys() []string {
	keys, _ := names(schema())
	return keys
}

// Env lists the environment variables of all keys, in the same order.
func Env() []string {
	keys := Keys()
	for i, key := range keys {
		keys[i] = envName(key)
	}
	return keys
}

// suggest is the known name nearest to a mistyped one, as the end of a sentence;
// empty where none is near.
func suggest(name string, known []string) string {
	best, distance := "", len(name)/3+2
	for _, k := range known {
		if d := editDistance(name, k); d < distance {
			best, distance = k, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %s?", best)
}

// editDistance is Levenshtein's: how many characters to insert, delete or change.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
