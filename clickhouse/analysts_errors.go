package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"leadevents"
	"leadevents/clickhouse/analyst"
	"leadevents/query/statement"
)

// analystException is what ClickHouse says over HTTP of a statement it does not run to
// its end.
type analystException struct {
	code    int
	name    string // "SYNTAX_ERROR"
	message string // as ClickHouse wrote it
}

func (e *analystException) Error() string {
	return fmt.Sprintf("code %d (%s): %s", e.code, e.name, e.message)
}

var (
	exceptionShape = regexp.MustCompile(`(?s)^(?:Code: (\d+)\. )?(?:DB::)?Exception: (.*?)(?: \(([A-Z0-9_]+)\))?(?: \(version [^)]*\))?\s*$`)
	syntaxShape    = regexp.MustCompile(`(?s)failed at position (\d+)(?: \((.*?)\))?(?: \(line \d+, col \d+\))?:`)
	meantShape     = regexp.MustCompile(`Maybe you meant: \[([^\]]{1,200})\]`)
)

// readException reads "Code: 62. DB::Exception: … (SYNTAX_ERROR) (version 26.7)", of
// which an answer that broke off has more behind.
func readException(text, code string) *analystException {
	if at := strings.LastIndex(text, "(version "); at >= 0 { // what follows is no message
		if end := strings.IndexByte(text[at:], ')'); end >= 0 {
			text = text[:at+end+1]
		}
	}
	e := &analystException{message: strings.TrimSpace(text)}
	if m := exceptionShape.FindStringSubmatch(e.message); m != nil {
		e.code, _ = strconv.Atoi(m[1])
		e.message, e.name = m[2], m[3]
	}
	if e.code == 0 {
		e.code, _ = strconv.Atoi(code)
	}
	return e
}

// Codes of ClickHouse's ErrorCodes.cpp.
const (
	codeSyntax         = 62
	codeUnknownName    = 47
	codeTimeout        = 159
	codeTooManyRows    = 158
	codeTooSlow        = 160
	codeTooManyBytes   = 307
	codeRowsOrBytes    = 396
	codeTooDeepTree    = 167
	codeTooBigTree     = 168
	codeTooDeep        = 306
	codeTooDeepSub     = 162
	codeSetSize        = 191
	codeTooManyColumns = 161
)

// told are errors of who wrote the statement: their messages are about it. Of others
// only the name is passed on: their messages may be about the server.
var told = map[int]bool{
	6: true, 7: true, 8: true, 9: true, 10: true, 15: true, 16: true, 20: true, 27: true, 34: true, 35: true, 36: true, 38: true, 41: true, 42: true,
	43: true, 44: true, 46: true, codeUnknownName: true, 50: true, 51: true, 52: true, 53: true, 63: true, 69: true, 70: true, 72: true, 80: true,
	117: true, 120: true, 125: true, 128: true, 130: true, 131: true, 133: true, 153: true, 169: true, 179: true, 183: true, 184: true, 190: true, 206: true, 207: true, 215: true,
	258: true, 321: true, 349: true, 352: true, 386: true, 395: true, 403: true, 407: true, 420: true, 427: true, 456: true, 457: true, 467: true, 469: true,
}

// overLimits are statements that a limit stopped, and its setting.
var overLimits = map[int]string{
	codeTimeout: "it took longer than allowed (sql.timeout)", codeTooSlow: "it would take longer than allowed (sql.timeout)",
	codeMemoryLimit: "it needs more memory than allowed (sql.memory, or sql.organization_memory with others of the organization)",
	codeTooManyRows: "it reads or returns more rows than allowed (sql.rows_read, sql.result_rows)", codeTooManyBytes: "it returns more bytes than allowed (sql.result_bytes)",
	codeRowsOrBytes: "its answer has more rows or bytes than allowed (sql.result_rows, sql.result_bytes)", codeSetSize: "a set in it is larger than allowed",
}

// nestedTooDeep are statements whose tree is too large or deep.
var nestedTooDeep = map[int]bool{codeTooDeepTree: true, codeTooBigTree: true, codeTooDeep: true, codeTooDeepSub: true, codeTooManyColumns: true}

// failure is an error as the client is told it: of its own statement, with the place
// where one is known, and without names of the server's. before is how many bytes
// stood before the statement's text. That ctx is over makes it the statement's time
// limit: the error alone does not, for that of a dial that took too long says the same.
func (a *Analysts) failure(ctx context.Context, err error, account analyst.Account, text string, before int) error {
	err = errors.Join(ctx.Err(), err)
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return leadevents.Wrap(leadevents.QueryLimit, err, "query was stopped: it took longer than %s, reading the answer included (sql.timeout)", a.Limits().Timeout)
	}
	e, ok := errors.AsType[*analystException](err)
	if !ok {
		return err
	}
	switch why, over := overLimits[e.code]; {
	case e.code == codeMemoryLimit && strings.Contains(e.message, "(total)"):
		return leadevents.Wrap(leadevents.Unavailable, e, "%s; send the same request again later", refusals[codeMemoryLimit].message)
	case over:
		return leadevents.Wrap(leadevents.QueryLimit, e, "query was stopped: %s", why)
	case nestedTooDeep[e.code]:
		return leadevents.Wrap(leadevents.InvalidQuery, e, "query is nested too deeply, or has too many parts")
	case e.code == codeTooManyQueries:
		limited := leadevents.Wrap(leadevents.RateLimited, e, "the organization runs %d statements at once already (sql.organization_queries); ask again when one has ended", a.Limits().AtOnce)
		limited.RetryAfter = time.Second
		return limited
	case e.code == codeAborted, e.code == codeCancelled:
		return leadevents.Wrap(leadevents.Unavailable, e, "the statement was ended by the event store (ClickHouse); send the same request again")
	case e.code == codeSyntax:
		return leadevents.Wrap(leadevents.InvalidQuery, e, "%s", syntaxMessage(e.message, text, before))
	case e.code == codeUnknownTable, e.code == codeUnknownDatabase, e.code == codeAccessDenied:
		return leadevents.Wrap(leadevents.InvalidQuery, e, "query reads a table that is not there: the table is events")
	case e.code == codeUnknownUser, e.code == codeAuthenticationFails, e.code == codeNotEnoughSpace, e.code == 0:
		return leadevents.Wrap(leadevents.Unavailable, e, "the event store (ClickHouse) did not run the query; send the same request again")
	case told[e.code]:
		if message, clean := a.clean(e, account); clean {
			return leadevents.Wrap(leadevents.InvalidQuery, e, "ClickHouse says: %s (%s)", message, e.name)
		}
	}
	return leadevents.Wrap(leadevents.InvalidQuery, e, "ClickHouse cannot run this query (%s)", e.name)
}

// syntaxMessage names the place of a syntax error in the statement, and what stands
// there. What ClickHouse expected in its stead is a long list of words that are not all allowed.
func syntaxMessage(message, text string, before int) string {
	m := syntaxShape.FindStringSubmatch(message)
	if m == nil {
		return "query has a syntax error"
	}
	at, err := strconv.Atoi(m[1])
	if at -= 1 + before; err != nil || at < 0 || at > len(text) {
		return "query has a syntax error"
	}
	near := m[2]
	if len(near) > 40 || near == "" || !utf8.ValidString(near) {
		return fmt.Sprintf("query has a syntax error, at %s", statement.Position(text, at))
	}
	return fmt.Sprintf("query has a syntax error near %s, at %s", near, statement.Position(text, at))
}

// maxMessage is the longest message of ClickHouse that is passed on.
const maxMessage = 500

// clean takes out of a message what is about the server, and says whether that was
// all: a message that still names something of the server's is not passed on.
func (a *Analysts) clean(e *analystException, account analyst.Account) (string, bool) {
	message := e.message
	meant := ""
	if e.code == codeUnknownName {
		if m := meantShape.FindStringSubmatch(message); m != nil {
			meant = ". Maybe you meant: " + m[1]
		}
	}
	for _, end := range []string{" In scope ", " in scope ", ": While ", ": while ", " While ", " while executing", "Stack trace", "\n"} {
		if at := strings.Index(message, end); at >= 0 {
			message = message[:at]
		}
	}
	message = strings.TrimRight(message, " .:,")
	for _, ours := range []string{account.Database + ".", "`" + account.Database + "`.", "__table1.", "__table2.", "__table3."} {
		message = strings.ReplaceAll(message, ours, "")
	}
	message += meant
	if len(message) > maxMessage {
		message = strings.ToValidUTF8(message[:maxMessage], "") + "…"
	}
	lower := strings.ToLower(message)
	for _, secret := range []string{account.Database, account.User, a.db.database + ".", a.db.user + "@", "lead_events", "organization_id", "definer", "dbms/", "/var/", "db::", "0x"} {
		if secret != "" && strings.Contains(lower, strings.ToLower(secret)) {
			return "", false
		}
	}
	return message, true
}
