package schema

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
)

//go:embed migrations/*.sql
var files embed.FS

// Migration is one numbered file of SQL statements.
type Migration struct {
	Version  int    // the number in front of the file's name, from 1, without gaps
	Name     string // the file's name, "0001_lead_events.sql"
	SQL      string // the file's text
	Checksum string // SHA-256 of the text, in hexadecimal

	statements []string
}

// Migrations returns the migrations of this binary in their order.
func Migrations() ([]Migration, error) { return load(files) }

var fileName = regexp.MustCompile(`^([0-9]{4})_[a-z0-9_]+\.sql$`)

// load reads migrations/*.sql of fsys. A gap or a number used twice is refused:
// two branches that both added "the next" file must notice when they meet.
func load(fsys fs.FS) ([]Migration, error) {
	names, err := fs.Glob(fsys, "migrations/*.sql")
	if err != nil {
		return nil, fmt.Errorf("list migrations: %w", err)
	}
	if len(names) == 0 {
		return nil, errors.New("there is no migration in migrations/*.sql")
	}
	slices.Sort(names)
	ms := make([]Migration, 0, len(names))
	for i, full := range names {
		name := path.Base(full)
		m := fileName.FindStringSubmatch(name)
		if m == nil {
			return nil, fmt.Errorf("migration %s is not named NNNN_name.sql (four digits, then a-z, 0-9 and _)", name)
		}
		version, _ := strconv.Atoi(m[1])
		if version != i+1 {
			return nil, fmt.Errorf("migration %s should have number %04d: numbers start at 0001, without gaps or repeats", name, i+1)
		}
		text, err := fs.ReadFile(fsys, full)
		if err != nil {
			return nil, fmt.Errorf("read migration %s: %w", name, err)
		}
		statements, err := split(string(text))
		if err != nil {
			return nil, fmt.Errorf("read migration %s: %w", name, err)
		}
		if len(statements) == 0 {
			return nil, fmt.Errorf("migration %s has no statement", name)
		}
		sum := sha256.Sum256(text)
		ms = append(ms, Migration{
			Version: version, Name: name, SQL: string(text),
			Checksum: hex.EncodeToString(sum[:]), statements: statements,
		})
	}
	return ms, nil
}
