package query

import (
	"encoding/base64"
	"strings"

	"leadevents"
)

var errCursor = leadevents.Errorf(leadevents.InvalidRequest, "cursor is not one that this list gave: pass on nextCursor as it came")

// writeCursor is a position in a list as a cursor, opaque to clients. It names the
// list and the organization, so that another one's is refused rather than misread.
func writeCursor(list string, org leadevents.OrgID, position string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(list + "." + org.String() + "." + position))
}

// readCursor is the position in what writeCursor wrote for the same list and
// organization.
func readCursor(list string, org leadevents.OrgID, cursor string) (position string, err error) {
	text, err := base64.RawURLEncoding.DecodeString(cursor)
	position, ours := strings.CutPrefix(string(text), list+"."+org.String()+".")
	if err != nil || !ours {
		return "", errCursor
	}
	return position, nil
}
