package analyst

import (
	"fmt"
	"regexp"
	"strings"

	"leadevents"
)

// viewVersion is in the comment of each view: another version makes it anew.
const viewVersion = 2

// ViewComment says of which organization a view is, and by which version it was made.
func ViewComment(database string, org leadevents.OrgID) string {
	return fmt.Sprintf("leadevents %d: %s/%d", viewVersion, database, org)
}

var name = regexp.MustCompile(`^[A-Za-z0-9_]{1,200}$`)

// quote writes an identifier. Names are settings of ours and numbers: anything else in
// one is a bug.
func quote(n string) string {
	if !name.MatchString(n) {
		panic(fmt.Sprintf("analyst: %q is no name", n))
	}
	return "`" + n + "`"
}

// View makes the organization's view. FINAL is what makes a key one row; the number is
// written out, so that no setting or parameter can be another's.
//
// Rows of several organizations lie in one granule, so no condition of a statement may be
// evaluated before the organization's: one that fails says what it failed at, a text of
// another's included. PREWHERE makes it the first of all steps; after WHERE, ClickHouse puts
// others before it where a setting says so. No index but the sorting key's is asked, as
// those of phones and ingested_at know all rows of a granule: whether it is read would tell
// whether somebody else has that lead.
func View(database string, in Account, org leadevents.OrgID, orReplace bool) string {
	create := "CREATE VIEW"
	if orReplace {
		create = "CREATE OR REPLACE VIEW"
	}
	return create + " " + quote(in.Database) + ".events DEFINER = CURRENT_USER SQL SECURITY DEFINER AS\n" +
		"SELECT event_type, phone, occurred_at, metadata, ingested_at, batch_id\n" +
		"FROM " + quote(database) + ".lead_events FINAL\n" +
		"PREWHERE organization_id = " + org.String() + "\n" +
		"SETTINGS use_skip_indexes_if_final = 0\n" +
		"COMMENT '" + ViewComment(database, org) + "'"
}

// Database makes the account's database.
func Database(in Account) string { return "CREATE DATABASE IF NOT EXISTS " + quote(in.Database) }

// MakeUser makes an account's user, with its password and limits of now, and grants it
// the only right that it has. Each statement may be run again. The limits stand with the
// user, not in a profile: who may change profiles may change everybody's.
func MakeUser(a Account, l Limits) []string {
	is := quote(a.User) + " IDENTIFIED WITH sha256_hash BY '" + digest(a.Password) + "' DEFAULT ROLE NONE DEFAULT DATABASE " + quote(a.Database) +
		" SETTINGS " + strings.Join(settings(a, l), ", ")
	return []string{
		"CREATE USER IF NOT EXISTS " + is,
		"ALTER USER " + is,
		"GRANT SELECT ON " + quote(a.Database) + ".* TO " + quote(a.User),
	}
}

// settings are an account's. What our servers use may change none at all. Many tools
// outside set something with each query, so theirs may be changed, but for the limits.
func settings(a Account, l Limits) (all []string) {
	for _, s := range l.Settings() {
		text := s.Name + " = '" + s.Value + "'"
		switch {
		case !a.outside:
		case s.Name == "readonly":
			text = "readonly = '2' CONST"
		case s.Name == "max_execution_time": // which some send
			text += " MIN '1' MAX '" + s.Value + "'"
		default:
			text += " CONST"
		}
		all = append(all, text)
	}
	return all
}

// DropUser ends an account's user.
func DropUser(a Account) string { return "DROP USER IF EXISTS " + quote(a.User) }
